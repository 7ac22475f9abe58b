"""One image's runtime in a world of our own making: dialects, envelopes, names, disk, paths, sessions."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines import Policy, Reason, Refused, State, Trigger
from machines.events import (
    Accepted,
    AddressGone,
    Ask,
    Handshaken,
    LinkDown,
    PathChanged,
    Scouted,
    Scouting,
    Stalled,
    Vitals,
    Woke,
)
from machines.reasons import Cause
from resilience.change import Change
from resilience.core import ImageCore
from resilience.endpoint import parse_endpoint
from resilience.errors import (
    EvaluationError,
    Expired,
    LinkLost,
    MalformedReply,
    OutcomeUnknown,
    ReplyTooLarge,
    RequestTooLarge,
    ResilienceError,
    UnsupportedRequest,
    UsageError,
)
from resilience.exchange import Asked
from resilience.limits import MAX_DETAIL_CHARS, MAX_MESSAGE_BYTES, RESOLVE_FRESH_S
from resilience.network.snapshot import Path
from resilience.seams import World
from resilience.standin.dialects import Speaks
from resilience.standin.image import Image as Standin
from resilience.wire import Kind, Reply, fresh_id
from store import SessionSummary, TransitionRecord

ADDRESS = "10.0.0.2"
ENDPOINT = f"tcp://{ADDRESS}:5555"
WIFI = Path("10.0.0.7", "wlan0", "10.0.0.1")
CABLE = Path("10.0.0.8", "eth0", "10.0.0.1")

Answer = Callable[[bytes], bytes]


@dataclass
class Sent:
    """One request as the link got it."""

    gen: int
    wire_id: str
    frame: bytes

    @property
    def message(self) -> dict[str, Any]:
        message = json.loads(self.frame)
        assert isinstance(message, dict)
        return message


@dataclass
class FakeWorld:
    """Everything the runtime needs, in memory; nothing happens in it by itself."""

    time: float = 1_000.0
    paths: dict[str, Path | None] = field(default_factory=dict)
    usual_path: Path | None = WIFI
    links: dict[int, str] = field(default_factory=dict)
    dialled: list[tuple[int, str]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    scouted: list[str] = field(default_factory=list)
    lookups: int = 0
    journal: list[TransitionRecord] = field(default_factory=list)
    unsynced: int = 0
    proofs: int = 0
    reads: int = 0
    holds_session: bool = False
    archived: list[str] = field(default_factory=list)
    saved_revision: int = 0
    armed: float | None = None
    seen: Vitals | None = None

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000.0 + self.time

    def fresh_id(self) -> str:
        return fresh_id()

    def arm(self, core: ImageCore) -> None:
        self.armed = core.deadline()

    def open_link(self, core: ImageCore, gen: int, address: str, *, fresh_context: bool) -> None:  # noqa: ARG002 - the seam's signature
        assert gen not in self.links
        self.links[gen] = address
        self.dialled.append((gen, address))

    def abort_link(self, core: ImageCore, gen: int) -> None:  # noqa: ARG002 - same
        self.links.pop(gen, None)

    def send(self, core: ImageCore, gen: int, request_id: str, frame: bytes) -> None:  # noqa: ARG002 - same
        assert gen in self.links, "sent to a link that is gone"
        self.sent.append(Sent(gen, request_id, frame))

    def vitals(self, core: ImageCore, gen: int) -> Vitals | None:  # noqa: ARG002 - same
        return self.seen

    def local_addresses(self, core: ImageCore) -> dict[int, str]:  # noqa: ARG002 - same
        return dict.fromkeys(self.links, "10.0.0.7")

    def scout(self, core: ImageCore, address: str, timeout_s: float) -> None:  # noqa: ARG002 - same
        self.scouted.append(address)

    def call_off_scouts(self, core: ImageCore) -> None:
        pass

    def resolve(self, core: ImageCore) -> None:  # noqa: ARG002 - same
        self.lookups += 1

    def path_to(self, address: str) -> Path | None:
        return self.paths.get(address, self.usual_path)

    def record(self, core: ImageCore, record: TransitionRecord) -> None:  # noqa: ARG002 - same
        self.journal.append(record)
        self.unsynced += 1

    def proven(self, core: ImageCore) -> None:  # noqa: ARG002 - same
        self.proofs += 1

    def read_session(self, core: ImageCore) -> None:
        self.reads += 1
        if self.holds_session:
            return
        if core.stored is not None:
            core.restored()
        else:
            core.absent()

    def archive_session(self, core: ImageCore, session: str) -> None:  # noqa: ARG002 - same
        self.archived.append(session)

    def revision(self, core: ImageCore) -> int:  # noqa: ARG002 - same
        return self.saved_revision


class Bench:
    """A core in its world, with the image and the disk played by the test."""

    def __init__(
        self,
        *,
        endpoint: str = ENDPOINT,
        stored: SessionSummary | None = None,
        answer: Answer | None = None,
        world: FakeWorld | None = None,
    ) -> None:
        self.world = world or FakeWorld()
        seam: World = self.world
        self.changes: list[Change] = []
        self.image = Standin(wait=lambda _: False)
        self.answer = answer or self.image.answer
        self.core = ImageCore(
            endpoint=parse_endpoint(endpoint),
            world=seam,
            random=Random(1),
            policy=Policy(),
            stored=stored,
            next_seq=(stored.seq if stored else 0) + 1,
            on_change=self.changes.append,
        )

    # The far end --------------------------------------------------------------------------------

    @property
    def last_gen(self) -> int:
        return self.world.dialled[-1][0]

    def shake(self, gen: int | None = None) -> int:
        """The newest link, or `gen`, completes its handshake."""
        gen = self.last_gen if gen is None else gen
        self.core.feed(Accepted(gen))
        self.core.feed(Handshaken(gen))
        return gen

    def reply(self, sent: Sent, payload: bytes | None = None) -> None:
        """The image answers what was sent."""
        body = self.answer(sent.frame) if payload is None else payload
        self.core.replied(sent.gen, [sent.wire_id.encode(), b"", body])

    def last_sent(self) -> Sent:
        return self.world.sent[-1]

    def connect(self) -> int:
        """Start, and answer until Connected."""
        self.core.start()
        gen = self.shake()
        self.reply(self.last_sent())
        assert self.core.connection.state is State.CONNECTED
        self.sync()
        return gen

    # The host -----------------------------------------------------------------------------------

    def evaluate(self, code: str = "Counter increment", timeout_s: float = 5.0) -> "Waiting":
        waiting = Waiting()
        waiting.asked = self.core.request(Kind.EVALUATE, code, timeout_s, waiting.settle)
        return waiting

    def ping(self, timeout_s: float = 5.0) -> "Waiting":
        waiting = Waiting()
        waiting.asked = self.core.request(Kind.PING, "", timeout_s, waiting.settle)
        return waiting

    # Clock and disk -----------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass, with every deadline kept on the way."""
        until = self.world.time + seconds
        for _ in range(10_000):
            due = self.core.deadline()
            if due is None or due > until:
                break
            self.world.time = max(self.world.time, due)
            self.core.wake()
        else:
            pytest.fail("deadlines without end")
        self.world.time = until

    def sync(self, *, saved: bool = True) -> None:
        """The disk has caught up."""
        while self.world.unsynced:
            self.world.unsynced -= 1
            self.core.durable(saved=saved)

    def stands(self, state: State) -> bool:
        """Asked with a method, because a type checker takes properties for constants."""
        return self.state is state

    @property
    def state(self) -> State:
        return self.core.connection.state

    @property
    def reason(self) -> Reason:
        return self.core.connection.reason


class Waiting:
    """Somebody who waits for an outcome, which must come once."""

    def __init__(self) -> None:
        self.outcome: Reply | ResilienceError | None = None
        self.asked: Asked | None = None

    @property
    def told(self) -> bool:
        return self.outcome is not None

    def settle(self, outcome: Reply | ResilienceError, _: Asked) -> None:
        assert self.outcome is None, "settled twice"
        self.outcome = outcome


def stored_session(**changed: Any) -> SessionSummary:
    fields: dict[str, Any] = {
        "image": f"{ADDRESS}:5555",
        "endpoint": ENDPOINT,
        "session": "0123456789abcdef0123456789abcdef",
        "seq": 41,
        "state": "Reconnecting",
        "reason": "no answer from the address",
        "identity": "image-one",
        "dialect": "command",
        "first_at": 1.0,
        "last_at": 2.0,
        "transitions": 41,
        "connected_at": 1.5,
    }
    return SessionSummary(**(fields | changed))


def command_reply(**result: object) -> bytes:
    return json.dumps({"id": "x", "status": "success", "result": result}).encode()


def moves(changes: list[Change]) -> list[tuple[State, Trigger, State]]:
    return [(change.source, change.trigger, change.target) for change in changes]


# -- becoming Connected --------------------------------------------------------------------------


def test_connected_needs_an_answered_ping() -> None:
    """Law 2: neither an accepted connection nor a handshake is enough, and the claim comes with its proof."""
    bench = Bench()
    bench.core.start()
    assert bench.world.dialled == [(1, ADDRESS)]
    bench.core.feed(Accepted(1))
    assert not bench.world.sent
    bench.core.feed(Handshaken(1))
    assert bench.stands(State.FRESH)
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    assert bench.world.proofs == 1


@pytest.mark.parametrize("speaks", [Speaks.A, Speaks.B])
def test_the_first_ping_has_both_shapes_and_the_answer_tells_the_dialect(speaks: Speaks) -> None:
    """One question is enough; from then on only the image's own shape goes out."""
    bench = Bench(answer=Standin(speaks=speaks, wait=lambda _: False).answer)
    bench.core.start()
    bench.shake()
    first = bench.last_sent().message
    assert {"payload", "command"} <= first.keys()
    bench.reply(bench.last_sent())
    evaluation = bench.evaluate("3 + 4")
    second = bench.last_sent().message
    assert ("payload" in second) == (speaks is Speaks.A)
    assert ("command" in second) == (speaks is Speaks.B)
    bench.reply(bench.last_sent())
    assert isinstance(evaluation.outcome, Reply)
    assert evaluation.outcome.result == "7"


def strict(speaks: Speaks, code: str) -> Answer:
    """An image that refuses, in its own dialect, whatever has another dialect's fields in it as well."""
    image = Standin(speaks=speaks, wait=lambda _: False)

    def answer(frame: bytes) -> bytes:
        if not {"payload", "command"} <= json.loads(frame).keys():
            return image.answer(frame)
        if speaks is Speaks.B:
            return json.dumps({"id": None, "status": "error", "error": "what?", "error_type": code}).encode()
        data = {"code": code, "message": "what?", "details": {}}
        payload = {"type": "Response", "data": {"response_type": "Error", "data": data}}
        return json.dumps({"id": "x", "version": "1.0.0", "payload": payload}).encode()

    return answer


@pytest.mark.parametrize("code", ["InvalidRequest", "UnsupportedOperation", "Error"])
@pytest.mark.parametrize("speaks", [Speaks.A, Speaks.B])
def test_a_strict_image_that_refuses_both_shapes_at_once_is_asked_again_in_its_own(
    speaks: Speaks, code: str
) -> None:
    """Its refusal has a shape, and that shape is its dialect; the refusal alone proves nothing."""
    bench = Bench(answer=strict(speaks, code))
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.stands(State.FRESH)
    assert len(bench.world.sent) == 2
    assert ("payload" in bench.last_sent().message) == (speaks is Speaks.A)
    assert ("command" in bench.last_sent().message) == (speaks is Speaks.B)
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    evaluation = bench.evaluate("3 + 4")
    bench.reply(bench.last_sent())
    assert isinstance(evaluation.outcome, Reply)
    assert evaluation.outcome.result == "7"
    bench.advance(10.0)
    assert len(bench.world.sent) > 3, "an idle image is asked now and then"
    bench.reply(bench.last_sent())
    assert bench.core.connection.identity.image_id is not None, "and tells who it is, every time"


def test_an_image_that_changes_its_dialect_is_followed() -> None:
    """Another version may be started at the same address."""
    bench = Bench(answer=Standin(speaks=Speaks.A, wait=lambda _: False).answer)
    gen = bench.connect()
    bench.answer = Standin(speaks=Speaks.B, wait=lambda _: False).answer
    bench.core.link_down(gen, Cause.CLOSED)
    bench.shake()
    while bench.state is not State.ORPHANED and len(bench.world.sent) < 6:
        bench.reply(bench.last_sent())
    bench.core.ask(Ask.ADOPT)
    bench.shake()
    bench.reply(bench.last_sent())
    evaluation = bench.evaluate("3 + 4")
    assert "command" in bench.last_sent().message
    bench.reply(bench.last_sent())
    assert isinstance(evaluation.outcome, Reply)


def test_another_protocol_version_fails_and_names_it() -> None:
    """Nothing is gained by dialling again and again: a person decides."""
    payload = {"type": "Response", "data": {"response_type": "Ping", "data": {}}}
    bench = Bench(answer=lambda _: json.dumps({"version": "2.1.0", "payload": payload}).encode())
    bench.core.start()
    gen = bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.state, bench.reason) == (State.FAILED, Reason.INCOMPATIBLE)
    assert "2.1.0" in bench.core.connection.detail
    assert gen not in bench.world.links


# -- what comes back -----------------------------------------------------------------------------

WRONG_ENVELOPES: dict[str, Callable[[bytes, bytes], list[bytes]]] = {
    "no delimiter": lambda _, body: [body],
    "no id": lambda _, body: [b"", body],
    "more frames": lambda wire_id, body: [wire_id, b"", body, b"extra", b""],
    "no body": lambda wire_id, _: [wire_id, b""],
    "no empty delimiter": lambda wire_id, body: [wire_id, b"x", body],
    "no frames": lambda _, __: [b""],
}


@pytest.mark.parametrize("shape", WRONG_ENVELOPES.values(), ids=WRONG_ENVELOPES.keys())
def test_a_wrong_envelope_is_another_program(shape: Callable[[bytes, bytes], list[bytes]]) -> None:
    """No REP socket sends it. The link is left, the user is told, the search goes on."""
    bench = Bench()
    bench.core.start()
    gen = bench.shake()
    sent = bench.last_sent()
    bench.core.replied(gen, shape(sent.wire_id.encode(), bench.answer(sent.frame)))
    assert gen not in bench.world.links
    assert (bench.state, bench.reason) == (State.RECONNECTING, Reason.OTHER_PROGRAM)
    assert bench.core.deadline() is not None


def test_a_wrong_envelope_is_no_word_about_an_evaluation() -> None:
    """What ran or not is not known from a message that is not its reply (law 11)."""
    bench = Bench()
    bench.connect()
    evaluation = bench.evaluate()
    bench.core.replied(bench.last_sent().gen, [b"some", b"thing"])
    assert isinstance(evaluation.outcome, OutcomeUnknown)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, b"x" * (MAX_MESSAGE_BYTES + 1)],
    ids=["empty", "binary", "list", "object", "deep", "huge"],
)
def test_an_unreadable_answer_to_a_ping_is_another_program(payload: bytes) -> None:
    """Law 5: named to the user, and never taken for the image."""
    bench = Bench()
    bench.core.start()
    gen = bench.shake()
    bench.reply(bench.last_sent(), payload)
    assert gen not in bench.world.links
    assert (bench.state, bench.reason) == (State.RECONNECTING, Reason.OTHER_PROGRAM)


def test_an_unreadable_reply_to_an_evaluation_is_told_and_the_link_stays() -> None:
    """The image is there; this one reply cannot be used, and that is all that is known."""
    bench = Bench()
    gen = bench.connect()
    for payload, error in ((b"{}", MalformedReply), (b"x" * (MAX_MESSAGE_BYTES + 1), ReplyTooLarge)):
        evaluation = bench.evaluate()
        bench.reply(bench.last_sent(), payload)
        assert isinstance(evaluation.outcome, error)
    assert bench.state is State.CONNECTED
    assert gen in bench.world.links


def test_replies_are_matched_by_the_frame_before_the_delimiter() -> None:
    """Law 13: a foreign one is counted and dropped, proves nothing, answers nobody; JSON ids mean nothing."""
    bench = Bench()
    bench.core.start()
    gen = bench.shake()
    body = bench.answer(bench.last_sent().frame)
    bench.core.replied(gen, [b"not-yours", b"", body])
    assert (bench.state, bench.core.strays) == (State.FRESH, 1)
    assert gen in bench.world.links
    foreign = json.dumps(json.loads(body) | {"id": "somebody else's"}).encode()
    bench.reply(bench.last_sent(), foreign)
    assert bench.state is State.CONNECTED


def test_a_second_reply_to_the_same_request_is_dropped() -> None:
    """The next request is answered by its own reply only."""
    bench = Bench()
    bench.connect()
    first = bench.evaluate("1")
    sent = bench.last_sent()
    bench.reply(sent)
    bench.reply(sent)
    second = bench.evaluate("2")
    bench.reply(sent)
    assert not second.told
    bench.reply(bench.last_sent())
    assert isinstance(first.outcome, Reply)
    assert isinstance(second.outcome, Reply)
    assert (first.outcome.result, second.outcome.result) == ("1", "2")
    assert bench.core.strays == 2


def test_a_late_reply_is_dropped_and_makes_way_for_the_next_request() -> None:
    """Its caller was told `OutcomeUnknown`; the image is busy until the reply has come (one at a time)."""
    bench = Bench()
    bench.connect()
    slow = bench.evaluate("1", timeout_s=1.0)
    sent = bench.last_sent()
    following = bench.evaluate("2", timeout_s=60.0)
    bench.advance(1.5)
    assert isinstance(slow.outcome, OutcomeUnknown)
    assert bench.last_sent() is sent
    bench.reply(sent)
    assert bench.last_sent() is not sent
    bench.reply(bench.last_sent())
    assert isinstance(following.outcome, Reply)
    assert following.outcome.result == "2"
    assert bench.state is State.CONNECTED


def test_whoever_stops_waiting_disturbs_nobody() -> None:
    """A withdrawn request that was sent runs on; one that was not is never sent."""
    bench = Bench()
    bench.connect()
    sent, queued, last = bench.evaluate("1"), bench.evaluate("2"), bench.evaluate("3")
    assert sent.asked is not None
    assert queued.asked is not None
    bench.core.withdraw(sent.asked)
    bench.core.withdraw(queued.asked)
    bench.reply(bench.last_sent())
    assert bench.last_sent().message["payload" if "payload" in bench.last_sent().message else "parameters"]
    bench.reply(bench.last_sent())
    assert isinstance(last.outcome, Reply)
    assert last.outcome.result == "3"
    assert sent.outcome is None
    assert queued.outcome is None


def test_messages_of_a_link_that_was_given_up_mean_nothing() -> None:
    """Law 1: events of older numbers are dropped."""
    bench = Bench()
    bench.core.start()
    gen = bench.shake()
    ping = bench.last_sent()
    bench.core.link_down(gen, Cause.CLOSED)
    state = bench.state
    bench.reply(ping)
    bench.core.feed(Handshaken(gen), LinkDown(gen, Cause.ACCESS))
    assert bench.state is state


def test_an_error_of_the_image_is_its_answer() -> None:
    """It ran, it failed, the connection is as good as before."""
    bench = Bench()
    bench.connect()
    failing, unknown = bench.evaluate("Smalltalk error: 'no'"), bench.evaluate("1")
    bench.reply(bench.last_sent())
    assert isinstance(failing.outcome, EvaluationError)
    refusal = json.dumps({"status": "error", "error": "no evaluate", "error_type": "UnsupportedOperation"})
    bench.reply(bench.last_sent(), refusal.encode())
    assert isinstance(unknown.outcome, UnsupportedRequest)
    assert bench.state is State.CONNECTED


# -- requests and outages ------------------------------------------------------------------------


def test_a_request_waits_for_its_connection_and_is_sent_once() -> None:
    """Law 12: it waits here, not in the transport; nothing is sent on a link that has not answered."""
    bench = Bench()
    bench.core.start()
    evaluation = bench.evaluate("3 + 4")
    bench.shake()
    assert [sent.message["command"] for sent in bench.world.sent] == ["ping"]
    bench.reply(bench.last_sent())
    assert len(bench.world.sent) == 2
    bench.reply(bench.last_sent())
    assert isinstance(evaluation.outcome, Reply)


def test_a_request_that_finds_no_connection_expires_with_the_reason() -> None:
    """Not done, after so long, because of this."""
    bench = Bench(world=FakeWorld(usual_path=None))
    bench.core.start()
    evaluation = bench.evaluate(timeout_s=2.0)
    bench.advance(3.0)
    expired = evaluation.outcome
    assert isinstance(expired, Expired)
    assert expired.waited_s == pytest.approx(2.0)
    assert Reason.WAITING in expired.why
    assert not bench.world.sent


def test_an_evaluation_lost_with_its_link_is_never_sent_again() -> None:
    """Law 11: told with id and time, and not one more frame about it on the next link."""
    bench = Bench()
    gen = bench.connect()
    evaluation = bench.evaluate()
    sent = bench.last_sent()
    bench.core.link_down(gen, Cause.CLOSED)
    unknown = evaluation.outcome
    assert isinstance(unknown, OutcomeUnknown)
    assert unknown.request_id == sent.wire_id
    assert unknown.sent_at == bench.world.wall()
    bench.shake()
    bench.reply(bench.last_sent())
    bench.advance(30.0)
    assert [each.wire_id for each in bench.world.sent].count(sent.wire_id) == 1


def test_a_ping_lost_with_its_link_says_that_asking_again_is_safe() -> None:
    """Reads and evaluations end differently."""
    bench = Bench()
    gen = bench.connect()
    ping = bench.ping()
    bench.core.link_down(gen, Cause.CLOSED)
    assert isinstance(ping.outcome, LinkLost)


def test_a_request_too_large_is_refused_at_once() -> None:
    """Nothing is queued for it and nothing is sent."""
    bench = Bench()
    bench.connect()
    before = len(bench.world.sent)
    with pytest.raises(RequestTooLarge):
        bench.evaluate("x" * MAX_MESSAGE_BYTES)
    assert len(bench.world.sent) == before
    assert isinstance(bench.evaluate("1").asked, Asked)
    assert len(bench.world.sent) == before + 1


def test_whoever_is_told_may_ask_again_from_within() -> None:
    """A host that reacts to an outcome by the next request gets its place in the queue."""
    bench = Bench()
    bench.connect()
    again: list[Waiting] = []
    bench.core.request(Kind.EVALUATE, "1", 5.0, lambda *_: again.append(bench.evaluate("2")))
    bench.reply(bench.last_sent())
    bench.reply(bench.last_sent())
    assert len(again) == 1
    assert isinstance(again[0].outcome, Reply)


def test_closing_settles_everything_and_closes_every_link() -> None:
    """Nobody is left waiting; what was sent is unknown, what was not is not done."""
    bench = Bench()
    bench.connect()
    sent, queued = bench.evaluate(), bench.evaluate()
    bench.advance(3.0)
    bench.core.close()
    assert isinstance(sent.outcome, OutcomeUnknown)
    assert isinstance(queued.outcome, Expired)
    assert queued.outcome.waited_s == pytest.approx(3.0)
    assert not bench.world.links


# -- names ---------------------------------------------------------------------------------------

NAMED = "tcp://image.example:5555"


def test_a_name_is_looked_up_before_it_is_dialled() -> None:
    """Once, and then its address is dialled."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    assert (bench.world.lookups, bench.world.dialled) == (1, [])
    bench.core.resolved([ADDRESS])
    assert bench.world.dialled == [(1, ADDRESS)]
    assert bench.core.path == WIFI
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED


def test_a_name_nobody_knows_is_said_and_asked_again() -> None:
    """The reason names it; the next try is a lookup, and success ends the matter."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved([], "image.example: Name or service not known")
    assert (bench.state, bench.reason) == (State.RECONNECTING, Reason.NAME)
    assert "not known" in bench.core.connection.detail
    bench.advance(0.5)
    assert bench.world.lookups == 2
    bench.core.resolved([ADDRESS])
    assert bench.world.dialled[-1][1] == ADDRESS


def test_a_name_that_is_slow_to_fail_is_said_and_asked_again() -> None:
    """Resolvers without a network take seconds; the reason is the name, never an address nobody has."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    for lookups in range(1, 4):
        assert bench.world.lookups == lookups
        bench.advance(5.0)
        assert bench.reason in (Reason.FIRST_DIAL, Reason.NAME)
        bench.core.resolved([], "no answer about image.example within 5 s")
        assert (bench.state, bench.reason) == (State.RECONNECTING, Reason.NAME)
        bench.advance(10.0)
    bench.core.resolved([ADDRESS])
    bench.advance(1.0)
    assert ADDRESS in [dialled for _, dialled in bench.world.dialled] + bench.world.scouted


def test_a_name_that_moves_is_followed() -> None:
    """The image comes back at another address after a while; nothing else tells of it."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved([ADDRESS])
    gen = bench.shake()
    bench.reply(bench.last_sent())
    bench.advance(60.0)
    bench.core.link_down(gen, Cause.CLOSED)
    before = bench.world.lookups
    bench.core.resolved([ADDRESS])
    bench.advance(30.0)
    assert bench.world.lookups > before
    bench.core.resolved(["10.0.0.3"])
    bench.advance(10.0)
    assert bench.world.scouted[-1] == "10.0.0.3"


def test_only_one_lookup_is_under_way() -> None:
    """A name server that hangs gets one question, however often we would dial."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.advance(30.0)
    bench.core.ask(Ask.RETRY)
    assert bench.world.lookups == 1


def test_a_known_address_is_dialled_while_the_name_is_looked_up_again() -> None:
    """A slow name server delays nothing, and a new address is taken up at the next dial."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved([ADDRESS])
    gen = bench.shake()
    bench.reply(bench.last_sent())
    bench.world.time += RESOLVE_FRESH_S + 1
    bench.core.link_down(gen, Cause.CLOSED)
    assert bench.world.lookups == 2
    assert bench.world.dialled[-1] == (gen + 1, ADDRESS)
    bench.core.resolved(["10.0.0.3"])
    bench.core.link_down(gen + 1, Cause.NO_ANSWER)
    bench.core.ask(Ask.RETRY)
    assert bench.world.dialled[-1][1] == "10.0.0.3"


def only_reachable(bench: Bench, address: str, why: Scouting) -> None:
    """For half a minute every try at any other address comes to nothing, as the kernel would tell it."""
    cause = Cause.REFUSED if why is Scouting.REFUSED else Cause.NO_ANSWER
    handled = scouted = 0
    until = bench.world.time + 30.0
    while bench.world.time < until and bench.state is not State.CONNECTED:
        for gen, dialled in bench.world.dialled[handled:]:
            handled += 1
            if dialled == address:
                bench.shake(gen)
                bench.reply(bench.last_sent())
            elif why is Scouting.REFUSED:
                bench.world.links.pop(gen, None)
                bench.core.link_down(gen, cause)
        for dialled in bench.world.scouted[scouted:]:
            scouted += 1
            bench.core.scouted(dialled, Scouted(Scouting.OPEN if dialled == address else why, 0.01))
        bench.advance(0.05)


@pytest.mark.parametrize("why", [Scouting.REFUSED, Scouting.SILENT])
def test_every_address_of_a_name_is_tried(why: Scouting) -> None:
    """The image listens on one of two; which one the name server says first must not matter."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved(["2001:db8::2", ADDRESS])
    only_reachable(bench, ADDRESS, why)
    assert bench.state is State.CONNECTED


def test_an_address_without_a_path_does_not_hide_the_other() -> None:
    """IPv6 first in the answer, and no IPv6 here."""
    bench = Bench(endpoint=NAMED, world=FakeWorld(paths={"2001:db8::2": None}))
    bench.core.start()
    bench.core.resolved(["2001:db8::2", ADDRESS])
    only_reachable(bench, ADDRESS, Scouting.NO_ROUTE)
    assert bench.state is State.CONNECTED
    assert bench.core.path == WIFI


# -- paths ---------------------------------------------------------------------------------------


def test_without_a_path_nothing_is_dialled_until_there_is_one() -> None:
    """The user sees that it waits for a network, and the first event dials at once."""
    bench = Bench(world=FakeWorld(usual_path=None))
    bench.core.start()
    assert bench.reason is Reason.WAITING
    assert not bench.world.dialled
    bench.world.usual_path = WIFI
    bench.core.look_at_path()
    assert bench.world.dialled == [(1, ADDRESS)]
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED


def test_a_network_event_that_leaves_the_path_alone_leaves_the_image_alone() -> None:
    """Law 8: docker, a VPN, another card."""
    bench = Bench()
    bench.connect()
    before = (len(bench.world.dialled), len(bench.world.sent), len(bench.world.journal))
    bench.core.look_at_path()
    assert (len(bench.world.dialled), len(bench.world.sent), len(bench.world.journal)) == before


def test_a_changed_path_is_hedged() -> None:
    """Law 8: the old link is probed, a new one is dialled beside it, and the one in use is kept meanwhile."""
    bench = Bench()
    gen = bench.connect()
    bench.world.usual_path = CABLE
    bench.core.look_at_path()
    assert bench.core.path == CABLE
    assert gen in bench.world.links
    assert bench.world.dialled[-1] == (gen + 1, ADDRESS)
    assert bench.last_sent().gen == gen
    bench.shake(gen + 1)
    bench.reply(bench.last_sent())
    assert list(bench.world.links) == [gen + 1]
    assert bench.state is State.CONNECTED


def test_a_lost_path_is_told_with_the_interface() -> None:
    """Reconnecting, waiting for network, and which interface it was."""
    bench = Bench()
    bench.connect()
    bench.world.usual_path = None
    bench.core.look_at_path()
    bench.sync()
    change = bench.changes[-1]
    assert (change.target, change.reason) == (State.RECONNECTING, Reason.WAITING)
    assert "wlan0" in change.detail


def test_a_link_whose_own_address_is_gone_is_replaced_at_once() -> None:
    """Law 8: there is nothing to probe."""
    bench = Bench()
    gen = bench.connect()
    evaluation = bench.evaluate()
    bench.core.feed(AddressGone(gen, "10.0.0.7 is gone"))
    assert gen not in bench.world.links
    assert bench.world.dialled[-1][0] == gen + 1
    assert isinstance(evaluation.outcome, OutcomeUnknown)


def test_after_waking_the_link_is_probed_before_anything_is_redialled() -> None:
    """Law 6."""
    bench = Bench()
    gen = bench.connect()
    bench.core.feed(Woke(3600.0))
    assert bench.last_sent().gen == gen
    assert len(bench.world.dialled) == 1
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    bench.advance(5.0)
    assert len(bench.world.dialled) == 1


@pytest.mark.parametrize("ours", [True, False])
def test_silence_is_held_against_the_network_only_if_it_was_not_our_own(*, ours: bool) -> None:
    """Law 6: a stall that was noticed excuses the quiet it caused; the same quiet without one counts."""
    bench = Bench()
    gen = bench.connect()
    bench.world.time += 4.0
    bench.world.seen = Vitals(gen, quiet_s=4.0, data_quiet_s=4.0)
    if ours:
        bench.core.feed(Stalled(4.0))
    bench.core.wake()
    assert bench.state is (State.CONNECTED if ours else State.RECONNECTING)


# -- the journal ---------------------------------------------------------------------------------


def test_nothing_is_told_before_it_is_durable() -> None:
    """Law 14: dialling goes on meanwhile, the host hears when the disk has it."""
    bench = Bench()
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    assert not bench.changes
    bench.sync()
    assert moves(bench.changes) == [(State.FRESH, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert bench.changes[0].durable


def test_a_disk_that_fails_is_told_with_the_transition() -> None:
    """The change is real; a crash would forget it. The next one that is saved says nothing of the kind."""
    bench = Bench()
    bench.core.start()
    gen = bench.shake()
    bench.reply(bench.last_sent())
    bench.sync(saved=False)
    bench.core.link_down(gen, Cause.CLOSED)
    bench.sync()
    assert [change.durable for change in bench.changes] == [False, True]


def test_what_is_told_is_what_was_journaled_in_the_same_order() -> None:
    """Number, states, trigger, reason and time of every transition agree, and no number is left out."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=5)
    gen = bench.connect()
    bench.core.link_down(gen, Cause.CLOSED, "reset by peer")
    bench.shake()
    bench.reply(bench.last_sent())
    bench.core.ask(Ask.DISCONNECT)
    bench.sync()
    assert len(bench.changes) == len(bench.world.journal)
    for number, (change, record) in enumerate(zip(bench.changes, bench.world.journal, strict=True), start=42):
        assert change.seq == record.seq == number
        assert (change.image, change.endpoint, change.at) == (record.image, record.endpoint, record.at)
        assert (change.source, change.trigger, change.target) == (
            record.source,
            record.trigger,
            record.target,
        )
        assert (change.reason, change.detail) == (record.reason, record.detail)


def test_told_and_journaled_words_agree_however_long_they_are() -> None:
    """`watch` and `sessions history` print the same reason (the contract), so both are cut alike."""
    bench = Bench()
    gen = bench.connect()
    bench.core.link_down(gen, Cause.CLOSED, "x" * (3 * MAX_DETAIL_CHARS))
    bench.sync()
    assert len(bench.world.journal[-1].detail) == MAX_DETAIL_CHARS
    assert bench.changes[-1].detail == bench.world.journal[-1].detail


# -- sessions ------------------------------------------------------------------------------------


def test_a_stored_session_is_restored_and_continued() -> None:
    """Fresh, Restoring, Restored, Connected; same session, numbers going on, dialect as remembered."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=5)
    bench.connect()
    assert [(change.seq, change.target) for change in bench.changes] == [
        (42, State.RESTORING),
        (43, State.RESTORED),
        (44, State.CONNECTED),
    ]
    assert {record.session for record in bench.world.journal} == {stored_session().session}
    assert bench.world.journal[-1].identity == "image-one"


def test_a_restart_never_restores_into_connected() -> None:
    """Liveness is proved again, whatever the journal says."""
    bench = Bench(stored=stored_session(state="Connected"))
    bench.core.start()
    bench.sync()
    assert bench.changes[-1].target is State.RESTORED
    bench.shake()
    assert bench.state is State.RESTORED


def test_another_image_at_the_address_is_not_mixed_into_the_session() -> None:
    """Law 17: Orphaned, no request is served, and the words name both."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-two")
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.state, bench.reason) == (State.ORPHANED, Reason.OTHER_IMAGE)
    assert "image-one" in bench.core.connection.detail
    assert "image-two" in bench.core.connection.detail
    before = len(bench.world.sent)
    evaluation = bench.evaluate(timeout_s=1.0)
    bench.advance(2.0)
    assert isinstance(evaluation.outcome, Expired)
    assert len(bench.world.sent) == before
    assert not bench.world.links


@pytest.mark.parametrize("way_out", [Ask.ADOPT, Ask.START_FRESH])
def test_ways_out_of_orphaned(way_out: Ask) -> None:
    """Adopting continues the session with the image that answers; starting fresh begins another one."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-two")
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    bench.core.ask(way_out)
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    last = bench.world.journal[-1]
    assert last.identity == "image-two"
    assert (last.session == stored_session().session) == (way_out is Ask.ADOPT)
    assert last.seq == 41 + len(bench.world.journal)


def test_a_restarted_image_gets_its_session_again() -> None:
    """Law 17: its uptime went back, its identity did not change."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=500)
    gen = bench.connect()
    bench.core.link_down(gen, Cause.CLOSED)
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=1)
    bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.state, bench.reason) == (State.CONNECTED, Reason.RESTARTED)
    assert {record.session for record in bench.world.journal} == {stored_session().session}


@pytest.mark.parametrize("dialect", ["klingon", ""])
def test_a_stored_dialect_nobody_knows_is_learnt_anew(dialect: str) -> None:
    """The journal may have been written by another version; that is no reason to fall over (law 22)."""
    bench = Bench(stored=stored_session(dialect=dialect, identity=None))
    bench.connect()


def test_asking_for_what_the_state_forbids_is_refused_and_changes_nothing() -> None:
    """The refusal names state and trigger."""
    bench = Bench()
    bench.connect()
    with pytest.raises(Refused) as refused:
        bench.core.ask(Ask.ADOPT)
    assert (refused.value.state, refused.value.trigger) == (State.CONNECTED, Trigger.ADOPT)
    assert bench.state is State.CONNECTED
    evaluation = bench.evaluate("3 + 4")
    bench.reply(bench.last_sent())
    assert isinstance(evaluation.outcome, Reply)


# -- anything at all -----------------------------------------------------------------------------


Step = tuple[str, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "shake",
                "answer",
                "answer",
                "garble",
                "stray",
                "down",
                "evaluate",
                "evaluate",
                "ping",
                "wait",
                "path",
                "gone",
                "scout",
                "ask",
                "sync",
                "withdraw",
            ]
        ),
        st.integers(0, 11),
    ),
    max_size=50,
)


class Anything:
    """Carries out one step of whatever may happen to an image."""

    def __init__(self, *, restored: bool) -> None:
        self.bench = Bench(stored=stored_session() if restored else None)
        self.bench.answer = lambda _: command_reply(image_id="image-one", uptime=5, result="7")
        self.waiting: list[Waiting] = []
        self.withdrawn: list[Waiting] = []
        self.bench.core.start()

    def do(self, what: str, which: int) -> None:  # noqa: C901 - one arm per step
        bench, world, core = self.bench, self.bench.world, self.bench.core
        gens = list(world.links)
        gen = gens[which % len(gens)] if gens else which
        unanswered = [sent for sent in world.sent[-4:] if sent.gen in world.links]
        match what:
            case "shake":
                bench.shake(gen)
            case "answer" | "garble" if unanswered:
                sent = unanswered[which % len(unanswered)]
                bench.reply(sent, b"garbage" if what == "garble" else None)
            case "stray":
                core.replied(gen, [b"not-yours", b"", b"{}"][: 1 + which % 3])
            case "down":
                world.links.pop(gen, None)
                core.link_down(gen, list(Cause)[which % len(Cause)])
            case "evaluate" | "ping":
                self.waiting.append(bench.evaluate() if what == "evaluate" else bench.ping())
            case "wait":
                bench.advance(which / 4)
            case "path":
                world.usual_path = (None, WIFI, CABLE)[which % 3]
                core.look_at_path()
            case "gone":
                core.feed(AddressGone(gen))
            case "scout":
                core.scouted(ADDRESS, Scouted(list(Scouting)[which % 4], 0.01))
            case "ask":
                with suppress(Refused):
                    core.ask(list(Ask)[which % len(Ask)])
            case "sync":
                bench.sync(saved=bool(which % 3))
            case "withdraw" if self.waiting:
                waiting = self.waiting[which % len(self.waiting)]
                assert waiting.asked is not None
                core.withdraw(waiting.asked)
                self.withdrawn.append(waiting)


@settings(max_examples=150, deadline=None)
@given(steps, st.booleans())
def test_whatever_happens_nothing_is_sent_twice_and_nobody_is_forgotten(
    script: list[Step],
    restored: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    """No evaluation reaches a link twice; everyone is told once; numbers and announcements are complete."""
    anything = Anything(restored=restored)
    bench = anything.bench
    for what, which in script:
        anything.do(what, which)
        assert (
            set(bench.world.links) >= {bench.core.connection.live.gen} if bench.core.connection.live else True
        )
        assert len(bench.world.links) <= 3
    bench.core.close()
    bench.sync()
    wire_ids = [sent.wire_id for sent in bench.world.sent]
    assert len(wire_ids) == len(set(wire_ids))
    for waiting in anything.waiting:
        assert (waiting.outcome is None) <= (waiting in anything.withdrawn)
    first = 42 if restored else 1
    numbers = list(range(first, first + len(bench.world.journal)))
    assert [record.seq for record in bench.world.journal] == numbers
    assert [change.seq for change in bench.changes] == numbers
    for earlier, later in zip(bench.changes, bench.changes[1:], strict=False):
        assert later.source is earlier.target
    assert not bench.world.links


def test_the_world_is_told_when_to_wake_the_core() -> None:
    """Whatever is fed, the armed deadline is the core's own."""
    bench = Bench()
    bench.core.start()
    assert bench.world.armed == bench.core.deadline() is not None
    bench.shake()
    bench.reply(bench.last_sent())
    bench.evaluate(timeout_s=0.5)
    assert bench.world.armed == bench.core.deadline()
    assert bench.world.armed is not None
    assert bench.world.armed <= bench.world.time + 0.5
    bench.core.feed(PathChanged(usable=False))
    assert bench.world.armed == bench.core.deadline()


def test_an_image_that_was_let_go_does_nothing_any_more() -> None:
    """Nobody would close what it opened: asking is refused with a way out, news are ignored."""
    bench = Bench()
    bench.connect()
    bench.core.close()
    dialled = len(bench.world.dialled)
    for ask in (Ask.RETRY, Ask.CONNECT, Ask.DISCONNECT):
        with pytest.raises(UsageError, match="start another"):
            bench.core.ask(ask)
    with pytest.raises(UsageError, match="start another"):
        bench.evaluate()
    bench.core.feed(PathChanged(usable=False), PathChanged(usable=True), Woke(100.0))
    bench.core.wake()
    assert len(bench.world.dialled) == dialled
    assert bench.world.links == {}


# -- the session ---------------------------------------------------------------------------------


def test_a_session_that_takes_long_to_read_delays_no_dial() -> None:
    """The image answers while it is being read: Connected comes with the session, at once."""
    bench = Bench(stored=stored_session(identity=None))
    bench.world.holds_session = True
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.core.connection.state, bench.world.reads) == (State.RESTORING, 1)
    bench.core.restored()
    assert bench.core.connection.state is State.CONNECTED


def test_the_journal_is_told_how_much_of_the_session_is_durable() -> None:
    """With every transition; that is how an older copy is recognised later."""
    bench = Bench()
    bench.connect()
    bench.world.saved_revision = 7
    bench.core.ask(Ask.EDITED)
    assert [each.revision for each in bench.world.journal] == [0, 7]


def test_a_session_that_is_absent_makes_room_for_another() -> None:
    """It was put away before its last life ended: the next has an id, and a history, of its own."""
    bench = Bench(stored=stored_session())
    bench.world.holds_session = True
    bench.core.start()
    bench.core.absent()
    assert bench.core.session != stored_session().session
    assert bench.core.stored is None
    assert bench.core.connection.state is State.FRESH


def test_what_is_shown_is_never_ahead_of_what_was_told() -> None:
    """While a transition waits for the disk the host reads what stood before it, reports included."""
    bench = Bench()
    gen = bench.connect()
    bench.evaluate()
    bench.advance(2)
    assert bench.core.shown[0] is Reason.BUSY
    bench.core.ask(Ask.EDITED)
    assert bench.core.shown[0] is Reason.BUSY
    bench.sync()
    assert bench.core.shown[0] is Reason.BUSY  # told with its own reason; the image is as busy as it was
    bench.core.link_down(gen, Cause.CLOSED)
    assert bench.core.shown[0] is Reason.BUSY
    bench.advance(0.5)  # what is reported of the search waits behind the transition
    shown = bench.core.shown[0]
    assert shown is Reason.BUSY
    bench.sync()
    assert bench.core.shown[0] is bench.reason
