"""Plain pyzmq as first written: one REQ socket, a receive timeout of 0.5 s, and the socket kept for good.

After a timeout REQ allows nothing but receiving, so the program goes on waiting for that one reply.
"""

from __future__ import annotations

import zmq

from simulations.field.probe import Metronome, Probe, endpoint

RECEIVE_TIMEOUT_MS = 500


def main() -> None:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.RCVTIMEO, RECEIVE_TIMEOUT_MS)
    socket.connect(endpoint())
    beat = Metronome()
    while True:
        beat.wait()
        probe = Probe()
        socket.send(probe.message())
        if received(socket):
            probe.answered()
            continue
        probe.gave_up("receive timeout")
        while not received(socket):
            pass


def received(socket: zmq.Socket[bytes]) -> bool:
    try:
        socket.recv()
    except zmq.Again:
        return False
    return True


if __name__ == "__main__":
    main()
