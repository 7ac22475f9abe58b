"""Every story that real interfaces can play: back within 10 s, nothing run twice, transitions by the table.

Each plays in a lab of its own, many at the same time but for the one that cannot (S1c: the kernel reports
carrier loss from one queue for all namespaces). The eight faults of the race are played with two clients and
looked at more closely.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from machines.table import TABLE
from resilience.demo.namespaces import Lab, LabError
from simulations.faults import What
from simulations.field import seat as seats
from simulations.field.player import Window, play
from simulations.field.score import executions
from simulations.field.seat import Seat, SeatError
from simulations.field.tour import goes_along
from simulations.scenarios import LIBRARY, SCENARIOS, Scenario, dice_for

PROMISE_S = 10.0
START_S = 60.0
TOGETHER = 16
"""So many labs keep two cores busy and still leave every process its turn within milliseconds."""
SEED = 20261121
AFTERWARDS_S = 1.0
"""A forgotten request would run within this time of the path's return."""

_missing = Lab.missing()
pytestmark = [
    pytest.mark.netns,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(_missing is not None, reason=f"needs root and network namespaces: {_missing}"),
]


@dataclass(frozen=True)
class Played:
    """What a client printed and an image executed while one fault played."""

    window: Window
    lines: list[dict[str, Any]]
    executed: list[dict[str, Any]]
    images: int = 1

    @property
    def transitions(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "transition"]

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == "call"]

    def first_success_after(self, moment: float) -> float | None:
        """When a call or ping issued since `moment` had succeeded, of several images of each."""
        first: dict[str, float] = {}
        for line in self.lines:
            if line.get("t0", 0.0) >= moment and (line.get("ok") or line.get("outcome") == "done"):
                first.setdefault(line.get("image", ""), line["t"])
        return max(first.values()) if len(first) == self.images else None


def until(seat: Seat, happened: Any, within_s: float, what: str) -> None:
    """Wait for something a client prints."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert not seat.died(), seat.died()
        assert time.monotonic() < deadline, f"{what} took more than {within_s} s"
        time.sleep(0.02)


def played(scenario: Scenario, client: str) -> Played:
    """Play one scenario against one client, wait for its recovery and a little longer."""
    with Seat(client, images=scenario.images, named=scenario.named) as seat:

        def success_after(moment: float) -> bool:
            so_far = Played(Window((), 0.0), seat.printed(), [], scenario.images)
            return so_far.first_success_after(moment) is not None

        until(seat, lambda: success_after(0.0), START_S, f"{scenario.key}: the first answer")
        window = play(scenario.paced(dice_for(SEED, scenario.key, 1)), seat, time.sleep)
        remaining_s = window.path_back + PROMISE_S - time.monotonic()
        until(seat, lambda: success_after(window.path_back), remaining_s, f"{scenario.key}: recovery")
        time.sleep(AFTERWARDS_S)
        return Played(window, seat.printed(), seat.executed(), scenario.images)


class Everything(dict[tuple[str, str], Played | Exception]):
    """What became of each story; what went wrong in one is told where that one is looked at."""

    def of(self, key: str, client: str) -> Played:
        play = self[key, client]
        if isinstance(play, Exception):
            raise play
        return play


def tried(scenario: Scenario, client: str) -> Played | Exception:
    """Play it, whatever comes of it."""
    try:
        return played(scenario, client)
    except (AssertionError, LabError, SeatError) as problem:
        return problem


@pytest.fixture(scope="module")
def everything() -> Everything:
    """The faults of the race with pings and with a counting client; the stories with one of them."""
    seats.CLIENTS.setdefault("counter", seats.counting)
    pairs = [(scenario, client) for scenario in SCENARIOS.values() for client in ("resilience", "counter")]
    pairs += [(LIBRARY[key], client_of(key)) for key in STORIES]
    together = sorted((pair for pair in pairs if not pair[0].alone), key=lambda pair: -pair[0].outage_s)
    with ThreadPoolExecutor(TOGETHER) as pool:
        found = list(pool.map(lambda pair: tried(*pair), together))
    alone = [pair for pair in pairs if pair[0].alone]
    found += [tried(*pair) for pair in alone]
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(5)
    return Everything(zip([(s.key, c) for s, c in together + alone], found, strict=True))


KEYS = list(SCENARIOS)
STORIES = [key for key, scenario in LIBRARY.items() if goes_along(scenario) and key not in SCENARIOS]
RULES = {(rule.source.value, rule.trigger.value, rule.target.value) for rule in TABLE}


def client_of(key: str) -> str:
    """Who plays a story: the counting client knows one image only."""
    return "counter" if LIBRARY[key].images == 1 else "resilience"


@pytest.mark.parametrize("client", ["resilience", "counter"])
@pytest.mark.parametrize("key", KEYS)
def test_back_within_ten_seconds(everything: Everything, key: str, client: str) -> None:
    """Whatever the fault, a request issued after the path is back is answered within 10 s."""
    play = everything.of(key, client)
    back = play.first_success_after(play.window.path_back)
    assert back is not None
    assert back - play.window.path_back <= PROMISE_S


@pytest.mark.parametrize("client", ["resilience", "counter"])
@pytest.mark.parametrize("key", KEYS)
def test_transitions_follow_each_other(everything: Everything, key: str, client: str) -> None:
    """Numbered without a gap, each begins where the last ended, lost after the fault and back in the end."""
    transitions = everything.of(key, client).transitions
    assert [line["seq"] for line in transitions] == list(range(1, len(transitions) + 1))
    for before, after in pairwise(transitions):
        assert after["source"] == before["target"]
        assert after["t"] >= before["t"]
    assert (transitions[0]["source"], transitions[0]["target"]) == ("Fresh", "Connected")
    assert transitions[-1]["target"] == "Connected"
    fault = everything.of(key, client).window.faults[0]
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
def test_the_cause_is_told_truly(everything: Everything, key: str, trigger: str) -> None:
    """What the interface, the silence or the image's end tells is what the user is told first."""
    play = everything.of(key, "resilience")
    first = next(line for line in play.transitions if line["t"] > play.window.faults[0])
    assert first["trigger"] == trigger


@pytest.mark.parametrize("key", KEYS)
def test_never_twice(everything: Everything, key: str) -> None:
    """Every call is done once, not done, or unknown; the image executes none twice and none unasked."""
    play = everything.of(key, "counter")
    runs = [line["id"] for line in play.executed if "increment" in str(line.get("code", ""))]
    assert len(runs) == len(set(runs)), "an evaluation ran twice"
    outcomes = [call["outcome"] for call in play.calls]
    assert set(outcomes) <= {"done", "not done", "unknown"}
    not_done = {call["id"] for call in play.calls if call["outcome"] == "not done"}
    assert not not_done & set(runs), "a call told as not done was executed"
    done, unknown = outcomes.count("done"), outcomes.count("unknown")
    assert done <= len(runs) <= done + unknown + 1, "one more may have begun when we stopped looking"


# --- the stories --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", STORIES)
def test_every_story_ends_well(everything: Everything, key: str) -> None:
    """Whatever happened, every image answers within 10 s of the moment from which all is whole."""
    story = everything.of(key, client_of(key))
    back = story.first_success_after(story.window.path_back)
    assert back is not None
    assert back - story.window.path_back <= PROMISE_S


@pytest.mark.parametrize("key", STORIES)
def test_nothing_in_a_story_runs_twice(everything: Everything, key: str) -> None:
    """No request is executed twice by anybody, and none that its caller was told is not done."""
    story = everything.of(key, client_of(key))
    assert executions(story.lines, story.executed)[0] == 0
    runs = [line["id"] for line in story.executed if "increment" in str(line["code"])]
    assert len(runs) == len(set(runs))
    assert not {call["id"] for call in story.calls if call["outcome"] == "not done"} & set(runs)
    if client_of(key) == "counter":
        assert len(runs) > 10, "the client did work"


@pytest.mark.parametrize("key", STORIES)
def test_a_story_moves_by_the_table(everything: Everything, key: str) -> None:
    """Every transition is a rule, follows the last one or a restart of ours, and leads back in the end."""
    story = everything.of(key, client_of(key))
    restarts = sum(step.what is What.START for step in LIBRARY[key].steps)
    by_image: dict[str, list[dict[str, Any]]] = {}
    for line in story.transitions:
        by_image.setdefault(line["image"], []).append(line)
    assert len(by_image) == story.images
    for lines in by_image.values():
        assert {(line["source"], line["trigger"], line["target"]) for line in lines} <= RULES
        lives = 1
        for before, after in pairwise(lines):
            assert after["seq"] > before["seq"]
            if after["seq"] != before["seq"] + 1 or after["source"] != before["target"]:
                lives += 1
                assert after["source"] == "Fresh"
        assert lives <= 1 + restarts
        assert lines[-1]["target"] == "Connected"


def test_one_image_in_trouble_is_nobody_elses(everything: Everything) -> None:
    """Of four images three have a bad day; the fourth answers every ping and makes no move."""
    story = everything.of("isolation", "resilience")
    quiet = [line for line in story.lines if line["image"].endswith(":5555")]
    assert [line["target"] for line in quiet if line["event"] == "transition"] == ["Connected"]
    probes = [line for line in quiet if line["event"] == "probe"]
    assert len(probes) > 100
    assert all(line["ok"] for line in probes)
    troubled = {line["image"] for line in story.transitions if line["target"] == "Reconnecting"}
    assert len(troubled) == 3


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
