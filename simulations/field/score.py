"""The measuring rule, the same for every client: pure functions from what was printed to what it means.

Recovery is the time from path-back to the first answer to a request that was *issued* after path-back, so
that nobody is credited with an old request the kernel happened to deliver.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Line = dict[str, Any]

ALIVE = frozenset({"connected", "modified"})


@dataclass(frozen=True, slots=True)
class Score:
    """One client's verdict in one run; ``recovery_s`` and ``noticed_s`` are None for never."""

    recovery_s: float | None
    noticed_s: float | None
    repeated: int
    ghosts: int


def score(printed: Iterable[Line], executed: Iterable[Line], faulted: float, path_back: float) -> Score:
    """Judge one run from the client's lines and the image's log, all stamped by CLOCK_MONOTONIC."""
    lines = list(printed)
    back = recovered_at(lines, path_back)
    noticed = noticed_at(lines, faulted)
    repeated, ghosts = executions(lines, executed)
    return Score(
        recovery_s=None if back is None else back - path_back,
        noticed_s=None if noticed is None else noticed - faulted,
        repeated=repeated,
        ghosts=ghosts,
    )


def recovered_at(lines: Iterable[Line], path_back: float) -> float | None:
    """Find when the first request issued at or after ``path_back`` was answered."""
    answers = (line["t"] for line in _probes(lines) if line["ok"] and line["t0"] >= path_back)
    return min(answers, default=None)


def noticed_at(lines: Iterable[Line], faulted: float) -> float | None:
    """Find when a client that reports its state first left a live one after the fault."""
    return next(
        (
            line["t"]
            for line in lines
            if line.get("event") == "transition"
            and line["t"] >= faulted
            and str(line["source"]).lower() in ALIVE
            and str(line["target"]).lower() not in ALIVE
        ),
        None,
    )


def executions(lines: Iterable[Line], executed: Iterable[Line]) -> tuple[int, int]:
    """Count the requests executed more than once, and the ghosts: executed after the client gave up."""
    gave_up = {line["id"]: line["t"] for line in _probes(lines) if not line["ok"]}
    times = Counter[str]()
    ghosts = set[str]()
    for entry in executed:
        name = entry.get("id")
        if name is None:
            continue
        times[name] += 1
        if name in gave_up and entry["t"] > gave_up[name]:
            ghosts.add(name)
    return sum(count > 1 for count in times.values()), len(ghosts)


def _probes(lines: Iterable[Line]) -> Iterable[Line]:
    return (line for line in lines if line.get("event") == "probe")
