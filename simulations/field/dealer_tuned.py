"""The best that options alone can do: one DEALER with every timer tuned, and requests matched by id.

Requests are neither queued while there is no connection (IMMEDIATE) nor waited for one after another.
"""

from __future__ import annotations

import math
import time

import zmq

from simulations.field.probe import Metronome, Probe, endpoint

EXPIRY_S = 1.0
TUNING = {
    zmq.HEARTBEAT_IVL: 250,
    zmq.HEARTBEAT_TIMEOUT: 750,
    zmq.CONNECT_TIMEOUT: 500,
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 500,
    zmq.IMMEDIATE: 1,
    zmq.LINGER: 0,
}


class Dealer:
    def __init__(self) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        for option, value in TUNING.items():
            self._socket.setsockopt(option, value)
        self._socket.connect(endpoint())
        self._pending: dict[bytes, Probe] = {}  # in order of age

    def ask(self) -> None:
        probe = Probe()
        try:
            self._socket.send_multipart([probe.id.encode(), b"", probe.message()], zmq.NOBLOCK)
        except zmq.Again:
            probe.gave_up("not connected")
        else:
            self._pending[probe.id.encode()] = probe

    def collect(self, wait_s: float) -> None:
        if self._socket.poll(math.ceil(wait_s * 1000)):
            probe = self._pending.pop(self._socket.recv_multipart()[0], None)
            if probe:
                probe.answered()
        now = time.monotonic()
        for name, probe in list(self._pending.items()):
            if now - probe.t0 < EXPIRY_S:
                break
            del self._pending[name]
            probe.gave_up("expired")


def main() -> None:
    dealer = Dealer()
    beat = Metronome()
    while True:
        if beat.due_in_s() == 0:
            beat.advance()
            dealer.ask()
        dealer.collect(beat.due_in_s())


if __name__ == "__main__":
    main()
