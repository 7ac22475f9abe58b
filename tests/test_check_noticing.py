"""Laws 2 and 4: silence is told within the bars, and nobody is called connected beyond it."""

from __future__ import annotations

import pytest

from simulations.check import noticing
from simulations.trace import Kind
from traces import Tale

SILENT = "Connected link_silent Reconnecting"
BACK = "Reconnecting image_answered Connected"


def tale(*faults: str) -> Tale:
    """Connected from the start; these faults; seen until 40 s."""
    told = Tale().begin()
    told.fault(*faults)
    told._pass(40.0)
    told.note(40.0, Kind.HEALED, -1)
    return told


BREAKS = (
    "10 drop",
    "10 drop in",
    "10 host crash #0",
    "10 stall way 20",
    "10 carrier off",
    "10 image kill #0",
    "10 portal on",
    "10 nat forgets",
    "10 nat resets",
)


@pytest.mark.parametrize("fault", BREAKS)
def test_an_idle_way_that_falls_silent_is_told_within_three_seconds(fault: str) -> None:
    """And a little for looking and telling; never is too late as well."""
    for told_at, late in ((12.9, 0), (13.6, 1), (None, 1)):
        told = tale(fault)
        if told_at is not None:
            told.told(told_at, SILENT, "no sign of life")
        assert [v.law for v in told.by(noticing.silence_is_noticed)] == [4] * late, told_at


@pytest.mark.parametrize("sent_at", [9.999, 10.5])
def test_with_a_request_in_flight_it_takes_one_second(sent_at: float) -> None:
    """Counted from the drop or from the request, whichever is later."""
    for after_s, late in ((0.95, 0), (1.5, 1)):
        told = tale("10 drop")
        told.note(sent_at, Kind.SENT, gen=1, label="1000001")
        told.told(max(10.0, sent_at) + after_s, SILENT, "no sign of life")
        assert len(told.by(noticing.silence_is_noticed)) == late


def test_a_request_that_was_answered_is_not_in_flight() -> None:
    """Then the way is idle."""
    told = tale("10 drop")
    told.exchange(9.9, 1, "1000001")
    told.told(12.5, SILENT, "no sign of life")
    assert told.by(noticing.silence_is_noticed) == []


def test_a_short_break_need_not_be_noticed() -> None:
    """Over before any bar."""
    assert tale("10 drop", "12 undrop").by(noticing.silence_is_noticed) == []


def test_a_reply_may_be_heard_where_only_our_half_is_dropped() -> None:
    """And again, because our acknowledgement is dropped too: the bars count from the last of it."""
    for answered_at, told_at, late in ((None, 14.7, 0), (None, 15.2, 1), (10.5, 15.2, 0), (10.5, 15.7, 1)):
        told = tale("10 drop out")
        if answered_at is not None:
            told.note(9.999, Kind.SENT, gen=1, label="1000001")
            told.execute(9.9995, 1, "1000001")
            told.note(answered_at, Kind.ANSWERED, label="1000001", image_id="image-0")
        told.told(told_at, SILENT, "no sign of life")
        assert [v.law for v in told.by(noticing.silence_is_noticed)] == [4] * late, told_at


@pytest.mark.parametrize(
    "faults",
    [
        ("10 drop", "10.5 suspend 20"),
        ("10 drop", "11 stall 5"),
        ("9 loss 0.3", "10 drop"),
        ("9.5 undrop", "10 drop"),
        ("10 drop", "12 nat forgets"),
        ("5 dock", "10 link down"),
    ],
)
def test_no_bar_holds_where_other_things_happen(faults: tuple[str, ...]) -> None:
    """What the machine must do there is judged by recovery."""
    assert tale(*faults).by(noticing.silence_is_noticed) == []


def test_a_slow_disk_delays_what_is_told() -> None:
    """But no longer than a disk is waited for."""
    for told_at, late in ((15.0, 0), (15.5, 1)):
        told = tale("8 disk slow 0.5", "10 drop")
        told.told(told_at, SILENT, "no sign of life")
        assert len(told.by(noticing.silence_is_noticed)) == late


# -- law 2 ---------------------------------------------------------------------------------


def test_nobody_is_connected_who_cannot_be_reached() -> None:
    """A reply that was under way when the way broke is no lie; later there is none."""
    for told_at, lies in ((12.0, 0), (16.0, 1)):
        told = tale("10 drop")
        told.told(10.9, SILENT, "no sign of life")
        told.told(told_at, "Reconnecting link_resumed Connected", "link survived")
        assert [v.law for v in told.by(noticing.no_claim_beyond_reach)] == [2] * lies


def test_a_frozen_image_answers_nobody() -> None:
    """Its kernel's acknowledgements are no sign of its life."""
    told = tale("10 image freeze #0")
    told.told(14.0, SILENT, "image process frozen, network fine")
    told.told(15.0, "Reconnecting link_resumed Connected", "link survived")
    assert [v.law for v in told.by(noticing.no_claim_beyond_reach)] == [2]


def test_what_was_decided_before_our_sleep_may_be_told_after_it() -> None:
    """Late, and true when it was decided."""
    told = tale("9 suspend 10", "9.5 drop")
    told.told(19.01, BACK, "image answered")
    assert told.by(noticing.no_claim_beyond_reach) == []


def test_a_cable_reaches_where_the_wifi_does_not() -> None:
    """Docked, the image answers although the WiFi is down."""
    told = tale("5 dock", "10 link down")
    told.told(16.0, BACK, "image answered")
    assert told.by(noticing.no_claim_beyond_reach) == []


def test_a_claim_that_bears_out_is_none() -> None:
    """Whoever answers requests can be reached, whatever the schedule says."""
    told = tale("10 image save 20 #0")
    told.told(10.1, "Connected link_lost Reconnecting", "link closed by the other side")
    told.told(20.0, BACK, "image answered")
    assert len(told.by(noticing.no_claim_beyond_reach)) == 1
    told.evaluate(20.1, 2, "1000001")
    assert told.by(noticing.no_claim_beyond_reach) == []


def test_a_cable_that_comes_later_reaches_as_well() -> None:
    """And one that has gone does not; nor does a cable help where the way itself is broken."""
    for faults, lies in (
        (("10 link down", "12 dock"), 0),
        (("5 dock", "7 undock", "10 link down"), 1),
        (("10 drop", "12 dock"), 1),
    ):
        told = tale(*faults)
        told.told(10.5, SILENT, "no sign of life")
        told.told(16.0, BACK, "image answered")
        assert len(told.by(noticing.no_claim_beyond_reach)) == lies, faults


def test_what_a_stalled_way_kept_arrives_when_it_ends() -> None:
    """Even if something else is broken by then."""
    told = tale("10 stall way 8", "17 image kill #0")
    told.told(10.9, SILENT, "no sign of life")
    told.told(18.1, BACK, "image answered")
    assert told.by(noticing.no_claim_beyond_reach) == []


def test_an_answer_to_an_old_request_bears_no_claim_out() -> None:
    """Nor does one that came long after it."""
    for asked_at, answered_at, lies in ((9.0, 16.1, 1), (15.0, 16.1, 0), (15.0, 19.0, 1)):
        told = tale("10 drop")
        told.told(10.9, SILENT, "no sign of life")
        told.told(16.0, BACK, "image answered")
        told.ask(asked_at, "probe 1000001")
        told.outcome(answered_at, "probe 1000001", "done")
        assert len(told.by(noticing.no_claim_beyond_reach)) == lies


def test_a_reply_to_old_work_comes_through_where_only_our_half_is_dropped() -> None:
    """And is taken for what it looks like; where both halves are dropped it cannot have come."""
    for faults, lies in ((("10 drop out",), 0), (("10 drop out", "12 drop in"), 1), (("10 drop",), 1)):
        told = tale(*faults)
        told.exchange(9.9, 1, "(Delay forSeconds: 6) wait. 1000001", takes_s=6.0)
        told.told(10.9, SILENT, "no sign of life")
        told.told(15.91, BACK, "link survived")
        assert len(told.by(noticing.no_claim_beyond_reach)) == lies, faults


def test_what_was_said_before_a_freeze_may_be_heard_in_it() -> None:
    """When the way that had dropped it is whole again, and it is sent again."""
    told = tale("8 drop", "10 image freeze #0", "14 undrop")
    told.told(8.9, SILENT, "no sign of life")
    told.told(15.0, "Reconnecting link_resumed Connected", "link survived")
    assert told.by(noticing.no_claim_beyond_reach) == []


def test_silence_begins_behind_what_a_stalled_way_let_through() -> None:
    """A way that stalls again and again delivers in between."""
    for told_at, late in ((11.6, 0), (12.6, 1)):
        told = tale("10 stall way 0.5", "10.45 stall way 0.5", "10.9 drop")
        told.evaluate(10.1, 1, "1000001", takes_s=0.4)
        told.note(10.6, Kind.SENT, gen=1, label="1000002")
        told.told(told_at, SILENT, "no sign of life")
        assert len(told.by(noticing.silence_is_noticed)) == late, told_at
