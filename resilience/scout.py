"""Scouts: bare non-blocking TCP connects, closed as soon as they have told what they found."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable

from machines.events import Scouted, Scouting

_IN_PROGRESS = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})
_NO_ROUTE = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EACCES}
)

MAX_SCOUTS = 24
"""Alive at once per image: at ten a second with one second of patience there are about ten."""


def _meaning(code: int) -> Scouting:
    if code == 0:
        return Scouting.OPEN
    if code == errno.ECONNREFUSED:
        return Scouting.REFUSED
    return Scouting.NO_ROUTE if code in _NO_ROUTE else Scouting.SILENT


class Scouts:
    """The scouts of one image."""

    def __init__(self, loop: asyncio.AbstractEventLoop, found: Callable[[str, Scouted], None]) -> None:
        self._loop = loop
        self._found = found
        self._out: dict[int, tuple[socket.socket, str, float, asyncio.TimerHandle]] = {}

    def send(self, address: str, port: int, timeout_s: float) -> None:
        """Try one connect; at the limit the oldest scout is given up for it."""
        if len(self._out) >= MAX_SCOUTS:
            self._recall(next(iter(self._out)))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            scout = socket.socket(family, socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0))
        except OSError:
            return  # out of descriptors: the dial says so in words
        scout.settimeout(0)
        try:
            code = scout.connect_ex((address, port))
        except OSError:  # the zone of a link-local address names an interface that is gone
            code = errno.ENETUNREACH
        if code not in _IN_PROGRESS:
            scout.close()
            self._loop.call_soon(self._tell, address, code, 0.0)
            return
        fd = scout.fileno()
        self._out[fd] = (
            scout,
            address,
            time.monotonic(),
            self._loop.call_later(timeout_s, self._give_up, fd),
        )
        self._loop.add_writer(fd, self._back, fd)

    def _back(self, fd: int) -> None:
        if fd not in self._out:
            return
        scout, address, sent_at, _ = self._out[fd]
        code = scout.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._recall(fd)
        self._tell(address, code, time.monotonic() - sent_at)

    def _tell(self, address: str, code: int, took_s: float) -> None:
        self._found(address, Scouted(_meaning(code), took_s))

    def _give_up(self, fd: int) -> None:
        if fd in self._out:
            address = self._out[fd][1]
            self._recall(fd)
            self._found(address, Scouted(Scouting.SILENT))

    def _recall(self, fd: int) -> None:
        scout, _, _, timer = self._out.pop(fd)
        timer.cancel()
        self._loop.remove_writer(fd)
        scout.close()

    def call_off(self) -> None:
        """Close every scout under way."""
        for fd in list(self._out):
            self._recall(fd)
