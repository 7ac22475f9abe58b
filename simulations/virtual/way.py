"""The way between us and one image: what it loses, holds back and slows down."""

from __future__ import annotations

from random import Random

BASE_S, SPREAD_S = 0.0007, 0.0006
"""One way through a router of the same building: about 1 ms."""

HEADER_BYTES = 52
"""IP and TCP with timestamps."""

PACKET_MAX_BYTES = 1_500
"""Longer chunks travel as several packets of this size."""

OUT, IN = 0, 1


class Way:
    """Impairments of one way. Everything else about it is whole."""

    __slots__ = (
        "_dice",
        "_free_at",
        "delay_s",
        "dropped",
        "jitter_s",
        "loss",
        "mtu",
        "portal",
        "rate",
        "stalled_until",
    )

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._free_at = [0.0, 0.0]
        self.dropped = [False, False]
        self.loss = 0.0
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.rate = 0.0
        """Bytes a second each way; 0: unlimited."""
        self.mtu = 0.0
        """Larger packets vanish; 0: none do."""
        self.stalled_until = 0.0
        self.portal = False

    def arrival(self, now: float, payload_bytes: int, side: int) -> float | None:
        """When something sent at `now` arrives at the other end; None: never."""
        if self.dropped[side] or (
            self.mtu and min(payload_bytes + HEADER_BYTES, PACKET_MAX_BYTES) > self.mtu
        ):
            return None
        dice = self._dice
        if self.loss and dice.random() < self.loss:
            return None
        at = max(now, self.stalled_until)
        if self.rate:
            at = max(at, self._free_at[side]) + (payload_bytes + HEADER_BYTES) / self.rate
            self._free_at[side] = at
        at += BASE_S + SPREAD_S * dice.random() + self.delay_s
        return at + self.jitter_s * dice.random() if self.jitter_s else at
