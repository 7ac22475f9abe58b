"""Links lost and found: what is dialled, kept, and let go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connection_rig import AT, OURS, THEIRS, Rig, back, connected, kinds, moves, reconnecting
from machines import Ask, Cause, Event, Reason, State, Trigger
from machines.commands import Abort, Dial, Scout, Serve
from machines.events import (
    Abandoned,
    Accepted,
    AddressGone,
    Answered,
    Handshaken,
    InFlight,
    LinkDown,
    LookingUp,
    PathChanged,
    PathProven,
    Vitals,
)
from machines.table import LIVE

# -- losing and finding ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_lost_link_is_redialled_in_the_same_breath(state: State) -> None:
    """Requests stop, the host is told, the next link is dialled: one batch."""
    rig = AT[state]()
    got = rig.feed(LinkDown(1, Cause.CLOSED))
    assert moves(got) == [(state, Trigger.LINK_LOST, State.RECONNECTING)]
    assert Serve(None) in got
    assert got[-1] == Dial(2)
    assert rig.connection.live is None


def test_a_lost_path_keeps_the_link_and_does_not_storm() -> None:
    """No route: the link may outlive the flap, so it is kept and nothing is dialled at a wall."""
    rig = connected()
    got = rig.feed(PathChanged(usable=False, detail="wlan0 down"))
    assert moves(got) == [(State.CONNECTED, Trigger.PATH_LOST, State.RECONNECTING)]
    assert rig.reason is Reason.WAITING
    assert rig.connection.detail == "wlan0 down"
    assert _served(rig) is None  # a request handed over now could only end in doubt
    got = rig.wait(300)
    assert not {Dial, Abort} & set(kinds(got))
    assert rig.connection.live is not None
    assert 300 / 4 <= kinds(got).count(Scout) <= 700  # for machines whose monitor is wrong
    assert rig.reason is Reason.WAITING


def test_no_path_at_the_start_is_waited_for_without_dialling() -> None:
    """Connecting with no network says so at once and dials when there is one."""
    rig = Rig()
    rig.feed(PathChanged(usable=False))
    rig.ask(Ask.CONNECT)
    assert (rig.state, rig.reason) == (State.RECONNECTING, Reason.WAITING)
    assert Dial not in kinds(rig.wait(20))
    assert rig.feed(PathChanged(usable=True))[-1] == Dial(1)


def test_path_back_and_the_old_link_answers_first() -> None:
    """The old link survived: it stays, the dial beside it is aborted."""
    rig = back()
    rig.feed(Accepted(2), Handshaken(2))
    got = rig.feed(Answered(1, OURS))
    assert Abort(2) in got
    assert moves(got) == [(State.RECONNECTING, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert rig.reason is Reason.SURVIVED
    assert _served(rig) == 1


def test_path_back_and_the_new_link_answers_first() -> None:
    """The new link wins: it serves, the old one is aborted."""
    rig = back()
    got = rig.answer()
    assert Abort(1) in got
    assert moves(got) == [(State.RECONNECTING, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert _served(rig) == 2


def test_path_back_and_the_old_link_is_heard() -> None:
    """Data that came after the suspicion ends the outage without any answer; older data does not."""
    rig = back()
    rig.now += 0.2
    assert not moves(rig.feed(Vitals(1, quiet_s=0.3, data_quiet_s=0.3)))
    assert not moves(rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.3)))
    got = rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.05))
    assert moves(got) == [(State.RECONNECTING, Trigger.LINK_RESUMED, State.CONNECTED)]
    assert Abort(2) in got
    assert _served(rig) == 1


def _served(rig: Rig) -> int | None:
    return [command.gen for command in rig.commands if isinstance(command, Serve)][-1]


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_hedge_in_use_changes_no_state(state: State) -> None:
    """The path merely changed: a dial beside the working link may win without the user noticing."""
    rig = AT[state]()
    rig.feed(PathChanged(usable=True))
    assert moves(rig.answer()) == []
    assert rig.state is state
    assert _served(rig) == 2


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_hedge_that_fails_changes_nothing_either(state: State) -> None:
    """The link still claimed decides by its own signs of life; nothing more is dialled beside it."""
    rig = AT[state]()
    rig.feed(PathChanged(usable=True))
    assert moves(rig.feed(LinkDown(2, Cause.REFUSED))) == []
    rig.feed(Answered(1, OURS))
    assert not {Dial, Scout} & set(kinds(rig.wait(60)))


@pytest.mark.parametrize("state", sorted(LIVE))
def test_an_address_that_is_gone_takes_its_link_at_once(state: State) -> None:
    """Nothing to probe on a dead 4-tuple: abort, tell, dial (law 8)."""
    rig = AT[state]()
    got = rig.feed(AddressGone(1, "10.0.0.7"))
    assert moves(got) == [(state, Trigger.LINK_LOST, State.RECONNECTING)]
    assert rig.reason is Reason.ADDRESS_GONE
    assert got.index(Abort(1)) < got.index(Dial(2))
    assert _served(rig) is None


def test_an_address_that_is_gone_under_a_dial_restarts_it() -> None:
    """The attempt is replaced within a moment, not after its patience."""
    rig = reconnecting()
    rig.feed(Accepted(2))
    got = [*rig.feed(AddressGone(2)), *rig.wait(0.2)]
    assert Abort(2) in got
    assert {Dial, Scout} & set(kinds(got))


def test_a_slow_name_costs_the_dial_none_of_its_time() -> None:
    """While the name is looked up the attempt cannot run out; then it has its full patience."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.feed(LookingUp(1, done=False))
    assert Abort(1) not in rig.wait(30)
    rig.feed(LookingUp(1, done=True))
    assert Abort(1) not in rig.wait(0.9)
    assert Abort(1) in rig.wait(0.2)


def test_another_image_on_the_path_answered() -> None:
    """What one image proves helps the others at once, unless they are further already."""
    rig = reconnecting()
    rig.wait(5)
    before = rig.gen
    assert rig.feed(PathProven())[-1] == Dial(before + 1)
    rig.feed(Accepted(rig.gen))
    assert rig.feed(PathProven()) == []


def test_every_dial_aborts_the_one_before() -> None:
    """However often the network changes, one attempt is under way."""
    rig = reconnecting()
    for gen in range(2, 12):
        rig.now += 2.0
        got = rig.feed(PathChanged(usable=True))
        assert got.index(Abort(gen)) < got.index(Dial(gen + 1))


# -- older generations -----------------------------------------------------------------------------


ABOUT: list[Callable[[int], Event]] = [
    Accepted,
    Handshaken,
    lambda gen: Answered(gen, THEIRS),
    lambda gen: LinkDown(gen, Cause.ACCESS),
    lambda gen: LinkDown(gen, Cause.CLOSED),
    lambda gen: InFlight(gen, busy=True),
    lambda gen: InFlight(gen, busy=False),
    lambda gen: LookingUp(gen, done=False),
    Abandoned,
    lambda gen: Vitals(gen, quiet_s=90, data_quiet_s=90, rtt_s=0.9),
    AddressGone,
]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("about", ABOUT)
def test_facts_about_bygone_links_are_dropped(state: State, about: Callable[[int], Event]) -> None:
    """Whatever is told of a link that is not ours any more changes nothing at all (law 1)."""
    rig = AT[state]()
    before = rig.snapshot()
    assert rig.feed(about(0)) == []
    assert rig.snapshot() == before


# -- the last reply of a replaced link -------------------------------------------------------------


def replaced_while_busy() -> Rig:
    """Link 1 awaited a reply when link 2 took over."""
    rig = connected()
    rig.feed(InFlight(1, busy=True), PathChanged(usable=True))
    got = rig.answer()
    assert Abort(1) not in got
    assert _served(rig) == 2
    return rig


def test_a_replaced_link_may_deliver_its_last_reply() -> None:
    """Its request ran already: the reply is worth two seconds. Then the link has done its work."""
    rig = replaced_while_busy()
    rig.now += 1.9
    assert rig.feed(Answered(1, OURS)) == [Abort(1)]
    assert rig.connection.drain is None


def test_a_replaced_link_is_not_waited_for_for_ever() -> None:
    """After `drain_s` it is aborted by our own timer."""
    rig = replaced_while_busy()
    assert Abort(1) not in rig.wait(rig.connection.policy.drain_s - 0.01)
    assert Abort(1) in rig.wait(0.02)
    assert rig.connection.drain is None


def test_a_replaced_link_that_ends_by_itself_is_forgotten() -> None:
    """Nothing is aborted twice and the serving link is untouched."""
    rig = replaced_while_busy()
    assert rig.feed(LinkDown(1, Cause.CLOSED)) == []
    assert Abort(1) not in rig.wait(10)
    assert rig.state is State.CONNECTED


def test_only_one_replaced_link_is_kept() -> None:
    """The next replacement ends the former's wait."""
    rig = replaced_while_busy()
    rig.feed(InFlight(2, busy=True), PathChanged(usable=True))
    got = rig.answer()
    assert Abort(1) in got
    assert Abort(2) not in got


def test_a_reply_nobody_waits_for_is_not_waited_for() -> None:
    """A draining link is aborted, and so is one kept in doubt; the one that serves goes on (law 11)."""
    rig = replaced_while_busy()
    assert rig.feed(Abandoned(2)) == []
    assert rig.feed(Abandoned(1)) == [Abort(1)]
    rig.feed(InFlight(2, busy=True), PathChanged(usable=False))
    assert rig.feed(Abandoned(2)) == [Abort(2)]
    assert rig.connection.live is None


def test_the_reply_to_a_ping_is_not_worth_waiting_for() -> None:
    """A replaced link that owes us only a ping is aborted at once."""
    rig = connected()
    rig.feed(InFlight(1, busy=True, trivial=True), PathChanged(usable=True))
    assert Abort(1) in rig.answer()


def test_a_dead_address_ends_the_wait_for_its_reply() -> None:
    """Nothing can come any more over a 4-tuple that is gone."""
    assert replaced_while_busy().feed(AddressGone(1)) == [Abort(1)]
