"""The queue of one image, against a model of what it promises: in order, one at a time, never twice."""

import json
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience.errors import (
    EvaluationError,
    Expired,
    LinkLost,
    OutcomeUnknown,
    QueueFull,
    RequestTooLarge,
    ResilienceError,
)
from resilience.exchange import Asked, Exchange, Settle
from resilience.limits import MAX_MESSAGE_BYTES, MAX_QUEUED_REQUESTS
from resilience.wire import Dialect, Kind, Reply, Request

Outcome = Reply | ResilienceError
PONG = Reply(Dialect.COMMAND, "pong")
FAILED = EvaluationError("RuntimeError", "no")

kinds = st.sampled_from(Kind)
generations = st.integers(1, 3)
outcomes = st.sampled_from([PONG, FAILED])


class Told:
    """Remembers how each request was settled, in order."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[Asked, Outcome]] = []

    def __call__(self, outcome: Outcome, asked: Asked) -> None:
        self.outcomes.append((asked, outcome))

    def only(self) -> Outcome:
        assert len(self.outcomes) == 1
        return self.outcomes[0][1]


def ask(
    kind: Kind, settle: Settle | None, *, at: float = 0.0, timeout_s: float = 5.0, code: str = "3 + 4"
) -> Asked:
    return Asked(Request(kind, code), at, at + timeout_s, settle)


# -- the model -----------------------------------------------------------------------------------


@dataclass(eq=False)
class Known:
    """What the model knows of one request."""

    asked: Asked
    waited_for: bool = True
    sent_at: float | None = None

    @property
    def kind(self) -> Kind:
        return self.asked.request.kind

    def lost(self) -> type[ResilienceError]:
        return LinkLost if self.kind is Kind.PING else OutcomeUnknown


class ExchangeModel(RuleBasedStateMachine):
    """Does to an `Exchange` what a core may do, and knows by itself what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = Exchange("image:1", dialect=Dialect.COMMAND, serving=1)
        self.told = Told()
        self.expected: dict[str, Outcome | type[ResilienceError]] = {}
        self.now = 100.0
        self.queue: deque[Known] = deque()
        self.slots: dict[int, Known] = {}
        self.handed_over: set[str] = set()

    # What the model expects ---------------------------------------------------------------------

    def ends(self, known: Known, how: Outcome | type[ResilienceError]) -> None:
        if known.waited_for:
            known.waited_for = False
            self.expected[known.asked.request.id] = how

    def expires(self) -> None:
        for known in [k for k in self.queue if self.now >= k.asked.deadline or not k.waited_for]:
            self.queue.remove(known)
            self.ends(known, Expired)
        for known in self.slots.values():
            if self.now >= known.asked.deadline:
                self.ends(known, known.lost())

    def handed(self, gen: int, known: Known, frame: bytes) -> None:
        wire_id = json.loads(frame)["id"]
        assert wire_id == known.asked.request.id
        assert wire_id not in self.handed_over, "handed over twice"
        self.handed_over.add(wire_id)
        known.sent_at = self.now
        self.slots[gen] = known

    # What may happen ----------------------------------------------------------------------------

    @rule(kind=kinds, timeout_s=st.sampled_from([0.5, 1.0, 4.0]))
    def submit(self, kind: Kind, timeout_s: float) -> None:
        known = Known(ask(kind, self.told, at=self.now, timeout_s=timeout_s))
        self.expires()
        self.queue.append(known)
        self.exchange.submit(known.asked, self.now)

    @precondition(lambda self: self.queue or self.slots)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """The caller no longer waits."""
        known = data.draw(st.sampled_from([*self.queue, *self.slots.values()]))
        known.waited_for = False
        known.asked.settle = None

    @rule(gen=generations | st.none())
    def serve(self, gen: int | None) -> None:
        self.exchange.serving = gen

    @rule(gen=generations)
    def ping(self, gen: int) -> None:
        slot = self.exchange.ping(gen, self.now)
        assert (slot is None) == (gen in self.slots)
        if slot is not None:
            self.handed(gen, Known(slot.asked, waited_for=False), slot.frame)

    @rule()
    def due(self) -> None:
        slot = self.exchange.due(self.now)
        self.exchange.expire(self.now, "")
        self.expires()
        serving = self.exchange.serving
        running = any(known.kind is not Kind.PING for known in self.slots.values())
        if serving is None or serving in self.slots or running or not self.queue:
            assert slot is None, "handed over out of turn, too late, or for nobody"
            return
        assert slot is not None
        first = self.queue.popleft()
        assert slot.asked is first.asked, "handed over out of turn"
        self.handed(serving, first, slot.frame)

    @rule(gen=generations, outcome=outcomes)
    def answered(self, gen: int, outcome: Outcome) -> None:
        known = self.slots.pop(gen, None)
        self.exchange.answered(gen, outcome, self.now)
        if known is None:
            return
        self.ends(known, outcome)
        if known.kind is Kind.PING and isinstance(outcome, Reply):
            assert known.sent_at is not None
            for other in [k for k in self.queue if k.kind is Kind.PING]:
                if other.asked.issued_at <= known.sent_at:
                    self.queue.remove(other)
                    self.ends(other, outcome)
                    assert other.asked.answered_by == known.asked.request.id

    @rule(gen=generations)
    def link_gone(self, gen: int) -> None:
        known = self.slots.pop(gen, None)
        self.exchange.link_gone(gen, "closed")
        if known is not None:
            self.ends(known, known.lost())

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0]), timer_is_late=st.booleans())
    def time_passes(self, seconds: float, *, timer_is_late: bool) -> None:
        self.now += seconds
        if not timer_is_late:
            self.expires()
            self.exchange.expire(self.now, "no route")

    # What must hold -----------------------------------------------------------------------------

    @invariant()
    def everyone_was_told_once_and_the_truth(self) -> None:
        told = {asked.request.id: outcome for asked, outcome in self.told.outcomes}
        assert len(told) == len(self.told.outcomes), "told twice"
        assert told.keys() == self.expected.keys()
        for wire_id, expected in self.expected.items():
            if isinstance(expected, type):
                assert type(told[wire_id]) is expected
            else:
                assert told[wire_id] is expected

    @invariant()
    def one_is_outstanding_on_a_link(self) -> None:
        for gen in (1, 2, 3):
            known = self.slots.get(gen)
            assert self.exchange.outstanding(gen) is (known.asked if known else None)

    @invariant()
    def the_deadline_is_that_of_the_next_who_waits(self) -> None:
        waiting = [*self.queue, *(known for known in self.slots.values() if known.waited_for)]
        finite = [known.asked.deadline for known in waiting if known.asked.deadline != float("inf")]
        assert self.exchange.deadline() == min(finite, default=None)

    def teardown(self) -> None:
        """However it ends, nobody is left waiting."""
        for known in self.slots.values():
            self.ends(known, known.lost())
        for known in self.queue:
            self.ends(known, Expired)
        self.exchange.close("closed", 0.0)
        self.everyone_was_told_once_and_the_truth()
        assert self.exchange.deadline() is None


ExchangeModel.TestCase.settings = settings(max_examples=200, stateful_step_count=30)
TestExchange = ExchangeModel.TestCase


# -- what the model does not say -----------------------------------------------------------------


def test_the_queue_is_bounded_and_says_so() -> None:
    """The one beyond the bound is refused; those before it are not disturbed."""
    exchange, told = Exchange("image:1"), Told()
    for _ in range(MAX_QUEUED_REQUESTS):
        exchange.submit(ask(Kind.EVALUATE, told), 0.0)
    with pytest.raises(QueueFull) as refused:
        exchange.submit(ask(Kind.EVALUATE, told), 0.0)
    assert (refused.value.image, refused.value.limit) == ("image:1", MAX_QUEUED_REQUESTS)
    assert not told.outcomes


def test_what_has_expired_or_been_withdrawn_makes_room() -> None:
    """A full queue is full of requests somebody still waits for."""
    exchange, told = Exchange("image:1"), Told()
    asked = [ask(Kind.EVALUATE, told, timeout_s=1.0) for _ in range(MAX_QUEUED_REQUESTS)]
    for each in asked:
        exchange.submit(each, 0.0)
    asked[0].settle = None
    exchange.submit(ask(Kind.EVALUATE, told), 0.5)
    exchange.submit(ask(Kind.EVALUATE, told), 1.0)
    assert len(told.outcomes) == MAX_QUEUED_REQUESTS - 1
    assert all(isinstance(outcome, Expired) for _, outcome in told.outcomes)


def test_an_expired_request_says_how_long_it_waited_and_for_what() -> None:
    """And that it was not done."""
    exchange, told = Exchange("image:1"), Told()
    exchange.submit(ask(Kind.EVALUATE, told, at=10.0, timeout_s=2.0), 10.0)
    exchange.expire(12.5, "reconnecting: no route")
    expired = told.only()
    assert isinstance(expired, Expired)
    assert (expired.what, expired.waited_s, expired.why) == (Kind.EVALUATE, 2.5, "reconnecting: no route")


def test_a_request_whose_time_is_over_is_not_handed_over() -> None:
    """Also when the timer is late: nobody would wait for what the image then does."""
    exchange, told = Exchange("image:1", serving=1), Told()
    exchange.submit(ask(Kind.EVALUATE, told, timeout_s=1.0), 0.0)
    exchange.submit(ask(Kind.EVALUATE, None, timeout_s=5.0), 0.0)
    assert exchange.due(1.0) is None
    exchange.expire(1.0, "")
    assert isinstance(told.only(), Expired)


def test_an_unknown_outcome_names_the_request_on_the_wire_and_when_it_was_sent() -> None:
    """With these the user can look it up at the image."""
    exchange, told = Exchange("image:1", serving=1), Told()
    exchange.submit(ask(Kind.EVALUATE, told), 0.0)
    slot = exchange.due(0.0)
    assert slot is not None
    slot.asked.sent_wall = 1_700_000_000.0
    exchange.link_gone(1, "link closed by the other side")
    unknown = told.only()
    assert isinstance(unknown, OutcomeUnknown)
    assert unknown.request_id == slot.asked.request.id
    assert (unknown.sent_at, unknown.why) == (1_700_000_000.0, "link closed by the other side")


def test_a_replaced_link_keeps_its_evaluation_alone_until_it_is_over() -> None:
    """Law 13: one request outstanding per image, also while an old link still drains."""
    exchange, told = Exchange("image:1", serving=1), Told()
    exchange.submit(ask(Kind.EVALUATE, told), 0.0)
    exchange.submit(ask(Kind.EVALUATE, told), 0.0)
    assert exchange.due(0.0) is not None
    exchange.serving = 2
    assert exchange.due(0.0) is None
    exchange.answered(1, PONG, 0.1)
    assert exchange.due(0.1) is not None
    assert exchange.outstanding(2) is not None


def test_a_ping_issued_after_the_one_in_flight_is_not_answered_by_it() -> None:
    """Its caller asks about a later moment; the first ping's answer is older than the question."""
    for sent_at in (0.0, 50.0):
        exchange, told = Exchange("image:1", serving=1), Told()
        before, after = ask(Kind.PING, told, at=sent_at), ask(Kind.PING, told, at=sent_at + 0.001)
        assert exchange.ping(1, sent_at) is not None
        exchange.submit(before, sent_at)
        exchange.submit(after, sent_at + 0.001)
        exchange.answered(1, PONG, sent_at + 1)
        assert [asked for asked, _ in told.outcomes] == [before]
        assert before.sent_at == sent_at
        assert before.answered_at == sent_at + 1


def test_whoever_is_told_may_ask_again_at_once() -> None:
    """Settling is a callback: a caller that asks anew from within it must not upset the others."""
    exchange = Exchange("image:1", serving=1)
    told = Told()

    def again(outcome: Outcome, asked: Asked) -> None:
        told(outcome, asked)
        exchange.submit(ask(Kind.PING, told, at=1.0), 1.0)

    for settle in (again, again, told):
        exchange.submit(ask(Kind.PING, settle, timeout_s=1.0), 0.0)
    exchange.expire(1.0, "no route")
    assert len(told.outcomes) == 3


def test_whoever_is_answered_may_ask_again_at_once() -> None:
    """The same where one answer serves several pings, and where a slot times out."""
    exchange = Exchange("image:1", serving=1)
    told = Told()

    def again(outcome: Outcome, asked: Asked) -> None:
        told(outcome, asked)
        exchange.submit(ask(Kind.PING, told, at=1.0, timeout_s=9.0), 1.0)
        exchange.due(1.0)

    assert exchange.ping(1, 0.0) is not None
    for settle in (again, again, told):
        exchange.submit(ask(Kind.PING, settle, timeout_s=0.5), 0.0)
    exchange.answered(1, PONG, 1.0)
    assert [outcome for _, outcome in told.outcomes[:3]] == [PONG] * 3

    exchange = Exchange("image:1", serving=1)
    told = Told()
    exchange.submit(ask(Kind.EVALUATE, again, timeout_s=0.5), 0.0)
    assert exchange.due(0.0) is not None
    exchange.serving = 2
    exchange.expire(1.0, "")
    assert isinstance(told.outcomes[0][1], OutcomeUnknown)


def test_a_request_that_has_grown_over_the_limit_is_refused_to_its_caller() -> None:
    """It fitted the dialect known when it was queued; in another image's dialect it is too large."""
    exchange, told = Exchange("image:1", dialect=Dialect.COMMAND, serving=1), Told()
    exchange.submit(ask(Kind.EVALUATE, told, code="x" * (MAX_MESSAGE_BYTES - 150)), 0.0)
    exchange.submit(ask(Kind.EVALUATE, told), 0.0)
    exchange.dialect = Dialect.TYPED
    slot = exchange.due(0.0)
    assert isinstance(told.only(), RequestTooLarge)
    assert slot is not None
    assert slot.asked.request.code == "3 + 4"
