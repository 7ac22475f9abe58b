"""Directories whose names are on the medium before anything relies on them, and the one for damaged bytes."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from store.disk import write_all
from store.replace import PART

if TYPE_CHECKING:
    from pathlib import Path

    from store.disk import Disk

COPY = ".bytes"
"""A whole copy of bytes set aside; one still being made ends in `PART`."""


class Directories:
    """Makes directories below one data directory. Every method lets `OSError` through."""

    def __init__(self, disk: Disk, data_dir: Path) -> None:
        """Touch nothing yet."""
        self.disk = disk
        self.data_dir = data_dir
        self.quarantine = data_dir / "quarantine"
        # Names that may not be on the medium yet, whoever made them: a process killed between making
        # a directory and syncing its parent leaves one that looks finished.
        self._owed = {data_dir, data_dir.parent}
        self._made: set[Path] = set()

    def make(self, directory: Path) -> None:
        """Make what is missing of a directory and the way to it."""
        try:
            self.disk.mkdir(directory)
        except FileExistsError:
            return
        except FileNotFoundError:
            self.make(directory.parent)
            # Durable before there is anything in it: whoever finds a directory in use may rely on its name.
            self.disk.sync_dir(directory.parent.parent)
            self.disk.mkdir(directory)
        else:
            # What it stands in was unused: its maker may have been killed before it synced that name.
            self._owed.add(directory.parent.parent)
        self._made.add(directory)
        self._owed.add(directory.parent)

    def owe(self, directory: Path) -> None:
        """Have the next `sync_names` flush this one's entries."""
        self._owed.add(directory)

    def sync_names(self) -> None:
        """Make the names of the directories durable, once per process."""
        for directory in sorted(self._owed):
            try:
                self.disk.sync_dir(directory)
            except PermissionError:
                # The parent of a directory somebody made for us may be closed to us; its maker
                # answers for that name. For one we made ourselves the refusal counts.
                if any(made.parent == directory for made in self._made):
                    raise
        self._owed.clear()

    def keep(self, prefix: str, data: bytes) -> Path:
        """Copy bytes durably into the quarantine; a copy that is there already is not made twice."""
        self._make_quarantine()
        there = self.disk.listing(self.quarantine)
        for name, size in there.items():
            path = self.quarantine / name
            if not name.startswith(f"{prefix}-"):
                continue
            if name.endswith(PART):  # an earlier attempt died here; the original still has the bytes
                self.disk.unlink(path)
            elif size == len(data) and self.disk.read(path, size) == data:
                self.disk.sync_dir(self.quarantine)
                return path
        path = self._free(prefix, there)
        part = path.with_suffix(PART)
        handle = self.disk.create(part)
        try:
            write_all(self.disk, handle, data)
            self.disk.sync(handle)
        finally:
            with suppress(OSError):  # synced or failed already: closing decides nothing
                self.disk.close(handle)
        self.disk.rename(part, path)
        self.disk.sync_dir(self.quarantine)
        return path

    def set_aside(self, file: Path) -> Path:
        """Move a whole file into the quarantine, durably, under a name that nothing has there."""
        self._make_quarantine()
        path = self._free(file.name, self.disk.listing(self.quarantine))
        self.disk.rename(file, path)
        self.disk.sync_dir(self.quarantine)
        self.disk.sync_dir(file.parent)
        return path

    def _make_quarantine(self) -> None:
        self.make(self.quarantine)
        self._owed.add(self.data_dir)
        self.sync_names()

    def _free(self, prefix: str, there: dict[str, int]) -> Path:
        counter = next(n for n in count(1) if f"{prefix}-{n}{COPY}" not in there)
        return self.quarantine / f"{prefix}-{counter}{COPY}"
