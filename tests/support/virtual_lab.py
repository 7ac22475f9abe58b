"""A virtual network with nothing above it: links and scouts are opened by the test, on the raw API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from machines import Cause
from machines.events import Event, Scouted
from resilience.seams import Link, LinkCallbacks
from resilience.wire import Dialect, Kind, Request, encode
from simulations.faults import Step
from simulations.trace import Entry
from simulations.trace import Kind as Told
from simulations.virtual.network import PORT, VirtualNetwork
from simulations.virtual.universe import Universe


@dataclass(eq=False)
class Watched:
    """A link and everything it told, with the time it was told."""

    lab: VirtualLab
    gen: int
    image: int
    link: Link = field(init=False)
    events: list[tuple[float, str]] = field(default_factory=list)
    messages: list[tuple[float, list[bytes]]] = field(default_factory=list)
    downs: list[tuple[float, Cause]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """Everything, by the callback it came through."""

    def told(self, event: Event) -> None:
        self.order.append("event")
        self.events.append((self.lab.now, type(event).__name__))

    def down(self, gen: int, cause: Cause, detail: str) -> None:
        assert (gen, detail) == (self.gen, "")
        self.order.append("down")
        self.downs.append((self.lab.now, cause))

    def message(self, gen: int, frames: list[bytes]) -> None:
        assert gen == self.gen
        self.order.append("message")
        self.messages.append((self.lab.now, frames))

    @property
    def names(self) -> list[str]:
        """What was told, without the times."""
        return [name for _, name in self.events]

    @property
    def causes(self) -> list[Cause]:
        """How it ended."""
        return [cause for _, cause in self.downs]

    @property
    def replies(self) -> list[bytes]:
        """The payloads that came in."""
        return [frames[-1] for _, frames in self.messages]

    def ping(self, request_id: str = "ping") -> None:
        """Ask for a sign of life."""
        self.link.send(request_id, encode(Request(Kind.PING, id=request_id), None))

    def evaluate(self, code: str) -> None:
        """Have code evaluated; its request id is the code."""
        self.link.send(code, encode(Request(Kind.EVALUATE, code, id=code), Dialect.TYPED))

    @property
    def quiet_s(self) -> float:
        """Since the last segment of any kind."""
        vitals = self.link.vitals()
        assert vitals is not None
        return vitals.quiet_s

    @property
    def data_quiet_s(self) -> float:
        """Since the last data."""
        vitals = self.link.vitals()
        assert vitals is not None
        return vitals.data_quiet_s

    @property
    def sending(self) -> bool:
        """Whether bytes of ours are under way."""
        vitals = self.link.vitals()
        assert vitals is not None
        return vitals.sending


class VirtualLab:
    """Universe, network, and a process of ours that is always ready to be told something."""

    def __init__(self, seed: str = "seed", images: int = 1, *, named: bool = False) -> None:
        self.universe = Universe(seed)
        self.network = VirtualNetwork(self.universe, images, named=named)
        self.network.attach(self.deliver)
        self.stalled: list[tuple[Callable[..., object], tuple[object, ...]]] | None = None
        self.scouted: list[tuple[float, str, Scouted]] = []
        self.announced: list[float] = []
        self._gen = 0
        self.network.announce(lambda: self.announced.append(self.now))

    @property
    def now(self) -> float:
        """True time."""
        return self.universe.now

    def deliver(self, call: Callable[..., object], *args: object) -> None:
        """Run it in our process: at once, or when its stall ends."""
        if self.stalled is None:
            self.universe.after(0, call, *args)
        else:
            self.stalled.append((call, args))

    def stall(self) -> None:
        """Our process does not run."""
        self.stalled = []

    def go_on(self) -> None:
        """It runs again."""
        held, self.stalled = self.stalled or [], None
        for call, args in held:
            self.deliver(call, *args)

    def run(self, for_s: float) -> None:
        """Let time pass."""
        self.universe.run(self.now + for_s)

    def until(self, t: float) -> None:
        """Let time pass up to an instant."""
        self.universe.run(t)

    def play(self, *lines: str) -> None:
        """Do steps now, written without their time."""
        for line in lines:
            self.network.play(Step.parse(f"0 {line}"))

    def dial(self, address: str | None = None, image: int = 0) -> Watched:
        """Open a link."""
        self._gen += 1
        watched = Watched(self, self._gen, image)
        callbacks = LinkCallbacks(watched.told, watched.down, watched.message)
        where = address or self.network.images[image].address
        watched.link = self.network.open_link(watched.gen, where, PORT, callbacks, image)
        return watched

    def connect(self, image: int = 0) -> Watched:
        """Open a link and wait for its handshake."""
        watched = self.dial(image=image)
        self.run(0.1)
        assert watched.names == ["Accepted", "Handshaken"]
        return watched

    def scout(self, timeout_s: float = 0.25, image: int = 0, address: str | None = None) -> None:
        """Send a scout; `scouted` gets what it found."""
        party = self.network.scouts(lambda at, found: self.scouted.append((self.now, at, found)), image)
        party.send(address or self.network.images[image].address, PORT, timeout_s)

    def found(self) -> str:
        """What a scout finds now."""
        self.scout()
        self.run(0.3)
        return self.scouted[-1][2].found.value

    def events_in(self, for_s: float) -> int:
        """How many events so much time takes."""
        before = self.universe._planned
        self.run(for_s)
        return self.universe._planned - before

    def traced(self, kind: Told) -> list[Entry]:
        """Entries of one kind."""
        return list(self.universe.trace.of(kind))

    def executed(self, image: int = 0) -> list[str]:
        """What this image has begun, pings left out."""
        return [label for _, label, _ in self.network.images[image].executed if label != "ping"]
