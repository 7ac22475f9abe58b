"""Conducts a campaign: hands out what is planned, writes down what comes back, and adds it up."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from simulations.campaign import regressions
from simulations.campaign.journal import Journal, chunks
from simulations.campaign.plan import CHUNK, Job, chunked, scenario
from simulations.campaign.playing import HARNESS, Chunk
from simulations.campaign.workers import AHEAD, Pool, play_all
from simulations.results import Run

FAULT = "fault: "
"""Begins the counts of faults in `Run.counts`."""

CANDIDATES = 3
"""Kept of those that break the same laws: one bug is found a hundred times before anybody looks."""


@dataclass(slots=True)
class Summary:
    """What a campaign amounts to so far."""

    runs: int = 0
    virtual_s: float = 0.0
    played_s: float = 0.0
    worst_s: float = 0.0
    """The longest recovery after everything was whole for good."""
    worst_run: str = ""
    failures: list[Run] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, run: Run) -> None:
        """Count one more."""
        self.runs += 1
        self.virtual_s += run.virtual_s
        self.played_s += run.took_s
        self.counts.update(run.counts)
        for recovery in run.recoveries:
            total_s = math.inf if recovery.total_s is None else recovery.total_s
            if recovery.final and total_s > self.worst_s:
                self.worst_s = total_s
                self.worst_run = f"{run.scenario} {run.seed}"
        if not run.passed:
            self.failures.append(run)

    @property
    def faults(self) -> dict[str, int]:
        """How often each kind of fault was played."""
        return {
            name.removeprefix(FAULT): number
            for name, number in sorted(self.counts.items())
            if name.startswith(FAULT)
        }


@dataclass(slots=True)
class Campaign:
    """One campaign: what is to be played, where, and where it is written down.

    `keep`: the file that failures become candidates of. `told` is called after each chunk, with its runs.
    """

    jobs: list[Job]
    pool: Pool
    journal: Journal
    stop: threading.Event
    minutes: float | None = None
    keep: Path | None = None
    told: Callable[[Summary, list[Run]], None] = lambda *_: None
    summary: Summary = field(default_factory=Summary)

    def recall(self) -> None:
        """Read what was played before, and do not play it again.

        Raises:
            JournalError: a line is damaged.
        """
        done = set()
        for chunk in chunks(self.journal.directory):
            for run in chunk.runs:
                self.summary.add(run)
                done.add((run.scenario, run.seed))
            self.summary.played_s += chunk.played_s
            self.summary.counts.update(chunk.counts)
        self.jobs = [job for job in self.jobs if (job.label, job.seed) not in done]

    def conduct(self) -> None:
        """Play all of it, until it is done, or the time is over, or somebody wants it to stop.

        Failures are kept before their runs are committed: whatever ends us in between, the runs are played
        again, and nothing that was found is lost.
        """
        until = None if self.minutes is None else time.monotonic() + 60 * self.minutes
        for runs in play_all(_until(until, self._chunks()), self.pool, self.stop):
            for run in runs:
                self.summary.add(run)
                if not run.passed:
                    self._failed(run)
            self.journal.append(runs)
            self.told(self.summary, runs)

    def _chunks(self) -> Iterator[Chunk]:
        share = -(
            -len(self.jobs) // (2 * AHEAD * self.pool.slots)
        )  # a short campaign keeps all cores busy, too
        return chunked(self.jobs, min(CHUNK, max(1, share)))

    def _failed(self, run: Run) -> None:
        self.journal.failed(run, replay_command(run))
        laws = laws_of(run)
        same = [each for each in self.summary.failures if laws_of(each) == laws]
        if self.keep and len(same) <= CANDIDATES and laws != (HARNESS,) and not _kept_already(run):
            found = datetime.now(UTC).date()
            candidate = regressions.Regression.of(scenario(run.scenario, run.seed), run.seed, laws, found)
            regressions.keep(candidate, self.keep)


def laws_of(run: Run) -> tuple[int, ...]:
    """Which laws a run broke."""
    return tuple(sorted({violation.law for violation in run.violations}))


def replay_command(run: Run) -> str:
    """Say how to see it again."""
    what = f"--{run.scenario}" if _kept_already(run) else f"{run.scenario} {run.seed}"
    return f"python -m simulations replay {what}"


def _kept_already(run: Run) -> bool:
    return run.scenario.startswith("regression ")


def _until(deadline: float | None, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    for chunk in chunks:
        if deadline is not None and time.monotonic() > deadline:
            return
        yield chunk
