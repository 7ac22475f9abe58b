"""What the servers of other stacks share: the stand-in image's options, its log, and a broker beside them."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

EVERYWHERE = "tcp://0.0.0.0:5555"
LOOK_S = 0.001  # for a broker to listen: what is asked of it before there is a responder is lost


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and where to note what was executed."""

    host: str
    port: int
    log: Path


def place(arguments: list[str] | None = None) -> Place:
    """Read the command line, which is the stand-in image's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind", default=EVERYWHERE)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--state", type=Path, help="taken for the image's sake: these servers keep nothing")
    options = parser.parse_args(arguments)
    where = urlsplit(options.bind)
    return Place(str(where.hostname), int(where.port or 0), options.log.absolute())


class Executions:
    """Writes down every request in the moment it is executed."""

    def __init__(self, log: Path) -> None:
        # Written without a buffer and never closed: these programs are killed, and leave whole lines.
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, name: str) -> None:
        """Count one execution of the request with this id."""
        os.write(self._log, json.dumps({"t": time.monotonic(), "id": name}).encode() + b"\n")


def broker(port: int, *argv: str) -> subprocess.Popen[bytes]:
    """Start a broker that the kernel ends with this program, however it ends; return when it listens.

    It must not change its user: that would make the kernel forget.

    Raises:
        SystemExit: It ended instead.
    """
    server = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if server.poll() is not None:
                raise SystemExit(server.returncode or 1) from None
            time.sleep(LOOK_S)
        else:
            return server
