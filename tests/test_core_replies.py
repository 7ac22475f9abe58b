"""What an image sends back: envelopes, strays, errors, and what is too large."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from core_bench import Bench
from machines import Reason, State
from machines.events import Handshaken, LinkDown
from machines.reasons import Cause
from resilience.errors import (
    EvaluationError,
    MalformedReply,
    OutcomeUnknown,
    ReplyTooLarge,
    UnsupportedRequest,
)
from resilience.limits import MAX_MESSAGE_BYTES
from resilience.wire import Reply

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
