"""Fills the tables of the documentation: from the code, from kept failures, and from what was measured.

A page has blocks, `<!-- name -->` to `<!-- /name -->`. What stands between is written by
`python -m simulations docs` and by nobody else; a block nothing was measured for stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulations import check
from simulations.campaign import plan as planning
from simulations.campaign import regressions
from simulations.campaign.commands import OUT
from simulations.campaign.journal import read_plan
from simulations.campaign.plan import scenario as find
from simulations.report import gantt, plots, side_by_side, tables
from simulations.report.expected import expected
from simulations.report.laws import law
from simulations.report.proof import Proof
from simulations.report.tables import Rows
from simulations.report.timeline import timeline
from simulations.report.verdict import Bar, ShareBar
from simulations.scenarios import LIBRARY, unreal
from simulations.virtual.play import trace

PAGE, FRONT = Path("docs/simulations.md"), Path("README.md")
PICTURE = Path("docs/recoveries.svg")
"""How recoveries of the campaign are distributed; the page shows it."""

SHOWN = ("hotel", 1)
"""The run whose timeline stands in the page: an address lost, a stranger who answers, and the way back."""

COMMANDS = {"mutants": "`mutants --markdown`", "race": "`bench --markdown`"}
MARKS = {"mutants": (" faults caught", "| fault | what was got wrong |"), "race": ("| bar | verdict |",)}
"""What the text of a command has in it, whatever it measured."""

_BLOCK = re.compile(r"(?P<begin><!-- (?P<name>[a-z-]+) -->\n).*?(?P<end><!-- /(?P=name) -->)", re.DOTALL)


class BlockError(LookupError):
    """A page has no place for what was to be written; says which."""


def filled(page: str, blocks: Mapping[str, str]) -> str:
    """Give the page with these blocks written anew, and all others as they were.

    Raises:
        BlockError: the page lacks one of them.
    """
    present = {found["name"] for found in _BLOCK.finditer(page)}
    if missing := sorted(blocks.keys() - present):
        raise BlockError(f"there is no block <!-- {missing[0]} --> to <!-- /{missing[0]} -->")

    def written(found: re.Match[str]) -> str:
        if found["name"] not in blocks:
            return found[0]
        return f"{found['begin']}\n{blocks[found['name']].strip()}\n\n{found['end']}"

    return _BLOCK.sub(written, page)


@dataclass(frozen=True, slots=True)
class Given:
    """What was measured, each where its command left it; None: not this time."""

    proof: Proof | None = None
    campaign: Path | None = None
    real: Path | None = None
    mutants: Path | None = None
    race: Path | None = None


def pages(given: Given, root: Path) -> dict[Path, str]:
    """Give both pages, and the picture of a campaign, as they should be.

    Raises:
        BlockError: a page lacks a block.
        ValueError, OSError: what was given cannot be read, or is something else.
    """
    blocks, front = known(), dict[str, str]()
    if given.proof is not None and given.campaign is not None:
        place = placed(given.campaign, root)
        blocks["verdict"] = verdict(given.proof, given.campaign, place)
        front["simulated"] = headline(given.proof, given.campaign, place)
        if given.real is not None:
            blocks["beside"] = beside(given.proof, given.real)
    for name, file in (("mutants", given.mutants), ("race", given.race)):
        if file is not None:
            blocks[name] = _measured(name, file)
    written = {
        root / name: filled((root / name).read_text(encoding="utf-8"), parts)
        for name, parts in ((PAGE, blocks), (FRONT, front))
    }
    if given.proof is not None:
        written[root / PICTURE] = plots.distribution(given.proof.tally).standalone()
    return written


def _measured(name: str, file: Path) -> str:
    """Give what a command wrote for a block; any other text is none of it.

    Raises:
        ValueError: it has not the tables of that block.
    """
    text = file.read_text(encoding="utf-8")
    for mark in MARKS[name]:
        if mark not in text:
            raise ValueError(f"{file} is not what {COMMANDS[name]} writes: it has no {mark.strip()!r}")
    return text


def known() -> dict[str, str]:
    """Write what needs no measuring: laws, kept failures, one run's timeline, what namespaces cannot play."""
    return {"laws": _laws(), "bugs": _bugs(), "timeline": _timeline(), "unreal": _unreal()}


def placed(directory: Path, root: Path) -> Path:
    """Name a directory for readers who have another machine: within the checkout, or by its name alone."""
    whole, within = directory.resolve(), root.resolve()
    return whole.relative_to(within) if whole.is_relative_to(within) else Path(whole.name)


def verdict(proof: Proof, directory: Path, place: Path) -> str:
    """Write what a campaign says, in full; `place` is what its directory is called."""
    found = proof.verdict
    folded = (tables.final(found), tables.windows(found), tables.phases(found))
    parts = [
        *_headline(proof, directory, place),
        _bars(found.bars),
        tables.markdown_table(tables.phases_together(found)),
        *(
            f"<details><summary>{each.title}</summary>\n\n{tables.markdown_table(each)}\n</details>"
            for each in folded
        ),
        tables.METHOD,
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts)


def headline(proof: Proof, directory: Path, place: Path) -> str:
    """Write what a campaign says, for those in a hurry."""
    single = expected().titles
    bars = [bar for bar in proof.verdict.bars if bar.what.partition(" ")[0] not in single]
    return "\n\n".join([*_headline(proof, directory, place), _bars(bars)])


def beside(proof: Proof, real: Path) -> str:
    """Write virtual and real recoveries next to each other.

    Raises:
        OutcomesError: a line of `real` is no outcome.
        OSError: it cannot be read.
    """
    outcomes = side_by_side.read_outcomes(real)
    pairs = side_by_side.pairs(proof.tally.samples, outcomes, expected().titles)
    return tables.markdown_table(side_by_side.table(pairs))


def _headline(proof: Proof, directory: Path, place: Path) -> Iterator[str]:
    plan = read_plan(directory)
    there = "" if place == OUT else f" --out {place.as_posix()}"
    played = planning.command(plan) + there
    machine = ", ".join(f"{key} {value}" for key, value in proof.machine.items())
    yield f"{tables.verdict_line(proof.verdict)} {tables.effort(proof.verdict)}"
    short = proof.origin is not None and proof.origin.ended_early
    ended = f", ended after {proof.verdict.whole.runs:,} runs" if short else ""
    judged = f"python -m simulations verify {place.as_posix()}"
    yield f"Played by `{played}`{ended},\njudged by `{judged}`,\non {machine}."


def _bars(bars: Sequence[Bar | ShareBar]) -> str:
    return _words("bar", "verdict", rows=[(bar.what, str(bar)) for bar in bars])


def _laws() -> str:
    rows = [(law(number), what) for number, what in check.LAWS.items()]
    return _words("law", "what is checked", rows=rows)


def _bugs() -> str:
    rows = [
        (
            str(number),
            entry.found,
            f"{entry.scenario_key} {entry.seed}",
            ", ".join(map(str, entry.laws)),
            entry.story,
        )
        for number, entry in enumerate(regressions.load(), 1)
    ]
    return _words("", "found", "run", "laws", "story", rows=rows)


def _unreal() -> str:
    """Of each story that real interfaces cannot play the steps in its way, those with one reason together."""
    rows = []
    for key, scenario in LIBRARY.items():
        reasons = dict[str, list[str]]()
        for step in scenario.steps:
            if (why := unreal(step)) and step.what not in reasons.setdefault(why, []):
                reasons[why].append(step.what)
        if reasons:
            steps = "; ".join(", ".join(kinds) for kinds in reasons.values())
            rows.append((f"{key}, {scenario.title}", steps, "; ".join(reasons).replace("`", "")))
    return _words("story", "steps", "why not", rows=rows)


def _words(*header: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Lay out words, which stand at the left, unlike figures."""
    lines = tables.markdown_table(Rows("", header, rows)).splitlines()
    return "\n".join([lines[0], f"|{' --- |' * len(header)}", *lines[2:]])


def _timeline() -> str:
    name, seed = SHOWN
    scenario = find(name, seed)
    told = timeline(scenario, *trace(scenario, seed))
    return f"```mermaid\n{gantt.gantt(told)}```"
