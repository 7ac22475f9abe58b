"""Damage, file by file: each flip and cut is noticed, named, survived where another file knows, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crash_states import DATA
from session_crashes import lost, process
from shelves import OTHER, SID, begun, code, typed
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Medium
from store.documents import State
from store.keys import Keychain, Protection
from store.outcomes import Corrupt, MissingKey, Outcome, RolledBack, SessionError, TooNew
from store.sealed.envelope import MAGIC
from store.sessions import Sessions
from vaults import MemoryVault

SESSIONS = DATA / "sessions"


def file(generation: int, kind: str, session: str = SID) -> Path:
    """Return the path of one file."""
    return SESSIONS / f"{session}-{generation:08d}.{kind}"


@dataclass(frozen=True)
class Written:
    """A data directory, and what is in it.

    Attributes:
        states: the session's document by revision.
    """

    medium: Medium
    vault: MemoryVault
    states: dict[int, State]

    def opened(self, changes: dict[Path, bytes | None]) -> tuple[Sessions, VirtualDisk]:
        """Return the sessions of a directory in which some files are others."""
        files = {path: data for path, data in {**self.medium.files, **changes}.items() if data is not None}
        disk = VirtualDisk(Medium(files, self.medium.dirs))
        return process(disk, self.vault, Protection.KEYRING, seed=77), disk


@pytest.fixture(scope="module")
def written() -> Written:
    """Two sessions; the first has three generations, each with a log."""
    disk, vault = VirtualDisk(Medium(dirs=frozenset({DATA.parent}))), MemoryVault()
    sessions = process(disk, vault, Protection.KEYRING)
    states: dict[int, State] = {}
    session = begun(sessions)
    for revision in range(1, 7):
        session.edit(typed(f"text {revision}", f"w{revision}"))
        session.save()
        states[revision] = session.state
        if revision in (2, 4):
            session._snapshot(session.state, session.revision)
    session._lease.release()
    other = begun(sessions, OTHER)
    other.edit(typed("other"))
    other.save()
    other.edit(typed("other", "w2"))
    other.save()
    other._lease.release()
    names = {path.name[33:] for path in disk.medium().files if path.name.startswith(f"{SID}-")}
    assert names == {f"0000000{n}.{kind}" for n in (1, 2, 3) for kind in ("session", "edits")}
    return Written(disk.medium(), vault, states)


def flips(data: bytes, step: int = 1) -> Iterator[bytes]:
    """Return it with each bit changed, or of each so-manieth byte one."""
    for place in range(0, len(data), step):
        for bit in range(8) if step == 1 else (place % 8,):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def cuts(data: bytes) -> Iterator[bytes]:
    """Return every beginning of it."""
    for size in range(len(data)):
        yield data[:size]


def blocks(data: bytes) -> Iterator[bytes]:
    """Return it with a block of zeros, one twice, one missing, two exchanged, and something behind it."""
    for size in (16, 64, 512):
        for place in range(0, len(data), size):
            block, rest = data[place : place + size], data[place + size :]
            yield data[:place] + bytes(len(block)) + rest
            yield data[:place] + block + block + rest
            if rest:
                yield data[:place] + rest
                yield data[:place] + rest[:size] + block + rest[size:]
    yield data + b"\0"
    yield data + data


def everything(data: bytes) -> Iterator[bytes]:
    """Return all damages; every second bit flipped, so that both halves of a file are met alike."""
    yield from (each for each in (*flips(data, 3), *cuts(data), *blocks(data)) if each != data)


def judged(written: Written, path: Path, data: bytes, *, least: int, most: int) -> None:
    """Open with one damaged file, and see: the revision, the finding, the bytes, and all of it only once."""
    sessions, disk = written.opened({path: data})
    before = disk.medium()
    try:
        session = sessions.open(SID, acknowledged=6)
    except RolledBack:
        # Cut off exactly between two records, a log says nothing of those that are missing.
        assert path == file(3, "edits")
        session = sessions.open(SID, acknowledged=6, accept_rollback=True)
    receipt = session.receipt
    assert least <= receipt.revision <= most
    assert session.state == written.states[receipt.revision]
    assert (receipt.missing or receipt.rolled_back) == (receipt.revision < 6) or receipt.missing > 0
    assert not lost(before, disk.medium())
    if path == file(3, "session"):
        (finding,) = receipt.findings
        assert (finding.file, finding.outcome) == (path.name, Outcome.CORRUPT)
        assert finding.kept is not None
        assert disk.medium().files[finding.kept] == data
    after = disk.medium()
    disk.kill()
    again = process(disk, written.vault, Protection.KEYRING, seed=78).open(SID, acknowledged=6)
    assert (again.state, disk.medium()) == (session.state, after)


def test_a_damaged_newest_snapshot_costs_nothing(written: Written) -> None:
    """The one before it, its log, and the newest log say the same."""
    path = file(3, "session")
    for data in everything(written.medium.files[path]):
        judged(written, path, data, least=6, most=6)


def test_a_damaged_newest_log_costs_what_only_it_knew(written: Written) -> None:
    """Up to the first false record everything is there."""
    path = file(3, "edits")
    for data in everything(written.medium.files[path]):
        judged(written, path, data, least=4, most=6)


@pytest.mark.parametrize("kind", ["session", "edits"])
@pytest.mark.parametrize("generation", [1, 2])
def test_damaged_older_files_cost_nothing(written: Written, generation: int, kind: str) -> None:
    """They are not even read, as long as the newest snapshot is true."""
    path = file(generation, kind)
    for data in list(everything(written.medium.files[path]))[::7]:
        judged(written, path, data, least=6, most=6)


class Patched(VirtualDisk):
    """Reads one file as something else."""

    path = Path()
    data = b""

    def read(self, path: Path, limit: int) -> bytes:
        """Return the beginning of a file, or of what stands for it."""
        return self.data[:limit] if path == self.path else super().read(path, limit)


@pytest.mark.parametrize(("kind", "least"), [("session", 6), ("edits", 4)])
def test_every_single_bit_of_the_newest_files_counts(written: Written, kind: str, least: int) -> None:
    """None can be changed unnoticed; reading is enough to see that."""
    path, disk = file(3, kind), Patched(written.medium)
    sessions = process(disk, written.vault, Protection.KEYRING)
    for data in flips(written.medium.files[path]):
        disk.path, disk.data = path, data
        found = sessions.read(SID)
        assert [each.file for each in found.receipt.findings] == [path.name]
        assert found.receipt.revision >= least
        assert found.state == written.states[found.receipt.revision]


@pytest.mark.parametrize("name", ["keys", "keys.bak"])
def test_a_damaged_key_file_is_named_and_touched_by_nobody(written: Written, name: str) -> None:
    """Corrupt, and never as if there were no keys; the copy alone is mended from the key file."""
    path = DATA / name
    for data in everything(written.medium.files[path]):
        if name == "keys":
            disk = VirtualDisk(Medium({**written.medium.files, path: data}, written.medium.dirs))
            before = disk.medium()
            with pytest.raises((Corrupt, TooNew)):
                Keychain.open(DATA, disk, written.vault)
            assert disk.medium() == before
        else:
            sessions, disk = written.opened({path: data})
            assert sessions.read(SID).state == written.states[6]
            assert disk.medium().files[path] == disk.medium().files[DATA / "keys"]


@pytest.mark.parametrize("kind", ["session", "edits"])
def test_swapped_files_are_known_for_what_they_are(written: Written, kind: str) -> None:
    """Another session's, or another generation's: true, and not this one. Kept, and done without."""
    path = file(3, kind)
    for source in (file(1, kind, OTHER), file(1, kind), file(2, kind)):
        sessions, disk = written.opened({path: written.medium.files[source]})
        before = disk.medium()
        session = sessions.open(SID, acknowledged=6 if kind == "session" else 0)
        (finding,) = session.receipt.findings
        assert (finding.file, finding.outcome) == (path.name, Outcome.REORDERED)
        assert session.state == written.states[6 if kind == "session" else 4]
        assert not lost(before, disk.medium())


def test_a_log_for_a_snapshot_and_the_reverse_are_known(written: Written) -> None:
    """By what they are for, not by their names."""
    path = file(3, "session")
    sessions, _ = written.opened({path: written.medium.files[file(3, "edits")]})
    found = sessions.read(SID)
    assert [each.outcome for each in found.receipt.findings] == [Outcome.REORDERED]
    assert found.state == written.states[6]


ROLLED_BACK: dict[str, dict[Path, Callable[[Written], bytes | None]]] = {
    "the whole directory": {
        file(3, "session"): lambda _: None,
        file(3, "edits"): lambda _: None,
    },
    "the newest log is gone": {file(3, "edits"): lambda _: None},
    "old snapshots under a new log": {
        file(2, "session"): lambda _: None,
        file(3, "session"): lambda _: None,
        file(1, "edits"): lambda _: None,
        file(2, "edits"): lambda _: None,
    },
}


@pytest.mark.parametrize("case", ROLLED_BACK)
def test_an_older_state_put_back_is_called_rolled_back(written: Written, case: str) -> None:
    """Whole and old: said before anything is missed, and nothing is changed before the user decides."""
    sessions, disk = written.opened({path: give(written) for path, give in ROLLED_BACK[case].items()})
    before = {path: data for path, data in disk.medium().files.items() if path.suffix != ".lease"}
    with pytest.raises(RolledBack, match="but 6 was saved"):
        sessions.open(SID, acknowledged=6)
    assert before == {path: data for path, data in disk.medium().files.items() if path.suffix != ".lease"}
    accepted = sessions.open(SID, acknowledged=6, accept_rollback=True)
    assert accepted.receipt.rolled_back
    assert accepted.state == written.states[accepted.receipt.revision]
    assert accepted.edit(typed("on")) == 7
    assert not lost(Medium(before), disk.medium())


def test_an_old_snapshot_of_the_same_name_is_rolled_back_too() -> None:
    """Put back where a newer one of its generation was, with the log of the newer one."""
    disk, vault = VirtualDisk(Medium(dirs=frozenset({DATA.parent}))), MemoryVault()
    session = begun(process(disk, vault, Protection.KEYRING))
    session.edit(typed("one"))
    session.save()
    old = disk.medium().files[file(1, "session")]
    session.edit(typed("two"))
    session.close()
    session = process(disk, vault, Protection.KEYRING, seed=5).open(SID)
    session.edit(typed("three"))
    session.save()
    new = Written(disk.medium(), vault, {})
    sessions, _ = new.opened({file(1, "session"): old, file(2, "session"): None, file(1, "edits"): None})
    with pytest.raises(RolledBack, match="revision 1, but 3 was saved"):
        sessions.open(SID, acknowledged=3)
    accepted = sessions.open(SID, acknowledged=3, accept_rollback=True)
    assert [each.outcome for each in accepted.receipt.findings] == [Outcome.REORDERED]
    assert code(accepted.state) == "one"


def test_files_of_another_key_are_not_damaged(written: Written) -> None:
    """The key is missing: said by name, nothing moved, nothing older taken for it."""
    stranger = VirtualDisk(Medium(dirs=frozenset({DATA.parent})))
    session = begun(process(stranger, MemoryVault(), Protection.KEYRING, seed=9))
    session.edit(typed("another"))
    session.save()
    data = stranger.medium().files[file(1, "session")]
    sessions, disk = written.opened({file(4, "session"): data, file(3, "session"): data})
    before = disk.medium()
    with pytest.raises(MissingKey):
        sessions.open(SID, acknowledged=6)
    assert {path for path in disk.medium().files if path.suffix != ".lease"} == {
        path for path in before.files if path.suffix != ".lease"
    }


def test_a_later_format_is_not_damage(written: Written) -> None:
    """Too new: said so, and left alone."""
    path = file(3, "session")
    data = bytearray(written.medium.files[path])
    data[len(MAGIC)] = 2  # the version; whatever follows is that version's affair
    data[len(MAGIC) + 2 :] = b"?" * (len(data) - len(MAGIC) - 2)
    sessions, disk = written.opened({path: bytes(data)})
    with pytest.raises(TooNew):
        sessions.open(SID, acknowledged=6)
    assert disk.medium().files[path] == bytes(data)
    assert not list(disk.listing(DATA / "quarantine")) if DATA / "quarantine" in disk.medium().dirs else True


def test_with_nothing_true_left_it_is_corrupt_and_all_of_it_stays(written: Written) -> None:
    """No snapshot can be used: said so; nothing is begun over it."""
    changes = {file(n, "session"): b"\0" * 100 for n in (1, 2, 3)}
    sessions, disk = written.opened(dict(changes))
    before = disk.medium()
    for ask in (sessions.open, sessions.read, lambda session: sessions.create(session, "i", "e")):
        with pytest.raises(SessionError) as caught:
            ask(SID)
        assert caught.value.outcome is Outcome.CORRUPT
    assert not lost(before, disk.medium())
