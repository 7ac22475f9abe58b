"""Law 6: our own stall and sleep are not the network's fault."""

from __future__ import annotations

import pytest

from simulations.check import stops
from simulations.trace import Kind
from traces import Tale

OWN = ("10 stall 3", "10 suspend 60")


def tale(*faults: str) -> Tale:
    """Connected from the start; these faults; seen until 100 s."""
    told = Tale().begin()
    told.fault(*faults)
    told._pass(100.0)
    told.close(100.0)
    return told


@pytest.mark.parametrize("fault", OWN)
def test_a_stop_that_ends_with_a_ping_is_right(fault: str) -> None:
    """The link outlived it."""
    told = tale(fault)
    told.exchange(10.0 + float(fault.rpartition(" ")[2]) + 0.2, 1, "ping")
    assert told.by(stops.own_stop_is_excused) == []


@pytest.mark.parametrize("fault", OWN)
@pytest.mark.parametrize("trigger", ["link_silent", "path_lost"])
def test_a_stop_of_ours_is_not_told_as_silence(fault: str, trigger: str) -> None:
    """We heard nothing because we did not listen."""
    told = tale(fault)
    end = 10.0 + float(fault.rpartition(" ")[2])
    told.exchange(end + 0.01, 1, "ping")
    told.told(end + 0.02, f"Connected {trigger} Reconnecting", "no sign of life")
    assert [v.law for v in told.by(stops.own_stop_is_excused)] == [6]


def test_what_happened_meanwhile_excuses() -> None:
    """The network may have broken while we slept."""
    for fault in ("15 drop", "15 nat forgets", "60 carrier off"):
        told = tale("10 suspend 60", fault)
        told.told(70.1, "Connected link_silent Reconnecting", "no sign of life")
        assert told.by(stops.own_stop_is_excused) == []


def test_after_a_sleep_the_link_is_asked_first() -> None:
    """Dialling beside it costs the image a connection it does not need."""
    told = tale("10 suspend 60")
    told.dial(70.2, 2)
    assert "without asking" in told.by(stops.own_stop_is_excused)[0].what
    told.exchange(70.1, 1, "ping")
    assert told.by(stops.own_stop_is_excused) == []


def test_after_a_sleep_the_link_is_asked_at_all() -> None:
    """Half a second is enough to notice having slept."""
    told = tale("10 suspend 60")
    assert "was not asked" in told.by(stops.own_stop_is_excused)[0].what
    told.exchange(71.0, 1, "ping")
    assert len(told.by(stops.own_stop_is_excused)) == 1
    told.note(70.3, Kind.LINK_ENDED, gen=1, cause="closed")
    assert told.by(stops.own_stop_is_excused) == []


def test_a_request_that_is_out_is_question_enough() -> None:
    """Its reply is awaited, and a dial beside it is allowed. It may have been answered while we slept."""
    for answered_at in (None, 9.99, 12.0):
        told = tale("10 suspend 60")
        told.note(9.98, Kind.SENT, gen=1, label="1000001")
        told.execute(9.985, 1, "1000001")
        if answered_at is not None:
            told.note(answered_at, Kind.ANSWERED, label="1000001", image_id="image-0")
        told.dial(70.5, 2)
        assert told.by(stops.own_stop_is_excused) == []


def test_a_stall_needs_no_question() -> None:
    """Only a sleep may have cost the link its far end."""
    assert tale("10 stall 3").by(stops.own_stop_is_excused) == []


def test_a_stop_in_the_middle_of_other_trouble_is_not_judged() -> None:
    """Before it, beside it, or where the image was away."""
    for faults in (("9 nat forgets", "10 suspend 60"), ("9 delay 1", "10 suspend 60")):
        told = tale(*faults)
        told.told(70.1, "Connected link_silent Reconnecting", "no sign of life")
        assert told.by(stops.own_stop_is_excused) == []
    told = tale("10 suspend 60")
    told.told(9.9, "Connected link_lost Reconnecting", "link closed by the other side")
    assert told.by(stops.own_stop_is_excused) == []
