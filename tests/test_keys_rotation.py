"""Rotation: whenever it is cut short, every file opens, and the next one finishes what was begun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from journals import DISK_CALLS
from sealed_files import EDITS, FIRST, SNAPSHOT, TEXT, identity, log_parts
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import HOME, Medium
from store.errors import DiskError
from store.keys import Keychain, KeyChoiceRefused, KeyState, Protection, keyfile, rotation
from store.keys.entries import entry_name
from store.keys.keyfile import EntryState, KeyEntry, KeyFile
from store.keys.passphrase import Cost
from store.keys.rewrapping import named_by, rewrap_file
from store.outcomes import Corrupt, LockedKey, MissingKey, TooNew
from store.replace import replace_file
from store.sealed import Ending, LogWriter, open_snapshot, peek, read_log, rewrap, seal_snapshot
from vaults import LockedVault, MemoryVault, WatchedVault

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
WORDS = "correct horse"
KEPT = (Protection.KEYRING, Protection.PASSPHRASE, Protection.INSECURE)
FILES = HOME / "sessions"
OLD = ("one.session", "two.session", "two.edits")
NEW = "three.session"
"""Made while keys are rotated."""


class Death(BaseException):
    """The process is killed here."""


class Dying:
    """A disk and a keyring that count what they are asked, and die at one of the calls."""

    def __init__(self, disk: VirtualDisk, at: int | None) -> None:
        self.disk = disk
        self.at = at
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.disk, name)
        return partial(self.counted, found) if name in DISK_CALLS else found

    def counted(self, call: Any, *args: Any) -> Any:
        """Count a call of the disk, and make it."""
        self.count("")
        return call(*args)

    def count(self, _: str) -> None:
        """Count, and die if it is time."""
        self.calls += 1
        if self.calls == self.at:
            raise Death


def opened(disk: Any, vault: MemoryVault, protection: Protection, seed: int = 0) -> Keychain:
    """Open and unlock the keys as a new process."""
    keys = Keychain.open(HOME, disk, vault, entropy=Random(f"keys {seed}").randbytes, cost=CHEAP)
    keys.unlock(WORDS if protection is Protection.PASSPHRASE else None)
    return keys


def sealed_before(protection: Protection) -> tuple[Medium, dict[str, str]]:
    """Return a medium with sealed files, and the entries of the keyring they need."""
    disk, vault = VirtualDisk(), MemoryVault()
    keys = Keychain.open(HOME, disk, vault, entropy=Random(1).randbytes, cost=CHEAP)
    keys.choose(protection, WORDS if protection is Protection.PASSPHRASE else None)
    disk.mkdir(FILES)
    disk.sync_dir(HOME)
    for name in OLD[:2]:
        replace_file(disk, FILES / name, new_snapshot(keys))
    writer = LogWriter(identity(EDITS), {"first": FIRST}, [keys.active()], Random(2).randbytes)
    replace_file(disk, FILES / OLD[2], writer.header + writer.seal(FIRST, b"an edit"))
    disk.kill()
    return disk.medium(), vault.entries


def new_snapshot(keys: Keychain) -> bytes:
    """Seal a new file for whatever keys are to be named now."""
    return seal_snapshot(identity(SNAPSHOT), {}, TEXT, keys.wraps_for_new_files(), os.urandom)


def rotate(disk: Any, vault: MemoryVault, protection: Protection, seed: int) -> None:
    """Do it all, as `keys rotate` does, and make a new file on the way; or finish what was begun."""
    keys = opened(disk, vault, protection, seed)
    incoming = rotation.begin(keys)
    for name in sealed_names(disk):
        rewrap_file(disk, FILES / name, keys, add=incoming)
    if NEW not in disk.listing(FILES):
        replace_file(disk, FILES / NEW, new_snapshot(keys))
    rotation.finish(keys)
    for key_id in keys.key_ids:
        if key_id != keys.active_id:
            for name in sealed_names(disk):
                rewrap_file(disk, FILES / name, keys, drop=key_id)
            named = {each for name in sealed_names(disk) for each in named_by(disk, FILES / name)}
            rotation.forget(keys, key_id, named)


def sealed_names(disk: Any) -> list[str]:
    """Return the whole files, in a fixed order."""
    return sorted(name for name in disk.listing(FILES) if not name.endswith(".part"))


def check_all_open(disk: VirtualDisk, vault: MemoryVault, protection: Protection) -> None:
    """Every file is there and opens with its text, and so does the key file's copy."""
    keys = opened(disk, vault, protection)
    assert keys.state is KeyState.READY
    names = sealed_names(disk)
    assert set(names) >= set(OLD)
    for name in names:
        data = disk.read(FILES / name, 1 << 20)
        if name.endswith(".edits"):
            read = read_log(data, EDITS, keys.key)
            assert ([record.plaintext for record in read.records], read.ending) == (
                [b"an edit"],
                Ending.CLEAN,
            )
        else:
            assert open_snapshot(data, SNAPSHOT, keys.key).plaintext == TEXT
    assert disk.read(HOME / "keys", 1 << 20) == disk.read(HOME / "keys.bak", 1 << 20)


def deaths(protection: Protection) -> Iterator[int]:
    """Yield every call at which a rotation can die."""
    medium, entries = sealed_before(protection)
    dying = Dying(VirtualDisk(medium), None)
    rotate(dying, WatchedVault(dict(entries), dying.count), protection, 0)
    yield from range(1, dying.calls + 1)


# -- as it should go -------------------------------------------------------------------


@pytest.mark.parametrize("protection", KEPT)
def test_a_rotation_leaves_one_key_and_every_file_under_it(protection: Protection) -> None:
    """The old one is nowhere any more, not even in the keyring."""
    medium, entries = sealed_before(protection)
    disk, vault = VirtualDisk(medium), MemoryVault(dict(entries))
    before = opened(disk, vault, protection).active_id
    assert before
    rotate(disk, vault, protection, 0)
    check_all_open(disk, vault, protection)
    keys = opened(disk, vault, protection)
    assert keys.key_ids == (keys.active_id,) != (before,)
    for name in sealed_names(disk):
        assert named_by(disk, FILES / name) == keys.key_ids
    if protection is Protection.KEYRING:
        assert list(vault.entries) == [entry_name(str(keys.active_id))]
    assert before.encode() not in disk.read(HOME / "keys.bak", 1 << 20)


def test_new_files_name_both_keys_while_it_lasts() -> None:
    """So that whichever step comes next, they open."""
    medium, entries = sealed_before(Protection.KEYRING)
    keys = opened(VirtualDisk(medium), MemoryVault(dict(entries)), Protection.KEYRING)
    assert len(keys.wraps_for_new_files()) == 1
    new = rotation.begin(keys)
    assert [key.id for key in keys.wraps_for_new_files()] == [keys.active_id, new]
    assert rotation.begin(keys) == new == keys.incoming_id
    old = rotation.finish(keys)
    assert [key.id for key in keys.wraps_for_new_files()] == [new]
    assert rotation.finish(keys) is None
    assert old
    assert keys.key(old)


def test_a_key_that_is_needed_is_not_forgotten() -> None:
    """Active, incoming, or named by any file."""
    medium, entries = sealed_before(Protection.KEYRING)
    vault = MemoryVault(dict(entries))
    keys = opened(VirtualDisk(medium), vault, Protection.KEYRING)
    old, new = str(keys.active_id), rotation.begin(keys)
    for key_id in (old, new):
        with pytest.raises(KeyChoiceRefused, match="in use"):
            rotation.forget(keys, key_id, ())
    rotation.finish(keys)
    with pytest.raises(KeyChoiceRefused, match="in use"):
        rotation.forget(keys, old, [old])
    rotation.forget(keys, "0" * 16, ())
    assert set(keys.key_ids) == {old, new}
    keys._vault = LockedVault(vault.entries)  # it cannot delete now, and that does no harm
    rotation.forget(keys, old, ())
    assert keys.key_ids == (new,)


def test_locked_keys_are_not_rotated() -> None:
    """Nor are there any before the user chose."""
    medium, entries = sealed_before(Protection.PASSPHRASE)
    keys = Keychain.open(HOME, VirtualDisk(medium), MemoryVault(dict(entries)))
    with pytest.raises(LockedKey):
        rotation.begin(keys)
    with pytest.raises(LockedKey):
        rotation.begin(Keychain.open(HOME, VirtualDisk(), MemoryVault()))
    with pytest.raises(LockedKey):
        rotation.finish(Keychain.open(HOME, VirtualDisk(), MemoryVault()))


def test_an_incoming_key_the_keyring_lost_is_replaced() -> None:
    """It never becomes the active one, and stays on the list in case it comes back."""
    medium, entries = sealed_before(Protection.KEYRING)
    disk, vault = VirtualDisk(medium), MemoryVault(dict(entries))
    lost = rotation.begin(opened(disk, vault, Protection.KEYRING))
    del vault.entries[entry_name(lost)]
    with pytest.raises(KeyChoiceRefused, match="repeats"):
        rotation.begin(opened(disk, vault, Protection.KEYRING))  # the same entropy as before
    keys = opened(disk, vault, Protection.KEYRING, seed=1)
    with pytest.raises(MissingKey, match=lost):
        rotation.finish(keys)
    new = rotation.begin(keys)
    assert new != lost
    rotation.finish(keys)
    assert keys.active_id == new
    assert lost in keys.key_ids
    assert opened(disk, vault, Protection.KEYRING).active_id == new


def test_there_is_an_end_to_keys() -> None:
    """More than the key file may list would make it unreadable."""
    medium, entries = sealed_before(Protection.INSECURE)
    keys = opened(VirtualDisk(medium), MemoryVault(dict(entries)), Protection.INSECURE)
    for _ in range(keyfile.MAX_KEYS - 1):
        rotation.begin(keys)
        rotation.finish(keys)
    with pytest.raises(KeyChoiceRefused, match="64 keys"):
        rotation.begin(keys)
    assert keyfile.read(keys._disk, HOME)


# -- files that cannot follow ----------------------------------------------------------


def test_a_file_that_is_not_true_is_left_as_it_is() -> None:
    """Damaged, of a later version, under an unknown key: not a byte changes."""
    medium, entries = sealed_before(Protection.INSECURE)
    disk = VirtualDisk(medium)
    keys = opened(disk, MemoryVault(dict(entries)), Protection.INSECURE)
    new = rotation.begin(keys)
    whole = disk.read(FILES / OLD[0], 1 << 20)
    newer = whole[:8] + b"\2\0" + whole[10:60]
    foreign = b"".join(log_parts([b"x"]))
    for bad, meant in ((whole[:200], Corrupt), (newer, TooNew), (foreign, MissingKey), (b"", Corrupt)):
        replace_file(disk, FILES / "bad", bad)
        with pytest.raises(meant):
            rewrap_file(disk, FILES / "bad", keys, add=new)
        assert disk.read(FILES / "bad", 1 << 20) == bad
    with pytest.raises(MissingKey, match="0000"):
        rewrap_file(disk, FILES / OLD[0], keys, add="0" * 16)
    with pytest.raises(ValueError, match="0 master keys"):
        rewrap_file(disk, FILES / OLD[0], keys, drop=keys.active_id)
    with pytest.raises(DiskError):
        rewrap_file(disk, FILES / "none", keys, add=new)
    assert named_by(disk, FILES / "bad") == ()


def test_a_file_that_has_the_key_is_not_written_again() -> None:
    """A rotation that is repeated costs reads only."""
    medium, entries = sealed_before(Protection.INSECURE)
    disk = VirtualDisk(medium)
    keys = opened(disk, MemoryVault(dict(entries)), Protection.INSECURE)
    new = rotation.begin(keys)
    assert rewrap_file(disk, FILES / OLD[0], keys, add=new)
    before = disk.read(FILES / OLD[0], 1 << 20)
    assert not rewrap_file(disk, FILES / OLD[0], keys, add=new, drop="0" * 16)
    assert disk.read(FILES / OLD[0], 1 << 20) == before
    header = peek(rewrap(before, None, new, keys.key, os.urandom))
    assert header
    assert len(header.wraps) == 1


# -- cut short -------------------------------------------------------------------------


@pytest.mark.parametrize("protection", KEPT)
@pytest.mark.parametrize("power", [False, True])
def test_wherever_it_dies_every_file_opens(protection: Protection, *, power: bool) -> None:
    """Killed, or without power, at each call of the disk and on both sides of each call of the keyring."""
    medium, entries = sealed_before(protection)
    tried = 0
    for at in deaths(protection):
        for seed in range(3 if power else 1):
            disk, kept = VirtualDisk(medium), dict(entries)
            dying = Dying(disk, at)
            with pytest.raises(Death):
                rotate(dying, WatchedVault(kept, dying.count), protection, 0)
            cut(disk, Random(1000 * at + seed), power=power)
            check_all_open(disk, MemoryVault(kept), protection)
            # And again, while it is being finished.
            dying = Dying(disk, Random(at + seed).randint(1, 60))
            try:
                rotate(dying, WatchedVault(kept, dying.count), protection, 1)
            except Death:
                cut(disk, Random(2000 * at + seed), power=power)
            check_all_open(disk, MemoryVault(kept), protection)
            rotate(disk, MemoryVault(kept), protection, 2)
            check_all_open(disk, MemoryVault(kept), protection)
            assert len(opened(disk, MemoryVault(kept), protection).key_ids) == 1
            tried += 1
    assert tried > 60 * (3 if power else 1)


def cut(disk: VirtualDisk, dice: Random, *, power: bool) -> None:
    """End the process, with or without the power."""
    if power:
        disk.power_cut(dice)
    else:
        disk.kill()


@pytest.mark.parametrize("before", KEPT)
@pytest.mark.parametrize("after", KEPT)
def test_another_protection_or_passphrase_can_be_cut_short_too(before: Protection, after: Protection) -> None:
    """The keys open in the old way or in the new one."""
    medium, entries = sealed_before(before)
    changed = "new words"

    def change(disk: Any, vault: MemoryVault) -> None:
        keys = opened(disk, vault, before)
        if before is after is Protection.PASSPHRASE:
            keys.set_passphrase(WORDS, changed)
        else:
            keys.choose(after, changed if after is Protection.PASSPHRASE else None)

    whole = Dying(VirtualDisk(medium), None)
    change(whole, WatchedVault(dict(entries), whole.count))
    for at in range(1, whole.calls + 1):
        for seed in range(4):
            disk, kept = VirtualDisk(medium), dict(entries)
            dying = Dying(disk, at)
            with pytest.raises(Death):
                change(dying, WatchedVault(kept, dying.count))
            cut(disk, Random(at + seed), power=bool(seed))
            keys = Keychain.open(HOME, disk, MemoryVault(kept), cost=CHEAP)
            was = keyfile.decode(medium.files[HOME / "keys"])
            is_old = keyfile.read(disk, HOME) == was
            keys.unlock({Protection.PASSPHRASE: WORDS if is_old else changed}.get(keys.protection or before))
            for name in OLD[:2]:
                assert open_snapshot(disk.read(FILES / name, 1 << 20), SNAPSHOT, keys.key).plaintext == TEXT
            copy = disk.read(HOME / "keys.bak", 1 << 20)
            assert copy == disk.read(HOME / "keys", 1 << 20)  # unlocking made it equal again


@pytest.mark.parametrize("protection", KEPT)
def test_the_first_choice_can_be_cut_short(protection: Protection) -> None:
    """Then there are no keys, and the user is asked again; or there are, and they open."""
    at, ready = 0, 0
    while True:
        at += 1
        disk, kept = VirtualDisk(), dict[str, str]()
        dying = Dying(disk, at)
        keys = None
        try:
            keys = Keychain.open(HOME, dying, WatchedVault(kept, dying.count), cost=CHEAP)
            keys.choose(protection, WORDS)
        except Death:
            pass
        else:
            break
        cut(disk, Random(at), power=bool(at % 2))
        again = Keychain.open(HOME, disk, MemoryVault(kept), cost=CHEAP)
        if again.state is KeyState.UNDECIDED:
            again.choose(protection, WORDS)
        again.unlock(WORDS)
        assert again.state is KeyState.READY
        ready += 1
    assert ready == at - 1 > 10


# -- and these checks can fail ---------------------------------------------------------


def careless(keys: Keychain) -> str:
    """Make the incoming key known before the keyring has it."""
    with keys.changing() as file:
        assert file
        secret, key_id = keys.entropy(32), keys.entropy(8).hex()
        entry = KeyEntry(key_id, EntryState.INCOMING, keyfile.check_of(key_id, secret))
        old = tuple(
            KeyEntry(each.id, EntryState.RETIRED, each.check) if each.id == keys.active_id else each
            for each in file.keys
        )
        entry = KeyEntry(key_id, EntryState.ACTIVE, entry.check)
        keys.store(KeyFile(file.protection, (*old, entry)), {**keys.secrets(), key_id: secret})
        keys._vault.set(entry_name(key_id), secret.hex())
    return key_id


def test_a_key_that_is_named_before_it_is_kept_is_found_out() -> None:
    """The enumeration of deaths is sharp enough for the mistake that rule 19 is about."""
    medium, entries = sealed_before(Protection.KEYRING)
    found = 0
    for at in range(1, 30):
        disk, kept = VirtualDisk(medium), dict(entries)
        dying = Dying(disk, at)
        try:
            careless(opened(dying, WatchedVault(kept, dying.count), Protection.KEYRING))
        except Death:
            disk.kill()
            try:
                opened(disk, MemoryVault(kept), Protection.KEYRING)
            except MissingKey:
                found += 1
    assert found


def test_paths_here_are_those_of_the_virtual_disk() -> None:
    """Nothing of this touches the real one."""
    assert not Path(HOME).exists()
