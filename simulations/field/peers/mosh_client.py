"""mosh as it is: the real client on a terminal; what is asked is typed, and answered on the screen.

Each request is a number and a newline. mosh forgets nothing that was typed, so after an outage the server
executes what was given up long ago; that is what it promises, and it is counted as for everybody.
"""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import sys
import termios
import time
from urllib.parse import urlsplit

from simulations.field.peers.asking import EXPIRY_S
from simulations.field.peers.mosh_image import LOCALE
from simulations.field.probe import Metronome, Probe, endpoint

SHOWN = re.compile(rb"\x1b\]0;(?:\[mosh\] )?(\d+)\x07")
UNFINISHED_BYTES = 64  # a title longer than this is none of ours
LINES_AND_COLUMNS = (24, 80)
READ_BYTES = 65536
ENVIRONMENT = {
    "TERM": "xterm-256color",  # one of those mosh gives a title
    "MOSH_PREDICTION_DISPLAY": "never",  # echo guessed by the client is no answer
    **LOCALE,
}


class Screen:
    """Finds, in what a terminal is sent, the highest number shown so far."""

    def __init__(self) -> None:
        self._rest = b""
        self.highest = 0

    def sent(self, data: bytes) -> None:
        """Take in more of it; a title may come in pieces."""
        data = self._rest + data
        self.highest = max([self.highest, *map(int, SHOWN.findall(data))])
        self._rest = data[-UNFINISHED_BYTES:]


class Session:
    """A mosh-client on its terminal, and the numbers typed into it that were not yet shown."""

    def __init__(self, host: str, port: str, key: str) -> None:
        process, self._terminal = pty.fork()
        if not process:
            environment = {**os.environ, **ENVIRONMENT, "MOSH_KEY": key}
            os.execvpe("mosh-client", ["mosh-client", host, port], environment)  # noqa: S606 - it, and no shell
        termios.tcsetwinsize(self._terminal, LINES_AND_COLUMNS)
        self._screen = Screen()
        self._typed = 0
        self._waiting: dict[int, Probe] = {}

    def ask(self) -> None:
        """Type the next number."""
        self._typed += 1
        self._waiting[self._typed] = probe = Probe(id=str(self._typed))
        os.write(self._terminal, probe.id.encode() + b"\n")

    def collect(self, wait_s: float) -> None:
        """Read what is shown by then; give up what has waited for too long."""
        if select.select([self._terminal], [], [], wait_s)[0]:
            try:
                self._screen.sent(os.read(self._terminal, READ_BYTES))
            except OSError:  # EIO: nobody has the terminal open any more
                sys.exit("mosh-client has ended")
        now = time.monotonic()
        for number, probe in list(self._waiting.items()):
            if number <= self._screen.highest:
                probe.answered()
            elif now - probe.t0 >= EXPIRY_S:
                probe.gave_up("expired")
            else:
                break
            del self._waiting[number]


def invited(host: str, port: int) -> list[str]:
    """Give the UDP port and the key, as ssh brings them."""
    with socket.create_connection((host, port)) as connection, connection.makefile() as answer:
        return answer.readline().split()[2:4]


def main() -> None:
    """Ask until terminated."""
    where = urlsplit(endpoint())
    host = str(where.hostname)
    session = Session(host, *invited(host, int(where.port or 0)))
    beat = Metronome()
    while True:
        if beat.due_in_s() == 0:
            beat.advance()
            session.ask()
        session.collect(beat.due_in_s())


if __name__ == "__main__":
    main()
