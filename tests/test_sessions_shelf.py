"""All sessions of a directory: listed without a key, copied and merged, put away and taken over."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shelves import ENDPOINT, IMAGE, OTHER, SID, begun, code, evaluated, shelf, typed
from store.outcomes import Busy, Corrupt, LockedKey, RolledBack
from store.sealed import FileIdentity, Kind, seal_snapshot
from store.sessions import Owner, Sessions

ROOT = Path(__file__).parent

COPY = "c" * 32


def written(sessions: Sessions, session: str, text: str) -> None:
    """Leave a session that says this."""
    one = begun(sessions, session)
    one.edit(typed(text))
    one.close()


def test_sessions_are_listed_without_a_key(tmp_path: Path) -> None:
    """What they are about, how far they are, how much they take; the one saved last comes first."""
    times = iter(range(100, 1000))
    sessions = shelf(tmp_path, wall=lambda: float(next(times)))
    written(sessions, SID, "one")
    written(sessions, OTHER, "two")
    locked = shelf(tmp_path)
    locked.keychain.lock()
    listed = locked.listing()
    assert [each.session for each in listed] == [OTHER, SID]
    assert {(each.image, each.endpoint, each.revision, each.readable) for each in listed} == {
        (IMAGE, ENDPOINT, 1, True)
    }
    files = [
        p for p in (tmp_path / "sessions").iterdir() if p.name.startswith(SID) and p.suffix == ".session"
    ]
    assert listed[1].size == sum(p.stat().st_size for p in files)


def test_nobody_else_may_read_anything(tmp_path: Path) -> None:
    """Directories 0700, files 0600."""
    written(shelf(tmp_path), SID, "one")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*") if p.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*") if p.is_dir()} == {0o700}


def test_a_private_copy_is_merged_when_both_are_closed(tmp_path: Path) -> None:
    """What both wrote is there; where both changed the same, ours stays and theirs stands beside it."""
    one = shelf(tmp_path)
    first = begun(one)
    first.edit(typed("base"), evaluated(1))
    first.save()
    second = shelf(tmp_path, seed=1).copy(SID, COPY)
    first.edit(typed("ours"), typed("only ours", "w2"), evaluated(2))
    second.edit(typed("theirs"), typed("only theirs", "w3"), evaluated(3))
    first.close()
    second.close()
    merged = shelf(tmp_path, seed=2).open(SID)
    assert merged.receipt.merged == (COPY,)
    texts = sorted(str(each["code"]) for each in merged.state["workspaces"].values())
    assert texts == ["only ours", "only theirs", "ours", "theirs"]
    assert code(merged.state) == "ours"
    assert [each["id"] for each in merged.state["evaluations"]] == ["e1", "e2", "e3"]
    assert merged.state["merges"]
    assert merged.state["session"] == SID
    assert not merged.dirty
    merged.close()
    assert [each.session for each in shelf(tmp_path).listing(archived=True)] == [COPY]
    again = shelf(tmp_path).open(SID)
    assert again.receipt.merged == ()
    again.close()


def test_a_copy_that_is_still_open_waits(tmp_path: Path) -> None:
    """It is merged at a later opening."""
    one = shelf(tmp_path)
    first = begun(one)
    first.edit(typed("base"))
    first.save()
    second = shelf(tmp_path, seed=1).copy(SID, COPY)
    first.close()
    opened = shelf(tmp_path, seed=2).open(SID)
    assert opened.receipt.merged == ()
    opened.close()
    second.edit(typed("late"))
    second.close()
    assert code(shelf(tmp_path, seed=3).open(SID).state) == "late"


def test_a_merge_that_was_cut_off_is_no_second_one(tmp_path: Path) -> None:
    """Saved, but the copy not yet put away: merging it again changes nothing."""
    first = begun(shelf(tmp_path))
    first.edit(typed("base"))
    first.save()
    second = shelf(tmp_path, seed=1).copy(SID, COPY)
    first.edit(typed("ours"))
    second.edit(typed("theirs"))
    first.close()
    second.close()
    copies = {p: p.read_bytes() for p in (tmp_path / "sessions").glob(f"{COPY}-*")}
    merged = shelf(tmp_path, seed=2).open(SID)
    work = merged.state["workspaces"]
    merged.close()
    for path, data in copies.items():
        path.write_bytes(data)
    again = shelf(tmp_path, seed=3).open(SID)
    assert again.state["workspaces"] == work
    again.close()


def test_an_archived_session_comes_back(tmp_path: Path) -> None:
    """Nothing of it is deleted."""
    sessions = shelf(tmp_path)
    written(sessions, SID, "one")
    sessions.archive(SID)
    assert sessions.listing() == []
    assert [each.archived for each in sessions.listing(archived=True)] == [True]
    sessions.unarchive(SID)
    assert code(sessions.read(SID).state) == "one"


def test_an_open_session_is_not_put_away(tmp_path: Path) -> None:
    """Whoever has it open is named."""
    begun(shelf(tmp_path)).save()
    with pytest.raises(Busy, match="process 4711"):
        shelf(tmp_path, owner=Owner(4712, "boot:2", "desk", "ben")).archive(SID)


def test_a_session_is_asked_for_and_let_go(tmp_path: Path) -> None:
    """The owner is told that somebody wants it."""
    session = begun(shelf(tmp_path))
    session.edit(typed("mine"))
    assert not session.wanted_elsewhere()
    other = shelf(tmp_path, owner=Owner(4712, "boot:2", "desk", "ben"))
    other.ask_for(SID)
    assert session.wanted_elsewhere()
    session.close()
    opened = other.open(SID)
    other.stop_asking(SID)
    assert code(opened.state) == "mine"
    assert not opened.wanted_elsewhere()
    opened.close()


def test_an_older_state_than_was_acknowledged_is_not_taken_silently(tmp_path: Path) -> None:
    """It is whole; only somebody outside knows of more. Accepted, its numbers are not used again."""
    written(shelf(tmp_path), SID, "one")
    with pytest.raises(RolledBack, match="revision 1, but 5 was saved"):
        shelf(tmp_path).open(SID, acknowledged=5)
    accepted = shelf(tmp_path).open(SID, acknowledged=5, accept_rollback=True)
    assert accepted.receipt.rolled_back
    assert accepted.edit(typed("two")) == 6
    accepted.close()
    assert shelf(tmp_path).open(SID, acknowledged=6).receipt.clean


def test_locked_keys_are_said_to_be_locked(tmp_path: Path) -> None:
    """And nothing is touched."""
    written(shelf(tmp_path), SID, "one")
    before = {p.name: p.read_bytes() for p in (tmp_path / "sessions").glob("*.session")}
    locked = shelf(tmp_path)
    locked.keychain.lock()
    with pytest.raises(LockedKey):
        locked.open(SID)
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "sessions").glob("*.session")}
    locked.keychain.unlock()
    assert code(locked.open(SID).state) == "one"


@pytest.mark.parametrize("name", ["", "../etc", "A" * 32, "a" * 31, "x" * 32])
def test_what_is_no_id_is_refused(tmp_path: Path, name: str) -> None:
    """Before it becomes part of a path."""
    with pytest.raises(Corrupt, match="no session's id"):
        shelf(tmp_path).open(name)


def test_an_upgrade_is_backed_up_and_goes_with_its_session(tmp_path: Path) -> None:
    """The last snapshot of the older format is kept beside the new ones, and in the archive."""
    sessions = shelf(tmp_path)
    written(sessions, SID, "one")
    old = (ROOT / "golden" / "session-v0.json").read_bytes()
    identity = FileIdentity(Kind.SNAPSHOT, SID, 7, "f" * 32)
    data = seal_snapshot(identity, {"revision": 9}, old, sessions.keychain.wraps_for_new_files(), os.urandom)
    (tmp_path / "sessions" / f"{SID}-00000007.session").write_bytes(data)
    opened = sessions.open(SID)
    assert opened.receipt.from_format == 0
    assert (opened.state["format"], opened.revision) == (1, 9)
    opened.edit(typed("after"))
    opened.close()
    backup = tmp_path / "sessions" / f"{SID}-00000007.v0"
    assert backup.read_bytes() == data
    assert sessions.open(SID).receipt.from_format is None
