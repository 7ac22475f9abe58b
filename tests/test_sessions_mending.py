"""Mistakes that the enumeration of crash states, or thinking about it, found: each stays mended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from crash_states import DATA, EMPTY
from session_crashes import COPY
from shelves import OTHER, SID, begun, code, evaluated, shelf, typed
from simulations.virtual.disk import VirtualDisk
from store.disk import RealDisk
from store.documents import Patch
from store.errors import DiskError
from store.outcomes import Corrupt, Outcome, RolledBack
from store.sessions import Session, Sessions


def names(data_dir: Path, directory: str = "sessions") -> list[str]:
    """Return what stands there, without locks."""
    found = sorted(p.name for p in (data_dir / directory).iterdir() if p.suffix != ".lease")
    return [name.removeprefix(SID) for name in found]


def worked(sessions: Sessions, generations: int = 4) -> Session:
    """Return a session of so many generations, each with a log, saved and not closed."""
    session = begun(sessions)
    for number in range(generations):
        if number:
            session.become(session.state)
            session.save()
        session.edit(typed(f"text {number}", f"w{number}"))
        session.save()
    return session


def damage(path: Path) -> None:
    """Flip a bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("ask", [Session.write, Session.save])
def test_after_a_failed_write_the_next_one_writes_everything(ask: Callable[[Session], int]) -> None:
    """It said so, and returned the revision with nothing written: the edit was gone with the process."""
    disk = VirtualDisk(EMPTY)
    session = begun(shelf(DATA, disk))
    session.edit(typed("one"))
    session.save()
    session.edit(typed("two"))
    disk.full, disk.slack_bytes = True, 0
    with pytest.raises(DiskError):
        session.write()
    assert session.written == 1
    disk.full = False
    assert ask(session) == 2
    assert session.written == 2
    disk.kill()
    assert code(shelf(DATA, disk).open(SID).state) == "two"


def test_a_document_that_was_replaced_is_handed_over_by_write(tmp_path: Path) -> None:
    """There is no edit to be logged, and still something to be written."""
    session = begun(shelf(tmp_path))
    session.edit(typed("one"))
    session.save()
    session.become({**session.state, "unsent_input": "replaced"})
    assert session.write() == session.written == 2
    session._lease.release()
    assert shelf(tmp_path).open(SID).state["unsent_input"] == "replaced"


def test_a_log_without_a_byte_does_not_stop_the_next_writer(tmp_path: Path) -> None:
    """Its writer died between making and writing it; its name is taken, so that a generation begins."""
    session = begun(shelf(tmp_path))
    session.edit(typed("one"))
    session.close()
    (tmp_path / "sessions" / f"{SID}-00000001.edits").touch()
    again = shelf(tmp_path).open(SID)
    assert again.receipt.clean
    again.edit(typed("two"))
    assert again.write() == 2
    again._lease.release()
    assert code(shelf(tmp_path).open(SID).state) == "two"


def test_logs_that_follow_what_is_missing_are_kept(tmp_path: Path) -> None:
    """They cannot be replayed; their generation's removal would have destroyed them."""
    session = worked(shelf(tmp_path))
    session._lease.release()
    here = tmp_path / "sessions"
    logs = [(here / f"{SID}-0000000{n}.edits").read_bytes() for n in (2, 3, 4)]
    for number in (2, 3, 4):
        damage(here / f"{SID}-0000000{number}.session")
    again = shelf(tmp_path).open(SID, acknowledged=session.revision)
    assert (again.receipt.revision, again.receipt.missing) == (1, 6)
    outcomes = [(each.file.removeprefix(SID), each.outcome) for each in again.receipt.findings]
    assert outcomes == [(f"-0000000{n}.session", Outcome.CORRUPT) for n in (2, 3, 4)] + [
        (f"-0000000{n}.edits", Outcome.REORDERED) for n in (2, 3, 4)
    ]
    kept = [p.read_bytes() for p in (tmp_path / "quarantine").iterdir()]
    assert all(log in kept for log in logs)


def test_what_was_found_missing_once_is_not_called_rolled_back_later(tmp_path: Path) -> None:
    """The damaged files are in quarantine then, and what is left looks whole and old."""
    session = worked(shelf(tmp_path), 2)
    session._lease.release()
    damage(tmp_path / "sessions" / f"{SID}-00000002.session")
    again = shelf(tmp_path).open(SID, acknowledged=session.revision)
    assert again.receipt.missing == 2
    again._lease.release()  # killed before it was asked to save anything
    third = shelf(tmp_path).open(SID, acknowledged=session.revision)
    assert (third.state, third.receipt.clean) == (again.state, True)


def test_going_back_gives_no_revision_a_second_time(tmp_path: Path) -> None:
    """Or the way back looks rolled back itself, and later logs fit states they do not belong to."""
    session = worked(shelf(tmp_path))
    session._lease.release()
    back = shelf(tmp_path).open(SID, generation=2)
    assert back.edit(typed("after")) == session.revision + 2
    back.save()
    back.edit(typed("later"))
    back.save()
    back._lease.release()
    again = shelf(tmp_path).open(SID, acknowledged=session.revision)
    assert (code(again.state), code(again.state, "w3")) == ("later", None)
    again._lease.release()
    damage(tmp_path / "sessions" / f"{SID}-00000005.session")
    fallen = shelf(tmp_path).open(SID, acknowledged=again.revision)
    assert fallen.state == session.state
    assert fallen.receipt.missing == again.revision - session.revision


def test_an_older_snapshot_under_newer_logs_is_an_older_copy(tmp_path: Path) -> None:
    """Nothing is damaged: the user decides, and the files may still come back."""
    session = worked(shelf(tmp_path))
    session._lease.release()
    here = tmp_path / "sessions"
    for number in (2, 3, 4):
        (here / f"{SID}-0000000{number}.session").unlink()
    before = names(tmp_path)
    with pytest.raises(RolledBack, match="revision 1, but 7 was saved"):
        shelf(tmp_path).open(SID, acknowledged=7)
    assert names(tmp_path) == before
    assert shelf(tmp_path).open(SID, acknowledged=7, accept_rollback=True).receipt.rolled_back


def test_a_log_whose_snapshot_is_gone_is_removed_with_its_time(tmp_path: Path) -> None:
    """A power cut may take the one removal and leave the other."""
    sessions = shelf(tmp_path)
    session = worked(sessions, 5)
    (tmp_path / "sessions" / f"{SID}-00000002.session").unlink()
    sessions.prune(session)
    assert names(tmp_path) == [f"-0000000{n}.{kind}" for n in (3, 4, 5) for kind in ("edits", "session")]


def test_a_copy_is_counted_once_however_often_its_merge_is_cut_off(tmp_path: Path) -> None:
    """Saved, and the copy not put away: what was added up must not be added again."""
    first = begun(shelf(tmp_path))
    first.edit(typed("base"), Patch("statistics", {"evaluations": 5}))
    first.save()
    copy = shelf(tmp_path, seed=1).copy(SID, COPY)
    first.edit(Patch("statistics", {"evaluations": 7}), evaluated(1))
    copy.edit(Patch("statistics", {"evaluations": 8}), evaluated(2), typed("theirs"))
    first.close()
    copy.close()
    files = {p: p.read_bytes() for p in (tmp_path / "sessions").glob(f"{COPY}-*")}
    merged = shelf(tmp_path, seed=2).open(SID)
    assert merged.state["statistics"]["evaluations"] == 10
    state = merged.state
    merged.close()
    for path, data in files.items():
        path.write_bytes(data)
    again = shelf(tmp_path, seed=3).open(SID)
    assert again.state == state
    assert again.receipt.merged == (COPY,)
    assert not list((tmp_path / "sessions").glob(f"{COPY}-*"))


class KilledError(BaseException):
    """The process is gone."""


class FewRenames(RealDisk):
    """Its process is killed at a chosen rename."""

    left = 10**6

    def rename(self, old: Path, new: Path) -> None:
        """Rename, or die."""
        self.left -= 1
        if self.left < 0:
            raise KilledError
        super().rename(old, new)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("renames", range(9))
def test_a_move_that_is_cut_short_is_found_whole(tmp_path: Path, renames: int, back: bool) -> None:  # noqa: FBT001 -- a case
    """After a kill at any rename, whoever looks finds the last state, or is told that there is none."""
    disk = FewRenames()
    sessions = shelf(tmp_path, disk)
    session = worked(sessions)
    session._lease.release()
    if back:
        sessions.archive(SID)
    disk.left = renames
    with suppress(KilledError):
        (sessions.unarchive if back else sessions.archive)(SID)
    disk.left = 10**6
    if any(each.readable for each in sessions.listing()):
        assert sessions.read(SID).state == session.state
        opened = shelf(tmp_path).open(SID, acknowledged=session.revision)
        assert (opened.state, opened.receipt.findings) == (session.state, ())
        assert not list((tmp_path / "archive").iterdir())
    else:
        with pytest.raises(Corrupt, match="no snapshot"):
            sessions.read(SID)
        sessions.unarchive(SID)
        assert sessions.read(SID).state == session.state


def test_two_files_of_one_name_are_both_kept_by_a_move(tmp_path: Path) -> None:
    """Somebody put one there by hand."""
    sessions = shelf(tmp_path)
    for session in (SID, OTHER):
        one = begun(sessions, session)
        one.edit(typed(session))
        one.close()
    sessions.archive(SID)
    there = tmp_path / "archive" / f"{SID}-00000001.session"
    (tmp_path / "sessions" / there.name).write_bytes(b"by hand")
    data = there.read_bytes()
    sessions.unarchive(SID)
    assert (tmp_path / "sessions" / there.name).read_bytes() == b"by hand"
    assert [p.read_bytes() for p in (tmp_path / "quarantine").iterdir()] == [data]
