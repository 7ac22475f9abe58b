"""TCP connections between our machine and whoever listens at an image's address, both ends of each."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from resilience.limits import TCP_USER_TIMEOUT_MS
from simulations.virtual.stream import Cancellable, Stream

if TYPE_CHECKING:
    from simulations.virtual.transit import Transit

SYN_BYTES, ACK_BYTES, RST_BYTES = 8, 0, 0
"""Beyond the header."""

SYN_RTO_S = 1.0
"""Linux: TCP_TIMEOUT_INIT; doubles."""

LOCAL_S = 0.0002
"""An error of our own kernel reaches the program that asked, through libzmq's thread or the event loop."""

FIN = object()
"""The last thing on a direction."""


class Ended(Enum):
    """How a connection ended, as the client's end learns it."""

    CLOSED = "closed"
    RESET = "reset"
    TIMED_OUT = "timed out"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Nat(Enum):
    """What a middlebox makes of a connection it has forgotten."""

    DROPS = "drops"
    RESETS = "resets"


class ClientEnd(Protocol):
    """What owns our end: a link or a scout. Told by the kernel, not by the process's loop."""

    def connected(self) -> None:
        """The far kernel accepted."""
        ...

    def received(self, payload: object) -> None:
        """Something came in, in order; `stream.MORE`: there is more of it to come."""
        ...

    def ended(self, how: Ended) -> None:
        """It is over, or never began; the kernel has forgotten it."""
        ...


class ServerEnd(Protocol):
    """What owns the far end."""

    def received(self, payload: object) -> None:
        """Something came in, in order."""
        ...

    def ended(self) -> None:
        """The client reset it."""
        ...


class Listener(Protocol):
    """A machine at the far end, and what listens on its port."""

    powered: bool
    """Whether its kernel answers at all."""
    epoch: int
    """Changes whenever the listening socket is closed or opened; odd while it is open."""

    def accept(self, connection: Connection) -> ServerEnd:
        """A connection to the open port is complete."""
        ...


class Connection:
    """One connection, from the SYN to the end. Its client end makes it and closes it."""

    __slots__ = (
        "_awaiting_accept",
        "_epoch",
        "_gen",
        "_host",
        "_life",
        "_syn_at",
        "_syn_timer",
        "_syns",
        "_transit",
        "client",
        "down",
        "established",
        "heard_at",
        "heard_data_at",
        "last_in",
        "last_out",
        "local",
        "nat",
        "number",
        "portal",
        "remote",
        "server",
        "up",
        "way",
    )

    def __init__(self, transit: Transit, number: int, way: int, remote: str, gen: int) -> None:
        self._transit = transit
        self._gen = gen
        self._life = transit.life
        self.number = number
        self.way = way
        self.remote = remote
        self.local: str | None = None
        self.client: ClientEnd | None = None
        self.server: ServerEnd | None = None
        self.established = False
        self.portal = False
        self.nat: Nat | None = None
        self.heard_at = self.heard_data_at = 0.0
        """Monotonic seconds of the last segment of any kind, and of the last data, as our kernel knows."""
        self.last_out = self.last_in = 0.0
        """When the last packet each way arrives: none overtakes it."""
        self._host: Listener | None = None
        self._epoch = 0
        self._awaiting_accept = False
        self._syns = 0
        self._syn_at = 0.0
        self._syn_timer: Cancellable | None = None
        self.up = Stream(
            self._carry_up,
            self._to_server,
            transit.clock.now,
            transit.clock.after,
            limit_s=TCP_USER_TIMEOUT_MS / 1000,
            give_up=self._timed_out,
        )
        self.down = Stream(self._carry_down, self._to_client, transit.now, transit.universe.after)

    @property
    def gen(self) -> int:
        """The generation of the link it belongs to; -1: to none of the present process."""
        return self._gen if self._life == self._transit.life else -1

    # -- connecting ------------------------------------------------------------------------

    def dial(self, client: ClientEnd) -> None:
        """Begin: `client` is told how it goes."""
        self.client = client
        way_out = self._transit.interfaces.way_out()
        if way_out is None:
            self._transit.clock.after(LOCAL_S, self._fail, Ended.UNREACHABLE)
            return
        self.local = way_out.source
        self._send_syn()

    def _send_syn(self) -> None:
        self._syn_timer = None
        if self.client is None:
            return
        self._syn_at = self._transit.clock.now()
        self.portal = self._transit.ways[self.way].portal
        if not self._transit.out(self, SYN_BYTES, self._syn_arrived):
            self._again()

    def _again(self) -> None:
        """This SYN will not be answered: the next goes out when the kernel would send it."""
        if self._syn_timer is None and self.client is not None and not self.established:
            delay_s = SYN_RTO_S * 2.0**self._syns - (self._transit.clock.now() - self._syn_at)
            self._syns += 1
            self._syn_timer = self._transit.clock.after(max(0.0, delay_s), self._send_syn)

    def _syn_arrived(self) -> None:
        host = self._transit.listener(self)
        if host is None:
            self._again()
        elif host.epoch % 2 == 0:
            if not self._transit.back(self, RST_BYTES, self._refused):
                self._again()
        else:
            self._host, self._epoch, self._awaiting_accept = host, host.epoch, True
            if not self._transit.back(self, SYN_BYTES, self._syn_answered):
                self._again()

    def _syn_answered(self) -> None:
        if not self._transit.reaches(self):
            self._again()
        elif self.client is not None and not self.established:
            self.established = True
            now = self._transit.clock.now()
            self.up.round_trip_s = self.down.round_trip_s = now - self._syn_at
            self.heard_at = self.heard_data_at = now
            self._stop_syns()
            self.client.connected()

    def _refused(self) -> None:
        if self._transit.reaches(self):
            self._fail(Ended.REFUSED)
        else:
            self._again()

    def unreachable(self) -> None:
        """Our kernel got no answer from the gateway: fatal to a connect, nothing to a connection."""
        self._fail(Ended.UNREACHABLE)

    def _fail(self, how: Ended) -> None:
        if self.client is not None and not self.established:
            self._end(how)

    def _stop_syns(self) -> None:
        if self._syn_timer is not None:
            self._syn_timer.cancel()
            self._syn_timer = None

    # -- our end -----------------------------------------------------------------------------

    def reset(self) -> None:
        """Close our end so that nothing unsent is delivered: SO_LINGER {1, 0}."""
        if self.client is not None:
            self._release()
            if self.established:
                self._transit.out(self, RST_BYTES, self._reset_at_server)

    def forget(self) -> None:
        """Our end is closed and says nothing: a connect called off, or one that served its purpose."""
        if self.client is not None:
            self._release()
            self._awaiting_accept = False

    def _release(self) -> None:
        self.client = None
        self._stop_syns()
        self.up.close()
        self._transit.closed(self)

    def _end(self, how: Ended) -> None:
        client = self.client
        if client is not None:
            self._release()
            client.ended(how)

    def _timed_out(self) -> None:
        self._end(Ended.TIMED_OUT)

    def reset_by_middlebox(self) -> None:
        """Somebody between resets our end; the far one does not know."""
        if self._transit.reaches(self):
            self._end(Ended.RESET)

    # -- the far end -------------------------------------------------------------------------

    def close_server(self, *, unread: bool = False) -> None:
        """The far program closes its end, or dies; with bytes it has not read the client gets a reset."""
        self.server = None
        if unread:
            self.down.close()
            self._transit.back(self, RST_BYTES, self._reset_at_client)
        else:
            self.down.push(0, FIN)

    def lose_server(self) -> None:
        """The far machine has forgotten the connection and tells nobody."""
        self.server = None
        self._awaiting_accept = False
        self.down.close()

    def reset_server_by_middlebox(self) -> None:
        """Somebody between resets the far end."""
        self._reset_at_server()

    # -- segments to the far end ---------------------------------------------------------------

    def _carry_up(self, size: int, number: int, payload: object) -> bool:
        return self._transit.out(self, size, self._arrived_up, number, payload)

    def _arrived_up(self, number: int, payload: object) -> None:
        transit = self._transit
        host = transit.listener(self)
        if host is None:
            self.up.missed(number)
            return
        if self._awaiting_accept:
            self._awaiting_accept = False
            if host is self._host and host.epoch == self._epoch:
                self.server = host.accept(self)
        if self.server is None:
            self.down.close()
            if not transit.back(self, RST_BYTES, self._reset_at_client):
                self.up.unacknowledged()
            return
        sent = self.down.sent
        self.up.arrived(number, payload)
        if self.down.sent == sent and not transit.back(self, ACK_BYTES, self._acknowledged):
            self.up.unacknowledged()

    def _to_server(self, payload: object) -> None:
        if self.server is not None:
            self.server.received(payload)

    def _reset_at_server(self) -> None:
        if self._transit.listener(self) is None:
            return
        self._awaiting_accept = False
        self.down.close()
        server, self.server = self.server, None
        if server is not None:
            server.ended()

    def _acknowledged_at_server(self, taken: int) -> None:
        if self._transit.listener(self) is not None:
            self.down.acknowledged(taken, gap=self.down.gap)
        else:
            self.down.unacknowledged()

    # -- segments to us ------------------------------------------------------------------------

    def _carry_down(self, size: int, number: int, payload: object) -> bool:
        if self._transit.back(self, size, self._arrived_down, number, payload, self.up.taken):
            return True
        self.up.unacknowledged()
        return False

    def _arrived_down(self, number: int, payload: object, taken: int) -> None:
        transit = self._transit
        if not transit.reaches(self):
            self.down.missed(number)
            self.up.unacknowledged()
            return
        if self.client is None:
            if not transit.out(self, RST_BYTES, self._reset_at_server):
                self.down.unacknowledged()
            return
        down = self.down
        self.heard_at = transit.clock.now()
        if down.lacks(number):  # the kernel dates a repeated segment as an acknowledgement only
            self.heard_data_at = self.heard_at
        self.up.acknowledged(taken, gap=self.up.gap)
        down.arrived(number, payload)
        if down.needs_acks:
            if not transit.out(self, ACK_BYTES, self._acknowledged_at_server, down.taken):
                down.unacknowledged()
        elif transit.passes(self):
            # Nobody can tell this acknowledgement from one that takes its time, and it costs no event.
            down.acknowledged(down.taken, gap=False)
        else:
            down.unacknowledged()

    def _to_client(self, payload: object) -> None:
        if payload is FIN:
            self._end(Ended.CLOSED)
        elif self.client is not None:
            self.client.received(payload)

    def _acknowledged(self) -> None:
        if not self._transit.reaches(self):
            self.up.unacknowledged()
        elif self.client is None:
            self._transit.out(self, RST_BYTES, self._reset_at_server)
        else:
            self.heard_at = self._transit.clock.now()
            self.up.acknowledged(self.up.taken, gap=self.up.gap)

    def _reset_at_client(self) -> None:
        if self._transit.reaches(self):
            self._end(Ended.RESET)
        else:
            self.up.unacknowledged()
