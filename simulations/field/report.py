"""From outcomes to tables and verdicts: pure functions, for the terminal, the README and the JSON file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from simulations.scenarios import SCENARIOS, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulations.field.runner import Outcome

OURS, FLOOR = "resilience", "tcp_floor"
ANYTHING_MS = 10_000.0  # what the documents that started the project promise for every recovery
TOLD_MS = (50.0, 500.0)  # median and worst when an interface event tells
UNTOLD_MS = (250.0, 600.0)  # median and worst when nothing tells and the outage is under a minute
CARRIER_ALLOWANCE_MS = 200.0  # over the floor: until the kernel's next ARP try nobody can do anything
NOTICE_MS = 1_000.0  # with a request in flight, and the probes see to that


@dataclass(frozen=True, slots=True)
class Spread:
    """The recoveries of one client in one scenario, in milliseconds; infinity is never."""

    least: float
    middle: float
    most: float
    runs: int

    def __str__(self) -> str:
        return " / ".join(shown(value) for value in (self.least, self.middle, self.most))


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise, what was measured, and how far apart they are; infinity measured is never."""

    what: str
    limit: float
    measured: float
    unit: str = "ms"

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def __str__(self) -> str:
        if self.met:
            return f"met: {shown(self.measured)} of {shown(self.limit)} {self.unit}"
        if math.isinf(self.measured):
            return f"missed: never, the bar is {shown(self.limit)} {self.unit}"
        excess = shown(self.measured - self.limit)
        return f"missed by {excess} {self.unit}: {shown(self.measured)}, the bar is {shown(self.limit)}"


def shown(value: float) -> str:
    """Write a figure with as many digits as it can bear."""
    if math.isinf(value):
        return "never"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.0f}"  # noqa: PLR2004 - two figures need no decimals


def spread(recoveries_ms: Iterable[float | None]) -> Spread:
    """Sum up the recoveries of several runs, at least one."""
    values = sorted(math.inf if value is None else value for value in recoveries_ms)
    return Spread(values[0], median(values), values[-1], len(values))


def spreads(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Spread]:
    """Sum up by (scenario, client), in the order of the scenarios and of first appearance."""
    grouped: dict[tuple[str, str], list[float | None]] = {}
    clients = list(dict.fromkeys(outcome.client for outcome in outcomes if outcome.turn == 0))
    for scenario in SCENARIOS:
        for client in clients:
            found = [o.recovery_ms for o in outcomes if (o.scenario, o.client) == (scenario, client)]
            if found:
                grouped[scenario, client] = found
    return {key: spread(values) for key, values in grouped.items()}


def field_bars(outcomes: Sequence[Outcome]) -> list[Bar]:
    """Hold our own client against the bars of DESIGN §6, and against every client that ran beside it."""
    summed = spreads(outcomes)
    ours = {scenario: value for (scenario, client), value in summed.items() if client == OURS}
    if not ours:
        return []
    bars = [Bar("any recovery, worst", ANYTHING_MS, max(value.most for value in ours.values()))]
    for key, value in ours.items():
        bars.extend(_scenario_bars(outcomes, key, value))
        peers = [s.middle for (k, client), s in summed.items() if k == key and client not in {OURS, FLOOR}]
        if peers:
            bars.append(Bar(f"{key} the race: median, against the best peer's", min(peers), value.middle))
        if SCENARIOS[key].told is Told.NOBODY:
            noticed = spread(o.noticed_ms for o in outcomes if (o.client, o.scenario) == (OURS, key))
            bars.append(Bar(f"{key} noticing, worst", NOTICE_MS, noticed.most))
    repeated = sum(outcome.repeated for outcome in outcomes if outcome.client == OURS)
    bars.append(Bar("requests executed more than once", 0, repeated, "requests"))
    return bars


def _scenario_bars(outcomes: Sequence[Outcome], key: str, ours: Spread) -> list[Bar]:
    match SCENARIOS[key].told:
        case Told.INTERFACE:
            return _median_and_worst(f"{key} recovery", ours, TOLD_MS)
        case Told.NOBODY:
            return _median_and_worst(f"{key} recovery", ours, UNTOLD_MS)
        case Told.CARRIER:
            over = _over_the_floor([outcome for outcome in outcomes if outcome.scenario == key])
            limits = (CARRIER_ALLOWANCE_MS, CARRIER_ALLOWANCE_MS)
            return _median_and_worst(f"{key} over the floor of the same round", over, limits) if over else []
        case Told.REFUSAL:
            return []


def _median_and_worst(what: str, value: Spread, limits: tuple[float, float]) -> list[Bar]:
    return [Bar(f"{what}, median", limits[0], value.middle), Bar(f"{what}, worst", limits[1], value.most)]


def _over_the_floor(outcomes: Sequence[Outcome]) -> Spread | None:
    """Compare within rounds only: how long the outage was decides where in the ARP second it ends."""
    floor = {o.turn: o.recovery_ms for o in outcomes if o.client == FLOOR and o.recovery_ms is not None}
    ours = {o.turn: o.recovery_ms for o in outcomes if o.client == OURS and o.turn in floor}
    over = [None if mine is None else mine - floor[turn] for turn, mine in ours.items()]
    return spread(over) if over else None


def recovery_rows(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Lay out min / median / max as (header, rows): a row per scenario, a column per client."""
    summed = spreads(outcomes)
    clients = list(dict.fromkeys(client for _, client in summed))
    rows = []
    for key, scenario in SCENARIOS.items():
        found = {client: summed[key, client] for client in clients if (key, client) in summed}
        if found:
            runs = max(value.runs for value in found.values())
            cells = [str(found[client]) if client in found else "-" for client in clients]
            rows.append([f"{key} {scenario.title}", str(runs), *cells])
    return ["recovery in ms, min / median / max", "runs", *clients], rows


def recovery_groups(outcomes: Sequence[Outcome]) -> list[list[list[str]]]:
    """Lay out the same for a terminal's width: per scenario a group, per client a row."""
    groups: dict[str, list[list[str]]] = {}
    for (key, client), value in spreads(outcomes).items():
        rows = groups.setdefault(key, [])
        name = "" if rows else f"{key} {SCENARIOS[key].title}"
        rows.append([name, client, *map(shown, (value.least, value.middle, value.most)), str(value.runs)])
    return list(groups.values())


def conduct_rows(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Lay out requests run twice, requests run after their client gave up, and clients that ended."""
    clients = [client for client in dict.fromkeys(outcome.client for outcome in outcomes) if client != FLOOR]
    twice = [str(sum(o.repeated for o in outcomes if o.client == client)) for client in clients]
    ghosts = [str(sum(o.ghosts for o in outcomes if o.client == client)) for client in clients]
    deaths = [str(sum(bool(o.died) for o in outcomes if o.client == client)) for client in clients]
    return ["conduct, all runs together", *clients], [
        ["requests executed more than once", *twice],
        ["requests executed after the client gave up", *ghosts],
        ["runs in which the client itself ended", *deaths],
    ]


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table as Markdown."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
