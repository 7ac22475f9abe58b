"""A file system that forgets, with the power, bytes without fsync and names without their directory's.

It is mounted through FUSE, so the kernel, and nothing of ours, decides what reaches it. As a program it
serves one mount; `Forgetful` is the other end. They talk by extended attributes of the mount's root, which
keep their place among the other calls.

Each file has bytes that the process sees and bytes that are on the medium, each directory two sets of names.
What a power cut leaves of what is between them is one of `leftovers.LEFTOVERS`.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import mfusepy

from confinement import die_with_parent, environment
from leftovers import File, Folder, digest, left_of, leftover

READY_S = 20.0


# The file system


class FileSystem(mfusepy.Operations):  # type: ignore[misc,unused-ignore]  # typed in some releases only
    """Keeps everything in memory.

    Attributes:
        calls: changes asked for since the last `arm`.
        last: after so many, the power goes; None: never.
    """

    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(self) -> None:
        self.root = Folder(0o700)
        self.handles: dict[int, File | Folder] = {}
        self.given = 0
        self.calls = 0
        self.last: int | None = None
        self.dark = False
        self.at_cut = self.root
        self.held: list[tuple[Folder, Folder]] = []

    # What the test asks for.

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        """Carry out one of the test's wishes."""
        del path, options, position
        wish, words = name.removeprefix("user."), value.decode()
        if wish == "arm":
            self.calls, self.last, self.dark = 0, int(words) if words else None, False
        elif wish == "cut":  # what was seen at that moment is kept, so that several leftovers can be tried
            self.dark, self.last = False, None
            self.at_cut = self.root
        elif wish == "leave":
            self.root = left_of(self.at_cut, leftover(words))
        elif wish == "hold":
            self.held.append(copy.deepcopy((self.root, self.at_cut)))
        elif wish == "back":
            self.root, self.at_cut = copy.deepcopy(self.held[-1])
        elif wish == "unhold":
            self.root, self.at_cut = self.held.pop()
        elif wish == "empty":
            self.root = Folder(0o700)
            self.dark, self.last = False, None
        else:
            raise OSError(errno.EINVAL, wish)
        return 0

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Answer one of the test's questions."""
        del path, position
        if name == "user.calls":
            return b"%d" % self.calls
        if name == "user.digest":
            return digest(self.root).encode()
        raise OSError(errno.ENODATA, name)

    def _change(self) -> None:
        """Count a call that changes something, unless the power is gone."""
        if self.last is not None and self.calls >= self.last:
            self.dark = True
        self._look()
        self.calls += 1

    def _look(self) -> None:
        if self.dark:
            raise OSError(errno.EIO, "the power is gone")

    # What the kernel asks for.

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        self._look_unless_root(path)
        entry = self._of(path, fh)
        kind = stat.S_IFDIR if isinstance(entry, Folder) else stat.S_IFREG
        size = 0 if isinstance(entry, Folder) else len(entry.seen)
        return {"st_mode": kind | entry.mode, "st_nlink": 1, "st_size": size, "st_uid": 0, "st_gid": 0}

    def readdir(self, path: str, fh: int) -> list[str]:
        self._look()
        folder = self._of(path, fh)
        assert isinstance(folder, Folder)
        return [".", "..", *folder.seen]

    def opendir(self, path: str) -> int:
        self._look()
        return self._handle(self._of(path))

    def releasedir(self, path: str, fh: int) -> int:
        return self.release(path, fh)

    def mkdir(self, path: str, mode: int) -> int:
        self._change()
        folder, name = self._vacant(path)
        folder.seen[name] = Folder(mode & 0o777)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        del fi
        self._change()
        folder, name = self._vacant(path)
        file = folder.seen[name] = File(mode & 0o777)
        return self._handle(file)

    def open(self, path: str, flags: int) -> int:
        del flags  # appending is the kernel's business
        self._look()
        return self._handle(self._of(path))

    def release(self, path: str, fh: int) -> int:
        del path
        self.handles.pop(fh, None)
        return 0

    def flush(self, path: str, fh: int) -> int:
        """Closing makes nothing certain."""
        del path, fh
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._look()
        return bytes(self._file(path, fh).seen[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._change()
        seen = self._file(path, fh).seen
        if len(seen) < offset:
            seen += bytes(offset - len(seen))
        seen[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._change()
        seen = self._file(path, fh).seen
        del seen[length:]
        seen += bytes(length - len(seen))
        return 0

    def unlink(self, path: str) -> int:
        self._change()
        self._of(path)
        folder, name = self._split(path)
        del folder.seen[name]
        return 0

    def rename(self, old: str, new: str) -> int:
        self._change()
        entry = self._of(old)
        (folder, name), (other, other_name) = self._split(old), self._split(new)
        del folder.seen[name]
        other.seen[other_name] = entry
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._look()
        self._of(path).mode = mode & 0o777
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        del datasync
        self._change()
        file = self._file(path, fh)
        file.certain = bytes(file.seen)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        del datasync
        self._change()
        folder = self._of(path, fh)
        assert isinstance(folder, Folder)
        folder.certain = dict(folder.seen)
        return 0

    # Finding things

    def _look_unless_root(self, path: str | None) -> None:
        if path != "/":  # without its attributes the root takes no wishes
            self._look()

    def _handle(self, entry: File | Folder) -> int:
        self.given += 1
        self.handles[self.given] = entry
        return self.given

    def _of(self, path: str | None, fh: int | None = None) -> File | Folder:
        if fh is not None and fh in self.handles:
            return self.handles[fh]
        if path is None:
            raise OSError(errno.ESTALE, "no such handle")
        entry: File | Folder = self.root
        for name in path.strip("/").split("/") if path != "/" else ():
            if not isinstance(entry, Folder):
                raise OSError(errno.ENOTDIR, path)
            if name not in entry.seen:
                raise OSError(errno.ENOENT, path)
            entry = entry.seen[name]
        return entry

    def _file(self, path: str | None, fh: int | None) -> File:
        entry = self._of(path, fh)
        if isinstance(entry, Folder):
            raise OSError(errno.EISDIR, path)
        return entry

    def _split(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self._of(parent or "/")
        if not isinstance(folder, Folder):
            raise OSError(errno.ENOTDIR, path)
        return folder, name

    def _vacant(self, path: str) -> tuple[Folder, str]:
        folder, name = self._split(path)
        if name in folder.seen:
            raise OSError(errno.EEXIST, path)
        return folder, name


class Server(mfusepy.FUSE):  # type: ignore[misc,unused-ignore]  # as above
    """As the library's, but a truncation through a handle says which."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        fh = fip.contents.fh if fip else None
        return int(self.operations.truncate(path.decode() if path else None, length, fh))


# The other end


class Forgetful:
    """A mounted forgetful file system. Mount it where the process has mounts of its own.

    Attributes:
        mount: where it is.
    """

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        mount.mkdir(parents=True, exist_ok=True)
        before = mount.stat().st_dev
        # Of two installed libraries the older one would be taken.
        variables = environment() | {"FUSE_LIBRARY_NAME": "fuse3"}
        words = [sys.executable, __file__, str(mount)]
        self._server = subprocess.Popen(words, env=variables, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_S
        while mount.stat().st_dev == before:
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError("the forgetful file system does not come up")
            time.sleep(0.005)

    def arm(self, calls: int | None) -> None:
        """Let the power go after so many changes from now; None: not at all."""
        self._wish("arm", "" if calls is None else str(calls))

    @property
    def calls(self) -> int:
        """How many changes there were since then."""
        return int(os.getxattr(self.mount, "user.calls"))

    def cut(self) -> None:
        """Cut the power now, if it is not gone, and give it back."""
        self._wish("cut")

    def leave(self, name: str) -> str:
        """Become what that cut may leave (see `leftovers`); return a digest of it. May be said repeatedly."""
        self._wish("leave", name)
        return os.getxattr(self.mount, "user.digest").decode()

    def hold(self) -> None:
        """Remember how everything is, what is not certain too; no file may be open. Nests."""
        self._wish("hold")

    def back(self) -> None:
        """Become what was held."""
        self._wish("back")

    def unhold(self) -> None:
        """Become what was held, and forget that."""
        self._wish("unhold")

    def empty(self) -> None:
        """Begin anew."""
        self._wish("empty")

    def close(self) -> None:
        """Unmount."""
        subprocess.run(["umount", "-l", str(self.mount)], check=False, capture_output=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(5)
        self._server.kill()
        self._server.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wish(self, name: str, words: str = "") -> None:
        os.setxattr(self.mount, f"user.{name}", words.encode())


def main() -> None:
    """Serve one mount until it is unmounted."""
    die_with_parent()
    Server(
        FileSystem(),
        sys.argv[1],
        foreground=True,
        nothreads=True,
        hard_remove=True,  # else a file that is removed while open becomes a hidden one
        direct_io=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )


if __name__ == "__main__":
    main()
