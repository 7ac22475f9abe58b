"""From a campaign's directory to its verdict, and from the verdict to terminal, files and exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulations.campaign.journal import RUNS, JournalError, chunks
from simulations.report import figures, tables
from simulations.report.laws import law
from simulations.report.origin import Origin
from simulations.report.tables import Rows
from simulations.report.tally import Tally
from simulations.report.verdict import Expected, Verdict, judge

MET, MISSED = 0, 1
VIOLATIONS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Proof:
    """A campaign read and judged, and where it comes from."""

    tally: Tally
    verdict: Verdict
    machine: Mapping[str, str]
    """The one that played."""
    command: str
    origin: Origin | None = None
    """None: these runs are from no directory."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """Say what it is that was judged."""
        return self.origin.sentences(self.verdict.unjudged) if self.origin else ()


def read(directory: Path) -> Tally:
    """Add up a campaign; what was torn off at its end is left out.

    Raises:
        JournalError: there is no campaign, or a line of it is damaged.
        OSError: it cannot be read.
    """
    if not (directory / RUNS).exists():
        raise JournalError(f"there is no campaign in {directory}: no {RUNS}")
    tally = Tally()
    for chunk in chunks(directory):
        for run in chunk.runs:
            tally.add(run)
        tally.played_s += chunk.played_s
        tally.counts.update(chunk.counts)
    return tally


def prove(directory: Path, expected: Expected, command: str) -> Proof:
    """Read and judge a campaign.

    Raises:
        JournalError: there is no campaign, or a line of it is damaged.
        OSError: it cannot be read.
    """
    from simulations.bench import machine  # noqa: PLC0415 - imports what it names the versions of

    tally = read(directory)
    origin = Origin.of(directory, tally)
    known = [*expected.titles, *expected.silent, *(promise.scenario for promise in expected.promises)]
    verdict = judge(tally, replace(expected, left_out=origin.left_out(known)))
    return Proof(tally, verdict, origin.machine(machine(())), command, origin)


def show(proof: Proof, console: Console) -> None:
    """Print the verdict."""
    verdict = proof.verdict
    for table in (tables.final(verdict), tables.windows(verdict), *tables.late_phases(verdict)):
        console.print(_laid(table))
    console.print(_laid(tables.phases_together(verdict)))
    _show_violations(verdict, console)
    console.print(_laid_bars(verdict))
    console.print(tables.effort(verdict), markup=False, soft_wrap=True)
    for sentence in proof.sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    missed = sum(not bar.met for bar in verdict.bars)
    said = f"{missed} of {len(verdict.bars)} bars missed" if missed else f"all {len(verdict.bars)} bars met"
    console.print(Text(said, "bold red" if missed else "bold green"))


def write_json(proof: Proof, file: Path) -> None:
    """Write everything for machines."""
    whole = tables.plain(proof.verdict, proof.machine, proof.command)
    if proof.origin:
        whole["campaign"] = proof.origin.plain(proof.verdict.unjudged)
    file.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_markdown(proof: Proof, file: Path) -> None:
    """Write the tables for the docs."""
    file.write_text(
        tables.markdown(proof.verdict, proof.machine, proof.command, proof.sentences), encoding="utf-8"
    )


def _show_violations(verdict: Verdict, console: Console) -> None:
    for number, times in verdict.laws.items():
        console.print(Text(f"{law(number)}: {times:,} violations", "red"))
    for found in verdict.violations[:VIOLATIONS_SHOWN]:
        said = figures.printable(f"  {law(found.violation.law)}: {found.violation.what}")
        console.print(Text(said), soft_wrap=True)
        console.print(Text(f"    {tables.replay(found)}", "dim"), soft_wrap=True)
    more = sum(verdict.laws.values()) - VIOLATIONS_SHOWN
    if more > 0:
        console.print(Text(f"  and {more:,} more", "dim"))


def _laid(table: Rows) -> Table:
    laid = Table(table.header[0], box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in table.header[1:]:
        laid.add_column(name, justify="right")
    for row in table.rows:
        laid.add_row(*map(Text, row))
    return laid


def _laid_bars(verdict: Verdict) -> Table:
    laid = Table("bar", "verdict", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for bar in verdict.bars:
        laid.add_row(Text(bar.what), Text(str(bar), "green" if bar.met else "red"))
    return laid
