"""Laws 11, 12 and 13 on requests: once or not at all, told once, in time and truly."""

from __future__ import annotations

import pytest

from simulations.check import requests
from simulations.trace import Kind
from traces import Tale

WORK = "1000001"
LONG = "(Delay forSeconds: 3) wait. 1000002"


def tale() -> Tale:
    """One image, connected on generation 1 from the start."""
    return Tale().begin()


def test_a_correct_run_keeps_every_law_of_requests() -> None:
    """Done, expired, unknown, and one that was under way when our process was killed."""
    told = tale()
    told.evaluate(1.0, 1, WORK)
    told.evaluate(2.0, 1, LONG, takes_s=3.0)
    told.ask(2.5, "1000003", timeout_s=0.3)
    told.outcome(2.8, "1000003", "expired")
    told.ask(6.0, "1000004", timeout_s=0.5)
    told.note(6.0, Kind.SENT, gen=1, label="1000004")
    told.execute(6.001, 1, "1000004")
    told.outcome(6.5, "1000004", "unknown")
    told.probe(7.0, 1, 5)
    told.ask(8.0, "1000006")
    told.note(8.0, Kind.SENT, gen=1, label="1000006")
    told.process(8.0005, "kill")
    told.execute(8.001, 1, "1000006")
    told.note(20.0, Kind.HEALED, -1)
    for check in (
        requests.never_twice,
        requests.outcomes_are_true,
        requests.told_once_in_time,
        requests.no_ghosts,
    ):
        assert told.by(check) == []


# -- law 11 --------------------------------------------------------------------------------


def test_no_evaluation_is_sent_again() -> None:
    """Even if the first one never arrived; a ping may be."""
    told = tale()
    for t in (1.0, 2.0):
        told.note(t, Kind.SENT, gen=1, label=WORK)
        told.exchange(t + 0.1, 1, "ping")
    assert [(v.law, v.at) for v in told.by(requests.never_twice)] == [(11, 2.0)]


def test_no_evaluation_is_carried_out_again() -> None:
    """Not by another life and not by another image."""
    told = Tale(images=2).begin()
    told.evaluate(1.0, 1, WORK)
    told.execute(5.0, 1, WORK, image=1)
    assert [(v.law, v.image) for v in told.by(requests.never_twice)] == [(11, 1)]


@pytest.mark.parametrize("outcome", ["expired", "refused"])
def test_what_was_not_done_was_never_begun(outcome: str) -> None:
    """Neither before nor after it was told; handing it over is enough to break the promise."""
    told = tale()
    told.ask(1.0, WORK)
    told.outcome(1.5, WORK, outcome)
    assert told.by(requests.outcomes_are_true) == []
    told.note(1.2, Kind.SENT, gen=1, label=WORK)
    assert [v.law for v in told.by(requests.outcomes_are_true)] == [11]
    told.without(Kind.SENT, label=WORK).execute(9.0, 1, WORK)
    assert [v.law for v in told.by(requests.outcomes_are_true)] == [11]


# -- law 13 --------------------------------------------------------------------------------


def test_done_means_carried_out() -> None:
    """And before it was told."""
    told = tale()
    told.ask(1.0, WORK)
    told.outcome(1.5, WORK, "done")
    assert [v.law for v in told.by(requests.outcomes_are_true)] == [13]
    told.execute(2.0, 1, WORK)
    assert [v.law for v in told.by(requests.outcomes_are_true)] == [13]
    told.execute(1.2, 1, WORK)
    assert told.by(requests.outcomes_are_true) == []


def test_a_result_is_that_of_its_own_request() -> None:
    """A reply matched to the wrong request."""
    told = tale()
    told.ask(1.0, WORK)
    told.exchange(1.0, 1, WORK)
    told.note(1.1, Kind.OUTCOME, label=WORK, outcome="done", result="1000007")
    assert "1000007" in told.by(requests.outcomes_are_true)[0].what


# -- law 12 --------------------------------------------------------------------------------


def test_silence_is_no_outcome() -> None:
    """A caller that waits for ever."""
    told = tale()
    told.ask(1.0, WORK, timeout_s=2.0)
    told.note(3.1, Kind.HEALED, -1)
    assert told.by(requests.told_once_in_time) == []
    told.note(4.0, Kind.HEALED, -1)
    assert "never told" in told.by(requests.told_once_in_time)[0].what


def test_an_outcome_comes_by_its_deadline() -> None:
    """Done counts as late as any other."""
    told = tale()
    told.ask(1.0, WORK, timeout_s=2.0)
    told.exchange(1.0, 1, WORK, takes_s=3.0)
    told.outcome(4.002, WORK, "done")
    assert "after its deadline" in told.by(requests.told_once_in_time)[0].what


def test_an_outcome_is_told_once() -> None:
    """The second one finds nobody who waits."""
    told = tale()
    told.evaluate(1.0, 1, WORK)
    told.outcome(2.0, WORK, "unknown")
    assert "nobody waited" in told.by(requests.told_once_in_time)[0].what


def test_time_asleep_does_not_count_and_a_stall_only_delays() -> None:
    """The monotonic clock stands still in sleep; a stalled process tells as soon as it runs."""
    told = tale()
    told.fault("1.5 suspend 60", "70 stall 3")
    told.ask(1.0, WORK, timeout_s=2.0)
    told.outcome(63.0, WORK, "expired")
    told.ask(69.0, "1000002", timeout_s=2.0)
    told.outcome(73.0, "1000002", "expired")
    told._pass(80.0)
    told.note(80.0, Kind.HEALED, -1)
    assert told.by(requests.told_once_in_time) == []
    told.outcome(63.5, WORK, "expired")
    told.without(Kind.OUTCOME, label="1000002").outcome(73.5, "1000002", "expired")
    assert len(told.by(requests.told_once_in_time)) == 2


def test_who_asks_anew_has_stopped_waiting() -> None:
    """A probe is given up for the next one; both answers are no violation, and neither is none."""
    told = tale()
    told.ask(1.0, "probe 1000001", timeout_s=30.0)
    told.probe(2.0, 1, 2)
    told.note(60.0, Kind.HEALED, -1)
    assert told.by(requests.told_once_in_time) == []
    told.outcome(2.1, "probe 1000001", "done")
    assert told.by(requests.told_once_in_time) == []


def test_what_was_overdue_before_a_kill_is_overdue() -> None:
    """Only what could still have been told in time is excused by it."""
    told = tale()
    told.ask(1.0, WORK, timeout_s=1.0)
    told.ask(2.9, "1000002", timeout_s=1.0)
    told.process(3.0, "kill")
    assert [v.what.split(",")[0] for v in told.by(requests.told_once_in_time)] == [WORK]


# -- ghosts --------------------------------------------------------------------------------


def given_up(told: Tale, closed_at: float | None = None) -> Tale:
    """An evaluation that was sent into a drop and given up."""
    told.fault("1 drop")
    told.ask(2.0, WORK, timeout_s=1.0)
    told.note(2.0, Kind.SENT, gen=1, label=WORK)
    told.outcome(3.0, WORK, "unknown")
    if closed_at is not None:
        told.note(closed_at, Kind.ABORTED, gen=1)
    told.fault("9 undrop")
    return told


def test_a_closed_link_delivers_nothing() -> None:
    """With a plain close the kernel would go on, and the image run it when nobody waits."""
    told = given_up(tale(), closed_at=3.0)
    assert told.by(requests.no_ghosts) == []
    told.execute(9.2, 1, WORK)
    assert [v.law for v in told.by(requests.no_ghosts)] == [11]


def test_a_link_kept_for_its_hope_is_not_worth_a_ghost() -> None:
    """Nor may a request that was given up wait in a link that is open."""
    told = given_up(tale())
    told.execute(9.2, 1, WORK)
    assert "nobody knows" in told.by(requests.no_ghosts)[0].what


def test_what_was_given_up_on_a_way_that_broke_is_called_off_soon() -> None:
    """As soon as the silence is noticed; later where acknowledgements still come."""
    for fault, begun, ghosts in (
        ("drop", 3.9, 0),
        ("drop", 4.6, 1),
        ("drop in", 4.6, 0),
        ("loss 0.5", 4.6, 0),
    ):
        told = tale()
        told.fault(f"2 {fault}")
        told.note(2.1, Kind.SENT, gen=1, label=WORK)
        told.outcome(2.6, WORK, "unknown")
        told.execute(begun, 1, WORK)
        assert len(told.by(requests.no_ghosts)) == ghosts, (fault, begun)


def test_an_evaluation_is_never_safe_to_repeat() -> None:
    """What was sent and got no reply may have run: nobody knows."""
    told = tale()
    told.ask(1.0, WORK)
    told.note(1.0, Kind.SENT, gen=1, label=WORK)
    told.outcome(1.5, WORK, "lost")
    assert "asked again" in told.by(requests.outcomes_are_true)[0].what


def test_what_the_way_held_back_is_no_ghost() -> None:
    """As much later as its delay explains, and no more."""
    for begun, ghosts in ((4.9, 0), (5.5, 1)):
        told = tale()
        told.fault("1 delay 1.5")
        told.note(2.0, Kind.SENT, gen=1, label=WORK)
        told.outcome(3.0, WORK, "unknown")
        told.note(3.0, Kind.ABORTED, gen=1)
        told.execute(begun, 1, WORK)
        assert len(told.by(requests.no_ghosts)) == ghosts


@pytest.mark.parametrize("fault", ["1.5 image busy 8 #0", "1.5 image freeze #0", "1.5 stall way 8"])
def test_what_lies_at_the_image_is_out_of_our_reach(fault: str) -> None:
    """It had left us in good order."""
    told = tale()
    told.fault(fault)
    told.note(2.0, Kind.SENT, gen=1, label=WORK)
    told.outcome(3.0, WORK, "unknown")
    told.note(3.0, Kind.ABORTED, gen=1)
    told.execute(9.6, 1, WORK)
    assert told.by(requests.no_ghosts) == []


def test_what_waits_behind_our_own_work_is_out_of_our_reach() -> None:
    """The image takes one request after the other."""
    told = tale()
    told.note(1.0, Kind.SENT, gen=1, label=LONG)
    told.execute(1.001, 1, LONG)
    told.note(1.5, Kind.SENT, gen=1, label=WORK)
    told.outcome(2.0, WORK, "unknown")
    told.note(2.0, Kind.ABORTED, gen=1)
    told.execute(4.002, 1, WORK)
    assert told.by(requests.no_ghosts) == []


def test_our_kernel_may_hold_a_packet_while_it_looks_for_its_gateway() -> None:
    """Three questions, a second apart."""
    for begun, ghosts in ((5.5, 0), (7.0, 1)):
        told = tale()
        told.fault("1 carrier off")
        told.note(2.0, Kind.SENT, gen=1, label=WORK)
        told.outcome(2.5, WORK, "unknown")
        told.note(2.5, Kind.ABORTED, gen=1)
        told.fault("5 carrier on")
        told.execute(begun, 1, WORK)
        assert len(told.by(requests.no_ghosts)) == ghosts


def test_a_ping_comes_back_from_the_image() -> None:
    """Since it was asked for, and from this image: an earlier one, or another's, is not its answer."""
    told = Tale(images=2).begin()
    told.probe(5.0, 1, 1)
    assert told.by(requests.probes_are_answered) == []
    told.ask(6.0, "probe 1000002", timeout_s=30.0)
    told.outcome(6.001, "probe 1000002", "done")
    told.exchange(6.0005, 1, "ping", 1)
    told.exchange(6.0005, 1, "1000003")
    assert [violation.law for violation in told.by(requests.probes_are_answered)] == [13]
