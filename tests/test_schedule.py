"""The gaps between tries: bounded, jittered, reset by news, shared by a crowd."""

from __future__ import annotations

import statistics
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import Cause
from machines.policy import CROWD, FIRST_GAP_S, LADDER_OF, LADDERS, MAX_GAP_S, MIN_GAP_FRACTION
from machines.schedule import Schedule, ceiling_s

causes = st.sampled_from(list(Cause))
moments = st.floats(0, 1e7)
crowds = st.integers(0, 2_000)


class Longest(Random):
    """Draws the longest gap allowed."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Shortest(Random):
    """Draws the shortest gap allowed."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_ladder_that_never_ends(cause: Cause) -> None:
    """A cause nobody thought of would stop the search with an exception."""
    steps = LADDERS[LADDER_OF.get(cause, cause)]
    assert steps[-1].until_s == float("inf")
    assert all(a.until_s < b.until_s and a.cap_s <= b.cap_s for a, b in pairwise(steps))
    assert 0 < ceiling_s(cause, 1e9) <= MAX_GAP_S


@given(causes, st.lists(st.tuples(moments, crowds), min_size=1, max_size=40), st.integers())
def test_no_gap_leaves_its_bounds(cause: Cause, tries: list[tuple[float, int]], seed: int) -> None:
    """Never two tries at once, never more than the maximum, whatever the clock and the crowd."""
    schedule = Schedule(Random(seed))
    for now, crowd in sorted(tries):
        gap_s = schedule.gap_s(cause, now, crowd)
        assert MIN_GAP_FRACTION * FIRST_GAP_S <= gap_s <= MAX_GAP_S


@given(causes, st.floats(0, 1e6), st.floats(0, 3_000), st.integers(0, CROWD), st.integers())
def test_a_gap_respects_the_age_of_the_outage(
    cause: Cause, start: float, age_s: float, crowd: int, seed: int
) -> None:
    """However many tries there were, the ceiling of this moment holds; the age counts from `reset`."""
    schedule = Schedule(Random(seed))
    schedule.reset(start)
    for _ in range(20):
        gap_s = schedule.gap_s(cause, start + age_s, crowd)
        assert gap_s <= ceiling_s(cause, (start + age_s) - start)


def test_the_ceiling_grows_from_one_hundredth_of_a_second() -> None:
    """The second try follows at once, then doubling, up to the ladder's step."""
    schedule = Schedule(Longest())
    gaps = [schedule.gap_s(Cause.NO_ANSWER, 0, 1) for _ in range(6)]
    assert gaps == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
    late = Schedule(Longest())
    assert [late.gap_s(Cause.NO_ANSWER, 9_999, 1) for _ in range(11)][-3:] == [2.56, 4.0, 4.0]


def test_news_begin_at_the_bottom_again() -> None:
    """After a reset nothing of the former outage slows the search."""
    schedule = Schedule(Longest())
    schedule.reset(0)
    for _ in range(12):
        schedule.gap_s(Cause.NO_ANSWER, 5_000, 1)
    schedule.reset(5_000)
    assert schedule.gap_s(Cause.NO_ANSWER, 5_000, 1) == FIRST_GAP_S
    assert max(schedule.gap_s(Cause.NO_ANSWER, 5_010, 1) for _ in range(12)) == 0.1


def test_jitter_is_full() -> None:
    """Gaps fill the whole range below the ceiling, so that a crowd does not move in step."""
    schedule = Schedule(Random(3))
    for _ in range(10):
        schedule.gap_s(Cause.NO_ANSWER, 0, 1)
    gaps = [schedule.gap_s(Cause.NO_ANSWER, 1, 1) for _ in range(2_000)]
    assert min(gaps) < 0.012
    assert max(gaps) > 0.098
    assert 0.053 < statistics.mean(gaps) < 0.057
    assert schedule.gap_s(Cause.NO_ANSWER, 1, 1) != Schedule(Random(4)).gap_s(Cause.NO_ANSWER, 1, 1)


def test_the_same_seed_gives_the_same_gaps() -> None:
    """A simulation can be replayed; the global generator is not touched."""
    one, two = Schedule(Random(5)), Schedule(Random(5))
    assert [one.gap_s(Cause.REFUSED, t, 1) for t in range(50)] == [
        two.gap_s(Cause.REFUSED, t, 1) for t in range(50)
    ]


@pytest.mark.parametrize("draw", [Longest, Shortest])
def test_a_crowd_shares_the_pace_of_sixteen(draw: type[Random]) -> None:
    """A thousand send no more tries in all than that many would, up to the maximum gap."""
    few, many, thousand = Schedule(draw()), Schedule(draw()), Schedule(draw())
    for _ in range(10):
        gap_few = few.gap_s(Cause.NO_ANSWER, 1, CROWD)
        gap_many = many.gap_s(Cause.NO_ANSWER, 1, 4 * CROWD)
        gap_thousand = thousand.gap_s(Cause.NO_ANSWER, 1, 1_000)
        assert gap_many == pytest.approx(4 * gap_few)
        assert gap_thousand <= MAX_GAP_S
    assert gap_thousand > 0.9 * MIN_GAP_FRACTION * MAX_GAP_S
