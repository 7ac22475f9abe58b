"""A verdict as rows: for the terminal, for Markdown, and as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from simulations.campaign.conduct import FAULT
from simulations.report import figures
from simulations.report.laws import law
from simulations.report.tally import PHASES, Found, Spread
from simulations.report.verdict import Group, Verdict

METHOD = (
    "Percentiles are nearest-rank: the least measured value that no less than so many percent of all do not "
    "exceed. A recovery runs from the way being whole again to the first answer to a request issued since; "
    "one that never came is infinitely long, and is counted. After the last fault every image is asked; "
    "those that had been well all along are counted apart, and are no recovery. Phases are measured where "
    "they could be seen, each percentile on its own, so those of one scenario need not add up."
)


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: its name, its columns, its rows; the first column is words, the others are figures."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def bars(verdict: Verdict) -> Rows:
    """Each promise and what became of it."""
    return Rows("bars", ("bar", "verdict"), [(bar.what, str(bar)) for bar in verdict.bars])


def final(verdict: Verdict) -> Rows:
    """Recovery after the last fault."""
    header = ("after the last fault", "runs", "within 10 s", "p50", "p95", "p99", "max", "slowest seed")
    rows = [
        (
            group.name,
            figures.count(group.runs),
            figures.share(group.recovered, group.tried),
            *_quantiles(group.final),
            _slowest(group),
        )
        for group in _all(verdict)
    ]
    return Rows("recovery after the last fault, by scenario", header, rows)


def windows(verdict: Verdict) -> Rows:
    """Every recovery that was seen."""
    header = ("between faults too", "recoveries", "well all along", "never", "p50", "p95", "p99", "max")
    rows = [
        (
            group.name,
            figures.count(group.windows.count if group.windows else 0),
            figures.count(group.well),
            figures.count(group.windows.never if group.windows else 0),
            *_quantiles(group.windows),
        )
        for group in _all(verdict)
    ]
    return Rows("every recovery, by scenario", header, rows)


def phases(verdict: Verdict) -> Rows:
    """The parts of a recovery."""
    rows = [
        (group.name, *(_four(group.phases[phase]) for phase in PHASES))
        for group in _all(verdict)
        if any(group.phases.values())
    ]
    return Rows("phases, p50 / p95 / p99 / max", ("phase", *PHASES), rows)


def phases_together(verdict: Verdict) -> Rows:
    """The parts of a recovery, over everything that was played."""
    rows = [(phase, *_quantiles(verdict.whole.phases[phase])) for phase in PHASES]
    return Rows("phases, everything together", ("phase", "p50", "p95", "p99", "max"), rows)


def late_phases(verdict: Verdict) -> Iterator[Rows]:
    """The 95th and the 99th percentile of each part: two tables, each narrow enough for a terminal."""
    for name, late in (("p95", attrgetter("p95")), ("p99", attrgetter("p99"))):
        rows = [
            (group.name, *(_late(group.phases[phase], late) for phase in PHASES))
            for group in verdict.groups
            if any(group.phases.values())
        ]
        yield Rows(f"phases, {name}", (f"{name} of", *PHASES), rows)


def violations(verdict: Verdict, most: int) -> Rows:
    """What was broken, in which run."""
    rows = [
        (
            law(found.violation.law),
            _where(found),
            f"{found.violation.at:.3f} s",
            found.violation.what,
            replay(found),
        )
        for found in verdict.violations[:most]
    ]
    return Rows("violations", ("law", "run", "at", "what was seen", "to see it again"), rows)


def faults(verdict: Verdict) -> Rows:
    """How often each kind of trouble was played."""
    played = {name.removeprefix(FAULT): n for name, n in verdict.counts.items() if name.startswith(FAULT)}
    ordered = sorted(played.items(), key=lambda pair: (-pair[1], pair[0]))
    return Rows("faults played", ("fault", "times"), [(name, figures.count(n)) for name, n in ordered])


def verdict_line(verdict: Verdict) -> str:
    """Say in bold whether anything is missed."""
    missed = sum(not bar.met for bar in verdict.bars)
    return (
        f"**{missed} of {len(verdict.bars)} bars missed.**"
        if missed
        else f"**All {len(verdict.bars)} bars met.**"
    )


def effort(verdict: Verdict) -> str:
    """Say in a sentence what was played, and how fast."""
    whole = verdict.whole
    time = figures.duration(whole.virtual_s)
    said = f"{whole.runs:,} runs of {len(verdict.groups)} kinds, {time} of virtual time"
    if verdict.rate is not None:
        said += f", {verdict.rate:.1f} runs a second and core"
    return f"{said}."


def replay(found: Found) -> str:
    """Say how to see a run again."""
    return replay_command(found.scenario, found.seed)


def replay_command(scenario: str, seed: int) -> str:
    """Say how to see a run again; a regression is found by its number."""
    what = f"--{scenario}" if scenario.startswith("regression ") else f"{scenario} {seed}"
    return f"python -m simulations replay {what}"


def markdown(
    verdict: Verdict, machine: Mapping[str, str], command: str, sentences: Sequence[str] = ()
) -> str:
    """Write the whole verdict for the docs."""
    tables = [bars(verdict), final(verdict), windows(verdict), phases(verdict)]
    parts = [verdict_line(verdict), " ".join([effort(verdict), *sentences]), *map(markdown_table, tables)]
    if verdict.violations:
        parts.append(markdown_table(violations(verdict, len(verdict.violations))))
    measured = ", ".join(f"{key} {value}" for key, value in machine.items())
    parts += [METHOD, f"Measured with `{command}` on {measured}."]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def markdown_table(table: Rows) -> str:
    """Write one table."""
    lines = [table.header, ["---", *["---:"] * (len(table.header) - 1)], *table.rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def plain(verdict: Verdict, machine: Mapping[str, str], command: str) -> dict[str, Any]:
    """Give the verdict as plain values; None stands for never."""
    bars = [
        {"what": bar.what, "met": bar.met, "verdict": str(bar)} | _without_infinity(asdict(bar))
        for bar in verdict.bars
    ]
    return {
        "met": verdict.met,
        "command": command,
        "machine": dict(machine),
        "method": METHOD,
        "runs_a_second_and_core": verdict.rate,
        "bars": bars,
        "all": _plain_group(verdict.whole),
        "scenarios": [_plain_group(group) for group in verdict.groups],
        "laws_broken": {str(number): times for number, times in verdict.laws.items()},
        "violations": [asdict(found) | {"replay": replay(found)} for found in verdict.violations],
        "counts": dict(verdict.counts),
    }


def _plain_group(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = _without_infinity(asdict(group))
    if group.slowest is not None:
        found["slowest"]["replay"] = replay_command(group.slowest.scenario, group.slowest.seed)
    return found


def _without_infinity(value: Any) -> Any:  # Any: whatever JSON can hold
    if isinstance(value, dict):
        return {key: _without_infinity(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isinf(value) else value


def _all(verdict: Verdict) -> Iterator[Group]:
    yield from verdict.groups
    yield verdict.whole


def _quantiles(spread: Spread | None) -> Iterable[str]:
    if spread is None:
        return ("-",) * 4
    return map(figures.duration, (spread.p50, spread.p95, spread.p99, spread.most))


def _four(spread: Spread | None) -> str:
    return "-" if spread is None else " / ".join(_quantiles(spread))


def _late(spread: Spread | None, late: Callable[[Spread], float]) -> str:
    return "-" if spread is None else figures.duration(late(spread))


def _slowest(group: Group) -> str:
    if group.slowest is None:
        return "-"
    seed = str(group.slowest.seed)
    return seed if group.slowest.scenario == group.name else f"{group.slowest.scenario} {seed}"


def _where(found: Found) -> str:
    image = f" #{found.violation.image}" if found.violation.image >= 0 else ""
    return f"{found.scenario} {found.seed}{image}"


def _cell(words: str) -> str:
    """Keep a cell within its borders, and whatever a peer sent from being markup."""
    return (
        figures.printable(words)
        .replace("\\", "\\\\")
        .replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("`", "\\`")
    )
