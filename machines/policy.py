"""Every duration the decisions use, in one place, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from machines.reasons import Cause

HEARTBEAT_IVL_S = 0.4
"""ZMTP ping interval of every link. With it a live path carries a segment at least this often, so
one missed beat plus a round trip is noticed within 1 s while a request is in flight (DESIGN section 6)."""


class BadPolicy(ValueError):  # noqa: N818 - reads as what it is
    """A patience that cannot be.

    Attributes:
        name: which of them.
        value: what was given.
        problem: what it has to be.
    """

    def __init__(self, name: str, value: object, problem: str) -> None:
        super().__init__(name, value, problem)
        self.name, self.value, self.problem = name, value, problem

    def __str__(self) -> str:
        return f"{self.name} is {self.problem}, not {self.value!r}"


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a connection is. The defaults meet the bars of DESIGN section 6.

    Raises:
        BadPolicy: a value with which no connection could be kept.
    """

    connect_first_s: float = 1.0
    """SYN to accept, while the round trip is unknown: one kernel SYN retransmission (1 s)."""
    connect_min_s: float = 0.5
    connect_rtts: float = 4.0
    """... and once it is known: four round trips, so that a slow path is not cut off."""
    handshake_s: float = 2.0
    """Accept to ZMTP handshake. A peer that accepts and stays silent costs this much (libzmq: 30 s)."""
    patience_max_s: float = 4.0
    """Both patiences double with every timeout, up to here: a path slower than expected is reached too."""
    quiet_busy_s: float = HEARTBEAT_IVL_S + 0.35
    """Silence that counts while a request is in flight: one heartbeat, one retransmission (0.2 s), slack."""
    quiet_idle_s: float = 2 * HEARTBEAT_IVL_S + 0.6
    """... and while idle: two heartbeats. Checked every `check_idle_s`: noticed within 3 s."""
    frozen_s: float = 3.0
    """Acknowledged but unanswered heartbeats for this long: the process is stopped, the network is not."""
    check_busy_s: float = 0.15
    check_idle_s: float = 1.0
    check_hedge_s: float = 0.05
    """While a link is suspect, look at it this often at first: its first new byte ends the outage."""
    check_hedge_growth: float = 0.1
    """... and then at a tenth of the time gone by, so that long outages of many images cost nothing."""
    wake_grace_s: float = 0.25
    """After a suspend the old link is probed for so long before a dial starts beside it (law 6)."""
    busy_after_s: float = 1.0
    """A request unanswered for this long on a living link is shown as "busy", a ping as "not answering"."""
    ping_idle_s: float = 5.0
    """An idle image is asked for an answer this often: heartbeats prove its process, not the image."""
    drain_s: float = 2.0
    """A replaced link with a request in flight may still deliver its reply for so long."""
    context_after: int = 4
    """Dials that failed although the port was open, until the ZeroMQ context is replaced as well
    (czmq#2276: after some WiFi switches no number of new sockets helped)."""
    give_up_after_s: float | None = None
    """The host may set a limit; by default the machine never stops trying."""
    gone_after_s: float = 30 * 86_400.0
    """Unreachable beyond the documents' retention of 30 days: Orphaned, kept, no longer dialled."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                _must_be_above_zero(field.name, value, whole=isinstance(field.default, int))
        # A living way carries one heartbeat an interval: judged sooner, every link would be found silent.
        for name in ("quiet_busy_s", "quiet_idle_s", "frozen_s"):
            if getattr(self, name) <= HEARTBEAT_IVL_S:
                needs = f"longer than the {HEARTBEAT_IVL_S} s between two heartbeats"
                raise BadPolicy(name, getattr(self, name), needs)
        if self.patience_max_s < max(self.connect_first_s, self.connect_min_s, self.handshake_s):
            needs = "at least the patience of a first try (connect_first_s, connect_min_s, handshake_s)"
            raise BadPolicy("patience_max_s", self.patience_max_s, needs)


def _must_be_above_zero(name: str, value: Any, *, whole: bool) -> None:
    number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (number and isfinite(value) and value > 0):
        what = "a whole number" if whole else "a finite number"
        raise BadPolicy(name, value, f"{what} above 0")


@dataclass(frozen=True, slots=True)
class Step:
    """Until `until_s` after the outage began, a try may wait at most `cap_s`."""

    until_s: float
    cap_s: float


_FOREVER = float("inf")

LADDERS: dict[Cause, tuple[Step, ...]] = {
    # Nothing answers. A SYN is 60 bytes, so the first minute is searched densely: full jitter below a
    # cap C finds a returned path C/3 later on average. 4 s at the end keeps the 10 s promise for ever.
    Cause.NO_ANSWER: (Step(60.0, 0.1), Step(600.0, 1.0), Step(_FOREVER, 4.0)),
    # The host answers and nothing listens: an image restart takes seconds, so look closely at first.
    Cause.REFUSED: (Step(10.0, 0.025), Step(60.0, 0.4), Step(600.0, 2.0), Step(_FOREVER, 4.0)),
    # No route: an event will tell when there is one; the timer is for machines without events.
    Cause.NO_ROUTE: (Step(10.0, 0.25), Step(60.0, 1.0), Step(_FOREVER, 4.0)),
    # A name server is somebody else's machine, and a name that appears is rarely news of this second.
    Cause.NAME: (Step(60.0, 1.0), Step(600.0, 2.0), Step(_FOREVER, 4.0)),
    # Somebody is there but it is not (yet) the image, or the handshake does not end.
    Cause.PROTOCOL: (Step(10.0, 0.25), Step(60.0, 1.0), Step(_FOREVER, 4.0)),
}

LADDER_OF: dict[Cause, Cause] = {
    Cause.CLOSED: Cause.NO_ANSWER,
    Cause.SILENT: Cause.NO_ANSWER,
    Cause.FROZEN: Cause.PROTOCOL,
    Cause.LOCAL: Cause.PROTOCOL,
    Cause.NO_HANDSHAKE: Cause.PROTOCOL,
    Cause.ACCESS: Cause.PROTOCOL,
    Cause.VERSION: Cause.PROTOCOL,
}
"""Which ladder a cause without one of its own climbs."""

FIRST_GAP_S = 0.01
"""The second try follows this closely; the first is immediate."""

MIN_GAP_FRACTION = 0.1
"""Full jitter may draw 0; a tenth of the ceiling keeps two tries from being one."""

CROWD = 16
"""So many images may search at full pace; more share it, so that a thousand do not flood the network.
One answer on a path wakes all others on it (`PathProven`), so sharing costs them next to nothing."""

MAX_GAP_S = 4.0
"""No gap is ever longer: 4 s + dial + handshake stays below 10 s."""
