"""Repairing: what is true stays, what is damaged moves, nothing is deleted, and nothing happens by itself."""

from __future__ import annotations

import shutil
from errno import EACCES, EPERM
from pathlib import Path

import pytest

from commanding import files, flip, snapshots, work
from journals import Logging
from shelves import OTHER, SID, begun, code, evaluated, shelf, typed
from store.disk import RealDisk
from store.documents import dump, new_document
from store.errors import StoreUnreadable
from store.keys import Keychain
from store.outcomes import Busy, Outcome
from store.sealed import FileIdentity, Kind, seal_snapshot
from store.sessions import Sessions
from store.sessions.repair import Report, repair, verify
from vaults import MemoryVault


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """A session of three generations, and a log behind the newest."""
    found = shelf(tmp_path / "data")
    work(found)
    opened = found.open(SID)
    opened.edit(evaluated(9))
    opened.save()
    opened.close(compact=False)
    return found


def of_session(sessions: Sessions) -> list[Path]:
    """Every file of the session."""
    return sorted(path for path in sessions.places.sessions.glob(f"{SID}-*"))


def quarantined(sessions: Sessions) -> list[bytes]:
    """What was put aside."""
    where = sessions.directories.quarantine
    return [path.read_bytes() for path in where.iterdir()] if where.exists() else []


def test_a_sound_session_is_left_alone(sessions: Sessions) -> None:
    """Nothing is found, nothing is changed, no generation is begun."""
    before = files(sessions.places.data_dir)
    report = repair(sessions, SID, acknowledged=5)
    assert (report.sound, report.repaired, report.checked) == (True, False, len(of_session(sessions)))
    assert files(sessions.places.data_dir) == before


def test_looking_asks_the_disk_for_nothing_but_bytes(sessions: Sessions) -> None:
    """Whatever is found."""
    flip(snapshots(sessions.places.data_dir)[-1])
    disk = Logging()
    looking = shelf(sessions.places.data_dir, disk)
    disk.log.clear()
    assert not verify(looking, SID).sound
    assert {call for call, _ in disk.log} <= {"read", "listing"}


@pytest.mark.parametrize("which", range(6))
def test_one_damaged_file_costs_nothing(sessions: Sessions, which: int) -> None:
    """Whichever it is: the state is the same, the damaged bytes are in quarantine, and then all is sound."""
    everything = of_session(sessions)
    assert len(everything) == 6
    before = sessions.read(SID).state
    path = everything[which]
    flip(path)
    damaged = path.read_bytes()
    report = repair(sessions, SID, acknowledged=5)
    newest_log = path == everything[-2]
    if not newest_log:  # the last edit of the last log is nowhere else
        assert sessions.read(SID).state == before
        assert report.receipt is not None
        assert report.receipt.missing == 0
    assert [each.file for each in report.findings] == [path.name] or path.suffix == ".edits"
    kept = quarantined(sessions)
    assert damaged in kept or any(data and damaged.endswith(data) for data in kept) or not report.findings
    again = verify(sessions, SID, acknowledged=5)
    assert again.sound, again


def test_a_torn_log_that_a_later_snapshot_covers_is_no_damage(sessions: Sessions) -> None:
    """A crash leaves such ends; the bytes in question were never acknowledged, or are in the snapshot."""
    opened = sessions.open(SID)
    opened.close()
    logs = [path for path in of_session(sessions) if path.suffix == ".edits"]
    with logs[0].open("ab") as log:
        log.write(b"half a rec")
    assert verify(sessions, SID).sound


def test_a_true_beginning_of_a_log_is_kept(sessions: Sessions) -> None:
    """Records behind a damaged one are set aside, those in front of it stay where they lead on."""
    opened = sessions.open(SID)
    for number in range(20, 24):
        opened.edit(evaluated(number))
        opened.write()
    opened.save()
    opened.close(compact=False)
    log = max(path for path in of_session(sessions) if path.suffix == ".edits")
    flip(log, log.stat().st_size // 2 + 60)
    size = log.stat().st_size
    report = repair(sessions, SID)
    assert [each.file for each in report.findings] == [log.name]
    assert report.findings[0].kept is not None
    assert 0 < log.stat().st_size < size
    assert verify(sessions, SID).sound
    assert [each["id"] for each in sessions.read(SID).state["evaluations"]][:3] == ["e1", "e9", "e20"]


def test_all_damaged_goes_aside_together_and_the_image_can_begin_anew(sessions: Sessions) -> None:
    """Every byte is kept."""
    for path in of_session(sessions):
        flip(path, 30)
    damaged = [path.read_bytes() for path in of_session(sessions)]
    report = repair(sessions, SID)
    assert (report.repaired, report.receipt) == (True, None)
    assert sorted(quarantined(sessions)) == sorted(damaged)
    assert of_session(sessions) == []
    opened = begun(sessions)
    opened.edit(typed("anew"))
    opened.close()
    assert code(sessions.read(SID).state) == "anew"


def test_an_upgrade_backup_is_brought_back_where_nothing_else_is_true(sessions: Sessions) -> None:
    """The last snapshot of an older format, under a snapshot's name again."""
    oldest = snapshots(sessions.places.data_dir)[0]
    backup = oldest.with_name(f"{SID}-00000001.v0")
    shutil.copy(oldest, backup)
    for path in of_session(sessions):
        if path != backup:
            flip(path, 30)
    report = repair(sessions, SID)
    assert report.repaired
    assert report.receipt is not None
    assert sessions.read(SID).state["evaluations"][0]["id"] == "e1"
    assert backup.exists()
    assert verify(sessions, SID).sound


def test_swapped_files_are_set_aside(sessions: Sessions) -> None:
    """True files under each other's names are not used, and not called damaged."""
    first, second = snapshots(sessions.places.data_dir)[-2:]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    before = verify(sessions, SID)
    assert {each.outcome for each in before.findings} == {Outcome.REORDERED}
    report = repair(sessions, SID)
    assert report.repaired
    assert sorted(quarantined(sessions)) == sorted([one, other])
    assert verify(sessions, SID).sound


def test_an_older_state_is_only_accepted_when_asked(sessions: Sessions) -> None:
    """Rolled back: told and left alone; accepted: the next opening has nothing to complain of."""
    before = files(sessions.places.data_dir)
    report = repair(sessions, SID, acknowledged=50)
    assert (report.outcome, report.repaired) == (Outcome.ROLLED_BACK, False)
    assert files(sessions.places.data_dir) == before
    assert repair(sessions, SID, acknowledged=50, accept_rollback=True).repaired
    assert repair(sessions, SID, acknowledged=50).sound
    sessions.open(SID, acknowledged=50).close()


@pytest.mark.parametrize("closed", ["-00000003.session", "-00000003.edits", "-00000001.session", SID])
@pytest.mark.parametrize("number", [EACCES, EPERM])
def test_what_this_user_may_not_read_is_not_damaged(sessions: Sessions, closed: str, number: int) -> None:
    """Nobody knows what stands there. It is named as such, nothing is moved, and no older state is taken."""

    class Closed(RealDisk):
        shut = True

        def read(self, path: Path, limit: int) -> bytes:
            if self.shut and closed in path.name:
                raise PermissionError(number, "closed to us", str(path))
            return super().read(path, limit)

    disk = Closed()
    shut = shelf(sessions.places.data_dir, disk)
    before = files(sessions.places.data_dir)
    for report in (verify(shut, SID, acknowledged=5), repair(shut, SID, acknowledged=5)):
        assert isinstance(report.problem, StoreUnreadable)
        assert report.problem.errno == number
        assert "give it this user as owner" in str(report.problem)
        assert (report.sound, report.repaired, report.findings) == (False, False, ())
    if closed != "-00000001.session":  # which no opening needs
        with pytest.raises(StoreUnreadable):
            shut.open(SID)
    assert files(sessions.places.data_dir) == before
    disk.shut = False
    assert repair(shut, SID, acknowledged=5).sound


def test_what_a_key_would_open_is_not_damaged(sessions: Sessions, tmp_path: Path) -> None:
    """A missing key, a wrong one: named, and not a byte moved."""
    other = shelf(tmp_path / "other", seed=9)
    shutil.copytree(sessions.places.sessions, other.places.sessions)
    before = files(tmp_path / "other")
    report = repair(other, SID)
    assert (report.outcome, report.repaired) == (Outcome.MISSING_KEY, False)
    assert {each.outcome for each in report.findings} == {Outcome.MISSING_KEY}
    assert files(tmp_path / "other") == before


def test_one_file_that_another_key_would_open_stays_where_it_is(sessions: Sessions, tmp_path: Path) -> None:
    """The session is usable without it; it is named each time, and not taken for damaged."""
    other = shelf(tmp_path / "other", seed=9)
    work(other)
    shutil.copy(snapshots(tmp_path / "other")[0], snapshots(sessions.places.data_dir)[0])
    for _ in range(2):
        report = repair(sessions, SID)
        assert [each.outcome for each in report.findings] == [Outcome.MISSING_KEY]
        assert (report.repaired, report.problem) == (False, None)
    assert (
        snapshots(sessions.places.data_dir)[0].read_bytes() == snapshots(tmp_path / "other")[0].read_bytes()
    )


def test_the_newest_state_is_safe_before_anything_is_moved(sessions: Sessions) -> None:
    """A generation of its own first; then the files it does not need."""
    damaged = snapshots(sessions.places.data_dir)[0]
    flip(damaged)
    disk = Logging()
    assert repair(shelf(sessions.places.data_dir, disk), SID).repaired
    renamed = [name for _, name in disk.calls("rename")]
    begun_first = [name for name in renamed if name.endswith(".session.part")]
    assert renamed.index(begun_first[0]) < renamed.index(damaged.name)


def test_a_locked_key_is_named(sessions: Sessions) -> None:
    """Nothing is looked at before."""
    data_dir = sessions.places.data_dir
    keychain = Keychain.open(data_dir, sessions.directories.disk, MemoryVault())
    locked = Sessions(
        data_dir,
        sessions.directories.disk,
        keychain,
        owner=sessions._owner,
        wall=lambda: 1.0,
        entropy=bytes,
    )
    assert repair(locked, SID).outcome is Outcome.LOCKED_KEY


def test_a_later_version_is_not_damage(sessions: Sessions) -> None:
    """A document of tomorrow stays where it is."""
    document = {**new_document(SID, "i", "e", 1.0), "format": 99}
    identity = FileIdentity(Kind.SNAPSHOT, SID, 9, "a" * 32)
    keys = sessions.keychain.wraps_for_new_files()
    path = sessions.places.sessions / f"{SID}-00000009.session"
    path.write_bytes(seal_snapshot(identity, {"revision": 99}, dump(document), keys, bytes))
    before = files(sessions.places.data_dir)
    report = repair(sessions, SID)
    assert (report.outcome, report.repaired) == (Outcome.TOO_NEW, False)
    assert files(sessions.places.data_dir) == before


def test_what_somebody_else_has_open_is_not_repaired(sessions: Sessions) -> None:
    """Busy, and nothing moves."""
    flip(snapshots(sessions.places.data_dir)[0])
    opened = sessions.open(SID)
    before = files(sessions.places.data_dir)
    report = repair(sessions, SID)
    assert isinstance(report.problem, Busy)
    assert files(sessions.places.data_dir) == before
    opened.close()


def test_an_archived_session_is_looked_at_and_left_there(sessions: Sessions) -> None:
    """Bringing it back is another decision."""
    sessions.archive(SID)
    assert verify(sessions, SID).sound
    flip(next(sessions.places.archive.glob(f"{SID}-00000001.session")))
    before = files(sessions.places.data_dir)
    report: Report = repair(sessions, SID)
    assert (report.archived, report.sound, report.repaired) == (True, False, False)
    assert files(sessions.places.data_dir) == before


def test_one_sessions_repair_touches_no_other(sessions: Sessions) -> None:
    """By name."""
    work(sessions, OTHER, "10.0.0.9:5555")
    flip(snapshots(sessions.places.data_dir)[-1])
    theirs = {name: data for name, data in files(sessions.places.data_dir).items() if OTHER in name}
    repair(sessions, SID)
    assert theirs.items() <= files(sessions.places.data_dir).items()
