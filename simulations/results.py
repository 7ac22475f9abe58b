"""What one run amounts to: violations, recoveries and their phases. Plain data, written as JSON lines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that did not hold: which (its number in DESIGN section 4), when, for whom, and what was seen."""

    law: int
    at: float
    image: int
    what: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """One outage of one image, from the way being whole again to the first answer to a request issued since.

    Seconds; None: never, or not seen in this run. `detect_s` runs from the break to our leaving Connected.
    The phases `decide_s` (whole to the try that succeeded), `dial_s` (to accept), `handshake_s`, `restore_s`
    (to Connected, told) and `answer_s` (to the first answer) add up to `total_s` where a dial won; where the
    old link survived only `decide_s` and `answer_s` are known.
    """

    image: int
    whole_at: float
    total_s: float | None
    final: bool
    """After the schedule's end, when everything is whole for good: here 10 s is the law."""
    broken_s: float | None = None
    """How long the way had been broken; None: it had not been, and everything was looked at all the same."""
    how: str = ""
    """The trigger and reason that ended it, as told."""
    detect_s: float | None = None
    decide_s: float | None = None
    dial_s: float | None = None
    handshake_s: float | None = None
    restore_s: float | None = None
    answer_s: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One scenario played once with one seed."""

    scenario: str
    seed: int
    digest: str
    virtual_s: float
    violations: tuple[Violation, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    """How often each kind of trace entry came, and each fault: what the run exercised."""
    took_s: float = field(default=0.0, compare=False)

    @property
    def passed(self) -> bool:
        """Whether every law held."""
        return not self.violations

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Read `to_json` back."""
        violations = tuple(Violation(**each) for each in found.pop("violations", ()))
        recoveries = tuple(Recovery(**each) for each in found.pop("recoveries", ()))
        return cls(**found, violations=violations, recoveries=recoveries)
