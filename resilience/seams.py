"""The one seam between the runtime and the world: everything a simulation replaces.

`ImageCore` (resilience/core.py) calls these and is called back through its own
`feed`, `replied`, `scouted`, `resolved` and `durable`. The real implementation is
`resilience/world.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from machines.events import Vitals
    from resilience.core import ImageCore
    from resilience.network.snapshot import Path
    from store import TransitionRecord


class World(Protocol):
    """Clock, links, scouts, names, network and disk, as one image sees them."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, for people."""
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
