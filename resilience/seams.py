"""The two seams of the runtime, and everything a simulation replaces.

`World` is what one image's core (`resilience/core.py`) sees: clock, links, scouts,
names, network and disk. There is one implementation, `resilience/world.py`.

`Host` is the machine that all of it runs on: what `resilience/host.py` does with the
operating system, with pyzmq and with threads, and `simulations/virtual` without any of
them. Everything above a `Host` is the same code in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from random import Random

    from machines import Cause
    from machines.events import Event, Scouted, Vitals
    from resilience.core import ImageCore
    from resilience.network.kernel import Kernel
    from resilience.network.snapshot import Path
    from store import TransitionRecord
    from store.disk import Disk
    from store.keys import Vault
    from store.sessions import Owner

_Result = TypeVar("_Result")


class Lane(StrEnum):
    """Who waits for whom beside the loop: jobs of one lane go in order, lanes do not wait for each other."""

    JOURNAL = "journal"
    SESSIONS = "sessions"


class World(Protocol):
    """Clock, links, scouts, names, network and disk, as one image sees them."""

    def check_caller(self) -> None:
        """Raises UsageError: this is not the event loop everything here runs on."""
        ...

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people."""
        ...

    def fresh_id(self) -> str:
        """A name nobody else uses, for a request or a session."""
        ...

    def arm(self, core: ImageCore) -> None:
        """Call `core.wake()` at `core.deadline()`, replacing what was armed before."""
        ...

    def open_link(self, core: ImageCore, gen: int, address: str, *, fresh_context: bool) -> None:
        """Begin to dial `address` (numeric) as generation `gen`."""
        ...

    def abort_link(self, core: ImageCore, gen: int) -> None:
        """Close generation `gen` so that nothing unsent is delivered any more."""
        ...

    def send(self, core: ImageCore, gen: int, request_id: str, frame: bytes) -> None:
        """Hand one request to the link."""
        ...

    def vitals(self, core: ImageCore, gen: int) -> Vitals | None:
        """How the link looks from the kernel's side; None where the kernel does not tell."""
        ...

    def local_addresses(self, core: ImageCore) -> dict[int, str]:
        """The local address of each open link, by generation."""
        ...

    def scout(self, core: ImageCore, address: str, timeout_s: float) -> None:
        """Try a bare TCP connect and call `core.scouted`."""
        ...

    def call_off_scouts(self, core: ImageCore) -> None:
        """Close the scouts under way."""
        ...

    def resolve(self, core: ImageCore) -> None:
        """Look the endpoint's host up and call `core.resolved`."""
        ...

    def path_to(self, address: str) -> Path | None:
        """How packets to `address` leave this machine; None: they do not."""
        ...

    def record(self, core: ImageCore, record: TransitionRecord) -> None:
        """Append to the journal and call `core.durable` in order, once it is on disk or given up."""
        ...

    def proven(self, core: ImageCore) -> None:
        """An outage of this image is over: others on its path may want to know."""
        ...

    def read_session(self, core: ImageCore) -> None:
        """Read the stored session and call `core.restored`, `core.absent` or `core.unreadable`, once."""
        ...

    def archive_session(self, core: ImageCore, session: str) -> None:
        """Put `session` away; the image has another from here on."""
        ...

    def revision(self, core: ImageCore) -> int:
        """How much of the session's document is on the medium; 0 if it has none."""
        ...


@dataclass(frozen=True, slots=True)
class LinkCallbacks:
    """Where a link reports to, on the loop; nowhere any more after `Link.abort`.

    `event` gets `Accepted` and `Handshaken`; `down` that the link ended and has closed itself (generation,
    cause, detail); `message` what came in (generation, frames).
    """

    event: Callable[[Event], None]
    down: Callable[[int, Cause, str], None]
    message: Callable[[int, list[bytes]], None]


class Link(Protocol):
    """One connection to an image, of one generation; never makes a second one by itself."""

    @property
    def local_address(self) -> str | None:
        """The address it starts from, once connected."""
        ...

    def send(self, request_id: str, frame: bytes) -> None:
        """Hand one request over; only after the handshake, so nothing waits inside."""
        ...

    def abort(self) -> None:
        """Close at once; nothing unsent is delivered, nothing more is reported."""
        ...

    def vitals(self) -> Vitals | None:
        """How long the far end has been quiet; None where the kernel does not tell."""
        ...


class ScoutParty(Protocol):
    """The bare TCP connects of one image."""

    def send(self, address: str, port: int, timeout_s: float) -> None:
        """Try one; what it found is told on the loop, unless it is called off."""
        ...

    def call_off(self) -> None:
        """Close every one under way."""
        ...


class Host(Protocol):
    """The machine the runtime runs on."""

    @property
    def random(self) -> Random:
        """For jitter, not for secrets."""
        ...

    @property
    def disk(self) -> Disk | None:
        """The calls the store makes; None for the operating system's."""
        ...

    def now(self) -> float:
        """Monotonic seconds; stands still while the machine sleeps, where the platform allows it."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def fresh_id(self) -> str:
        """A universally unique name."""
        ...

    def kernel(self) -> Kernel:
        """What the network monitor reads and listens to."""
        ...

    def open_link(
        self, gen: int, address: str, port: int, callbacks: LinkCallbacks, *, fresh_context: bool
    ) -> Link:
        """Begin to dial; raises `OSError` where not even that is possible."""
        ...

    def scouts(self, found: Callable[[str, Scouted], None]) -> ScoutParty:
        """A party of scouts that reports to `found`."""
        ...

    def look_up(self, name: str, port: int, tell: Callable[[list[str], str], object]) -> None:
        """Ask once; `tell` is called on the loop with the addresses, or with none and the reason, if ever."""
        ...

    @property
    def vault(self) -> Vault:
        """Where the machine keeps keys; asked on the lane of sessions only."""
        ...

    @property
    def owner(self) -> Owner:
        """Who we are, for others who want a session that we have open."""
        ...

    def entropy(self, size: int) -> bytes:
        """Random bytes, fit for secrets."""
        ...

    def off_loop(self, job: Callable[[], _Result], lane: Lane = Lane.JOURNAL) -> asyncio.Future[_Result]:
        """Run what may wait for the disk beside the loop; the jobs of a lane run one at a time, in order."""
        ...

    def close(self) -> None:
        """Let go of everything; jobs under way are waited for by whoever has their future."""
        ...
