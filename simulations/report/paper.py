"""Time on paper: long stretches in which nothing happens are cut short."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Paper:
    """Pairs of moments, in seconds: in the run, and on paper; in between both run evenly."""

    times: tuple[float, ...]
    places: tuple[float, ...]

    @classmethod
    def of(cls, busy: Iterable[float], length_s: float, *, quiet_s: float, left_s: float) -> Self:
        """Leave `left_s` of every stretch longer than `quiet_s` in which nothing of `busy` happens."""
        times = sorted({0.0, length_s, *(t for t in busy if 0 < t < length_s)})
        lengths = (over - begin for begin, over in pairwise(times))
        shown = [left_s if length > quiet_s else length for length in lengths]
        return cls(tuple(times), (0.0, *np.cumsum(shown).tolist()))

    @property
    def length_s(self) -> float:
        """How long all of it is on paper."""
        return self.places[-1]

    def place(self, t: float) -> float:
        """Give a moment in seconds of paper; what lies beyond an end stands at that end."""
        return float(np.interp(t, self.times, self.places))

    @property
    def cuts(self) -> Sequence[tuple[float, float]]:
        """The stretches that were cut short, from when to when."""
        both = zip(pairwise(self.times), pairwise(self.places), strict=True)
        return [(t0, t1) for (t0, t1), (p0, p1) in both if t1 - t0 > (p1 - p0) * 1.01]
