"""A fault at every single call: never a false acknowledgement, old data intact, recovery afterwards.

A run makes the same calls every time, so the n-th can be made to fail, for every n. What counts as
durable is kept apart, by the strictest reading: a file's bytes at its last successful sync, and
nothing that was written before a failed one.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from store import DiskError, History, Limits, RealDisk, StoreError, TransitionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = Limits(
    segment_bytes=900,
    crowded_bytes=2500,
    relaxed_bytes=1200,
    crowded_segments=50,
    relaxed_segments=40,
    reserve_bytes=1000,
)
BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r")
FAULTY_CALLS = frozenset(name for name in vars(RealDisk) if not name.startswith("_")) - {"close"}


class FaultyDisk(RealDisk):
    """Fails one call, or all from one on, until it is healed."""

    def __init__(self, first: int, last: int, code: int, *, taken: int = 0) -> None:
        self.range = range(first, last)
        self.code = code
        self.taken = taken  # bytes that a failing write still takes
        self.calls = 0
        self.paths: dict[int, Path] = {}
        self.doubtful: set[int] = set()  # handles of which a sync has failed
        self.durable: dict[str, bytes] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in FAULTY_CALLS:
            return found
        return lambda *args: self.call(name, found, *args)

    def call(self, name: str, real: Callable[..., Any], subject: Path | int, *rest: Any) -> object:
        """Make a call, or fail it."""
        self.calls += 1
        if self.calls - 1 in self.range:
            if self.code and name == "sync" and isinstance(subject, int):
                self.doubtful.add(subject)
            if name == "write" and self.taken:
                taken: int = real(subject, bytes(rest[0])[: self.taken])
                if not self.code:
                    return taken
            if self.code:
                raise OSError(self.code, os.strerror(self.code))
        # Syncing for real would cost time and prove nothing: what counts is kept in `durable`.
        result: Any = None if name in ("sync", "sync_dir") else real(subject, *rest)
        if name in ("create", "open") and isinstance(subject, Path):
            self.paths[result] = subject
            self.doubtful.discard(result)
        elif name == "sync" and isinstance(subject, int) and subject not in self.doubtful:
            self.durable[self.paths[subject].name] = self.paths[subject].read_bytes()
        elif name == "unlink" and isinstance(subject, Path):
            self.durable.pop(subject.name, None)
        return result


def last_seq(data_dir: Path) -> int:
    """Return the number of the last transition that a new process finds."""
    with History.open(data_dir, read_only=True) as history:
        last = history.last("a")
        return last.seq if last else 0


def journal_of(durable: dict[str, bytes], place: Path) -> Path:
    """Write what is durable into a directory of its own."""
    (place / "journal").mkdir(parents=True)
    for name, content in durable.items():
        if name.endswith(".journal"):
            (place / "journal" / name).write_bytes(content)
    return place


def prepared(data_dir: Path) -> int:
    """Let an earlier process leave some history and a torn tail; return the last number."""
    with History.open(data_dir, disk=FaultyDisk(0, 0, 0), limits=LIMITS) as history:
        for seq in (1, 2, 3):
            history.record(replace(BASE, seq=seq))
            history.commit()
    with (data_dir / "journal" / "00000001.journal").open("ab") as file:
        file.write(b"torn")
    return 3


def run(data_dir: Path, disk: FaultyDisk, place: Path) -> bool:
    """Do what a program does over a life, checking each acknowledgement; return whether a fault occurred."""
    before = prepared(data_dir)
    kept = {path.name: path.read_bytes() for path in (data_dir / "journal").iterdir()}
    disk.durable |= kept
    try:
        history = History.open(data_dir, disk=disk, limits=LIMITS)
    except StoreError as exc:
        assert exc.errno == disk.code  # noqa: PT017 -- it need not be raised at all
        assert last_seq(data_dir) == before
        return True
    assert history.next_seq("a") in (before + 1, 1)  # 1 if a fault hid the old segment, and that was told
    assert history.next_seq("a") > 1 or history.receipt.damaged
    for seq in range(4, 14):
        history.record(replace(BASE, seq=seq))
        try:
            history.commit()
        except DiskError as exc:
            assert exc.errno == disk.code  # noqa: PT017 -- as above
            assert history.pending > 0
        else:
            assert history.pending == 0
            assert last_seq(journal_of(disk.durable, place / str(seq))) == seq
    failed = disk.calls > disk.range.start
    disk.range = range(0)
    history.record(replace(BASE, seq=14))
    history.close()
    assert history.lost == 0
    with History.open(data_dir) as again:
        last = again.last("a")
        assert last is not None
        assert (last.seq, last.transitions) == (14, 14)
        found = [record.seq for record in again.transitions()]
        assert found == list(range(found[0], 15))
        assert again.receipt.damaged == ()
    return failed


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Return a directory for thousands of small files: in memory, where the system has that."""
    memory = Path("/dev/shm")  # noqa: S108 -- only as the parent of a directory with a random name
    with TemporaryDirectory(prefix="store-faults-", dir=memory if memory.is_dir() else None) as place:
        yield Path(place)


CASES = {
    "EIO once": (1, errno.EIO, 0),
    "ENOSPC once": (1, errno.ENOSPC, 0),
    "EIO, then again": (2, errno.EIO, 0),
    "EIO for a while": (12, errno.EIO, 0),
    "ENOSPC for a while": (12, errno.ENOSPC, 0),
    "EIO from then on": (10**6, errno.EIO, 0),
    "ENOSPC from then on, after part of a write": (10**6, errno.ENOSPC, 17),
    "EROFS from then on": (10**6, errno.EROFS, 0),
    "short writes without an error": (10**6, 0, 17),
}


@pytest.mark.parametrize("case", CASES)
def test_whichever_call_fails_no_acknowledgement_is_false(scratch: Path, case: str) -> None:
    """For every n: the n-th call, or some from the n-th on, fail."""
    length, code, taken = CASES[case]
    for n in count():
        place = scratch / str(n)
        disk = FaultyDisk(n, n + length, code, taken=taken)
        if not run(place / "data", disk, place / "durable"):
            break
    assert n > 60


class RetriesSync(FaultyDisk):
    """Tells nobody that a sync failed, if a second one does not."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name != "sync":
            return found

        def sync(handle: int) -> None:
            try:
                found(handle)
            except OSError:
                found(handle)

        return sync


def test_a_store_that_tried_a_failed_sync_again_would_be_caught(scratch: Path) -> None:
    """The same run, on a disk that hides the first failure, gives a false acknowledgement."""
    caught = 0
    for n in range(60):
        place = scratch / str(n)
        try:
            run(place / "data", RetriesSync(n, n + 1, errno.EIO), place / "durable")
        except AssertionError:
            caught += 1
    assert caught > 0
