"""Random trouble, one schedule a seed: what the named scenarios did not think of.

Swarm testing (Groce et al., ISSTA 2012): a run in which everything may happen is a run in which little can
happen for long, so each seed first decides, kind by kind, what may happen at all. Added to it are the three
patterns that found most elsewhere: flaps in a burst, faults that coincide, and FoundationDB's swizzle
(several things break one after another and heal in another order).

Only `random`, `uniform`, `choice`, `randrange` and seeds of text are used: the same on every Python.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulations.faults import EVERYONE, Step, What
from simulations.scenarios import Load, Scenario

KEY = "swarm"

STEPS = (3, 25)
SHORT_S, LONG_S = (10.0, 40.0), (40.0, 120.0)
LONG_SHARE = 0.15
HOLD_S = (0.02, 20.0)
"""How long a thing stays broken: from less than any timer of ours to longer than all that matter."""
LEFT_BROKEN = 0.15
"""What is not healed by the schedule is healed by its end; this is where the liveness check bites."""
IMAGES = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4)  # isolation needs several; one finds nearly everything faster
NAMED_SHARE = 0.3
PATTERNS = ("pair",) * 12 + ("coincidence",) * 3 + ("swizzle",) * 3 + ("burst",) * 2
COINCIDENCE_S = 0.01
BURST_S = 1.0
LOADS = (0.4, 1.0, 1.0, 2.0, 2.0, 5.0), (0.5, 2.0, 5.0, 5.0, 15.0)  # means between evaluations; timeouts
TYPING = (0.0, 0.5, 2.0, 2.0, 2.0, 2.0, 5.0, 5.0)
"""Means between edits; 0: nobody types."""
ONLOOKERS = 0.25
"""The share of those who type nothing that evaluate nothing either: only the journal writes then."""
HOSTILE = ("garbage", "http", "silence", "flood", "huge", "wrong")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble: how it begins, how it ends, and how bad it may be.

    `kind` is what the coin is tossed for. `ends` empty: it ends by itself, or its zero value ends it.
    `bad` is the range of the value, drawn so that each power of ten is as likely as the next.
    """

    kind: str
    begins: tuple[What, ...]
    ends: tuple[What, ...] = ()
    bad: tuple[float, float] | None = None
    zero_ends: bool = False
    whole: bool = False
    """Its value is a whole number."""
    signed: bool = False
    named: bool = False
    """It means something only where a name is dialled."""


W = What
TROUBLES = (
    Trouble("link", (W.LINK_DOWN,), (W.LINK_UP,)),
    Trouble("carrier", (W.CARRIER_OFF,), (W.CARRIER_ON,)),
    Trouble("lease", (W.LEASE_LOST,), (W.LEASE_BACK, W.LEASE_NEW)),
    Trouble("lease", (W.LEASE_NEW,)),
    Trouble("roam", (W.ROAM_AWAY,), (W.ROAM_ARRIVE,)),
    Trouble("dock", (W.DOCK,), (W.UNDOCK,)),
    Trouble("vpn", (W.VPN_UP,), (W.VPN_DOWN,)),
    Trouble("bystander", (W.BYSTANDER,)),
    Trouble("hints", (W.HINTS_LOST,), bad=(0.5, 30)),
    Trouble("hints", (W.HINTS_REPEATED,), bad=(1, 200), whole=True),
    Trouble("drop", (W.DROP, W.DROP, W.DROP_OUT, W.DROP_IN), (W.UNDROP,)),
    Trouble("loss", (W.LOSS,), bad=(0.02, 0.8), zero_ends=True),
    Trouble("delay", (W.DELAY,), bad=(0.01, 1.5), zero_ends=True),
    Trouble("jitter", (W.JITTER,), bad=(0.01, 0.8), zero_ends=True),
    Trouble("rate", (W.RATE,), bad=(500, 500_000), zero_ends=True, whole=True),
    Trouble("stall way", (W.STALL_WAY,), bad=(0.05, 20)),
    Trouble("mtu", (W.MTU_HOLE,), bad=(100, 1400), zero_ends=True, whole=True),
    Trouble("nat", (W.NAT_FORGETS, W.NAT_RESETS)),
    Trouble("portal", (W.PORTAL_ON,), (W.PORTAL_OFF,)),
    Trouble("name", (W.NAME_FAILS, W.NAME_HANGS), (W.NAME_WORKS,), named=True),
    Trouble("move", (W.IMAGE_MOVE,), named=True),
    Trouble("image kill", (W.IMAGE_KILL,), (W.IMAGE_START,)),
    Trouble("save", (W.IMAGE_SAVE,), bad=(0.1, 8)),
    Trouble("busy", (W.IMAGE_BUSY,), bad=(0.3, 30)),
    Trouble("freeze", (W.IMAGE_FREEZE,), (W.IMAGE_THAW,)),
    Trouble("slow", (W.IMAGE_SLOW,), bad=(0.05, 5), zero_ends=True),
    Trouble("other", (W.IMAGE_OTHER, W.IMAGE_VERSION, W.IMAGE_HOSTILE), (W.IMAGE_BACK,)),
    Trouble("host", (W.HOST_CRASH,), (W.HOST_BOOT,)),
    Trouble("suspend", (W.SUSPEND,), bad=(0.5, 600)),
    Trouble("clock", (W.STEP_CLOCK,), bad=(0.05, 7200), signed=True),
    Trouble("stall", (W.STALL,), bad=(0.3, 5)),
    Trouble("process", (W.KILL, W.KILL, W.POWER_CUT, W.CLOSE), (W.START,)),
    Trouble("disk slow", (W.DISK_SLOW,), bad=(0.01, 2), zero_ends=True),
    Trouble("disk", (W.DISK_FAILS, W.DISK_FULL), (W.DISK_WORKS,)),
    Trouble("keyring", (W.KEYRING_LOCKS,), (W.KEYRING_OPENS,)),
    Trouble("long evaluation", (W.LONG_EVALUATION,), bad=(0.5, 30)),
    Trouble("retry", (W.RETRY,)),
    Trouble("wanted", (W.DISCONNECT,), (W.RECONNECT,)),
)
KINDS = tuple(dict.fromkeys(trouble.kind for trouble in TROUBLES))

OF_ONE_IMAGE = frozenset(
    what
    for what in What
    if Step.concerns_images(what) or what in {W.LONG_EVALUATION, W.RETRY, W.DISCONNECT, W.RECONNECT}
)


class Fixed(Scenario):
    """A scenario whose steps happen at exactly the times they name, in every run."""

    __slots__ = ()

    @classmethod
    def of(cls, scenario: Scenario, steps: tuple[Step, ...]) -> Fixed:
        """Put these steps in the place of a scenario's own."""
        fields = {name: getattr(scenario, name) for name in Scenario.__slots__}
        return cls(**fields | {"steps": steps})

    def paced(self, dice: random.Random, pace: float = 1.0) -> tuple[Step, ...]:  # noqa: ARG002 - nothing is left to chance
        """Give the steps as they stand, all stretched by `pace`."""
        if pace == 1.0:
            return self.steps
        return tuple(replace(step, at_s=round(step.at_s * pace, 3)) for step in self.steps)


def swarm(seed: int) -> Scenario:
    """Make the schedule of one seed; to be played with the same."""
    dice = random.Random(f"{KEY}/{seed}")
    images, named = dice.choice(IMAGES), dice.random() < NAMED_SHARE
    kinds = _possible(dice, named=named)
    length_s = dice.uniform(*(LONG_S if dice.random() < LONG_SHARE else SHORT_S))
    steps = _Schedule(dice, images, kinds, length_s).make(dice.randrange(STEPS[0], STEPS[1] + 1))
    every_s, timeout_s = (dice.choice(values) for values in LOADS)
    typist = random.Random(f"{KEY}/{seed}/typist")  # of its own: what he draws changes no schedule
    edit_every_s = typist.choice(TYPING)
    if not edit_every_s and typist.random() < ONLOOKERS:
        every_s = 0.0
    return Fixed(
        key=KEY,
        title=f"random trouble {seed}",
        steps=steps,
        story="what may happen: " + ", ".join(kinds),
        images=images,
        named=named,
        real=False,
        load=Load(evaluate_every_s=every_s, edit_every_s=edit_every_s, timeout_s=timeout_s),
    )


def _possible(dice: random.Random, *, named: bool) -> tuple[str, ...]:
    """Toss a coin for each kind of trouble; some may happen, and some may not."""
    sensible = {trouble.kind for trouble in TROUBLES if named or not trouble.named}
    while True:
        kinds = tuple(kind for kind in KINDS if dice.random() < 0.5 and kind in sensible)  # noqa: PLR2004 - a coin
        if 0 < len(kinds) < len(sensible):
            return kinds


class _Schedule:
    """Draws the steps of one run."""

    def __init__(self, dice: random.Random, images: int, kinds: Sequence[str], length_s: float) -> None:
        self._dice = dice
        self._images = images
        self._troubles = {kind: tuple(each for each in TROUBLES if each.kind == kind) for kind in kinds}
        self._kinds = kinds
        self._length_s = length_s
        self._steps: list[Step] = []

    def make(self, count: int) -> tuple[Step, ...]:
        """Draw patterns until there are so many steps; the last one may add some, never beyond the most."""
        while len(self._steps) < count:
            at = self._dice.uniform(0.2, self._length_s)
            room = STEPS[1] - len(self._steps)
            match self._dice.choice(PATTERNS):
                case "coincidence":
                    drawn = self._pair(at) + self._pair(at + self._dice.uniform(0, COINCIDENCE_S))
                case "swizzle":
                    drawn = self._swizzle(at)
                case "burst":
                    drawn = self._burst(at)
                case _:
                    drawn = self._pair(at)
            self._steps += [step for step in drawn if step.at_s <= self._length_s][:room]
        return tuple(sorted(self._steps, key=lambda step: step.at_s))

    def _pair(self, at: float) -> list[Step]:
        """Something breaks, and is mostly healed later."""
        trouble = self._trouble()
        begin = self._begin(trouble, at)
        if self._dice.random() < LEFT_BROKEN:
            return [begin]
        return [begin, *self._end(trouble, begin, at + self._hold_s())]

    def _swizzle(self, at: float) -> list[Step]:
        """Several things break one after another and heal in another order."""
        begun = []
        for _ in range(self._dice.randrange(2, 5)):
            trouble = self._trouble()
            begun.append((trouble, self._begin(trouble, at)))
            at += self._spread(0.01, 2.0)
        healed = []
        while begun:
            trouble, begin = begun.pop(self._dice.randrange(len(begun)))
            healed += [begin, *self._end(trouble, begin, at)]
            at += self._spread(0.01, 2.0)
        return sorted(healed, key=lambda step: step.at_s)

    def _burst(self, at: float) -> list[Step]:
        """One thing flaps, several times within a second."""
        trouble, steps = self._trouble(), []
        flaps = self._dice.randrange(3, 7)
        begin = self._begin(trouble, at)
        for _ in range(flaps):
            steps += [begin, *self._end(trouble, begin, at + self._dice.uniform(0.005, BURST_S / flaps))]
            at += self._dice.uniform(0.5, 1.0) * BURST_S / flaps
            begin = replace(begin, at_s=_ms(at))
        return sorted(steps, key=lambda step: step.at_s)

    def _trouble(self) -> Trouble:
        return self._dice.choice(self._troubles[self._dice.choice(self._kinds)])

    def _begin(self, trouble: Trouble, at: float) -> Step:
        what = self._dice.choice(trouble.begins)
        text = self._dice.choice(HOSTILE) if what is What.IMAGE_HOSTILE else ""
        image = self._dice.randrange(self._images) if what in OF_ONE_IMAGE else EVERYONE
        if image != EVERYONE and self._images > 1 and self._dice.random() < 0.2:  # noqa: PLR2004 - one in five
            image = EVERYONE
        return Step(_ms(at), what, self._value(trouble), text, image)

    def _end(self, trouble: Trouble, begin: Step, at: float) -> list[Step]:
        if trouble.zero_ends:
            return [replace(begin, at_s=_ms(at), value=0.0)]
        if not trouble.ends:
            return []
        return [Step(_ms(at), self._dice.choice(trouble.ends), image=begin.image)]

    def _value(self, trouble: Trouble) -> float:
        if trouble.bad is None:
            return 0.0
        value = self._spread(*trouble.bad)
        if trouble.signed and self._dice.random() < 0.5:  # noqa: PLR2004 - either way
            value = -value
        return float(f"{round(value) if trouble.whole else value:.3g}")

    def _hold_s(self) -> float:
        return self._spread(*HOLD_S)

    def _spread(self, least: float, most: float) -> float:
        """Draw a value, each power of ten as likely as the next."""
        return least * float((most / least) ** self._dice.random())


def _ms(seconds: float) -> float:
    """Whole milliseconds: a schedule written as text and read again is the same schedule."""
    return round(seconds, 3)
