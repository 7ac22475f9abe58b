"""What two ZeroMQ sockets say to each other, as far as anybody can tell from outside."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Says(IntEnum):
    """One thing said on a connection."""

    GREETING = 0
    READY = 1
    PING = 2
    PONG = 3
    MESSAGE = 4
    RAW = 5  # bytes that are no ZMTP: another program


class Said(NamedTuple):
    """It, and the frames of a message."""

    what: Says
    frames: tuple[bytes, ...] = ()

    @classmethod
    def message(cls, frames: tuple[bytes, ...]) -> Said:
        """A message of these frames."""
        return cls(Says.MESSAGE, frames)


SIZES = {Says.GREETING: 64, Says.READY: 43, Says.PING: 9, Says.PONG: 7, Says.RAW: 300}
"""Bytes on the wire, by ZMTP 3.1; of other programs a guess. A message has the size of its frames."""

GREETING, READY, PING, PONG, RAW = (Said(what) for what in SIZES)

FRAME_BYTES = 9
"""The most that a frame's head takes."""


def size_of(frames: tuple[bytes, ...]) -> int:
    """Bytes of a message on the wire."""
    return sum(len(frame) + FRAME_BYTES for frame in frames)
