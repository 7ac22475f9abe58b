"""True time and the one queue of everything that will happen. No other clock decides an order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from simulations.trace import Trace

MAX_EVENTS = 5_000_000
"""A run has some ten thousand; more than this is a loop without progress."""


class EndlessError(RuntimeError):
    """Something happens again and again without time passing."""


class Pending:
    """Something that will happen, unless cancelled."""

    __slots__ = ("args", "call", "cancelled")

    def __init__(self, call: Callable[..., object], args: tuple[object, ...]) -> None:
        self.call = call
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """It will not."""
        self.cancelled = True


class Universe:
    """Events in the order of true time; at the same instant, in the order they were planned."""

    def __init__(self, seed: str, trace: Trace | None = None) -> None:
        self.now = 0.0
        self.trace = trace or Trace()
        self._seed = seed
        self._queue: list[tuple[float, int, Pending]] = []
        self._planned = 0

    def dice(self, purpose: str) -> Random:
        """A stream of its own for each purpose, so that one more draw here changes nothing there."""
        return Random(f"{self._seed}/{purpose}")

    def at(self, t: float, call: Callable[..., object], *args: object) -> Pending:
        """Have `call(*args)` happen at `t`, or now if that is past."""
        pending = Pending(call, args)
        self._planned += 1
        heapq.heappush(self._queue, (max(t, self.now), self._planned, pending))
        return pending

    def after(self, delay_s: float, call: Callable[..., object], *args: object) -> Pending:
        """Have it happen so much later."""
        return self.at(self.now + delay_s, call, *args)

    def run(self, until: float) -> None:
        """Let everything happen up to `until`, and end there.

        Raises:
            EndlessError: time stands still.
        """
        queue = self._queue
        while queue and queue[0][0] <= until:
            t, number, pending = heapq.heappop(queue)
            if pending.cancelled:
                continue
            if number > MAX_EVENTS:
                raise EndlessError(f"{MAX_EVENTS:,} events planned by {t:.6f} s")
            self.now = t
            pending.call(*pending.args)
        self.now = max(self.now, until)
