"""What the library and the design say beforehand: titles, and the bars of single scenarios."""

from __future__ import annotations

from simulations.faults import TOUCHES, Touch
from simulations.field.report import TOLD_MS, UNTOLD_MS
from simulations.report.verdict import ENOUGH_RUNS, Expected, Promise
from simulations.scenarios import LIBRARY, SCENARIOS, Scenario, Told

_TEN_MINUTES_S = 1.5
"""DESIGN section 6: nothing tells, and the outage lasts up to ten minutes. A bar for the worst; there is none
for the median, which cannot be above it."""

_PROMISED_MS = {Told.INTERFACE: TOLD_MS, Told.NOBODY: UNTOLD_MS}
"""DESIGN section 6: when an interface tells, and when nothing tells and the outage is under a minute. It has
no figure of its own for a refusing machine, and for carrier loss only one beside a real kernel."""


def expected(least_runs: int = ENOUGH_RUNS) -> Expected:
    """Give what the verdict is to know; the bars are those of the faults of the race."""
    promises = tuple(
        Promise(scenario.key, *(limit_ms / 1000 for limit_ms in _PROMISED_MS[scenario.told]))
        for scenario in SCENARIOS.values()
        if scenario.told in _PROMISED_MS
    )
    promises += (Promise("basement", _TEN_MINUTES_S, _TEN_MINUTES_S),)
    return Expected(
        titles={key: scenario.title for key, scenario in LIBRARY.items()},
        silent=frozenset(key for key, scenario in LIBRARY.items() if _silent(scenario)),
        promises=promises,
        least_runs=least_runs,
    )


def _silent(scenario: Scenario) -> bool:
    """Whether packets are discarded without a word, and nothing else happens."""
    touched = [TOUCHES.get(step.what, Touch()) for step in scenario.steps]
    return any(touch.breaks for touch in touched) and all(
        set(touch.breaks + touch.heals) == {"drop"} for touch in touched
    )
