"""Disks around a disk: each sees every call before it is made, and may log it, refuse it, or leave it out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from store.disk import Disk, RealDisk

CALLS = frozenset(name for name in vars(RealDisk) if not name.startswith("_"))
CHANGES = frozenset({"mkdir", "create", "write", "sync", "sync_dir", "rename", "truncate", "unlink"})
"""The calls that a power cut can tell apart."""

STORE = str(Path(sys.modules[Disk.__module__].__file__ or "").parent)


class Wrapped:
    """Passes every call on to another disk, by way of `called`.

    Attributes:
        names: the path each open handle was given for.
    """

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or RealDisk()
        self.names: dict[int, Path] = {}

    def seam(self) -> Disk:
        """Return itself, as what the store takes. Calls that a later `Disk` adds are passed on as well."""
        return cast("Disk", self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in CALLS:
            raise AttributeError(name)
        return lambda *words: self._pass(name, getattr(self.disk, name), words)

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        """Make a call, or do something else. A handle's path is that of its file."""
        del name, path, words
        return call()

    def let_go(self) -> None:
        """Close what is open, as the kernel does for a process that dies."""
        for handle in tuple(self.names):
            with suppress(OSError):
                self.disk.close(handle)
        self.names.clear()

    def _pass(self, name: str, real: Callable[..., Any], words: tuple[Any, ...]) -> Any:
        path = words[0] if isinstance(words[0], Path) else self.names.get(words[0], Path("closed"))
        result = self.called(name, lambda: real(*words), path, words)
        if name in ("create", "open"):
            self.names[result] = path
        elif name == "rename":
            for handle in [handle for handle, known in self.names.items() if known == path]:
                self.names[handle] = words[1]
        elif name == "close":
            self.names.pop(words[0], None)
        return result


class LeavingOut(Wrapped):
    """Never makes one kind of call, and says that it did.

    `what` is "write" or "sync" for the bytes of every file, or "write .ENDING", "sync .ENDING" for those of
    some, "sync_dir NAME" for the entries of directories of that name, or one place in the store's source
    (see `site`).
    """

    def __init__(self, what: str, disk: Disk | None = None) -> None:
        super().__init__(disk)
        self.what = what

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        if name in ("write", "sync") and self.what in (name, f"{name} {path.suffix}"):
            return len(words[1]) if name == "write" else None
        if name == "sync_dir" and self.what == f"sync_dir {path.name}":
            return None
        if name in ("sync", "sync_dir") and site(name) == self.what:
            return None
        return super().called(name, call, path, words)


class Sites(Wrapped):
    """Notes from where in the store's source each sync is asked for."""

    def __init__(self, disk: Disk | None = None) -> None:
        super().__init__(disk)
        self.found: dict[str, None] = {}

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        if name in ("sync", "sync_dir"):
            self.found[site(name)] = None
        return super().called(name, call, path, words)


def site(name: str) -> str:
    """Return the place in the store that makes the call under way, such as ``journal Journal._write sync 2``.

    The number tells several such calls in one function apart: how many lines below its head it stands.
    """
    frame = sys._getframe(1)
    while not frame.f_code.co_filename.startswith(STORE):
        if frame.f_back is None:
            return name
        frame = frame.f_back
    code = frame.f_code
    module = Path(code.co_filename).relative_to(STORE).with_suffix("").as_posix()
    return f"{module} {code.co_qualname} {name} {frame.f_lineno - code.co_firstlineno}"
