"""What many commands have in common: exit codes, and options that are checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

import click

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_UNKNOWN = 4
EXIT_INTERRUPTED = 130

Command = Callable[..., Any]


class Unwritable(OSError):  # noqa: N818 - a condition, like those of the store
    """What was to be told cannot be printed where it should be; said in words."""

    def __str__(self) -> str:
        return str(self.strerror)


FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


def data_dir_option(command: Command) -> Command:
    """`--data-dir`, checked as far as it can be before anything starts."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        callback=_check_data_dir,
        help="Where everything is stored. [default: the platform's user-data directory]",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")(command)


def passphrase_option(command: Command) -> Command:
    """`--passphrase-file`, for the keys of the data directory."""
    return click.option(
        "--passphrase-file",
        type=FILE,
        metavar="FILE",
        help="Holds the keys' passphrase; - is stdin. Else RESILIENCE_PASSPHRASE, or a prompt.",
    )(command)


def offered_passphrase_option(without: str) -> Callable[[Command], Command]:
    """`--passphrase-file` for who goes on without one; `without` says what is missed then."""
    return click.option(
        "--passphrase-file",
        type=FILE,
        metavar="FILE",
        help="Holds the keys' passphrase, if they have one; - is stdin. Else RESILIENCE_PASSPHRASE. "
        + without,
    )


def adopt_option(command: Command) -> Command:
    """`--adopt`, the way out of Orphaned."""
    return click.option(
        "--adopt",
        is_flag=True,
        help="Should another image answer than the session's, go on with that one.",
    )(command)


def start_fresh_option(command: Command) -> Command:
    """`--start-fresh`, the last way out of Failed and Orphaned."""
    return click.option(
        "--start-fresh",
        is_flag=True,
        help="Should the session be unusable, or another image answer, archive it and begin a new one.",
    )(command)


class Seconds(click.FloatRange):
    """So many, and a number at all: every range of floats has room for what is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it as `click.FloatRange` does."""
        seconds = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


def common(command: Command) -> Command:
    """`--json` and `--data-dir`."""
    return json_option(data_dir_option(command))


def _check_data_dir(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value is None:
        return None
    try:
        standing = next((part for part in (value, *value.parents) if part.exists()), None)
        if standing is not None and not standing.is_dir():
            raise click.BadParameter(f"{standing} is a file, not a directory; name another place.")
    except OSError as problem:
        raise click.BadParameter(f"{problem.strerror}: {str(value)[:60]}…; name another place.") from None
    return value
