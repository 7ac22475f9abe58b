"""The journal's writer: in order, many to a sync, never a false "saved", and no disk stops it."""

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from resilience import recorder as recorder_module
from resilience.host import OwnHost
from resilience.recorder import Recorder
from store import History, TransitionRecord
from store.disk import RealDisk

GENEROUS_S = 10.0
MANY = 3_000
DETAIL = "d" * 300
"""So many of these are more than the journal buffers (a megabyte) and less than it keeps (two)."""
FEWER = 1_300
LONG_DETAIL = "\U0001f600" * 300
"""The same, with the longest details there are, in bytes."""


class Disk(RealDisk):
    """A disk whose syncs can be held up, counted, and refused."""

    def __init__(self) -> None:
        self.syncs = 0
        self.refusal: int | None = None
        self.working = threading.Event()
        self.working.set()
        self.syncing = threading.Event()

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Refuse, or write."""
        if self.refusal is not None:
            raise OSError(self.refusal, os.strerror(self.refusal))
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        """Wait until the disk works, then do it."""
        self.syncing.set()
        assert self.working.wait(GENEROUS_S)
        self.syncs += 1
        super().sync(handle)


def record(seq: int, detail: str = "") -> TransitionRecord:
    return TransitionRecord(
        "10.0.0.2:5555", "tcp://10.0.0.2:5555", "s", seq, 1.0, "Fresh", "t", "Connected", "r", detail
    )


@dataclass
class Desk:
    """A recorder, its disk, and what was told."""

    recorder: Recorder
    disk: Disk
    data_dir: Path
    told: list[tuple[int, bool]] = field(default_factory=list)
    troubles: list[str | None] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def give(self, *seqs: int, detail: str = "") -> None:
        """Have transitions recorded."""
        for seq in seqs:
            self.recorder.record(record(seq, detail), self._done(seq))

    def _done(self, seq: int) -> Callable[[bool], None]:
        def done(saved: bool) -> None:  # noqa: FBT001 - the recorder's callback has one argument
            self.told.append((seq, saved))
            self.threads.add(threading.get_ident())

        return done

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until something holds."""
        async with asyncio.timeout(GENEROUS_S):
            while not condition():  # noqa: ASYNC110 - any condition, not one event
                await asyncio.sleep(0.001)

    def journaled(self) -> list[int]:
        """The numbers on disk, as another process would read them."""
        return [found.seq for found in History.open(self.data_dir, read_only=True).transitions()]

    def saved(self) -> list[int]:
        """The numbers that were told as saved."""
        return [seq for seq, saved in self.told if saved]


@pytest.fixture
def at_desk(tmp_path: Path) -> Callable[[Callable[[Desk], Awaitable[None]]], Desk]:
    """Runs a coroutine with a recorder, and closes that whatever happens."""

    def run(body: Callable[[Desk], Awaitable[None]]) -> Desk:
        async def main() -> Desk:
            disk, troubles = Disk(), list[str | None]()
            history = History.open(tmp_path, disk=disk)
            loop = asyncio.get_running_loop()
            host = OwnHost(loop)
            recorder = Recorder(history, loop, host, troubles.append)
            desk = Desk(recorder, disk, tmp_path, troubles=troubles)
            try:
                await body(desk)
            finally:
                disk.working.set()
                await recorder.close()
                host.close()
            return desk

        return asyncio.run(main())

    return run


AtDesk = Callable[[Callable[[Desk], Awaitable[None]]], Desk]


@pytest.fixture
def thread_failures() -> Iterator[list[str]]:
    """What threads died of; the recorder's must die of nothing."""
    before, failures = threading.excepthook, list[str]()
    threading.excepthook = lambda args: failures.append(repr(args.exc_value))
    yield failures
    threading.excepthook = before


def test_everything_is_written_and_told_in_order(at_desk: AtDesk) -> None:
    """The journal and the host get them as they were given; the host on its own thread."""

    async def body(desk: Desk) -> None:
        desk.give(*range(1, 501))
        await desk.until(lambda: len(desk.told) == 500)

    desk = at_desk(body)
    assert desk.told == [(seq, True) for seq in range(1, 501)]
    assert desk.journaled() == list(range(1, 501))
    assert desk.threads == {threading.get_ident()}


def test_nothing_is_told_before_the_sync_has_returned(at_desk: AtDesk) -> None:
    """Law 14, with a disk that takes its time; the loop goes on meanwhile."""

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(1)
        await desk.until(desk.disk.syncing.is_set)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not desk.told
        desk.disk.working.set()
        await desk.until(lambda: desk.told == [(1, True)])

    at_desk(body)


def test_what_waits_for_a_slow_disk_shares_a_sync(at_desk: AtDesk) -> None:
    """A thousand images that move at once cost a few syncs, not a thousand."""

    async def body(desk: Desk) -> None:
        desk.give(1)
        await desk.until(lambda: len(desk.told) == 1)
        desk.disk.working.clear()
        desk.disk.syncing.clear()
        desk.give(2)
        await desk.until(desk.disk.syncing.is_set)
        before = desk.disk.syncs
        desk.give(*range(3, 1_003))
        desk.disk.working.set()
        await desk.until(lambda: len(desk.told) == 1_002)
        assert desk.disk.syncs - before <= 3

    desk = at_desk(body)
    assert desk.journaled() == list(range(1, 1_003))


def test_a_failing_disk_is_told_once_and_its_recovery_too(at_desk: AtDesk) -> None:
    """Not durable while it fails, durable again afterwards, and nothing of the time between is missing."""

    async def body(desk: Desk) -> None:
        desk.give(1)
        await desk.until(lambda: desk.told == [(1, True)])
        desk.disk.refusal = errno.ENOSPC
        for seq in (2, 3):
            desk.give(seq)
            await desk.until(lambda seq=seq: len(desk.told) == seq)  # type: ignore[misc]  # mypy infers no type for a default
        assert desk.told[1:] == [(2, False), (3, False)]
        assert desk.recorder.trouble is not None
        assert os.strerror(errno.ENOSPC) in desk.recorder.trouble
        assert desk.troubles == [desk.recorder.trouble]
        desk.disk.refusal = None
        desk.give(4)
        await desk.until(lambda: len(desk.told) == 4)
        assert desk.told[3] == (4, True)
        await desk.until(lambda: desk.troubles[1:] == [None])
        assert not desk.recorder.trouble

    assert at_desk(body).journaled() == [1, 2, 3, 4]


def test_a_disk_that_works_again_is_found_without_a_new_transition(at_desk: AtDesk) -> None:
    """It is tried again by itself, so that "not durable" does not stay on the screen for ever."""

    async def body(desk: Desk) -> None:
        desk.disk.refusal = errno.EIO
        desk.give(1)
        await desk.until(lambda: desk.told == [(1, False)])
        desk.disk.refusal = None
        await desk.until(lambda: len(desk.troubles) == 2)
        assert desk.recorder.trouble is None
        assert desk.journaled() == [1]

    at_desk(body)


def test_closing_writes_what_waits(at_desk: AtDesk) -> None:
    """An interrupt saves: what was given before `close` is on disk and is told after it."""

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(1)
        await desk.until(desk.disk.syncing.is_set)
        desk.give(*range(2, 101))
        desk.disk.working.set()
        assert await desk.recorder.close()
        assert desk.told == [(seq, True) for seq in range(1, 101)]

    assert at_desk(body).journaled() == list(range(1, 101))


def test_closing_does_not_wait_for_ever(at_desk: AtDesk) -> None:
    """A disk that hangs is left behind, and that is said."""

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(1)
        await desk.until(desk.disk.syncing.is_set)
        assert not await desk.recorder.close(0.05)
        desk.disk.working.set()

    at_desk(body)


def test_a_disk_that_hangs_does_not_keep_the_host_in_the_dark(at_desk: AtDesk) -> None:
    """After a second what waits is told as not durable, in order; the journal gets it all the same."""

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(1)
        await desk.until(desk.disk.syncing.is_set)
        desk.give(2, 3)
        await desk.until(lambda: len(desk.told) == 3)
        assert desk.told == [(1, False), (2, False), (3, False)]
        assert "has not answered" in (desk.recorder.trouble or "")
        desk.give(4)
        await desk.until(lambda: len(desk.told) == 4)
        assert desk.told[3] == (4, False)
        desk.disk.working.set()
        await desk.until(lambda: desk.recorder.trouble is None)
        desk.give(5)
        await desk.until(lambda: len(desk.told) == 5)
        assert desk.told[4] == (5, True)

    assert at_desk(body).journaled() == [1, 2, 3, 4, 5]


def test_what_waits_for_a_disk_that_hangs_is_bounded(
    at_desk: AtDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest go first; each was told as not durable, and the newest are written."""
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 10)
    monkeypatch.setattr(recorder_module, "JOURNAL_PATIENCE_S", 0.05)

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(1)
        await desk.until(lambda: len(desk.told) == 1)
        desk.give(*range(2, 101))
        await desk.until(lambda: len(desk.told) == 100)
        assert not desk.saved()
        desk.disk.working.set()
        await desk.until(lambda: desk.recorder.trouble is None)

    assert at_desk(body).journaled() == [1, *range(91, 101)]


def test_closing_over_a_broken_disk_ends_quietly(at_desk: AtDesk, thread_failures: list[str]) -> None:
    """What could not be saved was told as not durable; there is no traceback on top of it."""

    async def body(desk: Desk) -> None:
        desk.disk.refusal = errno.ENOSPC
        desk.give(1)
        assert await desk.recorder.close()
        assert desk.told == [(1, False)]

    at_desk(body)
    assert not thread_failures


def test_without_a_disk_everything_is_told_as_not_durable(tmp_path: Path) -> None:
    """At once, in order, and the reason stays."""
    told: list[bool] = []

    async def main() -> Recorder:
        loop = asyncio.get_running_loop()
        host = OwnHost(loop)
        recorder = Recorder(None, loop, host, lambda _: None, "read-only file system")
        for seq in range(3):
            recorder.record(record(seq), told.append)
        await recorder.close()
        host.close()
        return recorder

    assert asyncio.run(main()).trouble == "read-only file system"
    assert told == [False] * 3
    assert not list(tmp_path.iterdir())


def test_a_journal_that_comes_late_is_written_from_then_on(tmp_path: Path) -> None:
    """What was given before it came is told as not saved, and only then that the disk works."""
    said: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        host = OwnHost(loop)
        recorder = Recorder(None, loop, host, said.append, "the disk has not answered for 5 s")
        recorder.record(record(1), lambda saved: said.append((1, saved)))
        recorder.take(History.open(tmp_path))
        recorder.record(record(2), lambda saved: said.append((2, saved)))
        async with asyncio.timeout(GENEROUS_S):
            while (2, True) not in said:  # noqa: ASYNC110 - any condition, not one event
                await asyncio.sleep(0.001)
        await recorder.close()
        host.close()

    asyncio.run(main())
    assert said == [(1, False), None, (2, True)]
    assert [found.seq for found in History.open(tmp_path, read_only=True).transitions()] == [2]


@pytest.mark.parametrize(("many", "detail"), [(MANY, DETAIL), (FEWER, LONG_DETAIL)], ids=["many", "long"])
def test_saved_is_never_said_of_what_is_not_in_the_journal(at_desk: AtDesk, many: int, detail: str) -> None:
    """More at once than the journal buffers: whatever is told as saved can be read again."""

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(1)
        await desk.until(desk.disk.syncing.is_set)
        desk.give(*range(2, many), detail=detail)
        desk.disk.working.set()
        await desk.until(lambda: len(desk.told) == many - 1)

    desk = at_desk(body)
    assert [seq for seq, _ in desk.told] == list(range(1, many))
    assert set(desk.saved()) <= set(desk.journaled())


def test_saved_is_never_said_of_what_a_broken_disk_left_out(at_desk: AtDesk) -> None:
    """More than is kept for a broken disk: what was given up was not told as saved, nor is it later."""

    async def body(desk: Desk) -> None:
        desk.disk.refusal = errno.EIO
        for first in range(1, MANY, 500):
            desk.give(*range(first, first + 500), detail=DETAIL)
            await desk.until(lambda first=first: len(desk.told) == first + 499)  # type: ignore[misc]  # mypy infers no type for a default
        desk.disk.refusal = None
        last = len(desk.told) + 1
        desk.give(last)
        await desk.until(lambda: len(desk.told) == last)

    desk = at_desk(body)
    assert set(desk.saved()) <= set(desk.journaled())


@pytest.mark.parametrize("bad", [record(1, "x" * 200_000), record(-1)])
def test_a_transition_that_cannot_be_kept_does_not_stop_the_others(
    at_desk: AtDesk, bad: TransitionRecord, thread_failures: list[str]
) -> None:
    """It is told as not durable; those after it are saved."""
    outcome: list[bool] = []

    async def body(desk: Desk) -> None:
        desk.recorder.record(bad, outcome.append)
        await desk.until(lambda: bool(outcome) or bool(thread_failures))
        desk.give(2)
        await desk.until(lambda: desk.told == [(2, True)] or bool(thread_failures))

    desk = at_desk(body)
    assert not thread_failures
    assert outcome == [False]
    assert desk.journaled() == [2]


def test_the_loop_never_waits_for_the_disk(at_desk: AtDesk) -> None:
    """Giving a transition returns at once, whatever the disk does (law 14: dialling does not wait)."""

    async def body(desk: Desk) -> None:
        desk.disk.working.clear()
        desk.give(*range(1, 200))  # whoever waited for the disk would wait for the next line
        desk.disk.working.set()

    at_desk(body)
