"""Adds runs up as they come: a few floats of each stay, so that several 100,000 runs fit into memory."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Self

from simulations.results import Recovery, Run, Violation

PHASES = ("detect", "decide", "dial", "handshake", "restore", "answer")
"""In their order; all but the first add up to a recovery."""

WITHIN_S = 10.0
"""What the documents that started the project promise for every recovery."""

SWARM, REGRESSIONS = "swarm", "regressions"
_REGRESSION = re.compile(r"regression \d+")
_phases = attrgetter(*(f"{phase}_s" for phase in PHASES))

VIOLATIONS_KEPT = 1000
"""A campaign that breaks more laws than that is not read line by line."""


def floats() -> array[float]:
    """Give an empty list of floats that takes 8 bytes each."""
    return array("d")


@dataclass(frozen=True, slots=True)
class Spread:
    """How values spread: nearest-rank quantiles, that is, values which were really measured.

    The p-th percentile is the least value that at least p percent of all values do not exceed. Infinity is
    never, and is counted like any other value.
    """

    count: int
    p50: float
    p95: float
    p99: float
    most: float
    never: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Sum values up; None if there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        p50, p95, p99 = (ordered[rank(percent, len(ordered))] for percent in (50, 95, 99))
        never = sum(1 for _ in filter(math.isinf, ordered))
        return cls(len(ordered), p50, p95, p99, ordered[-1], never)


def rank(percent: int, count: int) -> int:
    """Give the index of a percentile in `count` ordered values; whole numbers, so that nothing is rounded."""
    return max(-(-percent * count // 100), 1) - 1


@dataclass(frozen=True, slots=True)
class Found:
    """One violation and the run it was seen in."""

    scenario: str
    seed: int
    violation: Violation


@dataclass(frozen=True, slots=True)
class Slowest:
    """The run with the slowest recovery seen."""

    scenario: str
    seed: int
    total_s: float
    digest: str
    """Of its trace: whoever plays it again with the same code gets the same."""


@dataclass(slots=True)
class Sample:
    """Everything measured of one scenario."""

    runs: int = 0
    tried: int = 0
    """Runs in which there was something to recover from; one that could not be played counts as such."""
    recovered: int = 0
    """Those of them in which no answer came later than 10 s after the way was whole."""
    broken: int = 0
    """Runs that broke a law."""
    virtual_s: float = 0.0
    unplayed: int = 0
    """Runs that raised, hung, or ended the process that played them."""
    final: array[float] = field(default_factory=floats)
    windows: array[float] = field(default_factory=floats)
    """Every recovery, the final ones too."""
    well: int = 0
    """How often an image was asked that had been well all along: nothing to recover from."""
    phases: dict[str, array[float]] = field(default_factory=lambda: {phase: floats() for phase in PHASES})
    slowest: Slowest | None = None

    def add(self, run: Run) -> None:
        """Count one run."""
        self.runs += 1
        self.virtual_s += run.virtual_s
        self.broken += not run.passed
        self.unplayed += not run.digest
        longest_s = max((self._measure(run, each) for each in run.recoveries), default=0.0)
        tried = not run.digest or any(each.broken_s is not None for each in run.recoveries)
        self.tried += tried
        self.recovered += tried and bool(run.digest) and longest_s <= WITHIN_S

    def _measure(self, run: Run, recovery: Recovery) -> float:
        """Give how long the answer took; who was well all along has to answer, but is no recovery."""
        total_s = math.inf if recovery.total_s is None else recovery.total_s
        if recovery.broken_s is None:
            self.well += 1
            return total_s
        self.windows.append(total_s)
        if recovery.final:
            self.final.append(total_s)
        for phase, seconds in zip(PHASES, _phases(recovery), strict=True):
            if seconds is not None:
                self.phases[phase].append(seconds)
        if self.slowest is None or total_s > self.slowest.total_s:
            self.slowest = Slowest(run.scenario, run.seed, total_s, run.digest)
        return total_s


@dataclass(slots=True)
class Tally:
    """A whole campaign."""

    samples: dict[str, Sample] = field(default_factory=dict)
    """By scenario; random ones together, and what was kept of earlier failures together."""
    laws: Counter[int] = field(default_factory=Counter)
    """How often each law was broken."""
    violations: list[Found] = field(default_factory=list)
    """The first of them."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often each kind of trace entry came, and each fault."""
    played_s: float = 0.0
    """Time of processors."""

    def add(self, run: Run) -> None:
        """Count one run."""
        key = REGRESSIONS if _REGRESSION.fullmatch(run.scenario) else run.scenario
        sample = self.samples.get(key)
        if sample is None:
            sample = self.samples[key] = Sample()
        sample.add(run)
        for violation in run.violations:
            self.laws[violation.law] += 1
            if len(self.violations) < VIOLATIONS_KEPT:
                self.violations.append(Found(run.scenario, run.seed, violation))
        self.played_s += run.took_s
        if run.counts:
            self.counts.update(run.counts)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Self:
        """Count them all."""
        tally = cls()
        for run in runs:
            tally.add(run)
        return tally
