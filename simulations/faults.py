"""The vocabulary of trouble: every fault a scenario may hold, and what of the way to an image it touches.

A schedule is a tuple of `Step`s, plain data, so that one description plays in the virtual world and on real
interfaces, is kept in the regression file, and is shrunk. What a step breaks and what it heals stands here
too: whether the way to an image is whole follows from the schedule alone, in both worlds alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

EVERYONE = -1
"""A step that touches all images: whatever lies on the common way, and our own machine."""


class What(StrEnum):
    """One kind of trouble, or its end; behind each stands what `value` and `text` mean, if it uses them."""

    # Our own interfaces.
    LINK_DOWN = "link down"  # the WiFi interface is switched off; its address stays
    LINK_UP = "link up"
    CARRIER_OFF = "carrier off"  # the access point falls silent; address and routes stay
    CARRIER_ON = "carrier on"
    LEASE_LOST = "lease lost"  # address and default route go
    LEASE_BACK = "lease back"
    LEASE_NEW = "lease new"  # the same network gives another address; heals what LEASE_LOST broke
    ROAM_AWAY = "roam away"  # carrier and lease of the present WiFi go
    ROAM_ARRIVE = "roam arrive"  # the other WiFi, another subnet, another interface
    DOCK = "dock"  # a cable with a better metric appears beside the WiFi
    UNDOCK = "undock"
    VPN_UP = "vpn up"  # a tunnel takes over the route to the images
    VPN_DOWN = "vpn down"
    BYSTANDER = "bystander"  # an interface that has nothing to do with us comes and goes
    HINTS_LOST = "hints lost"  # value s: no announcement of the kernel reaches us; reading still works
    HINTS_REPEATED = "hints repeated"  # value: so many spurious announcements

    # The way between.
    DROP = "drop"  # everything is discarded, silently, both ways
    UNDROP = "undrop"
    DROP_OUT = "drop out"  # only what we send; UNDROP ends it
    DROP_IN = "drop in"  # only what we receive; UNDROP ends it
    LOSS = "loss"  # value: share of packets lost; 0 ends it
    DELAY = "delay"  # value: seconds added each way; 0 ends it
    JITTER = "jitter"  # value: up to so many seconds more, at random; 0 ends it
    RATE = "rate"  # value: bytes a second; 0 is unlimited
    STALL_WAY = "stall way"  # value s: nothing moves, then everything kept arrives
    MTU_HOLE = "mtu hole"  # value: packets larger than so many bytes vanish; 0 ends it
    NAT_FORGETS = "nat forgets"  # packets of the present connections vanish from now on
    NAT_RESETS = "nat resets"  # packets of the present connections are answered with a reset from now on
    PORTAL_ON = "portal on"  # whatever we dial, a captive portal answers, in HTTP
    PORTAL_OFF = "portal off"

    # Names.
    NAME_FAILS = "name fails"
    NAME_HANGS = "name hangs"
    NAME_WORKS = "name works"

    # An image; `image` says which.
    IMAGE_KILL = "image kill"
    IMAGE_START = "image start"
    IMAGE_SAVE = "image save"  # value s: its sockets close, it saves, and opens them again
    IMAGE_BUSY = "image busy"  # value s: somebody else's long work; heartbeats go on
    IMAGE_FREEZE = "image freeze"  # the process is stopped, its kernel is not
    IMAGE_THAW = "image thaw"
    IMAGE_SLOW = "image slow"  # value s: every answer takes so long; 0 ends it
    IMAGE_OTHER = "image other"  # another image takes its place
    IMAGE_BACK = "image back"  # the right one, of its own version, listens again: ends the next two also
    IMAGE_VERSION = "image version"  # it now speaks a protocol version we do not
    IMAGE_HOSTILE = (
        "image hostile"  # text: garbage, http, silence, flood, huge or wrong: a squatter listens there
    )
    IMAGE_MOVE = "image move"  # to another address, behind the same name
    HOST_CRASH = "host crash"  # the image's machine loses power: nobody answers, nobody resets
    HOST_BOOT = "host boot"  # ... and is back, the image with it, old connections unknown

    # Our own machine and process.
    SUSPEND = "suspend"  # value s: the lid is closed; only the boot-time clock goes on
    STEP_CLOCK = "step clock"  # value s, of either sign: the time of day is set
    STALL = "stall"  # value s: our process does not run
    KILL = "kill"  # kill -9
    POWER_CUT = "power cut"  # as KILL, and the disk keeps only what a power cut leaves
    CLOSE = "close"  # the program ends in good order
    START = "start"  # our process is started again

    # Our disk.
    DISK_SLOW = "disk slow"  # value s for each sync; 0 ends it
    DISK_FAILS = "disk fails"  # every write and sync is refused (EIO)
    DISK_FULL = "disk full"  # every write is refused or cut short (ENOSPC)
    DISK_WORKS = "disk works"

    # Our keyring.
    KEYRING_LOCKS = "keyring locks"  # whoever asks it is kept waiting, and told that it is locked
    KEYRING_OPENS = "keyring opens"

    # The user.
    LONG_EVALUATION = "long evaluation"  # value s of work asked for
    LARGE_EVALUATION = "large evaluation"  # value: so many characters of code are sent
    RETRY = "retry"  # the user presses "retry" if the image is Failed or Orphaned
    DISCONNECT = "disconnect"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True)
class Touch:
    """What a step does to the way: it breaks things, heals things, or only impairs the way for a time.

    While a thing is *broken* nobody can be reached; while one is *impaired* (name starts with "~") the way
    works, badly, and no recovery is measured. `lasts` steps end by themselves after their value.
    The "verdict" is the user's: after another image or another version we rest until somebody says "retry".
    """

    breaks: tuple[str, ...] = ()
    heals: tuple[str, ...] = ()
    lasts: bool = False
    zero_heals: bool = False
    """With value 0 the step ends what it begins with any other."""
    disturbs: bool = False
    """The way is whole again at once, but what stood on it may be gone: a recovery counts from here too."""
    queues: bool = False
    """It begins when what is under way has ended: one request at a time."""


_CLIENT = ("process",)
_ENDED = ("frozen", "saving")  # a process that ends is neither any more
_OF_A_PROCESS = frozenset({What.IMAGE_SAVE, What.IMAGE_FREEZE})
TOUCHES: dict[What, Touch] = {
    What.LINK_DOWN: Touch(("link",)),
    What.LINK_UP: Touch(heals=("link",)),
    What.CARRIER_OFF: Touch(("carrier",)),
    What.CARRIER_ON: Touch(heals=("carrier",)),
    What.LEASE_LOST: Touch(("lease",)),
    What.LEASE_BACK: Touch(heals=("lease",)),
    What.LEASE_NEW: Touch(heals=("lease",), disturbs=True),
    What.ROAM_AWAY: Touch(("carrier", "lease")),
    What.ROAM_ARRIVE: Touch(heals=("link", "carrier", "lease")),
    What.DOCK: Touch(disturbs=True),
    What.UNDOCK: Touch(disturbs=True),
    What.VPN_UP: Touch(disturbs=True),
    What.VPN_DOWN: Touch(disturbs=True),
    What.DROP: Touch(("drop",)),
    What.DROP_OUT: Touch(("drop",)),
    What.DROP_IN: Touch(("drop",)),
    What.UNDROP: Touch(heals=("drop",)),
    What.LOSS: Touch(("~loss",), zero_heals=True),
    What.DELAY: Touch(("~delay",), zero_heals=True),
    What.JITTER: Touch(("~jitter",), zero_heals=True),
    What.RATE: Touch(("~rate",), zero_heals=True),
    What.STALL_WAY: Touch(("stall way",), lasts=True),
    What.MTU_HOLE: Touch(("~mtu",), zero_heals=True),
    What.NAT_FORGETS: Touch(disturbs=True),
    What.NAT_RESETS: Touch(disturbs=True),
    What.PORTAL_ON: Touch(("portal",)),
    What.PORTAL_OFF: Touch(heals=("portal",)),
    What.NAME_FAILS: Touch(("~name",)),
    What.NAME_HANGS: Touch(("~name",)),
    What.NAME_WORKS: Touch(heals=("~name",)),
    What.IMAGE_KILL: Touch(("image",), _ENDED),
    What.IMAGE_START: Touch(heals=("image",)),
    What.IMAGE_SAVE: Touch(("saving",), lasts=True),
    What.IMAGE_BUSY: Touch(("busy",), lasts=True),
    What.IMAGE_FREEZE: Touch(("frozen",)),
    What.IMAGE_THAW: Touch(heals=("frozen",)),
    What.IMAGE_SLOW: Touch(("~slow",), zero_heals=True),
    What.IMAGE_OTHER: Touch(("right image", "verdict"), _ENDED),
    What.IMAGE_VERSION: Touch(("right image", "verdict"), _ENDED),
    What.IMAGE_HOSTILE: Touch(("right image",), _ENDED),
    What.IMAGE_BACK: Touch(heals=("right image",)),
    What.IMAGE_MOVE: Touch(disturbs=True),
    What.HOST_CRASH: Touch(("host",), _ENDED),
    What.HOST_BOOT: Touch(heals=("host", "image", *_ENDED)),
    What.SUSPEND: Touch(("awake",), lasts=True),
    What.STALL: Touch(("running",), lasts=True),
    What.KILL: Touch(_CLIENT),
    What.POWER_CUT: Touch(_CLIENT),
    What.CLOSE: Touch(_CLIENT),
    What.START: Touch(heals=_CLIENT),
    What.DISCONNECT: Touch(("wanted",)),
    What.RECONNECT: Touch(heals=("wanted",)),
    What.LONG_EVALUATION: Touch(("busy",), lasts=True, queues=True),
    What.RETRY: Touch(heals=("verdict",)),
}
"""What is not listed (a bystander, a lost hint, long code, a clock, a disk, a keyring) leaves it whole."""

_ONE_IMAGE = frozenset(what for what in What if what.name.startswith(("IMAGE_", "HOST_")))
_FIGURE = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"  # as `repr` writes a float
_FORM = re.compile(
    rf"(?P<at>{_FIGURE}) (?P<what>[a-z][a-z ]*?)(?: (?P<value>-?{_FIGURE}))?"
    r"(?: '(?P<text>[a-z]+)')?(?: #(?P<image>\d+))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """At `at_s` (seconds since the scenario began) something happens, to one image or to everyone."""

    at_s: float
    what: What
    value: float = 0.0
    text: str = ""
    image: int = EVERYONE

    def __str__(self) -> str:
        """Write it as `parse` reads it: `2.5 link down`, `3 image busy 8 #1`, `4 image hostile 'http' #0`."""
        value = f" {_figure(self.value)}" if self.value else ""
        text = f" '{self.text}'" if self.text else ""
        image = f" #{self.image}" if self.image != EVERYONE else ""
        return f"{_figure(self.at_s)} {self.what}{value}{text}{image}"

    @classmethod
    def parse(cls, line: str) -> Step:
        """Read one back.

        Raises:
            ValueError: it is no step; says which line.
        """
        form = _FORM.fullmatch(line.strip())
        if form is None or form["what"] not in list(What):
            raise ValueError(f"{line!r} is no step; write '12.5 link down', '3 image busy 8 #1'")
        image = EVERYONE if form["image"] is None else int(form["image"])
        return cls(
            float(form["at"]), What(form["what"]), float(form["value"] or 0), form["text"] or "", image
        )

    @property
    def of_one_image(self) -> bool:
        """Whether only `image` is touched; without a number all images are."""
        return self.image != EVERYONE

    @staticmethod
    def concerns_images(what: What) -> bool:
        """Whether this kind of step happens at the image's end."""
        return what in _ONE_IMAGE


def _figure(value: float) -> str:
    """Write it so that reading gives the very same float: a story kept must play as it did."""
    return repr(float(value)).removesuffix(".0")


class Condition(StrEnum):
    """How the way to one image is."""

    WHOLE = "whole"
    IMPAIRED = "impaired"
    BROKEN = "broken"


class Ways:
    """Follows a schedule and tells, per image, in what condition the way to it is."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._open: dict[tuple[int, str], float] = {}
        """(image, thing) to when it ends by itself; infinity: it does not."""

    def apply(self, step: Step, now: float) -> None:
        """A step was played at `now`."""
        touch = TOUCHES.get(step.what, Touch())
        ended = touch.zero_heals and step.value == 0
        for image in self._touched(step):
            if step.what is What.RETRY and (image, "right image") in self._open:
                continue  # the wrong one answers again, and we rest again
            if step.what in _OF_A_PROCESS and {(image, "image"), (image, "host")} & self._open.keys():
                continue  # there is no process that could save or be stopped
            heals = touch.heals
            if step.what is What.IMAGE_BACK and (image, "right image") in self._open:
                heals += _ENDED  # whatever was there is ended
            for thing in heals + (touch.breaks if ended else ()):
                self._open.pop((image, thing), None)
            for thing in () if ended else touch.breaks:
                end = self._open.get((image, thing), now)
                until = (max(now, end) if touch.queues else now) + step.value if touch.lasts else float("inf")
                self._open[image, thing] = max(until, end)

    def condition(self, image: int, now: float) -> Condition:
        """How the way to `image` is at `now`."""
        things = self.things(image, now)
        if any(not thing.startswith("~") for thing in things):
            return Condition.BROKEN
        return Condition.IMPAIRED if things else Condition.WHOLE

    def things(self, image: int, now: float) -> tuple[str, ...]:
        """What is broken or impaired."""
        return tuple(
            sorted(thing for (who, thing), until in self._open.items() if who == image and now < until)
        )

    def next_end(self, now: float) -> float | None:
        """When the next thing heals by itself."""
        ends = [until for until in self._open.values() if now < until < float("inf")]
        return min(ends, default=None)

    def whole_from(self, now: float) -> float | None:
        """From when every way is whole if nothing else happens; None: some is not, until something does."""
        until = max(self._open.values(), default=now)
        return None if until == float("inf") else max(until, now)

    def cures(self, now: float) -> tuple[Step, ...]:
        """The steps that make every way whole, except for what ends by itself."""
        steps = []
        for (image, thing), until in sorted(self._open.items()):
            if until == float("inf"):
                what, of_one_image = _CURES[thing]
                steps.append(Step(now, what, image=image if of_one_image else EVERYONE))
        return tuple(dict.fromkeys(steps))

    def _touched(self, step: Step) -> range | tuple[int, ...]:
        return (step.image,) if step.of_one_image else range(self._images)


_CURES: dict[str, tuple[What, bool]] = {
    "link": (What.LINK_UP, False),
    "carrier": (What.CARRIER_ON, False),
    "lease": (What.LEASE_BACK, False),
    "drop": (What.UNDROP, False),
    "~loss": (What.LOSS, False),
    "~delay": (What.DELAY, False),
    "~jitter": (What.JITTER, False),
    "~rate": (What.RATE, False),
    "~mtu": (What.MTU_HOLE, False),
    "portal": (What.PORTAL_OFF, False),
    "~name": (What.NAME_WORKS, False),
    "image": (What.IMAGE_START, True),
    "frozen": (What.IMAGE_THAW, True),
    "~slow": (What.IMAGE_SLOW, True),
    "right image": (What.IMAGE_BACK, True),
    "host": (What.HOST_BOOT, True),
    "process": (What.START, False),
    "verdict": (What.RETRY, True),
    "wanted": (What.RECONNECT, True),
}
"""What ends each thing, and whether for one image only. In one instant they are played in the order of
`sorted`: the right image is back before anybody says "retry".
"""
