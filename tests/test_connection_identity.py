"""Who answers: the same image, another one, or one that cannot be told (law 17)."""

from __future__ import annotations

import pytest

from connection_rig import AT, OURS, THEIRS, connected, moves, reconnecting
from machines import Ask, Cause, Identity, Reason, State, Trigger
from machines.commands import Abort, Serve
from machines.events import Answered, Asked, LinkDown, PathChanged, Scouted, Scouting


@pytest.mark.parametrize("state", [State.RESTORED, State.RECONNECTING, State.CONNECTED, State.MODIFIED])
def test_another_image_orphans_the_session(state: State) -> None:
    """Nothing is mixed: no request is ever offered to the stranger, every link goes, nothing dials."""
    rig = AT[state]()
    rig.feed(Asked(Ask.CONNECT), PathChanged(usable=True))
    got = rig.answer(THEIRS)
    assert moves(got) == [(state, Trigger.IMAGE_REPLACED, State.ORPHANED)]
    assert Serve(rig.gen) not in got
    assert Abort(rig.gen) in got
    assert rig.connection.live is None
    assert rig.connection.identity == OURS
    assert "theirs" in rig.connection.detail
    assert "ours" in rig.connection.detail
    assert rig.connection.deadline() is None
    assert rig.connection.dirty is (state is State.MODIFIED)


def test_images_that_do_not_say_who_they_are_are_taken_at_their_word() -> None:
    """Stock images have no id: coming back nameless orphans nobody."""
    rig = reconnecting()
    assert moves(rig.answer(Identity())) == [(State.RECONNECTING, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert rig.connection.identity == OURS


def test_a_restarted_image_gets_its_session_again() -> None:
    """The uptime went back: the same session, and the user is told."""
    rig = reconnecting()
    rig.now += 60
    rig.feed(Scouted(Scouting.OPEN))
    rig.answer(Identity("ours", 12.0))
    assert (rig.state, rig.reason) == (State.CONNECTED, Reason.RESTARTED)


@pytest.mark.parametrize("uptime_s", [99.0, 101.0, 160.0, None])
def test_an_image_that_simply_ran_on_was_not_restarted(uptime_s: float | None) -> None:
    """Rounded uptimes and missing ones restart nothing."""
    rig = reconnecting()
    rig.answer(Identity("ours", uptime_s))
    assert (rig.state, rig.reason) == (State.CONNECTED, Reason.ANSWERED)


def test_an_answer_without_an_uptime_does_not_hide_a_restart() -> None:
    """What was known before stays known."""
    rig = connected()
    rig.now += 50
    rig.feed(Answered(1, Identity("ours")), LinkDown(1, Cause.CLOSED))
    rig.now += 50
    rig.feed(Scouted(Scouting.OPEN))
    rig.answer(Identity("ours", 120.0))
    assert rig.reason is Reason.RESTARTED
