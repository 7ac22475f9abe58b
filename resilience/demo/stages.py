"""Where the demo plays: real interfaces in network namespaces, or a relay on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from resilience.demo.namespaces import Lab, Place
from resilience.demo.relay import DROP, PASS, RESET, Relay

READY_S = 10.0
_PORT = 5555


class Stage(Protocol):
    """A network that can be broken, with a stand-in image at its far end."""

    title: str
    endpoint: str

    async def __aenter__(self) -> Self:
        """Build it and start the image."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Leave nothing running."""
        ...

    def client(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start a program where the client lives."""
        ...

    async def flap(self) -> float:
        """Take the path away for about a second; returns when it was back."""
        ...

    async def roam(self) -> float | None:
        """Move the client to another network; None if this stage has only one."""
        ...

    async def drop(self, seconds: float) -> float:
        """Discard everything without a word; returns when the path was back."""
        ...

    async def restart_image(self) -> float:
        """Kill the image and start it again; returns when it listened."""
        ...


class _WithImage:
    """Starts, kills and restarts the stand-in image, whose memory is in a file."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "image.json"
        self._image: subprocess.Popen[str] | None = None

    def _image_argv(self, bind: str) -> list[str]:
        return [sys.executable, "-m", "resilience.standin", "--bind", bind, "--state", str(self._state)]

    def _kill_image(self) -> None:
        if self._image is not None:
            self._image.kill()
            self._image.wait()
            if self._image.stdout is not None:
                self._image.stdout.close()
            self._image = None

    async def _await_ready(self, image: subprocess.Popen[str]) -> str:
        """Its ready line; whatever else it says instead is its complaint."""
        self._image = image
        if image.stdout is None:
            raise RuntimeError("the image was started without a pipe to read from")
        line = await asyncio.wait_for(asyncio.to_thread(image.stdout.readline), READY_S)
        if not line.startswith("ready "):
            raise RuntimeError(f"the stand-in image did not start: {line.strip() or 'it said nothing'}")
        return line.split()[1]


_PIPES: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}


class LabStage(_WithImage):
    """Client, router and image in network namespaces of their own."""

    title = "real interfaces in three network namespaces: client, router, image"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._lab = Lab()
        self.endpoint = self._lab.endpoint(_PORT)

    async def __aenter__(self) -> Self:
        self._lab.__enter__()
        try:
            await self._start_image()
        except BaseException:
            self._lab.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._kill_image()
        self._lab.close()

    async def _start_image(self) -> None:
        argv = self._image_argv(f"tcp://0.0.0.0:{_PORT}")
        await self._await_ready(self._lab.run_in(Place.IMAGE, argv, **_PIPES))

    def client(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        return self._lab.run_in(Place.CLIENT, argv, **_PIPES)

    async def flap(self) -> float:
        self._lab.link_down()
        await asyncio.sleep(1.0)
        return self._lab.link_up().done

    async def roam(self) -> float | None:
        self._lab.roam_away()
        await asyncio.sleep(0.3)
        return self._lab.roam_arrive().done

    async def drop(self, seconds: float) -> float:
        self._lab.drop()
        await asyncio.sleep(seconds)
        return self._lab.undrop().done

    async def restart_image(self) -> float:
        self._kill_image()
        await asyncio.sleep(1.0)
        await self._start_image()
        return time.monotonic()


class RelayStage(_WithImage):
    """Everything on loopback, through a relay that can break."""

    title = "loopback, through a relay that can break (as root on Linux: real interfaces)"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bind = "tcp://127.0.0.1:0"
        self._relay: Relay | None = None
        self._clients: list[subprocess.Popen[str]] = []
        self.endpoint = ""

    async def __aenter__(self) -> Self:
        await self._start_image()
        self._relay = Relay(self._bind)
        self.endpoint = await self._relay.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.kill()
            client.wait()
        if self._relay is not None:
            await self._relay.stop()
        self._kill_image()

    async def _start_image(self) -> None:
        argv = self._image_argv(self._bind)
        image = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603, ASYNC220 - our own program; quick
        self._bind = await self._await_ready(image)

    def client(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        client = subprocess.Popen(list(argv), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603 - our own program
        self._clients.append(client)
        return client

    async def flap(self) -> float:
        return await self._break(RESET, 1.0)

    async def roam(self) -> float | None:
        return None

    async def drop(self, seconds: float) -> float:
        return await self._break(DROP, seconds)

    async def _break(self, fault: object, seconds: float) -> float:
        if self._relay is None:
            raise RuntimeError("the stage is not built")
        self._relay.set(fault)  # type: ignore[arg-type]  # one of the relay's own two
        await asyncio.sleep(seconds)
        self._relay.set(PASS)
        return time.monotonic()

    async def restart_image(self) -> float:
        self._kill_image()
        await asyncio.sleep(1.0)
        await self._start_image()
        return time.monotonic()


def choose(folder: Path, *, loopback: bool) -> Stage:
    """Real interfaces where this machine and user can have them."""
    with contextlib.suppress(OSError):
        if not loopback and Lab.missing() is None:
            return LabStage(folder)
    return RelayStage(folder)
