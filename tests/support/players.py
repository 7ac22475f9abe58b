"""Stand-ins for the virtual world: what a campaign does with a run does not depend on what a run is.

They live in a module of their own because workers import them by name.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from simulations.results import Recovery, Run, Violation
from simulations.scenarios import Scenario

BAD = 7
"""The seed with which something happens."""


def quick(scenario: Scenario, seed: int) -> Run:
    """Play nothing, in no time."""
    recovery = Recovery(0, 12.345678, 0.1 + seed / 1e6, final=True, how="image answered", decide_s=0.05)
    counts = {"told": 10, "fault: link down": 2, "fault: drop": 1}
    digest = f"{scenario.key}-{seed}"
    return Run(scenario.key, seed, digest, 30.0, recoveries=(recovery,), counts=counts, took_s=0.01)


def slow(scenario: Scenario, seed: int) -> Run:
    """Take some time, as real runs do."""
    time.sleep(0.02)
    return quick(scenario, seed)


def telling(scenario: Scenario, seed: int) -> Run:
    """Tell which process it is."""
    return replace(slow(scenario, seed), digest=str(os.getpid()))


def failing(scenario: Scenario, seed: int) -> Run:
    """Break law 11 with every tenth seed."""
    if seed % 10 != BAD:
        return quick(scenario, seed)
    return Run(scenario.key, seed, "bad", 30.0, violations=(Violation(11, 3.25, 0, "executed twice"),))


def raising(scenario: Scenario, seed: int) -> Run:
    """Raise."""
    if seed == BAD:
        raise KeyError("no such thing")
    return quick(scenario, seed)


def killing(scenario: Scenario, seed: int) -> Run:
    """End the process, without a word."""
    if seed == BAD:
        os.kill(os.getpid(), signal.SIGKILL)
    return quick(scenario, seed)


def dying_once(scenario: Scenario, seed: int) -> Run:
    """End the process the first time, as a machine that is short of memory does to whoever is there."""
    mark = os.environ["DIED_ALREADY"]
    if seed == BAD and not os.path.exists(mark):  # noqa: PTH110 - as short as it is meant
        os.close(os.open(mark, os.O_CREAT))
        os.kill(os.getpid(), signal.SIGKILL)
    return quick(scenario, seed)


def hanging(scenario: Scenario, seed: int) -> Run:
    """Go round and round."""
    while seed == BAD:
        pass
    return quick(scenario, seed)


def deaf(scenario: Scenario, seed: int) -> Run:
    """Go round and round, and let no interruption through."""
    while seed == BAD:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001, S112 - that is the point
            continue
    return quick(scenario, seed)
