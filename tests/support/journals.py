"""A disk that logs and refuses, and a journal that remembers what it handed on; for the journal's tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from store.disk import Disk, RealDisk
from store.journal import Journal
from store.limits import Limits

SMALL = Limits(
    segment_bytes=1000,
    crowded_bytes=5000,
    relaxed_bytes=3000,
    crowded_segments=20,
    relaxed_segments=10,
    reserve_bytes=0,
)
DISK_CALLS = frozenset(name for name in vars(RealDisk) if not name.startswith("_"))


class Logging(RealDisk):
    """Writes down what it is asked, and refuses what it is told to."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.refuse: dict[str, int] = {}  # call to errno, for as long as it is in here
        self.names: dict[object, str] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return partial(self.called, name, found) if name in DISK_CALLS else found

    def called(self, name: str, call: Callable[..., Any], subject: Path | int, *rest: object) -> object:
        """Log one call, then make it or refuse it."""
        self.log.append((name, subject.name if isinstance(subject, Path) else self.names[subject]))
        if name in self.refuse:
            raise OSError(self.refuse[name], os.strerror(self.refuse[name]))
        result = call(subject, *rest)
        if name in ("create", "open"):
            self.names[result] = self.log[-1][1]
        return result

    def calls(self, *names: str) -> list[tuple[str, str]]:
        """Return what was logged of these calls."""
        return [entry for entry in self.log if entry[0] in names]


class Opened(Journal):
    """A journal, and what it hands on."""

    def __init__(self, data_dir: Path, disk: Disk | None = None, **options: Any) -> None:
        self.replayed: list[bytes] = []
        self.salvaged: list[bytes] = []
        self.state: list[bytes] = []  # what a checkpoint consists of
        super().__init__(
            data_dir,
            disk or RealDisk(),
            lock=threading.Lock(),
            replay=self.replayed.append,
            salvage=self.salvaged.append,
            checkpoint=lambda: self.state,
            **options,
        )

    def put(self, *payloads: bytes) -> None:
        """Append and commit together."""
        for payload in payloads:
            self.append(payload)
        self.commit()


def written(data_dir: Path, *batches: list[bytes]) -> Path:
    """Let a writer that is dead now commit each batch; return its first segment."""
    opened = Opened(data_dir)
    for batch in batches:
        opened.put(*batch)
    opened.close()
    return min((data_dir / "journal").iterdir())
