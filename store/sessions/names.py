"""The names of a session's files, and where they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SESSION_ID = re.compile(r"[0-9a-f]{32}")
MAX_GENERATION = 10**8 - 1
"""What eight digits hold; a generation every 36 KB of edits is 3 TB of them."""

BASE_GENERATION = 0
"""The state a private copy began with; kept until the copy is merged."""


class Suffix(StrEnum):
    """What a file of a generation is."""

    SNAPSHOT = ".session"
    EDITS = ".edits"


LEASE = ".lease"
TAKEOVER = ".takeover"
_FILE = re.compile(r"([0-9a-f]{32})-(\d{8})(\.session|\.edits)")
_BACKUP = re.compile(r"([0-9a-f]{32})-(\d{8})\.v(\d{1,4})")


@dataclass(frozen=True, slots=True, order=True)
class SessionFile:
    """One snapshot or one log of edits."""

    session: str
    generation: int
    suffix: Suffix

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.session}-{self.generation:08d}{self.suffix}"


def parse(name: str) -> SessionFile | None:
    """Return what a name says; None if it is none of ours."""
    found = _FILE.fullmatch(name)
    return SessionFile(found[1], int(found[2]), Suffix(found[3])) if found else None


def parse_backup(name: str) -> tuple[str, int, int] | None:
    """Return session, generation and format of an upgrade backup; None if it is none."""
    found = _BACKUP.fullmatch(name)
    return (found[1], int(found[2]), int(found[3])) if found else None


def backup_name(session: str, generation: int, from_format: int) -> str:
    """Return what the last snapshot of an older format is called."""
    return f"{session}-{generation:08d}.v{from_format}"


def is_session_id(text: str) -> bool:
    """Whether this may be the id of a session, and therefore part of a file's name."""
    return SESSION_ID.fullmatch(text) is not None


def generations(names: Iterable[str], session: str, suffix: Suffix) -> list[int]:
    """Return the generations of one session that have such a file, ascending."""
    files = (parse(name) for name in names)
    return sorted(f.generation for f in files if f and f.session == session and f.suffix is suffix)


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one data directory."""

    data_dir: Path

    @property
    def sessions(self) -> Path:
        """Where sessions are that may be opened."""
        return self.data_dir / "sessions"

    @property
    def archive(self) -> Path:
        """Where sessions are that somebody put away."""
        return self.data_dir / "archive"

    def file(self, session: str, generation: int, suffix: Suffix) -> Path:
        """Return the path of a snapshot or a log."""
        return self.sessions / SessionFile(session, generation, suffix).name

    def lease(self, session: str) -> Path:
        """Return the path of a session's lock file."""
        return self.sessions / f"{session}{LEASE}"

    def takeover(self, session: str) -> Path:
        """Return the path of the wish that a session's owner lets it go."""
        return self.sessions / f"{session}{TAKEOVER}"
