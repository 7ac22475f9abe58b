"""One image's runtime under anything at all: every request has one outcome."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_bench import ADDRESS, CABLE, WIFI, Bench, Waiting, command_reply, stored_session
from machines import Refused
from machines.events import AddressGone, Ask, PathChanged, Scouted, Scouting, Woke
from machines.reasons import Cause
from resilience.errors import UsageError

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
