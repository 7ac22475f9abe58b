"""Power cuts, enumerated: every state a disk may be in after one still restores what was acknowledged.

The real store runs on a disk in memory that logs each call. From each prefix of the log follow the
states the medium may be in: what was synced is there; data that was not is there, missing, cut at any
byte, or replaced by zeros or garbage; directory entries that were not are there or missing, in every
combination. In each of them the real store is opened again and judged.

A checker is only worth what it can catch: the same enumeration, with one sync left out, must fail.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store import History, Limits, SessionSummary, TransitionRecord
from store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HOME = Path("/disk/user")  # exists, durably; nothing in it does
DATA = HOME / "data"
LIMITS = Limits(
    segment_bytes=700,
    crowded_bytes=1500,
    relaxed_bytes=900,
    crowded_segments=50,
    relaxed_segments=40,
    reserve_bytes=0,
)
BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r")


@dataclass(frozen=True)
class Medium:
    """What a disk holds after a power cut."""

    files: dict[Path, bytes] = field(default_factory=dict)
    dirs: frozenset[Path] = frozenset({HOME})

    def key(self) -> object:
        """Return what equal media have in common."""
        return self.dirs, frozenset(self.files.items())


@dataclass(frozen=True)
class Op:
    """One call the kernel was asked for; `acked` is how many records had been acknowledged before it."""

    kind: str
    acked: int
    node: int = 0  # which file
    path: Path = HOME
    new: Path = HOME
    offset: int = 0
    data: bytes = b""


class MemoryDisk:
    """A disk in memory that logs what would change a medium."""

    def __init__(self, medium: Medium | None = None) -> None:
        self.start = medium or Medium()
        self.dirs = set(self.start.dirs)
        self.names = {path: node for node, path in enumerate(sorted(self.start.files))}
        self.contents = [bytearray(self.start.files[path]) for path in sorted(self.start.files)]
        self.handles: dict[int, int] = {}
        self.locked: set[int] = set()
        self.log: list[Op] = []
        self.acked = 0
        self.fail_syncs: set[int] = set()  # which sync calls, counted from 0, report an error
        self.syncs = 0

    def now(self) -> Medium:
        """Return what it holds if the power stays on."""
        files = {path: bytes(self.contents[node]) for path, node in self.names.items()}
        return Medium(files, frozenset(self.dirs))

    def note(self, kind: str, node: int = 0, path: Path = HOME, new: Path = HOME, data: bytes = b"") -> None:
        """Log one call."""
        offset = len(self.contents[node]) if kind == "append" else 0
        self.log.append(Op(kind, self.acked, node, path, new, offset, data))

    def mkdir(self, path: Path) -> None:
        if path in self.dirs or path in self.names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        if path.parent not in self.dirs:
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))
        self.note("mkdir", path=path)
        self.dirs.add(path)

    def listing(self, path: Path) -> dict[str, int]:
        if path not in self.dirs:
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))
        return {
            name.name: len(self.contents[node]) for name, node in self.names.items() if name.parent == path
        }

    def read(self, path: Path, limit: int) -> bytes:
        return bytes(self.contents[self.node(path)][:limit])

    def node(self, path: Path) -> int:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))
        return self.names[path]

    def create(self, path: Path) -> int:
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        if path.parent not in self.dirs:
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))
        self.contents.append(bytearray())
        self.names[path] = len(self.contents) - 1
        self.note("create", self.names[path], path)
        return self.open(path)

    def open(self, path: Path) -> int:
        handle = 1000 + len(self.handles)
        self.handles[handle] = self.node(path)
        return handle

    def write(self, handle: int, data: bytes | memoryview) -> int:
        node = self.handles[handle]
        self.note("append", node, data=bytes(data))
        self.contents[node] += data
        return len(data)

    def sync(self, handle: int) -> None:
        self.syncs += 1
        if self.syncs - 1 in self.fail_syncs:
            self.note("failed sync", self.handles[handle])
            raise OSError(errno.EIO, "sync failed")
        self.note("sync", self.handles[handle])

    def sync_dir(self, path: Path) -> None:
        self.note("sync_dir", path=path)

    def rename(self, old: Path, new: Path) -> None:
        self.note("rename", self.names[old], old, new)
        self.names[new] = self.names.pop(old)

    def truncate(self, handle: int, size: int) -> None:
        node = self.handles[handle]
        del self.contents[node][size:]
        self.note("truncate", node)
        self.log[-1] = replace(self.log[-1], offset=size)

    def unlink(self, path: Path) -> None:
        self.note("unlink", self.node(path), path)
        del self.names[path]

    def lock(self, handle: int) -> bool:
        node = self.handles[handle]
        free = node not in self.locked
        self.locked.add(node)
        return free

    def close(self, handle: int) -> None:
        self.locked.discard(self.handles[handle])

    def check_writable(self, path: Path) -> None:
        if path not in self.dirs:
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))


# From a log to the media it may leave behind


def directory(op: Op) -> Path:
    """Return where an operation changes an entry."""
    return op.path.parent


def pending_entries(ops: list[Op]) -> list[int]:
    """Return which operations on directory entries are not certain to be on the medium."""
    pending: list[int] = []
    for index, op in enumerate(ops):
        if op.kind in ("mkdir", "create", "rename", "unlink"):
            pending.append(index)
        elif op.kind == "sync_dir":
            pending = [other for other in pending if directory(ops[other]) != op.path]
    return pending


def pending_data(ops: list[Op]) -> list[int]:
    """Return which operations on bytes are not certain to be; a failed sync leaves them so for ever."""
    pending: list[int] = []
    limbo: list[int] = []
    for index, op in enumerate(ops):
        mine = [other for other in pending if ops[other].node == op.node]
        if op.kind in ("append", "truncate"):
            pending.append(index)
        elif op.kind in ("sync", "failed sync"):
            pending = [other for other in pending if other not in mine]
            if op.kind == "failed sync":
                limbo += mine
    return sorted(pending + limbo)


def build(start: Medium, ops: list[Op], without: Iterable[int], instead: dict[int, bytes]) -> Medium:
    """Return the medium after `ops`, some of them left out, some with other data."""
    first = MemoryDisk(start)
    names, dirs, contents = first.names, first.dirs, dict(enumerate(first.contents))
    left_out = set(without)
    for index, op in enumerate(ops):
        if index in left_out:
            continue
        content = contents.setdefault(op.node, bytearray())
        if op.kind == "mkdir":
            dirs.add(op.path)
        elif op.kind == "create":
            names[op.path] = op.node
        elif op.kind == "unlink":
            names.pop(op.path, None)
        elif op.kind == "rename":
            names.pop(op.path, None)
            names[op.new] = op.node
        elif op.kind == "append":
            content += bytes(max(0, op.offset - len(content)))
            content[op.offset :] = instead.get(index, op.data)
        elif op.kind == "truncate":
            del content[op.offset :]
    # What hangs below a directory that is not there is not there either.
    reachable = frozenset(
        path for path in dirs if all(parent in dirs for parent in path.parents if parent not in HOME.parents)
    )
    files = {path: bytes(contents.get(node, b"")) for path, node in names.items() if path.parent in reachable}
    return Medium(files, reachable)


def torn(data: bytes, step: int) -> Iterator[bytes]:
    """Return what may be on the medium of an append that was not synced."""
    for size in range(0, len(data), step):
        yield data[:size]
    half = len(data) // 2
    yield bytes(len(data))
    yield b"\xa5" * len(data)
    yield data[:half] + bytes(len(data) - half)
    yield data[:half] + b"\xa5" * (len(data) - half)


def holed(data: bytes, step: int) -> Iterator[bytes]:
    """Return what may be on the medium of a long append whose later blocks were faster."""
    for size in range(1, len(data), step):
        yield bytes(size) + data[size:]


def subsets(indexes: list[int]) -> Iterator[tuple[int, ...]]:
    """Return all combinations; of more than four, those of at most two, and all together."""
    sizes = range(len(indexes) + 1) if len(indexes) <= 4 else (0, 1, 2, len(indexes))
    return chain.from_iterable(combinations(indexes, size) for size in sizes)


def media(
    start: Medium, log: list[Op], step: int = 1, tear: Callable[[bytes, int], Iterable[bytes]] = torn
) -> Iterator[tuple[int, Medium]]:
    """Return each different medium, and how many records had been acknowledged when the power went.

    Writes are torn at each `step`-th byte.
    """
    seen: set[object] = set()
    for end in range(len(log) + 1):
        ops = log[:end]
        acked = max((op.acked for op in log[: end + 1]), default=0)
        data, entries = pending_data(ops), pending_entries(ops)
        found = [
            build(start, ops, (*no_data, *no_entries), {})
            for no_data in ((), data)
            for no_entries in subsets(entries)
        ]
        for last in {ops[index].node: index for index in data if ops[index].kind == "append"}.values():
            found += [build(start, ops, (), {last: part}) for part in tear(ops[last].data, step)]
        for medium in found:
            key = (acked, medium.key())
            if key not in seen:
                seen.add(key)
                yield acked, medium


# The judge


def expectations(records: list[TransitionRecord]) -> list[set[SessionSummary]]:
    """Return the summaries after each number of records."""
    ledger = Ledger()
    expected: list[set[SessionSummary]] = [set()]
    for record in records:
        ledger.fold(record)
        expected.append(set(ledger.sessions()))
    return expected


def missing(before: Medium, after: Medium) -> str:
    """Say which bytes of the journal are neither in it nor in the quarantine after a recovery."""
    kept = [content for path, content in after.files.items() if path.parent.name == "quarantine"]
    for path, content in before.files.items():
        left = after.files.get(path, b"")
        gone = content[len(left) :]
        if path.parent.name == "journal" and not (content.startswith(left) and (not gone or gone in kept)):
            return f"bytes of {path} are gone"
    return ""


class Judge:
    """Says what is wrong with a medium, given what was recorded in this order."""

    def __init__(self, records: list[TransitionRecord]) -> None:
        self.records = records
        self.expected = expectations(records)

    def verdict(self, acked: int, medium: Medium) -> str:
        """Return the first fault, or nothing."""
        disk = MemoryDisk(medium)
        with History.open(DATA, disk=disk, limits=LIMITS) as history:
            found = list(history.transitions())
            summaries = set(history.sessions())
            damaged = history.receipt.damaged
        # Summaries as after some number of records, all acknowledged ones among them.
        if summaries not in self.expected[acked:]:
            return f"after {acked} acknowledged: {summaries}"
        count = acked + self.expected[acked:].index(summaries)
        if found != self.records[count - len(found) : count]:
            return f"not a run of what was recorded: {found}"
        if damaged:
            return f"called damaged: {damaged}"
        after = disk.now()
        if after == medium:
            return ""
        again = MemoryDisk(after)
        with History.open(DATA, disk=again, limits=LIMITS) as history:
            same = (set(history.sessions()), list(history.transitions())) == (summaries, found)
        return missing(medium, after) or ("" if same and again.now() == after else "a second opening differs")

    def verdicts(self, disk: MemoryDisk, step: int = 1) -> Iterator[str]:
        """Judge every medium that the log may leave."""
        return (self.verdict(acked, medium) for acked, medium in media(disk.start, disk.log, step))


# Workloads


class Session:
    """Runs histories on one disk, and remembers what they recorded."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.records: list[TransitionRecord] = []

    def run(self, *batches: int) -> None:
        """Let one process commit batches of so many records, and be killed."""
        history = History.open(DATA, disk=self.disk, limits=LIMITS)
        for size in batches:
            for _ in range(size):
                image = "ab"[len(self.records) % 2]
                target = ("Connected", "Reconnecting")[len(self.records) % 3 > 0]
                record = replace(BASE, image=image, seq=history.next_seq(image), target=target)
                history.record(record)
                self.records.append(record)
            history.commit()
            self.disk.acked = len(self.records)
        self.disk.note("end")
        self.disk.locked.clear()


def two_processes(disk: MemoryDisk) -> Session:
    """A first process that makes everything, and a second that finds it."""
    session = Session(disk)
    session.run(1, 2)
    session.run(1, 1)
    return session


def rotation_and_removal(disk: MemoryDisk) -> Session:
    """Long enough that segments rotate, a checkpoint is written and old segments go."""
    session = Session(disk)
    session.run(*[2] * 10)
    assert any(op.kind == "unlink" for op in disk.log)
    return session


def failed_syncs(disk: MemoryDisk) -> Session:
    """A sync fails on a segment that has acknowledged records; another on the fresh one's first write."""
    disk.fail_syncs = {1, 3}
    session = Session(disk)
    session.run(1, 1, 1, 1)
    assert disk.syncs > 4
    return session


# The longer workloads write the same kinds of records many times over: a step that shares no factor
# with their sizes meets every place within a record without meeting each of every record.
@pytest.mark.parametrize(
    ("workload", "step"), [(two_processes, 1), (rotation_and_removal, 3), (failed_syncs, 3)]
)
def test_every_acknowledged_transition_survives_every_power_cut(
    workload: Callable[[MemoryDisk], Session], step: int
) -> None:
    """In each state nothing acknowledged is missing, nothing is mixed or destroyed, and twice is once."""
    disk = MemoryDisk()
    verdicts = list(Judge(workload(disk).records).verdicts(disk, step))
    assert len(verdicts) > 500
    assert set(verdicts) == {""}


def test_a_write_that_arrives_back_to_front_harms_nothing_acknowledged() -> None:
    """With valid records behind the hole it cannot be told from damage: it is called that, and kept whole."""
    disk = MemoryDisk()
    judge = Judge(two_processes(disk).records)
    verdicts = {judge.verdict(acked, medium)[:14] for acked, medium in media(disk.start, disk.log, 1, holed)}
    assert verdicts == {"", "called damaged"}


def torn_media() -> Iterator[tuple[int, Medium, Session]]:
    """Return media whose recovery has something to do."""
    disk = MemoryDisk()
    session = Session(disk)
    session.run(1, 2)
    for acked, medium in media(disk.start, disk.log):
        if acked and len(max(medium.files.values(), key=len, default=b"")) % 37 == 0:
            yield acked, medium, session


def recovery(acked: int, medium: Medium, session: Session, kind: type[MemoryDisk]) -> tuple[int, list[str]]:
    """Cut the power during and after the recovery of a medium; return media and faults."""
    disk = kind(medium)
    disk.acked = acked
    History.open(DATA, disk=disk, limits=LIMITS).close()
    judge = Judge(session.records)
    cuts = [cut for _, cut in media(disk.start, disk.log)]
    faults = [judge.verdict(acked, cut) or missing(medium, cut) for cut in cuts]
    return len(cuts), [fault for fault in faults if fault]


def test_recovery_survives_power_cuts_of_its_own() -> None:
    """At each step of mending a torn tail: the acknowledged records, and the torn bytes, are all there."""
    total = 0
    for acked, medium, session in torn_media():
        count, faults = recovery(acked, medium, session, MemoryDisk)
        assert faults == []
        total += count
    assert total > 200


# Mutants: disks that leave one thing out


class NoSync(MemoryDisk):
    """Never flushes a segment's bytes."""

    def sync(self, handle: int) -> None:
        pass


class UnorderedRemovals(MemoryDisk):
    """Never flushes a directory between two removals."""

    def sync_dir(self, path: Path) -> None:
        if self.log[-1].kind != "unlink":
            super().sync_dir(path)


class RetriedSync(MemoryDisk):
    """Believes a second sync after one that failed."""

    def sync(self, handle: int) -> None:
        try:
            super().sync(handle)
        except OSError:
            super().sync(handle)


def no_sync_dir(name: str) -> type[MemoryDisk]:
    """Return a disk that never flushes the entries of one directory."""

    class NoSyncDir(MemoryDisk):
        def sync_dir(self, path: Path) -> None:
            if path.name != name:
                super().sync_dir(path)

    return NoSyncDir


@pytest.mark.parametrize(
    ("mutant", "workload"),
    [
        pytest.param(NoSync, two_processes, id="segments are not synced"),
        pytest.param(no_sync_dir("journal"), two_processes, id="the segment's name is not synced"),
        pytest.param(no_sync_dir("data"), two_processes, id="the journal directory's name is not synced"),
        pytest.param(no_sync_dir("user"), two_processes, id="the data directory's name is not synced"),
        pytest.param(NoSync, rotation_and_removal, id="checkpoints are not synced"),
        pytest.param(no_sync_dir("journal"), rotation_and_removal, id="later segments' names are not synced"),
        pytest.param(UnorderedRemovals, rotation_and_removal, id="removals are not synced one by one"),
        pytest.param(RetriedSync, failed_syncs, id="a failed sync is tried again"),
    ],
)
def test_leaving_out_one_sync_is_caught(
    mutant: type[MemoryDisk], workload: Callable[[MemoryDisk], Session]
) -> None:
    """The enumeration finds a lost acknowledgement for each sync that is missing."""
    disk = mutant()
    wanted = "not a run" if mutant is UnorderedRemovals else "acknowledged"
    assert any(wanted in verdict for verdict in Judge(workload(disk).records).verdicts(disk, 7))


@pytest.mark.parametrize("mutant", [NoSync, no_sync_dir("quarantine"), no_sync_dir("data")])
def test_leaving_out_one_sync_of_mending_is_caught(mutant: type[MemoryDisk]) -> None:
    """The torn bytes' copy must be durable, with its name and its directory's, before the tail is cut."""
    assert any(
        "are gone" in fault
        for acked, medium, session in torn_media()
        for fault in recovery(acked, medium, session, mutant)[1]
    )
