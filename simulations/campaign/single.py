"""One run before the user's eyes: played again and told, or reduced to what matters in it."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from simulations.campaign import plan, regressions, show
from simulations.campaign import steps as written
from simulations.campaign.conduct import laws_of
from simulations.campaign.plan import Job
from simulations.campaign.playing import Player, failed, play_one, virtual_world
from simulations.campaign.shrink import Shrinking, as_played, signature
from simulations.results import Run
from simulations.scenarios import Scenario
from simulations.swarm import Fixed
from simulations.trace import Trace

DONE, FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Chosen:
    """A scenario and the seed it is played with."""

    scenario: Scenario
    seed: int


def chosen(name: str, seed: int, regression: int | None = None, steps: Path | None = None) -> Chosen:
    """Find what the arguments name; `steps` takes the place of the scenario's own.

    Raises:
        LookupError: there is no such scenario or regression.
        ValueError: a file does not hold what it should; or there is no saying which one is meant.
        OSError: a file cannot be read.
    """
    if (regression is None) == (not name):
        raise ValueError("name a scenario and a seed, or a --regression")
    if regression is None:
        found = Chosen(plan.scenario(name, seed), seed)
    else:
        entries = regressions.load()
        if regression > len(entries):
            raise LookupError(f"there are {len(entries)} regressions")
        entry = entries[regression - 1]
        found = Chosen(entry.scenario(), entry.seed)
    if steps is None:
        return found
    own = written.read(steps)
    written.check(own, found.scenario.images)
    return Chosen(Fixed.of(found.scenario, own), found.seed)


def replay(run: Chosen, trace: Path | None = None) -> int:
    """Play it, tell what happened, and perhaps write the trace; returns the exit code."""
    kept, result = _traced(run)
    show.story(run.scenario, kept, result, Console(highlight=False))
    if trace is not None:
        with trace.open("w", encoding="utf-8") as file:
            file.writelines(f"{entry}\n" for entry in kept)
    return DONE if result.passed else FAILED


def _traced(run: Chosen) -> tuple[Trace, Run]:
    """Play it and keep the trace; of a run that raises, as far as it came."""
    from simulations.virtual.play import Play, trace  # noqa: PLC0415 - takes a while

    try:
        return trace(run.scenario, run.seed)
    except Exception as error:  # noqa: BLE001 - whatever it is, how it came to it is wanted
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
    again = Play(run.scenario, run.seed)
    with suppress(Exception):
        again.run()
    return again.trace, failed(Job(run.scenario.key, run.seed), told)


def shrink(run: Chosen, story: str = "", player: Player | None = None, kept: Path = regressions.FILE) -> int:
    """Reduce it, print the steps that are left, and keep them if there is a `story`; gives the exit code."""
    told, results = Console(stderr=True, highlight=False), Console(highlight=False)
    play = player or virtual_world()

    def played(scenario: Scenario) -> Run:
        return play_one(Job(scenario.key, run.seed, scenario), play)

    begin = as_played(run.scenario, run.seed)
    wanted = signature(played(begin))
    if not wanted:
        told.print(f"{begin.key} {run.seed} breaks no law: there is nothing to shrink.", markup=False)
        return FAILED
    with told.status("shrinking") as status:

        def tell(smaller: Scenario, tries: int) -> None:
            status.update(f"{len(smaller.steps)} steps left after {tries} tries")

        smallest = Shrinking(lambda each: bool(signature(played(each)) & wanted), tell).smallest(begin)
    for step in smallest.steps:
        results.print(str(step), markup=False, soft_wrap=True)
    last = played(smallest)
    for violation in last.violations:
        told.print(f"law {violation.law}: {violation.what}", markup=False, soft_wrap=True)
    entry = regressions.Regression.of(smallest, run.seed, laws_of(last), datetime.now(UTC).date(), story)
    if story:
        told.print(f"kept as regression {regressions.keep(entry, kept)}", markup=False)
    else:
        told.print('--keep "what it was" adds this line to the regression file:', markup=False)
        told.print(str(entry), markup=False, soft_wrap=True)
    return DONE
