"""`resilience sessions list|history`: looking at the journal, without writing to it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from resilience.cli import EXIT_FAILED
from resilience.cli.lines import of_record, of_session, reason_text, write
from store import History, StoreError, default_data_dir


def show_sessions(data_dir: Path | None, *, as_json: bool) -> int:
    """Print every session; returns the exit code."""
    history = _open(data_dir)
    if history is None:
        return EXIT_FAILED
    found = history.sessions()
    if as_json:
        for summary in found:
            write(of_session(summary))
        return 0
    if not found:
        click.echo(
            f"No sessions in {data_dir or default_data_dir()}; `resilience watch ENDPOINT` begins one."
        )
        return 0
    table = Table(box=None, pad_edge=False)
    table.add_column("image", no_wrap=True, overflow="fold")  # whole: it is what `sessions history` wants
    for heading in ("last state", "why", "transitions", "since", "last change"):
        table.add_column(heading)
    for summary in found:
        table.add_row(
            summary.image,
            str(summary.state),
            summary.reason,
            str(summary.transitions),
            _time(summary.first_at),
            _time(summary.last_at),
        )
    Console().print(table)
    return 0


def show_history(image: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Print every journaled transition; returns the exit code."""
    history = _open(data_dir)
    if history is None:
        return EXIT_FAILED
    wanted = image.removeprefix("tcp://") if image else None
    known = {summary.image for summary in history.sessions()}
    if wanted is not None and wanted not in known:
        names = ", ".join(sorted(known)) or "none"
        click.echo(f"Error: no session of {image} is stored; there are: {names}", err=True)
        return EXIT_FAILED
    try:
        for record in history.transitions(wanted):
            if as_json:
                write(of_record(record))
            else:
                words = reason_text(record.reason, record.detail)
                click.echo(
                    f"{_time(record.at)}  {record.image}  #{record.seq:<5} "
                    f"{record.source} → {record.target}  {record.trigger}: {words}"
                )
    except StoreError as problem:
        click.echo(f"Error: {problem}", err=True)
        return EXIT_FAILED
    return 0


def _open(data_dir: Path | None) -> History | None:
    try:
        return History.open(data_dir or default_data_dir(), read_only=True)
    except StoreError as problem:
        click.echo(f"Error: {problem}", err=True)
        return None


def _time(at: float | None) -> str:
    if at is None:
        return "never"
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="milliseconds")[:23]
