"""What became of the faults, for people, for machines and for the documentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from simulations.mutants.hunt import Outcome

NOT_ACQUITTED = "unproven: the unchanged code fails in {run}, too"
SURVIVED = "survived {played:,} runs"


def verdict(outcome: Outcome) -> str:
    """What caught it, in a few words."""
    if outcome.catch is None:
        return SURVIVED.format(played=outcome.played)
    if not outcome.acquitted:
        return NOT_ACQUITTED.format(run=outcome.catch.run)
    return outcome.catch.by


def table(outcomes: Sequence[Outcome]) -> Table:
    """Lay them out for a terminal; what was not caught is red."""
    drawn = Table("fault", "caught by", "run", title="Does the harness find bugs?")
    drawn.add_column("s", justify="right")
    drawn.add_column("what was seen", overflow="fold")
    for outcome in outcomes:
        run, what = (outcome.catch.run, outcome.catch.what) if outcome.catch else ("", "")
        cells = (outcome.mutant.name, verdict(outcome), run, f"{outcome.took_s:.1f}", what)
        drawn.add_row(*map(escape, cells), style="" if outcome.caught else "bold red")
    return drawn


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line."""
    caught = sum(outcome.caught for outcome in outcomes)
    slowest = max((outcome.took_s for outcome in outcomes if outcome.caught), default=0.0)
    foreseen = sum(outcome.foreseen for outcome in outcomes)
    return (
        f"{caught} of {len(outcomes)} faults caught, {foreseen} of them by a law that was expected to tell, "
        f"the slowest in {slowest:.1f} s"
    )


def to_json(outcomes: Sequence[Outcome]) -> str:
    """Write everything down."""
    return (
        json.dumps([{**asdict(outcome), "caught": outcome.caught} for outcome in outcomes], indent=1) + "\n"
    )


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """Write the list of the documentation: which faults, and what caught each."""
    lines = [summary(outcomes) + ".\n", "| fault | what was got wrong | where | caught by | in |"]
    lines.append("|---|---|---|---|---|")
    for outcome in outcomes:
        run = f"`{outcome.catch.run}`" if outcome.catch and outcome.catch.run else "-"
        mutant = outcome.mutant
        cells = (f"`{mutant.name}`", mutant.mistake, f"`{mutant.file}`", verdict(outcome), run)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
