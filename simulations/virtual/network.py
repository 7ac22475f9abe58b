"""The virtual network: our machine's interfaces, the ways, the images and their names, put together.

    our process ── link, scout ── tcp ── transit ── interfaces, nic ── way ── image ── programs

It stands where the lab in network namespaces stands, with the same addresses. Everything told to our process
goes through the `deliver` it attached with; all else happens on time, whether that process runs or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from machines.events import Scouted
from resilience.seams import Link, LinkCallbacks, ScoutParty
from simulations.faults import Step, What
from simulations.trace import Kind
from simulations.virtual.image import Caller, Process, VirtualImage
from simulations.virtual.interfaces import Interfaces
from simulations.virtual.kernel_clock import KernelClock
from simulations.virtual.link import VirtualLink, VirtualScouts
from simulations.virtual.names import Server, VirtualNames
from simulations.virtual.programs import WebServer
from simulations.virtual.tcp import Connection, Nat
from simulations.virtual.transit import Transit
from simulations.virtual.universe import Universe
from simulations.virtual.way import IN, OUT, Way

if TYPE_CHECKING:
    from resilience.network.snapshot import Snapshot

PORT = 5555


class Portal:
    """A captive portal: `simulations.virtual.tcp.Listener`."""

    def __init__(self, universe: Universe) -> None:
        self.powered = True
        self.epoch = 1
        self._process = Process(universe)
        self._program = WebServer()

    def accept(self, connection: Connection) -> Caller:
        """Everybody is welcome."""
        return Caller(connection, self._process, self._program, lambda _: None)


class VirtualNetwork:
    """Images 0 to n - 1 at 10.71.9.2 and up, each on a machine of its own, behind one router.

    Args:
        universe: gives time, dice and trace.
        images: how many.
        named: whether they are dialled by names, `image0.test` and so on.
    """

    def __init__(self, universe: Universe, images: int, *, named: bool) -> None:
        self.images = [
            VirtualImage(universe, number, f"10.71.9.{2 + number}", f"10.71.9.{100 + number}")
            for number in range(images)
        ]
        self._universe = universe
        self._clock = KernelClock(universe)
        self._interfaces = Interfaces(universe, self._clock)
        self._ways = [Way(universe.dice(f"way {number}")) for number in range(images)]
        self._transit = Transit(universe, self._clock, self._interfaces, self._ways, Portal(universe))
        self._house()
        self._hostnames = [f"image{number}.test" for number in range(images)]
        self._names = VirtualNames(self._hostnames, lambda number: self.images[number].address, self._transit)
        self._named = named
        self._deliver: Callable[..., object] | None = None

    def endpoint(self, image: int) -> str:
        """What the product is told to connect to."""
        host = self._hostnames[image] if self._named else self.images[image].address
        return f"tcp://{host}:{PORT}"

    # -- our process -------------------------------------------------------------------------

    def attach(self, deliver: Callable[..., object]) -> None:
        """A process of ours starts; `deliver(fn, *args)` queues a call into its loop."""
        self.detach()
        self._deliver = deliver

    def detach(self) -> None:
        """The process is gone. Its kernel closes its sockets; nothing is told to anybody any more."""
        self._deliver = None
        self._transit.life += 1
        self._transit.stopped_until = 0.0
        self._interfaces.listener = None
        for connection in list(self._transit.connections.values()):
            connection.reset()

    def _teller(self) -> Callable[..., object]:
        """Reaches the present process, and none after it."""
        life = self._transit.life

        def tell(call: Callable[..., object], *args: object) -> None:
            if self._deliver is not None and self._transit.life == life:
                self._deliver(call, *args)

        return tell

    def announce(self, listener: Callable[[], None] | None) -> None:
        """Have `listener` called whenever the kernel sends a netlink message, directly; None: nobody."""
        self._interfaces.listener = listener

    def snapshot(self) -> Snapshot:
        """Interfaces and routes of our machine, as a dump would find them now."""
        return self._interfaces.snapshot()

    def open_link(self, gen: int, address: str, port: int, callbacks: LinkCallbacks, image: int) -> Link:
        """Begin to dial; whatever goes wrong is told later, as libzmq does."""
        del port  # images listen on theirs, and nothing else does
        connection = self._transit.connection(image, address, gen)
        return VirtualLink(
            gen, connection, callbacks, transit=self._transit, tell=self._teller(), image=image
        )

    def scouts(self, found: Callable[[str, Scouted], None], image: int) -> ScoutParty:
        """Bare connects of one image."""
        return VirtualScouts(found, self._transit, self._teller(), image)

    def look_up(self, name: str, port: int, tell: Callable[[list[str], str], object]) -> None:
        """Ask the name server; `tell` gets addresses, or none and the reason, in the end."""
        del port
        image = self._hostnames.index(name) if name in self._hostnames else -1
        deliver = self._teller()

        def told(addresses: list[str], problem: str) -> None:
            self._universe.trace.note(
                self._universe.now,
                Kind.LOOKED_UP,
                image,
                name=name,
                addresses=",".join(addresses),
                problem=problem,
            )
            tell(addresses, problem)

        self._names.look_up(name, lambda addresses, problem: deliver(told, addresses, problem))

    # -- trouble -----------------------------------------------------------------------------

    def sleep(self, for_s: float) -> None:
        """Our machine is suspended: it receives nothing, sends nothing, and its timers stand still."""
        self._clock.sleep(for_s)

    def stop(self, until: float) -> None:
        """Our process stands still before this true time, libzmq's thread with it; the kernel goes on."""
        self._transit.stopped_until = max(self._transit.stopped_until, until)

    def play(self, step: Step) -> None:
        """Do what a step says, now.

        Raises:
            ValueError: it is none of the network's, the names' or an image's.
        """
        what = step.what
        images = [step.image] if step.of_one_image else list(range(len(self.images)))
        if what in _INTERFACES:
            _INTERFACES[what](self._interfaces, step.value)
        elif what in _WAYS:
            for image in images:
                _WAYS[what](self._ways[image], step.value, self._universe.now)
        elif what in _IMAGES:
            for image in images:
                _IMAGES[what](self.images[image], step)
            self._house()
        elif what in _NAMES:
            for image in images:
                self._names.servers[image] = _NAMES[what]
        elif what in _NATS:
            for image in images:
                self._forget_nat(image, _NATS[what])
        else:
            raise ValueError(f"{what.value!r} is nothing the network could do")

    def _house(self) -> None:
        """Who lives at which address."""
        self._transit.hosts.clear()
        self._transit.hosts.update({image.address: image for image in self.images})

    def _forget_nat(self, image: int, nat: Nat) -> None:
        ours = [one for one in self._transit.connections.values() if one.way == image]
        for connection in ours + self.images[image].connections:
            connection.nat = nat


_INTERFACES: dict[What, Callable[[Interfaces, float], object]] = {
    What.LINK_DOWN: lambda ours, _: ours.link(up=False),
    What.LINK_UP: lambda ours, _: ours.link(up=True),
    What.CARRIER_OFF: lambda ours, _: ours.carrier(on=False),
    What.CARRIER_ON: lambda ours, _: ours.carrier(on=True),
    What.LEASE_LOST: lambda ours, _: ours.lease(held=False),
    What.LEASE_BACK: lambda ours, _: ours.lease(held=True),
    What.LEASE_NEW: lambda ours, _: ours.lease(held=True, new=True),
    What.ROAM_AWAY: lambda ours, _: ours.roam_away(),
    What.ROAM_ARRIVE: lambda ours, _: ours.roam_arrive(),
    What.DOCK: lambda ours, _: ours.dock(),
    What.UNDOCK: lambda ours, _: ours.undock(),
    What.VPN_UP: lambda ours, _: ours.tunnel(up=True),
    What.VPN_DOWN: lambda ours, _: ours.tunnel(up=False),
    What.BYSTANDER: lambda ours, value: ours.bystander(value),
    What.HINTS_LOST: lambda ours, value: ours.lose_hints(value),
    What.HINTS_REPEATED: lambda ours, value: ours.repeat_hints(int(value)),
}


def _drop(*, out: bool, back: bool) -> Callable[[Way, float, float], object]:
    def play(way: Way, _value: float, _now: float) -> None:
        way.dropped[OUT] = way.dropped[OUT] or out
        way.dropped[IN] = way.dropped[IN] or back

    return play


def _undrop(way: Way, _value: float, _now: float) -> None:
    way.dropped[:] = [False, False]


def _impair(name: str) -> Callable[[Way, float, float], object]:
    return lambda way, value, _now: setattr(way, name, value)


def _stall(way: Way, value: float, now: float) -> None:
    way.stalled_until = max(way.stalled_until, now + value)


def _portal(*, on: bool) -> Callable[[Way, float, float], object]:
    return lambda way, _value, _now: setattr(way, "portal", on)


_WAYS: dict[What, Callable[[Way, float, float], object]] = {
    What.DROP: _drop(out=True, back=True),
    What.DROP_OUT: _drop(out=True, back=False),
    What.DROP_IN: _drop(out=False, back=True),
    What.UNDROP: _undrop,
    What.LOSS: _impair("loss"),
    What.DELAY: _impair("delay_s"),
    What.JITTER: _impair("jitter_s"),
    What.RATE: _impair("rate"),
    What.MTU_HOLE: _impair("mtu"),
    What.STALL_WAY: _stall,
    What.PORTAL_ON: _portal(on=True),
    What.PORTAL_OFF: _portal(on=False),
}

_IMAGES: dict[What, Callable[[VirtualImage, Step], object]] = {
    What.IMAGE_KILL: lambda image, _: image.kill(),
    What.IMAGE_START: lambda image, _: image.start(),
    What.IMAGE_SAVE: lambda image, step: image.save(step.value),
    What.IMAGE_BUSY: lambda image, step: image.busy(step.value),
    What.IMAGE_FREEZE: lambda image, _: image.freeze(),
    What.IMAGE_THAW: lambda image, _: image.thaw(),
    What.IMAGE_SLOW: lambda image, step: setattr(image, "slow_s", step.value),
    What.IMAGE_OTHER: lambda image, _: image.replace(),
    What.IMAGE_VERSION: lambda image, _: image.upgrade(),
    What.IMAGE_HOSTILE: lambda image, step: image.squat(step.text),
    What.IMAGE_BACK: lambda image, _: image.restore(),
    What.IMAGE_MOVE: lambda image, _: image.move(),
    What.HOST_CRASH: lambda image, _: image.crash(),
    What.HOST_BOOT: lambda image, _: image.boot(),
}

_NAMES = {
    What.NAME_WORKS: Server.WORKS,
    What.NAME_FAILS: Server.FAILS,
    What.NAME_HANGS: Server.HANGS,
}

_NATS = {What.NAT_FORGETS: Nat.DROPS, What.NAT_RESETS: Nat.RESETS}
