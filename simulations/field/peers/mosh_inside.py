"""The program inside mosh-server: it executes every number typed and shows the last one as window title.

The title, because mosh draws only what has changed on the screen, but sends a title whole. When several
numbers came at once only the last is seen; mosh delivers in order, so it stands for those before it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from pathlib import Path

from simulations.field.peers.serving import Executions

TITLE = b"\x1b]0;%b\x07"
READ_BYTES = 65536


def main() -> None:
    """Execute until the server's end; end the server with the program that had it started."""
    executions, leash = Executions(Path(sys.argv[1])), int(sys.argv[2])
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    tty.setraw(keyboard, termios.TCSANOW)  # the default throws away what was typed already
    typed = b""
    while True:
        ready, _, _ = select.select([keyboard, leash], [], [])
        if leash in ready:
            os.kill(os.getppid(), signal.SIGKILL)
            return
        typed += os.read(keyboard, READ_BYTES)
        *numbers, typed = typed.split(b"\n")
        for number in numbers:
            executions.note(number.decode())
        if numbers:
            os.write(screen, TITLE % numbers[-1])


if __name__ == "__main__":
    main()
