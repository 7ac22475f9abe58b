"""What can go wrong with the store, named by what the user has to do about it."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELSEWHERE = "choose another data directory"

ADVICE: dict[int, str] = {
    errno.ENOSPC: "Free some space there; what is waiting is saved by the next commit that succeeds.",
    errno.EDQUOT: "Your quota is used up: delete files or ask for more; what is waiting is then saved.",
    errno.EROFS: f"The file system is mounted read-only: mount it writable, or {ELSEWHERE}.",
    errno.EIO: f"The device reports a hardware error: read the kernel log, make a copy, and {ELSEWHERE}.",
    errno.EACCES: f"This user may not use it: give it this user as owner, or {ELSEWHERE}.",
    errno.EPERM: f"This user may not use it: give it this user as owner, or {ELSEWHERE}.",
    errno.ENOTDIR: f"A file stands where a directory belongs: move that file away, or {ELSEWHERE}.",
    errno.EEXIST: f"Something else stands where a directory belongs: move it away, or {ELSEWHERE}.",
    errno.ENOENT: f"It vanished while in use: put the directory back, or {ELSEWHERE}.",
    errno.EMFILE: "This process has no file descriptor left: raise its limit (ulimit -n).",
    errno.ENFILE: "This machine has no file descriptor left: close programs or raise the system's limit.",
    errno.EINVAL: f"The file system there cannot make this durable: {ELSEWHERE} on a local disk.",
    errno.ENOLCK: f"The file system there has no file locks: {ELSEWHERE} on a local disk.",
    errno.ENOSYS: f"The file system there lacks this call: {ELSEWHERE} on a local disk.",
    errno.EOPNOTSUPP: f"The file system there lacks this call: {ELSEWHERE} on a local disk.",
}


class StoreError(Exception):
    """Root of everything the store raises on purpose.

    Attributes:
        what: what was being done, such as ``"write the journal"``.
        path: the file or directory concerned, if there is one.
        errno: the operating system's error number, if it was asked.
        advice: one sentence saying what to do next.
    """

    def __init__(self, what: str, path: Path | None = None, errno: int | None = None) -> None:
        """Keep the data; the prose is derived from it."""
        super().__init__(what, path, errno)  # the same three, so that pickling works
        self.what = what
        self.path = path
        self.errno = errno

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return ADVICE.get(self.errno or 0, f"Check the disk and the directory, or {ELSEWHERE}.")

    def __str__(self) -> str:
        """Say what failed, where, why, and what to do."""
        where = f" ({self.path})" if self.path else ""
        why = f": {os.strerror(self.errno)}" if self.errno else ""
        return f"Cannot {self.what}{where}{why}. {self.advice}"


class DiskError(StoreError):
    """The disk or file system refused; nothing that was acknowledged is affected."""


class StoreFull(DiskError):  # noqa: N818 -- a condition the user sees and clears, named as one
    """No space or no quota left."""


class StoreReadOnly(DiskError):  # noqa: N818 -- as above
    """Writing is not possible here, or was not asked for at open; reading is."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return super().advice if self.errno else "Open the history without read_only to record."


class StoreUnreadable(DiskError):  # noqa: N818 -- as above
    """The directory, or something needed in it, cannot be read."""


class StoreClosed(StoreError):  # noqa: N818 -- as above
    """The history was closed before this call: the caller's mistake."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return "Open the directory again."


class RecordTooLarge(StoreError):  # noqa: N818 -- as above
    """One record exceeds the journal's limit: the caller's mistake; nothing was buffered.

    Attributes:
        size: bytes the record would take.
        limit: bytes a record may take.
    """

    def __init__(self, size: int, limit: int) -> None:
        """Keep both sizes, in bytes."""
        super().__init__("journal a record")
        self.args = (size, limit)
        self.size = size
        self.limit = limit

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return f"It takes {self.size} bytes of {self.limit} allowed: shorten its texts."


@contextmanager
def naming(what: str, path: Path, *, reading: bool = False) -> Iterator[None]:
    """Turn any `OSError` inside into the `DiskError` that names it.

    Args:
        what: what is being done, to complete "Cannot ...".
        path: the file or directory concerned.
        reading: whether a refusal means that the store cannot even be read.
    """
    try:
        yield
    except OSError as exc:
        raise disk_error(what, path, exc, reading=reading) from exc


def disk_error(what: str, path: Path, exc: OSError, *, reading: bool = False) -> DiskError:
    """Return the error that names `exc`."""
    code = exc.errno or errno.EIO
    kind: type[DiskError]
    if code in (errno.ENOSPC, errno.EDQUOT):
        kind = StoreFull
    elif reading:
        kind = StoreUnreadable
    elif code in (errno.EROFS, errno.EACCES, errno.EPERM):
        kind = StoreReadOnly
    elif code in (errno.ENOTDIR, errno.EEXIST):
        kind = StoreUnreadable
    else:
        kind = DiskError
    return kind(what, path, code)
