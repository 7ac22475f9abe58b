"""The virtual machine under one process: `resilience.seams.Host` without an operating system."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from machines.events import Scouted
from resilience.network.clocks import SleepClock
from resilience.network.snapshot import Interface, Snapshot
from resilience.seams import Lane
from simulations.trace import Kind
from simulations.virtual.clock import Clock
from simulations.virtual.loop import VirtualLoop
from simulations.virtual.network import VirtualNetwork
from simulations.virtual.universe import Universe
from store.keys import VaultLocked
from store.sessions import Owner

if TYPE_CHECKING:
    from resilience.seams import Link, LinkCallbacks, ScoutParty
    from simulations.virtual.disk import VirtualDisk
    from store.disk import Disk

_Result = TypeVar("_Result")

JOB_S = 0.0001
"""What a job costs beside its disk calls: two changes of thread."""

ANNOUNCEMENTS_FD = 7
"""The one descriptor that virtual loops wait on. Any number will do."""


class VirtualHost:
    """Everything the runtime asks of its machine; belongs to one process and dies with it."""

    def __init__(
        self,
        *,
        universe: Universe,
        clock: Clock,
        loop: VirtualLoop,
        network: VirtualNetwork,
        medium: VirtualDisk,
        disk: Disk,
        vault: VirtualVault,
        life: int,
    ) -> None:
        self._universe = universe
        self._clock = clock
        self._loop = loop
        self._network = network
        self._medium = medium
        self._disk = disk
        self._random = universe.dice(f"jitter of life {life}")
        self._names = universe.dice(f"names of life {life}")
        self._secrets = universe.dice(f"secrets of life {life}")
        self._vault = vault
        self._owner = Owner(life, f"life {life}", "desk", "user")
        self._jobs: dict[Lane, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = {
            lane: deque() for lane in Lane
        }
        self._at_work = False

    @property
    def random(self) -> Random:
        return self._random

    @property
    def disk(self) -> Disk:
        return self._disk

    def now(self) -> float:
        return self._clock.monotonic()

    def wall(self) -> float:
        return self._clock.wall()

    def fresh_id(self) -> str:
        return str(UUID(int=self._names.getrandbits(128)))

    def kernel(self) -> VirtualKernel:
        return VirtualKernel(self._universe, self._clock, self._loop, self._network)

    def open_link(
        self, gen: int, address: str, port: int, callbacks: LinkCallbacks, *, fresh_context: bool
    ) -> Link:
        del fresh_context  # libzmq's affair
        return self._network.open_link(gen, address, port, callbacks, image_at(address))

    def scouts(self, found: Callable[[str, Scouted], None]) -> ScoutParty:
        return Party(self._network, found)

    def look_up(self, name: str, port: int, tell: Callable[[list[str], str], object]) -> None:
        image = int(name.partition(".")[0].removeprefix("image"))
        self._universe.trace.note(self._universe.now, Kind.LOOK_UP, image, name=name)
        self._network.look_up(name, port, tell)

    def close(self) -> None:
        """Nothing is held beside what the process holds."""

    # -- beside the loop -------------------------------------------------------------------

    @property
    def vault(self) -> VirtualVault:
        return self._vault

    @property
    def owner(self) -> Owner:
        return self._owner

    def entropy(self, size: int) -> bytes:
        return self._secrets.randbytes(size)

    def off_loop(self, job: Callable[[], _Result], lane: Lane = Lane.JOURNAL) -> asyncio.Future[_Result]:
        """Lanes share the one disk, as threads do: the journal's next job waits for what is under way."""
        done: asyncio.Future[_Result] = self._loop.create_future()
        self._jobs[lane].append((job, done))
        if not self._at_work:
            self._work()
        return done

    def _work(self) -> None:
        """Do the next job at once, and tell of it when its disk calls would have ended.

        Until then its calls may still turn out not to have happened: a kill comes in the middle of a job.
        """
        waiting = next((jobs for jobs in self._jobs.values() if jobs), None)
        self._at_work = waiting is not None
        if waiting is None:
            return
        job, done = waiting.popleft()
        self._medium.begin_job()
        tell: tuple[Callable[..., None], object]
        try:
            tell = (done.set_result, job())
        except Exception as problem:  # noqa: BLE001 - whoever waits for the job decides what it means
            tell = (done.set_exception, problem)
        self._universe.after(JOB_S + self._medium.take_cost(), self._done, *tell)

    def _done(self, tell: Callable[..., None], outcome: object) -> None:
        if not self._loop.is_closed():
            self._medium.end_job()
            self._loop.call_soon(tell, outcome)
            self._work()


class VirtualVault:
    """The machine's keyring: kept through every kill and power cut.

    Attributes:
        locked: whoever asks is refused; what is there stays.
    """

    def __init__(self) -> None:
        self.locked = False
        self._entries: dict[str, str] = {}

    def opened(self) -> VirtualVault:
        """The same entries, for whoever looks from outside."""
        vault = VirtualVault()
        vault._entries = self._entries
        return vault

    def usable(self) -> str | None:
        return None

    def get(self, name: str) -> str | None:
        self._check()
        return self._entries.get(name)

    def set(self, name: str, secret: str) -> None:
        self._check()
        self._entries[name] = secret

    def delete(self, name: str) -> None:
        self._check()
        self._entries.pop(name, None)

    def _check(self) -> None:
        if self.locked:
            raise VaultLocked("the keyring is locked")


def image_at(address: str) -> int:
    """The number of the image that lives, or was moved, there: 10.71.9.2 and 10.71.9.100 are the first's."""
    last = int(address.rpartition(".")[2])
    return last - 100 if last >= 100 else last - 2  # noqa: PLR2004 - the network's numbering


class Party:
    """Scouts of one image, whatever address it has."""

    def __init__(self, network: VirtualNetwork, found: Callable[[str, Scouted], None]) -> None:
        self._network = network
        self._found = found
        self._parties: dict[int, ScoutParty] = {}

    def send(self, address: str, port: int, timeout_s: float) -> None:
        image = image_at(address)
        if image not in self._parties:
            self._parties[image] = self._network.scouts(self._found, image)
        self._parties[image].send(address, port, timeout_s)

    def call_off(self) -> None:
        for party in self._parties.values():
            party.call_off()


class VirtualKernel:
    """The kernel as the network monitor knows it."""

    def __init__(self, universe: Universe, clock: Clock, loop: VirtualLoop, network: VirtualNetwork) -> None:
        self._universe = universe
        self._clock = clock
        self._loop = loop
        self._network = network

    def sleep_clock(self) -> SleepClock:
        return SleepClock("virtual", lambda: self._clock.boottime() - self._clock.monotonic())

    def announcements(self) -> VirtualAnnouncements:
        return VirtualAnnouncements(self._loop, self._network)

    def readings(self) -> VirtualReadings:
        return VirtualReadings(self._universe, self._network)

    def poll(self) -> Snapshot:
        return self._network.snapshot()

    def poll_sources(self) -> Snapshot:
        return self._network.snapshot()


class VirtualAnnouncements:
    """What rtnetlink would send."""

    def __init__(self, loop: VirtualLoop, network: VirtualNetwork) -> None:
        self._loop = loop
        self._network = network
        self._open = True
        network.announce(lambda: loop.readable(ANNOUNCEMENTS_FD, ready=True))

    def fileno(self) -> int:
        return ANNOUNCEMENTS_FD if self._open else -1

    def drain(self) -> bool:
        self._loop.readable(ANNOUNCEMENTS_FD, ready=False)
        return False

    def close(self) -> None:
        self._open = False
        self._network.announce(None)


class VirtualReadings:
    """What a dump would find."""

    def __init__(self, universe: Universe, network: VirtualNetwork) -> None:
        self._universe = universe
        self._network = network
        self._last: Snapshot | None = None

    def read_all(self) -> Snapshot:
        found = self._network.snapshot()
        if found != self._last:
            self._last = found
            up = ",".join(one.name for one in found.interfaces if one.carrier)
            self._universe.trace.note(self._universe.now, Kind.NOTICED, interfaces=up)
        return found

    def read_interfaces(self) -> tuple[Interface, ...]:
        return self._network.snapshot().interfaces

    def close(self) -> None:
        """Nothing is held."""
