"""The programs of a lab: how they are started, what they print, and what may happen to an image's process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resilience.demo.namespaces import Moment, Place
from simulations.field.lab import FIRST_PORT, FieldLab

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulations.field.score import Line
    from simulations.hostile import Kind

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0  # an interpreter with its imports needs 1 s here; dozens start at once on few cores
POLL_S = 0.0005  # how tightly the return of the image's port is seen
LOOK_S = 0.01  # ... and of what says itself when it was
COMPLAINT_CHARS = 2000

IMAGE = (sys.executable, "-m", "resilience.standin", "--bind", f"tcp://0.0.0.0:{FIRST_PORT}")


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
    """The JSON lines a program writes to a file, or to several one after the other, read as they come."""

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

    def follow(self, path: Path) -> None:
        """Go on with this file; what the last one ended with, if not a line, was cut short and is nothing."""
        self.read()
        self._path, self._offset = path, 0


class ImageProcess:
    """What listens on an image's port; the image keeps its state file and its log over a restart."""

    def __init__(self, lab: FieldLab, directory: Path, argv: Sequence[str], number: int = 0) -> None:
        self._lab = lab
        self._number = number
        self._port = FIRST_PORT + number
        self._directory = directory
        log = directory / f"executed{number}.jsonl"
        bind = ("--bind", f"tcp://0.0.0.0:{self._port}") if number else ()
        self._argv = (*argv, *bind, "--state", str(directory / f"image{number}.json"), "--log", str(log))
        self._log = log
        self._complaints = directory / f"image{number}.err"
        self._process: subprocess.Popen[Any] | None = None

    @property
    def running(self) -> bool:
        """Whether anything listens there because of us."""
        return self._process is not None

    def start(self) -> Moment:
        """Start it; done when its port was bound."""
        return self._listen(self._argv)

    def kill(self) -> Moment:
        """End it at once.

        Raises:
            SeatError: It does not run.
        """
        if self._process is None:
            raise SeatError("the image", "is not running", "")
        process, self._process = self._process, None
        killed = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()
        return Moment(killed, time.monotonic())

    def freeze(self) -> Moment:
        """Stop the process; its kernel goes on."""
        return self._signal(signal.SIGSTOP)

    def thaw(self) -> Moment:
        """Let it go on, if it still is there."""
        return self._signal(signal.SIGCONT)

    def squat(self, kind: Kind) -> Moment:
        """Have a hostile program take its port."""
        bind = ("--bind", f"tcp://0.0.0.0:{self._port}")
        return self._instead((sys.executable, "-m", "simulations.hostile", kind, *bind))

    def back(self) -> Moment:
        """Have the image listen again, whoever took its port."""
        return self._instead(self._argv)

    def busy(self, for_s: float) -> Moment:
        """Have somebody else evaluate something long; done when it has begun."""
        return self._evaluated(f"(Delay forMilliseconds: {round(for_s * 1000)}) wait")

    def save(self) -> Moment:
        """Have somebody else save it; done when its sockets, closed for that, are open again."""
        began = self._evaluated("Smalltalk snapshot").began

        def closed() -> float | None:
            return time.monotonic() if self._lab.listening(self._port) is None else None

        self._until(closed, "did not close its port to save", LOOK_S)
        return Moment(began, self._bound())

    def executed(self) -> list[Line]:
        """Everything it has ever carried out."""
        return Printed(self._log).read() if self._log.exists() else []

    def _instead(self, argv: Sequence[str]) -> Moment:
        began = self.kill().began if self._process else time.monotonic()
        return Moment(began, self._listen(argv).done)

    def _listen(self, argv: Sequence[str]) -> Moment:
        if self._process is not None:
            raise SeatError("the image", "is running already", "")
        began = time.monotonic()
        self._process = launch(self._lab, Place.IMAGE, argv, None, self._complaints)
        return Moment(began, self._bound())

    def _bound(self) -> float:
        """When its port was seen bound."""
        return self._until(lambda: self._lab.listening(self._port), "did not bind its port", POLL_S)

    def _evaluated(self, code: str) -> Moment:
        """Evaluate from the router, which no fault separates from the image, and wait until it is begun."""
        log = Printed(self._log)
        known = len(log.read())
        endpoint, data = f"tcp://{self._lab.image_address}:{self._port}", self._directory / "router"
        argv = [sys.executable, "-m", "resilience", "eval", endpoint, code, "--data-dir", str(data)]
        launch(self._lab, Place.ROUTER, argv, None, self._complaints)

        def begun() -> float | None:
            return next((line["t"] for line in log.read()[known:] if line["code"] == code), None)

        began = self._until(begun, f"was not reached to evaluate {code}", LOOK_S)
        return Moment(began, began)

    def _until(self, seen: Callable[[], float | None], complaint: str, look_s: float) -> float:
        deadline = time.monotonic() + START_S
        while (found := seen()) is None:
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise SeatError("the image", complaint, tail(self._complaints))
            time.sleep(look_s)
        return found

    def _signal(self, number: signal.Signals) -> Moment:
        began = time.monotonic()
        if self._process is not None:
            self._process.send_signal(number)
        return Moment(began, time.monotonic())


def launch(
    lab: FieldLab, place: Place, argv: Sequence[str], output: Path | None, complaints: Path
) -> subprocess.Popen[Any]:
    """Start a program of this checkout in the lab, its output to files: a full pipe would stall it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (output or Path(os.devnull)).open("wb") as out, complaints.open("ab") as err:
        return lab.run_in(
            place, argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=ROOT
        )


def tail(path: Path) -> str:
    return path.read_text(errors="replace")[-COMPLAINT_CHARS:].strip() if path.exists() else ""
