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

OURS, FLOOR, MOSH = "resilience", "tcp_floor", "mosh"
ANYTHING_MS = 10_000.0  # what the documents that started the project promise for every recovery
TOLD_MS = (50.0, 500.0)  # median and worst when an interface event tells
UNTOLD_MS = (250.0, 600.0)  # median and worst when nothing tells and the outage is under a minute
CARRIER_ALLOWANCE_MS = 200.0  # over the floor: until the kernel's next ARP try nobody can do anything
LEVEL_MS = 20.0  # requests are this far apart, so two clients that are level may differ by as much
NOTICE_MS = 1_000.0  # with a request in flight, and the probes see to that


@dataclass(frozen=True, slots=True)
class Spread:
    """The recoveries of one client in one scenario, in milliseconds; infinity is never."""

    least: float
    middle: float
    most: float
    runs: int

    def short(self) -> str:
        """Write what counts: the median and the worst, as one word if neither ever came."""
        both = (shown(self.middle), shown(self.most))
        return both[0] if math.isinf(self.middle) else " / ".join(both)

    def cells(self) -> list[str]:
        """Write everything, each in a cell of its own."""
        return [*map(shown, (self.least, self.middle, self.most)), str(self.runs)]

    def rank(self) -> tuple[float, float]:
        """Give what to sort by, the fastest first."""
        return self.middle, self.most


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
            return f"met: {shown(self.measured)}; the bar is {shown(self.limit)} {self.unit}"
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


def clients_of(outcomes: Sequence[Outcome]) -> list[str]:
    """List the clients as they were given: later rounds begin with another one."""
    return list(dict.fromkeys(outcome.client for outcome in outcomes if outcome.turn == 0))


def spreads(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Spread]:
    """Sum up by (scenario, client), in the order of the scenarios and of first appearance."""
    grouped: dict[tuple[str, str], list[float | None]] = {}
    clients = clients_of(outcomes)
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
        bars.extend(_race_bars(key, {client: s for (k, client), s in summed.items() if k == key}))
        if SCENARIOS[key].told is Told.NOBODY:
            noticed = spread(o.noticed_ms for o in outcomes if (o.client, o.scenario) == (OURS, key))
            bars.append(Bar(f"{key} noticing, worst", NOTICE_MS, noticed.most))
    repeated = sum(outcome.repeated for outcome in outcomes if outcome.client == OURS)
    bars.append(Bar("requests executed more than once", 0, repeated, "requests"))
    return bars


def _race_bars(key: str, summed: dict[str, Spread]) -> list[Bar]:
    """Ask to be ahead of everybody over TCP, and level with mosh, which has no connection to lose."""
    bars, ours = [], summed[OURS].middle
    peers = [value.middle for client, value in summed.items() if client not in {OURS, FLOOR, MOSH}]
    if peers:
        bars.append(Bar(f"{key} the race: median, against the best peer's", min(peers), ours))
    if MOSH in summed and not math.isinf(summed[MOSH].middle):  # it does not survive a restart of its server
        bars.append(Bar(f"{key} the race: median, level with mosh's", summed[MOSH].middle + LEVEL_MS, ours))
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
    """Lay out medians and maxima as (header, rows): a row per client, a column per scenario."""
    summed = spreads(outcomes)
    keys = list(dict.fromkeys(key for key, _ in summed))
    rows = []
    for client in clients_of(outcomes):
        found = [summed.get((key, client)) for key in keys]
        rows.append([client, *("-" if value is None else value.short() for value in found)])
    return ["median / max in ms", *keys], rows


def legend_rows(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Say what the scenarios' keys stand for and how many rounds were played, as (header, rows)."""
    summed = spreads(outcomes)
    runs = {key: max(value.runs for (k, _), value in summed.items() if k == key) for key, _ in summed}
    rows = [[key, SCENARIOS[key].title, SCENARIOS[key].told, str(count)] for key, count in runs.items()]
    return ["", "scenario", "who tells the client", "runs"], rows


def recovery_groups(outcomes: Sequence[Outcome]) -> list[list[list[str]]]:
    """Lay out all of it for a terminal's width: per scenario a group, per client a row, the fastest first."""
    groups: dict[str, list[tuple[str, Spread]]] = {}
    for (key, client), value in spreads(outcomes).items():
        groups.setdefault(key, []).append((client, value))
    return [
        [
            [f"{key} {SCENARIOS[key].title}" if place == 0 else "", client, *value.cells()]
            for place, (client, value) in enumerate(sorted(group, key=lambda pair: pair[1].rank()))
        ]
        for key, group in groups.items()
    ]


def conduct_rows(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Lay out requests run twice, requests run after their client gave up, and clients that ended."""
    rows = []
    for client in clients_of(outcomes):
        if client == FLOOR:  # it sends no requests
            continue
        mine = [outcome for outcome in outcomes if outcome.client == client]
        counts = (sum(o.repeated for o in mine), sum(o.ghosts for o in mine), sum(bool(o.died) for o in mine))
        rows.append([client, *map(str, counts)])
    return [
        "requests and clients, all runs together",
        "run twice",
        "run after given up",
        "clients ended",
    ], rows


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table as Markdown."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
