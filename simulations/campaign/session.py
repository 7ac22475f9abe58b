"""A campaign before the user's eyes: from what was asked for to the exit code."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from simulations.campaign import plan as planning
from simulations.campaign import regressions, show
from simulations.campaign.commands import OUT, SCENARIOS, SEED
from simulations.campaign.conduct import Campaign, Summary
from simulations.campaign.journal import Journal, JournalError, Plan, fingerprint, read_plan
from simulations.campaign.plan import Job
from simulations.campaign.playing import OtherCodeError, Player
from simulations.campaign.workers import Cores, Pool, PoolLostError
from simulations.results import Run

DONE, FAILED, CANNOT, INTERRUPTED = 0, 1, 2, 130

TOLD_FAILURES = 20
"""Printed one by one; all are in the directory."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asked for; None: as the campaign that is resumed has it, or as usual."""

    scenarios: int | None = None
    seed: int | None = None
    only: tuple[str, ...] = ()
    ci: bool = False
    minutes: float | None = None
    workers: int | None = None
    out: Path = OUT
    resume: bool = False
    scheduler: str = ""
    keep: bool = True


def run(wish: Wish, player: Player | None = None, kept: Path = regressions.FILE) -> int:
    """Play it; returns the exit code. `player` None: the virtual world."""
    told, results = Console(stderr=True, highlight=False), Console(highlight=False)
    stop, begun = threading.Event(), False
    try:
        plan = planned(wish)
        jobs = planned_jobs(plan, kept)
        opened = Journal.resume if wish.resume else Journal.begin
        with (
            _pool(wish, player) as pool,  # first: who cannot play has no business in the directory
            opened(wish.out, plan) as journal,
            _first_interrupt(stop),
        ):
            begun = True
            if journal.moved:
                told.print(f"What was in {wish.out} is in {journal.moved} now.", markup=False, soft_wrap=True)
            campaign = Campaign(jobs, pool, journal, stop, wish.minutes, kept if wish.keep else None)
            return _conduct(campaign, told, results)
    except (JournalError, OtherCodeError, PoolLostError, LookupError, ValueError, OSError) as error:
        more = " What was played is written down; --resume goes on." if begun else ""
        told.print(f"No verdict: {error}.{more}", markup=False, soft_wrap=True)
        return CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED


def planned(wish: Wish) -> Plan:
    """Say what is to be played. A campaign that is resumed knows it itself, and may only become longer.

    Raises:
        JournalError: nothing is there to be resumed, or not this.
    """
    from simulations.bench import machine  # noqa: PLC0415 - imports what it names the versions of

    code = fingerprint()
    if not wish.resume:
        seed = SEED if wish.seed is None else wish.seed
        return Plan(wish.scenarios or SCENARIOS, seed, wish.only, wish.ci, code, machine(()))
    plan = read_plan(wish.out)
    if plan.code != code:
        raise JournalError(f"the code has changed since ({plan.code}, now {code}); begin without --resume")
    if (
        (wish.ci and not plan.ci)
        or (wish.seed is not None and wish.seed != plan.seed)
        or (wish.only and wish.only != plan.only)
    ):
        raise JournalError(f"--resume goes on with `{planning.command(plan)}`; only --scenarios may differ")
    if wish.scenarios is not None and (plan.ci or wish.scenarios < plan.scenarios):
        planned = "the slice of --ci" if plan.ci else f"{plan.scenarios:,} runs"
        raise JournalError(f"{planned} are planned in {wish.out}; --resume may only make a plan longer")
    return replace(plan, scenarios=wish.scenarios or plan.scenarios)


def planned_jobs(plan: Plan, kept: Path = regressions.FILE) -> list[Job]:
    """List the runs of a plan.

    Raises:
        LookupError: no scenario has such a name.
        ValueError: the regression file is damaged.
    """
    if plan.ci:
        return planning.ci_slice(kept)
    for name in plan.only:
        planning.scenario(name, plan.seed)
    first = planning.regression_jobs(regressions.load(kept))
    return [*first, *planning.plan(plan.scenarios, plan.seed, plan.only)]


def _conduct(campaign: Campaign, told: Console, results: Console) -> int:
    campaign.recall()
    before, began = campaign.summary.runs, time.monotonic()
    untold = iter(range(TOLD_FAILURES))
    with show.progress(told) as bar:
        task = bar.add_task("playing", total=before + len(campaign.jobs), completed=before, standing="")

        def tell(summary: Summary, runs: list[Run]) -> None:
            for each in runs:
                if not each.passed and next(untold, None) is not None:
                    show.failure(each, bar.console)
            rate = (summary.runs - before) / (time.monotonic() - began)
            bar.update(task, completed=summary.runs, standing=show.standing(summary, rate))

        campaign.told = tell
        campaign.conduct()
    summary = campaign.summary
    show.summary(summary, results, summary.runs - before, time.monotonic() - began, campaign.pool.slots)
    if campaign.stop.is_set():
        further = f"python -m simulations run --resume --out {campaign.journal.directory}"
        told.print(f"Interrupted; `{further}` goes on.", markup=False, soft_wrap=True)
        return INTERRUPTED
    return FAILED if summary.failures else DONE


@contextmanager
def _pool(wish: Wish, player: Player | None) -> Iterator[Pool]:
    pool: Pool
    if wish.scheduler:
        try:
            from simulations.campaign.cluster import Cluster  # noqa: PLC0415 - an optional extra
        except ModuleNotFoundError as error:
            raise LookupError(f"{error}; a cluster needs: pip install 'resilience[cluster]'") from error
        pool = Cluster(wish.scheduler, player)
    else:
        pool = Cores(wish.workers, player)
    try:
        yield pool
    except BaseException:
        pool.kill()
        raise
    pool.close()


@contextmanager
def _first_interrupt(stop: threading.Event) -> Iterator[None]:
    """Have the first Ctrl-C set `stop`; the second interrupts."""

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
