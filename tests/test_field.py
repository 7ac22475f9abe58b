"""The eight faults on real interfaces: back within 10 s, nothing run twice, the right transitions in order.

Every scenario plays in a lab of its own, all of them at the same time but for the one that cannot
(S1c: the kernel reports carrier loss from one queue for all namespaces).
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from resilience.demo.namespaces import Lab
from simulations.field import seat as seats
from simulations.field.seat import Seat
from simulations.scenarios import SCENARIOS, Scenario, Stage, Window, dice_for

PROMISE_S = 10.0
START_S = 30.0
SEED = 20261121
AFTERWARDS_S = 1.0
"""A forgotten request would run within this time of the path's return."""

_missing = Lab.missing()
pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.timeout(200),
    pytest.mark.skipif(_missing is not None, reason=f"needs root and network namespaces: {_missing}"),
]


@dataclass(frozen=True)
class Played:
    """What a client printed and an image executed while one fault played."""

    window: Window
    lines: list[dict[str, Any]]
    executed: list[dict[str, Any]]

    @property
    def transitions(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "transition"]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "call"]

    def first_success_after(self, moment: float) -> float | None:
        """When a call or ping issued since `moment` succeeded first."""
        good = [
            line["t"]
            for line in self.lines
            if line.get("t0", 0.0) >= moment and (line.get("ok") or line.get("outcome") == "done")
        ]
        return min(good, default=None)


def until(seat: Seat, happened: Any, within_s: float, what: str) -> None:
    """Wait for something a client prints."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert not seat.died(), seat.died()
        assert time.monotonic() < deadline, f"{what} took more than {within_s} s"
        time.sleep(0.02)


def played(scenario: Scenario, client: str) -> Played:
    """Play one fault against one client, wait for its recovery and a little longer."""
    with Seat(client) as seat:

        def success_after(moment: float) -> bool:
            return Played(Window((), 0.0), seat.printed(), []).first_success_after(moment) is not None

        until(seat, lambda: success_after(0.0), START_S, "the first answer")
        stage = Stage(seat.lab, seat.image, dice_for(SEED, scenario.key, 1), time.sleep)
        stage.settle()
        window = scenario.play(stage)
        until(seat, lambda: success_after(window.path_back), PROMISE_S, "recovery")
        time.sleep(AFTERWARDS_S)
        return Played(window, seat.printed(), seat.executed())


@pytest.fixture(scope="module")
def everything() -> dict[tuple[str, str], Played]:
    """Each scenario, once with pings and once with a counting client."""
    seats.CLIENTS.setdefault("counter", seats.counting)
    pairs = [(scenario, client) for scenario in SCENARIOS.values() for client in ("resilience", "counter")]
    together = [pair for pair in pairs if not pair[0].alone]
    with ThreadPoolExecutor(len(together)) as pool:
        results = dict(
            zip([(s.key, c) for s, c in together], pool.map(lambda p: played(*p), together), strict=True)
        )
    for scenario, client in pairs:
        if scenario.alone:
            results[scenario.key, client] = played(scenario, client)
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(5)
    return results


KEYS = list(SCENARIOS)


@pytest.mark.parametrize("client", ["resilience", "counter"])
@pytest.mark.parametrize("key", KEYS)
def test_back_within_ten_seconds(everything: dict[tuple[str, str], Played], key: str, client: str) -> None:
    """Whatever the fault, a request issued after the path is back is answered within 10 s."""
    play = everything[key, client]
    back = play.first_success_after(play.window.path_back)
    assert back is not None
    assert back - play.window.path_back <= PROMISE_S


@pytest.mark.parametrize("client", ["resilience", "counter"])
@pytest.mark.parametrize("key", KEYS)
def test_transitions_follow_each_other(
    everything: dict[tuple[str, str], Played], key: str, client: str
) -> None:
    """Numbered without a gap, each begins where the last ended, lost after the fault and back in the end."""
    transitions = everything[key, client].transitions
    assert [line["seq"] for line in transitions] == list(range(1, len(transitions) + 1))
    for before, after in pairwise(transitions):
        assert after["source"] == before["target"]
        assert after["t"] >= before["t"]
    assert (transitions[0]["source"], transitions[0]["target"]) == ("Fresh", "Connected")
    assert transitions[-1]["target"] == "Connected"
    fault = everything[key, client].window.faults[0]
    later = [(line["trigger"], line["source"], line["target"]) for line in transitions if line["t"] > fault]
    assert later, "a fault of this length does not go unnoticed"
    lost = {"link_lost", "link_silent", "path_lost"}
    back = {"image_answered", "link_resumed"}
    for trigger, source, target in later:
        assert (trigger in lost and (source, target) == ("Connected", "Reconnecting")) or (
            trigger in back and (source, target) == ("Reconnecting", "Connected")
        )


@pytest.mark.parametrize(
    ("key", "trigger"),
    [
        ("S1", "path_lost"),
        ("S2", "path_lost"),
        ("S3", "path_lost"),
        ("S4", "link_silent"),
        ("S5", "link_lost"),
    ],
)
def test_the_cause_is_told_truly(everything: dict[tuple[str, str], Played], key: str, trigger: str) -> None:
    """What the interface, the silence or the image's end tells is what the user is told first."""
    play = everything[key, "resilience"]
    first = next(line for line in play.transitions if line["t"] > play.window.faults[0])
    assert first["trigger"] == trigger


@pytest.mark.parametrize("key", KEYS)
def test_never_twice(everything: dict[tuple[str, str], Played], key: str) -> None:
    """Every call is done once, not done, or unknown; the image executes none twice and none unasked."""
    play = everything[key, "counter"]
    runs = [line["id"] for line in play.executed if "increment" in str(line.get("code", ""))]
    assert len(runs) == len(set(runs)), "an evaluation ran twice"
    outcomes = [call["outcome"] for call in play.calls]
    assert set(outcomes) <= {"done", "not done", "unknown"}
    not_done = {call["id"] for call in play.calls if call["outcome"] == "not done"}
    assert not not_done & set(runs), "a call told as not done was executed"
    done, unknown = outcomes.count("done"), outcomes.count("unknown")
    assert done <= len(runs) <= done + unknown + 1, "one more may have begun when we stopped looking"


def test_an_unrelated_interface_disturbs_nothing() -> None:
    """docker0 comes, flaps ten times and goes: no transition, no failed ping."""
    with Seat("resilience") as seat:
        until(seat, seat.started, START_S, "the first answer")
        time.sleep(0.5)
        before = len(seat.printed())
        seat.lab.bystander_add()
        for _ in range(10):
            time.sleep(0.1)
            seat.lab.bystander_flap()
        time.sleep(0.2)
        seat.lab.bystander_remove()
        time.sleep(0.5)
        since = seat.printed()[before:]
    assert [line for line in since if line["event"] == "transition"] == []
    probes = [line for line in since if line["event"] == "probe"]
    assert len(probes) > 20
    assert all(line["ok"] for line in probes)
