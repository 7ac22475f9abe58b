"""What lies on a disk, what was asked of it since, and what of that a power cut may leave.

The rules follow ALICE's model of file systems, on the cautious side: what no sync covers happens or not,
each call by itself, in any combination, and a write may arrive in part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import NamedTuple, cast

HOME = Path("/disk")
"""Exists on a new disk, durably."""

ROOT = "/"
DIRECTORY = 0
"""Stands in a directory's entry where a file has its inode."""
GONE = -1
"""Stands in an operation's entry that removes the name."""

Place = int | str
"""What a sync is about: a file's bytes, by inode, or a directory's entries, by path."""


@dataclass(frozen=True)
class Medium:
    """What a disk holds, in plain data. Directories on the way to those named here need not be named."""

    files: Mapping[Path, bytes] = field(default_factory=dict)
    dirs: frozenset[Path] = frozenset({HOME})


class Call(StrEnum):
    """What the kernel was asked for, as far as a medium can tell."""

    MKDIR = "mkdir"
    CREATE = "create"
    RENAME = "rename"
    UNLINK = "unlink"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"  # of a file or a directory
    FAILED_SYNC = "failed sync"  # of a file


class Op(NamedTuple):
    """One call: what it is about, and what it does there.

    `offset` and `data` belong to writes (a truncation has its size in `offset`); `entries` are a
    directory's path, a name in it, and the name's new inode.
    """

    call: Call
    places: tuple[Place, ...]
    offset: int = 0
    data: bytes = b""
    entries: tuple[tuple[str, str, int], ...] = ()


class Tree:
    """Directories and files, changed by one `Op` after another.

    Attributes:
        folders: each directory's entries, by its path.
        contents: each file's bytes, by its inode.
    """

    __slots__ = ("contents", "folders")

    def __init__(self, folders: dict[str, dict[str, int]], contents: dict[int, bytearray]) -> None:
        """Take both as they are."""
        self.folders = folders
        self.contents = contents

    @classmethod
    def of(cls, medium: Medium) -> Tree:
        """Make one of plain data. Inodes are numbered from 1, in the order of paths."""
        tree = cls({ROOT: {}}, {})
        for path in sorted({*medium.dirs, *(file.parent for file in medium.files)}):
            for directory in (*reversed(path.parents), path):
                folder, name = split(directory)
                if name:
                    tree._enter(folder, name, DIRECTORY)
        for inode, path in enumerate(sorted(medium.files), 1):
            tree._enter(*split(path), inode)
            tree.contents[inode] += medium.files[path]
        return tree

    def medium(self) -> Medium:
        """Return it as plain data."""
        files = {Path(path): bytes(self.contents[inode]) for path, inode in self.files()}
        return Medium(files, frozenset(Path(folder) for folder in self.folders if folder != ROOT))

    def files(self) -> Iterator[tuple[str, int]]:
        """Yield the path and inode of each file."""
        for folder, names in self.folders.items():
            for name, inode in names.items():
                if inode != DIRECTORY:
                    yield joined(folder, name), inode

    def size(self) -> int:
        """Return the bytes in all files together."""
        return sum(len(self.contents[inode]) for _, inode in self.files())

    def copy(self) -> Tree:
        """Return one that shares nothing with this."""
        folders = {folder: dict(names) for folder, names in self.folders.items()}
        return Tree(folders, {inode: bytearray(content) for inode, content in self.contents.items()})

    def apply(self, op: Op) -> None:
        """Let it happen."""
        for folder, name, inode in op.entries:
            if inode == GONE:
                self.folders.get(folder, {}).pop(name, None)
            else:
                self._enter(folder, name, inode)
        if op.call is Call.WRITE:
            content = self._at_least(op)
            content[op.offset : op.offset + len(op.data)] = op.data
        elif op.call is Call.TRUNCATE:
            del self._at_least(op)[op.offset :]

    def reachable(self) -> Tree:
        """Return it without what hangs below a directory that is not there."""
        folders: dict[str, dict[str, int]] = {}
        waiting = [ROOT]
        for folder in waiting:  # which grows meanwhile
            folders[folder] = self.folders[folder]
            waiting += [joined(folder, name) for name, inode in folders[folder].items() if inode == DIRECTORY]
        linked = {inode for names in folders.values() for inode in names.values()}
        return Tree(folders, {inode: content for inode, content in self.contents.items() if inode in linked})

    def _enter(self, folder: str, name: str, inode: int) -> None:
        # The directory itself may be missing: its own entry is on its way, or a power cut took it.
        self.folders.setdefault(folder, {})[name] = inode
        if inode == DIRECTORY:
            self.folders.setdefault(joined(folder, name), {})
        else:
            self.contents.setdefault(inode, bytearray())

    def _at_least(self, op: Op) -> bytearray:
        """Return a file's bytes, at least as many as the offset; what was never written there is zeros."""
        content = self.contents.setdefault(cast("int", op.places[0]), bytearray())
        if len(content) < op.offset:
            content += bytes(op.offset - len(content))
        return content


def uncertain(log: Sequence[Op]) -> list[int]:
    """Return which calls need not be on the medium: no sync that covers them came after.

    A sync of a file that fails leaves what it should have covered uncertain for ever: the kernel has
    marked the pages clean, and later syncs pass them by.
    """
    found: list[int] = []
    synced: dict[Place, bool] = {}
    for index in range(len(log) - 1, -1, -1):
        op = log[index]
        if op.call is Call.SYNC or op.call is Call.FAILED_SYNC:
            synced[op.places[0]] = op.call is Call.SYNC
        elif not any(synced.get(place, False) for place in op.places):
            found.append(index)
    found.reverse()
    return found


def remains(op: Op, cache: Tree, dice: Random) -> Op | None:
    """Return what a power cut leaves of a call that was not certain: nothing, all, or a part of a write.

    Args:
        op: the call.
        cache: its files' bytes may come up where others were to be written, as reused blocks do.
        dice: decide.
    """
    if op.call is not Call.WRITE:
        return op if dice.random() < 0.5 else None  # noqa: PLR2004 -- a coin
    kind = dice.randrange(4)
    if kind < 2:  # noqa: PLR2004 -- two kinds of four need no bytes made up
        return op if kind else None
    if kind == 2:  # noqa: PLR2004 -- the most common by far on real disks: only a beginning
        return op._replace(data=op.data[: dice.randint(0, len(op.data))])
    others = [cache.contents[inode] for _, inode in sorted(cache.files()) if inode not in op.places]
    return op._replace(data=torn(op.data, bytes(dice.choice(others)) if others else b"", dice))


def torn(data: bytes, stale: bytes, dice: Random) -> bytes:
    """Return what may have arrived of a write, the same for all bytes up to some place and for all behind it.

    In either part stands what was written, or zeros, garbage or stale bytes; or it ends at that place.
    """
    size = len(data)
    begin = dice.randint(0, len(stale))
    fillings = (data, bytes(size), dice.randbytes(size), (stale[begin:] + bytes(size))[:size])
    cut = dice.randint(0, size)
    return dice.choice(fillings)[:cut] + dice.choice((b"", *fillings))[cut:]


def split(path: Path) -> tuple[str, str]:
    """Return the key of the directory a path is in, and its name there; the root has none."""
    folder, _, name = path.as_posix().rpartition("/")
    return folder or ROOT, name


def joined(folder: str, name: str) -> str:
    """Return the key of what has this name there."""
    return f"{folder.rstrip('/')}/{name}"
