"""One writer a session: a kernel lock for as long as it is open, with words about who holds it.

The lock decides; the words only tell a person whom to ask. The lock file is never removed: a lock on a
file that has lost its name excludes nobody.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from store.disk import write_all
from store.outcomes import Busy

if TYPE_CHECKING:
    from store.disk import Disk

MAX_OWNER_BYTES = 4096
UNKNOWN = "another process, which did not say who it is"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a session, as far as it says.

    Attributes:
        pid: its process number.
        start: what tells two processes with the same number apart: when the system started it.
        host: the machine's name.
        user: the user's name.
        since: wall clock in seconds since 1970, when it took the session.
    """

    pid: int
    start: str
    host: str
    user: str
    since: float = 0.0

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}"

    def words(self) -> bytes:
        """Return what `parse` reads."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Return who it was; None if the words cannot be read."""
        try:
            found = json.loads(data)
            return cls(
                int(found["pid"]),
                str(found["start"]),
                str(found["host"]),
                str(found["user"]),
                float(found["since"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return None

    def is_alive(self) -> bool | None:
        """Whether that very process still runs; None: it is on another machine, or cannot be told here."""
        if self.host != _host_name():
            return None
        start = start_token(self.pid)
        return None if start is None and sys.platform != "linux" else start == self.start


def this_process(since: float = 0.0) -> Owner:
    """Return who we are."""
    user = os.environ.get("USER") or os.environ.get("USERNAME") or f"user {getattr(os, 'getuid', int)()}"
    return Owner(os.getpid(), start_token(os.getpid()) or "", _host_name(), user, since)


def start_token(pid: int) -> str | None:
    """Return when the system started this process, in its own terms; None if that cannot be told."""
    with suppress(OSError, ValueError, IndexError):
        # Field 22 of proc(5)'s stat, counted from behind the program's name, which may hold anything.
        status = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{int(status[19])}"
    return None


class Lease:
    """The right to write one session; held from `acquire` to `release`."""

    def __init__(self, disk: Disk, handle: int) -> None:
        """Use `acquire`."""
        self._disk = disk
        self._handle: int | None = handle
        self._process = os.getpid()

    @classmethod
    def acquire(cls, disk: Disk, path: Path, owner: Owner) -> Self:
        """Take it, or raise.

        Raises:
            Busy: another process has it.
            OSError: it cannot be told, for example where there are no locks; never taken for "free".
        """
        try:
            handle = disk.create(path)
        except FileExistsError:
            handle = disk.open(path)
        try:
            ours = disk.lock(handle)
            if ours:
                disk.truncate(handle, 0)
                # Only words: if the disk has no room for them the lock is as good.
                with suppress(OSError):
                    write_all(disk, handle, owner.words())
        except BaseException:
            disk.close(handle)
            raise
        if not ours:
            disk.close(handle)
            raise Busy("open the session for writing", path, str(read_owner(disk, path) or UNKNOWN))
        return cls(disk, handle)

    @property
    def held(self) -> bool:
        """Whether it is ours: a forked child shares the lock with its parent, and must not write."""
        return self._handle is not None and self._process == os.getpid()

    def release(self) -> None:
        """Let it go; again does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                self._disk.close(handle)


def read_owner(disk: Disk, path: Path) -> Owner | None:
    """Return who says it holds the lease; None if nobody does, or it cannot be read."""
    with suppress(OSError):
        return Owner.parse(disk.read(path, MAX_OWNER_BYTES))
    return None


def _host_name() -> str:
    import platform  # noqa: PLC0415 -- 5 ms, wanted once

    return platform.node()
