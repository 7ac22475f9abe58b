"""Two processes on one data directory, stepped against each other: one writer, and no history lost.

Each stops before every call to the disk. One runs up to some call, the other so many calls, then the first to
its end and the other to its own, for every such point: two changes are what most races need.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crash_states import DATA
from session_crashes import COPY, process
from shelves import SID, begun, code, shelf, typed
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Medium
from store.errors import StoreError
from store.keys import Protection
from store.outcomes import Busy, SessionError
from store.sessions import Owner, SessionLimits, Sessions, this_process
from store.sessions.lease import start_token
from vaults import MemoryVault
from wrapped_disks import Wrapped

WAIT_S = 30.0
LIMITS = SessionLimits(log_bytes=300, kept=1)
"""A generation after every other edit, and the one before goes at once."""

LATER = (1, 2, 3, 5, 8, 13, 21, 10**6)
"""How many calls the second process makes before the first goes on."""


class Stepped(Wrapped):
    """Stops before each call until it is let on."""

    def __init__(self, disk: VirtualDisk) -> None:
        super().__init__(disk)
        self.may = threading.Semaphore(0)
        self.stopped = threading.Semaphore(0)

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        self.stopped.release()
        assert self.may.acquire(timeout=WAIT_S)
        return super().called(name, call, path, words)


@dataclass
class World:
    """What both do is noted here.

    Attributes:
        inside: how many have the session open.
        saved: texts that were said to be saved.
        seen: what a reader found.
    """

    inside: int = 0
    saved: set[str] = field(default_factory=set)
    seen: list[set[str]] = field(default_factory=list)


Job = Callable[[Sessions, World], None]


class Actor:
    """One of the two processes."""

    def __init__(self, number: int, disk: VirtualDisk, job: Job, world: World) -> None:
        keychain = process(disk, MemoryVault(), Protection.INSECURE, seed=number).keychain
        self.disk = Stepped(disk)
        dice = Random(number)
        self.sessions = Sessions(
            DATA,
            self.disk.seam(),
            keychain,
            owner=Owner(number, "boot:1", "desk", "ann"),
            wall=lambda: 1000.0,
            entropy=dice.randbytes,
            limits=LIMITS,
        )
        self.problem: Exception | None = None
        self.done = False
        self.calls = 0
        self._thread = threading.Thread(target=self._run, args=(job, world))
        self._thread.start()
        self._wait()

    def _run(self, job: Job, world: World) -> None:
        try:
            job(self.sessions, world)
        except Exception as problem:  # noqa: BLE001 -- judged by whoever raced it
            self.problem = problem
        finally:
            self.done = True
            self.disk.stopped.release()

    def _wait(self) -> None:
        assert self.disk.stopped.acquire(timeout=WAIT_S)

    def run(self, calls: int = 10**6) -> None:
        """Make so many calls, or as many as there are."""
        while calls > 0 and not self.done:
            calls -= 1
            self.calls += 1
            self.disk.may.release()
            self._wait()
        if self.done:
            self._thread.join(WAIT_S)


# What they do


def work(text: str, *, prune: bool = True) -> Job:
    """Open the session, type, save, close."""

    def job(sessions: Sessions, world: World) -> None:
        session = sessions.open(SID)
        world.inside += 1
        assert world.inside == 1, "two writers"
        for number in range(2):
            session.edit(typed(f"{text} {number}" + Random(number).randbytes(99).hex(), f"{text} {number}"))
            session.save()
            world.saved.add(f"{text} {number}")
            if prune:
                sessions.prune(session)
        world.inside -= 1
        session.close()

    return job


def begin(text: str) -> Job:
    """Begin the session, type, save, close."""

    def job(sessions: Sessions, world: World) -> None:
        session = begun(sessions)
        world.inside += 1
        assert world.inside == 1, "two writers"
        session.edit(typed(text, text))
        session.save()
        world.saved.add(text)
        world.inside -= 1
        session.close()

    return job


def copy(sessions: Sessions, world: World) -> None:
    """Work on a private copy, and close it."""
    session = sessions.copy(SID, COPY)
    session.edit(typed("copied", "copied"))
    session.save()
    world.saved.add("copied")
    session.close()


def archive(sessions: Sessions, world: World) -> None:
    """Put it away."""
    del world
    sessions.archive(SID)


def unarchive(sessions: Sessions, world: World) -> None:
    """Bring it back."""
    del world
    sessions.unarchive(SID)


def look(sessions: Sessions, world: World) -> None:
    """Read it without a right to anything."""
    found = sessions.read(SID)
    assert not found.receipt.findings, str(found.receipt)
    world.seen.append(set(found.state["workspaces"]))


# The races


def prepared(*, there: bool = True, archived: bool = False, copied: bool = False) -> Medium:
    """Return what both find."""
    disk = VirtualDisk(Medium(dirs=frozenset({DATA.parent})))
    sessions = process(disk, MemoryVault(), Protection.INSECURE)
    if there:
        session = begun(sessions)
        session.edit(typed("base", "base"))
        session.save()
        session.edit(typed("logged", "logged"))
        session.close(compact=False)
    if copied:
        copy(sessions, World())
    if archived:
        sessions.archive(SID)
    return disk.medium()


RACES: dict[str, tuple[Medium, Job, Job]] = {
    "begin, begin": (prepared(there=False), begin("one"), begin("two")),
    "open, open": (prepared(), work("one"), work("two")),
    "open, archive": (prepared(), work("one"), archive),
    "archive, open": (prepared(), archive, work("one")),
    "unarchive, open": (prepared(archived=True), unarchive, work("one")),
    "look, open and prune": (prepared(), look, work("one")),
    "look, archive": (prepared(), look, archive),
    "copy, open and prune": (prepared(), copy, work("one")),
    "open and merge, copy": (prepared(), work("one"), copy),
    "merge, merge": (prepared(copied=True), work("one"), work("two")),
}


def raced(medium: Medium, jobs: tuple[Job, Job], before: int, between: int) -> tuple[int, str]:
    """Let the first make some calls, the second some, then each all; return the first's, and a fault."""
    disk, world = VirtualDisk(medium), World()
    actors = [Actor(number + 1, disk, job, world) for number, job in enumerate(jobs)]
    actors[0].run(before)
    actors[1].run(between)
    for each in actors:
        each.run()
    for each in actors:
        legitimate = (
            isinstance(each.problem, Busy)
            # It was in the archive at that moment, or is not there yet.
            or (isinstance(each.problem, SessionError) and "there is no snapshot" in str(each.problem))
        )
        if each.problem and not legitimate:
            return actors[0].calls, repr(each.problem)
    disk.kill()
    sessions = process(disk, MemoryVault(), Protection.INSECURE, seed=9)
    if not any(each.session == SID for each in sessions.listing()):
        sessions.unarchive(SID)
    session = sessions.open(SID)
    texts = set(session.state["workspaces"])
    if session.receipt.findings or not world.saved <= texts:
        return actors[0].calls, f"{session.receipt}; {sorted(world.saved - texts)} are gone"
    if any(not {"base", "logged"} <= seen for seen in world.seen):
        return actors[0].calls, f"a reader found {world.seen}"
    return actors[0].calls, ""


@pytest.mark.parametrize("race", RACES)
def test_no_interleaving_makes_two_writers_or_loses_anything(race: str) -> None:
    """At every call of the first the second goes ahead, a little or all the way."""
    medium, *jobs = RACES[race]
    before, calls, tried = 0, 1, 0
    while before <= calls:
        for between in LATER[before % 2 :: 2] if before % 8 else LATER:
            calls, fault = raced(medium, (jobs[0], jobs[1]), before, between)
            assert fault == "", f"after {before} and {between} calls"
            tried += 1
        before += 1
    assert tried >= 20


# Real processes, and the kernel's locks

CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from shelves import SID, shelf, typed
from store.outcomes import Busy
from store.sessions import this_process
try:
    session = shelf(Path(sys.argv[1]), seed=5, owner=this_process()).open(SID)
except Busy as busy:
    print("busy", busy.detail, flush=True)
else:
    session.edit(typed("child", "child"))
    session.save()
    print("open", flush=True)
    sys.stdin.readline()
"""
PATHS = [str(Path(__file__).parent / "support"), str(Path(__file__).parent.parent)]


def child(data_dir: Path) -> subprocess.Popen[str]:
    """Start another process that wants the session, and says what came of it."""
    argv = [sys.executable, "-c", CHILD, str(data_dir), *PATHS]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_words(process: subprocess.Popen[str]) -> str:
    """Return what it said."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Return a data directory with one session in it."""
    session = begun(shelf(tmp_path / "data"))
    session.edit(typed("base", "base"))
    session.close()
    return tmp_path / "data"


def test_another_process_is_told_who_has_it(data_dir: Path) -> None:
    """Until that one closes; then the other may."""
    ours = shelf(data_dir, owner=this_process()).open(SID)
    with child(data_dir) as other:
        assert first_words(other).startswith(f"busy process {os.getpid()} of ")
    ours.close()
    with child(data_dir) as other:
        assert first_words(other) == "open"
        with pytest.raises(Busy, match=f"process {other.pid} of "):
            shelf(data_dir).open(SID)
        owner = shelf(data_dir).owner(SID)
        assert owner is not None
        assert owner.is_alive() is True
        other.communicate("\n")


def test_a_killed_process_has_it_no_longer(data_dir: Path) -> None:
    """What it saved is there, and its words about itself stop nobody."""
    with child(data_dir) as other:
        assert first_words(other) == "open"
        other.send_signal(signal.SIGKILL)
    opened = shelf(data_dir).open(SID)
    assert code(opened.state, "child") == "child"
    opened.close()


def test_the_same_directory_by_another_name_is_the_same(data_dir: Path) -> None:
    """A link leads to the same lock."""
    link = data_dir.parent / "link"
    link.symlink_to(data_dir, target_is_directory=True)
    ours = shelf(data_dir, owner=this_process()).open(SID)
    with child(link) as other:
        assert first_words(other).startswith("busy")
    ours.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_child_has_no_right_to_write(data_dir: Path) -> None:
    """It shares the lock, and so must not believe that it holds it; its end takes nothing from us."""
    ours = shelf(data_dir, owner=this_process()).open(SID)
    pid = os.fork()
    if pid == 0:
        try:
            ours.edit(typed("forked", "forked"))
        except StoreError:
            ours.close()
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    with child(data_dir) as other:
        assert first_words(other).startswith("busy")
    ours.edit(typed("ours", "ours"))
    ours.close()
    assert set(shelf(data_dir).read(SID).state["workspaces"]) == {"base", "ours"}


def test_words_of_a_process_that_is_gone_are_only_words(data_dir: Path) -> None:
    """Its number may be another process's by now: when it began tells them apart, and the lock decides."""
    mine = this_process()
    stale = Owner(mine.pid, "another boot:1", mine.host, mine.user)
    session = shelf(data_dir, owner=stale).open(SID)
    session._lease.release()
    said = shelf(data_dir).owner(SID)
    assert said is not None
    assert said.is_alive() is (False if start_token(os.getpid()) else None)
    assert mine.is_alive() is not False
    opened = shelf(data_dir, owner=mine).open(SID)
    assert shelf(data_dir).owner(SID) == Owner(mine.pid, mine.start, mine.host, mine.user, 1000.0)
    opened.close()


@pytest.mark.parametrize("words", [b"", b"\0" * 50, b"{", b'{"pid":"x"}', b"[" * 4000, b'{"pid":1e999}'])
def test_words_that_make_no_sense_stop_nobody(data_dir: Path, words: bytes) -> None:
    """A power cut may leave anything in a lock file."""
    (data_dir / "sessions" / f"{SID}.lease").write_bytes(words)
    sessions = shelf(data_dir)
    assert sessions.owner(SID) is None
    sessions.open(SID).close()
