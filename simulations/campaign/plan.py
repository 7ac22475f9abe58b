"""What a campaign plays, in which order: all regressions first, then named scenarios between swarm seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulations import swarm
from simulations.campaign import regressions
from simulations.campaign.journal import Plan
from simulations.scenarios import Scenario

NAMED_EVERY = 4
"""Each fourth run is of a named scenario; the rest is random, because that finds what nobody thought of."""

CHUNK = 50
"""Runs handed to a worker at once: about 2 s of work, little to lose, and little to say about each."""

CI_NAMED_SEEDS = 4
CI_SWARM = 1200
"""Together with the regressions below 2 minutes on two slow cores."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be played. `scenario` is given only where `label` does not lead to it: for a regression."""

    label: str
    seed: int
    scenario: Scenario | None = None

    def the_scenario(self) -> Scenario:
        """Give what is to be played.

        Raises:
            LookupError: no scenario has this name.
        """
        return self.scenario or scenario(self.label, self.seed)


def scenario(name: str, seed: int) -> Scenario:
    """Find a named scenario, or make the random one of a seed.

    Raises:
        LookupError: no scenario has this name; says which there are.
    """
    if name == swarm.KEY:
        return swarm.swarm(seed)
    library = named()
    if name not in library:
        known = ", ".join([*library, swarm.KEY])
        raise LookupError(f"there is no scenario {name!r}; there are {known}")
    return library[name]


def named() -> Mapping[str, Scenario]:
    """Give the library."""
    from simulations.scenarios import LIBRARY  # noqa: PLC0415 - long, and not needed to list commands

    return LIBRARY


def plan(count: int, seed: int, only: Sequence[str] = ()) -> Iterator[Job]:
    """List `count` runs; a longer plan begins as a shorter one does. `only` leaves out all others."""
    names = [name for name in only or named() if name != swarm.KEY]
    swarms = itertools.count(seed) if not only or swarm.KEY in only else None
    rounds = (Job(name, turn) for turn in itertools.count(seed) for name in names)
    for number in range(count):
        if names and (swarms is None or number % NAMED_EVERY == 0):
            yield next(rounds)
        elif swarms is not None:
            yield Job(swarm.KEY, next(swarms))


def size(planned: Plan) -> int:
    """Count what is planned, besides the regressions."""
    return len(named()) * CI_NAMED_SEEDS + CI_SWARM if planned.ci else planned.scenarios


def command(planned: Plan) -> str:
    """Write the command that plays it; where to is not part of a plan."""
    if planned.ci:
        return "python -m simulations run --ci"
    seed = f" --seed {planned.seed}" if planned.seed else ""
    only = f" --only {','.join(planned.only)}" if planned.only else ""
    return f"python -m simulations run --scenarios {planned.scenarios}{seed}{only}"


def regression_jobs(kept: Iterable[regressions.Regression]) -> Iterator[Job]:
    """What once failed, to be played first."""
    for number, regression in enumerate(kept, 1):
        yield Job(f"regression {number}", regression.seed, regression.scenario())


def ci_slice(kept: Path = regressions.FILE) -> list[Job]:
    """List what is played before anything is merged: the same runs every time.

    Raises:
        ValueError: the regression file is damaged.
    """
    first = regression_jobs(regressions.load(kept))
    few = (Job(name, seed) for seed in range(CI_NAMED_SEEDS) for name in named())
    return [*first, *few, *(Job(swarm.KEY, seed) for seed in range(CI_SWARM))]


def chunked(jobs: Iterable[Job], size: int = CHUNK) -> Iterator[tuple[Job, ...]]:
    """Put jobs together so that a worker is asked seldom."""
    rest = iter(jobs)
    while chunk := tuple(itertools.islice(rest, size)):
        yield chunk
