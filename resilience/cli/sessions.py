"""`resilience sessions list|history`: looking at what is stored, without keys and without writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resilience.cli.lines import of_record, of_session, reason_text, write
from resilience.cli.opening import Desk, Entry, answering
from resilience.cli.words import minute, moment, short, size


def show_sessions(data_dir: Path | None, *, archived: bool, as_json: bool) -> int:
    """Print every session; returns the exit code."""
    return answering(
        lambda: _show_sessions(Desk(data_dir), archived=archived, as_json=as_json), as_json=as_json
    )


def _show_sessions(desk: Desk, *, archived: bool, as_json: bool) -> int:
    everything = desk.entries()
    found = [each for each in everything if archived or not (each.info and each.info.archived)]
    if as_json:
        for entry in found:
            write(line_of(entry))
        return 0
    put_away = len(everything) - len(found)
    if not found and not put_away:
        click.echo(f"No sessions in {desk.data_dir}; `resilience watch ENDPOINT` begins one.")
        return 0
    Console(markup=False, emoji=False, highlight=False).print(_table(found))
    if put_away:
        click.echo(f"{put_away} more in the archive: `resilience sessions list --archived`")
    return 0


def _table(found: list[Entry]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("session", no_wrap=True)
    table.add_column("image", no_wrap=True, overflow="fold")  # whole: it is what other commands want
    for heading in ("last state", "why"):
        table.add_column(heading)
    table.add_column("last change", no_wrap=True)
    table.add_column("document")
    for entry in found:
        summary = entry.summary
        table.add_row(
            short(entry.session),
            Text(entry.image or "?"),
            str(summary.state) if summary else "-",
            Text(summary.reason if summary else "no transition is journaled"),
            minute(entry.used_at or None),
            _document(entry),
        )
    return table


def _document(entry: Entry) -> str:
    info = entry.info
    if info is None:
        return "none"
    words = [size(info.size)]
    if not info.readable:
        words.append("unreadable")
    if info.archived:
        words.append("archived")
    if info.fork_of:
        words.append(f"private copy of {short(info.fork_of)}")
    return ", ".join(words)


def line_of(entry: Entry) -> dict[str, Any]:
    """A session as programs read it: the journal's fields as ever, and what the files say behind them."""
    info, summary = entry.info, entry.summary
    line = of_session(summary) if summary else {"event": "session", "image": entry.image}
    if summary is None:
        line |= {"endpoint": info.endpoint if info else "", "session": entry.session, "state": None}
    return line | {
        "revision": info.revision if info else None,
        "generation": info.generation if info else None,
        "size_bytes": info.size if info else 0,
        "saved_at": info.at or None if info else None,
        "archived": bool(info and info.archived),
        "copy_of": info.fork_of if info else None,
        "readable": bool(info and info.readable),
    }


def show_history(session: str | None, data_dir: Path | None, *, as_json: bool) -> int:
    """Print every journaled transition; returns the exit code."""
    return answering(lambda: _show_history(session, Desk(data_dir), as_json=as_json), as_json=as_json)


def _show_history(wanted: str | None, desk: Desk, *, as_json: bool) -> int:
    image = wanted.removeprefix("tcp://") if wanted else None
    session = None
    if wanted is not None and image not in {summary.image for summary in desk.history.sessions()}:
        session, image = desk.find(wanted, stored=False).session, None
    for record in desk.history.transitions(image):
        if session not in (None, record.session):
            continue
        if as_json:
            write(of_record(record))
        else:
            words = reason_text(record.reason, record.detail)
            click.echo(
                f"{moment(record.at)}  {record.image}  #{record.seq:<5} "
                f"{record.source} → {record.target}  {record.trigger}: {words}"
            )
    return 0
