"""The timers of our own kernel: they stand still while the machine sleeps."""

from __future__ import annotations

from collections.abc import Callable

from simulations.virtual.universe import Universe

EARLY_S = 1e-9
"""Sums of floats: a timer that is due in less than this is due."""


class Timer:
    """Something the kernel will do, unless cancelled."""

    __slots__ = ("args", "call", "cancelled", "due")

    def __init__(self, due: float, call: Callable[..., object], args: tuple[object, ...]) -> None:
        self.due = due
        self.call = call
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """It will not."""
        self.cancelled = True


class KernelClock:
    """Monotonic seconds of our machine, and what is to happen by them."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._slept_s = 0.0
        self._wakes_at = 0.0

    def now(self) -> float:
        """Monotonic seconds, the same while the machine sleeps."""
        return max(self._universe.now, self._wakes_at) - self._slept_s

    @property
    def asleep(self) -> bool:
        """Whether the machine is suspended."""
        return self._universe.now < self._wakes_at

    def sleep(self, for_s: float) -> None:
        """The machine is suspended from now on; sleeping longer than planned adds to it."""
        begins = max(self._universe.now, self._wakes_at)
        wakes_at = max(self._wakes_at, self._universe.now + for_s)
        self._slept_s += wakes_at - begins
        self._wakes_at = wakes_at

    def after(self, delay_s: float, call: Callable[..., object], *args: object) -> Timer:
        """Have `call(*args)` happen after so many seconds awake."""
        timer = Timer(self.now() + delay_s, call, args)
        self._plan(timer)
        return timer

    def _plan(self, timer: Timer) -> None:
        # Not before the machine wakes: that sum of floats may fall a hair short of it, again and again.
        self._universe.at(max(timer.due + self._slept_s, self._wakes_at), self._fire, timer)

    def _fire(self, timer: Timer) -> None:
        if timer.cancelled:
            return
        if timer.due - self.now() > EARLY_S or self.asleep:
            self._plan(timer)
        else:
            timer.call(*timer.args)
