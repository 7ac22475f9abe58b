"""`resilience doctor`: everything that has to be right on this machine, each with what to do if it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resilience.cli.lines import write
from resilience.cli.options import EXIT_FAILED
from resilience.errors import printable


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


MARKS = {Verdict.OK: ("✓", "green"), Verdict.WARN: ("!", "yellow"), Verdict.FAIL: ("✗", "bold red")}
"""Colour is never the only sign."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        verdict: how it ended.
        words: what was found.
        advice: what to do; empty if nothing has to be done.
    """

    check: str
    verdict: Verdict
    words: str
    advice: str = ""


Check = Callable[[], Iterator[Finding]]


def ok(check: str, words: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, words)


def warn(check: str, words: str, advice: str) -> Finding:
    """It works, and something should be known or done."""
    return Finding(check, Verdict.WARN, words, advice)


def fail(check: str, words: str, advice: str) -> Finding:
    """Something does not work."""
    return Finding(check, Verdict.FAIL, words, advice)


def run(data_dir: Path | None, *, given: Path | None, as_json: bool) -> int:
    """Make every check; returns the exit code."""
    from resilience.cli.doctor_machine import machine_checks  # noqa: PLC0415 - they import this module
    from resilience.cli.doctor_store import store_checks  # noqa: PLC0415 - as above

    found: list[Finding] = []
    for name, check in (*store_checks(data_dir, given), *machine_checks()):
        try:
            results = list(check())
        except Exception as problem:  # noqa: BLE001 - one check that breaks must not hide the others
            results = [
                fail(name, f"the check itself failed: {type(problem).__name__}: {problem}", "Report this.")
            ]
        for each in results:
            found.append(each)
            if as_json:
                write(
                    {
                        "event": "check",
                        "check": each.check,
                        "verdict": each.verdict,
                        "words": each.words,
                        "advice": each.advice,
                    }
                )
    if not as_json:
        _print(found)
    return EXIT_FAILED if any(each.verdict is Verdict.FAIL for each in found) else 0


def _print(found: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in found:
        mark, style = MARKS[each.verdict]
        words = f"{each.words}\n→ {each.advice}" if each.advice else each.words
        table.add_row(Text(f"{mark} {each.verdict}", style=style), each.check, Text(printable_lines(words)))
    Console().print(table)
    counts = {verdict: sum(each.verdict is verdict for each in found) for verdict in Verdict}
    click.echo(f"\n{counts[Verdict.OK]} ok, {counts[Verdict.WARN]} to know of, {counts[Verdict.FAIL]} wrong")


def printable_lines(text: str) -> str:
    """Every line of a text with nothing in it that a terminal would obey."""
    return "\n".join(printable(line) for line in text.split("\n"))
