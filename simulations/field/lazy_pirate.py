"""The ZeroMQ guide's Lazy Pirate: REQ, 2.5 s per try, three tries, a new socket for each.

A retry is the same request, id and all, on a new connection; the image may see it more than once.
"""

from __future__ import annotations

import zmq

from simulations.field.probe import Metronome, Probe, endpoint

TRY_MS = 2500
TRIES = 3


def main() -> None:
    socket = dialled()
    beat = Metronome()
    while True:
        beat.wait()
        probe = Probe()
        for _ in range(TRIES):
            socket.send(probe.message())
            if socket.poll(TRY_MS):
                socket.recv()
                probe.answered()
                break
            socket.close(linger=0)
            socket = dialled()
        else:
            probe.gave_up("no answer to three tries")


def dialled() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    socket.connect(endpoint())
    return socket


if __name__ == "__main__":
    main()
