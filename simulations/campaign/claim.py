"""One campaign at a time writes to a directory: whoever plays holds a lock on a file in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

if sys.platform != "win32":
    import fcntl

LOCK = "lock"
"""It stays when the campaign is over: a lock that is removed may be held twice."""


class ClaimedError(OSError):
    """Another campaign is writing there; says which process it is."""


def claim(directory: Path) -> TextIO:
    """Take a directory for ourselves, until what this gives is closed or the process ends, however it ends.

    Raises:
        ClaimedError: another campaign has it.
        OSError: the directory cannot be written to.
    """
    held = (directory / LOCK).open("a+", encoding="ascii")
    try:
        if (
            sys.platform != "win32"
        ):  # there nothing is held, and two campaigns in one directory are not noticed
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.seek(0)
        who = held.read(20).strip()
        held.close()
        raise ClaimedError(
            f"another campaign is writing to {directory} ({f'process {who}' if who else 'just begun'}); "
            "wait for it or name another --out"
        ) from None
    except BaseException:
        held.close()
        raise
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    return held
