"""Runs inside a scratch copy: plays the CI slice there and prints, as JSON, what the harness caught.

`python -m simulations.mutants.trial hunt BUDGET_S FIRST...` ends with the first run that is not as it should
be, or when the time is over; the runs named are played before all others. `... control BUDGET_S RUN...` plays
only those named. What exits with anything but 0 has not come to its end.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from simulations.campaign import Job
    from simulations.results import Run
    from simulations.scenarios import Scenario

    Play = Callable[[Scenario, int], Run]

HUNT, CONTROL = "hunt", "control"
IMPORT, CRASH = "import", "exception"

HANG_S = 20.0
"""A run takes a twentieth of a second. One that is not over after this ends the trial, with a traceback."""

MEMORY_BYTES = 4 * 1024**3
"""A fault that makes something grow without end must not take the machine along. A trial needs 0.2 GB."""


@dataclass(frozen=True, slots=True)
class Catch:
    """What gave a fault away.

    Attributes:
        by: the law that was seen broken first ("law 11"), "import", or "exception".
        what: in words.
        laws: every law that was seen broken in the same run.
        run: the run that told, as "scenario/seed"; empty where not even one could be played.
    """

    by: str
    what: str
    laws: tuple[int, ...] = ()
    run: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a trial: how many runs were played, and what was caught in them."""

    played: int
    catches: tuple[Catch, ...] = ()

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one back.

        Raises:
            ValueError: it is none.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            catches = (Catch(**{**each, "laws": tuple(each["laws"])}) for each in found["catches"])
            return cls(found["played"], tuple(catches))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no verdict: {text!r}") from error


def main(order: str, budget_s: float, named: Sequence[str]) -> Verdict:
    """Do as ordered."""
    until = time.monotonic() + budget_s
    try:
        from simulations.campaign import ci_slice  # noqa: PLC0415 - the fault may show here already
        from simulations.virtual.play import play  # noqa: PLC0415 - same
    except Exception as error:  # noqa: BLE001 - whatever it is, it gave the fault away
        return Verdict(0, (Catch(IMPORT, _described(error)),))
    if strangers := _strangers():
        raise SystemExit(f"not the scratch copy was imported but {strangers}")
    jobs = sorted(ci_slice(), key=lambda job: not _is_named(job, named))
    if order == CONTROL:
        jobs = [job for job in jobs if _is_named(job, named)]
    return judged(jobs, play, until, stop_at_first=order == HUNT)


def judged(jobs: Sequence[Job], play: Play, until: float, *, stop_at_first: bool) -> Verdict:
    """Play one after another, and keep whatever is not as it should be."""
    catches: list[Catch] = []
    played = 0
    for job in jobs:
        if time.monotonic() > until:
            break
        played += 1
        catch = caught(job, play)
        if catch is not None:
            catches.append(catch)
            if stop_at_first:
                break
    return Verdict(played, tuple(catches))


def caught(job: Job, play: Play) -> Catch | None:
    """Play one run; what was wrong with it, if anything was."""
    run = f"{job.label}/{job.seed}"
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    try:
        played = play(job.the_scenario(), job.seed)
    except Exception as error:  # noqa: BLE001 - a run that breaks the world is a catch like any other
        return Catch(CRASH, _described(error), run=run)
    finally:
        faulthandler.cancel_dump_traceback_later()
    if played.passed:
        return None
    first = min(played.violations, key=lambda violation: violation.at)
    laws = tuple(sorted({violation.law for violation in played.violations}))
    return Catch(f"law {first.law}", f"at {first.at:.2f} s: {first.what}", laws, run)


def _is_named(job: Job, named: Sequence[str]) -> bool:
    return job.label in named or f"{job.label}/{job.seed}" in named


def _strangers() -> str:
    """Name modules of ours that come from elsewhere than the scratch copy."""
    here = Path.cwd().resolve()
    files = {
        module.__file__
        for name, module in sys.modules.items()
        if name.partition(".")[0] in {"machines", "store", "resilience", "simulations"}
    }
    return ", ".join(sorted(file for file in files if file and not Path(file).resolve().is_relative_to(here)))


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # not POSIX, or the limit is lower already
        import resource  # noqa: PLC0415 - POSIX only

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    _limit_memory()
    print(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
