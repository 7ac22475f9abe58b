"""What a campaign says while it plays and afterwards, and its command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import players
from campaign_bench import ENVIRONMENT
from simulations import fingerprints
from simulations.campaign import commands, session, show
from simulations.campaign.conduct import Summary, replay_command
from simulations.campaign.plan import scenario
from simulations.faults import Step, What
from simulations.results import Recovery, Run, Violation
from simulations.swarm import swarm
from simulations.trace import Kind, Trace

ROOT = Path(__file__).resolve().parent.parent

# -- telling ---------------------------------------------------------------------------------------


def test_a_story_is_told_in_order_with_its_violations() -> None:
    """Faults, transitions, outcomes and broken laws, at their times; answered evaluations not one by one."""
    trace = Trace()
    trace.note(0.0, Kind.PROCESS, what="start")
    trace.note(0.5, Kind.TOLD, 0, seq=1, source="Fresh", trigger="proved", target="Connected", reason="found")
    for number in range(50):
        trace.note(0.6 + number / 100, Kind.OUTCOME, 0, label=number, outcome="done", result="x")
    trace.note(2.0, Kind.FAULT, step="2 link down")
    trace.note(2.0, Kind.CONDITION, 0, condition="broken", things="link")
    trace.note(2.5, Kind.OUTCOME, 0, label=50, outcome="unknown", result="")
    trace.note(3.0, Kind.HEALED)
    run = Run(
        "lift",
        7,
        "abcd",
        10.0,
        (Violation(11, 2.7, 0, "[ran twice]"),),
        (Recovery(0, 3.0, 0.25, final=True),),
    )
    console = Console(width=100, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - a sink
    show.story(scenario("lift", 7), trace, run, console)
    console.file.close()
    told = console.export_text()
    places = [
        told.index(words)
        for words in (
            "our process: start",
            "Fresh -> Connected (proved, found)",
            "evaluation 0: done",
            ">> link down",
            "the way is broken (link)",
            "evaluation 50: unknown",
            "2.700 #0 LAW 11 [ran twice]",
            "everything is whole",
            "total ms",
            "1 violations; 10.0 virtual s",
            "digest abcd",
        )
    ]
    assert places == sorted(places)
    assert told.count("evaluation") == 2


def test_the_worst_final_recovery_is_remembered() -> None:
    """Of all runs, and only what counts against the 10 s."""
    whole = Summary()
    for seed, (total_s, final) in enumerate([(1.0, True), (9.0, False), (2.0, True), (0.5, True)]):
        whole.add(Run("x", seed, "", 1.0, recoveries=(Recovery(0, 1.0, total_s, final=final),)))
    assert (whole.worst_s, whole.worst_run) == (2.0, "x 2")
    whole.add(Run("x", 9, "", 1.0, recoveries=(Recovery(0, 1.0, None, final=True),)))
    assert (whole.worst_s, whole.worst_run) == (float("inf"), "x 9"), "never is longer than anything"


def test_the_replay_command_leads_back_to_the_run() -> None:
    """By name and seed, or by its line in the regression file."""
    run = players.failing(swarm(7), 7)
    assert replay_command(run) == "python -m simulations replay swarm 7"
    assert (
        replay_command(replace(run, scenario="regression 3")) == "python -m simulations replay --regression 3"
    )


# -- the command line ------------------------------------------------------------------------------


def invoke(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; gives its exit code and what it said."""
    app = typer.Typer()
    commands.register(app)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "--ci", "--seed", "1"], "--ci is always the same"),
        (["run", "--scenarios", "0"], "--scenarios"),
        (["run", "--minutes", "0"], "in no time nothing is played"),
        (["replay"], "name a scenario and a seed"),
        (["replay", "swarm", "1", "--regression", "1"], "name a scenario and a seed"),
        (["replay", "comuter", "1"], "there is no scenario"),
        (["replay", "lift", "3", "--trace", "/dev/null/all.jsonl"], "there is no directory"),
        (["replay", "lift", "3", "--trace", "."], "is a directory"),
        (["replay", "--regression", "9999"], "regressions"),
        (["shrink", "swarm", "1", "--steps", "/nonexistent"], "No such file"),
    ],
)
def test_misuse_is_exit_2_with_a_sentence(arguments: list[str], complaint: str) -> None:
    """Nothing is played, and what is wrong is said."""
    code, said = invoke(*arguments)
    assert code == 2
    assert complaint in " ".join(said.replace("│", " ").split())


def test_an_unknown_scenario_of_a_campaign_is_told(tmp_path: Path) -> None:
    """Before anything is played or moved."""
    code, said = invoke("run", "--only", "comuter", "--out", str(tmp_path / "x"))
    assert code == session.CANNOT
    assert "there is no scenario 'comuter'" in said
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1 image kill #7", "'1 image kill #7' names an image beyond the 1 there are"),
        ("1 image hostile", "does not say which program listens there; write one of 'garbage'"),
        ("1 image hostile 'nice'", "does not say which program"),
        ("1 image busy -3", "has a value below 0"),
        ("1 loss 1.5", "the share is 0 to 1"),
        ("3 drop\n1 undrop", "'1 undrop' stands after '3 drop'"),
        ("1 fly", "is no step"),
    ],
)
def test_steps_that_cannot_be_played_are_refused(tmp_path: Path, line: str, complaint: str) -> None:
    """Before anything is played, and not as a run without a result."""
    file = tmp_path / "steps.txt"
    file.write_text(line)
    for command in ("replay", "shrink"):
        code, said = invoke(command, "lift", "1", "--steps", str(file))
        assert code == 2
        assert complaint in " ".join(said.replace("│", " ").split())


def test_a_clock_may_be_set_back(tmp_path: Path) -> None:
    """The one value that has a sign."""
    file = tmp_path / "steps.txt"
    file.write_text("1 step clock -3600\n")
    code, said = invoke("replay", "lift", "1", "--steps", str(file))
    assert code == 0, said


@pytest.mark.parametrize("address", ["nonsense", "carrier-pigeon://10.0.0.9:8786"])
def test_what_is_no_scheduler_is_told_at_once(tmp_path: Path, address: str) -> None:
    """In one line; a client that was never whole would leave a traceback ten seconds later."""
    pytest.importorskip("distributed")
    argv = [sys.executable, "-m", "simulations", "run", "--scheduler", address, "--out", str(tmp_path / "x")]
    done = subprocess.run(argv, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == session.CANNOT
    assert f"No verdict: '{address}' is no scheduler, write tcp://10.0.0.9:8786" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "x").exists()


def test_fingerprints_without_their_file_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before they are taken."""
    monkeypatch.setattr(fingerprints, "FILE", tmp_path / "fingerprints.txt")
    with pytest.raises(typer.Exit) as ended:
        fingerprints.fingerprints(write=False)
    assert ended.value.exit_code == 2
    assert "Nothing to compare with" in capsys.readouterr().out


def test_replay_plays_a_real_run_and_writes_its_trace(tmp_path: Path) -> None:
    """The trace in the file is the one whose digest is printed."""
    file = tmp_path / "trace.jsonl"
    code, said = invoke("replay", "lift", "3", "--trace", str(file))
    assert code == 0, said
    assert "carrier off" in said
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert kept[0]["t"] == 0
    assert {"fault", "told", "outcome"} <= {entry["kind"] for entry in kept}


def test_a_run_that_raises_is_told_as_far_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exception and where it came from; exit 1."""
    from simulations.virtual.play import Play  # noqa: PLC0415 - the whole product comes with it

    def breaks(_self: Play) -> None:
        raise OSError("in the middle")

    monkeypatch.setattr(Play, "_heal", breaks)
    code, said = invoke("replay", "lift", "3")
    assert code == 1
    assert "carrier off" in said
    assert "NO RESULT OSError: in the middle" in said


def test_steps_of_a_file_take_the_place_of_the_scenarios_own(tmp_path: Path) -> None:
    """At exactly the times they name."""
    file = tmp_path / "steps.txt"
    file.write_text("2.5 drop\n4 undrop\n")
    code, said = invoke("replay", "swarm", "1", "--steps", str(file))
    assert code == 0, said
    assert "2.500    >> drop" in said
    assert str(Step(2.5, What.DROP)) not in said
