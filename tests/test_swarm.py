"""Random schedules: the same everywhere, within the vocabulary, varied, and written as text without loss."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

from simulations.faults import EVERYONE, TOUCHES, Step, Ways, What
from simulations.scenarios import Scenario
from simulations.swarm import (
    HOSTILE,
    IMAGES,
    KINDS,
    LONG_S,
    OF_ONE_IMAGE,
    STEPS,
    TROUBLES,
    Fixed,
    Trouble,
    swarm,
)

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(600)
SCHEDULES = [swarm(seed) for seed in SEEDS]

ELSEWHERE = """
from simulations.swarm import swarm
for seed in range(40):
    scenario = swarm(seed)
    print(scenario.images, scenario.named, scenario.load, scenario.story, *scenario.steps, sep="|")
"""

KNOWN = [
    "0.557 portal on",
    "0.675 image save 0.147 #0",
    "0.802 portal off",
    "3.749 image save 1.02",
    "5.008 image freeze",
    "5.93 image hostile 'silence'",
    "5.99 lease new",
    "5.998 image thaw",
    "6.212 image back",
    "8.521 link down",
    "8.526 image other #0",
    "8.566 link up",
    "9.138 rate 17000",
    "9.141 portal on",
    "9.261 portal off",
    "10.896 rate",
    "18.564 image other",
    "18.607 portal on",
    "18.822 mtu hole 180",
    "18.983 mtu hole",
    "19.106 portal off",
    "19.236 image back",
    "19.943 nat resets",
]
"""What seed 1 gives."""


def begun_by(what: What) -> Trouble:
    """Which trouble begins with it."""
    return next(trouble for trouble in TROUBLES if what in trouble.begins)


def possible(scenario: Scenario) -> set[str]:
    """The kinds of trouble a schedule says may happen in it."""
    return set(scenario.story.removeprefix("what may happen: ").split(", "))


def test_one_seed_gives_one_schedule_in_every_process() -> None:
    """Neither the hash seed nor what was drawn before changes a schedule."""
    texts = {
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(texts) == 1
    assert swarm(17) == SCHEDULES[17]


def test_a_known_seed_gives_a_known_schedule() -> None:
    """What a seed means never changes unnoticed: notes and reports name seeds."""
    assert [str(step) for step in swarm(1).steps] == KNOWN


def test_different_seeds_give_different_schedules() -> None:
    """A campaign does not play one thing many times."""
    assert len({(scenario.steps, scenario.load) for scenario in SCHEDULES}) == len(SEEDS)


def test_every_step_survives_being_written_as_text() -> None:
    """The regression file holds text, and what it holds must be what was played."""
    for scenario in SCHEDULES:
        assert tuple(Step.parse(str(step)) for step in scenario.steps) == scenario.steps


def test_schedules_keep_to_their_measures() -> None:
    """Number of steps, their order, the length and the images are what they are said to be."""
    for scenario in SCHEDULES:
        times = [step.at_s for step in scenario.steps]
        assert STEPS[0] <= len(times) <= STEPS[1]
        assert times == sorted(times)
        assert times[0] >= 0.2
        assert times[-1] <= LONG_S[1]
        assert 1 <= scenario.images <= max(IMAGES)
        assert all(EVERYONE <= step.image < scenario.images for step in scenario.steps)
        assert all(step.image == EVERYONE for step in scenario.steps if step.what not in OF_ONE_IMAGE)


def test_values_are_sensible() -> None:
    """Each stays within the range of its trouble; zero only where it ends something."""
    for step in (step for scenario in SCHEDULES for step in scenario.steps):
        beginnings = [trouble for trouble in TROUBLES if step.what in trouble.begins and trouble.bad]
        assert (step.text in HOSTILE) == (step.what is What.IMAGE_HOSTILE)
        for trouble in beginnings:
            assert trouble.bad
            assert trouble.zero_ends or step.value
            if step.value:
                assert trouble.bad[0] * 0.99 <= abs(step.value) <= trouble.bad[1] * 1.01
                assert trouble.signed or step.value > 0
                assert not trouble.whole or step.value == int(step.value)
        if not beginnings:
            assert not step.value


def test_only_what_the_coin_allowed_happens() -> None:
    """Features are toggled per run, and never all of them are on."""
    for scenario in SCHEDULES:
        begun = {begun_by(step.what).kind for step in scenario.steps if begins(step.what)}
        assert begun <= possible(scenario)
        assert 0 < len(possible(scenario)) < len(KINDS)
    each = Counter(kind for scenario in SCHEDULES for kind in possible(scenario))
    for kind in KINDS:
        share = each[kind] / len(SCHEDULES)
        assert 0.4 < share < 0.6 or kind in {"name", "move"}, kind


def begins(what: What) -> bool:
    return any(what in trouble.begins for trouble in TROUBLES)


def test_names_fail_only_where_a_name_is_dialled() -> None:
    """An image that moves without a name could never be found again."""
    of_names = {What.NAME_FAILS, What.NAME_HANGS, What.NAME_WORKS, What.IMAGE_MOVE}
    seen = [{step.what for step in scenario.steps} & of_names for scenario in SCHEDULES if scenario.named]
    assert any(seen)
    for scenario in SCHEDULES:
        assert scenario.named or not {step.what for step in scenario.steps} & of_names


def test_every_kind_of_fault_happens() -> None:
    """Nothing is left out but long code, which the narrowest of these lines would carry for minutes."""
    happen = {step.what for scenario in SCHEDULES for step in scenario.steps}
    assert happen == set(What) - {What.LARGE_EVALUATION}


def test_what_is_broken_is_mostly_healed_and_often_not() -> None:
    """Both matter: recoveries in the middle of a run, and the one at its end."""
    left = 0
    for scenario in SCHEDULES:
        ways = Ways(scenario.images)
        for step in scenario.steps:
            ways.apply(step, step.at_s)
        left += bool(ways.cures(LONG_S[1] * 10))
    assert 0.3 < left / len(SCHEDULES) < 0.9


def test_the_champion_patterns_occur() -> None:
    """Coincidences, bursts and swizzles are not too rare to matter."""
    coincidences = bursts = swizzles = 0
    for scenario in SCHEDULES:
        breaks = [step for step in scenario.steps if TOUCHES.get(step.what) and TOUCHES[step.what].breaks]
        near = pairwise(breaks)
        coincidences += any(b.at_s - a.at_s <= 0.011 and a.what is not b.what for a, b in near)
        again = zip(breaks, breaks[2:], strict=False)
        bursts += any(c.at_s - a.at_s < 1 and a.what is c.what for a, c in again)
        swizzles += len({step.what for step in breaks if step.at_s - breaks[0].at_s < 6}) >= 2
    assert min(coincidences, bursts, swizzles) > len(SCHEDULES) / 20


def test_fixed_steps_happen_at_their_times() -> None:
    """Whoever removes a step moves no other; a pace stretches all alike."""
    fixed = Fixed("x", "x", (Step(1.5, What.DROP), Step(2, What.UNDROP)))
    assert fixed.paced(random.Random(1)) == fixed.steps
    assert [step.at_s for step in fixed.paced(random.Random(1), 2)] == [3, 4]
    assert Fixed.of(Scenario("y", "y", (), images=3), fixed.steps).images == 3
