"""An image's machine: its kernel, which answers while there is power, and whatever process listens there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from simulations.trace import Datum, Kind
from simulations.virtual.programs import HOSTILE, Program, RepServer
from simulations.virtual.tcp import Connection
from simulations.virtual.universe import Universe
from simulations.virtual.zmtp import SIZES, Said, size_of

FOREIGN_VERSION = "2.0.0"
"""Of the protocol: another major version."""


class Process:
    """One life of a program. Stopped, it takes in nothing until it goes on."""

    def __init__(self, universe: Universe) -> None:
        self.frozen = False
        self._alive = True
        self._universe = universe
        self._held: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def run(self, call: Callable[..., object], *args: object) -> None:
        """Now, after the thaw, or never."""
        if self.frozen:
            self._held.append((call, args))
        elif self._alive:
            call(*args)

    def later(self, delay_s: float, call: Callable[..., object], *args: object) -> None:
        """Then, after the thaw, or never."""
        self._universe.after(delay_s, self.run, call, *args)

    def thaw(self) -> None:
        """Go on with what has come meanwhile, in order."""
        self.frozen = False
        while self._held and not self.frozen:
            call, args = self._held.pop(0)
            self.run(call, *args)

    def has_unread(self, caller: Caller) -> bool:
        """Whether this caller said something that waits for the thaw."""
        return any(caller in args for _, args in self._held)

    def kill(self) -> None:
        """It does nothing any more."""
        self._alive = False


class Caller:
    """The far end of one connection, as the program there holds it."""

    __slots__ = ("_ended", "_process", "_program", "connection", "open", "waiting")

    def __init__(
        self,
        connection: Connection,
        process: Process,
        program: Program,
        ended: Callable[[Caller], object],
    ) -> None:
        self.connection = connection
        self.open = True
        self.waiting: deque[tuple[bytes, ...]] = deque()
        """Requests read from it that wait for their turn. They outlive it, as in libzmq's pipe."""
        self._process = process
        self._program = program
        self._ended = ended
        process.run(program.accepted, self)

    def received(self, payload: object) -> None:
        if isinstance(payload, Said):
            self._process.run(self._program.received, self, payload)

    def ended(self) -> None:
        self.open = False
        self._ended(self)

    def say(self, said: Said) -> None:
        """Anything but a message."""
        if self.open:
            self.connection.down.push(SIZES[said.what], said)

    def send(self, frames: tuple[bytes, ...]) -> None:
        """A message."""
        if self.open:
            self.connection.down.push(size_of(frames), Said.message(frames))

    def hang_up(self, *, unread: bool = False) -> None:
        """Close the connection from this side."""
        if self.open:
            self.open = False
            self.connection.close_server(unread=unread)
            self._ended(self)


class Role(NamedTuple):
    """Who listens at the address."""

    image_id: str
    program: Callable[[VirtualImage], Program]


class VirtualImage:
    """One image, its machine, and who may take its place: `simulations.virtual.tcp.Listener`."""

    def __init__(self, universe: Universe, number: int, address: str, elsewhere: str) -> None:
        self.number = number
        self.address = address
        self.powered = True
        self.epoch = 0
        self.slow_s = 0.0
        self.executed: list[tuple[float, str, str]] = []
        """When a request was begun, its label, and the image that began it."""
        self._universe = universe
        self._elsewhere = elsewhere
        self._right = Role(f"image-{number}", lambda here: RepServer(here, f"image-{number}"))
        self._role = self._right
        self._process: Process | None = None
        self._program: Program | None = None
        self._callers: dict[int, Caller] = {}
        self._saving_until = 0.0
        self.start()

    @property
    def image_id(self) -> str:
        """Of whoever has the address now, running or not."""
        return self._role.image_id

    @property
    def listening(self) -> bool:
        """Whether its port is open."""
        return self.epoch % 2 == 1

    @property
    def connections(self) -> list[Connection]:
        """Those its program holds."""
        return [caller.connection for caller in self._callers.values()]

    # -- its kernel --------------------------------------------------------------------------

    def accept(self, connection: Connection) -> Caller:
        """The program gets it, at once or when it goes on."""
        if self._process is None or self._program is None:
            raise AssertionError  # nobody listens without a process
        caller = Caller(connection, self._process, self._program, self._gone)
        self._callers[connection.number] = caller
        return caller

    def _gone(self, caller: Caller) -> None:
        self._callers.pop(caller.connection.number, None)

    def _listen(self, *, on: bool) -> None:
        if on != self.listening:
            self.epoch += 1
            self._note(Kind.LISTENING, image_id=self.image_id, listening=on)

    def _close_sockets(self) -> None:
        self._listen(on=False)
        for caller in list(self._callers.values()):
            caller.hang_up(unread=self._process is not None and self._process.has_unread(caller))
        if self._program is not None:
            self._program.closed()

    # -- what programs know of it --------------------------------------------------------------

    def now(self) -> float:
        return self._universe.now

    def later(self, delay_s: float, call: Callable[..., object], *args: object) -> None:
        if self._process is not None:
            self._process.later(delay_s, call, *args)

    def note_executed(self, label: str, caller: Caller) -> None:
        image_id = self.image_id
        self.executed.append((self._universe.now, label, image_id))
        self._note(Kind.EXECUTED, label=label, image_id=image_id, conn=caller.connection.gen)

    def note_answered(self, label: str) -> None:
        self._note(Kind.ANSWERED, label=label, image_id=self.image_id)

    def _note(self, kind: Kind, **data: Datum) -> None:
        self._universe.trace.note(self._universe.now, kind, self.number, **data)

    # -- steps -------------------------------------------------------------------------------

    def start(self) -> None:
        """The program is started, with nothing in its memory but who it is."""
        if self._process is None and self.powered:
            self._process = Process(self._universe)
            self._program = self._role.program(self)
            self._saving_until = 0.0
            self._listen(on=True)

    def kill(self) -> None:
        """The process is gone; its kernel closes its sockets."""
        if self._process is not None:
            self._close_sockets()
            self._end_process()

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._process = self._program = None

    def save(self, for_s: float) -> None:
        """The sockets close, and open again after so long; the image itself goes on."""
        if self._process is not None:
            self._saving_until = max(self._saving_until, self._universe.now + for_s)
            self._process.run(self._save)

    def _save(self) -> None:
        """A process that was stopped meanwhile may find that there is no time left for it."""
        left_s = self._saving_until - self._universe.now
        if left_s > 0 and self._process is not None:
            self._close_sockets()
            self._process.later(left_s, self._saved)

    def _saved(self) -> None:
        if self._universe.now >= self._saving_until - 1e-9:
            self._listen(on=True)

    def busy(self, for_s: float) -> None:
        """Somebody else's work goes first."""
        if self._program is not None:
            self._program.occupy(for_s)

    def freeze(self) -> None:
        """The process is stopped; its kernel is not."""
        if self._process is not None:
            self._process.frozen = True

    def thaw(self) -> None:
        """The process goes on."""
        if self._process is not None and self._process.frozen:
            self._process.thaw()

    def replace(self) -> None:
        """Another image takes its place."""
        other = f"other-{self.number}"
        self._become(Role(other, lambda here: RepServer(here, other)))

    def upgrade(self) -> None:
        """It is started again with a protocol version that nobody else speaks."""
        own = self._right.image_id
        self._become(Role(own, lambda here: RepServer(here, own, version=FOREIGN_VERSION)))

    def squat(self, kind: str) -> None:
        """Another program takes its place.

        Raises:
            ValueError: there is no such program.
        """
        if kind not in HOSTILE:
            raise ValueError(f"{kind!r} is no squatter; there are {', '.join(HOSTILE)}")
        self._become(Role("squatter", HOSTILE[kind]))

    def restore(self) -> None:
        """The right image is back in its place, started again."""
        if self._role is not self._right:
            self._become(self._right)

    def _become(self, role: Role) -> None:
        running = self._process is not None
        self.kill()
        self._role = role
        if running:
            self.start()

    def move(self) -> None:
        """It goes on at its other address; who talks to the old one hears nothing any more."""
        self.address, self._elsewhere = self._elsewhere, self.address
        self._lose_callers()

    def crash(self) -> None:
        """The machine loses power."""
        if self.powered:
            self.powered = False
            self._listen(on=False)
            self._lose_callers()
            self._end_process()

    def boot(self) -> None:
        """The machine starts, and the program with it."""
        self.crash()
        self.powered = True
        self.start()

    def _lose_callers(self) -> None:
        for caller in self._callers.values():
            caller.open = False
            caller.connection.lose_server()
        self._callers.clear()
