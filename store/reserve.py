"""Space set aside, so that the news "the disk is full" can still be written down."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from store.disk import write_all

if TYPE_CHECKING:
    from pathlib import Path

    from store.disk import Disk

NAME = "reserve"


class Reserve:
    """A file that only takes up space. Best effort: no reserve is no error."""

    def __init__(self, disk: Disk, data_dir: Path, size: int) -> None:
        """Touch nothing yet; `size` in bytes, 0 for none."""
        self._disk = disk
        self._dir = data_dir
        self._size = size

    def fill(self) -> None:
        """Make the file if it is missing. It is not synced: space is allotted when it is written."""
        with suppress(OSError):
            if not self._size or NAME in self._disk.listing(self._dir):
                return
            handle = self._disk.create(self._dir / NAME)
            try:
                # Not zeros: file systems that compress would set nothing aside for them.
                write_all(self._disk, handle, bytes(range(1, 256)) * (self._size // 255))
            except OSError:
                self._disk.unlink(self._dir / NAME)  # the disk is that full already: do not make it worse
                raise
            finally:
                self._disk.close(handle)

    def release(self) -> None:
        """Give the space to whoever needs it now."""
        with suppress(OSError):
            self._disk.unlink(self._dir / NAME)
