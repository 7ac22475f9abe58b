"""Reduces a failing schedule to its essentials: fewer steps, then simpler ones, while it fails the same way.

Steps are removed by delta debugging (Zeller & Hildebrandt, 2002): halves, quarters, and so on until no single
one can go. Then there may be fewer images, no name, rounder values and shorter gaps; and all of it
again, until nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from simulations.faults import Step
from simulations.results import Run
from simulations.scenarios import Load, Scenario
from simulations.swarm import Fixed
from simulations.virtual.universe import Universe

MAX_TRIES = 2000
"""About two minutes; schedules of 25 steps need some hundred."""

GAPS_S = (0.0, 0.01, 0.1, 1.0, 10.0)


def signature(run: Run) -> frozenset[str]:
    """In which ways a run failed: the laws; for what raised, the kind of exception."""
    return frozenset(
        str(each.law) if each.law else f"0 {each.what.partition(':')[0]}" for each in run.violations
    )


def as_played(scenario: Scenario, seed: int) -> Scenario:
    """Fix the times its dice give the steps, so that removing one moves no other."""
    dice = Universe(f"{scenario.key}/{seed}").dice("pace")
    return Fixed.of(scenario, scenario.paced(dice))


@dataclass(slots=True)
class Shrinking:
    """One search for the smallest scenario that still `fails`; `told` hears of every smaller one found."""

    fails: Callable[[Scenario], bool]
    told: Callable[[Scenario, int], None] = lambda *_: None
    tries: int = 0
    _known: dict[tuple[object, ...], bool] = field(default_factory=dict)

    def smallest(self, scenario: Scenario) -> Scenario:
        """Reduce it, until nothing can go or the tries are used up."""
        while True:
            before = scenario
            scenario = self._fewer_steps(scenario)
            for simpler in (_fewer_images, _without_ceremony, _rounder_values, _shorter_gaps):
                scenario = self._first_that_fails(scenario, simpler)
            if scenario == before or self.tries >= MAX_TRIES:
                return scenario

    def _fewer_steps(self, scenario: Scenario) -> Scenario:
        parts = 2
        while scenario.steps and parts <= 2 * len(scenario.steps):
            size = -(-len(scenario.steps) // parts)
            for begin in range(0, len(scenario.steps), size):
                steps = scenario.steps[:begin] + scenario.steps[begin + size :]
                if self._still_fails(replace(scenario, steps=steps)):
                    scenario = replace(scenario, steps=steps)
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    break
                parts *= 2
        return scenario

    def _first_that_fails(
        self, scenario: Scenario, simpler: Callable[[Scenario], Iterator[Scenario]]
    ) -> Scenario:
        """Take the first simpler one that fails, and go on from there, until none does."""
        while found := next((each for each in simpler(scenario) if self._still_fails(each)), None):
            scenario = found
        return scenario

    def _still_fails(self, scenario: Scenario) -> bool:
        key = (scenario.steps, scenario.images, scenario.named, scenario.load)
        if key not in self._known:
            if self.tries >= MAX_TRIES:
                return False
            self.tries += 1
            self._known[key] = self.fails(scenario)
            if self._known[key]:
                self.told(scenario, self.tries)
        return self._known[key]


def _fewer_images(scenario: Scenario) -> Iterator[Scenario]:
    """Leave out one image; those behind it move up."""
    for gone in range(scenario.images if scenario.images > 1 else 0):
        steps = tuple(
            replace(step, image=step.image - 1) if step.image > gone else step
            for step in scenario.steps
            if step.image != gone
        )
        yield replace(scenario, images=scenario.images - 1, steps=steps)


def _without_ceremony(scenario: Scenario) -> Iterator[Scenario]:
    """Dial an address instead of a name; have the user do what users usually do."""
    if scenario.named:
        yield replace(scenario, named=False)
    if scenario.load != Load():
        yield replace(scenario, load=Load())


def _rounder_values(scenario: Scenario) -> Iterator[Scenario]:
    """Make one value 1, or round it to one digit."""
    for place, step in enumerate(scenario.steps):
        rounded = float(f"{step.value:.1g}")
        for value in (1.0, rounded) if step.value not in {0.0, 1.0} else ():
            if value != step.value:
                yield _with_step(scenario, place, replace(step, value=value))


def _shorter_gaps(scenario: Scenario) -> Iterator[Scenario]:
    """Shorten the time before one step; all behind it move with it."""
    before = 0.0
    for place, step in enumerate(scenario.steps):
        gap = step.at_s - before
        rounder = [*GAPS_S, float(f"{gap:.1g}")]
        for shorter in (value for value in rounder if value < gap):
            earlier = tuple(
                replace(each, at_s=round(each.at_s - gap + shorter, 6)) for each in scenario.steps[place:]
            )
            yield replace(scenario, steps=scenario.steps[:place] + earlier)
        before = step.at_s


def _with_step(scenario: Scenario, place: int, step: Step) -> Scenario:
    return replace(scenario, steps=(*scenario.steps[:place], step, *scenario.steps[place + 1 :]))
