"""The keychain: every protection set up, opened again, changed; and never a key lost or made in vain."""

from __future__ import annotations

import errno
import pickle
import stat
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from journals import Logging
from store.disk import RealDisk
from store.errors import DiskError, StoreError, StoreFull, StoreReadOnly
from store.keys import (
    Keychain,
    KeyChoiceRefused,
    KeyState,
    Protection,
    VaultUnavailable,
    keyfile,
    passphrase,
    rescue,
    rotation,
)
from store.keys.entries import entry_name
from store.keys.passphrase import Cost, StretchError
from store.outcomes import Busy, Corrupt, LockedKey, MissingKey, WrongKey
from vaults import (
    BrokenVault,
    DenyingVault,
    ForgettingVault,
    LockedVault,
    MemoryVault,
    ReplacingVault,
    StaleVault,
    TruncatingVault,
)

CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
WORDS = "correct horse"
KEPT = (Protection.KEYRING, Protection.PASSPHRASE, Protection.INSECURE)


class Place:
    """A data directory with its keyring, opened as often as there are processes."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.vault: MemoryVault = MemoryVault()
        self.disk = Logging()
        self.dice = Random(7)

    def open(self, *, read_only: bool = False) -> Keychain:
        """Open its keychain as a new process would."""
        return Keychain.open(
            self.data_dir, self.disk, self.vault, entropy=self.dice.randbytes, read_only=read_only, cost=CHEAP
        )

    def chosen(self, protection: Protection) -> Keychain:
        """Set up."""
        keys = self.open()
        keys.choose(protection, WORDS if protection is Protection.PASSPHRASE else None)
        return keys

    def unlocked(self, words: str | None = None) -> Keychain:
        """Open again and unlock."""
        keys = self.open()
        keys.unlock(words or (WORDS if keys.protection is Protection.PASSPHRASE else None))
        return keys

    def written(self) -> bytes:
        """Every byte on the disk."""
        return b"".join(path.read_bytes() for path in sorted(self.data_dir.iterdir()))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty data directory and an empty keyring."""
    return Place(tmp_path)


# -- set up and open again -------------------------------------------------------------


def test_at_first_the_user_has_to_choose(place: Place) -> None:
    """Nothing is decided silently, and nothing is there to seal with."""
    keys = place.open()
    assert (keys.state, keys.protection, keys.active_id, keys.key_ids) == (KeyState.UNDECIDED, None, None, ())
    keys.unlock()
    assert keys.key("0" * 16) is None
    with pytest.raises(LockedKey, match="chosen"):
        keys.active()
    assert not list(place.data_dir.iterdir())


@pytest.mark.parametrize("protection", KEPT)
def test_a_key_is_the_same_after_a_restart(place: Place, protection: Protection) -> None:
    """However it is protected."""
    key = place.chosen(protection).active()
    keys = place.open()
    assert (keys.state, keys.protection, keys.active_id) == (KeyState.LOCKED, protection, key.id)
    with pytest.raises(LockedKey):
        keys.key(key.id)
    with pytest.raises(LockedKey):
        keys.active()
    keys = place.unlocked()
    assert (keys.state, keys.active(), keys.key(key.id)) == (KeyState.READY, key, key)
    assert keys.active().secret == key.secret
    assert keys.key("0" * 16) is None
    assert len(key.secret) == 32
    keys.lock()
    assert keys.state is KeyState.LOCKED


def test_opening_asks_no_keyring_and_stretches_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens on the way to the first screen."""
    place.chosen(Protection.KEYRING)
    place.vault.calls.clear()
    place.disk.log.clear()
    monkeypatch.setattr(passphrase, "stretched", None)
    place.open()
    assert place.vault.calls == []
    assert place.disk.log == [("read", "keys")]


@pytest.mark.parametrize("protection", [Protection.KEYRING, Protection.PASSPHRASE])
def test_the_secret_is_not_on_the_disk(place: Place, protection: Protection) -> None:
    """In no spelling."""
    secret = place.chosen(protection).active().secret
    written = place.written()
    assert secret not in written
    assert secret.hex().encode() not in written
    assert keyfile._text(secret).encode() not in written
    assert WORDS.encode() not in written


def test_insecure_is_said_and_readable_by_its_owner_only(place: Place) -> None:
    """The choice is honest, and not worse than it has to be."""
    keys = place.chosen(Protection.INSECURE)
    assert "insecure" in keys.why
    assert b'"protection":"insecure"' in place.written()
    for path in place.data_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "insecure" in place.open().why


def test_volatile_keeps_nothing_and_is_remembered(place: Place) -> None:
    """The user is not asked again, and no key ever exists."""
    place.chosen(Protection.VOLATILE)
    keys = place.unlocked()
    assert (keys.state, keys.protection, keys.key_ids) == (KeyState.VOLATILE, Protection.VOLATILE, ())
    with pytest.raises(LockedKey, match="nothing is kept"):
        keys.active()
    assert place.vault.calls == []
    keys.choose(Protection.INSECURE)
    assert place.unlocked().state is KeyState.READY


# -- passphrases -----------------------------------------------------------------------


@pytest.mark.parametrize("words", ["nonsense", WORDS + " ", WORDS.upper()])
def test_a_wrong_passphrase_is_named(place: Place, words: str) -> None:
    """And leaves the keys locked."""
    place.chosen(Protection.PASSPHRASE)
    keys = place.open()
    with pytest.raises(WrongKey) as caught:
        keys.unlock(words)
    assert words not in str(caught.value) + repr(caught.value.args)
    assert keys.state is KeyState.LOCKED
    keys.unlock(WORDS)
    assert keys.state is KeyState.READY


@pytest.mark.parametrize("words", [None, ""])
def test_without_a_passphrase_it_stays_locked(place: Place, words: str | None) -> None:
    """That is not a wrong one."""
    place.chosen(Protection.PASSPHRASE)
    with pytest.raises(LockedKey, match="needed"):
        place.open().unlock(words)


def test_an_empty_passphrase_is_none(place: Place) -> None:
    """It would look like protection."""
    for words in ("", None):
        with pytest.raises(ValueError, match="empty"):
            place.open().choose(Protection.PASSPHRASE, words)
    assert place.open().state is KeyState.UNDECIDED


def test_an_accent_may_be_composed_in_either_way(place: Place) -> None:
    """Keyboards and systems differ; the user typed the same."""
    place.open().choose(Protection.PASSPHRASE, "caf\u00e9")
    assert place.unlocked("cafe\u0301").state is KeyState.READY


def test_a_changed_passphrase_opens_the_same_keys(place: Place) -> None:
    """The old one opens nothing any more, not even the copy of the key file."""
    keys = place.chosen(Protection.PASSPHRASE)
    key = keys.active()
    with pytest.raises(WrongKey):
        keys.set_passphrase("wrong", "new words")
    with pytest.raises(WrongKey):
        keys.set_passphrase("", "new words")
    with pytest.raises(ValueError, match="empty"):
        keys.set_passphrase(WORDS, "")
    keys.set_passphrase(WORDS, "new words")
    assert keys.active() == key
    assert place.unlocked("new words").active().secret == key.secret
    with pytest.raises(WrongKey):
        place.unlocked(WORDS)
    assert (place.data_dir / "keys").read_bytes() == (place.data_dir / "keys.bak").read_bytes()


def test_a_passphrase_can_be_changed_only_where_there_is_one(place: Place) -> None:
    """Elsewhere it would protect nothing."""
    with pytest.raises(KeyChoiceRefused, match="no passphrase"):
        place.open().set_passphrase("old", "new")
    with pytest.raises(KeyChoiceRefused, match="no passphrase"):
        place.chosen(Protection.INSECURE).set_passphrase("old", "new")


def test_a_machine_that_cannot_stretch_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory is not a wrong passphrase."""
    place.chosen(Protection.PASSPHRASE)

    def refused(*_: object) -> None:
        raise StretchError("it takes 65536 KiB, and there is less")

    monkeypatch.setattr("store.keys.keychain.stretched", refused)
    with pytest.raises(LockedKey, match="65536 KiB"):
        place.unlocked()
    (place.data_dir / "keys").unlink()
    (place.data_dir / "keys.bak").unlink()
    with pytest.raises(KeyChoiceRefused, match="65536 KiB"):
        place.open().choose(Protection.PASSPHRASE, WORDS)


# -- vaults that are not as they should be ---------------------------------------------


@pytest.mark.parametrize("kind", [LockedVault, DenyingVault, BrokenVault, ForgettingVault, TruncatingVault])
def test_a_vault_that_does_not_keep_is_not_relied_on(place: Place, kind: type[MemoryVault]) -> None:
    """The key file names no key that could not be read back."""
    place.vault = kind()
    with pytest.raises((LockedKey, KeyChoiceRefused)) as caught:
        place.chosen(Protection.KEYRING)
    waits = kind in (LockedVault, DenyingVault)
    assert isinstance(caught.value, LockedKey if waits else KeyChoiceRefused)
    assert place.open().state is KeyState.UNDECIDED
    assert not (place.data_dir / "keys").exists()


def test_a_vault_that_must_not_be_used_is_never_asked(place: Place) -> None:
    """What stores nothing answers as if it had lost everything."""
    place.chosen(Protection.KEYRING)
    place.vault.calls.clear()
    place.vault.refuses = "the keyring is switched off"
    keys = place.open()
    with pytest.raises(LockedKey, match="switched off"):
        keys.unlock()
    assert keys.state is KeyState.LOCKED
    with pytest.raises(LockedKey):
        keys.choose(Protection.INSECURE)
    (place.data_dir / "keys").unlink()
    (place.data_dir / "keys.bak").unlink()
    with pytest.raises(KeyChoiceRefused, match="switched off"):
        place.open().choose(Protection.KEYRING)
    assert place.vault.calls == []


@pytest.mark.parametrize("kind", [LockedVault, DenyingVault, BrokenVault])
def test_a_vault_that_cannot_be_asked_has_not_lost_the_key(place: Place, kind: type[MemoryVault]) -> None:
    """Locked, and nothing else: no other key is made, and later it is there."""
    key = place.chosen(Protection.KEYRING).active()
    good = place.vault
    place.vault = kind(good.entries)
    keys = place.open()
    with pytest.raises(LockedKey):
        keys.unlock()
    for protection in KEPT:
        with pytest.raises(LockedKey):
            keys.choose(protection, WORDS)
    assert (keys.state, keys.key_ids) == (KeyState.LOCKED, (key.id,))
    assert good.made("set") == [entry_name(key.id)]
    place.vault = good
    assert place.unlocked().active() == key


def test_a_vault_unlocked_later_is_asked_again(place: Place) -> None:
    """The user answers the prompt when he comes back."""
    key = place.chosen(Protection.KEYRING).active()
    vault = LockedVault(place.vault.entries)
    place.vault = vault
    keys = place.open()
    with pytest.raises(LockedKey):
        keys.unlock()
    vault.unlock()
    keys.unlock()
    assert keys.active() == key


def test_a_lost_entry_is_missing_and_not_made_anew(place: Place) -> None:
    """Files name it; another key would bury them."""
    keys = place.chosen(Protection.KEYRING)
    key, text = keys.active(), place.vault.entries.pop(entry_name(keys.active().id))
    keys = place.open()
    with pytest.raises(MissingKey, match=key.id):
        keys.unlock()
    assert keys.state is KeyState.MISSING
    assert keys.key(key.id) is None
    with pytest.raises(MissingKey):
        keys.active()
    for protection in KEPT:
        with pytest.raises(MissingKey):
            keys.choose(protection, WORDS, named_elsewhere=[key.id])
    assert len(place.vault.made("set")) == 1
    place.vault.entries[entry_name(key.id)] = text
    keys.unlock()
    assert keys.active() == key


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-1], lambda text: text[:32], lambda _: "", lambda _: "??"]
)
def test_a_changed_entry_is_the_wrong_key(place: Place, damage: object) -> None:
    """Cut short, emptied, overwritten by somebody: it is there, and is not it."""
    keys = place.chosen(Protection.KEYRING)
    name = entry_name(keys.active().id)
    assert callable(damage)
    place.vault.entries[name] = damage(place.vault.entries[name])
    keys = place.open()
    with pytest.raises(WrongKey):
        keys.unlock()
    assert keys.state is KeyState.LOCKED


def test_a_stale_answer_is_the_wrong_key(place: Place) -> None:
    """A true secret, of another key."""
    place.vault = StaleVault({"older": "ab" * 32})
    with pytest.raises(KeyChoiceRefused, match="does not give back"):
        place.chosen(Protection.KEYRING)
    place.vault = MemoryVault()
    place.chosen(Protection.KEYRING)
    place.vault = StaleVault({"older": "ab" * 32, **place.vault.entries})
    with pytest.raises(WrongKey):
        place.unlocked()


def test_an_entry_is_never_written_over(place: Place) -> None:
    """A vault that deletes before it adds can then lose only what nothing names yet."""
    place.vault = ReplacingVault()
    keys = place.chosen(Protection.KEYRING)
    first = keys.active()
    vault = place.vault
    assert isinstance(vault, ReplacingVault)
    vault.dies = KeyboardInterrupt
    for change in (lambda: rotation.begin(keys), lambda: keys.choose(Protection.KEYRING)):
        before = dict(vault.entries)
        with suppress(KeyboardInterrupt):
            change()
        assert vault.entries == before
    vault.dies = None
    rotation.begin(keys)
    assert len(vault.made("set")) == len(set(vault.made("set")))
    assert place.unlocked().key(first.id) == first


def test_a_vault_entry_of_the_same_name_is_kept(place: Place) -> None:
    """If it is another secret, the choice is refused and the entry stays."""
    keys = place.chosen(Protection.INSECURE)
    name = entry_name(keys.active().id)
    place.vault.entries[name] = "cd" * 32
    with pytest.raises(KeyChoiceRefused, match="give back"):
        keys.choose(Protection.KEYRING)
    assert place.vault.entries[name] == "cd" * 32
    assert place.unlocked().protection is Protection.INSECURE


# -- choosing again --------------------------------------------------------------------


@pytest.mark.parametrize("after", KEPT)
@pytest.mark.parametrize("before", KEPT)
def test_another_protection_has_the_same_keys(place: Place, before: Protection, after: Protection) -> None:
    """No file has to be sealed anew."""
    keys = place.chosen(before)
    rotation.begin(keys)
    rotation.finish(keys)
    both = {each: keys.key(each) for each in keys.key_ids}
    assert len(both) == 2
    again = place.unlocked()
    again.choose(after, WORDS if after is Protection.PASSPHRASE else None, named_elsewhere=tuple(both))
    last = place.unlocked()
    assert last.protection is after
    for key_id, key in both.items():
        found = last.key(key_id)
        assert found
        assert key
        assert found.secret == key.secret
    if before is Protection.INSECURE is not after:
        for key in both.values():
            assert key
            assert keyfile._text(key.secret).encode() not in place.written()


@pytest.mark.parametrize("protection", KEPT)
def test_no_key_is_made_while_files_name_an_unknown_one(place: Place, protection: Protection) -> None:
    """The key file was lost, or another one put there: a new key would make that final."""
    with pytest.raises(MissingKey, match="0123456789abcdef"):
        place.open().choose(protection, WORDS, named_elsewhere=["0123456789abcdef"])
    assert not list(place.data_dir.iterdir())
    assert place.vault.calls == []
    keys = place.chosen(Protection.INSECURE)
    with pytest.raises(MissingKey):
        keys.choose(protection, WORDS, named_elsewhere=[*keys.key_ids, "0123456789abcdef"])


def test_volatile_is_refused_while_files_need_keys(place: Place) -> None:
    """Their keys would be given up."""
    keys = place.chosen(Protection.INSECURE)
    with pytest.raises(KeyChoiceRefused, match="sealed with its keys") as caught:
        keys.choose(Protection.VOLATILE)
    assert "Export" in caught.value.advice
    assert place.unlocked().state is KeyState.READY


def test_locked_keys_are_not_carried_over(place: Place) -> None:
    """Nor replaced."""
    place.chosen(Protection.PASSPHRASE)
    with pytest.raises(LockedKey):
        place.open().choose(Protection.INSECURE)
    assert place.open().protection is Protection.PASSPHRASE


# -- several processes, and disks that refuse ------------------------------------------


def test_of_two_that_choose_at_once_one_is_told(place: Place) -> None:
    """Or the key of one of them would be lost with everything sealed under it."""
    one, other = place.open(), place.open()
    one.choose(Protection.KEYRING)
    with pytest.raises(Busy, match="just changed"):
        other.choose(Protection.KEYRING)
    assert other.key_ids == one.key_ids
    other.unlock()
    assert other.active() == one.active()
    assert len(place.vault.entries) == 1


def test_while_one_changes_the_keys_another_waits(place: Place) -> None:
    """The lock is the kernel's: it goes with its process."""
    keys = place.chosen(Protection.INSECURE)
    disk = RealDisk()
    handle = disk.open(place.data_dir / "keys.lease")
    assert disk.lock(handle)
    for change in (lambda: keys.choose(Protection.KEYRING), lambda: rotation.begin(keys)):
        with pytest.raises(Busy, match="another process"):
            change()
    disk.close(handle)
    rotation.begin(keys)


def test_what_another_process_did_is_noticed_before_the_next_file(place: Place) -> None:
    """A rotation, a changed passphrase, another protection."""
    for protection in (Protection.KEYRING, Protection.PASSPHRASE, Protection.INSECURE):
        one = place.unlocked()
        one.choose(protection, WORDS if protection is Protection.PASSPHRASE else None)
        other = place.unlocked()
        old = one.active()
        new = rotation.begin(one)
        assert [key.id for key in other.wraps_for_new_files()] == [old.id, new]
        rotation.finish(one)
        assert [key.id for key in other.wraps_for_new_files()] == [new]
        assert other.key(old.id) == old
        rotation.forget(one, old.id, ())
        other.wraps_for_new_files()
        assert other.key(old.id) is None
    one.choose(Protection.PASSPHRASE, WORDS)
    other.refresh()
    one.set_passphrase(WORDS, "new")
    assert [key.id for key in other.wraps_for_new_files()] == [new]


def test_a_locked_vault_does_not_stop_who_has_the_active_key(place: Place) -> None:
    """New files lack the incoming key, and nothing is lost by that: files that name the old one keep it."""
    one, other = place.chosen(Protection.KEYRING), place.unlocked()
    rotation.begin(one)
    other._vault = LockedVault(place.vault.entries)
    assert other.wraps_for_new_files() == (one.active(),)
    rotation.finish(one)
    with pytest.raises(LockedKey):
        other.wraps_for_new_files()


def test_read_only_changes_nothing(place: Place) -> None:
    """Reading works."""
    with pytest.raises(StoreReadOnly):
        place.open(read_only=True).choose(Protection.INSECURE)
    assert not list(place.data_dir.iterdir())
    key = place.chosen(Protection.KEYRING).active()
    (place.data_dir / "keys.bak").unlink()
    keys = place.open(read_only=True)
    keys.unlock()
    assert keys.active() == key
    for change in (lambda: keys.choose(Protection.INSECURE), lambda: rotation.begin(keys)):
        with pytest.raises(StoreReadOnly):
            change()
    assert not (place.data_dir / "keys.bak").exists()


@pytest.mark.parametrize("call", ["create", "open", "write", "sync", "rename", "sync_dir", "lock"])
def test_a_disk_that_refuses_changes_nothing(place: Place, call: str) -> None:
    """The keys of before are there, in memory and on the disk."""
    keys = place.chosen(Protection.INSECURE)
    key = keys.active()
    place.disk.refuse = {call: errno.ENOSPC}
    for change in (lambda: keys.choose(Protection.PASSPHRASE, WORDS), lambda: rotation.begin(keys)):
        with suppress(StoreFull, Busy):  # any other error is one too many
            change()
        assert keys.key(key.id) == key
    place.disk.refuse = {}
    assert place.unlocked().key(key.id) == key
    keys.refresh()
    assert keys.key(key.id) == key


def test_a_failed_change_of_the_passphrase_leaves_one_that_opens(place: Place) -> None:
    """Going on in the same process does not mix old and new."""
    keys = place.chosen(Protection.PASSPHRASE)
    key = keys.active()
    place.disk.refuse = {"write": errno.EIO}
    with pytest.raises(DiskError):
        keys.set_passphrase(WORDS, "new")
    place.disk.refuse = {}
    rotation.begin(keys)
    assert place.unlocked(WORDS).key(key.id) == key
    place.disk.refuse = {"sync_dir": errno.EIO}  # the new file has its name already
    with pytest.raises(DiskError):
        keys.set_passphrase(WORDS, "new")
    place.disk.refuse = {}
    assert keys.active() == key
    assert place.unlocked("new").active() == key
    rotation.finish(keys)
    assert place.unlocked("new").key(key.id) == key


# -- rescue ----------------------------------------------------------------------------


def test_a_damaged_key_file_is_told_and_left(place: Place) -> None:
    """Until somebody asks for a repair; then the copy takes its place, and the damaged one is kept."""
    key = place.chosen(Protection.PASSPHRASE).active()
    path, aside = place.data_dir / "keys", place.data_dir / "keys.1"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Corrupt):
        place.open()
    assert keyfile.restore_copy(place.disk, place.data_dir, aside)
    assert aside.stat().st_size == path.stat().st_size - 9
    assert place.unlocked().active() == key
    path.unlink()
    with pytest.raises(Corrupt, match="gone"):
        place.open()
    assert keyfile.restore_copy(place.disk, place.data_dir, aside)
    assert place.unlocked().active() == key
    path.write_bytes(b"?")
    (place.data_dir / "keys.bak").write_bytes(b"?")
    assert keyfile.restore_copy(place.disk, place.data_dir, aside) is None
    assert path.read_bytes() == b"?"


def test_the_copy_is_made_equal_again(place: Place) -> None:
    """Its writer may have died between the two."""
    place.chosen(Protection.INSECURE)
    copy = place.data_dir / "keys.bak"
    copy.write_bytes(b"older")
    place.unlocked()
    assert copy.read_bytes() == (place.data_dir / "keys").read_bytes()


def test_a_lost_key_file_is_rebuilt_from_the_keyring(place: Place) -> None:
    """Files name their keys, and the names lead to the entries."""
    keys = place.chosen(Protection.KEYRING)
    old = keys.active()
    new = rotation.begin(keys)
    rotation.finish(keys)
    place.vault.entries[entry_name("not-an-id")] = "ef" * 32
    for path in list(place.data_dir.iterdir()):
        path.unlink()
    keys = place.open()
    with pytest.raises(MissingKey, match="none of"):
        rescue.adopt(keys, place.vault, ["0" * 16])
    place.vault.refuses = "switched off"
    with pytest.raises(LockedKey, match="switched off"):
        rescue.adopt(keys, place.vault, [new, old.id])
    place.vault.refuses = None
    assert rescue.adopt(keys, place.vault, [new, "0" * 16, "not-an-id", old.id]) == (new, old.id)
    again = place.unlocked()
    assert (again.active_id, again.key(old.id)) == (new, old)
    assert rescue.adopt(again, place.vault, []) == (new, old.id)


# -- secrets stay secret ---------------------------------------------------------------


@pytest.mark.parametrize("protection", KEPT)
def test_no_secret_is_shown(place: Place, protection: Protection) -> None:
    """Not by a keychain, a key, a key file, or an error on the way."""
    keys = place.chosen(protection)
    secret = keys.active().secret
    file = keyfile.read(place.disk, place.data_dir)
    shown = [repr(keys), str(keys), keys.why, repr(keys.active()), repr(file), repr(keys._stretched)]
    errors: list[BaseException] = []
    place.vault.entries = {name: text[:-2] for name, text in place.vault.entries.items()}
    path = place.data_dir / "keys"
    path.write_bytes(path.read_bytes().replace(b'"id"', b'"ID"'))
    for attempt in (lambda: keys.choose(Protection.KEYRING), place.open, lambda: keys.unlock("wrong")):
        try:
            attempt()
        except StoreError as exc:
            errors.append(exc)
    assert errors
    for error in errors:
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 -- our own bytes
        reasons: list[BaseException | None] = [error, error.__cause__, error.__context__]
        shown += [f"{reason!r} {reason}" for reason in reasons]
    for text in shown:
        for spelled in (secret.hex(), secret.hex()[:-2], keyfile._text(secret), repr(secret)[2:-1], WORDS):
            assert spelled not in text


def test_a_refused_choice_says_what_to_do() -> None:
    """Like every error here, and it survives a pipe between processes."""
    refused = KeyChoiceRefused("the keyring is switched off")
    assert "passphrase" in str(refused)
    assert str(pickle.loads(pickle.dumps(refused))) == str(refused)  # noqa: S301 -- our own bytes
    assert str(VaultUnavailable("none")) == "none"
