"""The scenario library: one description each, played in the virtual world and on real interfaces.

A scenario is data (`faults.Step`). Gaps between steps are stretched a little by the dice of each run, because
fixed ones fall in step with the retry timers of whoever is tested. `SCENARIOS` are the eight faults of the
race against other clients; `LIBRARY` adds the stories people tell of their networks. All end with every way
whole.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from simulations.faults import TOUCHES, Step, What
from simulations.stories import STORIES, Story

JITTER = 0.1  # of every gap, either way
JITTER_MAX_S = 5.0  # what comes 6 s after a night's sleep still comes after it
SETTLE_S = (1.0, 2.5)  # the first fault finds heartbeats and pings in no particular phase
PATIENCE_S = 15.0  # half as long again as the 10 s no recovery may exceed
LONG_PATIENCE_S = 35.0  # after 45 s of silence stock clients are known to need 30 s


class Told(StrEnum):
    """Who tells the client that the path changed."""

    INTERFACE = "its own interface"
    CARRIER = "carrier only"
    NOBODY = "nobody"
    REFUSAL = "the image's machine, by refusing"


@dataclass(frozen=True, slots=True)
class Load:
    """What the user does meanwhile, per image; intervals are drawn around these means."""

    evaluate_every_s: float = 1.0
    edit_every_s: float = 2.0
    """0: nobody types anything."""
    timeout_s: float = 5.0
    """Of each evaluation; some are much shorter or longer."""


_LASTING = frozenset(what for what, touch in TOUCHES.items() if touch.lasts)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. `steps` have nominal times from its beginning; `real`: network namespaces can play it.

    `told` and `patience_s` belong to the race against other clients; `alone` is true where labs side by side
    would meet in something the kernel has only once; `named` dials a host name.
    """

    key: str
    title: str
    steps: tuple[Step, ...]
    story: str = ""
    images: int = 1
    named: bool = False
    real: bool = True
    load: Load = Load()
    told: Told = Told.NOBODY
    patience_s: float = PATIENCE_S
    alone: bool = False

    @property
    def outage_s(self) -> float:
        """Nominal, from the first step to the end of the last."""
        ends = [step.at_s + (step.value if step.what in _LASTING else 0.0) for step in self.steps]
        return max(ends) - self.steps[0].at_s if ends else 0.0

    def paced(self, dice: random.Random, pace: float = 1.0) -> tuple[Step, ...]:
        """The steps of one run: a settling time, then every gap stretched or shrunk by up to `JITTER`."""
        at, before, steps = dice.uniform(*SETTLE_S) * pace, self.steps[0].at_s if self.steps else 0.0, []
        for step in self.steps:
            gap_s = step.at_s - before
            at += (gap_s + dice.uniform(-1, 1) * min(JITTER * gap_s, JITTER_MAX_S)) * pace
            before = step.at_s
            steps.append(replace(step, at_s=round(at, 6)))
        return tuple(steps)


def dice_for(seed: int, key: str, turn: int) -> random.Random:
    """Give the dice of one scenario in one round: the same for every client that plays it."""
    return random.Random(f"{seed}/{key}/{turn}")


def steps(*lines: str) -> tuple[Step, ...]:
    """Read steps as `faults.Step.parse` does, one a line."""
    return tuple(Step.parse(line) for line in lines)


_CLOCKS = "all namespaces share the machine's clocks and its sleep"
_NETEM = "it takes a queue that delays packets (netem), which small kernels lack"
_DISK = "the disk below a namespace is the machine's own"
_BUTTONS = "`resilience watch` has no buttons"
_STAND_IN = "the stand-in image has no switch for it"
UNREAL: dict[What, str] = {
    What.SUSPEND: _CLOCKS,
    What.STEP_CLOCK: _CLOCKS,
    What.DELAY: _NETEM,
    What.JITTER: _NETEM,
    What.STALL_WAY: _NETEM,
    What.POWER_CUT: _DISK,
    What.DISK_SLOW: _DISK,
    What.DISK_FAILS: _DISK,
    What.DISK_FULL: _DISK,
    What.DISK_WORKS: _DISK,
    What.KEYRING_LOCKS: _DISK,
    What.KEYRING_OPENS: _DISK,
    What.LONG_EVALUATION: _BUTTONS,
    What.LARGE_EVALUATION: _BUTTONS,
    What.RETRY: _BUTTONS,
    What.DISCONNECT: _BUTTONS,
    What.RECONNECT: _BUTTONS,
    What.IMAGE_OTHER: f"only a retry helps after it, and {_BUTTONS}",
    What.IMAGE_SLOW: _STAND_IN,
    What.IMAGE_VERSION: _STAND_IN,
    What.HINTS_LOST: "a kernel cannot be told to keep quiet",
    What.NAME_HANGS: "names of the lab stand in a file, and a file does not hang",
}
"""Which kinds of step network namespaces cannot play, and why."""

STAND_IN_SAVES_S = 0.3
"""So long the stand-in's sockets are closed when it saves; see `PARKED_S` there."""


def unreal(step: Step) -> str:
    """Say why network namespaces cannot play this step; nothing if they can."""
    if step.what is What.IMAGE_SAVE and step.value != STAND_IN_SAVES_S:
        return f"the stand-in image saves in {STAND_IN_SAVES_S:g} s, always"
    if step.what is What.IMAGE_HOSTILE and step.text == "flood":
        return "no hostile program of ours floods"
    return UNREAL.get(step.what, "")


def _scenario(story: Story, **race: Any) -> Scenario:  # Any: fields of `Scenario`
    written = steps(*story.script.split(","))
    return Scenario(
        story.key,
        story.title,
        written,
        story.told,
        images=story.images,
        named=story.named,
        real=not any(map(unreal, written)),
        **race,
    )


FLAPS, FLAP_DOWN_S, FLAP_UP_S = 5, 0.7, 0.5
_FLAPPING = ", ".join(
    f"{at:g} link down, {at + FLAP_DOWN_S:g} link up"
    for at in (flap * (FLAP_DOWN_S + FLAP_UP_S) for flap in range(FLAPS))
)

SCENARIOS: dict[str, Scenario] = {
    scenario.key: scenario
    for scenario in (
        _scenario(
            Story("S1", "link down 1 s", "WiFi is switched off and on again.", "0 link down, 1 link up"),
            told=Told.INTERFACE,
        ),
        # Carrier loss is reported from one queue for all namespaces, once a second at most. The report
        # empties the ARP table, and recovery then waits for the next ARP try, a second after the last: an
        # outage a little under a second ends just before that try, one a little over just after it.
        _scenario(
            Story(
                "S1c",
                "carrier lost at the router 1 s",
                "The access point loses power for a moment.",
                "0 carrier off, 1 carrier on",
            ),
            told=Told.CARRIER,
            alone=True,
        ),
        _scenario(
            Story(
                "S2",
                "down 8 s, address and route gone and back",
                "Out of reach for a while; the network is joined anew.",
                "0 link down, 0 lease lost, 8 link up, 8 lease back",
            ),
            told=Told.INTERFACE,
        ),
        _scenario(
            Story(
                "S3",
                "roam to another subnet after 0.3 s",
                "From one WiFi into another.",
                "0 roam away, 0.3 roam arrive",
            ),
            told=Told.INTERFACE,
        ),
        _scenario(
            Story("S4", "silent drop 6 s", "A router in between discards everything.", "0 drop, 6 undrop"),
        ),
        _scenario(
            Story(
                "S5",
                "image killed, back after 2 s",
                "The image crashes and is started again.",
                "0 image kill, 2 image start",
            ),
            told=Told.REFUSAL,
        ),
        _scenario(
            Story(
                "S6",
                f"{FLAPS} flaps of {FLAP_DOWN_S} s, up {FLAP_UP_S} s between",
                "A loose cable.",
                _FLAPPING,
            ),
            told=Told.INTERFACE,
        ),
        _scenario(
            Story("S7", "silent drop 45 s", "A router in between reboots.", "0 drop, 45 undrop"),
            patience_s=LONG_PATIENCE_S,
        ),
    )
}
"""The faults of the race."""

LIBRARY: dict[str, Scenario] = SCENARIOS | {story.key: _scenario(story) for story in STORIES}
"""Every named scenario."""
