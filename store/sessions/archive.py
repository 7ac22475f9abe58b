"""Moving a session to the archive and back, so that a crash on the way leaves all of it to be found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.sessions.names import Suffix, parse, parse_backup

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from store.directories import Directories


def belongs(name: str, session: str) -> bool:
    """Whether this is a file of the session's own: the lock stays where it is."""
    file, backup = parse(name), parse_backup(name)
    return session == (file.session if file else backup[0] if backup else None)


def move(
    directories: Directories, names: Iterable[str], source: Path, target: Path, *, newest_first: bool
) -> None:
    """Move a session's files, durably; lets `OSError` through.

    The newest snapshot and its log are the last to leave the sessions and the first to come back, and the log
    is never missing beside it: whoever looks meanwhile finds the last state, or none. Cut short, the move is
    made or undone by whoever wants the session next.

    Args:
        directories: on which disk.
        names: of all its files there.
        source: where they are.
        target: where they shall be.
        newest_first: whether the newest generation goes first.
    """
    directories.make(target)
    directories.sync_names()
    there = directories.disk.listing(target)
    ordered = sorted(names, key=_by_generation, reverse=newest_first)
    # Somebody put it there by hand, or a power cut left both names; neither may go. Before all else, because
    # it syncs the source, which must not forget a name that the target does not know for certain.
    for name in ordered:
        if name in there:
            directories.set_aside(source / name)
    for name in ordered:
        if name not in there:
            directories.disk.rename(source / name, target / name)
    directories.disk.sync_dir(target)
    directories.disk.sync_dir(source)


def _by_generation(name: str) -> tuple[str, bool]:
    """Sort files by generation, each log behind its snapshot."""
    return name.partition("-")[2].partition(".")[0], name.endswith(Suffix.EDITS)
