"""A real ext4 on a loop device, whose power can be cut: what its journal has not is gone.

The cut is the ioctl that file system tests use: the file system stops at once, and what stands in memory, the
journal's unfinished transaction included, never reaches the device. Mounting it again replays the journal, as
after a power failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from pathlib import Path
from typing import Self

EXT4_IOC_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN of the kernel's fs/ext4/ext4.h: _IOR('X', 125, __u32)."""
NO_LOG_FLUSH = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH, there too: do not even write the journal."""
IMAGE_BYTES = 16 * 1024 * 1024
"""The least that leaves ext4 room for a journal."""


class LoopDisk:
    """A file with an ext4 in it, mounted. Use it where the process has mounts of its own.

    The loop device belongs to the mount (the kernel frees it with it), so no end of this process leaves one.

    Attributes:
        mount: where it is.
    """

    def __init__(self, place: Path) -> None:
        self.mount = place / "mount"
        self._image = place / "image"
        self.mount.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        # Without discards and lazy initialisation: nothing of the making goes on in the background.
        options = ["-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
        subprocess.run(["mkfs.ext4", *options, str(self._image)], check=True, capture_output=True)
        self._up()

    def cut(self) -> None:
        """Cut the power. Every call on it is refused from here on."""
        handle = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flags = ctypes.c_uint32(NO_LOG_FLUSH)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.ioctl(handle, ctypes.c_ulong(EXT4_IOC_SHUTDOWN), ctypes.byref(flags)):
                code = ctypes.get_errno()
                raise OSError(code, f"this kernel's ext4 cannot be cut off: {os.strerror(code)}")
        finally:
            os.close(handle)

    def restart(self) -> None:
        """Give the power back: unmount, mount again, and let the journal be replayed. No file may be open."""
        self._down()
        self._up()

    def close(self) -> None:
        """Unmount, and remove the file."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._down()
        self._image.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _up(self) -> None:
        # `loop` sets the device up so that the kernel frees it when it is unmounted, whoever does that.
        subprocess.run(
            ["mount", "-t", "ext4", "-o", "loop,noatime", str(self._image), str(self.mount)],
            check=True,
            capture_output=True,
        )

    def _down(self) -> None:
        subprocess.run(["umount", str(self.mount)], check=True, capture_output=True)
