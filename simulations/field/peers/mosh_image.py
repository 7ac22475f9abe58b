"""The image's part for mosh: what ssh does for it, starting a server for whoever comes.

`mosh` logs in by ssh, runs mosh-server there, and is told a UDP port and a key. Here a bare TCP connection
brings the same line; a program inside mosh-server then answers what is typed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from simulations.field.peers.serving import Place, place

UDP_PORTS = "60001:60999"  # mosh's own
WORDS = ("MOSH", "CONNECT")
LOCALE = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}  # mosh refuses to start without UTF-8


def serve(where: Place) -> None:
    """Start a mosh-server for each visitor, until killed."""
    # mosh-server leaves its parent at once, so it is not ended with this program: nothing is ever written
    # to the pipe, but it ends when this program does, and the program inside looks at it.
    leash, _held = os.pipe()
    with socket.create_server((where.host, where.port)) as listener:
        while True:
            visitor, _ = listener.accept()
            with visitor:
                visitor.sendall(started(where, leash))


def started(where: Place, leash: int) -> bytes:
    """Start a mosh-server and give its line for the client: MOSH CONNECT port key.

    Raises:
        CalledProcessError: It would not start.
    """
    inside = [sys.executable, "-m", "simulations.field.peers.mosh_inside", str(where.log), str(leash)]
    done = subprocess.run(
        ["mosh-server", "new", "-i", where.host, "-p", UDP_PORTS, "--", *inside],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, **LOCALE},
        pass_fds=[leash],
        check=True,
    )
    lines = done.stdout.decode().splitlines()
    return next(line for line in lines if line.split()[:2] == list(WORDS)).encode() + b"\n"


if __name__ == "__main__":
    serve(place())
