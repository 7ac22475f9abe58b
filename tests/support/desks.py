"""Supervisors for tests of sessions: a machine with a keyring and a disk of the test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from resilience import Image, State, Supervisor
from resilience.host import OwnHost
from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, ImageServer, running
from store.disk import Disk, RealDisk
from store.keys import Protection, Vault, VaultLocked
from vaults import MemoryVault

GENEROUS_S = 10.0


class DeskHost(OwnHost):
    """This machine, with another keyring and perhaps another disk."""

    def __init__(self, loop: asyncio.AbstractEventLoop, vault: Vault, disk: Disk | None) -> None:
        super().__init__(loop)
        self._own_vault = vault
        self._disk = disk

    @property
    def vault(self) -> Vault:
        return self._own_vault

    @property
    def disk(self) -> Disk | None:
        return self._disk


class LockedVault(MemoryVault):
    """A keyring that is locked until the test opens it."""

    locked = True

    def get(self, name: str) -> str | None:
        if self.locked:
            raise VaultLocked("it is locked")
        return super().get(name)


class HangingVault(MemoryVault):
    """A keyring that shows a prompt nobody answers, until the test does."""

    def __init__(self, entries: dict[str, str] | None = None) -> None:
        super().__init__(entries)
        self.answered = threading.Event()

    def get(self, name: str) -> str | None:
        self.answered.wait(30.0)
        return super().get(name)


class RefusingDisk(RealDisk):
    """Refuses to write sessions while `fails`; the journal goes on."""

    def __init__(self) -> None:
        self.fails = False
        self._sessions: set[int] = set()

    def create(self, path: Path) -> int:
        if self.fails and path.parent.name == "sessions":
            raise OSError(28, "No space left on device", str(path))
        handle = super().create(path)
        if path.parent.name == "sessions":
            self._sessions.add(handle)
        else:
            self._sessions.discard(handle)
        return handle

    def write(self, handle: int, data: bytes | memoryview) -> int:
        if self.fails and handle in self._sessions:
            raise OSError(28, "No space left on device")
        return super().write(handle, data)


@contextmanager
def standin(endpoint: str = "tcp://127.0.0.1:0", image: Standin | None = None) -> Iterator[str]:
    """An image in a thread of this process; gives its endpoint."""
    bell = Bell()
    with running(ImageServer(image or Standin(wait=bell.wait), endpoint, bell)) as bound:
        yield bound


@asynccontextmanager
async def desk(
    data_dir: Path,
    *,
    vault: Vault | None = None,
    disk: Disk | None = None,
    notices: list[str] | None = None,
    protection: Protection | None = None,
    passphrase: str | None = None,
) -> AsyncIterator[Supervisor]:
    """A supervisor on a machine whose keyring works, unless another is given."""
    heard: list[str] = [] if notices is None else notices
    keyring = vault or MemoryVault()
    async with Supervisor(
        data_dir,
        on_notice=heard.append,
        protection=protection,
        passphrase=passphrase,
        host=lambda loop: DeskHost(loop, keyring, disk),
    ) as supervisor:
        yield supervisor


async def reached(supervisor: Supervisor, endpoint: str) -> Image:
    """Its image, once it is connected."""
    image = await supervisor.connect(endpoint)
    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
    return image


async def until(condition: Callable[[], bool], within_s: float = GENEROUS_S) -> None:
    """Wait for it."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.005)
