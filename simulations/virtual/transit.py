"""How one packet gets from our machine to an image's or back, or does not."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.virtual.interfaces import Exit, Interfaces
from simulations.virtual.kernel_clock import KernelClock
from simulations.virtual.nic import Arrive, Packet
from simulations.virtual.tcp import Connection, Listener, Nat
from simulations.virtual.universe import Universe
from simulations.virtual.way import BASE_S, IN, OUT, Way

LATE_S = 3.0
"""What is held back for longer counts as lost to whoever sent it, and is sent again meanwhile. Less is not
worth a retransmission that the far end throws away: the kernel notices that it was needless."""


class Transit:
    """Carries packets. It knows our interfaces, the ways, and who has which address at the far end."""

    def __init__(
        self,
        universe: Universe,
        clock: KernelClock,
        interfaces: Interfaces,
        ways: Sequence[Way],
        portal: Listener,
    ) -> None:
        self.universe = universe
        self.clock = clock
        self.interfaces = interfaces
        self.ways = ways
        self.hosts: dict[str, Listener] = {}
        """By address; what is missing nobody answers for."""
        self.connections: dict[int, Connection] = {}
        """Those our kernel knows, by number."""
        self.life = 0
        """Of our process: connections of an earlier one are nobody's."""
        self.stopped_until = 0.0
        """True time before which no thread of our process runs."""
        self._portal = portal
        self._numbered = 0
        for gateway in interfaces.gateways:
            gateway.release = self._release
            gateway.give_up = self._give_up

    def now(self) -> float:
        """True time."""
        return self.universe.now

    def connection(self, way: int, remote: str, gen: int = -1) -> Connection:
        """A new one, of a link's generation or of none; dial it."""
        self._numbered += 1
        made = Connection(self, self._numbered, way, remote, gen)
        self.connections[made.number] = made
        return made

    def closed(self, connection: Connection) -> None:
        """Our kernel has forgotten it."""
        self.connections.pop(connection.number, None)

    def listener(self, connection: Connection) -> Listener | None:
        """Whoever now answers at the far end of it; None: nobody does."""
        if connection.portal:
            return self._portal
        host = self.hosts.get(connection.remote)
        return host if host is not None and host.powered else None

    def reaches(self, connection: Connection) -> bool:
        """Whether a packet that is at our door comes in. Our kernel then also knows its gateway."""
        nic = self.interfaces.way_in(connection.local or "")
        if nic is None:
            return False
        nic.neighbour.heard()
        return True

    # -- from us -----------------------------------------------------------------------------

    def out(self, connection: Connection, payload_bytes: int, arrive: Arrive, *args: object) -> bool:
        """Send a packet; whether it will arrive, and soon. If not, it may still arrive late."""
        way_out = self._way_out(connection)
        if way_out is None or way_out.nic is None:
            return False
        if not way_out.nic.neighbour.passes((connection, payload_bytes, arrive, args)):
            return False
        return self._leave(way_out, connection, payload_bytes, arrive, args)

    def passes(self, connection: Connection) -> bool:
        """Whether a bare acknowledgement sent now would arrive."""
        way_out, way = self._way_out(connection), self.ways[connection.way]
        return (
            way_out is not None
            and way_out.nic is not None
            and way_out.nic.sends
            and connection.nat is None
            and way.portal == connection.portal
            and way.arrival(self.universe.now, 0, OUT) is not None
        )

    def _way_out(self, connection: Connection) -> Exit | None:
        """None also where the way leads through another interface now.

        The first router there drops what comes from an address that does not live behind it.
        """
        way_out = self.interfaces.way_out()
        return way_out if way_out is not None and way_out.source == connection.local else None

    def _leave(
        self,
        way_out: Exit,
        connection: Connection,
        payload_bytes: int,
        arrive: Arrive,
        args: tuple[object, ...],
    ) -> bool:
        if way_out.nic is None or not way_out.nic.sends:
            return False
        if connection.nat is Nat.RESETS:
            self.universe.after(BASE_S, connection.reset_by_middlebox)
            return True
        at = self._arrival(connection, payload_bytes, OUT)
        if at is None:
            return False
        at = connection.last_out = max(at + way_out.detour_s, connection.last_out)
        self.universe.at(at, arrive, *args)
        return at - self.universe.now < LATE_S

    def _arrival(self, connection: Connection, payload_bytes: int, side: int) -> float | None:
        """When it is at the other end; None: something between has swallowed it."""
        way = self.ways[connection.way]
        if connection.nat is not None or way.portal != connection.portal:
            return None
        return way.arrival(self.universe.now, payload_bytes, side)

    def _release(self, packet: Packet) -> None:
        """The gateway has answered: what waited for it leaves."""
        connection, payload_bytes, arrive, args = packet
        way_out = self._way_out(connection)
        if way_out is not None:
            self._leave(way_out, connection, payload_bytes, arrive, args)

    @staticmethod
    def _give_up(packet: Packet) -> None:
        packet[0].unreachable()

    # -- to us -------------------------------------------------------------------------------

    def back(self, connection: Connection, payload_bytes: int, arrive: Arrive, *args: object) -> bool:
        """Send a packet from the far end; `arrive` asks `reaches` first. Whether it will arrive, and soon."""
        if connection.nat is Nat.RESETS:
            self.universe.after(BASE_S, connection.reset_server_by_middlebox)
            return True
        at = self._arrival(connection, payload_bytes, IN)
        if at is None:
            return False
        way_out = self.interfaces.way_out()
        detour_s = 0.0 if way_out is None else way_out.detour_s
        at = connection.last_in = max(at + detour_s, connection.last_in)
        self.universe.at(at, arrive, *args)
        return at - self.universe.now < LATE_S
