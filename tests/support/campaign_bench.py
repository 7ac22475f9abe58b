"""What tests of campaigns have in common."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from simulations.campaign import journal, session
from simulations.campaign.journal import Journal, Plan
from simulations.campaign.playing import Player
from simulations.campaign.session import Wish
from simulations.results import Recovery, Run

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "tests" / "support" / "campaigning.py"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(DRIVER.parent)])}
PATIENCE_S = 60.0
RICH_RUN = Run(
    "swarm",
    123_456,
    "0123456789abcdef",
    43.123456,
    recoveries=tuple(
        Recovery(
            0,
            12.345678,
            0.123456,
            last == 3,
            4.5,
            "image answered: found",
            0.51,
            0.01,
            0.02,
            0.01,
            0.03,
            0.05,
        )
        for last in range(4)
    ),
    counts={f"fault: number {number}": number for number in range(40)},
    took_s=0.05,
)


def seeds(directory: Path) -> Counter[int]:
    """How often each seed of the random runs stands in a campaign."""
    return Counter(run.seed for run in journal.runs(directory) if run.scenario == "swarm")


def wish(out: Path, count: int = 200, **more: Any) -> Wish:
    return Wish(**{"scenarios": count, "only": ("swarm",), "workers": 2, "out": out, "keep": False, **more})


def campaign(asked: Wish, player: Player) -> int:
    """Play it beside a regression file of its own."""
    return session.run(asked, player, asked.out / "regressions.jsonl")


def journal_with(directory: Path, *chunks: list[Run]) -> Path:
    """Write some chunks; returns the file."""
    with Journal.begin(directory, Plan(100, 0)) as kept:
        for chunk in chunks:
            kept.append(chunk)
    return directory / journal.RUNS
