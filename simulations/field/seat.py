"""One client's place in the race: a lab, an image and the client's process, nobody else's.

Clients measured at the same time share nothing but the machine. In one network they would help each other:
they would teach one another's kernel the ARP entry it waits for, and queue at the same single-threaded image.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from resilience.demo.namespaces import Lab, Place
from simulations.field.score import recovered_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulations.field.score import Line

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0  # an interpreter with its imports needs 1 s here; several start at once on few cores
POLL_S = 0.0005  # how tightly the return of the image's port is seen
COMPLAINT_CHARS = 2000

IMAGE = (sys.executable, "-m", "resilience.standin", "--bind", "tcp://0.0.0.0:5555")


def _peer(module: str) -> Callable[[str, Path], list[str]]:
    return lambda endpoint, _: [sys.executable, "-m", f"simulations.field.{module}", endpoint]


def _ours(endpoint: str, directory: Path) -> list[str]:
    watch = [sys.executable, "-m", "resilience", "watch", endpoint, "--probe", "20", "--json"]
    return [*watch, "--data-dir", str(directory / "data")]


def counting(endpoint: str, directory: Path) -> list[str]:
    """The client that increments the image's counter; not raced, but watched by the tests."""
    return [sys.executable, "-m", "simulations.field.counter", endpoint, str(directory / "data")]


CLIENTS: dict[str, Callable[[str, Path], list[str]]] = {
    "resilience": _ours,
    "tcp_floor": _peer("tcp_floor"),
    "dealer_tuned": _peer("dealer_tuned"),
    "lazy_pirate": _peer("lazy_pirate"),
    "pyzmq_req": _peer("pyzmq_req"),
}


class SeatError(RuntimeError):
    """A program of the race did not do its part.

    Attributes:
        program: Which one.
        complaint: The end of what it wrote on stderr.
    """

    def __init__(self, program: str, what: str, complaint: str) -> None:
        self.program = program
        self.complaint = complaint
        said = f"; it said:\n{complaint}" if complaint else " and said nothing"
        super().__init__(f"{program} {what}{said}")


class Printed:
    """The JSON lines a process writes to a file, read as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.lines: list[Line] = []

    def read(self) -> list[Line]:
        """Take in what was added since the last call, whole lines only, and give everything so far."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.lines.extend(json.loads(line) for line in whole.splitlines())
        return self.lines


class ImageProcess:
    """The image's process; it keeps its state file and its log over a restart."""

    def __init__(self, lab: Lab, directory: Path, argv: Sequence[str]) -> None:
        self._lab = lab
        self._argv = argv
        self._complaints = directory / "image.err"
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> float:
        self._process = launch(self._lab, Place.IMAGE, self._argv, None, self._complaints)
        deadline = time.monotonic() + START_S
        while (bound := self._lab.listening()) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SeatError("the image", "did not bind its port", tail(self._complaints))
            time.sleep(POLL_S)
        return bound

    def kill(self) -> float:
        if self._process is None:
            raise SeatError("the image", "is not running", "")
        killed = time.monotonic()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        return killed


class Seat:
    """A context manager: lab built, image up, client started; everything ended on leaving."""

    def __init__(self, client: str, image: Sequence[str] = IMAGE) -> None:
        self.client = client
        self._image_argv = image
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._directory = Path(stack.enter_context(TemporaryDirectory(prefix="resilience-field-")))
            self.lab = stack.enter_context(Lab())
            self._log = self._directory / "executed.jsonl"
            files = ("--state", str(self._directory / "image.json"), "--log", str(self._log))
            self.image = ImageProcess(self.lab, self._directory, (*self._image_argv, *files))
            self.image.start()
            output, self._complaints = self._directory / "client.jsonl", self._directory / "client.err"
            argv = CLIENTS[self.client](self.lab.endpoint(), self._directory)
            self._process = launch(self.lab, Place.CLIENT, argv, output, self._complaints)
            self._printed = Printed(output)
            self._looked = 0
            self._recovered = False
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def started(self) -> bool:
        """Tell whether the client was answered at all yet.

        Raises:
            SeatError: It ended instead.
        """
        if last_words := self.died():
            raise SeatError(self.client, "ended by itself", last_words)
        return recovered_at(self._printed.read(), 0.0) is not None

    def recovered(self, path_back: float) -> bool:
        """Tell whether a request issued since ``path_back`` was answered; ask with one instant only."""
        lines = self._printed.read()
        # Only what is new is looked at: scanning ten thousand lines again and again would disturb the race.
        fresh, self._looked = lines[self._looked :], len(lines)
        self._recovered = self._recovered or recovered_at(fresh, path_back) is not None
        return self._recovered

    def died(self) -> str:
        """Give the last words of a client that ended by itself, nothing for one that still runs."""
        if self._process.poll() is None:
            return ""
        return tail(self._complaints) or f"ended with {self._process.returncode}, saying nothing"

    def printed(self) -> list[Line]:
        return self._printed.read()

    def executed(self) -> list[Line]:
        return Printed(self._log).read() if self._log.exists() else []


def launch(
    lab: Lab, place: Place, argv: Sequence[str], output: Path | None, complaints: Path
) -> subprocess.Popen[Any]:
    """Start a program of this checkout in the lab, its output to files: a full pipe would stall it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (output or Path(os.devnull)).open("wb") as out, complaints.open("ab") as err:
        return lab.run_in(
            place, argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=ROOT
        )


def tail(path: Path) -> str:
    return path.read_text(errors="replace")[-COMPLAINT_CHARS:].strip() if path.exists() else ""
