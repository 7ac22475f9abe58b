"""Plants faults, has each hunted in a process of its own, and sees that the unchanged code is acquitted."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simulations.mutants.planting import ROOT, Mutant, plant
from simulations.mutants.trial import CONTROL, HANG_S, HUNT, Catch, Verdict

BUDGET_S = 120.0
"""What continuous integration has for the whole slice; here for one fault, on one core."""

GRACE_S = 30.0
"""A trial whose budget is over ends with the run it is at, or with that run's own limit (`trial.HANG_S`)."""

HANGING, DIED = "hanging", "exit"
HANGING_SAID = "Timeout ("
"""How faulthandler begins what it says of a run without end."""

TRIAL = (sys.executable, "-m", "simulations.mutants.trial")
"""The harness, run inside the scratch copy."""


class TrialError(Exception):
    """The harness does not run even without a fault, so nothing it says of faults counts.

    Attributes:
        said: why not.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(f"the harness does not run on the unchanged code: {said}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fault.

    Attributes:
        mutant: which.
        catch: what gave it away; None: it survived.
        played: how many runs that took, or how many it survived.
        took_s: in how many seconds.
        acquitted: the unchanged code passes the run that told.
    """

    mutant: Mutant
    catch: Catch | None
    played: int
    took_s: float
    acquitted: bool = True

    @property
    def caught(self) -> bool:
        """Whether the fault, and nothing else, was noticed."""
        return self.catch is not None and self.acquitted

    @property
    def foreseen(self) -> bool:
        """Whether a law told of it that it was expected to break."""
        return self.caught and self.catch is not None and bool({*self.catch.laws} & {*self.mutant.laws})


@dataclass(frozen=True, slots=True)
class Hunt:
    """How faults are hunted. Tests hunt elsewhere, with another harness, and have less time."""

    trial: tuple[str, ...] = TRIAL
    root: Path = ROOT
    budget_s: float = BUDGET_S
    grace_s: float = GRACE_S

    async def all(
        self, mutants: Sequence[Mutant], workers: int, told: Callable[[Outcome], object]
    ) -> list[Outcome]:
        """Hunt every fault, so many at once; `told` hears of each as it is decided.

        Raises:
            TrialError: the harness does not run on the unchanged code.
        """
        turns = asyncio.Semaphore(workers)

        async def one(mutant: Mutant) -> Outcome:
            async with turns:
                outcome = await self.one(mutant)
            told(outcome)
            return outcome

        outcomes = await asyncio.gather(*(one(mutant) for mutant in mutants))
        runs = sorted({o.catch.run for o in outcomes if o.catch is not None} - {""})
        accused = await self.accused(runs)
        return [replace(o, acquitted=o.catch is None or o.catch.run not in accused) for o in outcomes]

    async def one(self, mutant: Mutant) -> Outcome:
        """Plant one fault and hunt it."""
        began = time.monotonic()
        verdict = await self._try(mutant, HUNT, mutant.first)
        took_s = time.monotonic() - began
        return Outcome(mutant, next(iter(verdict.catches), None), verdict.played, took_s)

    async def accused(self, runs: Sequence[str]) -> frozenset[str]:
        """Which of these runs are not as they should be although there is no fault.

        Raises:
            TrialError: it does not even come to that.
        """
        verdict = await self._try(None, CONTROL, runs)
        for catch in verdict.catches:
            if not catch.run:
                raise TrialError(f"{catch.by}: {catch.what}")
        return frozenset(catch.run for catch in verdict.catches)

    async def _try(self, mutant: Mutant | None, order: str, runs: Sequence[str]) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="mutant-") as copy:
            plant(mutant, Path(copy), self.root)
            process = await asyncio.create_subprocess_exec(
                *self.trial,
                order,
                str(self.budget_s),
                *runs,
                cwd=copy,
                env={**os.environ, "PYTHONPATH": copy},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(self.budget_s + self.grace_s):
                    out, err = await process.communicate()
            except TimeoutError:
                return Verdict(0, (Catch(HANGING, f"no end within {self.budget_s + self.grace_s:.0f} s"),))
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == 0:
            return Verdict.parse(out.decode())
        said = err.decode(errors="replace").strip().splitlines() or ["no word"]
        if said[0].startswith(HANGING_SAID):
            return Verdict(0, (Catch(HANGING, f"a run had no end within {HANG_S:.0f} s"),))
        return Verdict(0, (Catch(DIED, f"exit {process.returncode}: {said[-1]}"),))
