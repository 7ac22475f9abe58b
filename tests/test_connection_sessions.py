"""Sessions read while links come and go, and the work that waits to be saved."""

from __future__ import annotations

import pytest

from connection_rig import AT, OURS, THEIRS, Rig, connected, kinds, modified, moves, restoring
from machines import Ask, Cause, Reason, State, Trigger
from machines.commands import Abort, Announce, Dial, Ping, ReadSession, Scout, Serve
from machines.events import (
    Answered,
    InFlight,
    LinkDown,
    PathChanged,
    SessionAbsent,
    SessionFound,
    SessionRestored,
    SessionUnreadable,
    Stalled,
    Vitals,
    Woke,
)
from machines.table import LIVE

# -- sessions --------------------------------------------------------------------------------------


def answered_while_restoring() -> Rig:
    """The disk is slower than the network."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    assert ReadSession() in rig.feed(SessionFound())
    got = rig.answer()
    assert rig.state is State.RESTORING
    assert Serve(1) not in got  # whose image this is cannot be said yet
    return rig


@pytest.mark.parametrize("dirty", [False, True])
def test_an_image_that_answered_early_waits_for_its_session(dirty: bool) -> None:  # noqa: FBT001 - parametrized
    """Reading ends: through Restored to where the edits say, with the link that is there."""
    rig = answered_while_restoring()
    got = rig.feed(SessionRestored(OURS, dirty=dirty))
    goal = State.MODIFIED if dirty else State.CONNECTED
    answered = Trigger.IMAGE_ANSWERED_DIRTY if dirty else Trigger.IMAGE_ANSWERED
    assert moves(got) == [
        (State.RESTORING, Trigger.SESSION_RESTORED, State.RESTORED),
        (State.RESTORED, answered, goal),
    ]
    assert Serve(1) in got
    assert Dial not in kinds(got)


def test_an_image_that_answered_early_may_be_the_wrong_one() -> None:
    """It is judged when the owner is known, and has never been offered a request."""
    rig = answered_while_restoring()
    got = rig.feed(SessionRestored(THEIRS))
    assert moves(got)[-1] == (State.RESTORED, Trigger.IMAGE_REPLACED, State.ORPHANED)
    assert Abort(1) in got
    assert Serve(1) not in rig.commands


def test_who_answered_early_is_judged_even_if_the_path_has_gone() -> None:
    """Liveness goes stale, an identity does not (law 17)."""
    rig = answered_while_restoring()
    rig.feed(Answered(1, THEIRS), PathChanged(usable=False))
    assert moves(rig.feed(SessionRestored(OURS)))[-1][1:] == (Trigger.IMAGE_REPLACED, State.ORPHANED)


def test_an_early_answer_is_no_proof_once_the_path_has_gone() -> None:
    """Connected needs a proof that still holds when it is claimed (law 2)."""
    rig = answered_while_restoring()
    rig.feed(PathChanged(usable=False))
    rig.now += 20
    rig.feed(SessionRestored(OURS))
    assert rig.state not in LIVE


def early_answer_in_doubt() -> Rig:
    """The path flapped after an early answer, and the session is read before anything else is heard."""
    rig = answered_while_restoring()
    rig.feed(PathChanged(usable=False), PathChanged(usable=True))
    got = rig.feed(SessionRestored(OURS))
    assert moves(got) == [(State.RESTORING, Trigger.SESSION_RESTORED, State.RESTORED)]
    assert Ping(1) in got
    assert Dial in kinds(got)
    return rig


def test_an_early_answer_in_doubt_is_asked_for_again() -> None:
    """The old link is asked, another dialled, and the first answer connects."""
    rig = early_answer_in_doubt()
    got = rig.feed(Answered(1, OURS))
    assert moves(got) == [(State.RESTORED, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert Abort(rig.gen) in got


def test_bytes_alone_connect_no_link_that_never_served() -> None:
    """Whose bytes they are has not been judged: only an answer counts, also after a failed dial."""
    rig = early_answer_in_doubt()
    rig.feed(LinkDown(rig.gen, Cause.REFUSED))
    rig.now += 1.0
    assert moves(rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.0))) == []
    assert moves(rig.feed(Answered(1, THEIRS)))[-1][1:] == (Trigger.IMAGE_REPLACED, State.ORPHANED)


def test_an_early_answer_heard_again_in_time_is_a_proof() -> None:
    """The link spoke after the flap and before the session was read."""
    rig = answered_while_restoring()
    rig.feed(PathChanged(usable=False), PathChanged(usable=True))
    rig.now += 1.0
    assert moves(rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.0))) == []
    assert moves(rig.feed(SessionRestored(OURS)))[-1][1:] == (Trigger.IMAGE_ANSWERED, State.CONNECTED)


def test_a_stranger_who_has_left_orphans_nobody() -> None:
    """An early answer goes with its link; what counts is who answers when the session is there."""
    rig = answered_while_restoring()
    rig.feed(Answered(1, THEIRS), LinkDown(1, Cause.CLOSED))
    rig.feed(SessionRestored(OURS))
    assert rig.state is State.RESTORED
    assert moves(rig.answer()) == [(State.RESTORED, Trigger.IMAGE_ANSWERED, State.CONNECTED)]


def test_nothing_usable_was_stored() -> None:
    """An early answer begins a session of its own."""
    rig = answered_while_restoring()
    got = rig.feed(SessionAbsent())
    assert [m[2] for m in moves(got)] == [State.FRESH, State.CONNECTED]


def test_a_session_nobody_can_read_is_a_decision_for_a_person() -> None:
    """Failed, and the early link goes."""
    rig = answered_while_restoring()
    got = rig.feed(SessionUnreadable("journal: bad key"))
    assert moves(got) == [(State.RESTORING, Trigger.SESSION_UNREADABLE, State.FAILED)]
    assert rig.connection.detail == "journal: bad key"
    assert Abort(1) in got
    assert rig.connection.deadline() is None


def test_dialling_does_not_wait_for_the_disk() -> None:
    """A wanted image is dialled while its session is read, also after a dial failed (law 14)."""
    rig = restoring()
    assert Dial(1) in rig.ask(Ask.CONNECT)
    rig.feed(LinkDown(1, Cause.REFUSED))
    assert rig.state is State.RESTORING
    assert {Dial, Scout} & set(kinds(rig.wait(5)))


def test_a_restart_restores_into_restored_only() -> None:
    """Without an answer there is no Connected, whatever the session says."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.feed(SessionFound(), SessionRestored(OURS, dirty=True))
    assert rig.state is State.RESTORED
    assert rig.connection.dirty


# -- work ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.FRESH, State.RESTORED, State.RECONNECTING])
def test_edits_made_while_away_lead_to_modified(state: State) -> None:
    """Edits are kept while nobody answers, and coming back says so."""
    rig = AT[state]()
    assert moves(rig.ask(Ask.EDITED)) == []
    rig.ask(Ask.CONNECT)
    assert moves(rig.answer()) == [(state, Trigger.IMAGE_ANSWERED_DIRTY, State.MODIFIED)]
    assert moves(rig.ask(Ask.SAVED)) == [(State.MODIFIED, Trigger.SAVED, State.CONNECTED)]


@pytest.mark.parametrize("state", State)
def test_edits_are_accepted_everywhere_and_kept(state: State) -> None:
    """Whatever the network does, work is taken in and stays dirty until it is saved."""
    rig = AT[state]()
    rig.ask(Ask.EDITED)
    rig.feed(PathChanged(usable=False), PathChanged(usable=True), Woke(60), Stalled(3))
    rig.wait(120)
    assert rig.connection.dirty


def test_unsaved_edits_stay_the_reason_when_a_request_ends() -> None:
    """What Modified means to the user is not overwritten by a busy spell that is over."""
    rig = modified()
    rig.feed(InFlight(1, busy=True))
    rig.wait(2)
    assert (rig.state, rig.reason) == (State.MODIFIED, Reason.BUSY)
    rig.feed(InFlight(1, busy=False))
    assert (rig.state, rig.reason) == (State.MODIFIED, Reason.EDITED)


def test_work_on_a_busy_image_leaves_it_shown_as_busy() -> None:
    """An edit and a save are told with their own reasons; what is shown afterwards is the image's (law 3)."""
    rig = connected()
    rig.feed(InFlight(1, busy=True))
    rig.wait(2)
    for ask, state, reason in (
        (Ask.EDITED, State.MODIFIED, Reason.EDITED),
        (Ask.SAVED, State.CONNECTED, Reason.SAVED),
    ):
        told = [each for each in rig.ask(ask) if isinstance(each, Announce)]
        assert [(each.target, each.reason) for each in told] == [(state, reason)]
        assert (rig.state, rig.reason) == (state, Reason.BUSY)
    rig.feed(InFlight(1, busy=False))
    assert rig.reason is Reason.ANSWERED
