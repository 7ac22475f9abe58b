"""`resilience sessions show`: what a session holds and how it stands on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resilience.cli.lines import write
from resilience.cli.opening import Desk, Entry, answering
from resilience.cli.sessions import line_of
from resilience.cli.words import Refused, count_of, first_line, moment, short, size
from resilience.errors import printable
from store.sessions import Receipt, Recovered
from store.sessions.inventory import Part, Usage, holder, recovery_of, usage

SHOWN_EVALUATIONS = 5
CODE_LETTERS, RESULT_LETTERS = 34, 30


def show(
    session: str,
    data_dir: Path | None,
    *,
    generation: int | None,
    document: bool,
    given: Path | None,
    as_json: bool,
) -> int:
    """Print a session; returns the exit code."""

    def body() -> int:
        desk = Desk(data_dir)
        entry = desk.find(session)
        there = usage(desk.sessions, entry.session)
        check_generation(there, generation)
        desk.unlock(given)
        found = recovery_of(desk.sessions, entry.session).run(generation=generation, newer_readable=True)
        if document:
            text = json.dumps(found.state, ensure_ascii=False, indent=None if as_json else 2)
            sys.stdout.write(text + "\n")
        elif as_json:
            write(_line(entry, there, found))
        else:
            _print(desk, entry, there, found)
        return 0

    return answering(body, as_json=as_json)


def check_generation(there: Usage, generation: int | None) -> None:
    """Refuse one that is not there, naming those that are."""
    if generation is not None and generation not in there.generations:
        names = ", ".join(map(str, there.generations)) or "none"
        raise Refused(
            "no such generation", f"There is no generation {generation}; there are: {names}.", "Name one."
        )


def receipt_line(receipt: Receipt) -> dict[str, Any]:
    """How a session came back, for programs."""
    return {
        "generation": receipt.generation,
        "newest": receipt.newest,
        "revision": receipt.revision,
        "replayed": receipt.replayed,
        "missing": receipt.missing,
        "rolled_back": receipt.rolled_back,
        "merged": list(receipt.merged),
        "from_format": receipt.from_format,
        "findings": [
            {
                "file": each.file,
                "outcome": each.outcome,
                "detail": each.detail,
                "kept": str(each.kept) if each.kept else None,
            }
            for each in receipt.findings
        ],
    }


def _line(entry: Entry, there: Usage, found: Recovered) -> dict[str, Any]:
    state = found.state
    return line_of(entry) | {
        "format": state.get("format"),
        "workspaces": [
            {
                "id": ident,
                "title": each.get("title", ""),
                "lines": _lines(each.get("code", "")),
                "cursor": each.get("cursor"),
                "unsent_lines": _lines(each.get("unsent", "")),
            }
            for ident, each in state.get("workspaces", {}).items()
        ],
        "unsent_input": state.get("unsent_input", ""),
        "counts": {
            name: len(state.get(name, ()))
            for name in (
                "inputs",
                "evaluations",
                "inspections",
                "inspectors",
                "browsers",
                "objects",
                "merges",
            )
        },
        "evaluations": state.get("evaluations", [])[-SHOWN_EVALUATIONS:],
        "files": [
            {
                "file": each.path.name,
                "generation": each.generation,
                "part": each.part,
                "size_bytes": each.size_bytes,
            }
            for each in there.files
        ],
        "acknowledged": entry.acknowledged,
        "receipt": receipt_line(found.receipt),
    }


def _lines(text: str) -> int:
    return len(text.splitlines())


# -- for people --------------------------------------------------------------------------------


def _print(desk: Desk, entry: Entry, there: Usage, found: Recovered) -> None:
    console = Console()
    state, summary, info = found.state, entry.summary, entry.info
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("session", entry.session)
    facts.add_row("image", Text(printable(f"{entry.image}  {state.get('image', {}).get('endpoint', '')}")))
    if summary:
        facts.add_row("last state", Text(f"{summary.state}, {moment(summary.last_at)}: {summary.reason}"))
    saved = f", saved {moment(info.at)}" if info and info.at else ""
    facts.add_row("revision", f"{found.receipt.revision}{saved}")
    if info and info.archived:
        facts.add_row("archived", "`resilience sessions restore` brings it back")
    if info and info.fork_of:
        facts.add_row("copy of", f"{info.fork_of}, and merged when that is next opened")
    if owner := holder(desk.sessions, entry.session):
        facts.add_row("open in", Text(str(owner)))
    facts.add_row("on disk", f"{size(there.size_bytes)} in {count_of(len(there.files), 'file')}")
    facts.add_row("came from", Text(str(found.receipt)))
    console.print(facts)
    _print_workspaces(console, state)
    _print_evaluations(console, state)
    _print_generations(console, there)
    if found.receipt.findings:
        click.echo("\nNot every file is as it should be: `resilience sessions repair` puts those aside.")
    if found.receipt.revision < entry.acknowledged and found.receipt.generation == found.receipt.newest:
        click.echo(
            f"\nRevision {entry.acknowledged} was saved once: this is an older copy. Restore the "
            f"newer files, or run `resilience sessions repair {short(entry.session)} --accept-rollback`."
        )


def _print_workspaces(console: Console, state: dict[str, Any]) -> None:
    if not state.get("workspaces"):
        click.echo("\nNo workspaces.")
    else:
        table = _table("workspace", "lines", "cursor", "unsent")
        for ident, each in state["workspaces"].items():
            cursor = each.get("cursor") or {}
            unsent = each.get("unsent", "")
            table.add_row(
                Text(printable(each.get("title") or ident)),
                str(_lines(each.get("code", ""))),
                f"{cursor.get('line', 0) + 1}:{cursor.get('column', 0) + 1}",
                count_of(_lines(unsent), "line") if unsent else "-",
            )
        console.print(table)
    if unsent := state.get("unsent_input"):
        console.print(Text(f"\nunsent input: {first_line(unsent, 60)}"))


def _print_evaluations(console: Console, state: dict[str, Any]) -> None:
    evaluations = state.get("evaluations", [])
    if not evaluations:
        click.echo("\nNo evaluations.")
        return
    table = _table(f"last of {count_of(len(evaluations), 'evaluation')}", "", "code", "result")
    for each in evaluations[-SHOWN_EVALUATIONS:]:
        outcome = {True: "ok", False: "error"}.get(each.get("ok"), "no answer")
        table.add_row(
            moment(each.get("at")),
            outcome,
            Text(first_line(each.get("code", ""), CODE_LETTERS)),
            Text(first_line(each.get("result") or "", RESULT_LETTERS)),
        )
    console.print(table)


def _print_generations(console: Console, there: Usage) -> None:
    table = _table("generation", "snapshot", "edits", "upgrade backup")
    for generation in sorted({each.generation for each in there.files}, reverse=True):
        sizes = {each.part: size(each.size_bytes) for each in there.files if each.generation == generation}
        table.add_row(str(generation), *(sizes.get(part, "-") for part in Part))
    console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, title=" ", title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
