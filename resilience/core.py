"""One image inside the runtime: joins its machine, its requests and its path to the `World`.

Synchronous and single-owner. Whatever happens is fed to the machine; the commands it returns are carried
out here, in order; whatever that makes happen at once is fed in turn, never recursively.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random

from machines import Cause, Connection, Identity, Policy, Reason, State
from machines import commands as c
from machines import events as e
from resilience.change import Change
from resilience.endpoint import Endpoint
from resilience.errors import ImageError, MalformedReply, ReplyTooLarge, UnsupportedRequest, UsageError
from resilience.exchange import Asked, Exchange, Settle, Slot
from resilience.limits import MAX_DETAIL_CHARS, RESOLVE_FRESH_S
from resilience.network.clocks import STALL_S
from resilience.network.snapshot import Path, describe_change
from resilience.seams import World
from resilience.wire import (
    Dialect,
    DialectError,
    Kind,
    Reply,
    Request,
    UnsupportedVersion,
    decode,
    encode,
    known_dialect,
)
from store import SessionSummary, TransitionRecord

_FRAMES = 3
"""Request id, empty delimiter, payload: what a REP socket echoes around its reply."""


class ImageCore:
    """The runtime of one image; `resilience.Image` is its face towards the host."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        world: World,
        random: Random,
        policy: Policy,
        stored: SessionSummary | None,
        next_seq: int,
        on_change: Callable[[Change], None],
    ) -> None:
        self.endpoint = endpoint
        self.key = endpoint.key
        self.connection = Connection(random, policy)
        self.exchange = Exchange(
            self.key, dialect=known_dialect(stored.dialect if stored else None), fresh_id=world.fresh_id
        )
        self.path: Path | None = None
        self.strays = 0
        """Replies that matched nothing outstanding: late, foreign or repeated. Dropped."""
        self._world = world
        self._stored = stored
        self.session = stored.session if stored else world.fresh_id().replace("-", "")
        self._seq = next_seq
        self._on_change = on_change
        self._inbox: deque[e.Event] = deque()
        self._running = False
        self._let_go = False
        self.shown: tuple[Reason, str] = (self.connection.reason, self.connection.detail)
        """Reason and detail as the host may see them: not ahead of the transitions it was told (law 14)."""
        self._unpublished: deque[tuple[Change, list[tuple[Reason, str]]]] = deque()
        """Transitions that wait for the disk, each with the reasons reported since."""
        self._addresses: list[str] = [endpoint.host] if endpoint.numeric else []
        self._resolved_at: float | None = None
        self._resolving = False
        self._turn = 0
        self._scouted_address: str | None = None
        self._dialled: dict[int, str] = {}
        """Where each open link goes."""
        self._dial_waiting: c.Dial | None = None

    # -- the host's side -----------------------------------------------------------------

    @property
    def now(self) -> float:
        """The clock that deadlines are measured by."""
        return self._world.now()

    def start(self) -> None:
        """Find the session, look at the path, and begin to dial."""
        events: list[e.Event] = []
        if self.address is not None:
            self.path = self._find_path()
            if self.path is None:
                events.append(e.PathChanged(usable=False))
        if self._stored is not None:
            events.append(e.SessionFound())
        self.feed(*events, e.Asked(e.Ask.CONNECT))

    def ask(self, what: e.Ask) -> None:
        """The host wants something.

        Raises:
            Refused: the state forbids it.
            UsageError: the image was let go.
        """
        self.check_kept()
        self.feed(e.Asked(what))

    def request(self, kind: Kind, code: str, timeout_s: float, settle: Settle) -> Asked:
        """Queue a request; `settle` is called exactly once, with the reply or the error.

        Raises:
            QueueFull, RequestTooLarge: it was not queued.
            UsageError: the image was let go.
        """
        self.check_kept()
        now = self._world.now()
        asked = Asked(Request(kind, code, self._world.fresh_id()), now, now + timeout_s, settle)
        # A request over the limit is refused here, not on the link.
        encode(asked.request, self.exchange.dialect)
        self.exchange.submit(asked, now)
        self._pump()
        self._world.arm(self)
        return asked

    def withdraw(self, asked: Asked) -> None:
        """The caller no longer waits. What was sent runs on; its reply will be dropped."""
        asked.settle = None

    def close(self) -> None:
        """Let the image go: every link aborted, every request settled. The journal keeps the last state."""
        self._let_go = True
        self._inbox.clear()
        self.exchange.close("the supervisor was closed", self._world.now())
        self._world.call_off_scouts(self)
        for gen in list(self._world.local_addresses(self)):
            self._world.abort_link(self, gen)

    # -- the session's side --------------------------------------------------------------

    @property
    def stored(self) -> SessionSummary | None:
        """What the journal says of the session, as the supervisor found it at its start."""
        return self._stored

    def journal_read(self, stored: SessionSummary | None, next_seq: int) -> None:
        """The journal is known only now. Its session is ours, unless another image has answered by then."""
        self._seq = max(self._seq, next_seq)
        met = self.connection.identity.image_id
        if stored is None or (None not in (met, stored.identity) and met != stored.identity):
            return
        self._stored, self.session = stored, stored.session
        if self.connection.state is State.FRESH:
            self.feed(e.SessionFound())

    def restored(self, *, dirty: bool = False) -> None:
        """The session is in memory."""
        known = self._stored.identity if self._stored else self.connection.identity.image_id
        self.feed(e.SessionRestored(Identity(known), dirty))

    def absent(self) -> None:
        """There is none to restore: what comes is another session."""
        self._begin_session()
        self.feed(e.SessionAbsent())

    def check_caller(self) -> None:
        """Raises UsageError: this is not the event loop it lives on."""
        self._world.check_caller()

    def check_kept(self) -> None:
        """Raises UsageError: as above, or the image was let go; nobody closes what is opened after that."""
        self.check_caller()
        if self._let_go:
            raise UsageError("the supervisor of this image was closed; start another one")

    def _begin_session(self) -> None:
        self._stored, self.session = None, self._world.fresh_id().replace("-", "")

    # -- the world's side ----------------------------------------------------------------

    @property
    def address(self) -> str | None:
        """The numeric address to dial next; None while the name is unresolved."""
        return self._addresses[self._turn % len(self._addresses)] if self._addresses else None

    @property
    def _why_waiting(self) -> str:
        return f"{self.connection.state.lower()}: {self.connection.reason}"

    def deadline(self) -> float | None:
        """When `wake` must be called at the latest."""
        times = (self.connection.deadline(), self.exchange.deadline())
        return min((t for t in times if t is not None), default=None)

    def wake(self) -> None:
        """The deadline has come."""
        now = self._world.now()
        self.exchange.expire(now, self._why_waiting)
        for gen in self.exchange.abandoned():
            self.feed(e.Abandoned(gen))
        due = self.connection.deadline()
        if due is not None and now >= due:
            if now - due >= STALL_S:  # we stood still; the monitor's own tick may only come after this one
                self.feed(e.Stalled(now - due))
            self.feed(e.Tick())
        else:
            self._world.arm(self)

    def feed(self, *events: e.Event) -> None:
        """Let the machine take in what happened, carry out what it decides, arm the next deadline.

        Raises:
            Refused: only for what a host asked.
        """
        if self._let_go:
            return
        self._inbox.extend(events)
        if self._running:
            return
        self._running = True
        try:
            while self._inbox or self._pump():
                for command in self.connection.receive(self._inbox.popleft(), self._world.now()):
                    self._carry_out(command)
        finally:
            self._running = False
        self._world.arm(self)

    def link_down(self, gen: int, cause: Cause, detail: str = "") -> None:
        """A link ended by itself."""
        self._dialled.pop(gen, None)
        self.exchange.link_gone(gen, detail or cause)
        self.feed(e.LinkDown(gen, cause, detail))

    def replied(self, gen: int, frames: list[bytes]) -> None:
        """A message came in on link `gen`."""
        asked = self.exchange.outstanding(gen)
        if asked is None or len(frames) != _FRAMES or frames[1] or frames[0] != asked.request.id.encode():
            self._stray(gen, frames)
            return
        outcome = self._read(frames[2])
        if isinstance(outcome, UnsupportedVersion):
            self.exchange.answered(gen, outcome, self._world.now())
            self._world.abort_link(self, gen)
            self.link_down(gen, Cause.VERSION, outcome.version)
            return
        if isinstance(outcome, MalformedReply | ReplyTooLarge) and asked.request.kind is Kind.PING:
            self._hang_up(gen, outcome)  # no image answers a ping like this
            return
        met = outcome.identity if isinstance(outcome, Reply) else Identity()
        refusal = isinstance(outcome, DialectError | UnsupportedRequest)
        dialect = outcome.dialect if isinstance(outcome, Reply | DialectError | UnsupportedRequest) else None
        if dialect is not None:
            self.exchange.dialect = Dialect(dialect)
        self.exchange.answered(gen, outcome, self._world.now())
        if refusal and asked.both_shapes:
            # A strict image refused the two-shaped ping; its error says which shape it wants.
            self._ping(gen)
            return
        self.feed(e.InFlight(gen, busy=False), e.Answered(gen, met))

    def scouted(self, address: str, found: e.Scouted) -> None:
        """A scout to `address` came back."""
        if found.found is e.Scouting.OPEN and address in self._addresses:
            self._turn = self._addresses.index(address)
            self._scouted_address = address
        self.feed(found)

    def resolved(self, addresses: list[str], problem: str = "") -> None:
        """The name server answered, or did not (`problem`)."""
        self._resolving = False
        if addresses:
            self._addresses, self._resolved_at = addresses, self._world.now()
            self.path = self._find_path()
            if (self.path is not None) != self.connection.path_usable:
                self.feed(
                    e.PathChanged(usable=self.path is not None, detail=describe_change(None, self.path))
                )
        waiting, self._dial_waiting = self._dial_waiting, None
        if waiting is not None and addresses:
            self.feed(e.LookingUp(waiting.gen, done=True))
            self._open(waiting)
        elif waiting is not None:
            self.link_down(waiting.gen, Cause.NAME, problem)

    def look_at_path(self) -> None:
        """Something in the network changed: is our path another one now?"""
        if self.address is None:
            # No path is known to a name that was never resolved: this may be what it has waited for.
            if not self._resolving:
                self.feed(e.PathChanged(usable=True))
            return
        old, self.path = self.path, self._find_path()
        if self.path != old:
            self.feed(e.PathChanged(usable=self.path is not None, detail=describe_change(old, self.path)))

    def _find_path(self) -> Path | None:
        """To where the living link goes; else to the first address that anything leads to."""
        live = self.connection.live
        linked = self._dialled.get(live.gen) if live is not None else None
        ways = (self._world.path_to(each) for each in ([linked] if linked else []) + self._addresses)
        return next((path for path in ways if path is not None), None)

    def durable(self, *, saved: bool) -> None:
        """The oldest transition not yet told is on disk, or has been given up: tell it."""
        change, since = self._unpublished.popleft()
        self.shown = since[-1] if since else (change.reason, change.detail)
        self._on_change(change if saved else replace(change, durable=False))

    # -- carrying out --------------------------------------------------------------------

    def _carry_out(self, command: c.Command) -> None:  # noqa: C901 - one arm per command
        match command:
            case c.Dial():
                self._dial(command)
            case c.Abort(gen):
                self._dialled.pop(gen, None)
                self._world.abort_link(self, gen)
                self.exchange.link_gone(gen, f"the link was given up: {self.connection.reason}")
            case c.Ping(gen):
                self._ping(gen)
            case c.Inspect(gen):
                if (vitals := self._world.vitals(self, gen)) is not None:
                    self._inbox.append(vitals)
            case c.Scout(timeout_s):
                self._scout(timeout_s)
            case c.CallOffScouts():
                self._world.call_off_scouts(self)
            case c.Serve(gen):
                self.exchange.serving = gen
            case c.ReadSession():
                self._world.read_session(self)
            case c.ArchiveSession():
                archived = self.session
                self._begin_session()
                self._world.archive_session(self, archived)
            case c.Announce():
                self._announce(command)
            case c.Report(reason, detail):
                self._report(reason, detail)

    def _report(self, reason: Reason, detail: str) -> None:
        if self._unpublished:
            self._unpublished[-1][1].append((reason, detail))
        else:
            self.shown = (reason, detail)

    def _dial(self, command: c.Dial) -> None:
        if self.endpoint.numeric:
            self._open(command)
            return
        if self._addresses:
            if self._scouted_address != self.address:
                self._turn += 1  # the last address was not found open: try the next
            self._scouted_address = None
            self._open(command)
        else:
            self._dial_waiting = command
            self.feed(e.LookingUp(command.gen, done=False))
        self._refresh_name()

    def _scout(self, timeout_s: float) -> None:
        self._refresh_name()
        if self.address is not None:
            self._turn += len(self._addresses) > 1
            self._world.scout(self, self.address, timeout_s)

    def _refresh_name(self) -> None:
        """Look the name up again beside whatever is tried, unless that was done just now."""
        age = None if self._resolved_at is None else self._world.now() - self._resolved_at
        if not self.endpoint.numeric and not self._resolving and (age is None or age > RESOLVE_FRESH_S):
            self._resolving = True
            self._world.resolve(self)

    def _open(self, command: c.Dial) -> None:
        address = self.address
        dial = self.connection.search.attempt_of(command.gen)
        if address is not None and dial is not None:
            self._dialled[command.gen] = address
            self._world.open_link(self, command.gen, address, fresh_context=command.fresh_context)

    def _ping(self, gen: int) -> None:
        slot = self.exchange.ping(gen, self._world.now())
        if slot is not None:
            self._send(gen, slot)

    def _pump(self) -> bool:
        """Hand the next waiting request over, if there is one and the image is free for it."""
        slot = self.exchange.due(self._world.now(), self._why_waiting)
        if slot is None or self.exchange.serving is None:
            return False
        self._send(self.exchange.serving, slot)
        return True

    def _send(self, gen: int, slot: Slot) -> None:
        slot.asked.sent_wall = self._world.wall()
        self._world.send(self, gen, slot.asked.request.id, slot.frame)
        self.feed(e.InFlight(gen, busy=True, trivial=slot.asked.request.kind is Kind.PING))

    def _read(self, payload: bytes) -> Reply | ImageError:
        try:
            return decode(payload)
        except ImageError as problem:
            return problem

    def _stray(self, gen: int, frames: list[bytes]) -> None:
        """Not the reply that is outstanding. A wrong envelope is a wrong program; a wrong id is only late."""
        self.strays += 1
        if len(frames) != _FRAMES or frames[1]:
            problem = MalformedReply(f"{len(frames)} frames where {_FRAMES} were expected", frames[0][:60])
            # Nothing proves that it answers what is outstanding.
            self.exchange.link_gone(gen, problem.problem)
            self._hang_up(gen, problem)

    def _hang_up(self, gen: int, problem: MalformedReply | ReplyTooLarge) -> None:
        self.exchange.answered(gen, problem, self._world.now())
        self._world.abort_link(self, gen)
        detail = problem.problem if isinstance(problem, MalformedReply) else str(problem)
        self.link_down(gen, Cause.PROTOCOL, detail)

    def _announce(self, said: c.Announce) -> None:
        now, wall = self._world.now(), self._world.wall()
        seq, self._seq = self._seq, self._seq + 1
        endpoint, detail = str(self.endpoint), said.detail[:MAX_DETAIL_CHARS]
        what = (said.source, said.trigger, said.target, said.reason)
        change = Change(self.key, endpoint, seq, *what, detail, wall, now)
        self._unpublished.append((change, []))
        record = TransitionRecord(
            image=self.key,
            endpoint=endpoint,
            session=self.session,
            seq=seq,
            at=wall,
            source=said.source,
            trigger=said.trigger,
            target=said.target,
            reason=said.reason,
            detail=detail,
            identity=self.connection.identity.image_id,
            dialect=self.exchange.dialect,
            revision=self._world.revision(self),
        )
        self._world.record(self, record)
        if said.trigger.startswith("image_answered"):
            self._world.proven(self)
