"""Where a connection stands and how that is told: the state, its reason, and whose image it is."""

from __future__ import annotations

from machines import commands as c
from machines.events import Identity
from machines.liveness import restarted
from machines.machine import allows, fire
from machines.reasons import Reason
from machines.table import INITIAL, LIVE, State, Trigger

_PASSING = frozenset({Reason.BUSY, Reason.WOKE, Reason.NOT_ANSWERING, Reason.DIALLING})
"""Reasons that an answer makes untrue."""


class Standing:
    """Moves only through the table; writes its announcements to `out`."""

    def __init__(self, out: list[c.Command]) -> None:
        self.state: State = INITIAL
        self.reason = Reason.NEW
        self.detail = ""
        self.dirty = False
        self.identity = Identity()
        self._uptime_at = 0.0
        self._out = out

    def move(self, trigger: Trigger, reason: Reason, detail: str = "") -> None:
        """Fire `trigger` and announce it.

        Raises:
            Refused: the table has no rule for it here; nothing changed.
        """
        source, self.state = self.state, fire(self.state, trigger)
        self.reason, self.detail = reason, detail
        self._out.append(c.Announce(source, trigger, self.state, reason, detail))

    def report(self, reason: Reason, detail: str = "") -> None:
        """Tell of a reason that changed in an unchanged state."""
        if (reason, detail) != (self.reason, self.detail):
            self.reason, self.detail = reason, detail
            self._out.append(c.Report(reason, detail))

    def report_settled(self) -> None:
        """What was passing is over; say what the state itself says."""
        self.report(Reason.EDITED if self.state is State.MODIFIED else Reason.ANSWERED)

    def proven(self, reason: Reason, *, resumed: bool) -> None:
        """The image is there: Connected, or Modified with edits to save."""
        clean, dirty = (
            (Trigger.LINK_RESUMED, Trigger.LINK_RESUMED_DIRTY)
            if resumed
            else (Trigger.IMAGE_ANSWERED, Trigger.IMAGE_ANSWERED_DIRTY)
        )
        trigger = dirty if self.dirty else clean
        if allows(self.state, trigger):
            self.move(trigger, reason)
        elif self.state in LIVE and reason is not Reason.ANSWERED:
            self.report(reason)
        elif self.reason in _PASSING:
            self.report_settled()

    def own(self, owner: Identity, now: float) -> None:
        """The session is known to belong to `owner`."""
        self.identity, self._uptime_at = owner, now

    def is_another(self, met: Identity) -> bool:
        """Whether `met` is certainly not the session's image."""
        known = self.identity.image_id
        return known is not None and met.image_id is not None and met.image_id != known

    def meet(self, met: Identity, now: float) -> bool:
        """Remember what the image said of itself; whether it has been restarted since last time."""
        again = restarted(self.identity, self._uptime_at, met, now)
        image_id = met.image_id or self.identity.image_id
        if met.uptime_s is None:
            self.identity = Identity(image_id, self.identity.uptime_s)
        else:
            self.own(Identity(image_id, met.uptime_s), now)
        return again
