"""The floor: a fresh bare TCP connect every 5 ms; nothing over TCP can be back sooner.

Each connect is given up after 250 ms, when fifty younger ones are under way, and reset rather than
closed, so that thousands of them leave no TIME_WAIT behind.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from urllib.parse import urlsplit

from simulations.field.probe import Metronome, Probe, endpoint

EVERY_S = 0.005
LIFETIME_S = 0.25
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Floor:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._poll = select.epoll()
        self._pending: dict[int, tuple[Probe, socket.socket]] = {}  # in order of age

    def dial(self) -> None:
        probe = Probe()
        dial = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        dial.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        code = dial.connect_ex(self._target)
        if code not in {0, errno.EINPROGRESS}:
            dial.close()
            probe.gave_up(os.strerror(code))
            return
        self._pending[dial.fileno()] = (probe, dial)
        self._poll.register(dial, select.EPOLLOUT)

    def collect(self, wait_s: float) -> None:
        for descriptor, _ in self._poll.poll(wait_s):
            probe, dial = self._pending.pop(descriptor)
            code = dial.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                probe.gave_up(os.strerror(code))
            else:
                probe.answered()
            dial.close()
        now = time.monotonic()
        for descriptor, (probe, dial) in list(self._pending.items()):
            if now - probe.t0 < LIFETIME_S:
                break
            del self._pending[descriptor]
            dial.close()
            probe.gave_up("no answer to SYN")


def main() -> None:
    where = urlsplit(endpoint())
    floor = Floor(str(where.hostname), int(where.port or 0))
    beat = Metronome(EVERY_S)
    while True:
        if beat.due_in_s() == 0:
            beat.advance()
            floor.dial()
        floor.collect(beat.due_in_s())


if __name__ == "__main__":
    main()
