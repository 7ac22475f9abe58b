"""One connection machine with a clock of our own: facts go in, commands come out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from machines import Ask, Cause, Command, Connection, Event, Identity, Policy, Reason, State, Trigger
from machines.commands import Announce, Dial, Ping
from machines.events import (
    Accepted,
    Answered,
    Asked,
    Handshaken,
    LinkDown,
    PathChanged,
    SessionFound,
    SessionRestored,
    Tick,
)

OURS = Identity("ours", 100.0)
THEIRS = Identity("theirs", 5.0)


class Rig:
    """A connection, its clock, and everything it ever commanded."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.now = 0.0
        self.connection = Connection(Random(7), policy)
        self.commands: list[Command] = []

    def feed(self, *events: Event) -> list[Command]:
        """What the connection commands upon these facts, all of this very moment."""
        got = [command for event in events for command in self.connection.receive(event, self.now)]
        self.commands += got
        return got

    @property
    def state(self) -> State:
        return self.connection.state

    @property
    def reason(self) -> Reason:
        return self.connection.reason

    def ask(self, what: Ask) -> list[Command]:
        return self.feed(Asked(what))

    def wait(self, for_s: float) -> list[Command]:
        """Let time pass and nothing happen but the connection's own timers."""
        until, got = self.now + for_s, list[Command]()
        while (at := self.connection.deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            got += self.feed(Tick())
        self.now = until
        return got

    @property
    def gen(self) -> int:
        """The newest link."""
        return max(command.gen for command in self.commands if isinstance(command, Dial))

    def answer(self, identity: Identity = OURS) -> list[Command]:
        """The newest link goes all the way to an answer."""
        return self.feed(Accepted(self.gen), Handshaken(self.gen), Answered(self.gen, identity))

    def snapshot(self) -> tuple[object, ...]:
        """All that a host or a shell can see."""
        c = self.connection
        public = (c.state, c.reason, c.detail, c.wanted, c.dirty, c.path_usable, c.identity, c.busy)
        return *public, c.deadline(), repr(c.live), repr(c.drain), repr(c.search.dial), c.search.rtt_s


def kinds(commands: list[Command]) -> list[type[Command]]:
    return [type(command) for command in commands]


def moves(commands: list[Command]) -> list[tuple[State, Trigger, State]]:
    return [(a.source, a.trigger, a.target) for a in commands if isinstance(a, Announce)]


def fresh() -> Rig:
    return Rig()


def restoring() -> Rig:
    rig = Rig()
    rig.feed(SessionFound())
    return rig


def restored() -> Rig:
    rig = restoring()
    rig.feed(SessionRestored(OURS))
    return rig


def connected() -> Rig:
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.answer()
    return rig


def modified() -> Rig:
    rig = connected()
    rig.ask(Ask.EDITED)
    return rig


def reconnecting() -> Rig:
    rig = connected()
    rig.feed(LinkDown(rig.gen, Cause.CLOSED))
    return rig


def failed() -> Rig:
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.feed(LinkDown(rig.gen, Cause.ACCESS))
    return rig


def orphaned() -> Rig:
    rig = reconnecting()
    rig.answer(THEIRS)
    return rig


AT: dict[State, Callable[[], Rig]] = {
    State.FRESH: fresh,
    State.RESTORING: restoring,
    State.RESTORED: restored,
    State.CONNECTED: connected,
    State.MODIFIED: modified,
    State.RECONNECTING: reconnecting,
    State.FAILED: failed,
    State.ORPHANED: orphaned,
}


def back() -> Rig:
    """The path has just come back after a flap: link 1 is asked, link 2 is dialled."""
    rig = connected()
    rig.wait(1)
    rig.feed(PathChanged(usable=False))
    rig.wait(0.5)
    got = rig.feed(PathChanged(usable=True))
    assert Ping(1) in got
    assert Dial(2) in got
    return rig
