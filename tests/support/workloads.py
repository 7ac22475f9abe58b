"""What the beds of tests do to a store: small programs with a number for everything they make durable.

A workload numbers its steps. What step n puts into the store follows from n alone, so whoever opens the
directory later can tell what it should hold after n steps, and that it holds exactly that for *some* n.
Add another one by writing the two classes of the protocols below, and a line in `WORKLOADS`.

As a program, ``python workloads.py NAME DIRECTORY --steps N`` goes on with what it finds there, and prints
``ack N``, flushed, for what was made durable. ``--log`` writes the disk's log; ``--leave-out`` a sync.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from confinement import die_with_parent
from store import History, Limits, RealDisk, StoreError, StoreUnreadable, TransitionRecord
from store.disk import Disk
from store.ledger import Ledger
from store.records import SessionSummary
from store.replace import replace_file
from wrapped_disks import CHANGES, LeavingOut, Wrapped


class Wrong(Exception):  # noqa: N818 -- a verdict
    """What the store holds is not what any number of steps puts there."""


class Work(Protocol):
    """One process's work on one directory."""

    def step(self) -> int:
        """Do the next thing and make it durable; return its number.

        Raises:
            StoreError or OSError: it is not durable yet. The next step makes both durable, or raises as well.
        """

    def close(self) -> None:
        """End, as a program does that is told to."""


class Workload(Protocol):
    """A kind of work, and how to see what became of it.

    Attributes:
        precious: directories, by name, whose files may lose bytes in a recovery only to the quarantine.
        logs: how files end that are appended to; "" where no others are precious.
        rests: whether opening a directory that needs no recovery leaves its files as they are.
        unsynced: names of files that are not made durable, on purpose.
        canaries: bytes that must not be in any file.
        gaps: whether old parts may be missing between older ones, because the disk refused to remove those;
            to be set by tests on such disks.
        shared: whether another process may call `find` while one is at work.
        needless: syncs (see `wrapped_disks.site`, without the number) that no power cut misses, and why.
    """

    name: str
    precious: frozenset[str]
    logs: str
    rests: bool
    unsynced: frozenset[str]
    canaries: tuple[bytes, ...]
    gaps: bool
    shared: bool
    needless: Mapping[str, str]

    def open(self, data_dir: Path, disk: Disk) -> Work:
        """Go on with what is there; recover first, if need be. Raises what the store does."""

    def find(self, data_dir: Path, disk: Disk) -> int:
        """Open as `open` does, return after how many steps the store is like this, and close.

        Raises:
            Wrong: after none.
        """


# The history of transitions.

LIMITS = Limits(
    segment_bytes=900,
    crowded_bytes=2500,
    relaxed_bytes=1200,
    crowded_segments=50,
    relaxed_segments=40,
    reserve_bytes=1000,
)
"""So small that a dozen steps see rotation, a checkpoint and removals."""

TARGETS = ("Connected", "Reconnecting", "Restoring")


def transition(number: int) -> TransitionRecord:
    """Return what step `number` records: two images take turns."""
    return TransitionRecord(
        image="ab"[number % 2],
        endpoint="e",
        session="s",
        seq=(number + 1) // 2,
        at=float(number),
        source="Fresh",
        trigger="go",
        target=TARGETS[number % len(TARGETS)],
        reason="r",
        detail="x" * (number * 37 % 150),
    )


class HistoryWork:
    """Records and commits."""

    def __init__(self, history: History, done: int) -> None:
        self.history = history
        self.done = done

    def step(self) -> int:
        """Record one transition, and commit."""
        self.done += 1
        self.history.record(transition(self.done))
        self.history.commit()
        return self.done

    def close(self) -> None:
        """Close the history."""
        self.history.close()


class HistoryWorkload:
    """Transitions in the journal, which rotates, writes checkpoints and drops what is old."""

    name = "history"
    precious = frozenset({"journal"})
    logs = ""
    rests = True
    unsynced = frozenset({"reserve"})
    canaries: tuple[bytes, ...] = ()
    gaps = False
    shared = True
    needless: Mapping[str, str] = MappingProxyType(
        {
            "segments Shelf.mend sync": "a tail that comes back is put away again, as the copy that is "
            "there; and whoever builds on what stands before it settles it first"
        }
    )

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self._ledger = Ledger()
        self._expected: list[frozenset[SessionSummary]] = [frozenset()]

    def open(self, data_dir: Path, disk: Disk) -> HistoryWork:
        """Open the history."""
        history = History.open(data_dir, disk=disk, limits=self.limits)
        for damage in history.receipt.damaged:  # told, so whoever numbers by what was found must not go on
            history.close()
            raise StoreUnreadable("go on", damage.segment, errno.EIO)
        return HistoryWork(history, newest(history.sessions()))

    def find(self, data_dir: Path, disk: Disk) -> int:
        """Compare summaries and transitions with what was recorded."""
        with History.open(data_dir, disk=disk, limits=self.limits) as history:
            summaries, found = history.sessions(), list(history.transitions())
            damaged = history.receipt.damaged
        done = newest(summaries)
        if frozenset(summaries) != self.expected(done):
            seen = [(summary.image, summary.seq, summary.transitions) for summary in summaries]
            raise Wrong(f"not the state after {done} steps: {seen}")
        numbers = [int(record.at) for record in found]
        in_order = numbers == sorted(set(numbers)) and found == [transition(number) for number in numbers]
        whole = self.gaps or not found or numbers[0] + len(found) - 1 == numbers[-1] == done
        if not (in_order and whole):
            raise Wrong(f"not a run of what was recorded up to {done}: {numbers}")
        if damaged:
            raise Wrong(f"called damaged: {damaged}")
        return done

    def expected(self, steps: int) -> frozenset[SessionSummary]:
        """Return the summaries after so many steps."""
        while len(self._expected) <= steps:
            self._ledger.fold(transition(len(self._expected)))
            self._expected.append(frozenset(self._ledger.sessions()))
        return self._expected[steps]


def newest(summaries: list[SessionSummary]) -> int:
    """Return the number of the last step that these know of."""
    return max((int(summary.last_at) for summary in summaries), default=0)


# One file, replaced as a whole again and again.

DOCUMENT = "document"


def content(number: int) -> bytes:
    """Return the document after step `number`."""
    return b"%d " % number * (number * 7 % 400 + 1)


class ReplacementWork:
    """Replaces the document."""

    def __init__(self, data_dir: Path, disk: Disk, done: int) -> None:
        self.data_dir = data_dir
        self.disk = disk
        self.done = done

    def step(self) -> int:
        """Replace it with the next one."""
        self.done += 1
        replace_file(self.disk, self.data_dir / DOCUMENT, content(self.done))
        return self.done

    def close(self) -> None:
        """Nothing is open."""


class ReplacementWorkload:
    """The way every small file of the store is written."""

    name = "replacement"
    precious = frozenset[str]()
    logs = ""
    rests = True
    unsynced = frozenset[str]()
    canaries: tuple[bytes, ...] = ()
    gaps = False
    shared = True
    needless: Mapping[str, str] = MappingProxyType({})

    def open(self, data_dir: Path, disk: Disk) -> ReplacementWork:
        """Make the directory and the one it is in, if they are not there."""
        for directory in (data_dir.parent, data_dir):
            with suppress(FileExistsError):
                disk.mkdir(directory)
            disk.sync_dir(directory.parent)
        return ReplacementWork(data_dir, disk, self.find(data_dir, disk))

    def find(self, data_dir: Path, disk: Disk) -> int:
        """Read the document."""
        try:
            data = disk.read(data_dir / DOCUMENT, 1 << 20)
        except FileNotFoundError:
            return 0
        number = data.partition(b" ")[0]
        if not number.isdigit() or data != content(int(number)):
            raise Wrong(f"no document that was ever written: {data[:40]!r}")
        return int(number)


def _sessions() -> Workload:
    from session_workload import SessionWorkload  # noqa: PLC0415 -- it uses what stands here

    return SessionWorkload()


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "history": HistoryWorkload,
    "replacement": ReplacementWorkload,
    "sessions": _sessions,
}
"""What every bed runs; each is made anew for a run."""


def lives(work: Work, steps: int | None) -> Iterator[int]:
    """Yield each acknowledged number, until so many steps were tried, or for ever."""
    for _ in count() if steps is None else range(steps):
        with suppress(StoreError, OSError):
            yield work.step()


# As a program.


class Log(Wrapped):
    """Keeps the calls that change something, in the form in which `tracing` reads them off the kernel."""

    def __init__(self, disk: Disk | None = None) -> None:
        super().__init__(disk)
        self.calls: list[tuple[str, ...]] = []

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        """Log what succeeded, and what was refused with its error."""
        try:
            result = call()
        except OSError as exc:
            self._log(name, path, words, f"errno {exc.errno}")
            raise
        self._log(name, path, words, str(result) if name == "write" else "")
        return result

    def _log(self, name: str, path: Path, words: tuple[Any, ...], outcome: str) -> None:
        if name in CHANGES or name in ("open", "lock"):
            more = [str(words[1])] if name in ("rename", "truncate") else []
            self.calls.append((name, str(path), *more, outcome))


def main() -> int:
    """Run one life of a workload."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--steps", type=int, help="how many; without it for ever")
    parser.add_argument("--leave-out", default="", help="see wrapped_disks.LeavingOut")
    parser.add_argument("--log", type=Path, help="write the disk's log there, as JSON")
    options = parser.parse_args()
    log = Log(LeavingOut(options.leave_out).seam() if options.leave_out else RealDisk())
    refused = 0
    work: Work | None = None
    for _ in count() if options.steps is None else range(options.steps):
        try:
            work = work or WORKLOADS[options.workload]().open(options.data_dir, log.seam())
            done = work.step()
        except (StoreError, OSError) as exc:
            refused += 1
            sys.stderr.write(f"refused: {exc}\n")
        else:
            os.write(1, b"ack %d\n" % done)
    with suppress(StoreError, OSError):
        if work:
            work.close()
    if options.log:
        options.log.write_text(json.dumps(log.calls))
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
