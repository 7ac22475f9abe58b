"""The same named scenarios in the virtual world and on real interfaces, next to each other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulations.report import figures
from simulations.report.tables import Rows
from simulations.report.tally import Sample, Spread

OURS = "resilience"


class OutcomesError(ValueError):
    """A file of real outcomes does not hold what it should; says where."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One scenario in both worlds."""

    scenario: str
    title: str
    virtual: Spread
    real: Spread

    @property
    def ratio(self) -> float | None:
        """Real median over virtual median; None where either says nothing."""
        if not self.virtual.p50 or math.isinf(self.virtual.p50):
            return None
        return self.real.p50 / self.virtual.p50


def read_outcomes(file: Path) -> dict[str, list[float]]:
    """Read how long our client took on real interfaces, in seconds, by scenario; infinity is never.

    Raises:
        OutcomesError: a line is no outcome, or none is of our client.
        OSError: the file cannot be read.
    """
    found: dict[str, list[float]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            outcome = json.loads(line)
            if outcome.get("client", OURS) != OURS:
                continue
            recovery_ms = outcome["recovery_ms"]
            recovery_s = math.inf if recovery_ms is None else recovery_ms / 1000
            found.setdefault(str(outcome["scenario"]), []).append(recovery_s)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutcomesError(f"{file}, line {number} is no outcome: {error!r}") from error
    if not found:
        raise OutcomesError(f"{file} holds no outcome of {OURS}")
    return found


def pairs(
    virtual: Mapping[str, Sample], real: Mapping[str, Iterable[float]], titles: Mapping[str, str]
) -> list[Pair]:
    """Put together what was measured in both worlds, in the order of `titles`.

    Of the virtual world these are the recoveries after the last fault, because the race measures no other.
    """
    found = []
    for key, title in titles.items():
        virtual_spread = Spread.of(virtual[key].final) if key in virtual else None
        real_spread = Spread.of(real.get(key, ()))
        if virtual_spread is not None and real_spread is not None:
            found.append(Pair(key, title, virtual_spread, real_spread))
    return found


def table(found: Iterable[Pair]) -> Rows:
    """Lay them out."""
    header = (
        "recovery after the last fault",
        "virtual runs",
        "virtual p50",
        "virtual max",
        "real runs",
        "real p50",
        "real max",
        "real / virtual p50",
    )
    rows = [
        (
            f"{pair.scenario} {pair.title}",
            *_columns(pair.virtual),
            *_columns(pair.real),
            "-" if pair.ratio is None else "never" if math.isinf(pair.ratio) else f"{pair.ratio:.2f}",
        )
        for pair in found
    ]
    return Rows("virtual and real", header, rows)


def _columns(spread: Spread) -> tuple[str, str, str]:
    return figures.count(spread.count), figures.duration(spread.p50), figures.duration(spread.most)
