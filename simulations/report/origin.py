"""Where a campaign comes from: what was planned, how much of it was played, by which code, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulations.campaign import plan as planning
from simulations.campaign.journal import PLAN, Plan, fingerprint, read_plan
from simulations.report.tally import REGRESSIONS, Tally

UNKNOWN_MACHINE = "that of whoever judges; the campaign did not write down its own"


@dataclass(frozen=True, slots=True)
class Origin:
    """Of one campaign. `plan` None: nobody wrote it down. `here`: the code of this checkout."""

    plan: Plan | None
    played: int
    """Of what was planned; regressions come besides."""
    regressions: int
    here: str

    @classmethod
    def of(cls, directory: Path, tally: Tally) -> Origin:
        """Read it.

        Raises:
            JournalError: the plan is damaged.
        """
        plan = read_plan(directory) if (directory / PLAN).exists() else None
        kept = tally.samples[REGRESSIONS].runs if REGRESSIONS in tally.samples else 0
        return cls(plan, sum(each.runs for each in tally.samples.values()) - kept, kept, fingerprint())

    @property
    def planned(self) -> int | None:
        """How many runs, besides the regressions."""
        return None if self.plan is None else planning.size(self.plan)

    @property
    def ended_early(self) -> bool:
        """Whether less was played than planned."""
        return self.planned is not None and self.played < self.planned

    def left_out(self, names: Sequence[str]) -> frozenset[str]:
        """Tell which of these scenarios the plan leaves out on purpose."""
        only = self.plan.only if self.plan else ()
        return frozenset(names) - frozenset(only) if only else frozenset()

    def sentences(self, unjudged: Sequence[str]) -> tuple[str, ...]:
        """Say it; `unjudged` are the bars of scenarios that were left out."""
        if self.plan is None:
            return (f"There is no {PLAN}: what was planned, and by which code, nobody knows.",)
        besides = f" and {self.regressions:,} regressions" if self.regressions else ""
        ended = ": the campaign ended early" if self.ended_early else ""
        said = [f"Played {self.played:,} of {self.planned:,} planned runs{besides}{ended}."]
        if self.plan.code != self.here:
            said.append(
                f"Played by code {self.plan.code or 'unknown'}, which is not this checkout's ({self.here}): "
                "this says nothing about what stands here."
            )
        else:
            said.append(f"Played by code {self.plan.code}, which is this checkout's.")
        if unjudged:
            said.append(f"Not judged, because of --only {','.join(self.plan.only)}: {', '.join(unjudged)}.")
        return tuple(said)

    def machine(self, ours: Mapping[str, str]) -> dict[str, str]:
        """Give the machine the campaign was played on; `ours`, and that it is ours, if it did not say."""
        if self.plan is None:
            return {**ours, "machine": UNKNOWN_MACHINE}
        found = dict(self.plan.machine) or {**ours, "machine": UNKNOWN_MACHINE}
        return found | {"code": self.plan.code}

    def plain(self, unjudged: Sequence[str]) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "planned": self.planned,
            "played": self.played,
            "regressions": self.regressions,
            "ended_early": self.ended_early,
            "code": self.plan.code if self.plan else None,
            "code_of_this_checkout": self.here,
            "not_judged": list(unjudged),
        }
