"""Putting a whole file in another's place so that a power cut leaves the old one or the new one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from store.disk import write_all

if TYPE_CHECKING:
    from pathlib import Path

    from store.disk import Disk

PART = ".part"
"""What a file is called until it is whole; whoever finds one knows that its writer died."""


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Write `data` beside `path`, make it durable, and only then give it that name, durably.

    The caller is the only writer of `path`. Raises `OSError`; then `path` is as it was, unless it was the
    directory that could not be synced: then it is the old or the new one.
    """
    part = path.with_name(path.name + PART)
    with suppress(FileNotFoundError):
        disk.unlink(part)
    handle = disk.create(part)
    try:
        write_all(disk, handle, data)
        disk.sync(handle)
    except OSError:
        with suppress(OSError):
            disk.close(handle)
        with suppress(OSError):  # it takes space that somebody may need now
            disk.unlink(part)
        raise
    disk.close(handle)
    disk.rename(part, path)
    disk.sync_dir(path.parent)
