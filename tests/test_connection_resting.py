"""Failed, Orphaned, Fresh: where a connection rests, and every way out."""

from __future__ import annotations

import pytest

from connection_rig import AT, THEIRS, Rig, connected, failed, kinds, moves, orphaned, reconnecting
from machines import Ask, Cause, Event, Identity, Policy, Reason, Refused, State, Trigger
from machines.commands import Abort, Announce, ArchiveSession, Dial, Inspect, Ping, ReadSession
from machines.events import (
    Accepted,
    Answered,
    Asked,
    InFlight,
    LinkDown,
    PathChanged,
    PathProven,
    Scouted,
    Scouting,
    SessionAbsent,
    SessionFound,
    SessionRestored,
    SessionUnreadable,
    Stalled,
    Woke,
)
from machines.table import LIVE, TABLE, WAYS_OUT


@pytest.mark.parametrize("state", State)
def test_the_builders_lead_where_they_say(state: State) -> None:
    """Every state is reached by plain facts alone."""
    assert AT[state]().connection.state is state


@pytest.mark.parametrize(
    ("state", "ask"),
    [(s, ask) for s, ways in WAYS_OUT.items() for ask in Ask if ask.value in ways],
)
def test_every_way_out_leads_where_the_table_says(state: State, ask: Ask) -> None:
    """Edits are dropped only into the archive, and only the archive stays disconnected."""
    rig = AT[state]()
    rig.ask(Ask.EDITED)
    target = next(r.target for r in TABLE if r.source is state and r.trigger.value == ask.value)
    got = rig.ask(ask)
    assert moves(got) == [(state, Trigger(ask.value), target)]
    archived = ask in (Ask.START_FRESH, Ask.ARCHIVE)
    assert (ArchiveSession() in got) is archived
    assert rig.connection.dirty is not archived
    assert (ReadSession() in got) is (ask is Ask.RESTORE)
    assert (Dial in kinds(got)) is (ask is not Ask.ARCHIVE)
    assert rig.connection.wanted is (ask is not Ask.ARCHIVE)


def test_adopting_accepts_the_image_that_is_there() -> None:
    """The user said so: the next answer owns the session. Merely retrying does not say so."""
    adopting, retrying = orphaned(), orphaned()
    adopting.ask(Ask.ADOPT)
    adopting.answer(THEIRS)
    assert adopting.connection.state is State.CONNECTED
    assert adopting.connection.identity == THEIRS
    retrying.ask(Ask.RETRY)
    retrying.answer(THEIRS)
    assert retrying.connection.state is State.ORPHANED


def test_a_limit_set_by_the_host_ends_in_failed_and_the_network_ends_that() -> None:
    """Failed when the time is up, everything put down; back by itself when the network changes."""
    rig = Rig(Policy(give_up_after_s=30))
    rig.ask(Ask.CONNECT)
    assert moves(rig.wait(1)) == [(State.FRESH, Trigger.DIAL_FAILED, State.RECONNECTING)]
    got = rig.wait(31)
    assert moves(got) == [(State.RECONNECTING, Trigger.GAVE_UP, State.FAILED)]
    assert rig.connection.deadline() is None
    assert moves(rig.feed(PathChanged(usable=False))) == []
    got = rig.feed(PathChanged(usable=True))
    assert moves(got) == [(State.FAILED, Trigger.NETWORK_CHANGED, State.RECONNECTING)]
    assert Dial in kinds(got)
    assert moves(rig.wait(29)) == []  # the limit counts from the change


def test_a_failure_the_network_did_not_cause_stays() -> None:
    """No network event mends a wrong key."""
    rig = failed()
    assert rig.feed(PathChanged(usable=True)) == []
    assert rig.state is State.FAILED


def test_a_failure_may_be_left_alone() -> None:
    """Disconnecting while Failed means: stay away, whatever the network does."""
    rig = Rig(Policy(give_up_after_s=30))
    rig.ask(Ask.CONNECT)
    rig.wait(40)
    assert rig.ask(Ask.DISCONNECT) == []
    assert rig.feed(PathChanged(usable=True)) == []
    assert rig.state is State.FAILED


def test_an_image_gone_for_a_month_is_orphaned_and_kept() -> None:
    """Unreachable beyond the retention: no more dialling, nothing deleted, edits still dirty."""
    rig = Rig(Policy(gone_after_s=100))
    rig.ask(Ask.CONNECT)
    rig.ask(Ask.EDITED)
    got = rig.wait(102)
    assert moves(got)[-1] == (State.RECONNECTING, Trigger.IMAGE_GONE, State.ORPHANED)
    assert rig.connection.deadline() is None
    assert rig.connection.dirty
    assert ArchiveSession() not in rig.commands


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED, State.ORPHANED}))
def test_disconnecting_puts_everything_down(state: State) -> None:
    """No link, no timer, no dialling, until the host asks again; the session and its edits stay."""
    rig = AT[state]()
    if state not in LIVE:
        rig.ask(Ask.CONNECT)
    rig.ask(Ask.EDITED)
    got = rig.ask(Ask.DISCONNECT)
    assert Abort(rig.gen) in got
    assert rig.state in (State.RESTORED, State.RESTORING)
    assert rig.connection.live is None
    assert rig.connection.deadline() is None
    assert rig.feed(PathChanged(usable=True), Woke(5), PathProven(), Scouted(Scouting.OPEN)) == []
    assert rig.connection.dirty
    assert Dial in kinds(rig.ask(Ask.CONNECT))


def test_the_host_may_insist() -> None:
    """A retry while dialling dials now, whatever the schedule says; also after a disconnect."""
    rig = reconnecting()
    rig.wait(120)
    assert Dial in kinds(rig.ask(Ask.RETRY))
    rig.ask(Ask.DISCONNECT)
    assert Dial in kinds(rig.ask(Ask.RETRY))


def test_connecting_twice_dials_once() -> None:
    """Asking for what is under way or done already adds nothing."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    assert rig.ask(Ask.CONNECT) == []
    rig.answer()
    assert rig.ask(Ask.CONNECT) == []


SESSION_FACTS: dict[str, Event] = {
    Trigger.SESSION_FOUND: SessionFound(),
    Trigger.SESSION_RESTORED: SessionRestored(),
    Trigger.SESSION_ABSENT: SessionAbsent(),
    Trigger.SESSION_UNREADABLE: SessionUnreadable(),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", [*(Asked(ask) for ask in Ask), *SESSION_FACTS.values()])
def test_a_refusal_leaves_everything_untouched(state: State, event: Event) -> None:
    """Asking for the impossible raises, names the state, and changes nothing; nothing leaks out later."""
    rig = AT[state]()
    before = rig.snapshot()
    if event in _welcome(state):
        rig.feed(event)
        return
    with pytest.raises(Refused) as refused:
        rig.feed(event)
    assert refused.value.state is state
    assert str(state) in str(refused.value)
    assert rig.snapshot() == before
    assert not {Announce, ReadSession, ArchiveSession} & set(kinds(rig.feed(Stalled(0.0))))


def _welcome(state: State) -> list[Event]:
    """What a state takes in: by a rule of the table, or because it is said to be no refusal."""
    triggers = {rule.trigger.value for rule in TABLE if rule.source is state}
    asks = {ask for ask in Ask if ask.value in triggers} | {Ask.EDITED, Ask.SAVED, Ask.DISCONNECT}
    if state not in WAYS_OUT:
        asks.add(Ask.CONNECT)
    if state not in LIVE:
        asks.add(Ask.RETRY)
    return [
        *(Asked(ask) for ask in asks),
        *(fact for name, fact in SESSION_FACTS.items() if name in triggers),
    ]


def test_looking_is_all_that_time_does_to_an_idle_link() -> None:
    """A connected, idle image costs one look a second and a ping now and then."""
    rig = connected()
    got = rig.wait(60)
    assert set(kinds(got)) == {Inspect, Ping}
    assert 50 <= kinds(got).count(Inspect) <= 61
    assert 10 <= kinds(got).count(Ping) <= 13


def test_a_busy_link_is_not_asked() -> None:
    """Whatever is outstanding, an evaluation or the last ping: no second one piles up behind it (law 3)."""
    rig = connected()
    rig.feed(InFlight(1, busy=True))
    assert Ping not in kinds(rig.wait(60))
    rig.feed(InFlight(1, busy=False))
    assert Ping in kinds(rig.wait(6))


def test_a_busy_link_in_doubt_is_not_asked_either() -> None:
    """Its own reply will tell as well as a ping behind it would."""
    rig = connected()
    rig.feed(InFlight(1, busy=True))
    got = rig.feed(Woke(60), PathChanged(usable=False), PathChanged(usable=True))
    assert Ping not in kinds(got)


def test_an_answer_clears_what_was_held_against_the_search() -> None:
    """Three failures at an open port before an outage and three after it replace no context."""
    rig = reconnecting()
    for _ in range(2):
        for _ in range(3):
            rig.feed(Accepted(rig.gen), LinkDown(rig.gen, Cause.CLOSED), Scouted(Scouting.OPEN))
        rig.answer()
        rig.feed(LinkDown(rig.gen, Cause.CLOSED))
    assert rig.gen > 8
    assert not any(command.fresh_context for command in rig.commands if isinstance(command, Dial))


def test_an_image_that_does_not_answer_a_ping_is_not_called_busy() -> None:
    """A ping that stays unanswered says something else than a request that takes its time."""
    rig = connected()
    rig.feed(InFlight(1, busy=True, trivial=True))
    rig.wait(3)
    assert (rig.state, rig.reason) == (State.CONNECTED, Reason.NOT_ANSWERING)
    rig.feed(Answered(1, Identity("ours", 103.0)), InFlight(1, busy=False))
    assert rig.reason is Reason.ANSWERED


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.NOT_ANSWERING])
def test_an_edit_does_not_hide_that_the_image_is_busy(reason: Reason) -> None:
    """Law 3: Modified and Connected again, and busy all the while."""
    rig = connected()
    rig.connection.reason = reason
    rig.ask(Ask.EDITED)
    assert (rig.state, rig.reason) == (State.MODIFIED, reason)
    rig.ask(Ask.SAVED)
    assert (rig.state, rig.reason) == (State.CONNECTED, reason)
