"""One image's runtime, its journal and its session: what is told when, and to whom."""

from __future__ import annotations

import pytest

from core_bench import Bench, command_reply, moves, stored_session
from machines import Reason, Refused, State, Trigger
from machines.events import Ask
from machines.reasons import Cause
from resilience.errors import Expired
from resilience.limits import MAX_DETAIL_CHARS
from resilience.wire import Reply

# -- the journal -----------------------------------------------------------------------------------


def test_nothing_is_told_before_it_is_durable() -> None:
    """Law 14: dialling goes on meanwhile, the host hears when the disk has it."""
    bench = Bench()
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    assert not bench.changes
    bench.sync()
    assert moves(bench.changes) == [(State.FRESH, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert bench.changes[0].durable


def test_a_disk_that_fails_is_told_with_the_transition() -> None:
    """The change is real; a crash would forget it. The next one that is saved says nothing of the kind."""
    bench = Bench()
    bench.core.start()
    gen = bench.shake()
    bench.reply(bench.last_sent())
    bench.sync(saved=False)
    bench.core.link_down(gen, Cause.CLOSED)
    bench.sync()
    assert [change.durable for change in bench.changes] == [False, True]


def test_what_is_told_is_what_was_journaled_in_the_same_order() -> None:
    """Number, states, trigger, reason and time of every transition agree, and no number is left out."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=5)
    gen = bench.connect()
    bench.core.link_down(gen, Cause.CLOSED, "reset by peer")
    bench.shake()
    bench.reply(bench.last_sent())
    bench.core.ask(Ask.DISCONNECT)
    bench.sync()
    assert len(bench.changes) == len(bench.world.journal)
    for number, (change, record) in enumerate(zip(bench.changes, bench.world.journal, strict=True), start=42):
        assert change.seq == record.seq == number
        assert (change.image, change.endpoint, change.at) == (record.image, record.endpoint, record.at)
        assert (change.source, change.trigger, change.target) == (
            record.source,
            record.trigger,
            record.target,
        )
        assert (change.reason, change.detail) == (record.reason, record.detail)


def test_told_and_journaled_words_agree_however_long_they_are() -> None:
    """`watch` and `sessions history` print the same reason (the contract), so both are cut alike."""
    bench = Bench()
    gen = bench.connect()
    bench.core.link_down(gen, Cause.CLOSED, "x" * (3 * MAX_DETAIL_CHARS))
    bench.sync()
    assert len(bench.world.journal[-1].detail) == MAX_DETAIL_CHARS
    assert bench.changes[-1].detail == bench.world.journal[-1].detail


# -- sessions --------------------------------------------------------------------------------------


def test_a_stored_session_is_restored_and_continued() -> None:
    """Fresh, Restoring, Restored, Connected; same session, numbers going on, dialect as remembered."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=5)
    bench.connect()
    assert [(change.seq, change.target) for change in bench.changes] == [
        (42, State.RESTORING),
        (43, State.RESTORED),
        (44, State.CONNECTED),
    ]
    assert {record.session for record in bench.world.journal} == {stored_session().session}
    assert bench.world.journal[-1].identity == "image-one"


def test_a_restart_never_restores_into_connected() -> None:
    """Liveness is proved again, whatever the journal says."""
    bench = Bench(stored=stored_session(state="Connected"))
    bench.core.start()
    bench.sync()
    assert bench.changes[-1].target is State.RESTORED
    bench.shake()
    assert bench.state is State.RESTORED


def test_another_image_at_the_address_is_not_mixed_into_the_session() -> None:
    """Law 17: Orphaned, no request is served, and the words name both."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-two")
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.state, bench.reason) == (State.ORPHANED, Reason.OTHER_IMAGE)
    assert "image-one" in bench.core.connection.detail
    assert "image-two" in bench.core.connection.detail
    before = len(bench.world.sent)
    evaluation = bench.evaluate(timeout_s=1.0)
    bench.advance(2.0)
    assert isinstance(evaluation.outcome, Expired)
    assert len(bench.world.sent) == before
    assert not bench.world.links


@pytest.mark.parametrize("way_out", [Ask.ADOPT, Ask.START_FRESH])
def test_ways_out_of_orphaned(way_out: Ask) -> None:
    """Adopting continues the session with the image that answers; starting fresh begins another one."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-two")
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    bench.core.ask(way_out)
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    last = bench.world.journal[-1]
    assert last.identity == "image-two"
    assert (last.session == stored_session().session) == (way_out is Ask.ADOPT)
    assert last.seq == 41 + len(bench.world.journal)


def test_a_restarted_image_gets_its_session_again() -> None:
    """Law 17: its uptime went back, its identity did not change."""
    bench = Bench(stored=stored_session())
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=500)
    gen = bench.connect()
    bench.core.link_down(gen, Cause.CLOSED)
    bench.answer = lambda _: command_reply(image_id="image-one", uptime=1)
    bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.state, bench.reason) == (State.CONNECTED, Reason.RESTARTED)
    assert {record.session for record in bench.world.journal} == {stored_session().session}


@pytest.mark.parametrize("dialect", ["klingon", ""])
def test_a_stored_dialect_nobody_knows_is_learnt_anew(dialect: str) -> None:
    """The journal may have been written by another version; that is no reason to fall over (law 22)."""
    bench = Bench(stored=stored_session(dialect=dialect, identity=None))
    bench.connect()


def test_asking_for_what_the_state_forbids_is_refused_and_changes_nothing() -> None:
    """The refusal names state and trigger."""
    bench = Bench()
    bench.connect()
    with pytest.raises(Refused) as refused:
        bench.core.ask(Ask.ADOPT)
    assert (refused.value.state, refused.value.trigger) == (State.CONNECTED, Trigger.ADOPT)
    assert bench.state is State.CONNECTED
    evaluation = bench.evaluate("3 + 4")
    bench.reply(bench.last_sent())
    assert isinstance(evaluation.outcome, Reply)


# -- the session -----------------------------------------------------------------------------------


def test_a_session_that_takes_long_to_read_delays_no_dial() -> None:
    """The image answers while it is being read: Connected comes with the session, at once."""
    bench = Bench(stored=stored_session(identity=None))
    bench.world.holds_session = True
    bench.core.start()
    bench.shake()
    bench.reply(bench.last_sent())
    assert (bench.core.connection.state, bench.world.reads) == (State.RESTORING, 1)
    bench.core.restored()
    assert bench.core.connection.state is State.CONNECTED


def test_the_journal_is_told_how_much_of_the_session_is_durable() -> None:
    """With every transition; that is how an older copy is recognised later."""
    bench = Bench()
    bench.connect()
    bench.world.saved_revision = 7
    bench.core.ask(Ask.EDITED)
    assert [each.revision for each in bench.world.journal] == [0, 7]


def test_a_session_that_is_absent_makes_room_for_another() -> None:
    """It was put away before its last life ended: the next has an id, and a history, of its own."""
    bench = Bench(stored=stored_session())
    bench.world.holds_session = True
    bench.core.start()
    bench.core.absent()
    assert bench.core.session != stored_session().session
    assert bench.core.stored is None
    assert bench.core.connection.state is State.FRESH


def test_what_is_shown_is_never_ahead_of_what_was_told() -> None:
    """While a transition waits for the disk the host reads what stood before it, reports included."""
    bench = Bench()
    gen = bench.connect()
    bench.evaluate()
    bench.advance(2)
    assert bench.core.shown[0] is Reason.BUSY
    bench.core.ask(Ask.EDITED)
    assert bench.core.shown[0] is Reason.BUSY
    bench.sync()
    assert bench.core.shown[0] is Reason.BUSY  # told with its own reason; the image is as busy as it was
    bench.core.link_down(gen, Cause.CLOSED)
    assert bench.core.shown[0] is Reason.BUSY
    bench.advance(0.5)  # what is reported of the search waits behind the transition
    shown = bench.core.shown[0]
    assert shown is Reason.BUSY
    bench.sync()
    assert bench.core.shown[0] is bench.reason
