"""Law 10 on tries: they never end, never thin out beyond the bounds, and never flood."""

from __future__ import annotations

import pytest

from simulations.check import search
from simulations.trace import Kind
from traces import Tale

SILENT = "Connected link_silent Reconnecting"


def tale(*faults: str, named: bool = False) -> Tale:
    """Connected from the start, lost at 10 s."""
    told = Tale(named=named).begin()
    told.fault("10 drop", *faults)
    told.told(10.0, SILENT, "no sign of life")
    return told


def end(told: Tale, t: float) -> Tale:
    """The trace goes on to `t`."""
    told.note(t, Kind.FAULT, -1, step=f"{t:g} disk works")
    return told


def test_a_correct_search_is_dense_at_first_and_calm_later() -> None:
    """A quarter of a second, a second, four seconds."""
    told = tale()
    told.scouts(10.0, 20.0, gap_s=0.24)
    told.scouts(20.0, 71.0, gap_s=0.95)
    told.scouts(70.9, 120.0, gap_s=3.9)
    assert end(told, 121.0).by(search.never_stops_trying) == []
    assert told.by(search.never_floods) == []


def test_a_search_that_ends_is_seen() -> None:
    """The bound depends on how long it has been."""
    for since, gap_s, late in ((10.0, 0.3, 0), (10.0, 0.6, 1), (25.0, 0.9, 0), (25.0, 1.5, 1)):
        told = tale()
        told.scouts(10.0, since, gap_s=0.2)
        last = max([10.0, *(e.t for e in told.trace.of(Kind.SCOUT))])
        found = end(told, last + gap_s).by(search.never_stops_trying)
        assert [v.law for v in found] == [10] * late, (since, gap_s)


def test_whoever_accepts_has_time_for_the_handshake() -> None:
    """Two seconds, and nothing else is tried meanwhile; four after one that timed out."""
    for until, timeouts, late in ((12.0, 0, 0), (12.3, 0, 1), (14.0, 1, 0), (14.3, 3, 1)):
        told = tale()
        for gen in range(2, 2 + timeouts):
            told.dial(10.0, gen)
            told.note(10.0, Kind.ABORTED, gen=gen)
        told.dial(10.01, 9)
        told.note(10.02, Kind.ACCEPTED, gen=9)
        assert len(end(told, until).by(search.never_stops_trying)) == late


def test_a_ping_may_wait_behind_somebody_elses_request() -> None:
    """As long as it takes; once the link is closed the search goes on."""
    told = tale("10.5 image busy 30 #0")
    told.note(told.shake(10.01, 2), Kind.SENT, gen=2, label="ping")
    told._pass(40.5)
    assert end(told, 30.0).by(search.never_stops_trying) == []
    told.note(20.0, Kind.ABORTED, gen=2)
    assert [v.law for v in told.by(search.never_stops_trying)] == [10]


def test_an_old_link_that_is_kept_is_no_try() -> None:
    """It was given work once: it is only kept for its hope."""
    told = tale()
    told.evaluate(5.0, 1, "1000001")
    assert len(end(told, 15.0).by(search.never_stops_trying)) == 1


def test_a_name_server_is_waited_for() -> None:
    """Five seconds, where a name is dialled."""
    told = tale(named=True)
    assert end(told, 15.0).by(search.never_stops_trying) == []
    assert len(end(told, 16.0).by(search.never_stops_trying)) == 1


def test_who_sleeps_rests_or_is_not_wanted_does_not_search() -> None:
    """Nor a process that has ended."""
    told = tale("10.1 suspend 20")
    told._pass(31.0)
    assert end(told, 30.2).by(search.never_stops_trying) == []
    told = tale()
    told.told(10.05, "Reconnecting image_replaced Orphaned", "another image answers here")
    assert end(told, 30.0).by(search.never_stops_trying) == []
    told = tale()
    told.note(10.1, Kind.ACTION, action="disconnect", refused=False)
    told.told(10.11, "Reconnecting disconnect Restored", "as you asked")
    assert end(told, 30.0).by(search.never_stops_trying) == []
    told = tale()
    told.process(10.1, "kill")
    assert end(told, 30.0).by(search.never_stops_trying) == []


def test_a_first_dial_is_a_search_as_well() -> None:
    """Before the image was ever connected."""
    told = Tale()
    told.fault("0 image kill #0")
    told.process(0.0, "start")
    told.dial(0.01, 1)
    told.note(0.02, Kind.LINK_ENDED, gen=1, cause="refused")
    assert [v.law for v in end(told, 5.0).by(search.never_stops_trying)] == [10]


def test_tries_are_not_a_flood() -> None:
    """Some seventy a second are the densest; without a gap there are thousands."""
    told = tale()
    told.scouts(10.0, 13.0, gap_s=0.01)
    assert told.by(search.never_floods) == []
    told.scouts(13.0, 13.5, gap_s=0.001)
    assert [v.law for v in told.by(search.never_floods)] == [10]


def test_a_gap_is_seen_even_if_the_search_goes_on() -> None:
    """Each is told once, by when the next try was due."""
    told = tale()
    for begun in (10.0, 12.0, 13.0):
        told.scouts(begun, begun + 0.9, gap_s=0.1)
    assert [v.at for v in end(told, 14.0).by(search.never_stops_trying)] == [pytest.approx(11.35)]


def test_impaired_ways_are_given_all_the_patience_there_is() -> None:
    """Round trips are long there."""
    told = tale("10.001 delay 1")
    told.dial(10.01, 2)
    told.note(10.02, Kind.ACCEPTED, gen=2)
    assert end(told, 13.9).by(search.never_stops_trying) == []


def test_an_answer_ends_what_is_held_against_the_next_search() -> None:
    """Patience begins anew with every outage."""
    told = tale()
    for gen in (2, 3):
        told.dial(10.0, gen)
        told.note(10.0, Kind.ABORTED, gen=gen)
    told.connect(10.1, 4, source="Reconnecting")
    told.told(20.0, SILENT, "no sign of life")
    told.dial(20.01, 5)
    told.note(20.02, Kind.ACCEPTED, gen=5)
    assert [v.law for v in end(told, 23.0).by(search.never_stops_trying)] == [10]


def test_a_refused_disconnect_does_not_end_the_search() -> None:
    """Nor does any other button."""
    for action, refused in (("disconnect", True), ("retry", False)):
        told = tale()
        told.note(10.1, Kind.ACTION, action=action, refused=refused)
        assert len(end(told, 15.0).by(search.never_stops_trying)) == 1


def test_a_process_that_is_ending_searches_no_more() -> None:
    """What a slow disk took is told while it ends; one that goes on is held to its tries."""
    for what, late in (("close", 0), ("start", 1)):
        told = Tale().begin()
        told.fault("10 drop")
        told.note(10.0, Kind.PROCESS, -1, what=what)
        told.told(10.5, SILENT, "no sign of life")
        assert len(end(told, 15.0).by(search.never_stops_trying)) == late, what
