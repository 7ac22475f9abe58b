"""Recoveries: when they count, how long they took, where the time went, and the promise of 10 s."""

from __future__ import annotations

import pytest

from simulations.check.recovery import PROMISE_S, measured, promise_is_kept, recoveries
from simulations.trace import Kind
from traces import TRIP_S, Tale, dropped

CLOSED = "Connected link_lost Reconnecting"
BACK = "Reconnecting image_answered Connected"


def an_outage(until: float = 30.0) -> Tale:
    """A silent drop from 5 s to 9 s, noticed after 2 s; the dial 30 ms later wins; a probe asks at once."""
    told = Tale().begin()
    told_at = dropped(told, 5.0, 9.0)
    told.probe(told_at + 0.001, 2, 1, asked_at=9.0)
    told.healed(until)
    told.probe(until + 0.1, 2, 2)
    told.close(until + 3.0, 2)
    return told


def test_an_outage_and_the_end_are_measured() -> None:
    """Phase by phase, and the phases add up."""
    told = an_outage()
    outage, final = recoveries(told.scenario, told.trace)
    assert (outage.image, outage.whole_at, outage.broken_s, outage.final) == (0, 9.0, 4.0, False)
    assert outage.how == "image_answered: image answered"
    assert outage.total_s == pytest.approx(0.03 + 10.5 * TRIP_S)
    assert outage.detect_s == pytest.approx(2.0002)
    phases = (outage.decide_s, outage.dial_s, outage.handshake_s, outage.restore_s, outage.answer_s)
    assert phases == pytest.approx((0.03, 2 * TRIP_S, 2 * TRIP_S, 3 * TRIP_S, 3.5 * TRIP_S))
    assert sum(phase or 0.0 for phase in phases) == pytest.approx(outage.total_s)
    assert (final.final, final.whole_at, final.how) == (True, 30.0, "")
    assert final.total_s == pytest.approx(0.1 + 2.5 * TRIP_S)


def test_an_answer_to_an_old_request_is_no_recovery() -> None:
    """What the kernel happened to deliver was asked before."""
    told = Tale().begin()
    told_at = dropped(told, 5.0, 9.0)
    told.probe(told_at + 0.1, 2, 1, asked_at=8.0)
    told.probe(told_at + 1.0, 2, 2)
    told.healed(20.0)
    told.probe(20.0, 2, 3)
    told.close(23.0, 2)
    assert measured(told.story)[0].total_s == pytest.approx(told_at + 1.0 + 2.5 * TRIP_S - 9.0)


def test_a_recovery_cut_short_does_not_count() -> None:
    """Unless it had 10 s, or was over."""
    told = Tale().begin()
    told.fault("5 drop", "9 undrop", "10 drop", "14 undrop", "20 drop", "22 undrop", "40 drop", "41 undrop")
    told.ask(22.5, "1000001")
    told.probe(14.5, 1, 2)
    told.ask(9.0, "probe 1000001")
    told.healed(42.0)
    told.probe(43.0, 1, 4)
    told.close(46.0, 1)
    found = measured(told.story)
    assert [(r.whole_at, r.total_s is None, r.final) for r in found] == [
        (14.0, False, False),
        (22.0, True, False),
        (41.0, False, True),
    ]


def test_nobody_who_asks_nothing_is_kept_waiting() -> None:
    """A window without a question shows nothing."""
    told = Tale().begin()
    told.fault("5 drop", "6 undrop", "30 drop", "31 undrop")
    told.healed(31.0)
    told.probe(31.0, 1, 1)
    told.close(34.0, 1)
    assert [(r.whole_at, r.final) for r in measured(told.story)] == [(31.0, True)]


def test_a_recovery_under_way_at_the_end_is_the_final_one() -> None:
    """One outage, one recovery."""
    told = Tale().begin()
    told_at = dropped(told, 5.0, 9.0)
    told.healed(9.0)
    told.probe(told_at + 0.1, 2, 1)
    told.close(12.0, 2)
    (final,) = measured(told.story)
    assert (final.whole_at, final.final, final.how) == (9.0, True, "image_answered: image answered")


def test_an_outage_that_ended_on_an_impaired_way_is_not_measured() -> None:
    """The way was bad, not the recovery; if nobody answered meanwhile it is."""
    for answered, times in ((True, [30.0]), (False, [20.0, 30.0])):
        told = Tale().begin()
        told.fault("5 drop", "6 loss 0.3", "9 undrop", "20 loss")
        if answered:
            told.probe(12.0, 1, 1)
        told.probe(21.0, 1, 2)
        told.healed(30.0)
        told.probe(30.0, 1, 3)
        told.close(33.0, 1)
        assert [r.whole_at for r in measured(told.story)] == times


def test_what_disturbs_a_whole_way_is_recovered_from_as_well() -> None:
    """A forgotten connection, a new lease, a cable."""
    told = Tale().begin()
    told.fault("5 nat forgets")
    told.told(7.0, "Connected link_silent Reconnecting", "no sign of life")
    told.connect(7.0, 2, source="Reconnecting")
    told.probe(7.5, 2, 1, asked_at=5.5)
    told.healed(20.0)
    told.probe(20.0, 2, 2)
    told.close(23.0, 2)
    first = measured(told.story)[0]
    assert (first.whole_at, first.detect_s) == (5.0, pytest.approx(2.0))
    assert first.total_s == pytest.approx(2.5 + 2.5 * TRIP_S)


def test_a_link_that_survived_has_two_phases() -> None:
    """There was no dial to speak of."""
    told = Tale().begin()
    told.fault("5 drop", "7 undrop")
    told.told(6.0, "Connected link_silent Reconnecting", "no sign of life")
    told.told(7.2, "Reconnecting link_resumed Connected", "link survived")
    told.probe(7.3, 1, 1, asked_at=7.0)
    told.healed(20.0)
    told.probe(20.0, 1, 2)
    told.close(23.0, 1)
    first = measured(told.story)[0]
    assert (first.decide_s, first.dial_s, first.how) == (
        pytest.approx(0.2),
        None,
        "link_resumed: link survived",
    )
    assert first.answer_s == pytest.approx(0.1 + 2.5 * TRIP_S)


def test_time_that_waited_for_a_person_does_not_count() -> None:
    """The recovery begins when that person says "retry"."""
    told = Tale().begin()
    told.fault("5 image other #0")
    told.told(5.1, "Connected image_replaced Orphaned", "another image answers here")
    told.fault("9 image back #0", "9 retry #0")
    told.note(15.0, Kind.ACTION, action="retry", refused=False)
    told.told(15.01, "Orphaned retry Reconnecting", "as you asked")
    told.connect(15.02, 2, source="Reconnecting")
    told.probe(15.5, 2, 1)
    told.healed(30.0)
    told.probe(30.0, 2, 2)
    told.close(33.0, 2)
    first = measured(told.story)[0]
    assert (first.whole_at, first.total_s) == (15.0, pytest.approx(0.5 + 2.5 * TRIP_S))
    assert told.by(promise_is_kept) == []


def test_work_of_our_own_is_no_recovery() -> None:
    """Who asks while the image works for us waits for that, and it is not held against the recovery."""
    told = Tale().begin()
    told_at = dropped(told, 5.0, 9.0)
    told.evaluate(told_at, 2, "(Delay forSeconds: 15) wait. 1000007", takes_s=15.0)
    told.probe(told_at + 15.1, 2, 8, asked_at=9.0)
    told.healed(30.0)
    told.probe(30.0, 2, 9)
    told.close(33.0, 2)
    assert [r.whole_at for r in measured(told.story)] == [30.0]
    assert told.by(promise_is_kept) == []


# -- the promise -----------------------------------------------------------------------------


def test_a_correct_run_keeps_the_promise() -> None:
    """In the middle and at the end."""
    assert an_outage().by(promise_is_kept) == []


def stuck(*, final: bool) -> Tale:
    """An outage from which nothing comes back, in the middle of a run or at its end."""
    told = Tale().begin()
    told.fault("5 drop")
    told.told(7.0, "Connected link_silent Reconnecting", "no sign of life")
    told.fault("9 undrop")
    told.ask(9.0, "probe 1000001", timeout_s=30.0)
    if final:
        told.healed(9.0)
    else:
        told.fault("22 drop")
    told.close(23.0, 1)
    return told


@pytest.mark.parametrize("final", [False, True])
def test_not_to_come_back_breaks_the_promise(final: bool) -> None:  # noqa: FBT001 - the parameter of the test
    """And the phase is told in which it stuck."""
    told = stuck(final=final)
    assert [(v.law, v.at) for v in told.by(promise_is_kept)] == [(10, 9.0 + PROMISE_S)]
    for entries, phase in (
        ([], "decide: nothing was tried"),
        ([Kind.SCOUT], "decide: scouted"),
        ([Kind.SCOUT, Kind.DIAL], "dial: nobody accepted"),
        ([Kind.DIAL, Kind.ACCEPTED], "handshake:"),
        ([Kind.DIAL, Kind.ACCEPTED, Kind.HANDSHAKEN], "restore:"),
    ):
        told = stuck(final=final)
        for kind in entries:
            told.note(10.0, kind, gen=2)
        assert phase in told.by(promise_is_kept)[0].what


def test_an_answer_without_a_word_of_it_breaks_the_promise() -> None:
    """And a word without an answer does too."""
    told = stuck(final=True)
    told.outcome(9.5, "probe 1000001", "done")
    assert "dial" in told.by(promise_is_kept)[0].what or "decide" in told.by(promise_is_kept)[0].what
    told = stuck(final=True)
    told.told(9.5, BACK, "image answered")
    assert "answer: told connected 0.500 s" in told.by(promise_is_kept)[0].what
    told.outcome(9.6, "probe 1000001", "done")
    assert told.by(promise_is_kept) == []


def test_to_come_back_late_breaks_the_promise() -> None:
    """Ten seconds and no more."""
    for back_at, broken in ((18.9, 0), (19.5, 1)):
        told = stuck(final=False)
        told.told(back_at - 0.1, BACK, "image answered")
        told.outcome(back_at, "probe 1000001", "done")
        assert len(told.by(promise_is_kept)) == broken


def test_a_resting_image_at_the_end_is_stuck() -> None:
    """In the middle it may wait for its user; at the end the user has pressed what there is."""
    for final, broken in ((False, 0), (True, 1)):
        told = Tale().begin()
        told.fault("5 image kill #0")
        told.told(5.1, CLOSED, "link closed by the other side")
        told.told(5.2, "Reconnecting access_refused Failed", "wrong key")
        told.fault("6 image start #0")
        told.ask(6.0, "probe 1000001", timeout_s=30.0)
        if final:
            told.healed(6.0)
        told.fault("20 image kill #0")
        told.close(21.0, 1)
        found = told.by(promise_is_kept)
        assert len(found) == broken
        assert all("Failed, waiting for a decision" in violation.what for violation in found)


def test_an_answer_to_an_image_that_rests_does_not_end_it_well() -> None:
    """The ping that found out was answered; the image is not back for all that."""
    told = an_outage()
    assert told.by(promise_is_kept) == []
    told = Tale().begin()
    told.healed(30.0)
    told.probe(30.1, 1, 2)
    told.told(30.2, "Connected image_replaced Orphaned", "another image answers here")
    told.close(33.0, 1)
    (broken,) = told.by(promise_is_kept)
    assert (broken.law, broken.what) == (10, "at the end of it all it is Orphaned, waiting for a decision")


def test_an_image_that_nobody_looked_at_is_not_back() -> None:
    """The run ended before its end was seen."""
    told = Tale(images=2).begin()
    told.healed(5.0)
    told.trace.entries.pop()
    assert [v.image for v in told.by(promise_is_kept)] == [0, 1]


def test_the_newest_handshake_is_the_one_that_won() -> None:
    """A dial beside it that got no further does not count."""
    told = Tale().begin()
    told.fault("5 drop")
    told.told(7.0, "Connected link_silent Reconnecting", "no sign of life")
    told.fault("9 undrop")
    told.shake(9.1, 2)
    told.note(9.15, Kind.ABORTED, gen=2)
    told_at = told.connect(9.2, 3, source="Reconnecting")
    told.dial(told_at - TRIP_S, 4)
    told.probe(told_at + 0.01, 3, 1, asked_at=9.0)
    told.healed(20.0)
    told.probe(20.0, 3, 2)
    told.close(23.0, 3)
    assert measured(told.story)[0].decide_s == pytest.approx(0.2)


def test_what_is_told_after_the_answer_is_told_of_it_all_the_same() -> None:
    """A slow disk delays the word, not the answer."""
    told = Tale().begin()
    told.fault("4 disk slow 0.5", "5 drop")
    told.told(7.0, "Connected link_silent Reconnecting", "no sign of life")
    told.fault("9 undrop")
    told.exchange(told.shake(9.1, 2), 2, "ping")
    told.probe(9.2, 2, 1, asked_at=9.0)
    told.told(10.5, BACK, "image answered")
    told.healed(20.0)
    told.probe(20.0, 2, 2)
    told.close(23.0, 2)
    first = measured(told.story)[0]
    assert first.how == "image_answered: image answered"
    assert first.restore_s == pytest.approx(0.2 + 2.5 * TRIP_S - 0.1 - 4 * TRIP_S)
    assert first.answer_s == 0.0


def test_the_end_of_our_process_ends_a_window() -> None:
    """What it had no time for does not count against it; a start is no end."""
    told = Tale().begin()
    told.fault("5 drop", "9 undrop")
    told.ask(9.0, "probe 1000001", timeout_s=30.0)
    told.close(12.0, 1)
    told.note(40.0, Kind.LISTENING, image_id="image-0", listening=True)
    assert measured(told.story) == ()
    assert told.by(promise_is_kept) == []


def test_who_was_not_seen_to_be_back_is_not_back() -> None:
    """Work of our own excuses the wait, and not that the run ended with it."""
    told = Tale().begin()
    told_at = dropped(told, 5.0, 9.0)
    told.evaluate(told_at, 2, "(Delay forSeconds: 50) wait. 1000007", takes_s=50.0)
    told.healed(30.0)
    told.ask(30.0, "probe 1000009", timeout_s=30.0)
    told.close(44.0, 2)
    (violation,) = told.by(promise_is_kept)
    assert (violation.law, violation.what) == (10, "the run ended before it was seen to be back")
