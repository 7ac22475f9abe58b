"""Connected is told when an image has answered, and at no other time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from connection_rig import AT, OURS, Rig, kinds, moves, reconnecting
from machines import Ask, Cause, Command, Reason, State, Trigger
from machines.commands import Announce, CallOffScouts, Dial, Ping, Report, Scout, Serve
from machines.events import Accepted, Answered, Handshaken, LinkDown, Scouted, Scouting


def test_only_an_answer_connects() -> None:
    """An accept and a handshake prove nothing; the answered ping does (law 2)."""
    rig = Rig()
    assert rig.ask(Ask.CONNECT)[:2] == [Dial(1), Report(Reason.FIRST_DIAL)]
    assert rig.feed(Accepted(1)) == [CallOffScouts()]
    assert rig.feed(Handshaken(1)) == [Ping(1)]
    assert rig.state is State.FRESH
    got = rig.feed(Answered(1, OURS))
    assert moves(got) == [(State.FRESH, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert Serve(1) in got
    assert rig.connection.identity == OURS


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.REFUSED, Reason.REFUSED),
        (Cause.NO_ROUTE, Reason.NO_ROUTE),
        (Cause.NO_ANSWER, Reason.NO_ANSWER),
        (Cause.NAME, Reason.NAME),
        (Cause.PROTOCOL, Reason.OTHER_PROGRAM),
        (Cause.NO_HANDSHAKE, Reason.MUTE),
        (Cause.LOCAL, Reason.LOCAL_ERROR),
    ],
)
def test_a_first_dial_that_fails_is_named_and_goes_on(cause: Cause, reason: Reason) -> None:
    """Reconnecting with the cause as reason, and a next try on the clock."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    got = rig.feed(LinkDown(1, cause, "errno"))
    failure = Announce(State.FRESH, Trigger.DIAL_FAILED, State.RECONNECTING, reason, "errno")
    assert [command for command in got if isinstance(command, Announce)] == [failure]
    assert {Dial, Scout} & set(kinds(rig.wait(0.1)))


@pytest.mark.parametrize(
    ("cause", "trigger"), [(Cause.ACCESS, Trigger.ACCESS_REFUSED), (Cause.VERSION, Trigger.INCOMPATIBLE)]
)
@pytest.mark.parametrize("state", [State.FRESH, State.RESTORED, State.RECONNECTING])
def test_what_only_a_person_can_mend_fails_and_rests(state: State, cause: Cause, trigger: Trigger) -> None:
    """A wrong key or an incompatible image ends in Failed with no timer left running."""
    rig = AT[state]()
    rig.ask(Ask.CONNECT)
    assert moves(rig.feed(LinkDown(rig.gen, cause))) == [(state, trigger, State.FAILED)]
    assert rig.connection.deadline() is None
    assert not {Dial, Scout} & set(kinds(rig.wait(3600)))


def test_nobody_answers_then_a_scout_gets_through() -> None:
    """Only scouts go out, close together; the first that gets through is followed by a dial at once."""
    rig = reconnecting()
    rig.wait(1.5)
    scouts = [at for at in _times(rig, Scout, for_s=10) if at > 1.5]
    assert max(b - a for a, b in pairwise(scouts)) <= 0.11
    before = rig.gen
    assert rig.feed(Scouted(Scouting.OPEN))[-1] == Dial(before + 1)


def _times(rig: Rig, kind: type[Command], *, for_s: float) -> list[float]:
    """When commands of this kind are given while nothing happens."""
    until, times = rig.now + for_s, list[float]()
    while (at := rig.connection.deadline()) is not None and at <= until:
        times += [at for got in rig.wait(at - rig.now) if isinstance(got, kind)]
    return times
