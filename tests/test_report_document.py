"""The tables of the pages: written by a command, never by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from simulations.campaign import regressions
from simulations.campaign.journal import Journal, Plan
from simulations.campaign.plan import command
from simulations.report import document
from simulations.report.commands import register
from simulations.results import Recovery, Run
from simulations.scenarios import LIBRARY

ROOT = Path(__file__).resolve().parent.parent
PAGES = (document.PAGE, document.FRONT)

MUTANTS = """1 of 1 faults caught, the slowest in 1.0 s.

| fault | what was got wrong | where | caught by | in |
|---|---|---|---|---|
"""

app = typer.Typer()
register(app)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["docs", *arguments])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Our own pages, to be written to."""
    (tmp_path / "docs").mkdir()
    for page in PAGES:
        (tmp_path / page).write_text((ROOT / page).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def block(page: Path, name: str) -> str:
    text = page.read_text(encoding="utf-8")
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def campaign(directory: Path, planned: int = 1000) -> Path:
    good = Recovery(0, 1.0, 0.02, final=True, broken_s=0.5)
    runs = [Run("S1", seed, "d", 20.0, recoveries=(good,), took_s=0.05) for seed in range(1000)]
    with Journal.begin(directory, Plan(planned, 7, ("S1",), code="c0de")) as journal:
        journal.append(runs)
    return directory


def test_our_own_pages_say_what_the_code_says() -> None:
    """Laws, kept failures and the timeline: whoever changes one runs `python -m simulations docs`."""
    result = call("--root", str(ROOT), "--check")
    assert result.exit_code == 0, result.output
    assert all(entry.story in block(ROOT / document.PAGE, "bugs") for entry in regressions.load())


def test_each_story_namespaces_cannot_play_says_why() -> None:
    """All of them and no other; a story that becomes real leaves the table."""
    rows = block(ROOT / document.PAGE, "unreal").strip().splitlines()[2:]
    told = {row.split(",")[0].removeprefix("| "): row for row in rows}
    assert told.keys() == {key for key, scenario in LIBRARY.items() if not scenario.real}
    assert "| suspend | all namespaces share the machine's clocks and its sleep |" in told["sleep"]


def test_a_page_that_differs_is_told_and_left(checkout: Path) -> None:
    """With --check nothing is written; without it the page is as it was."""
    page = checkout / document.PAGE
    before = page.read_text(encoding="utf-8")
    page.write_text(before.replace("law 11, ", "law 12, "), encoding="utf-8")
    result = call("--root", str(checkout), "--check")
    assert result.exit_code == 1
    assert "simulations.md differs" in result.output
    assert call("--root", str(checkout)).exit_code == 0
    assert page.read_text(encoding="utf-8") == before


def test_what_was_measured_is_written_where_it_belongs(checkout: Path) -> None:
    """The verdict into both pages, with its command; the other blocks stay as they were."""
    page = checkout / document.PAGE
    kept = block(page, "race")
    real = checkout / "real.jsonl"
    real.write_text(
        json.dumps({"scenario": "S1", "turn": 0, "client": "resilience", "recovery_ms": 30.0}) + "\n"
    )
    mutants = checkout / "mutants.md"
    mutants.write_text(MUTANTS)
    directory = campaign(checkout / "c")
    options = ["--campaign", str(directory), "--field", str(real), "--mutants", str(mutants)]
    assert call("--root", str(checkout), *options).exit_code == 0
    for told in (block(page, "verdict"), block(checkout / document.FRONT, "simulated")):
        assert "1,000 runs of 1 kinds" in told
        assert "`python -m simulations run --scenarios 1000 --seed 7 --only S1 --out c`" in told
        assert "`python -m simulations verify c`" in told
        assert "| laws broken | met: 0; the bar is at most 0 violations |" in told
        assert str(checkout) not in told
    assert "| 1.50 |" in block(page, "beside")
    assert block(page, "mutants") == f"\n{MUTANTS}\n"
    assert block(page, "race") == kept
    assert (checkout / document.PICTURE).read_text(encoding="utf-8").startswith("<svg")


def test_a_campaign_that_was_not_played_to_its_end_says_so(checkout: Path) -> None:
    """What was meant to be played proves nothing."""
    directory = campaign(checkout / "c", planned=100_000)
    assert call("--root", str(checkout), "--campaign", str(directory)).exit_code == 0
    told = block(checkout / document.FRONT, "simulated")
    played = "python -m simulations run --scenarios 100000 --seed 7 --only S1 --out c"
    assert f"`{played}`, ended after 1,000 runs,\n" in told


def test_a_campaign_is_named_without_this_machines_paths(tmp_path: Path) -> None:
    """Within the checkout from there; elsewhere by its name, because nobody else has the rest."""
    assert document.placed(tmp_path / "build" / "nightly", tmp_path) == Path("build/nightly")
    assert document.placed(tmp_path / "elsewhere" / "c", tmp_path / "checkout") == Path("c")


def test_the_command_of_a_plan_is_the_whole_of_it() -> None:
    """Whoever types it plays the same."""
    assert command(Plan(5, 0)) == "python -m simulations run --scenarios 5"
    assert command(Plan(2000, 0, ci=True)) == "python -m simulations run --ci"
    narrow = command(Plan(5, 3, ("lift", "swarm")))
    assert narrow == "python -m simulations run --scenarios 5 --seed 3 --only lift,swarm"


def test_a_page_without_the_block_is_refused(checkout: Path) -> None:
    """Not written half."""
    page = checkout / document.PAGE
    page.write_text(page.read_text(encoding="utf-8").replace("<!-- /laws -->", ""), encoding="utf-8")
    result = call("--root", str(checkout))
    assert result.exit_code == 2
    assert "laws" in result.output


@pytest.mark.parametrize("option", ["--mutants", "--race"])
def test_any_other_text_is_not_pasted_into_a_page(checkout: Path, option: str) -> None:
    """Whoever names the wrong file is told, and the pages stay as they were."""
    page = checkout / document.PAGE
    before = page.read_text(encoding="utf-8")
    other = checkout / "notes.md"
    other.write_text("Buy milk.\n")
    result = call("--root", str(checkout), option, str(other))
    assert result.exit_code == 2
    assert "notes.md is not what" in result.output
    assert page.read_text(encoding="utf-8") == before


def test_a_damaged_regression_file_is_told(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line, not with a traceback."""

    def damaged() -> list[regressions.Regression]:
        file = tmp_path / "regressions.jsonl"
        file.write_text("{\n")
        return load(file)

    load = regressions.load
    monkeypatch.setattr(regressions, "load", damaged)
    result = call("--root", str(checkout), "--check")
    assert result.exit_code == 2
    assert "Nothing is written: regressions.jsonl, line 1" in result.output


def test_an_empty_campaign_fills_no_page(checkout: Path) -> None:
    """It has nothing to say."""
    with Journal.begin(checkout / "c", Plan(10, 0)):
        pass
    result = call("--root", str(checkout), "--campaign", str(checkout / "c"))
    assert result.exit_code == 2
    assert "has not played one run" in result.output


def test_real_outcomes_stand_beside_a_campaign(tmp_path: Path) -> None:
    """Alone they have nothing to stand beside."""
    assert call("--root", str(tmp_path), "--field", "real.jsonl").exit_code == 2
