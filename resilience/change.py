"""What a host is told of a transition."""

from __future__ import annotations

from dataclasses import dataclass

from machines import Reason, State, Trigger


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of one image, told once it is on disk.

    `at` is wall-clock time, `t` the monotonic clock (both seconds), `seq` the place
    in the image's history, which goes on across restarts. `durable` is False if the
    disk could not be written: the change is real, but a crash would forget it.
    """

    image: str
    endpoint: str
    seq: int
    source: State
    trigger: Trigger
    target: State
    reason: Reason
    detail: str
    at: float
    t: float
    durable: bool = True
