"""Every file of every session by name, size and header: what can be told without any key."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from store.errors import naming
from store.sealed import peek
from store.sessions.lease import Owner, read_owner
from store.sessions.names import Places, Suffix, parse, parse_backup
from store.sessions.recovery import Recovery
from store.sessions.shelf import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from store.sessions.shelf import Sessions

NOBODY_SAID = Owner(0, "", "this machine, perhaps", "somebody")
"""Who holds a session and did not write it down."""


class Part(StrEnum):
    """What a file is to its session."""

    SNAPSHOT = "snapshot"
    EDITS = "edits"
    BACKUP = "upgrade backup"


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of one session.

    Attributes:
        path: where it stands.
        session: whose it is.
        generation: of which generation.
        part: what it is to the session.
        size_bytes: how long it is.
        archived: whether it stands in the archive.
    """

    path: Path
    session: str
    generation: int
    part: Part
    size_bytes: int
    archived: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What a session takes on disk.

    Attributes:
        files: every file, by generation.
        generations: those that have a snapshot, ascending.
        size_bytes: of all files together.
    """

    files: tuple[Stored, ...]
    generations: tuple[int, ...]
    size_bytes: int


class PlacesOfArchive(Places):
    """The same data directory, with the archive taken for the place where sessions are."""

    __slots__ = ()

    @property
    def sessions(self) -> Path:
        """Where archived sessions are."""
        return self.archive


def stored(sessions: Sessions, session: str | None = None) -> list[Stored]:
    """Return the files of one session, or of all, archived ones too.

    Raises:
        StoreUnreadable: a directory cannot be read.
    """
    found: list[Stored] = []
    for directory in (sessions.places.sessions, sessions.places.archive):
        for name, size in names_in(sessions, directory).items():
            said = _what(name)
            if said is None or session not in (None, said[0]):
                continue
            found.append(Stored(directory / name, *said, size, directory == sessions.places.archive))
    return sorted(found, key=lambda each: (each.session, each.archived, each.generation, each.path.name))


def usage(sessions: Sessions, session: str) -> Usage:
    """Return what a session takes; raises as `stored`."""
    files = tuple(stored(sessions, session))
    generations = sorted({each.generation for each in files if each.part is Part.SNAPSHOT})
    return Usage(files, tuple(generations), sum(each.size_bytes for each in files))


def key_ids(sessions: Sessions) -> set[str]:
    """Return the ids of every key that any sealed file names; raises as `stored`."""
    return set(files_by_key(sessions))


def files_by_key(sessions: Sessions) -> Counter[str]:
    """Return how many sealed files name each key: backups, credentials and quarantine count too.

    A key that one of them names must not be forgotten. Raises as `stored`.
    """
    places = sessions.places
    paths = [each.path for each in stored(sessions)]
    for directory in (places.data_dir, sessions.directories.quarantine):
        paths += [directory / name for name in names_in(sessions, directory)]
    named: Counter[str] = Counter()
    for path in paths:
        with suppress(OSError):  # it went away, or cannot be read: then it names nothing that we could open
            header = peek(sessions.directories.disk.read(path, HEAD_BYTES))
            named.update(wrap.key for wrap in (header.wraps if header else ()))
    return named


def holder(sessions: Sessions, session: str) -> Owner | None:
    """Return who has the session open at this moment; None if nobody has. Waits for nobody.

    Asks the kernel, unless what the lock file says is enough: for a moment the lock is ours then, and
    whoever wants the session just now is told that it is busy.
    """
    return lock_holder(sessions, sessions.places.lease(session))


def lock_holder(sessions: Sessions, path: Path) -> Owner | None:
    """Return who holds the lock on a file; None if nobody does, or there is no such file."""
    disk = sessions.directories.disk
    owner = read_owner(disk, path)
    if owner is not None and owner.is_alive() is False:
        return None
    try:
        handle = disk.open(path)
    except FileNotFoundError:
        return None
    except OSError:  # read-only, or somebody else's: only the words are left
        return owner
    try:
        return None if disk.lock(handle) else owner or NOBODY_SAID
    except OSError:
        return owner or NOBODY_SAID
    finally:
        disk.close(handle)


def recovery_of(sessions: Sessions, session: str) -> Recovery:
    """Return what reads a session, wherever it stands; changes nothing.

    Raises:
        StoreUnreadable: the directory cannot be read.
    """
    files = stored(sessions, session)
    if files and all(each.archived for each in files):
        places = PlacesOfArchive(sessions.places.data_dir)
        names = names_in(sessions, places.sessions)
        return Recovery(sessions.directories, places, session, sessions.keychain.key, names)
    return sessions.recovery(session)


def names_in(sessions: Sessions, directory: Path) -> Mapping[str, int]:
    """Return the files of a directory with their sizes; none if there is no such directory.

    Raises:
        StoreUnreadable: it cannot be read.
    """
    with naming("read the sessions", directory, reading=True):
        try:
            return sessions.directories.disk.listing(directory)
        except FileNotFoundError:
            return {}


def _what(name: str) -> tuple[str, int, Part] | None:
    if file := parse(name):
        part = Part.SNAPSHOT if file.suffix is Suffix.SNAPSHOT else Part.EDITS
        return file.session, file.generation, part
    if backup := parse_backup(name):
        return backup[0], backup[1], Part.BACKUP
    return None
