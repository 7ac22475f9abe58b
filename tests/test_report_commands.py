"""The commands: exit codes, files, and what they refuse."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from simulations.campaign import session
from simulations.campaign.journal import PLAN, Journal, JournalError, Plan, fingerprint
from simulations.campaign.plan import CI_NAMED_SEEDS, CI_SWARM
from simulations.report import proof
from simulations.report.commands import register
from simulations.report.expected import expected
from simulations.results import Recovery, Run, Violation
from simulations.scenarios import LIBRARY

app = typer.Typer()
register(app)

MACHINE = {"kernel": "6.1", "date": "2026-11-20"}
UNJUDGED = [f"{promise.scenario} recovery" for promise in expected().promises]
GOOD = Recovery(0, 1.0, 0.05, final=True, broken_s=0.5)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def campaign(directory: Path, *more: Run, good: int = 1000) -> str:
    """A finished campaign of good runs, and more."""
    runs = [Run("swarm", seed, f"{seed:016x}", 20.0, recoveries=(GOOD,), took_s=0.05) for seed in range(good)]
    with Journal.begin(directory, Plan(good, 0, ("swarm",), code="c0de", machine=MACHINE)) as journal:
        journal.append([*runs, *more])
    return str(directory)


def test_a_campaign_that_meets_every_bar_exits_0(tmp_path: Path) -> None:
    """And says so last."""
    result = call("verify", campaign(tmp_path / "c"))
    assert result.exit_code == 0, result.output
    assert result.output.strip().endswith("all 7 bars met")
    assert "20.0 runs a second and core" in result.output


@pytest.mark.parametrize(
    ("bad", "missed"),
    [
        (Run("swarm", 2009, "d", 1.0, (Violation(11, 1.0, 0, "ran twice"),), (GOOD,)), 1),
        (Run("swarm", 2009, "d", 1.0, (), (Recovery(0, 1.0, None, final=True, broken_s=0.5),)), 2),
        (Run("swarm", 2009, "d", 1.0, (), (Recovery(0, 1.0, 10.5, final=False, broken_s=0.5), GOOD)), 1),
        (Run("swarm", 2009, "", 0.0, (Violation(0, 0.0, -1, "RuntimeError"),)), 2),
    ],
    ids=["a law broken", "never recovered", "late between faults", "not played"],
)
def test_one_bad_run_in_a_thousand_exits_1(tmp_path: Path, bad: Run, missed: int) -> None:
    """One in a thousand is within 99.9 %; the other bars leave no room."""
    result = call("verify", campaign(tmp_path / "c", bad))
    assert result.exit_code == 1
    assert f"{missed} of 7 bars missed" in result.output


def test_what_the_plan_includes_and_nobody_played_is_missed(tmp_path: Path) -> None:
    """A thousand runs of something else are no proof of a scenario; with --only it is said instead."""
    directory = campaign(tmp_path / "c")
    narrowed = call("verify", directory)
    assert narrowed.exit_code == 0
    assert (
        "Not judged, because of --only swarm: noticing a silent drop, worst, S1 recovery" in narrowed.output
    )
    file = tmp_path / "c" / PLAN
    file.write_text(json.dumps(json.loads(file.read_text()) | {"only": []}))
    result = call("verify", directory)
    assert result.exit_code == 1
    missed = 1 + 2 * len(UNJUDGED)  # noticing, and of each scenario the median and the worst
    assert f"{missed} of {missed + 7} bars missed" in result.output
    assert "Not judged" not in result.output


def test_a_verdict_says_what_it_is_about(tmp_path: Path) -> None:
    """How much of the plan was played, and by which code: other code proves nothing about this one."""
    directory = campaign(tmp_path / "c")
    file = tmp_path / "c" / PLAN
    plan = json.loads(file.read_text())
    said = call("verify", directory).output
    assert "Played 1,000 of 1,000 planned runs.\n" in said
    assert f"Played by code c0de, which is not this checkout's ({fingerprint()}): this says nothing" in said
    file.write_text(json.dumps(plan | {"scenarios": 3000, "code": fingerprint()}))
    said = call("verify", directory).output
    assert "Played 1,000 of 3,000 planned runs: the campaign ended early." in said
    assert f"Played by code {fingerprint()}, which is this checkout's." in said
    file.write_text(json.dumps(plan | {"only": [], "ci": True}))
    assert f"of {len(LIBRARY) * CI_NAMED_SEEDS + CI_SWARM:,} planned runs" in call("verify", directory).output
    file.unlink()
    assert "There is no plan.json" in call("verify", directory).output


def test_a_campaign_that_did_not_note_its_machine_says_so(tmp_path: Path) -> None:
    """It was begun before that was written down; the machine that judges may be another."""
    directory = campaign(tmp_path / "c")
    file, out = tmp_path / "c" / PLAN, tmp_path / "v.json"
    plan = json.loads(file.read_text())
    del plan["machine"]
    file.write_text(json.dumps(plan))
    assert call("verify", directory, "--json", str(out)).exit_code == 0
    machine = json.loads(out.read_text())["machine"]
    assert machine["machine"] == "that of whoever judges; the campaign did not write down its own"
    assert machine["Python"] == platform.python_version()


def test_too_few_runs_exit_1(tmp_path: Path) -> None:
    """Unless fewer are asked for."""
    directory = campaign(tmp_path / "c", good=999)
    assert call("verify", directory).exit_code == 1
    assert call("verify", directory, "--least", "999").exit_code == 0


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """A campaign that was killed has a verdict on what it had finished."""
    directory = campaign(tmp_path / "c")
    with (tmp_path / "c" / "runs.jsonl").open("a") as runs:
        runs.write('{"scenario":"swarm","seed":1000,"digest":"d","virtual_s":1.0}\n{"scenario":"swa')
    assert call("verify", directory).exit_code == 0
    assert proof.read(tmp_path / "c").samples["swarm"].runs == 1000


def test_a_damaged_line_is_refused(tmp_path: Path) -> None:
    """Not skipped: what else is wrong with such a file?"""
    directory = campaign(tmp_path / "c")
    file = tmp_path / "c" / "runs.jsonl"
    file.write_text(file.read_text().replace('"seed":7,', '"seed":7 7,'))
    with pytest.raises(JournalError, match="line 8 is damaged"):
        proof.read(tmp_path / "c")
    assert call("verify", directory).exit_code == 2


def test_no_campaign_is_refused(tmp_path: Path) -> None:
    """An empty or missing directory is a mistake, not a verdict."""
    for command in ("verify", "report"):
        result = call(command, str(tmp_path / "nowhere"))
        assert result.exit_code == 2
        assert "there is no campaign" in result.output


def test_an_empty_campaign_exits_1(tmp_path: Path) -> None:
    """It was begun, and proves nothing."""
    result = call("verify", campaign(tmp_path / "c", good=0))
    assert result.exit_code == 1
    assert "nothing was measured" in " ".join(result.output.split())


def test_options_for_playing_and_a_directory_exclude_each_other(tmp_path: Path) -> None:
    """Whoever gives both means one of them."""
    assert call("verify", campaign(tmp_path / "c"), "--seed", "3").exit_code == 2


def test_verify_writes_what_was_asked_for(tmp_path: Path) -> None:
    """JSON, Markdown and the page, from one reading."""
    files = {kind: tmp_path / f"verdict.{kind}" for kind in ("json", "markdown", "html")}
    options = [word for kind, file in files.items() for word in (f"--{kind}", str(file))]
    assert call("verify", campaign(tmp_path / "c"), *options).exit_code == 0
    found = json.loads(files["json"].read_text())
    assert found["met"] is True
    assert found["machine"] == {**MACHINE, "code": "c0de"}
    assert found["campaign"] == {
        "planned": 1000,
        "played": 1000,
        "regressions": 0,
        "ended_early": False,
        "code": "c0de",
        "code_of_this_checkout": fingerprint(),
        "not_judged": ["noticing a silent drop, worst", *UNJUDGED],
    }
    assert found["all"]["virtual_s"] == 20_000.0
    written = files["markdown"].read_text()
    assert "**All 7 bars met.**" in written
    assert "kernel 6.1" in written
    page = files["html"].read_text()
    assert page.startswith("<!doctype html>")
    for told in (written, page):
        assert "Played 1,000 of 1,000 planned runs." in told
        assert "which is not this checkout" in told


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    """Nobody waits for a campaign to learn that a directory is missing."""
    (tmp_path / "no").touch()
    result = call("verify", campaign(tmp_path / "c"), "--json", str(tmp_path / "no" / "v.json"))
    assert result.exit_code == 2


@pytest.mark.parametrize(("played", "exit_code"), [(0, 0), (1, 0), (2, 2), (130, 130)])
def test_without_a_directory_a_campaign_is_played_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: int, exit_code: int
) -> None:
    """What it found is judged here; if it could not be played, or was interrupted, there is no verdict."""
    wishes = []

    def run(wish: session.Wish) -> int:
        wishes.append(wish)
        campaign(wish.out)
        return played

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "run", run)
    result = call("verify", "--scenarios", "1000", "--seed", "5", "--workers", "1")
    assert result.exit_code == exit_code, result.output
    assert [(wish.scenarios, wish.seed, wish.workers) for wish in wishes] == [(1000, 5, 1)]
    assert ("bars met" in result.output) is (exit_code == 0)


def test_report_writes_one_file_and_the_plots(tmp_path: Path) -> None:
    """The plots for the README are files of their own."""
    out, plots = tmp_path / "report.html", tmp_path / "plots"
    result = call("report", campaign(tmp_path / "c", good=3), "--out", str(out), "--plots", str(plots))
    assert result.exit_code == 0, result.output
    assert "<svg" in out.read_text()
    assert sorted(file.name for file in plots.iterdir()) == [
        "distribution.svg",
        "phases.svg",
        "scenarios.svg",
    ]


def test_a_timeline_is_printed_or_drawn(tmp_path: Path) -> None:
    """Mermaid by default; a picture where the file's name says so."""
    printed = call("timeline", "S1", "3")
    assert printed.exit_code == 0, printed.output
    assert "    link down :crit, " in printed.output
    svg, chart = tmp_path / "s1.svg", tmp_path / "s1.mmd"
    assert call("timeline", "S1", "3", "--out", str(svg)).exit_code == 0
    assert call("timeline", "S1", "3", "--out", str(chart)).exit_code == 0
    assert svg.read_text().startswith("<svg")
    assert chart.read_text() == printed.output


def test_a_timeline_is_of_whatever_can_be_replayed(tmp_path: Path) -> None:
    """A kept failure, or steps from a file, as `replay` has them."""
    kept = call("timeline", "--regression", "1")
    assert kept.exit_code == 0, kept.output
    assert "(seed 2)" in kept.output
    steps = tmp_path / "steps.txt"
    steps.write_text("2.5 drop\n4 undrop\n")
    own = call("timeline", "S1", "3", "--steps", str(steps))
    assert own.exit_code == 0, own.output
    assert "    link down :crit" not in own.output
    assert "    silent drop :crit" in own.output
    assert call("timeline", "S1", "3", "--regression", "1").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "{c}", "--json", "{d}"],
        ["verify", "{c}", "--html", "{d}"],
        ["verify", "{c}", "--markdown", "{d}"],
        ["report", "{c}", "--out", "{d}"],
        ["report", "{c}", "--plots", "{c}/runs.jsonl"],
        ["timeline", "S1", "3", "--out", "{d}"],
        ["side-by-side", "{c}", "{c}/runs.jsonl", "--out", "{d}"],
    ],
)
def test_a_directory_is_no_file_and_a_file_no_directory(tmp_path: Path, arguments: list[str]) -> None:
    """Told in a line, before the work."""
    campaign(tmp_path / "c", good=3)
    result = call(*(word.format(c=tmp_path / "c", d=tmp_path) for word in arguments))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "directory" in " ".join(result.output.replace("│", " ").split())


def test_an_empty_campaign_has_no_report(tmp_path: Path) -> None:
    """A page of dashes would look like one."""
    result = call("report", campaign(tmp_path / "c", good=0))
    assert result.exit_code == 2
    assert "has not played one run" in result.output
    assert not (tmp_path / "c" / "report.html").exists()


def test_a_line_that_is_no_run_is_no_traceback(tmp_path: Path) -> None:
    """As the last line it was torn off; before others it is named."""
    directory = campaign(tmp_path / "c")
    with (tmp_path / "c" / "runs.jsonl").open("a") as runs:
        runs.write('"x"\n')
    assert call("verify", directory).exit_code == 0
    with (tmp_path / "c" / "runs.jsonl").open("a") as runs:
        runs.write('"y"\n')
    result = call("verify", directory)
    assert result.exit_code == 2
    assert "line 1002 is damaged" in result.output


def test_a_timeline_of_nothing_known_is_refused() -> None:
    """With the names there are."""
    result = call("timeline", "elevator", "3")
    assert result.exit_code == 2
    assert "elevator" in result.output


def test_the_library_says_which_scenarios_are_silent_and_what_is_promised() -> None:
    """Drops without a word can be noticed late; a lift or a NAT is no plain drop."""
    known = expected()
    assert {"S4", "S7", "tunnel", "oneway"} <= known.silent
    assert not {"S1", "lift", "nat", "docker", "sleep", "kill"} & known.silent
    promised = {promise.scenario: (promise.median_s, promise.worst_s) for promise in known.promises}
    assert promised["S1"] == (0.05, 0.5)
    assert promised["S4"] == (0.25, 0.6)
    assert "S5" not in promised
