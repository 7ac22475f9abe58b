"""Watches the journal's bytes on their way to the disk, and tells which transitions a sync has covered."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from simulations.virtual.disk import VirtualDisk
from store import TransitionRecord
from store.codec import decode
from store.framing import HEADER_BYTES, MAGIC, MARK, RECORD_BYTES

_HEAD = struct.Struct("<4sI")


class WitnessDisk:
    """Passes every call on; `on_synced(image key, seq)` for each transition once its bytes were synced.

    Reads the bytes with the store's own framing, but believes nothing of what the store says it did.
    """

    def __init__(self, disk: VirtualDisk, on_synced: Callable[[str, int], None]) -> None:
        self._disk = disk
        self._on_synced = on_synced
        self._written: dict[int, bytearray] = {}

    def write(self, handle: int, data: bytes | memoryview) -> int:
        taken = self._disk.write(handle, data)
        self._written.setdefault(handle, bytearray()).extend(bytes(data[:taken]))
        return taken

    def sync(self, handle: int) -> None:
        try:
            self._disk.sync(handle)
        except OSError:
            self._written.pop(handle, None)  # in limbo: a later sync does not cover it
            raise
        written = self._written.get(handle)
        if written:
            del written[: self._tell(bytes(written))]

    def _tell(self, written: bytes) -> int:
        at = HEADER_BYTES if written.startswith(MAGIC) else 0
        while len(written) - at >= RECORD_BYTES:
            mark, length = _HEAD.unpack_from(written, at)
            if mark != MARK or len(written) - at < RECORD_BYTES + length:
                break
            record = decode(written[at + RECORD_BYTES : at + RECORD_BYTES + length])
            if isinstance(record, TransitionRecord):
                self._on_synced(record.image, record.seq)
            at += RECORD_BYTES + length
        return at

    def create(self, path: Path) -> int:
        handle = self._disk.create(path)
        self._written.pop(handle, None)
        return handle

    def open(self, path: Path) -> int:
        handle = self._disk.open(path)
        self._written.pop(handle, None)
        return handle

    def truncate(self, handle: int, size: int) -> None:
        self._written.pop(handle, None)
        self._disk.truncate(handle, size)

    def close(self, handle: int) -> None:
        self._written.pop(handle, None)
        self._disk.close(handle)

    def mkdir(self, path: Path) -> None:
        self._disk.mkdir(path)

    def listing(self, path: Path) -> dict[str, int]:
        return self._disk.listing(path)

    def read(self, path: Path, limit: int) -> bytes:
        return self._disk.read(path, limit)

    def sync_dir(self, path: Path) -> None:
        self._disk.sync_dir(path)

    def rename(self, old: Path, new: Path) -> None:
        self._disk.rename(old, new)

    def unlink(self, path: Path) -> None:
        self._disk.unlink(path)

    def lock(self, handle: int) -> bool:
        return self._disk.lock(handle)

    def check_writable(self, path: Path) -> None:
        self._disk.check_writable(path)
