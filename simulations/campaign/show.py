"""Tells what happened in a run, and how a campaign stands, to people."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from simulations.campaign.conduct import Summary, replay_command
from simulations.results import Recovery, Run, Violation
from simulations.scenarios import Scenario
from simulations.trace import Datum, Entry, Kind, Trace

CONDITIONS = {"whole": "green", "impaired": "yellow", "broken": "red"}
STATES = {
    "Connected": "green",
    "Modified": "green",
    "Reconnecting": "yellow",
    "Failed": "red",
    "Orphaned": "red",
}

PHASES = ("decide_s", "dial_s", "handshake_s", "restore_s", "answer_s")
_DONE = "done"


def story(scenario: Scenario, trace: Trace, run: Run, console: Console) -> None:
    """Print a run in order of time: what was done to it, what it made of it, and which laws it broke."""
    console.print(Text(f"{scenario.title} - {scenario.story}" if scenario.story else scenario.title, "bold"))
    told = ((entry.t, _line(entry.t, entry.image, *line)) for entry, line in _told(trace))
    broken = ((each.at, _line(each.at, each.image, *_broken(each))) for each in _in_time(run.violations))
    for _, line in heapq.merge(told, broken, key=lambda pair: pair[0]):
        console.print(line, soft_wrap=True)
    if run.recoveries:
        console.print(_recoveries(run.recoveries))
    for violation in _in_time(run.violations):
        console.print(Text(*_broken(violation)), soft_wrap=True)
    verdict = "no law was broken" if run.passed else f"{len(run.violations)} violations"
    console.print(
        f"{verdict}; {run.virtual_s:.1f} virtual s in {run.took_s * 1000:.0f} ms; digest {run.digest}",
        markup=False,
    )


def _in_time(violations: Iterable[Violation]) -> list[Violation]:
    return sorted(violations, key=lambda violation: violation.at)


def _line(t: float, image: int, text: str, style: str) -> Text:
    who = f"#{image}" if image >= 0 else ""
    return Text.assemble((f"{t:10.3f} ", "dim"), (f"{who:3}", "cyan"), (text, style))


def _broken(violation: Violation) -> tuple[str, str]:
    law = f"LAW {violation.law}" if violation.law else "NO RESULT"
    return f"{law} {violation.what}", "bold red"


def _told(trace: Trace) -> Iterator[tuple[Entry, tuple[str, str]]]:
    """Choose the entries that matter to people; of evaluations that are answered only the first in a row."""
    outcomes: dict[int, Datum] = {}
    for entry in trace:
        if entry.kind is Kind.OUTCOME:
            outcome = entry.data.get("outcome")
            before, outcomes[entry.image] = outcomes.get(entry.image), outcome
            if before == outcome == _DONE:
                continue
        line = _words(entry.kind, entry.data)
        if line:
            yield entry, line


def _words(kind: Kind, data: Mapping[str, Datum]) -> tuple[str, str] | None:  # noqa: C901, PLR0911, PLR0912 - an arm a kind of entry
    match kind:
        case Kind.FAULT:
            return f">> {str(data['step']).partition(' ')[2]}", "bold yellow"
        case Kind.CONDITION:
            things = f" ({data['things']})" if data.get("things") else ""
            return f"the way is {data['condition']}{things}", CONDITIONS.get(str(data["condition"]), "")
        case Kind.HEALED:
            return "-- from here on everything is whole", "bold green"
        case Kind.TOLD:
            why = f"{data['trigger']}, {data['reason']}" + (
                f": {data['detail']}" if data.get("detail") else ""
            )
            return f"{data['source']} -> {data['target']} ({why})", STATES.get(str(data["target"]), "")
        case Kind.DIAL:
            return f"dials {data['address']} (link {data['gen']})", "dim"
        case Kind.HANDSHAKEN:
            return f"link {data['gen']}: handshake done", "dim"
        case Kind.LINK_ENDED:
            return f"link {data['gen']} ended: {data['cause']}", "dim"
        case Kind.OUTCOME:
            good = data["outcome"] == _DONE
            return f"evaluation {data['label']}: {data['outcome']}", "green" if good else "magenta"
        case Kind.PROCESS:
            return f"our process: {data['what']}", "bold"
        case Kind.RESTORED:
            return f"found again: {data['state']}, transition {data['seq']}", ""
        case Kind.ACTION:
            return f"the user: {data['action']}" + (", refused" if data.get("refused") else ""), "bold"
        case Kind.NOTICE:
            return f"notice: {data['text']}", "italic"
        case Kind.BUG:
            return f"EXCEPTION {data['text']}", "bold red"
        case _:
            return None


def _recoveries(recoveries: Iterable[Recovery]) -> Table:
    table = Table("whole at s", "image", "total ms", *(name.removesuffix("_s") for name in PHASES), "how")
    for column in table.columns[:-1]:
        column.justify = "right"
    for each in recoveries:
        figures = [_ms(getattr(each, name)) for name in PHASES]
        table.add_row(f"{each.whole_at:.3f}", str(each.image), _ms(each.total_s), *figures, each.how)
    return table


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"


def progress(console: Console) -> Progress:
    """Make the bar of a campaign; its task's `standing` is what is known so far."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[standing]}"),
        console=console,
    )


def standing(summary: Summary, rate: float) -> str:
    """Say in some words how a campaign goes."""
    return f"{rate:.1f}/s, {len(summary.failures)} failed, worst recovery {summary.worst_s:.2f} s"


def failure(run: Run, console: Console) -> None:
    """Print which laws a run broke, and how to see it again."""
    worst = _in_time(run.violations)[0]
    more = f" (and {len(run.violations) - 1} more)" if len(run.violations) > 1 else ""
    console.print(
        Text(f"{run.scenario} {run.seed}: {_broken(worst)[0]} at {worst.at:.2f} s{more}", "red"),
        soft_wrap=True,
    )
    console.print(f"    {replay_command(run)}", markup=False, soft_wrap=True)


def summary(whole: Summary, console: Console, played: int, took_s: float, cores: int) -> None:
    """Print what a campaign amounts to. `played` and `took_s` are of this session only."""
    table = Table(
        "faults played",
        "times",
        "faults played",
        "times",
    )
    faults = sorted(whole.faults.items(), key=lambda pair: -pair[1])
    half = -(-len(faults) // 2)
    for place in range(half):
        right = faults[half + place] if half + place < len(faults) else ("", "")
        table.add_row(
            faults[place][0], f"{faults[place][1]:,}", right[0], f"{right[1]:,}" if right[0] else ""
        )
    if faults:
        console.print(table)
    days = timedelta(seconds=round(whole.virtual_s))
    console.print(
        f"{whole.runs:,} runs, {len(whole.failures):,} of them failed; {days} of virtual time; "
        f"longest final recovery {whole.worst_s:.3f} s ({whole.worst_run or 'none'})",
        markup=False,
        soft_wrap=True,
    )
    if played and took_s:
        rate = played / took_s
        console.print(
            f"{played:,} runs in {took_s:.1f} s: {rate:.1f} a second, {rate / cores:.1f} a second and core "
            f"({cores} cores, {whole.played_s / whole.runs * 1000:.0f} ms of one each)",
            markup=False,
            soft_wrap=True,
        )
