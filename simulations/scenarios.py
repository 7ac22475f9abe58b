"""The eight faults: what breaks, for how long, and the instant from which recovery is counted.

Each is played on a real `Lab` against a real image process. Outages are jittered, because a fixed length
aliases with the retry timers of whoever is measured, and the dice are seeded, so that every client of a
round meets the same fault.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience.demo.namespaces import Lab

JITTER = 0.1  # of every outage, either way
SETTLE_S = (1.0, 2.5)  # the fault finds heartbeats and pings in no particular phase
PATIENCE_S = 15.0  # half as long again as the 10 s no recovery may exceed
LONG_PATIENCE_S = 35.0  # after 45 s of silence stock clients are known to need 30 s
FLAPS, FLAP_DOWN_S, FLAP_UP_S = 5, 0.7, 0.5


class Told(StrEnum):
    """Who tells the client that the path changed."""

    INTERFACE = "its own interface"
    CARRIER = "carrier only"
    NOBODY = "nobody"
    REFUSAL = "the image's machine, by refusing"


class Image(Protocol):
    """The process behind the endpoint."""

    def kill(self) -> float:
        """End it at once; return when, in CLOCK_MONOTONIC seconds."""

    def start(self) -> float:
        """Start it; return when its port was bound, in CLOCK_MONOTONIC seconds."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scenario plays on; ``pace`` shortens the outages where only the order of things matters."""

    lab: Lab
    image: Image
    dice: random.Random
    pause: Callable[[float], object]
    pace: float = 1.0

    def settle(self) -> None:
        self.pause(self.dice.uniform(*SETTLE_S) * self.pace)

    def last(self, nominal_s: float) -> None:
        self.pause(nominal_s * self.dice.uniform(1 - JITTER, 1 + JITTER) * self.pace)


@dataclass(frozen=True, slots=True)
class Window:
    """When things broke and when the path was whole again, in CLOCK_MONOTONIC seconds."""

    faults: tuple[float, ...]
    path_back: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault; ``outage_s`` is its nominal length from the first break to the path's return."""

    key: str
    title: str
    told: Told
    outage_s: float
    play: Callable[[Stage], Window]
    patience_s: float = PATIENCE_S
    alone: bool = False  # true where labs side by side would meet in something the kernel has only once


def dice_for(seed: int, key: str, turn: int) -> random.Random:
    """Give the dice of one scenario in one round: the same for every client that plays it."""
    return random.Random(f"{seed}/{key}/{turn}")


def _link_flap(stage: Stage) -> Window:
    down = stage.lab.link_down()
    stage.last(1.0)
    return Window((down.began,), stage.lab.link_up().done)


def _carrier_flap(stage: Stage) -> Window:
    lost = stage.lab.carrier_off()
    stage.last(1.0)
    return Window((lost.began,), stage.lab.carrier_on().done)


def _long_absence(stage: Stage) -> Window:
    down = stage.lab.link_down()
    stage.lab.lease_lost()
    stage.last(8.0)
    return Window((down.began,), stage.lab.link_up_with_lease().done)


def _roam(stage: Stage) -> Window:
    away = stage.lab.roam_away()
    stage.last(0.3)
    return Window((away.began,), stage.lab.roam_arrive().done)


def _silent_drop(seconds: float) -> Callable[[Stage], Window]:
    def play(stage: Stage) -> Window:
        dropped = stage.lab.drop()
        stage.last(seconds)
        return Window((dropped.began,), stage.lab.undrop().done)

    return play


def _image_restart(stage: Stage) -> Window:
    killed = stage.image.kill()
    stage.last(2.0)
    return Window((killed,), stage.image.start())


def _flapping(stage: Stage) -> Window:
    faults = []
    for flap in range(FLAPS):
        if flap:
            stage.last(FLAP_UP_S)
        faults.append(stage.lab.link_down().began)
        stage.last(FLAP_DOWN_S)
        up = stage.lab.link_up()
    return Window(tuple(faults), up.done)


SCENARIOS = {
    scenario.key: scenario
    for scenario in (
        Scenario("S1", "link down 1 s", Told.INTERFACE, 1.0, _link_flap),
        # Carrier loss is reported from one queue for all namespaces, once a second at most. The report
        # empties the ARP table, and recovery then waits for the next ARP try, a second after the last: an
        # outage a little under a second ends just before that try, one a little over just after it.
        Scenario("S1c", "carrier lost at the router 1 s", Told.CARRIER, 1.0, _carrier_flap, alone=True),
        Scenario("S2", "down 8 s, address and route gone and back", Told.INTERFACE, 8.0, _long_absence),
        Scenario("S3", "roam to another subnet after 0.3 s", Told.INTERFACE, 0.3, _roam),
        Scenario("S4", "silent drop 6 s", Told.NOBODY, 6.0, _silent_drop(6.0)),
        Scenario("S5", "image killed, back after 2 s", Told.REFUSAL, 2.0, _image_restart),
        Scenario(
            "S6",
            f"{FLAPS} flaps of {FLAP_DOWN_S} s, up {FLAP_UP_S} s between",
            Told.INTERFACE,
            FLAPS * FLAP_DOWN_S + (FLAPS - 1) * FLAP_UP_S,
            _flapping,
        ),
        Scenario("S7", "silent drop 45 s", Told.NOBODY, 45.0, _silent_drop(45.0), LONG_PATIENCE_S),
    )
}
