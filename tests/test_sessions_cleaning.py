"""Tidying up: planned first, done as planned, and never anything that somebody has open or wants back."""

from __future__ import annotations

from pathlib import Path

import pytest

from commanding import files, work
from journals import Logging
from shelves import OTHER, SID, shelf, typed
from store.credentials import LOCK
from store.outcomes import Busy
from store.sessions import Owner, Sessions, this_process
from store.sessions.cleaning import DAY_S, Deed, Step, carry_out, plan
from store.sessions.lease import Lease

THIRD = "c" * 32
NOW = 1000.0 + 100 * DAY_S


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """Two sessions, saved at 1000 s after 1970: 100 days ago."""
    found = shelf(tmp_path / "data")
    work(found)
    work(found, OTHER, "10.0.0.3:5555", lives=1)
    return found


def planned(
    sessions: Sessions,
    now: float = NOW,
    *,
    used: dict[str, float] | None = None,
    age_days: float | None = 100.0,
    days: float = 30,
    purge: bool = False,
) -> list[Step]:
    """Plan, with every file last touched so long ago."""
    touched = None if age_days is None else now - age_days * DAY_S
    return plan(sessions, now, last_used=used or {}, touched=lambda _: touched, days=days, purge=purge)


def subjects(steps: list[Step]) -> set[str]:
    """What it is about."""
    return {step.subject for step in steps}


def test_a_plan_says_what_why_and_how_much_and_changes_nothing(sessions: Sessions) -> None:
    """The disk is only read, and locks are tried."""
    before = files(sessions.places.data_dir)
    steps = planned(sessions)
    assert {(step.deed, step.subject) for step in steps} == {(Deed.ARCHIVE, SID), (Deed.ARCHIVE, OTHER)}
    sizes = {each.session: each.size for each in sessions.listing()}
    for step in steps:
        assert step.size_bytes == sizes[step.subject]
        assert "100 days" in step.why
    assert files(sessions.places.data_dir) == before
    disk = Logging()
    looking = shelf(sessions.places.data_dir, disk)
    disk.log.clear()
    planned(looking)
    assert {call for call, _ in disk.log} <= {"read", "listing", "open", "lock", "close"}


@pytest.mark.parametrize(("days", "found"), [(30, True), (99.9, True), (100.1, False), (0, True)])
def test_only_what_was_unused_for_long(sessions: Sessions, days: float, found: bool) -> None:  # noqa: FBT001 -- a table's column
    """By the day, and by either memory: the files' or the journal's."""
    assert (SID in subjects(planned(sessions, days=days))) is found
    assert SID not in subjects(planned(sessions, days=days or 1, used={SID: NOW - 10}))


def test_what_nobody_can_date_is_not_old(sessions: Sessions) -> None:
    """A header that cannot be read says nothing about age."""
    for path in sessions.places.sessions.glob(f"{SID}-*.session"):
        path.write_bytes(b"garbage")
    assert SID not in subjects(planned(sessions))
    assert SID in subjects(planned(sessions, used={SID: 5.0}))


def test_what_is_open_is_neither_planned_nor_touched(sessions: Sessions) -> None:
    """Not at planning, and not if it was opened between the plan and the deed."""
    steps = planned(sessions)
    opened = sessions.open(SID)
    assert subjects(planned(sessions)) == {OTHER}
    before = {name: data for name, data in files(sessions.places.data_dir).items() if SID in name}
    done = {each.step.subject: each.problem for each in carry_out(sessions, steps)}
    assert isinstance(done[SID], Busy)
    assert done[OTHER] is None
    assert before.items() <= files(sessions.places.data_dir).items()
    opened.close()


def test_an_owner_that_died_holds_nothing(sessions: Sessions) -> None:
    """The lock file keeps its words for ever; the kernel's lock is what counts."""
    path = sessions.places.lease(SID)
    path.write_bytes(b'{"pid": 1, "start": "x", "host": "elsewhere", "user": "ann", "since": 1.0}')
    assert SID in subjects(planned(sessions))
    lease = Lease.acquire(sessions.directories.disk, path, this_process())
    assert SID not in subjects(planned(sessions))
    lease.release()
    assert SID in subjects(planned(sessions))


def test_a_private_copy_and_its_session_wait_for_each_other(sessions: Sessions) -> None:
    """Archived apart, they would not be merged any more."""
    held = sessions.open(SID)
    copy = sessions.copy(SID, THIRD)
    copy.edit(typed("mine"))
    copy.close()
    held.close()
    assert subjects(planned(sessions)) == {OTHER}
    sessions.open(SID).close()  # merges it
    assert subjects(planned(sessions)) == {SID, OTHER}


def test_archiving_by_plan_deletes_nothing(sessions: Sessions) -> None:
    """Every byte is somewhere else."""
    before = sorted(files(sessions.places.data_dir).values())
    assert all(each.problem is None for each in carry_out(sessions, planned(sessions)))
    assert sorted(files(sessions.places.data_dir).values()) == before
    assert sessions.listing() == []
    assert planned(sessions) == []


# -- half-written files --------------------------------------------------------------------


def test_what_a_dead_writer_left_is_removed(sessions: Sessions) -> None:
    """In every place where one can be; and nothing that is whole."""
    places = sessions.places
    before = files(places.data_dir)
    sessions.directories.make(sessions.directories.quarantine)
    parts = [
        places.sessions / f"{SID}-00000009.session.part",
        places.data_dir / "keys.part",
        places.data_dir / "keys.bak.part",
        places.data_dir / "credentials.part",
        sessions.directories.quarantine / "x-1.part",
    ]
    for part in parts:
        part.write_bytes(b"half")
    steps = planned(sessions, 2000.0)
    assert {step.paths[0] for step in steps} == set(parts)
    assert {step.deed for step in steps} == {Deed.REMOVE_PART}
    assert all(each.problem is None for each in carry_out(sessions, steps))
    assert files(places.data_dir) == before


def test_what_is_being_written_is_left_alone(sessions: Sessions) -> None:
    """By whoever has the session or the lock, or so lately that it may be."""
    places = sessions.places
    part = places.sessions / f"{SID}-00000009.session.part"
    keys = places.data_dir / "credentials.part"
    steps = []
    opened = sessions.open(SID)
    part.write_bytes(b"half")
    keys.write_bytes(b"half")
    lock = Lease.acquire(sessions.directories.disk, places.data_dir / LOCK, Owner(1, "", "", ""))
    assert planned(sessions, 2000.0) == []
    lock.release()
    assert planned(sessions, 2000.0, age_days=0.001) == []
    assert planned(sessions, 2000.0, age_days=None) == []
    opened.close()
    part.write_bytes(b"half")
    steps = planned(sessions, 2000.0)
    assert {step.paths[0] for step in steps} == {part, keys}
    opened = sessions.open(OTHER)
    again = Lease.acquire(sessions.directories.disk, places.lease(SID), this_process())
    problems = {each.step.paths[0]: each.problem for each in carry_out(sessions, steps)}
    assert isinstance(problems[part], Busy)
    assert part.exists()
    again.release()
    opened.close()


# -- for good ------------------------------------------------------------------------------


def test_only_a_purge_removes_for_good_and_only_what_is_old(sessions: Sessions) -> None:
    """Archive and quarantine alike; the sessions in use are none of its business."""
    sessions.archive(SID)
    kept = sessions.directories.keep("torn", b"bytes")
    young = 1000.0 + 5 * DAY_S
    assert planned(sessions, young) == []
    assert planned(sessions, young, age_days=5, purge=True) == []
    assert planned(sessions, young, age_days=None, purge=True) == []
    steps = planned(sessions, young, age_days=31, purge=True)
    assert {step.deed for step in steps} == {Deed.PURGE}
    assert subjects(steps) == {SID, f"quarantine/{kept.name}"}
    before = {name: data for name, data in files(sessions.places.data_dir).items() if "sessions/" in name}
    assert all(each.problem is None for each in carry_out(sessions, steps))
    assert sessions.listing(archived=True) == []
    assert not kept.exists()
    after = {name: data for name, data in files(sessions.places.data_dir).items() if "sessions/" in name}
    assert after == before


def test_what_was_brought_back_since_is_not_purged(sessions: Sessions) -> None:
    """The plan is not the last word."""
    sessions.archive(SID)
    steps = planned(sessions, 2000.0, purge=True)
    sessions.unarchive(SID)
    before = files(sessions.places.data_dir)
    (done,) = carry_out(sessions, steps)
    assert isinstance(done.problem, Busy)
    assert files(sessions.places.data_dir) == before
