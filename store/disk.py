"""The few calls the store makes on a disk, and the only place where they are really made.

Everything above takes a `Disk`, so that faults, power cuts and recordings are put in by passing
another one. The calls are primitive on purpose: each is one system call (or the smallest group
that has one outcome), so that a log of them is a log of what the kernel was asked to do.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING, Protocol

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY_MODE = 0o700  # who talked to which image, and when, is nobody else's business
FILE_MODE = 0o600

# A read takes the memory it is asked for, whatever the file has; segments are about this long.
CHUNK_BYTES = 256 * 1024

# Windows locks byte ranges, and its locks forbid reading the range: this byte lies far behind any data.
WINDOWS_LOCKED_BYTE = 0x7FFF_FFF0


class Disk(Protocol):
    """What the store asks of a disk; every call raises `OSError` when it is refused.

    Handles are small integers that mean something to the disk that gave them.
    """

    def mkdir(self, path: Path) -> None:
        """Make one directory, for its owner only; `FileExistsError` if anything has that name."""

    def listing(self, path: Path) -> dict[str, int]:
        """Return the names of the regular files in a directory with their sizes in bytes."""

    def read(self, path: Path, limit: int) -> bytes:
        """Return the first `limit` bytes of a regular file."""

    def create(self, path: Path) -> int:
        """Make a new empty file, for its owner only, and open it for appending."""

    def open(self, path: Path) -> int:
        """Open an existing regular file for appending, truncating and locking."""

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Append; return how many bytes were taken, which may be fewer than given."""

    def sync(self, handle: int) -> None:
        """Return when the file's bytes and length are on the medium."""

    def sync_dir(self, path: Path) -> None:
        """Return when the directory's entries are on the medium."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in one step."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to `size` bytes."""

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""

    def lock(self, handle: int) -> bool:
        """Take the kernel's exclusive lock, held until `close`; False if somebody else has it."""

    def close(self, handle: int) -> None:
        """Give back the handle and with it the lock."""

    def check_writable(self, path: Path) -> None:
        """Raise if entries cannot be made in this directory (a full disk does not count)."""


class RealDisk:
    """The operating system's file calls."""

    def mkdir(self, path: Path) -> None:
        """Make one directory with mode 0700."""
        os.mkdir(path, DIRECTORY_MODE)  # noqa: PTH102 -- raw calls, one each, are this module's purpose

    def listing(self, path: Path) -> dict[str, int]:
        """Return regular files and sizes; links, pipes and directories are not ours and are left out."""
        found: dict[str, int] = {}
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # removed by another process since the directory was read
                    continue
                if stat.S_ISREG(status.st_mode):
                    found[entry.name] = status.st_size
        return found

    def read(self, path: Path, limit: int) -> bytes:
        """Return at most `limit` bytes from the start of a regular file."""
        handle = self._opened(path, os.O_RDONLY)
        try:
            chunks: list[bytes] = []
            while limit > 0 and (chunk := os.read(handle, min(limit, CHUNK_BYTES))):
                chunks.append(chunk)
                limit -= len(chunk)
            return b"".join(chunks)
        finally:
            os.close(handle)

    def create(self, path: Path) -> int:
        """Make a new file with mode 0600; `FileExistsError` if the name is taken."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | _BINARY, FILE_MODE)

    def open(self, path: Path) -> int:
        """Open an existing regular file."""
        return self._opened(path, os.O_RDWR | os.O_APPEND)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        """Append with one call."""
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        """Flush to the medium, past the drive's cache where the system offers that."""
        if sys.platform == "darwin":
            # Apple's fsync leaves the drive's cache alone and may reorder; only this call does not.
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        elif sys.platform == "win32":
            os.fsync(handle)
        else:
            os.fdatasync(handle)

    def sync_dir(self, path: Path) -> None:
        """Flush a directory's entries."""
        if sys.platform == "win32":
            return  # directories cannot be flushed there; NTFS journals names by itself
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if sys.platform == "darwin":
                fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            else:
                os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        """Rename, replacing what had the new name."""
        os.replace(old, new)  # noqa: PTH105 -- as in mkdir

    def truncate(self, handle: int, size: int) -> None:
        """Cut to `size` bytes."""
        os.ftruncate(handle, size)

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)  # noqa: PTH108 -- as in mkdir

    def lock(self, handle: int) -> bool:
        """Lock without waiting; the kernel releases it when the process dies, however it dies."""
        try:
            if sys.platform == "win32":
                os.lseek(handle, WINDOWS_LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
                return False
            raise  # no locks here at all: never to be taken for "free"
        return True

    def close(self, handle: int) -> None:
        """Close; the lock goes with it."""
        os.close(handle)

    def check_writable(self, path: Path) -> None:
        """Ask the kernel, which knows permissions and read-only mounts alike."""
        os.stat(path)  # noqa: PTH116 -- as in mkdir; it names a missing or unreachable directory
        if os.access(path, os.W_OK | os.X_OK):
            return
        code = errno.EACCES
        if sys.platform != "win32" and os.statvfs(path).f_flag & os.ST_RDONLY:
            code = errno.EROFS
        raise OSError(code, os.strerror(code), str(path))

    @staticmethod
    def _opened(path: Path, flags: int) -> int:
        # Not following links, and not waiting for a pipe's other end: what has our file's name
        # but is no regular file must neither lead us elsewhere nor block us.
        handle = os.open(path, flags | _NO_FOLLOW | _NO_WAIT | _BINARY)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return handle


def write_all(disk: Disk, handle: int, data: bytes) -> None:
    """Append everything, or raise.

    A full file system may take a part and raise nothing (tmpfs does); asking again for the rest
    makes it say why.
    """
    taken = disk.write(handle, data)
    while taken < len(data):
        more = disk.write(handle, memoryview(data)[taken:])
        if more <= 0:
            raise OSError(errno.EIO, "the disk takes no more bytes and gives no reason")
        taken += more


_BINARY = getattr(os, "O_BINARY", 0)  # Windows would rewrite line ends without it
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
