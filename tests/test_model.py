"""Bounded model checking: every configuration a connection can be in, every fact, every law.

The exploration is breadth-first over the real `Connection`, cloned before each
fact. Two configurations count as one when everything discrete about them agrees
and their pending deadlines come in the same order; ages matter only where the
machine compares them with a limit. The schedule is played without growth and
without jitter, always at its ceiling: the longest waits, hence the worst case.

From every configuration found, a good path is played with nobody telling of it:
all old links dead, every new dial answered. It has to lead to Connected or
Modified by timers alone, within ten seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest

from machines import TABLE, Ask, Cause, Command, Connection, Event, Identity, Policy, Reason, Refused, State
from machines.commands import Abort, Announce, ArchiveSession, Dial, Inspect, Ping, Scout, Serve
from machines.events import (
    Abandoned,
    Accepted,
    AddressGone,
    Answered,
    Asked,
    Handshaken,
    InFlight,
    LinkDown,
    LookingUp,
    PathChanged,
    PathProven,
    Scouted,
    Scouting,
    SessionAbsent,
    SessionFound,
    SessionRestored,
    SessionUnreadable,
    Stalled,
    Tick,
    Vitals,
    Woke,
)
from machines.policy import MAX_GAP_S
from machines.schedule import Schedule, ceiling_s
from machines.search import _SOMEBODY_ANSWERED, Phase
from machines.table import LIVE

OURS, THEIRS = Identity("ours"), Identity("theirs")
RULES = {(rule.source, rule.trigger, rule.target) for rule in TABLE}
RESTING = (State.FAILED, State.ORPHANED)
POLICY = Policy(
    connect_first_s=4.0,
    connect_min_s=4.0,
    handshake_s=4.0,
    patience_max_s=4.0,
    give_up_after_s=1_000.0,
    gone_after_s=2_000.0,
)
"""As patient as many timeouts make it: what a dial under way may cost at most. The limits lie so that
one long silence reaches the last rung, a second one the first limit, and a very long one the other."""
RTT_S = 0.05
STEP_S = 0.02
"""Facts come this long after one another: more than the kernel's clock grain, less than any timer."""
LONG_S = 700.0
"""Beyond the last rung of every ladder."""
RECOVERY_S = 10.0
REFUSABLE = (Asked, SessionFound, SessionRestored, SessionAbsent, SessionUnreadable)
"""Everything else is a plain fact, and facts cannot be refused."""
AGE_S = {Phase.SYN: 2 * RTT_S + 0.02, Phase.ACCEPTED: float("inf"), Phase.PINGING: POLICY.frozen_s}
"""The age of a dial that matters in each phase."""


class Ceiling(Schedule):
    """Every gap at its longest, and nothing to remember but the outage's beginning."""

    def gap_s(self, cause: Cause, now: float, crowd: int) -> float:  # noqa: ARG002 - the parent's signature
        return min(MAX_GAP_S, ceiling_s(cause, now - self.since))

    def reset(self, now: float) -> None:
        self.since = now


@dataclass(frozen=True, slots=True)
class Node:
    """A configuration: the machine, and what the world knows of it that the machine need not."""

    connection: Connection
    now: float
    serving: int | None = None
    newest: int = 0
    answered_by: tuple[tuple[int, str | None], ...] = ()
    """Who last answered on each open link."""


def begin(kind: type[Connection] = Connection) -> Node:
    connection = kind(Random(0), POLICY)
    connection.search._schedule = Ceiling(Random(0))
    return Node(connection, now=0.0)


def clone(connection: Connection) -> Connection:
    """A copy that shares nothing that changes; `explore` checks that it does not."""
    twin: Connection = _shallow(connection)
    twin._out = []
    twin.live = connection.live and _slots(connection.live)
    twin.drain = connection.drain and _slots(connection.drain)
    twin.search = _shallow(connection.search)
    twin.search._out = twin._out
    twin.search.dial = connection.search.dial and _slots(connection.search.dial)
    twin.search._schedule = _shallow(connection.search._schedule)
    return twin


def _shallow(thing: Any) -> Any:
    """`copy.copy` in a tenth of its time: millions are made."""
    twin = object.__new__(type(thing))
    twin.__dict__.update(thing.__dict__)
    return twin


def _slots(thing: Any) -> Any:
    return type(thing)(*[getattr(thing, name) for name in thing.__slots__])


def abstract(node: Node) -> tuple[object, ...]:
    """What makes two configurations the same."""
    c, now = node.connection, node.now
    search, live, dial, claimed = c.search, c.live, c.search.dial, c.state in LIVE
    told = (c.state, c.reason if claimed else None, c.wanted, c.dirty, c.path_usable)
    failed_by_network = c.state is State.FAILED and c._failed_by_network
    owner = "ours" if c.state is State.RESTORING else c.identity.image_id  # the session will say
    met = live and (owner and dict(node.answered_by)[live.gen] == owner, live.met is not None, live.proven)
    link = live and (
        live.suspect_since is not None,
        None
        if live.busy_since is None
        else (live.trivial, claimed and now - live.busy_since >= POLICY.busy_after_s),
        claimed and now - live.clean_since > POLICY.frozen_s,
    )
    attempt = dial and (dial.phase, now - dial.since > AGE_S[dial.phase])
    history = (search.cause in _SOMEBODY_ANSWERED, now - search._schedule.since > LONG_S / 2)
    timers = (
        search.next_try_at,
        dial and dial.deadline,
        dial and dial.check_at,
        live and live.check_at,
        live.ping_at if live and claimed and not c.busy else None,
        c.drain and c.drain.until,
    )
    order = tuple(n for _, n in sorted((at, n) for n, at in enumerate(timers) if at is not None))
    return told, failed_by_network, owner is None, met, link, attempt, history, order


def links(connection: Connection) -> set[int]:
    held = (connection.live, connection.search.dial, connection.drain)
    return {link.gen for link in held if link is not None}


# -- what can happen -----------------------------------------------------------------

NOT_OF_LIVE = (LookingUp, Accepted, Handshaken)
NOT_OF_DIAL = (InFlight, Abandoned)
NOT_OF_DRAIN = (LookingUp, Accepted, Handshaken, InFlight, Vitals)

ANYTIME: tuple[Event, ...] = (
    *(Asked(ask) for ask in Ask),
    SessionFound(),
    SessionRestored(OURS),
    SessionRestored(OURS, dirty=True),
    SessionAbsent(),
    SessionUnreadable(),
    *(Scouted(found, RTT_S) for found in (Scouting.OPEN, Scouting.REFUSED, Scouting.SILENT)),
    PathChanged(usable=True),
    PathChanged(usable=False),
    PathProven(),
    Woke(60.0),
    Stalled(5.0),
)


def about(gen: int) -> Iterator[Event]:
    """Every fact there is about one link."""
    yield from (Accepted(gen), Handshaken(gen), Answered(gen, OURS), Answered(gen, THEIRS))
    yield from (LinkDown(gen, cause) for cause in (Cause.CLOSED, Cause.PROTOCOL, Cause.ACCESS))
    yield from (InFlight(gen, busy=True), InFlight(gen, busy=True, trivial=True), InFlight(gen, busy=False))
    yield from (LookingUp(gen, done=False), LookingUp(gen, done=True), Abandoned(gen), AddressGone(gen))
    yield from (Vitals(gen, 0.0, 0.0), Vitals(gen, 0.0, 60.0), Vitals(gen, 60.0, 60.0))


def happenings(node: Node) -> Iterator[tuple[Event, float]]:
    """Every fact that may mean something here, with the time it takes to happen."""
    c = node.connection
    yield from ((event, STEP_S) for event in ANYTIME)
    for link, deaf in ((c.live, NOT_OF_LIVE), (c.search.dial, NOT_OF_DIAL), (c.drain, NOT_OF_DRAIN)):
        if link is not None:
            yield from ((event, STEP_S) for event in about(link.gen) if not isinstance(event, deaf))
    if (due := c.deadline()) is not None:
        wait_s = max(0.0, due - node.now)
        yield from ((Tick(), wait_s + late_s) for late_s in (0.0, LONG_S, 3 * LONG_S))


def nothings(node: Node) -> Iterator[Event]:
    """Facts about bygone links, and those that mean nothing for a link in its role."""
    c = node.connection
    yield from about(gen=0)
    for link, deaf in ((c.live, NOT_OF_LIVE), (c.search.dial, NOT_OF_DIAL), (c.drain, NOT_OF_DRAIN)):
        if link is not None:
            yield from (event for event in about(link.gen) if isinstance(event, deaf))


# -- the laws --------------------------------------------------------------------------


class Broken(AssertionError):  # noqa: N818 - what a law is when it does not hold
    """A law does not hold on one edge.

    Attributes:
        law: which.
        edge: where.
    """

    def __init__(self, law: str, before: Connection, event: Event, got: tuple[Command, ...]) -> None:
        self.law = law
        self.edge = f"in {before.state} ({before.reason}), upon {event}: {got}"
        super().__init__(f"{law}; {self.edge}")


def follow(node: Node, twin: Connection, event: Event, wait_s: float) -> Node | None:
    """What becomes of `twin`, a clone of the node's connection, upon a fact; None if it was refused.

    Raises:
        Broken: a law does not hold on the way.
    """
    now = node.now + wait_s
    try:
        got = twin.receive(event, now)
    except Refused:
        if not isinstance(event, REFUSABLE):
            raise Broken("only the host and the store are refused", node.connection, event, ()) from None
        if twin._out or _visible(twin) != _visible(node.connection):
            raise Broken("a refusal changes nothing", node.connection, event, ()) from None
        return None
    names, held = dict(node.answered_by), links(twin)
    if isinstance(event, Answered):
        names[event.gen] = event.identity.image_id
    serving, newest = node.serving, node.newest
    for command in got:
        if isinstance(command, Serve):
            serving = command.gen
        elif isinstance(command, Dial):
            newest = max(newest, command.gen)
    after = Node(twin, now, serving, newest, tuple((gen, name) for gen, name in names.items() if gen in held))
    for law in broken_laws(node, event, got, after):
        raise Broken(law, node.connection, event, got)
    return after


def _visible(c: Connection) -> tuple[object, ...]:
    return c.state, c.reason, c.detail, c.wanted, c.dirty, c.path_usable, c.identity, links(c), c.deadline()


def broken_laws(before: Node, event: Event, got: tuple[Command, ...], after: Node) -> Iterator[str]:
    """Name every law that the step from `before` to `after` breaks."""
    c = after.connection
    yield from broken_moves(before.connection, got, c)
    yield from broken_links(before, event, got, c)
    yield from broken_work(before.connection, event, got, c)
    yield from broken_asking(before.connection, got)
    yield from broken_serving(before, event, after)
    yield from broken_search(event, after)
    if c.reason is Reason.BUSY and not (c.busy and c.state in LIVE):
        yield "only a busy image is called busy"
    if c.reason is Reason.WAITING and c.path_usable:
        yield "nobody waits for a network that is there"


def broken_serving(before: Node, event: Event, after: Node) -> Iterator[str]:
    c, by = after.connection, after.serving
    if by != (c.live.gen if c.live is not None and c.state in LIVE else None) or (c.state in LIVE) is (
        by is None
    ):
        yield "exactly Connected and Modified serve, and by the living link"
    elif by is not None and dict(after.answered_by)[by] != c.identity.image_id:
        yield "only the session's own image serves"
    met = (event.identity,) if isinstance(event, Answered) else ()
    orphaned = before.connection.state is not State.ORPHANED and c.reason is Reason.OTHER_IMAGE
    if orphaned and not met and all(name == OURS.image_id for _, name in before.answered_by):
        yield "a stranger is somebody who is there"


def broken_search(event: Event, after: Node) -> Iterator[str]:
    c, due = after.connection, after.connection.deadline()
    searching = c.search.next_try_at is not None or c.search.dial is not None
    if c.state in RESTING and (links(c) or due is not None):
        yield "Failed and Orphaned rest"
    if c.wanted and c.state in (State.FRESH, State.RESTORED, State.RECONNECTING) and not searching:
        yield "a wanted image is always being looked for"
    if not c.wanted and (links(c) or searching):
        yield "nobody looks for an image that is not wanted"
    if isinstance(event, Tick) and due is not None and due <= after.now:
        yield "time moves on"


def broken_moves(before: Connection, got: tuple[Command, ...], after: Connection) -> Iterator[str]:
    here = before.state
    for command in got:
        if isinstance(command, Announce):
            if (command.source, command.trigger, command.target) not in RULES:
                yield "only the table moves"
            if command.source is not here:
                yield "announcements form a chain"
            here = command.target
    if here is not after.state:
        yield "every move is announced"


def broken_links(node: Node, event: Event, got: tuple[Command, ...], after: Connection) -> Iterator[str]:
    """Each link opened ends exactly once, and the machine knows of every open one."""
    opened, newest = links(node.connection), node.newest
    dial = node.connection.search.dial
    settled = opened - {dial.gen if dial is not None else 0}
    if isinstance(event, LinkDown):
        opened.discard(event.gen)
    if isinstance(event, Answered):
        settled.add(event.gen)
    for command in got:
        match command:
            case Dial(gen):
                if gen <= newest:
                    yield "generations are never used twice"
                if opened - settled:
                    yield "one dial at a time"
                newest = gen
                opened.add(gen)
            case Abort(gen) | Ping(gen) | Inspect(gen) if gen not in opened:
                yield "only open links are aborted and used"
            case Abort(gen):
                opened.remove(gen)
    if opened != links(after):
        yield "no link is leaked or invented"


def broken_asking(before: Connection, got: tuple[Command, ...]) -> Iterator[str]:
    live = before.live
    if live is not None and live.proven and live.busy_since is not None and Ping(live.gen) in got:
        yield "nothing is asked of a busy link"


def broken_work(
    before: Connection, event: Event, got: tuple[Command, ...], after: Connection
) -> Iterator[str]:
    dirty = before.dirty or event in (Asked(Ask.EDITED), SessionRestored(OURS, dirty=True))
    if dirty and not after.dirty and event != Asked(Ask.SAVED) and ArchiveSession() not in got:
        yield "edits are dropped only when saved or archived"
    if after.state in LIVE and after.dirty is not (after.state is State.MODIFIED):
        yield "Modified means unsaved edits"


# -- liveness --------------------------------------------------------------------------


def recover(node: Node, *, told: bool) -> float:
    """How long until the image serves over a link made after everything became well."""
    c, start = clone(node.connection), node.now
    image = c.identity if c.identity.image_id else OURS
    old, now = c.search.gen, start
    coming: list[tuple[float, int, Event]] = []
    serial = 0
    first: list[Event] = []
    if not c.wanted and c.state not in RESTING:
        first.append(Asked(Ask.CONNECT))
    if told:
        first.append(PathChanged(usable=True))
    if c.state is State.RESTORING:
        first.append(SessionRestored(image))
    while c.state not in LIVE or c.live is None or c.live.gen <= old:
        due = c.deadline()
        if first or c.state in RESTING:
            event = first.pop(0) if first else Asked(Ask.RETRY)
        elif coming and (due is None or coming[0][0] <= due):
            now, _, event = heappop(coming)
        elif due is None or due > start + 2 * RECOVERY_S:
            return float("inf")
        else:
            now, event = max(now, due), Tick()
        for command in c.receive(event, now):
            for delay_s, answer in _well(command, old, image, now - start):
                serial += 1
                heappush(coming, (now + delay_s, serial, answer))
    return now - start


def _well(command: Command, old: int, image: Identity, age_s: float) -> list[tuple[float, Event]]:
    """What a good path and the right image do; links up to `old` are dead for ever."""
    match command:
        case Dial(gen):
            return [(RTT_S, Accepted(gen)), (2 * RTT_S, Handshaken(gen))]
        case Ping(gen) if gen > old:
            return [(RTT_S, Answered(gen, image))]
        case Inspect(gen):
            quiet_s = 0.0 if gen > old else age_s + 60.0
            return [(0.0, Vitals(gen, quiet_s, quiet_s, RTT_S))]
        case Scout():
            return [(RTT_S, Scouted(Scouting.OPEN, RTT_S))]
    return []


# -- the exploration -------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """What an exploration saw."""

    configurations: int = 0
    edges: int = 0
    refusals: int = 0
    worst_told_s: float = 0.0
    worst_untold_s: float = 0.0
    states: Counter[State] = field(default_factory=Counter)


def explore(start: Node, limit: int = 1_000_000) -> Found:
    """Visit every configuration; raise `Broken` at the first law that does not hold."""
    found = Found()
    seen, queue = {abstract(start)}, deque([start])
    while queue and found.configurations < limit:
        node = queue.popleft()
        same = abstract(node)
        found.configurations += 1
        found.states[node.connection.state] += 1
        for event in nothings(node):
            if node.connection.receive(event, node.now) or abstract(node) != same:
                raise Broken("what means nothing here changes nothing", node.connection, event, ())
        spare: Connection | None = None
        for event, wait_s in happenings(node):
            found.edges += 1
            twin = spare or clone(node.connection)
            after = follow(node, twin, event, wait_s)
            spare = twin if after is None else None
            if after is None:
                found.refusals += 1
            elif (key := abstract(after)) not in seen:
                seen.add(key)
                queue.append(after)
        if abstract(node) != same:
            raise AssertionError("a clone shares something with its original")
        found.worst_untold_s = max(found.worst_untold_s, _recovery(node, told=False))
        found.worst_told_s = max(found.worst_told_s, _recovery(node, told=True))
    return found


def _recovery(node: Node, *, told: bool) -> float:
    took_s = recover(node, told=told)
    if took_s > RECOVERY_S:
        raise Broken(f"a good path leads back within {RECOVERY_S:.0f} s", node.connection, Tick(), ())
    return took_s


@pytest.mark.timeout(600)
def test_every_configuration_keeps_every_law(capsys: pytest.CaptureFixture[str]) -> None:
    """Explored to the end: safety on every edge, recovery from every configuration."""
    found = explore(begin())
    with capsys.disabled():
        print(f"\n{found}")  # noqa: T201 - the size of a proof is part of it
    assert set(found.states) == set(State)
    assert found.configurations > 10_000
    assert found.worst_told_s <= 0.5
    assert found.worst_untold_s <= RECOVERY_S


# -- the checker can see: machines tampered with at their boundary -------------------------

Tamper = Callable[[Connection, Event, tuple[Command, ...]], tuple[Command, ...]]


def without(kind: type[Command]) -> Tamper:
    return lambda _c, _event, got: tuple(command for command in got if not isinstance(command, kind))


def twice(kind: type[Command]) -> Tamper:
    return lambda _c, _event, got: (*got, *(command for command in got if isinstance(command, kind)))


def forgets_edits(c: Connection, event: Event, got: tuple[Command, ...]) -> tuple[Command, ...]:
    c.dirty = c.dirty and not isinstance(event, PathChanged)
    return got


def gives_up(c: Connection, event: Event, got: tuple[Command, ...]) -> tuple[Command, ...]:
    if isinstance(event, LinkDown) and c.search.dial is None:
        c.search.next_try_at = None
    return got


def numbers_anew(c: Connection, event: Event, got: tuple[Command, ...]) -> tuple[Command, ...]:
    if event == Asked(Ask.DISCONNECT):
        c.search.gen = 0
    return got


def dials_at_rest(c: Connection, _event: Event, got: tuple[Command, ...]) -> tuple[Command, ...]:
    if c.state is State.FAILED:
        c.search.next_try_at = 1e9
    return got


def never_hurries(c: Connection, _event: Event, got: tuple[Command, ...]) -> tuple[Command, ...]:
    if c.search.next_try_at is not None and c.state is State.RECONNECTING:
        c.search.next_try_at += 11.0
    return got


def believes_the_bygone(c: Connection, event: Event, got: tuple[Command, ...]) -> tuple[Command, ...]:
    if isinstance(event, LinkDown) and event.gen == 0:
        c.wanted = False
    return got


@pytest.mark.parametrize(
    ("tamper", "law"),
    [
        (without(Abort), "no link is leaked or invented"),
        (twice(Abort), "only open links are aborted and used"),
        (without(Announce), "every move is announced"),
        (twice(Announce), "announcements form a chain"),
        (without(Serve), "exactly Connected and Modified serve, and by the living link"),
        (forgets_edits, "edits are dropped only when saved or archived"),
        (gives_up, "a wanted image is always being looked for"),
        (numbers_anew, "generations are never used twice"),
        (dials_at_rest, "Failed and Orphaned rest"),
        (never_hurries, "a good path leads back within 10 s"),
        (believes_the_bygone, "what means nothing here changes nothing"),
    ],
)
def test_a_machine_tampered_with_is_caught(tamper: Tamper, law: str) -> None:
    """Each planted fault breaks exactly the law that is there for it, within a few configurations."""

    class Tampered(Connection):
        def receive(self, event: Event, now: float) -> tuple[Command, ...]:
            return tamper(self, event, super().receive(event, now))

    with pytest.raises(Broken) as caught:
        explore(begin(Tampered), limit=3_000)
    assert caught.value.law == law
