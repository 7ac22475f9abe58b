"""Tidying a data directory: first a plan that says what, why and how many bytes; then, if asked to, the deed.

Sessions nobody used for long are put into the archive, which deletes nothing. What a dead writer left half
written is removed. Only on top of that, and only when asked for by name, are archived sessions and
quarantined files removed for good. What is open elsewhere is left alone, at planning and again at the deed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from store.errors import StoreError, naming
from store.outcomes import Busy
from store.replace import PART
from store.sessions.inventory import holder, lock_holder, names_in, stored
from store.sessions.names import is_session_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from store.sessions.info import SessionInfo
    from store.sessions.inventory import Stored
    from store.sessions.shelf import Sessions

UNUSED_DAYS = 30
"""As long as the documents this project began from keep a session."""

DAY_S = 86_400.0
WRITING_S = 3600.0
"""A file still being copied into the quarantine is younger than this; its writer holds no lock."""

ID_LETTERS = 32


class Deed(StrEnum):
    """What is to be done."""

    ARCHIVE = "archive"
    REMOVE_PART = "remove half-written"
    PURGE = "remove for good"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        deed: what.
        subject: a session's id, or a file's name below the data directory.
        why: in words.
        size_bytes: what it concerns.
        paths: the files to remove; none for the archive.
        session: whose lease is needed; None for what belongs to no session.
    """

    deed: Deed
    subject: str
    why: str
    size_bytes: int
    paths: tuple[Path, ...] = ()
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a step; `problem` is None if it was done."""

    step: Step
    problem: StoreError | None = None


def plan(
    sessions: Sessions,
    now: float,
    *,
    last_used: Mapping[str, float],
    touched: Callable[[Path], float | None],
    days: float = UNUSED_DAYS,
    purge: bool = False,
) -> list[Step]:
    """Return what there is to do; changes nothing.

    Args:
        sessions: where.
        now: seconds since 1970.
        last_used: when the transition journal last heard of each session.
        touched: when a file was last written or moved, seconds since 1970; None if that cannot be told.
        days: how long unused is long.
        purge: whether archived sessions and quarantined files of that age go for good.

    Raises:
        StoreUnreadable: a directory cannot be read.
    """
    before = now - days * DAY_S
    steps = [*_unused(sessions, now, before, last_used), *_half_written(sessions, now, touched)]
    return [*steps, *_purged(sessions, now, before, touched)] if purge else steps


def carry_out(sessions: Sessions, steps: list[Step]) -> Iterator[Done]:
    """Do it, step by step; a step that is refused hinders no other."""
    for step in steps:
        try:
            if step.deed is Deed.ARCHIVE:
                sessions.archive(step.subject)
            elif step.session is not None:
                lease = sessions.lease(step.session)
                try:
                    _remove(sessions, step)
                finally:
                    lease.release()
            else:
                _remove(sessions, step)
        except StoreError as problem:
            yield Done(step, problem)
        else:
            yield Done(step)


# -- planning --------------------------------------------------------------------------


def _unused(sessions: Sessions, now: float, before: float, last_used: Mapping[str, float]) -> Iterator[Step]:
    there = sessions.listing()
    ids = {each.session for each in there}
    waiting = {each.session for each in there if each.fork_of in ids}
    waiting |= {each.fork_of for each in there if each.session in waiting and each.fork_of}
    for info in there:
        used = max(info.at, last_used.get(info.session, 0.0))
        # One whose age nobody knows is not old; a private copy waits for its session, and that for it.
        if not 0 < used < before or info.session in waiting or holder(sessions, info.session):
            continue
        yield Step(Deed.ARCHIVE, info.session, _why_unused(info, now - used), info.size)


def _why_unused(info: SessionInfo, age_s: float) -> str:
    image = f" ({info.image})" if info.image else ""
    return f"not used for {age_s / DAY_S:.0f} days{image}"


def _half_written(sessions: Sessions, now: float, touched: Callable[[Path], float | None]) -> Iterator[Step]:
    places = sessions.places
    for directory in (places.sessions, places.archive, places.data_dir, sessions.directories.quarantine):
        for name, size in sorted(names_in(sessions, directory).items()):
            if not name.endswith(PART):
                continue
            path = directory / name
            session = name[:ID_LETTERS] if is_session_id(name[:ID_LETTERS]) else None
            if _is_being_written(sessions, path, session, now, touched):
                continue
            why = "its writer died before it was whole"
            yield Step(Deed.REMOVE_PART, _below(sessions, path), why, size, (path,), session)


def _is_being_written(
    sessions: Sessions, path: Path, session: str | None, now: float, touched: Callable[[Path], float | None]
) -> bool:
    if session is not None and path.parent != sessions.directories.quarantine:
        return holder(sessions, session) is not None
    if path.parent == sessions.places.data_dir:
        lock = path.with_name(path.name.removesuffix(PART).removesuffix(".bak") + ".lease")
        if lock_holder(sessions, lock) is not None:
            return True
    at = touched(path)
    return at is None or now - at < WRITING_S


def _purged(
    sessions: Sessions, now: float, before: float, touched: Callable[[Path], float | None]
) -> Iterator[Step]:
    archived: dict[str, list[Stored]] = {}
    for file in stored(sessions):
        if file.archived:
            archived.setdefault(file.session, []).append(file)
    for session, files in archived.items():
        at = _newest([each.path for each in files], touched)
        if at is None or at >= before or holder(sessions, session):
            continue
        why = f"in the archive for {(now - at) / DAY_S:.0f} days"
        size = sum(each.size_bytes for each in files)
        yield Step(Deed.PURGE, session, why, size, tuple(each.path for each in files), session)
    quarantine = sessions.directories.quarantine
    for name, size in sorted(names_in(sessions, quarantine).items()):
        at = touched(quarantine / name)
        if name.endswith(PART) or at is None or at >= before:
            continue
        path = quarantine / name
        why = f"in quarantine for {(now - at) / DAY_S:.0f} days"
        yield Step(Deed.PURGE, _below(sessions, path), why, size, (path,))


def _newest(paths: list[Path], touched: Callable[[Path], float | None]) -> float | None:
    found = [touched(path) for path in paths]
    known = [at for at in found if at is not None]
    return max(known) if len(known) == len(found) and known else None


def _below(sessions: Sessions, path: Path) -> str:
    return path.relative_to(sessions.places.data_dir).as_posix()


# -- doing -----------------------------------------------------------------------------


def _remove(sessions: Sessions, step: Step) -> None:
    if step.deed is Deed.PURGE and step.session is not None:
        _still_archived(sessions, step)
    for path in step.paths:
        with naming("remove a file", path), suppress(FileNotFoundError):
            sessions.directories.disk.unlink(path)
    if step.paths:
        with naming("remove a file", step.paths[0].parent):
            sessions.directories.disk.sync_dir(step.paths[0].parent)


def _still_archived(sessions: Sessions, step: Step) -> None:
    """Refuse what somebody brought back since it was planned."""
    if any(not each.archived for each in stored(sessions, step.subject)):
        raise Busy("remove the session", sessions.places.sessions, "it was brought back from the archive")
