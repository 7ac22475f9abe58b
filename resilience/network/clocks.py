"""Was this machine asleep, or our own process held up? Neither is the network's fault. The watches are pure.

A sleep shows as a step between a clock that counts it and one that does not, so setting the
time of day, by hand or by NTP, cannot feign one. A stall shows as a timer that fires late.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

TICK_S = 0.25
"""Clocks are compared four times a second: a sleep is known within this time of waking, for a few µs each."""

STALL_S = 0.2
"""A timer this late means that the process did not run. Garbage collections and slow callbacks stay below it
even on a busy machine, and the shortest silence that counts against a link stays above."""

LEAST_SLEEP_S = 0.1
"""No machine suspends and wakes in less, and two clocks are read within 1 ms of each other."""

LEAST_WALL_STEP_S = 2.0
"""Where only the time of day is left to compare with: NTP slews what is under 0.128 s and steps the rest,
mostly by little. A larger step forward is taken for a sleep, and costs one needless probe if it was none."""

DRIFT = 0.001
"""Clocks may drift apart by this share of the time between two looks: NTP slews by up to 0.05 %."""

CLOSE_READINGS_S = 0.001


@dataclass(frozen=True, slots=True)
class Slept:
    """The machine was suspended for `slept_s` seconds."""

    slept_s: float


class SleepWatch:
    """Compares the offset between two clocks with what it was at the last look."""

    def __init__(self, offset: float, now: float, least_s: float = LEAST_SLEEP_S) -> None:
        self._offset = offset
        self._at = now
        self._least_s = least_s

    def observe(self, now: float, offset: float) -> Slept | None:
        """Take a reading at `now`. A step backwards is the time of day being set: no sleep."""
        step, elapsed = offset - self._offset, now - self._at
        self._offset, self._at = offset, now
        return Slept(step) if step >= self._least_s + DRIFT * max(0.0, elapsed) else None


class StallWatch:
    """Compares when a timer fired with when it should have."""

    def observe(self, expected_at: float, now: float) -> float | None:
        """How late it was, in seconds, if that counts as a stall."""
        lag_s = now - expected_at
        return lag_s if lag_s >= STALL_S else None


@dataclass(frozen=True, slots=True)
class SleepClock:
    """What this platform has to tell sleep by: `offset()` grows by the time slept, `least_s` counts."""

    name: str
    offset: Callable[[], float]
    least_s: float = LEAST_SLEEP_S


def sleep_clock() -> SleepClock:
    """The best pair of clocks here. Those of macOS and Windows follow their documentation and were never run.

    Elsewhere the time of day stands in for a clock that counts sleep. If the monotonic clock counts it
    too, nothing steps, and the sleep is seen as a stall of that length.
    """
    clock = SleepClock("time of day", lambda: time.time() - time.monotonic(), LEAST_WALL_STEP_S)
    if sys.platform == "linux":
        clock = SleepClock("BOOTTIME", lambda: _apart(time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC))
    elif sys.platform == "darwin":  # its CLOCK_MONOTONIC counts sleep too, but is slewed
        clock = SleepClock(
            "CLOCK_MONOTONIC_RAW", lambda: _apart(time.CLOCK_MONOTONIC_RAW, time.CLOCK_UPTIME_RAW)
        )
    elif sys.platform == "win32":
        clock = SleepClock("QueryUnbiasedInterruptTime", _biased_by)
    return clock


def _apart(counting: int, pausing: int) -> float:
    """How far `counting` is ahead, read again if we were interrupted between the readings."""
    for _ in range(3):
        before = time.clock_gettime(pausing)
        counted = time.clock_gettime(counting)
        after = time.clock_gettime(pausing)
        if after - before < CLOSE_READINGS_S:
            break
    return counted - (before + after) / 2


if sys.platform == "win32":
    import ctypes

    def _biased_by() -> float:
        """Windows' monotonic clock counts sleep; the unbiased interrupt time, in 100 ns, does not."""
        unbiased = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(unbiased))
        return time.monotonic() - unbiased.value / 1e7
