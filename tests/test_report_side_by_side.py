"""Virtual and real recoveries of the same scenarios, next to each other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from simulations.campaign.journal import Journal, Plan
from simulations.report import side_by_side, tables
from simulations.report.commands import register
from simulations.report.tally import Tally
from simulations.results import Recovery, Run

VIRTUAL = [
    Run(
        "S1",
        seed,
        "d",
        5.0,
        recoveries=(
            Recovery(0, 1.0, 9.0, final=False, broken_s=0.5),
            Recovery(0, 2.0, total_s, final=True, broken_s=0.5),
        ),
    )
    for seed, total_s in enumerate((0.010, 0.020, 0.030))
]


def outcomes(file: Path, *found: tuple[str, str, float | None]) -> Path:
    lines = [{"scenario": s, "turn": 0, "client": client, "recovery_ms": ms} for s, client, ms in found]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "\n")
    return file


def test_medians_are_compared_and_the_worst_is_shown(tmp_path: Path) -> None:
    """Real 30 ms over virtual 20 ms is 1.5; other clients, and windows between faults, stay out of it."""
    file = outcomes(
        tmp_path / "real.jsonl",
        ("S1", "resilience", 30.0),
        ("S1", "resilience", 90.0),
        ("S1", "resilience", 10.0),
        ("S1", "pyzmq_req", 5000.0),
        ("S9", "resilience", 1.0),
    )
    found = side_by_side.pairs(
        Tally.of(VIRTUAL).samples, side_by_side.read_outcomes(file), {"S1": "link", "S2": "x"}
    )
    assert [pair.scenario for pair in found] == ["S1"]
    assert found[0].ratio == pytest.approx(1.5)
    row = tables.markdown_table(side_by_side.table(found)).splitlines()[2]
    assert row == "| S1 link | 3 | 20 ms | 30 ms | 3 | 30 ms | 90 ms | 1.50 |"


def test_never_is_shown_on_either_side(tmp_path: Path) -> None:
    """It is the worst, and has no ratio where the virtual median itself is never."""
    file = outcomes(tmp_path / "real.jsonl", ("S1", "resilience", None))
    real = side_by_side.read_outcomes(file)
    assert real == {"S1": [math.inf]}
    pair = side_by_side.pairs(Tally.of(VIRTUAL).samples, real, {"S1": "link"})[0]
    assert side_by_side.table([pair]).rows[0][-3:] == ("never", "never", "never")
    lost = Tally.of([Run("S1", 1, "d", 5.0, recoveries=(Recovery(0, 1.0, None, final=True, broken_s=0.5),))])
    assert side_by_side.pairs(lost.samples, real, {"S1": "link"})[0].ratio is None


@pytest.mark.parametrize("line", ["{", '{"scenario":"S1"}', "7", '{"scenario":"S1","recovery_ms":"x"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    """Not skipped."""
    file = outcomes(tmp_path / "real.jsonl", ("S1", "resilience", 1.0))
    file.write_text(file.read_text().strip() + f"\n{line}\n")
    with pytest.raises(side_by_side.OutcomesError, match="line 2"):
        side_by_side.read_outcomes(file)


def test_the_command_prints_or_writes_the_table(tmp_path: Path) -> None:
    """For the docs."""
    app = typer.Typer()
    register(app)
    with Journal.begin(tmp_path / "c", Plan(3, 0)) as journal:
        journal.append(VIRTUAL)
    real = outcomes(tmp_path / "real.jsonl", ("S1", "resilience", 30.0))
    printed = CliRunner().invoke(app, ["side-by-side", str(tmp_path / "c"), str(real)])
    assert printed.exit_code == 0, printed.output
    assert "| S1 link down 1 s | 3 | 20 ms |" in printed.output
    out = tmp_path / "table.md"
    CliRunner().invoke(app, ["side-by-side", str(tmp_path / "c"), str(real), "--out", str(out)])
    assert out.read_text() == printed.output
    for text, complaint in (("", "holds no outcome"), (real.read_text().replace("S1", "S9"), "in common")):
        nothing = tmp_path / "nothing.jsonl"
        nothing.write_text(text)
        refused = CliRunner().invoke(app, ["side-by-side", str(tmp_path / "c"), str(nothing)])
        assert refused.exit_code == 2
        assert complaint in refused.output
    with Journal.begin(tmp_path / "empty", Plan(3, 0)):
        pass
    refused = CliRunner().invoke(app, ["side-by-side", str(tmp_path / "empty"), str(real)])
    assert refused.exit_code == 2
    assert "has not played one run" in refused.output
    missing = CliRunner().invoke(app, ["side-by-side", str(tmp_path / "c"), str(tmp_path / "no.jsonl")])
    assert missing.exit_code == 2
