"""Where commands write: seen to before the work that fills it, which may take an hour."""

from __future__ import annotations

from pathlib import Path

import typer


def writable(*files: Path | None) -> None:
    """Make the directories that files will be written to; None is not asked for.

    Raises:
        BadParameter: a file cannot be written there.
    """
    for file in filter(None, files):
        where = file.resolve().parent
        try:
            where.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise typer.BadParameter(
                f"there is no directory {where} to write {file.name} to, and none can be made: "
                f"{problem.strerror}"
            ) from problem
        if file.is_dir():
            raise typer.BadParameter(f"{file} is a directory: name a file in it")
