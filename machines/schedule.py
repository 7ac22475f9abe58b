"""When to try next: `backoff`'s exponential generator under a ceiling, with full jitter.

The growth is `backoff.expo`. The jitter is drawn here because `backoff.full_jitter`
draws from the global random generator, and a simulation must be able to replay it;
the waiting is ours because `backoff` sleeps where no network event can wake it.
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random

import backoff

from machines.policy import (
    CROWD,
    FIRST_GAP_S,
    LADDER_OF,
    LADDERS,
    MAX_GAP_S,
    MIN_GAP_FRACTION,
)
from machines.reasons import Cause


def ceiling_s(cause: Cause, since_s: float) -> float:
    """The longest a try may wait `since_s` seconds into an outage of this cause."""
    steps = LADDERS[LADDER_OF.get(cause, cause)]
    return next(step.cap_s for step in steps if since_s < step.until_s)


class Schedule:
    """The gaps between the tries of one outage. `reset` whenever something tells of a change."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._growth: Generator[float, None, None]
        self.since = 0.0
        self.reset(0.0)

    def reset(self, now: float) -> None:
        """Begin at the bottom of the ladder again; the outage is news."""
        self.since = now
        self._growth = backoff.expo(base=2, factor=FIRST_GAP_S, max_value=MAX_GAP_S)
        next(self._growth)  # a generator of `backoff` yields once before its first value

    def gap_s(self, cause: Cause, now: float, crowd: int) -> float:
        """How long to wait before the next try, when `crowd` images search at once."""
        ceiling = min(next(self._growth), ceiling_s(cause, now - self.since))
        ceiling = min(MAX_GAP_S, ceiling * max(1.0, crowd / CROWD))
        return self._random.uniform(MIN_GAP_FRACTION * ceiling, ceiling)
