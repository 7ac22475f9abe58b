"""A new master key for everything: every sealed file names it before the old one retires.

Asked again after a crash, or after a session that was open elsewhere was closed, it goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import StoreError, naming
from store.keys import rotation
from store.outcomes import Busy, SessionError
from store.replace import replace_file
from store.sealed import peek, rewrap
from store.sessions.inventory import key_ids, stored
from store.sessions.recovery import MAX_FILE_BYTES
from store.sessions.shelf import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store.credentials import Credentials
    from store.sealed import MasterKey
    from store.sessions.shelf import Sessions


@dataclass(frozen=True, slots=True)
class Left:
    """A file that does not name the new key yet, and why."""

    path: Path
    problem: StoreError


@dataclass(frozen=True, slots=True)
class Rotated:
    """How far a rotation came.

    Attributes:
        key: the new key's id.
        rewrapped: files that name it now and did not before.
        waiting: files of sessions that are open elsewhere; the rotation goes on when it is asked for again.
        left: files that no key here opens: damaged ones, for example. The key they name is kept.
        finished: whether the new key is the active one.
        forgotten: ids of old keys that nothing names any more, and that are gone.
        kept: ids of old keys that something still names.
    """

    key: str
    rewrapped: int
    waiting: tuple[Left, ...] = ()
    left: tuple[Left, ...] = ()
    finished: bool = False
    forgotten: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def rotate(sessions: Sessions, credentials: Credentials) -> Rotated:
    """Make a new key, have every file name it, make it the active one, and forget the old.

    Raises:
        LockedKey, MissingKey: the keys cannot be used.
        KeyChoiceRefused: the keyring cannot be used.
        Busy: another process changes the keys at this moment.
        DiskError: the disk refused; asked again, it goes on.
    """
    keychain = sessions.keychain
    key_id = rotation.begin(keychain)
    incoming = keychain.key(key_id)
    if incoming is None:  # `begin` has just seen it
        keychain.active()
        raise RuntimeError(key_id)
    waiting: list[Left] = []
    left: list[Left] = []

    def lacks(names: list[str] | None) -> bool:
        return names is None or key_id not in names

    def has_others(names: list[str] | None) -> bool:
        return names is not None and key_id in names and len(names) > 1

    count = _everywhere(
        sessions, credentials, lacks, lambda path: _add(sessions, path, incoming), waiting=waiting, left=left
    )
    if waiting:
        return Rotated(key_id, count, tuple(waiting), tuple(left))
    rotation.finish(keychain)
    # One that is opened just now keeps the old key's name, and therefore the old key, until the next time.
    _everywhere(
        sessions,
        credentials,
        has_others,
        lambda path: _drop_others(sessions, path, key_id),
        waiting=[],
        left=[],
    )
    named = key_ids(sessions)
    old = [each for each in keychain.key_ids if each != key_id]
    for each in old:
        if each not in named:
            rotation.forget(keychain, each, named)
    kept = tuple(each for each in old if each in named)
    gone = tuple(each for each in old if each not in named)
    return Rotated(key_id, count, (), tuple(left), finished=True, forgotten=gone, kept=kept)


def _everywhere(
    sessions: Sessions,
    credentials: Credentials,
    concerns: Callable[[list[str] | None], bool],
    change: Callable[[Path], None],
    *,
    waiting: list[Left],
    left: list[Left],
) -> int:
    """Change every sealed file whose keys' names concern us, under its own lock; return how many were."""
    count = 0
    for session, all_paths in _by_session(sessions):
        paths = [path for path in all_paths if concerns(_names(sessions, path))]
        if not paths:
            continue
        try:
            lease = sessions.lease(session)
        except Busy as problem:
            waiting.extend(Left(path, problem) for path in paths)
            continue
        try:
            count += _changed(paths, change, left)
        finally:
            lease.release()
    if credentials.paths():
        with credentials.locked():
            paths = [path for path in credentials.paths() if concerns(_names(sessions, path))]
            count += _changed(paths, change, left)
    return count


def _changed(paths: list[Path], change: Callable[[Path], None], left: list[Left]) -> int:
    count = 0
    for path in paths:
        try:
            change(path)
        except SessionError as problem:
            left.append(Left(path, problem))
        else:
            count += 1
    return count


def _by_session(sessions: Sessions) -> Iterator[tuple[str, list[Path]]]:
    files: dict[str, list[Path]] = {}
    for each in stored(sessions):
        if each.size_bytes:  # a log without a byte names no key, and its writer is gone
            files.setdefault(each.session, []).append(each.path)
    yield from files.items()


def _names(sessions: Sessions, path: Path) -> list[str] | None:
    """Return the ids of the keys that a file names; None if its head cannot be read."""
    with naming("read a sealed file", path, reading=True):
        header = peek(sessions.directories.disk.read(path, HEAD_BYTES))
    return [wrap.key for wrap in header.wraps] if header else None


def _add(sessions: Sessions, path: Path, key: MasterKey) -> None:
    _rewrap(sessions, path, key, None)


def _drop_others(sessions: Sessions, path: Path, key_id: str) -> None:
    for each in _names(sessions, path) or ():
        if each != key_id:
            _rewrap(sessions, path, None, each)


def _rewrap(sessions: Sessions, path: Path, add: MasterKey | None, drop: str | None) -> None:
    disk = sessions.directories.disk
    with naming("read a sealed file", path, reading=True):
        data = disk.read(path, MAX_FILE_BYTES + 1)
    fresh = rewrap(data, add, drop, sessions.keychain.key, sessions.keychain.entropy, path=path)
    with naming("seal a file anew", path):
        replace_file(disk, path, fresh)
