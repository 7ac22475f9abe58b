"""What becomes of requests when links go: lost, unknown, expired, or simply later."""

from __future__ import annotations

import pytest

from core_bench import Bench, FakeWorld, Waiting
from machines import Reason
from machines.reasons import Cause
from resilience.errors import Expired, LinkLost, OutcomeUnknown, RequestTooLarge
from resilience.exchange import Asked
from resilience.limits import MAX_MESSAGE_BYTES
from resilience.wire import Kind, Reply


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
