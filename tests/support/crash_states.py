"""What a disk may hold after a power cut, enumerated from the log of the calls that were made on it.

From each prefix of the log follow the states the medium may be in: what was synced is there; data that was
not is there, missing, cut at any byte, or replaced by zeros or garbage; directory entries that were not are
there or missing, in every combination. A file renamed into another directory has the old name, the new one,
or both: file systems without a journal add before they remove, and each directory has to be synced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import GONE, Call, Medium, Op, Place, Tree, uncertain

HOME = Path("/disk/user")  # exists, durably; nothing in it does
DATA = HOME / "data"
EMPTY = Medium(dirs=frozenset({HOME}))


class Killed(BaseException):
    """The process dies here, whatever it would have caught."""


class RecordingDisk(VirtualDisk):
    """Keeps the log of all calls, and after how many of them what had been acknowledged."""

    def __init__(self, start: Medium = EMPTY) -> None:
        super().__init__(start)
        self.start = start
        self.acknowledgements: list[tuple[int, Any]] = [(0, 0)]
        self.fail_syncs: set[int] = set()  # which syncs of files, counted from 0, report an error
        self.dies_at_sync: int | None = None  # before which the process dies, counted likewise
        self.syncs = 0

    def fold(self) -> None:
        """Forget nothing."""

    def sync(self, handle: int) -> None:
        self.fails_at_sync = self.syncs in self.fail_syncs
        self.syncs += 1
        if self.syncs - 1 == self.dies_at_sync:
            raise Killed
        try:
            super().sync(handle)
        finally:
            self.fails_at_sync = False

    def rename(self, old: Path, new: Path) -> None:
        """Rename; between directories that is two changes, each of one directory."""
        super().rename(old, new)
        op = self.log[-1]
        if len(op.places) > 1:
            gone, entered = op.entries
            self.log[-1:] = [
                op._replace(places=(entered[0],), entries=(entered,)),
                op._replace(places=(gone[0],), entries=(gone,)),
            ]

    def acknowledge(self, promise: Any) -> None:
        """Note what is acknowledged from here on."""
        self.acknowledgements.append((len(self.log), promise))

    def acknowledged(self, calls: int) -> Any:
        """Return what was after so many calls."""
        return [promise for length, promise in self.acknowledgements if length <= calls][-1]


def recording(kind: type[VirtualDisk]) -> type[RecordingDisk]:
    """Return a disk of that kind which records."""
    return type(f"Recording{kind.__name__}", (kind, RecordingDisk), {})


def pending(ops: list[Op]) -> tuple[list[int], list[int]]:
    """Return which operations on bytes, and which on names, are not certain to be on the medium."""
    found = uncertain(ops)
    data = [index for index in found if ops[index].call in (Call.WRITE, Call.TRUNCATE)]
    return data, [index for index in found if index not in data]


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


def subsets(ops: list[Op], indexes: list[int]) -> Iterator[tuple[int, ...]]:
    """Return all combinations; of more than four, those of at most two, and all together.

    The halves of a rename count as one, which may be missing as a whole or lack its second half.
    """
    halves = {index for index in indexes if index - 1 in indexes and _is_second_half(ops, index)}
    groups = [index for index in indexes if index not in halves]
    sizes = range(len(groups) + 1) if len(groups) <= 4 else (0, 1, 2, len(groups))
    for missing in chain.from_iterable(combinations(groups, size) for size in sizes):
        both = (*missing, *(index + 1 for index in missing if index + 1 in halves))
        yield both
        for index in missing:
            if index + 1 in halves:  # it is there under its old name, too
                yield tuple(each for each in both if each != index)


def _is_second_half(ops: list[Op], index: int) -> bool:
    """Whether this is what a rename between directories removes."""
    first, second = ops[index - 1 : index + 1]
    return (
        first.call is second.call is Call.RENAME and len(second.entries) == 1 and second.entries[0][2] == GONE
    )


def media(
    disk: RecordingDisk,
    step: int = 1,
    tear: Callable[[bytes, int], Iterable[bytes]] = torn,
    *,
    words: Callable[[str], bool] = lambda _name: False,
) -> Iterator[tuple[Any, Medium]]:
    """Return each different medium, and what had been acknowledged when the power went.

    Args:
        disk: after the calls.
        step: writes are torn at each `step`-th byte.
        tear: makes what may be left of a write.
        words: tells by its name a file that is never synced and decides nothing. Its bytes are torn where
            writing them is the last call, and else taken as written: or each state would come once for
            each of theirs.
    """
    log, seen = disk.log, set[object]()
    indifferent = _inodes(disk, words)
    base, folded = Tree.of(disk.start), 0  # the beginning of the log that is certain, applied once
    for end in range(len(log) + 1):
        ops, promise = log[:end], disk.acknowledged(end)
        data, entries = pending(ops)
        data = [index for index in data if index == end - 1 or ops[index].places[0] not in indifferent]
        certain = min([end, *data, *entries])
        for op in ops[folded:certain]:
            base.apply(op)
        folded = max(folded, certain)  # what was certain stays so
        found = [
            _build(base, ops, folded, {*no_data, *no_entries}, {})
            for no_data in ((), data)
            for no_entries in subsets(ops, entries)
        ]
        for last in {ops[index].places: index for index in data if ops[index].call is Call.WRITE}.values():
            found += [_build(base, ops, folded, set(), {last: part}) for part in tear(ops[last].data, step)]
        for medium in found:
            key = (repr(promise), medium.dirs, frozenset(medium.files.items()))
            if key not in seen:
                seen.add(key)
                yield promise, medium


def _inodes(disk: RecordingDisk, words: Callable[[str], bool]) -> set[Place]:
    names = [(path.rpartition("/")[2], inode) for path, inode in Tree.of(disk.start).files()]
    names += [(name, inode) for op in disk.log for _, name, inode in op.entries if inode > 0]
    return {inode for name, inode in names if words(name)}


def _build(base: Tree, ops: list[Op], begin: int, without: set[int], instead: dict[int, bytes]) -> Medium:
    """Return the medium after `ops`, some of them left out, some with other data."""
    tree = base.copy()
    for index in range(begin, len(ops)):
        if index not in without:
            tree.apply(ops[index]._replace(data=instead.get(index, ops[index].data)))
    return tree.reachable().medium()
