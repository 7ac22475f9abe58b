"""A disk whose n-th call of a kind, or every one from there on, is refused; and what is certain on it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Medium
from wrapped_disks import Wrapped

FOR_EVER = 10**9

WRITING = ("mkdir", "create", "write", "sync", "sync_dir", "rename", "truncate", "unlink")


@dataclass(frozen=True)
class Fault:
    """What is refused.

    Attributes:
        calls: the kinds of calls that count and are refused.
        code: the error's number; 0 for none: only writes are cut short.
        length: how many in a row.
        taken: bytes that a refused write takes all the same.
    """

    calls: tuple[str, ...]
    code: int
    length: int = 1
    taken: int = 0


FAULTS = {
    "EIO at one sync": Fault(("sync", "sync_dir"), errno.EIO),
    "EIO at every sync": Fault(("sync", "sync_dir"), errno.EIO, FOR_EVER),
    "EIO at one change": Fault(WRITING, errno.EIO),
    "EIO at three changes": Fault(WRITING, errno.EIO, 3),
    "EIO at every change": Fault(WRITING, errno.EIO, FOR_EVER),
    "EIO at one reading": Fault(("read", "listing", "open"), errno.EIO),
    "ENOSPC at one change": Fault(("mkdir", "create", "write"), errno.ENOSPC),
    "ENOSPC after part of a write": Fault(("write",), errno.ENOSPC, FOR_EVER, taken=17),
    "ENOSPC at one sync": Fault(("sync",), errno.ENOSPC),  # where space is given out late
    "EDQUOT at every change": Fault(("mkdir", "create", "write"), errno.EDQUOT, FOR_EVER),
    "EROFS at every change": Fault(WRITING, errno.EROFS, FOR_EVER),
    "EMFILE at one opening": Fault(("create", "open", "read", "listing", "sync_dir"), errno.EMFILE),
    "EMFILE at every opening": Fault(
        ("create", "open", "read", "listing", "sync_dir"), errno.EMFILE, FOR_EVER
    ),
    "EACCES at every opening": Fault(("create", "open"), errno.EACCES, FOR_EVER),
    "EINTR at one sync": Fault(("sync", "sync_dir"), errno.EINTR),  # CPython retries others itself
    "ENOSYS at every lock": Fault(("lock",), errno.ENOSYS, FOR_EVER),
    "ENOLCK at one lock": Fault(("lock",), errno.ENOLCK),
    "short writes": Fault(("write",), 0, FOR_EVER, taken=17),
}


class FailingDisk(Wrapped):
    """A disk in memory that refuses what a fault says, from the n-th such call on, until it is healed.

    Attributes:
        seen: calls of the fault's kinds so far.
    """

    def __init__(self, medium: Medium, fault: Fault, first: int) -> None:
        self.memory = VirtualDisk(medium)
        super().__init__(self.memory)
        self.fault = fault
        self.range = range(first, first + fault.length)
        self.seen = 0

    @property
    def happened(self) -> bool:
        """Whether anything was refused."""
        return self.seen > self.range.start

    def heal(self) -> None:
        """Refuse nothing any more."""
        self.fault = Fault((), 0)

    def certain(self) -> Medium:
        """Return what a power cut leaves if all that is not certain is lost."""
        self.memory.fold()
        return self.memory._medium.reachable().medium()

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        """Count and refuse."""
        if name not in self.fault.calls:
            return call()
        self.seen += 1
        if self.seen - 1 not in self.range:
            return call()
        if name == "sync":  # what it should have covered is uncertain from here on
            self.memory.fails_at_sync = True
            try:
                call()
            except OSError:
                raise refusal(self.fault.code, path) from None
            finally:
                self.memory.fails_at_sync = False
        if name == "write" and self.fault.taken:
            taken = self.memory.write(words[0], bytes(words[1])[: self.fault.taken])
            if not self.fault.code:
                return taken
        raise refusal(self.fault.code, path)


def refusal(code: int, path: Path) -> OSError:
    """Return the error of a real disk; its class follows from the number."""
    return OSError(code, os.strerror(code), str(path))
