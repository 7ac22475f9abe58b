"""Plays a schedule on real interfaces: the steps at their times, and when exactly each took effect.

What the schedule breaks and heals is told by `faults.Ways`, as in the virtual world; only the moments are
measured, because a kernel and a process take the time they take.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulations.faults import TOUCHES, Condition, Step, Touch, Ways, What
from simulations.field.lab import FieldLab
from simulations.field.programs import ImageProcess
from simulations.field.seat import Seat
from simulations.hostile import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resilience.demo.namespaces import Moment

SQUATTERS = {
    "http": Kind.WRONG_PROTOCOL,
    "silence": Kind.ACCEPT_SILENT,
    "garbage": Kind.GARBAGE_JSON,
    "huge": Kind.HUGE_REPLY,
    "wrong": Kind.WRONG_ENVELOPE,
}

_ON_LAB: dict[What, Callable[[FieldLab], Moment]] = {
    What.LINK_DOWN: FieldLab.link_down,
    What.LINK_UP: FieldLab.link_up,
    What.CARRIER_OFF: FieldLab.carrier_off,
    What.CARRIER_ON: FieldLab.carrier_on,
    What.LEASE_LOST: FieldLab.lease_lost,
    What.LEASE_BACK: FieldLab.lease_back,
    What.LEASE_NEW: FieldLab.lease_new,
    What.ROAM_AWAY: FieldLab.roam_away,
    What.ROAM_ARRIVE: FieldLab.roam_arrive,
    What.DOCK: FieldLab.dock,
    What.UNDOCK: FieldLab.undock,
    What.VPN_UP: FieldLab.vpn_up,
    What.VPN_DOWN: FieldLab.vpn_down,
    What.BYSTANDER: FieldLab.bystander,
    What.DROP: FieldLab.drop,
    What.DROP_OUT: FieldLab.drop_out,
    What.DROP_IN: FieldLab.drop_in,
    What.UNDROP: FieldLab.undrop,
    What.NAT_FORGETS: FieldLab.nat_forgets,
    What.NAT_RESETS: FieldLab.nat_resets,
    What.PORTAL_OFF: FieldLab.portal_off,
    What.NAME_FAILS: FieldLab.name_fails,
    What.NAME_WORKS: FieldLab.name_works,
    What.IMAGE_MOVE: FieldLab.image_move,
}
_ON_LAB_WITH_VALUE: dict[What, Callable[[FieldLab, float], Moment]] = {
    What.HINTS_REPEATED: FieldLab.chatter,
    What.LOSS: FieldLab.loss,
    What.RATE: FieldLab.rate,
    What.MTU_HOLE: FieldLab.mtu_hole,
}
_ON_SEAT: dict[What, Callable[[Seat], Moment]] = {
    What.PORTAL_ON: Seat.open_portal,
    What.HOST_CRASH: Seat.crash_host,
    What.HOST_BOOT: Seat.boot_host,
    What.STALL: Seat.hold_client,
    What.KILL: Seat.kill_client,
    What.CLOSE: Seat.close_client,
    What.START: Seat.start_client,
}
_ON_IMAGE: dict[What, Callable[[ImageProcess, Step], Moment]] = {
    What.IMAGE_KILL: lambda image, _: image.kill(),
    What.IMAGE_START: lambda image, _: image.start(),
    What.IMAGE_SAVE: lambda image, _: image.save(),
    What.IMAGE_BUSY: lambda image, step: image.busy(step.value),
    What.IMAGE_FREEZE: lambda image, _: image.freeze(),
    What.IMAGE_THAW: lambda image, _: image.thaw(),
    What.IMAGE_HOSTILE: lambda image, step: image.squat(SQUATTERS[step.text]),
    What.IMAGE_BACK: lambda image, _: image.back(),
}

PLAYABLE = _ON_LAB.keys() | _ON_LAB_WITH_VALUE.keys() | _ON_SEAT.keys() | _ON_IMAGE.keys()
"""The kinds of step that real interfaces and processes can play."""


@dataclass(frozen=True, slots=True)
class Window:
    """When things broke and when all was whole again, in CLOCK_MONOTONIC seconds.

    Where nothing breaks, the first fault is the first disturbance, or else simply the first step; and where
    nothing even disturbs, the way is taken as back after the last step.
    """

    faults: tuple[float, ...]
    path_back: float


class UnhealedError(ValueError):
    """The schedule is over and a way is still broken.

    Attributes:
        cures: What would have made it whole.
    """

    def __init__(self, cures: Sequence[Step]) -> None:
        self.cures = tuple(cures)
        super().__init__(f"the schedule ends with a broken way; it lacks {', '.join(c.what for c in cures)}")


def play(steps: Sequence[Step], seat: Seat, pause: Callable[[float], object]) -> Window:
    """Play the steps, the first `steps[0].at_s` seconds from now.

    Raises:
        UnhealedError: They do not heal what they break.
        LabError, SeatError: As the lab and its programs say.
    """
    watched = _Watched(len(seat.images))
    began = time.monotonic()
    # What a step that takes long keeps us from is done as soon as possible, in order.
    todo: list[tuple[float, int, Step | None]] = [
        (step.at_s, number, step) for number, step in enumerate(steps)
    ]
    while todo:
        at_s, number, step = heapq.heappop(todo)
        if (wait_s := began + at_s - time.monotonic()) > 0:
            pause(wait_s)
        if step is None:
            seat.release_client()
            continue
        moment = _do(step, seat)
        watched.saw(step, moment)
        if step.what is What.STALL:
            heapq.heappush(todo, (moment.began - began + step.value, number, None))
    return watched.window()


def _do(step: Step, seat: Seat) -> Moment:
    if step.what in _ON_LAB:
        return _ON_LAB[step.what](seat.lab)
    if step.what in _ON_LAB_WITH_VALUE:
        return _ON_LAB_WITH_VALUE[step.what](seat.lab, step.value)
    if step.what in _ON_SEAT:
        return _ON_SEAT[step.what](seat)
    images = [seat.images[step.image]] if step.of_one_image else seat.images
    moments = [_ON_IMAGE[step.what](image, step) for image in images]
    return moments[-1]


class _Watched:
    """What became of the ways while a schedule was played."""

    def __init__(self, images: int) -> None:
        self._ways = Ways(images)
        self._images = images
        self._breaks: list[float] = []
        self._disturbances: list[float] = []
        self._moments: list[Moment] = []
        self._back: float | None = None

    def saw(self, step: Step, moment: Moment) -> None:
        """Take note of a step and of when it took effect."""
        touch = TOUCHES.get(step.what, Touch())
        was_broken = self._broken(moment.began)
        self._ways.apply(step, moment.began if touch.lasts else moment.done)
        if not was_broken and self._broken(moment.done):
            self._breaks.append(moment.began)
        if touch.breaks or touch.disturbs:
            self._disturbances.append(moment.began)
        self._moments.append(moment)
        if touch != Touch():
            self._back = self._ways.whole_from(moment.done)

    def window(self) -> Window:
        """Sum it up, now that all steps have been played."""
        last = self._moments[-1].done
        if self._ways.whole_from(last) is None:
            raise UnhealedError(self._ways.cures(last))
        faults = self._breaks or self._disturbances or [self._moments[0].began]
        return Window(tuple(faults), last if self._back is None else self._back)

    def _broken(self, now: float) -> bool:
        return any(self._ways.condition(image, now) is Condition.BROKEN for image in range(self._images))
