"""The verdict: what a campaign measured, held against every bar. Pure functions of a tally."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from simulations.report import figures
from simulations.report.tally import (
    PHASES,
    REGRESSIONS,
    SWARM,
    WITHIN_S,
    Found,
    Sample,
    Slowest,
    Spread,
    Tally,
)
from simulations.results import Run

DOCUMENTS_PER_MILLE, OWN_PER_MILLE = 950, 999
"""Of runs that recover within 10 s: what the documents ask, and what DESIGN section 6 asks."""

NOTICE_S = 3.0
"""A silent drop is noticed within that while idle, sooner with a request in flight (DESIGN section 6)."""

NOTICING = "noticing a silent drop, worst"

ENOUGH_RUNS = 1000
"""Fewer cannot tell 99.9 % from all."""


class Unit(StrEnum):
    """What a bar is measured in; decides how its figures are written."""

    SECONDS = "s"
    RUNS = "runs"
    VIOLATIONS = "violations"


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise: at most `limit`, or at least that, and what was measured.

    Infinity measured is never. None measured is nothing: what nobody measured is not met.
    """

    what: str
    limit: float
    measured: float | None
    unit: Unit = Unit.SECONDS
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it holds."""
        if self.measured is None:
            return False
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        """Say so, with the figures."""
        bound = "at least" if self.at_least else "at most"
        if self.measured is None:
            return f"missed: nothing was measured; the bar is {bound} {self._shown(self.limit)[1]}"
        measured, limit = self._shown(self.measured)
        return f"{'met' if self.met else 'missed'}: {measured}; the bar is {bound} {limit}"

    def _shown(self, measured: float) -> tuple[str, str]:
        if self.unit is Unit.SECONDS:
            return figures.compared(measured, self.limit)
        return figures.count(measured), f"{figures.count(self.limit)} {self.unit}"


@dataclass(frozen=True, slots=True)
class ShareBar:
    """A promise about how many of all: at least so many of a thousand."""

    what: str
    limit_per_mille: int
    part: int
    whole: int

    @property
    def met(self) -> bool:
        """Whether it holds; of nothing nothing is known."""
        return self.whole > 0 and self.part * 1000 >= self.limit_per_mille * self.whole

    def __str__(self) -> str:
        """Say so, with the figures."""
        limit = figures.share(self.limit_per_mille, 1000)
        if not self.whole:
            return f"missed: there are no runs; the bar is at least {limit}"
        shown = f"{figures.share(self.part, self.whole)} ({self.part:,} of {self.whole:,})"
        return f"{'met' if self.met else 'missed'}: {shown}; the bar is at least {limit}"


@dataclass(frozen=True, slots=True)
class Promise:
    """What is asked of one scenario besides: the median and the worst of its final recoveries."""

    scenario: str
    median_s: float
    worst_s: float


@dataclass(frozen=True, slots=True)
class Group:
    """One scenario, or all random ones, or all regressions, or everything."""

    name: str
    title: str
    runs: int
    tried: int
    """Runs in which there was something to recover from."""
    recovered: int
    """Those of them that did within 10 s."""
    broken: int
    virtual_s: float
    unplayed: int
    final: Spread | None
    windows: Spread | None
    well: int
    """Images that were asked though they had been well all along; they are in no spread."""
    phases: Mapping[str, Spread | None]
    slowest: Slowest | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything a campaign says."""

    groups: tuple[Group, ...]
    whole: Group
    bars: tuple[Bar | ShareBar, ...]
    laws: Mapping[int, int]
    """How often each law was broken."""
    violations: tuple[Found, ...]
    """The first of them."""
    counts: Mapping[str, int]
    played_s: float
    unjudged: tuple[str, ...] = ()
    """Bars of scenarios that the plan leaves out."""

    @property
    def met(self) -> bool:
        """Whether nothing is missed."""
        return all(bar.met for bar in self.bars)

    @property
    def rate(self) -> float | None:
        """Scenarios a second and core; None: nobody took the time."""
        return self.whole.runs / self.played_s if self.played_s else None


@dataclass(frozen=True, slots=True)
class Expected:
    """What the verdict is to know of the scenarios beforehand.

    `titles` by scenario, in the order in which they are shown; `silent` are those in which nothing but a
    silent drop happens, so that noticing it can be timed; `left_out` are those that were not to be played,
    and are not asked for anything.
    """

    titles: Mapping[str, str]
    silent: frozenset[str] = frozenset()
    promises: Sequence[Promise] = ()
    least_runs: int = ENOUGH_RUNS
    left_out: frozenset[str] = frozenset()


def of_runs(runs: Iterable[Run], expected: Expected) -> Verdict:
    """Judge runs."""
    return judge(Tally.of(runs), expected)


def judge(tally: Tally, expected: Expected) -> Verdict:
    """Judge what was added up."""
    groups = tuple(
        group_of(key, _title(key, expected), tally.samples[key]) for key in _order(tally, expected)
    )
    whole = together(tally)
    return Verdict(
        groups=groups,
        whole=whole,
        bars=tuple(_bars(groups, whole, tally, expected)),
        laws=dict(sorted(tally.laws.items())),
        violations=tuple(tally.violations),
        counts=dict(sorted(tally.counts.items())),
        played_s=tally.played_s,
        unjudged=tuple(_unjudged(groups, expected)),
    )


def group_of(name: str, title: str, sample: Sample) -> Group:
    """Sum up one sample."""
    return Group(
        name=name,
        title=title,
        runs=sample.runs,
        tried=sample.tried,
        recovered=sample.recovered,
        broken=sample.broken,
        virtual_s=sample.virtual_s,
        unplayed=sample.unplayed,
        final=Spread.of(sample.final),
        windows=Spread.of(sample.windows),
        well=sample.well,
        phases={phase: Spread.of(sample.phases[phase]) for phase in PHASES},
        slowest=sample.slowest,
    )


def together(tally: Tally) -> Group:
    """Sum up all samples as one."""
    samples = list(tally.samples.values())
    slowest = [sample.slowest for sample in samples if sample.slowest is not None]
    return Group(
        name="all",
        title="all together",
        runs=sum(sample.runs for sample in samples),
        tried=sum(sample.tried for sample in samples),
        recovered=sum(sample.recovered for sample in samples),
        broken=sum(sample.broken for sample in samples),
        virtual_s=math.fsum(sample.virtual_s for sample in samples),
        unplayed=sum(sample.unplayed for sample in samples),
        final=Spread.of(chain.from_iterable(sample.final for sample in samples)),
        windows=Spread.of(chain.from_iterable(sample.windows for sample in samples)),
        well=sum(sample.well for sample in samples),
        phases={
            phase: Spread.of(chain.from_iterable(sample.phases[phase] for sample in samples))
            for phase in PHASES
        },
        slowest=max(slowest, key=lambda each: each.total_s, default=None),
    )


def _bars(
    groups: Sequence[Group], whole: Group, tally: Tally, expected: Expected
) -> Iterable[Bar | ShareBar]:
    by_name = {group.name: group for group in groups}
    yield Bar("runs played", expected.least_runs, whole.runs, Unit.RUNS, at_least=True)
    yield Bar("recovery after the last fault, worst", WITHIN_S, _most(whole.final))
    yield Bar("recovery, between faults too, worst", WITHIN_S, _most(whole.windows))
    for name, limit in (("the documents'", DOCUMENTS_PER_MILLE), ("our own", OWN_PER_MILLE)):
        yield ShareBar(f"runs recovered within 10 s, {name} bar", limit, whole.recovered, whole.tried)
    yield Bar("laws broken", 0, tally.laws.total(), Unit.VIOLATIONS)
    yield Bar("runs that could not be played to their end", 0, whole.unplayed, Unit.RUNS)
    silent = sorted(key for key in expected.silent if key in by_name or key not in expected.left_out)
    if silent:
        noticed = [by_name[key].phases["detect"] for key in silent if key in by_name]
        worst = [spread.most for spread in noticed if spread is not None]
        complete = len(noticed) == len(silent) and worst
        yield Bar(NOTICING, NOTICE_S, max(worst) if complete else None)
    for promise in expected.promises:
        group = by_name.get(promise.scenario)
        if group is not None or promise.scenario not in expected.left_out:
            final = None if group is None else group.final
            median_s = None if final is None else final.p50
            yield Bar(f"{promise.scenario} recovery, median", promise.median_s, median_s)
            yield Bar(f"{promise.scenario} recovery, worst", promise.worst_s, _most(final))


def _unjudged(groups: Sequence[Group], expected: Expected) -> Iterable[str]:
    """List the bars that nobody is held against, because their scenarios were not to be played."""
    absent = expected.left_out - {group.name for group in groups}
    if expected.silent and expected.silent <= absent:
        yield NOTICING
    for promise in expected.promises:
        if promise.scenario in absent:
            yield f"{promise.scenario} recovery"


def _most(spread: Spread | None) -> float | None:
    return None if spread is None else spread.most


def _order(tally: Tally, expected: Expected) -> list[str]:
    """Named scenarios as the library has them, then any others, the random ones, the regressions."""
    known = [key for key in expected.titles if key in tally.samples]
    last = [key for key in (SWARM, REGRESSIONS) if key in tally.samples]
    return [*known, *sorted(tally.samples.keys() - {*known, *last}), *last]


def _title(key: str, expected: Expected) -> str:
    own = {SWARM: "random trouble", REGRESSIONS: "what once failed"}
    return expected.titles.get(key, own.get(key, ""))
