"""Sleep and stall, told apart from everything else that moves clocks."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.network.clocks import (
    LEAST_SLEEP_S,
    STALL_S,
    TICK_S,
    SleepWatch,
    Slept,
    StallWatch,
    sleep_clock,
)


def test_a_suspend_is_told_once() -> None:
    """The clock that counts sleep has stepped ahead by the time slept."""
    watch = SleepWatch(5.0, 100.0)
    assert watch.observe(100.25, 5.0) is None
    assert watch.observe(100.5, 47.0) == Slept(42.0)
    assert watch.observe(100.75, 47.0) is None


def test_two_suspends_in_a_row_are_two() -> None:
    """A dark wake between them does not hide the second."""
    watch = SleepWatch(0.0, 0.0)
    assert watch.observe(0.25, 10.0) == Slept(10.0)
    assert watch.observe(0.5, 30.0) == Slept(20.0)


def test_a_clock_set_back_is_no_sleep() -> None:
    """Neither then nor when the next look compares with it."""
    watch = SleepWatch(1000.0, 0.0)
    assert watch.observe(0.25, -2600.0) is None
    assert watch.observe(0.5, -2600.0) is None
    assert watch.observe(0.75, -2590.0) == Slept(10.0)


@given(st.lists(st.floats(0, 3600), max_size=50))
def test_drift_is_no_sleep(gaps_s: list[float]) -> None:
    """Clocks slewed at NTP's limit never add up to a sleep, however long the gaps between looks."""
    watch, now = SleepWatch(0.0, 0.0), 0.0
    for gap_s in gaps_s:
        now += gap_s
        assert watch.observe(now, 0.0005 * now) is None


@given(st.floats(LEAST_SLEEP_S + 0.01, 1e6))
def test_every_sleep_is_seen(slept_s: float) -> None:
    """From the shortest to a fortnight."""
    watch = SleepWatch(0.0, 0.0)
    slept = watch.observe(TICK_S, slept_s)
    assert slept is not None
    assert slept.slept_s == slept_s


@pytest.mark.parametrize(("late_s", "lag_s"), [(0.0, None), (STALL_S - 0.01, None), (3.0, 3.0)])
def test_stall(late_s: float, lag_s: float | None) -> None:
    """A little late is a busy loop; later, the process did not run."""
    assert StallWatch().observe(8.0, 8.0 + late_s) == lag_s


def test_this_machine_is_awake() -> None:
    """The clocks of this platform agree with each other while nobody sleeps."""
    clock = sleep_clock()
    watch = SleepWatch(clock.offset(), time.monotonic(), clock.least_s)
    readings = [clock.offset() for _ in range(1000)]
    assert max(readings) - min(readings) < clock.least_s / 2
    assert watch.observe(time.monotonic(), clock.offset()) is None
