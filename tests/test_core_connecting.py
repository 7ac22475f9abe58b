"""One image's runtime on its way to Connected: which dialect, who answers, what is refused."""

from __future__ import annotations

import json

import pytest

from core_bench import ADDRESS, Bench, strict
from machines import Reason, State
from machines.events import Accepted, Ask, Handshaken
from machines.reasons import Cause
from resilience.standin.dialects import Speaks
from resilience.standin.image import Image as Standin
from resilience.wire import Reply


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
