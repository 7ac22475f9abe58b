"""Pictures of the terminal for the documentation: what a command really printed, as SVG."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH, HEIGHT = 100, 60


def record(argv: list[str], picture: Path, title: str) -> int:
    """Run `argv` on a terminal of its own and write what it showed; returns its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(WIDTH)}
    child = subprocess.Popen(argv, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal whose last writer has gone answers EIO
        while part := os.read(ours, 65_536):
            shown += part
    os.close(ours)
    code = child.wait()
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - a sink
    console.print(Text.from_ansi(shown.decode("utf-8", "replace").replace("\r\n", "\n")))
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(console.export_svg(title=title), encoding="utf-8")
    return code
