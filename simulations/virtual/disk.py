"""A disk in memory: the calls and refusals of a real one, and what a kill or a power cut leaves of it.

Three things are kept apart. What is certain lies on the *medium*. What was asked for since stands in
a *log* of calls, in order. What the process sees, the *cache*, is both together: a call changes the cache
and joins the log, and a sync makes calls certain, so that they are folded into the medium and forgotten.

A kill in the middle of a job cuts off the end of the log. A power cut lets each call that is not certain
have happened, or not, or in part.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from random import Random

from simulations.virtual.medium import (
    DIRECTORY,
    GONE,
    Call,
    Medium,
    Op,
    Place,
    Tree,
    remains,
    split,
    uncertain,
)

DIRECTORY_BYTES = 4096
"""What a new directory takes: one block of most file systems. A full disk has none left."""


class VirtualDisk:
    """Implements `store.disk.Disk`, for one process at a time.

    Attributes:
        sync_s: what one sync costs, in seconds.
        spent_s: what the calls since the last `take_cost` cost, in seconds.
        fails: whatever would change the disk is refused with EIO. Reading works.
        fails_at_sync: only syncs are refused; the cache takes what is written, as most kernels have it.
        slack_bytes: how much a disk that becomes full still takes, so that a write is cut short there.
        log: the calls that are not folded into the medium yet.
    """

    def __init__(self, medium: Medium | None = None) -> None:
        """Begin with what lies on a medium; None: an empty `HOME`."""
        self.sync_s = 0.0
        self.spent_s = 0.0
        self.fails = False
        self.fails_at_sync = False
        self.slack_bytes = 64  # less than one record of the journal
        self.log: list[Op] = []
        self._medium = Tree.of(medium or Medium())
        self._cache = self._medium.copy()
        self._inodes = len(self._cache.contents)
        self._opened = 2  # no handle is given twice, so that the use of a closed one is always refused
        self._handles: dict[int, int] = {}  # to inodes
        self._locks: dict[int, int] = {}  # inode to the handle that has its lock
        self._synced = False  # since the last `fold`
        self._job_began: int | None = None  # at this length of the log
        self._capacity: int | None = None

    # What the simulation does with it.

    @property
    def full(self) -> bool:
        """Whether there is no space. Removing files or cutting them gives some back."""
        return self._capacity is not None

    @full.setter
    def full(self, full: bool) -> None:
        if full != self.full:
            self._capacity = self._cache.size() + self.slack_bytes if full else None

    def medium(self) -> Medium:
        """Return what it holds if the power stays on."""
        return self._cache.medium()

    def take_cost(self) -> float:
        """Return `spent_s`, and begin to count again."""
        cost, self.spent_s = self.spent_s, 0.0
        return cost

    def begin_job(self) -> None:
        """From here to `end_job`, a kill or a power cut may find any of the calls not made yet.

        Raises:
            RuntimeError: a job is under way already.
        """
        if self._job_began is not None:
            raise RuntimeError("a disk has one job at a time")
        self._job_began = len(self.log)

    def end_job(self) -> None:
        """All its calls have happened, and whoever asked for them may be told."""
        self._job_began = None
        self.fold()

    def kill(self, dice: Random | None = None) -> None:
        """The process is dead: its handles and locks are gone, and what it wrote stays.

        Args:
            dice: decide how far the job under way came, if there is one. None: to its end.
        """
        if dice is not None:
            self._interrupt(dice)
        self._handles.clear()
        self._locks.clear()
        self.spent_s = 0.0
        self.end_job()

    def power_cut(self, dice: Random) -> None:
        """As `kill`, and the cache is lost: the disk becomes one of those that may be found afterwards."""
        self._interrupt(dice)
        doubtful = frozenset(uncertain(self.log))
        for index, op in enumerate(self.log):
            left = remains(op, self._cache, dice) if index in doubtful else op
            if left is not None:
                self._medium.apply(left)
        self.log.clear()
        self._medium = self._medium.reachable()
        self._cache = self._medium.copy()
        self.kill()

    def fold(self) -> None:
        """Move to the medium, in order, what is certain, unless something uncertain came before it there."""
        if not self._synced:
            return  # nothing became certain
        self._synced = False
        doubtful = frozenset(uncertain(self.log))
        kept: list[Op] = []
        blocked: set[Place] = set()
        renamed = False
        for index, op in enumerate(self.log):
            if op.call is Call.SYNC or op.call is Call.FAILED_SYNC:
                if op.places[0] in blocked:
                    kept.append(op)
            elif index in doubtful or not blocked.isdisjoint(op.places):
                kept.append(op)
                blocked.update(op.places)
            else:
                self._medium.apply(op)
                renamed = renamed or bool(op.entries)
        self.log = kept
        if renamed:
            self._forget_files()

    def _forget_files(self) -> None:
        """Drop the bytes of files that nothing leads to, whatever a power cut leaves."""
        alive: set[Place] = {inode for tree in (self._medium, self._cache) for _, inode in tree.files()}
        alive.update(self._handles.values(), *([inode for _, _, inode in op.entries] for op in self.log))
        for tree in (self._medium, self._cache):
            tree.contents = {inode: content for inode, content in tree.contents.items() if inode in alive}
        self.log = [op for op in self.log if isinstance(op.places[0], str) or op.places[0] in alive]

    def _interrupt(self, dice: Random) -> None:
        """Undo the calls of the job under way from a random one on; a write may have taken a part."""
        if self._job_began is None:
            return
        happened = dice.randint(self._job_began, len(self.log))
        under_way = self.log[happened : happened + 1]
        if not under_way:
            return
        del self.log[happened:]
        if under_way[0].call is Call.WRITE:
            data = under_way[0].data
            self.log.append(under_way[0]._replace(data=data[: dice.randrange(len(data))]))
        self._cache = self._medium.copy()
        for op in self.log:
            self._cache.apply(op)

    # What the store does with it.

    def mkdir(self, path: Path) -> None:
        """Make a directory."""
        folder, name = self._vacant(path)
        if self._room() < DIRECTORY_BYTES:
            raise refusal(errno.ENOSPC, path)
        self._do(Op(Call.MKDIR, (folder,), entries=((folder, name, DIRECTORY),)))

    def listing(self, path: Path) -> dict[str, int]:
        """Return the files in a directory with their sizes."""
        names = self._cache.folders[self._directory(path)]
        contents = self._cache.contents
        return {name: len(contents[inode]) for name, inode in names.items() if inode != DIRECTORY}

    def read(self, path: Path, limit: int) -> bytes:
        """Return the beginning of a file."""
        inode = self._file(path, if_directory=errno.EINVAL)
        return bytes(self._cache.contents[inode][: max(limit, 0)])

    def create(self, path: Path) -> int:
        """Make a new file; even a full disk has room for a name."""
        folder, name = self._vacant(path)
        self._inodes += 1
        self._do(Op(Call.CREATE, (folder,), entries=((folder, name, self._inodes),)))
        return self._handle(self._inodes)

    def open(self, path: Path) -> int:
        """Open a file; a failing disk can."""
        return self._handle(self._file(path, if_directory=errno.EISDIR))

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Append; a full disk takes a part, then nothing."""
        inode = self._inode(handle)
        self._check_changes()
        taken = bytes(data[: max(self._room(), 0)])
        if taken:
            self._do(Op(Call.WRITE, (inode,), len(self._cache.contents[inode]), taken))
        elif data:
            raise refusal(errno.ENOSPC)
        return len(taken)

    def sync(self, handle: int) -> None:
        """Make a file's bytes certain; or, in vain, uncertain for ever."""
        inode = self._inode(handle)
        if self.fails or self.fails_at_sync:
            self.log.append(Op(Call.FAILED_SYNC, (inode,)))
        self._sync(inode)

    def sync_dir(self, path: Path) -> None:
        """Make a directory's entries certain; in vain, it leaves them to the next."""
        self._sync(self._directory(path))

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name. Between directories, a sync of either makes both changes certain."""
        (folder, name), (new_folder, new_name) = self._split(old), self._split(new)
        inode = self._file(old, if_directory=errno.EISDIR)  # here directories stay where they are
        if not new_name or self._cache.folders[new_folder].get(new_name) == DIRECTORY:
            raise refusal(errno.ENOTEMPTY if new in old.parents else errno.EISDIR, new)
        self._check_changes(old)
        places = (folder,) if folder == new_folder else (folder, new_folder)
        self._do(Op(Call.RENAME, places, entries=((folder, name, GONE), (new_folder, new_name, inode))))

    def truncate(self, handle: int, size: int) -> None:
        """Cut a file, or lengthen it with zeros."""
        inode = self._inode(handle)
        if size < 0:
            raise refusal(errno.EINVAL)
        self._check_changes()
        self._do(Op(Call.TRUNCATE, (inode,), size))

    def unlink(self, path: Path) -> None:
        """Remove a file's name; its handles go on."""
        self._file(path, if_directory=errno.EISDIR)
        self._check_changes(path)
        folder, name = self._split(path)
        self._do(Op(Call.UNLINK, (folder,), entries=((folder, name, GONE),)))

    def lock(self, handle: int) -> bool:
        """Take the file's lock for this handle, as `flock` does."""
        return self._locks.setdefault(self._inode(handle), handle) == handle

    def close(self, handle: int) -> None:
        """Give back the handle, and the lock if it has it."""
        inode = self._inode(handle)
        del self._handles[handle]
        if self._locks.get(inode) == handle:
            del self._locks[inode]

    def check_writable(self, path: Path) -> None:
        """Refuse what is no directory; there are no permissions here."""
        folder, name = self._split(path)
        if name in self._cache.folders[folder] and self._cache.folders[folder][name] != DIRECTORY:
            raise refusal(errno.EACCES, path)
        self._directory(path)

    def _do(self, op: Op) -> None:
        self.log.append(op)
        self._cache.apply(op)

    def _sync(self, place: Place) -> None:
        self.spent_s += self.sync_s
        if self.fails or self.fails_at_sync:
            raise refusal(errno.EIO)
        self.log.append(Op(Call.SYNC, (place,)))
        self._synced = True
        if self._job_began is None:
            self.fold()

    def _check_changes(self, path: Path | None = None) -> None:
        if self.fails:
            raise refusal(errno.EIO, path)

    def _room(self) -> int:
        """Return how many bytes more it takes."""
        return sys.maxsize if self._capacity is None else self._capacity - self._cache.size()

    def _handle(self, inode: int) -> int:
        self._opened += 1
        self._handles[self._opened] = inode
        return self._opened

    def _inode(self, handle: int) -> int:
        inode = self._handles.get(handle)
        if inode is None:
            raise refusal(errno.EBADF)
        return inode

    def _vacant(self, path: Path) -> tuple[str, str]:
        """Return where something is to be made: the key of its directory, and a name not taken there."""
        folder, name = self._split(path)
        if not name or name in self._cache.folders[folder]:
            raise refusal(errno.EEXIST, path)
        self._check_changes(path)
        return folder, name

    def _split(self, path: Path) -> tuple[str, str]:
        """Return the key of the directory a path is in, which exists, and the name there."""
        folder, name = split(path)
        if folder not in self._cache.folders:
            self._directory(path.parent)
        return folder, name

    def _directory(self, path: Path) -> str:
        """Return the key of a directory that exists."""
        folder = path.as_posix()
        if folder not in self._cache.folders:
            files = dict(self._cache.files())
            beyond_a_file = any(each.as_posix() in files for each in (path, *path.parents))
            raise refusal(errno.ENOTDIR if beyond_a_file else errno.ENOENT, path)
        return folder

    def _file(self, path: Path, *, if_directory: int) -> int:
        """Return the inode of a file that exists; for a directory, refuse with that number."""
        folder, name = self._split(path)
        inode = self._cache.folders[folder].get(name) if name else DIRECTORY
        if inode is None or inode == DIRECTORY:
            raise refusal(errno.ENOENT if inode is None else if_directory, path)
        return inode


def refusal(code: int, path: Path | None = None) -> OSError:
    """Return the error of a real disk; its class follows from the number."""
    return OSError(code, os.strerror(code), *(() if path is None else (str(path),)))
