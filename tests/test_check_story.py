"""What a trace is made into before it is judged: spells, states, clocks, work."""

from __future__ import annotations

import pytest

from simulations.check.story import MOST_LAG_S, NO_LIFE, Life, Spell
from simulations.faults import What
from simulations.trace import Kind
from traces import Tale


def tale(*faults: str, images: int = 1) -> Tale:
    """Connected from the start; these faults; seen until 100 s."""
    told = Tale(images=images).begin()
    told.fault(*faults)
    told._pass(100.0)
    told.note(100.0, Kind.HEALED, -1)
    return told


def test_entries_come_in_the_order_they_were_written() -> None:
    """Of some kinds, of one image and of none in particular, also where times are equal."""
    told = Tale(images=2)
    for image in (1, 0, -1, 1):
        told.note(1.0, Kind.DIAL, image, gen=image)
    told.note(1.0, Kind.SCOUT, 0)
    story = told.story
    assert [e.image for e in story.of(Kind.DIAL)] == [1, 0, -1, 1]
    assert [(e.kind, e.image) for e in story.of(Kind.DIAL, Kind.SCOUT, image=0)] == [
        (Kind.DIAL, 0),
        (Kind.DIAL, -1),
        (Kind.SCOUT, 0),
    ]
    assert list(story.of(Kind.BUG)) == []


def test_spells_say_what_was_broken_when() -> None:
    """Without gaps; runs join those that belong together."""
    story = tale("5 drop", "6 image busy 3 #0", "10 undrop").story
    assert story.spells(0) == (
        Spell(0.0, 5.0, frozenset()),
        Spell(5.0, 6.0, frozenset({"drop"})),
        Spell(6.0, 9.0, frozenset({"busy", "drop"})),
        Spell(9.0, 10.0, frozenset({"drop"})),
        Spell(10.0, float("inf"), frozenset()),
    )
    assert story.things(0, 5.0) == {"drop"}
    assert story.things_between(0, 1.0, 6.0) == {"drop", "busy"}
    assert story.things_between(0, 10.0, 20.0) == set()
    assert story.runs(0, lambda things: "drop" in things) == (Spell(5.0, 10.0, frozenset({"busy", "drop"})),)


def test_faults_are_those_that_touch_an_image() -> None:
    """Its own and everybody's."""
    story = tale("5 drop", "6 image busy 3 #1", "7 image kill #0", images=2).story
    assert [t for t, _ in story.faults_of(0)] == [5.0, 7.0]
    assert [t for t, _ in story.faults_of(1, What.IMAGE_BUSY, What.IMAGE_KILL)] == [6.0]


def test_a_state_lasts_until_the_next_is_told() -> None:
    """Fresh from the start of a process, none after its end."""
    told = tale()
    told.process(50.0, "kill")
    told.process(60.0, "start")
    story = told.story
    looks = (0.0, 0.005, 1.0, 50.0, 50.1, 60.1)
    assert [story.state(0, t) for t in looks] == [
        NO_LIFE,
        "Fresh",
        "Connected",
        "Connected",
        NO_LIFE,
        "Fresh",
    ]
    assert story.lives == (Life(0.0, 50.0), Life(60.0, float("inf")))
    assert story.life(55.0) is None


def test_clocks_stand_still_in_sleep_and_timers_wait_for_a_stall() -> None:
    """A timer of 10 s, set at 1 s."""
    assert tale().story.due(1.0, 10.0) == 11.0
    assert tale("5 suspend 60").story.due(1.0, 10.0) == 71.0
    assert tale("5 stall 3").story.due(1.0, 10.0) == 11.0
    assert tale("9 stall 3").story.due(1.0, 10.0) == 12.0
    assert tale("9 suspend 5", "30 suspend 5").story.due(1.0, 10.0) == 16.0


def test_the_disk_explains_a_lag_and_no_more() -> None:
    """As long as it is slow, and until what was begun slowly has ended."""
    story = tale("10 disk slow 0.1", "20 disk slow").story
    assert story.lag_s(5.0) == pytest.approx(0.1)
    assert story.lag_s(15.0) == story.lag_s(20.5) == story.lag_s(5.0, 15.0) == pytest.approx(0.7)
    assert story.lag_s(21.0) == pytest.approx(0.7)
    assert story.lag_s(21.3) == pytest.approx(0.1)
    assert tale("10 disk slow 9").story.lag_s(15.0) == pytest.approx(0.1 + MOST_LAG_S)


def test_what_is_told_after_a_stop_may_have_been_decided_before() -> None:
    """A stop of ours lies in between."""
    story = tale("10 suspend 20").story
    assert story.decided_from(50.0) == pytest.approx(49.9)
    assert story.decided_from(30.05) == pytest.approx(9.9)


def test_work_that_takes_its_time_is_known() -> None:
    """Until its reply; without one as long as it was asked to take."""
    told = tale()
    told.exchange(10.0, 1, "1000001")
    told.exchange(20.0, 1, "(Delay forSeconds: 5) wait. 1000002", takes_s=5.0)
    told.execute(30.0, 1, "(Delay forSeconds: 5) wait. 1000003")
    story = told.story
    assert not story.worked(0, 9.0, 12.0)
    assert story.worked(0, 24.0, 24.5)
    assert not story.worked(0, 25.1, 29.0)
    assert story.worked(0, 34.0, 36.0)
    assert not story.worked(0, 35.2, 99.0)
    assert story.idle_for(0, 22.0, 10.0) == pytest.approx(22.0 + 10.0 + 3.001 + 5.1)


def test_a_slow_image_takes_its_time() -> None:
    """As slow as it was when the work began."""
    told = tale("5 image slow 2 #0", "40 image slow #0")
    told.execute(4.0, 1, "1000001")
    told.execute(10.0, 1, "1000002")
    story = told.story
    assert not story.worked(0, 4.2, 9.0)
    assert story.worked(0, 12.0, 12.05)
    assert not story.worked(0, 12.2, 99.0)


def test_we_stood_still_only_while_we_stood_still() -> None:
    """Neither before nor after."""
    story = tale("10 stall 3").story
    assert story.stopped(9.0, 10.5)
    assert story.stopped(12.9, 20.0)
    assert not story.stopped(9.0, 10.0)
    assert not story.stopped(13.0, 20.0)
