"""What may listen at an image's address: the stand-in image behind its REP socket, or a squatter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Protocol

from resilience.standin.image import Image
from simulations.virtual.link import label_of
from simulations.virtual.zmtp import GREETING, PONG, RAW, READY, Said, Says

if TYPE_CHECKING:
    from simulations.virtual.image import Caller

HUGE_REPLY_BYTES = 12 * 1024 * 1024
"""Beyond the protocol's 10 MB and below what libzmq hangs up on: it is read, and named."""

FLOOD_IVL_S, FLOOD_MESSAGES = 0.01, 10
FLOOD_BACKLOG = 100
"""A send buffer is finite."""

EARLY_S = 1e-9


class Machine(Protocol):
    """What a program knows of where it runs."""

    slow_s: float
    """Every answer takes so long."""

    def now(self) -> float:
        """Seconds, for uptimes."""
        ...

    def later(self, delay_s: float, call: Callable[..., object], *args: object) -> None:
        """Have it called then, if the process still runs; after its thaw, should it be stopped."""
        ...

    def note_executed(self, label: str, caller: Caller) -> None:
        """A request is begun."""
        ...

    def note_answered(self, label: str) -> None:
        """A reply leaves."""
        ...


class Program(Protocol):
    """Runs on an image's machine and owns its port. Called only while its process runs."""

    def accepted(self, caller: Caller) -> None:
        """Somebody connected."""
        ...

    def received(self, caller: Caller, said: Said) -> None:
        """A caller said something."""
        ...

    def closed(self) -> None:
        """Its sockets are closed, and what was read from them is gone."""
        ...

    def occupy(self, for_s: float) -> None:
        """Somebody else's work takes so long."""
        ...


class RepServer:
    """The stand-in image: one request at a time, callers in turn, each reply to whoever asked."""

    def __init__(self, machine: Machine, image_id: str, *, version: str | None = None) -> None:
        self._machine = machine
        self._version = version
        self._turns: deque[Caller] = deque()
        self._at_work = False
        self._occupied_until = 0.0
        self._waits_s = 0.0
        self._image = Image(wait=self._wait, clock=machine.now, image_id=image_id)

    def _wait(self, seconds: float) -> bool:
        self._waits_s += seconds
        return False

    def accepted(self, caller: Caller) -> None:
        """The caller greets first: this saves an event, and no time."""

    def received(self, caller: Caller, said: Said) -> None:
        """The handshake and heartbeats are libzmq's, which never is busy."""
        if said.what is Says.MESSAGE:
            caller.waiting.append(said.frames)
            if len(caller.waiting) == 1:
                self._turns.append(caller)
            self._serve()
        else:
            converse(caller, said)

    def closed(self) -> None:
        """Requests not begun are never begun."""
        for caller in self._turns:
            caller.waiting.clear()
        self._turns.clear()

    def occupy(self, for_s: float) -> None:
        """Other work: requests wait."""
        self._occupied_until = max(self._occupied_until, self._machine.now() + for_s)
        self._machine.later(for_s, self._serve)

    def _serve(self) -> None:
        while self._turns and not self._at_work and self._machine.now() >= self._occupied_until - EARLY_S:
            caller = self._turns.popleft()
            request_id, _, raw = caller.waiting.popleft()
            if caller.waiting:
                self._turns.append(caller)
            self._execute(caller, request_id, raw)

    def _execute(self, caller: Caller, request_id: bytes, raw: bytes) -> None:
        label = label_of(raw)
        self._machine.note_executed(label, caller)
        self._waits_s = 0.0
        reply = self._image.answer(raw)
        if self._version is not None:
            reply = reply.replace(b'"version": "1.0.0"', f'"version": "{self._version}"'.encode())
        takes_s = self._waits_s + self._machine.slow_s
        if takes_s:
            self._at_work = True
            self._machine.later(takes_s, self._done, caller, request_id, reply, label)
        else:
            self._reply(caller, request_id, reply, label)

    def _done(self, caller: Caller, request_id: bytes, reply: bytes, label: str) -> None:
        self._at_work = False
        self._reply(caller, request_id, reply, label)
        self._serve()

    def _reply(self, caller: Caller, request_id: bytes, reply: bytes, label: str) -> None:
        """A caller that is gone gets none, and the REP socket goes on."""
        if caller.open:
            self._machine.note_answered(label)
            caller.send((request_id, b"", reply))


def converse(caller: Caller, said: Said) -> None:
    """What any ZeroMQ socket answers by itself."""
    if said.what is Says.GREETING:
        caller.say(GREETING)
    elif said.what is Says.READY:
        caller.say(READY)
    elif said.what is Says.PING:
        caller.say(PONG)


# -- squatters ---------------------------------------------------------------------------------


class Squatter:
    """Somebody else on the port, and what it does wrong.

    `raw` talks another protocol at once; `mute` never says anything; the others are ZeroMQ sockets, of which
    one `floods` whoever connects, and one has a `reply` of its own to everything.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        raw: bool = False,
        mute: bool = False,
        floods: bool = False,
        reply: Callable[[], bytes] | None = None,
    ) -> None:
        self._machine = machine
        self._raw = raw
        self._mute = mute
        self._floods = floods
        self._reply = reply

    def accepted(self, caller: Caller) -> None:
        if self._raw:
            caller.say(RAW)

    def received(self, caller: Caller, said: Said) -> None:
        if self._raw or self._mute:
            return
        if said.what is Says.MESSAGE:
            if self._reply is not None:
                caller.send((said.frames[0], b"", self._reply()))
            return
        converse(caller, said)
        if said.what is Says.READY and self._floods:
            self._flood(caller)

    def closed(self) -> None:
        """It remembers nothing."""

    def occupy(self, for_s: float) -> None:
        """It does nothing anyway."""

    def _flood(self, caller: Caller) -> None:
        if caller.open:
            for _ in range(FLOOD_MESSAGES if caller.connection.down.backlog < FLOOD_BACKLOG else 0):
                caller.send((b"junk",))
            self._machine.later(FLOOD_IVL_S, self._flood, caller)


class WebServer:
    """Answers whatever it hears in HTTP, and hangs up; a captive portal does the same."""

    def accepted(self, caller: Caller) -> None:
        """It listens first."""

    def received(self, caller: Caller, said: Said) -> None:
        """The first bytes are enough."""
        del said
        caller.say(RAW)
        caller.hang_up()

    def closed(self) -> None:
        """It remembers nothing."""

    def occupy(self, for_s: float) -> None:
        """It does nothing anyway."""


@cache
def _huge() -> bytes:
    return b'{"status": "success", "result": "' + b"x" * HUGE_REPLY_BYTES + b'"}'


def _wrong() -> bytes:
    return b'{"version": "1.0.0", "payload": 7}'


HOSTILE: dict[str, Callable[[Machine], Program]] = {
    "garbage": lambda machine: Squatter(machine, raw=True),
    "http": lambda _: WebServer(),
    "silence": lambda machine: Squatter(machine, mute=True),
    "flood": lambda machine: Squatter(machine, floods=True),
    "huge": lambda machine: Squatter(machine, reply=_huge),
    "wrong": lambda machine: Squatter(machine, reply=_wrong),
}
"""By the text of the step that puts them there."""
