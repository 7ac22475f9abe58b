"""Virtual disks that leave out one kind of sync each: whatever is proved on a true one must fail on these."""

from __future__ import annotations

from pathlib import Path

from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Call


class NoSync(VirtualDisk):
    """Never flushes a file's bytes."""

    def sync(self, handle: int) -> None:
        pass


class RetriedSync(VirtualDisk):
    """Believes a second sync after one that failed."""

    def sync(self, handle: int) -> None:
        try:
            super().sync(handle)
        except OSError:
            fails, self.fails_at_sync = self.fails_at_sync, False
            super().sync(handle)
            self.fails_at_sync = fails


class OnlyOwnSyncs(VirtualDisk):
    """Flushes the bytes only of files that this process made."""

    def create(self, path: Path) -> int:
        handle = super().create(path)
        self.made = {*getattr(self, "made", ()), handle}
        return handle

    def sync(self, handle: int) -> None:
        if handle in self.made:
            super().sync(handle)


class UnorderedRemovals(VirtualDisk):
    """Never flushes a directory between two removals."""

    def sync_dir(self, path: Path) -> None:
        if not self.log or self.log[-1].call is not Call.UNLINK:
            super().sync_dir(path)


def no_sync_dir(name: str) -> type[VirtualDisk]:
    """Return a disk that never flushes the entries of one directory."""

    class NoSyncDir(VirtualDisk):
        def sync_dir(self, path: Path) -> None:
            if path.name != name:
                super().sync_dir(path)

    return NoSyncDir
