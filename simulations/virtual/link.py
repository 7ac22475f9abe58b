"""Links and scouts of our process, as libzmq's thread and the kernel keep them: `resilience.seams.Link`.

What the kernel does happens on time, also while our process does not run. libzmq's thread works while our
loop is busy, and stands still when the whole process does (`Transit.stopped_until`); what is told waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from machines import Cause
from machines.events import Accepted, Handshaken, Scouted, Scouting, Vitals
from machines.policy import HEARTBEAT_IVL_S
from resilience.limits import CONNECT_TIMEOUT_MS, HANDSHAKE_IVL_MS, HEARTBEAT_TIMEOUT_MS
from resilience.scout import MAX_SCOUTS
from simulations.trace import Datum, Kind
from simulations.virtual.tcp import Connection, Ended
from simulations.virtual.zmtp import GREETING, PING, READY, SIZES, Said, Says, size_of

if TYPE_CHECKING:
    from resilience.seams import LinkCallbacks
    from simulations.virtual.kernel_clock import KernelClock, Timer
    from simulations.virtual.transit import Transit

Tell = Callable[..., object]
"""Queues a call into our process's loop; nothing happens if that process is gone."""

_NEVER_UP = frozenset({Ended.REFUSED, Ended.UNREACHABLE})
_TYPED_PING, _COMMAND_PING = b'"request_type":"Ping"', b'"command":"ping"'
"""Unescaped quotes: no text inside a request can look like this."""


COMMENT = ' "'
"""What the code to evaluate is followed by: a comment that nobody but the image may see (law 20)."""


def label_of(frame: bytes) -> str:
    """What a request asks for: "ping", or the code to evaluate without the secret in its comment."""
    if _TYPED_PING in frame or _COMMAND_PING in frame:
        return "ping"
    message = json.loads(frame)
    typed = message.get("payload")
    code = typed["data"]["params"]["code"] if typed is not None else message["parameters"]["code"]
    return str(code).partition(COMMENT)[0]


class VirtualLink:
    """One generation, with what libzmq's thread does for it."""

    def __init__(
        self,
        gen: int,
        connection: Connection,
        callbacks: LinkCallbacks,
        *,
        transit: Transit,
        tell: Tell,
        image: int,
    ) -> None:
        self.gen = gen
        self.local_address: str | None = None
        self._connection = connection
        self._callbacks = callbacks
        self._transit = transit
        self._clock: KernelClock = transit.clock
        self._tell = tell
        self._image = image
        self._open = True
        self._over = False
        """The connection has ended; our process may not have been told yet."""
        self._shaken = False
        self._spoken_to = False
        self._asked_at: float | None = None
        """When the heartbeat was sent that nothing has been heard since."""
        connection.dial(self)
        self._note(Kind.DIAL, address=connection.remote, local=connection.local or "")
        self._limit: Timer = self._clock.after(CONNECT_TIMEOUT_MS / 1000, self._give_up, Cause.NO_ANSWER)

    # -- our process -------------------------------------------------------------------------

    def send(self, request_id: str, frame: bytes) -> None:
        """Hand one request over; only after the handshake."""
        if not self._open:
            return
        self._note(Kind.SENT, label=label_of(frame))
        frames = (request_id.encode(), b"", frame)
        self._connection.up.push(size_of(frames), Said.message(frames))

    def abort(self) -> None:
        """Close at once: RST."""
        if self._open:
            self._open = False
            self._note(Kind.ABORTED)
            self._stop()
            self._connection.reset()

    def vitals(self) -> Vitals | None:
        """What TCP_INFO tells of the connection."""
        if not self._open or self.local_address is None:
            return None
        connection, now = self._connection, self._clock.now()
        data_quiet_s = now - connection.heard_data_at
        return Vitals(
            self.gen,
            quiet_s=min(data_quiet_s, now - connection.heard_at),
            data_quiet_s=data_quiet_s,
            rtt_s=connection.up.round_trip_s,
            sending=connection.up.backlog > 0,
        )

    # -- told to our process -------------------------------------------------------------------

    def _told_accepted(self) -> None:
        if self._open:
            self.local_address = self._connection.local
            self._callbacks.event(Accepted(self.gen))

    def _told_shaken(self) -> None:
        if self._open:
            self._callbacks.event(Handshaken(self.gen))

    def _told_message(self, frames: tuple[bytes, ...]) -> None:
        if self._open:
            self._callbacks.message(self.gen, list(frames))

    def _told_down(self, cause: Cause) -> None:
        if self._open:
            self._open = False
            self._note(Kind.LINK_ENDED, cause=cause.value)
            self._callbacks.down(self.gen, cause, "")

    # -- the kernel and libzmq's thread ----------------------------------------------------------

    def _held(self, call: Callable[..., None], *args: object) -> bool:
        """Whether libzmq's thread stands still; the call is made when it goes on, if there is a link then."""
        left_s = self._transit.stopped_until - self._transit.universe.now
        if left_s <= 0:
            return False
        self._transit.universe.after(left_s, self._go_on, call, *args)
        return True

    def _go_on(self, call: Callable[..., None], *args: object) -> None:
        if self._open and not self._over:
            call(*args)

    def connected(self) -> None:
        """Accepted by the far kernel: both sides begin to greet."""
        if self._held(self.connected):
            return
        self._note(Kind.ACCEPTED)
        self._limit.cancel()
        self._limit = self._clock.after(HANDSHAKE_IVL_MS / 1000, self._give_up, Cause.NO_HANDSHAKE)
        self._tell(self._told_accepted)
        self._say(GREETING)

    def received(self, payload: object) -> None:
        """The next thing said by whoever is there."""
        if self._held(self.received, payload):
            return
        self._spoken_to = True
        if not isinstance(payload, Said):
            return  # a piece of something longer
        self._asked_at = None
        match payload.what:
            case Says.MESSAGE:
                self._tell(self._told_message, payload.frames)
            case Says.GREETING:
                self._say(READY)
            case Says.READY:
                self._shaken = True
                self._limit.cancel()
                self._note(Kind.HANDSHAKEN)
                self._tell(self._told_shaken)
                self._limit = self._clock.after(HEARTBEAT_IVL_S, self._beat)
            case Says.RAW:
                self._give_up(Cause.PROTOCOL)

    def ended(self, how: Ended) -> None:
        """The connection is over."""
        if not self._over and not self._held(self.ended, how):
            established = self._connection.established and how not in _NEVER_UP
            self._finish(Cause.CLOSED if established else Cause.NO_ANSWER)

    def _beat(self) -> None:
        if self._held(self._beat):
            return
        now = self._clock.now()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at >= HEARTBEAT_TIMEOUT_MS / 1000:
            self._give_up(Cause.CLOSED)
            return
        self._say(PING)
        self._limit = self._clock.after(HEARTBEAT_IVL_S, self._beat)

    def _say(self, said: Said) -> None:
        self._connection.up.push(SIZES[said.what], said)

    def _give_up(self, cause: Cause) -> None:
        """The connection is ended from within libzmq."""
        if self._held(self._give_up, cause):
            return
        self._over = True
        self._connection.reset()
        self._finish(cause)

    def _finish(self, cause: Cause) -> None:
        self._over = True
        self._stop()
        if cause is Cause.CLOSED and not self._shaken:
            cause = Cause.NO_HANDSHAKE
        if cause is Cause.NO_HANDSHAKE and self._spoken_to:
            cause = Cause.PROTOCOL  # it did say something, and it was no handshake
        self._tell(self._told_down, cause)

    def _stop(self) -> None:
        self._limit.cancel()

    def _note(self, kind: Kind, **data: Datum) -> None:
        universe = self._transit.universe
        universe.trace.note(universe.now, kind, self._image, gen=self.gen, **data)


class VirtualScout:
    """One bare connect."""

    def __init__(self, party: VirtualScouts, address: str, connection: Connection) -> None:
        self.party = party
        self.address = address
        self.connection = connection
        self.found = Scouting.SILENT
        self.back_at: float | None = None
        self.timer: Timer | None = None

    def connected(self) -> None:
        """Somebody accepts there."""
        self.connection.forget()
        self._back(Scouting.OPEN)

    def received(self, payload: object) -> None:
        """Nobody has told the far end who we are; what it says is not read."""

    def ended(self, how: Ended) -> None:
        """It was refused, or could not leave."""
        self._back(Scouting.REFUSED if how in {Ended.REFUSED, Ended.RESET} else Scouting.NO_ROUTE)

    def _back(self, found: Scouting) -> None:
        self.found = found
        self.party.back(self)


class VirtualScouts:
    """The scouts of one image: `resilience.seams.ScoutParty`."""

    def __init__(
        self, found: Callable[[str, Scouted], None], transit: Transit, tell: Tell, image: int
    ) -> None:
        self._found = found
        self._transit = transit
        self._tell = tell
        self._image = image
        self._out: dict[int, tuple[VirtualScout, float]] = {}

    def send(self, address: str, port: int, timeout_s: float) -> None:
        """Try one connect; at the limit the oldest scout is given up for it."""
        del port  # images listen on theirs, and nothing else does
        if len(self._out) >= MAX_SCOUTS:
            self._recall(next(iter(self._out)))
        self._note(Kind.SCOUT, address=address)
        connection = self._transit.connection(self._image, address)
        scout = VirtualScout(self, address, connection)
        clock = self._transit.clock
        self._out[connection.number] = scout, clock.now()
        scout.timer = clock.after(timeout_s, self.back, scout)
        connection.dial(scout)

    def back(self, scout: VirtualScout) -> None:
        """A scout has found something, or its time is over."""
        if scout.timer is not None:
            scout.timer.cancel()
            scout.timer = None
            self._tell(self._told, scout)

    def call_off(self) -> None:
        """Close every scout under way."""
        for number in list(self._out):
            self._recall(number)

    def _told(self, scout: VirtualScout) -> None:
        number = scout.connection.number
        if number not in self._out:
            return
        sent_at = self._out[number][1]
        self._recall(number)
        self._note(Kind.SCOUTED, address=scout.address, found=scout.found.value)
        took_s = 0.0 if scout.found is Scouting.SILENT else self._transit.clock.now() - sent_at
        self._found(scout.address, Scouted(scout.found, took_s))

    def _recall(self, number: int) -> None:
        scout, _ = self._out.pop(number)
        if scout.timer is not None:
            scout.timer.cancel()
            scout.timer = None
        scout.connection.forget()

    def _note(self, kind: Kind, **data: Datum) -> None:
        universe = self._transit.universe
        universe.trace.note(universe.now, kind, self._image, **data)
