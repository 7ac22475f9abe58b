"""The clocks of our machine: one that sleeps with it, one that does not, and the time of day."""

from __future__ import annotations

import math

from simulations.virtual.universe import Universe

EPOCH = 1_700_000_000.0
"""The time of day at the beginning of every run."""


class Clock:
    """Reads true time as the machine under test would."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._slept = 0.0
        self._asleep_since: float | None = None
        self._set_by = 0.0

    def monotonic(self) -> float:
        """Stands still while the machine sleeps."""
        now = self._universe.now if self._asleep_since is None else self._asleep_since
        return now - self._slept

    def boottime(self) -> float:
        """Goes on while the machine sleeps."""
        return self._universe.now

    def wall(self) -> float:
        """Seconds since the epoch, as far as this machine knows."""
        return EPOCH + self._universe.now + self._set_by

    def set(self, by_s: float) -> None:
        """Somebody sets the time of day."""
        self._set_by += by_s

    def true_time(self, monotonic: float) -> float:
        """When the monotonic clock will show this, or a hair more, unless the machine sleeps."""
        true = monotonic + self._slept
        while true - self._slept < monotonic:  # rounding: a timer that fires early is set again, for ever
            true = math.nextafter(true, math.inf)
        return true

    def fall_asleep(self) -> None:
        """The lid is closed."""
        if self._asleep_since is None:
            self._asleep_since = self._universe.now

    def wake_up(self) -> None:
        """The lid is opened."""
        if self._asleep_since is not None:
            self._slept += self._universe.now - self._asleep_since
            self._asleep_since = None
