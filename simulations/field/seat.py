"""One client's place in the race: a lab, its images and the client's process, nobody else's.

Clients measured at the same time share nothing but the machine. In one network they would help each other:
they would teach one another's kernel the ARP entry it waits for, and queue at the same single-threaded image.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from resilience.demo.namespaces import Moment, Place
from simulations.field.lab import FIRST_PORT, PORTAL_PORT, FieldLab
from simulations.field.peers import PEERS
from simulations.field.programs import IMAGE, ROOT, START_S, ImageProcess, Printed, SeatError, launch, tail
from simulations.field.score import recovered_at
from simulations.hostile import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulations.field.score import Line

__all__ = ["CLIENTS", "IMAGE", "ROOT", "START_S", "Seat", "SeatError"]

CLOSE_S = 10.0  # a client that is told to end saves what it has; the disk is waited for 5 s
LOOK_S = 0.01


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
    **{name: _peer(f"peers.{peer.client}") for name, peer in PEERS.items()},
}

SERVERS = {
    name: (sys.executable, "-m", f"simulations.field.peers.{peer.image}") for name, peer in PEERS.items()
}
"""What plays the image's part for clients that speak something else."""


class Seat:
    """A context manager: lab built, images up, client started; everything ended on leaving."""

    def __init__(
        self, client: str, image: Sequence[str] = IMAGE, *, images: int = 1, named: bool = False
    ) -> None:
        self.client = client
        self._image_argv = SERVERS.get(client, image)
        self._count = images
        self._named = named
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._directory = Path(stack.enter_context(TemporaryDirectory(prefix="resilience-field-")))
            self.lab = stack.enter_context(FieldLab(self._directory / "etc" if self._named else None))
            self.images = [
                ImageProcess(self.lab, self._directory, self._image_argv, number)
                for number in range(self._count)
            ]
            for image in self.images:
                image.start()
            endpoints = [self.lab.endpoint(FIRST_PORT + number) for number in range(self._count)]
            self._argv = [*CLIENTS[self.client](endpoints[0], self._directory), *endpoints[1:]]
            self._names = {endpoint.removeprefix("tcp://") for endpoint in endpoints}
            self._waiting = set(self._names)
            self._looked = 0
            self._starts = 0
            self._portal = False
            self._complaints = self._directory / "client.err"
            self.start_client()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- the client ------------------------------------------------------------------------------------------

    def start_client(self) -> Moment:
        """Start it, or start it again, with the same data."""
        self._starts += 1
        output = self._directory / f"client{self._starts}.jsonl"
        began = time.monotonic()
        self._process = launch(self.lab, Place.CLIENT, self._argv, output, self._complaints)
        self._ended = False
        if self._starts == 1:
            self._printed = Printed(output)
        else:
            self._printed.follow(output)
        return Moment(began, time.monotonic())

    def kill_client(self) -> Moment:
        """End it at once, as `kill -9` does."""
        return self._end_client(signal.SIGKILL)

    def close_client(self) -> Moment:
        """Have it end in good order."""
        return self._end_client(signal.SIGTERM)

    def hold_client(self) -> Moment:
        """Stop the process; its kernel goes on."""
        return self._signal_client(signal.SIGSTOP)

    def release_client(self) -> Moment:
        """Let it go on, if it still is there."""
        return self._signal_client(signal.SIGCONT)

    def _end_client(self, number: signal.Signals) -> Moment:
        self._ended = True
        began = self._signal_client(number).began
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired as late:
            raise SeatError(
                self.client, f"did not end within {CLOSE_S:g} s", tail(self._complaints)
            ) from late
        return Moment(began, time.monotonic())

    def _signal_client(self, number: signal.Signals) -> Moment:
        began = time.monotonic()
        self._process.send_signal(number)
        return Moment(began, time.monotonic())

    def open_portal(self) -> Moment:
        """Have a captive portal answer whatever the client dials; `lab.portal_off` ends it."""
        if not self._portal:
            argv = [sys.executable, "-m", "simulations.hostile", Kind.WRONG_PROTOCOL]
            argv += ["--bind", f"tcp://0.0.0.0:{PORTAL_PORT}"]
            complaints = self._directory / "portal.err"
            process = launch(self.lab, Place.ROUTER, argv, None, complaints)
            while self.lab.listening(PORTAL_PORT, Place.ROUTER) is None:
                if process.poll() is not None:
                    raise SeatError("the portal", "did not bind its port", tail(complaints))
                time.sleep(LOOK_S)
            self._portal = True
        return self.lab.portal_on()

    def crash_host(self) -> Moment:
        """Have the images' machine lose power: nobody answers any more, and nobody says goodbye."""
        off = self.lab.host_off()
        for image in self.images:
            if image.running:
                image.kill()
        return Moment(off.began, time.monotonic())

    def boot_host(self) -> Moment:
        """Have it back, with its images."""
        began = self.lab.host_on().began
        return Moment(began, [image.start() for image in self.images][-1].done)

    # -- looking ---------------------------------------------------------------------------------------------

    def started(self) -> bool:
        """Tell whether the client was answered at all yet, by every image.

        Raises:
            SeatError: It ended instead.
        """
        if last_words := self.died():
            raise SeatError(self.client, "ended by itself", last_words)
        return all(recovered_at(lines, 0.0) is not None for lines in self.by_image(self._printed.read()))

    def recovered(self, path_back: float) -> bool:
        """Tell whether each image answered a request issued since ``path_back``; ask with one value only."""
        lines = self._printed.read()
        # Only what is new is looked at: scanning ten thousand lines again and again would disturb the race.
        fresh, self._looked = lines[self._looked :], len(lines)
        for name in sorted(self._waiting):
            if recovered_at(self._of(name, fresh), path_back) is not None:
                self._waiting.discard(name)
        return not self._waiting

    def by_image(self, lines: list[Line]) -> list[list[Line]]:
        """Sort a client's lines by the image they are about."""
        return [self._of(name, lines) for name in sorted(self._names)]

    def _of(self, name: str, lines: list[Line]) -> list[Line]:
        return lines if self._count == 1 else [line for line in lines if line.get("image") == name]

    def died(self) -> str:
        """Give the last words of a client that ended by itself, nothing for one that still runs."""
        if self._ended or self._process.poll() is None:
            return ""
        return tail(self._complaints) or f"ended with {self._process.returncode}, saying nothing"

    def printed(self) -> list[Line]:
        """Everything the client has printed so far."""
        return self._printed.read()

    def executed(self) -> list[Line]:
        """Everything the images have carried out so far."""
        return [line for image in self.images for line in image.executed()]
