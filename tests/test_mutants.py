"""Planting faults: each fits the code, stands alone in a copy, is hunted there, and is told of truly."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from simulations.mutants import MUTANTS, commands, hunt, show
from simulations.mutants.hunt import Hunt, Outcome, TrialError
from simulations.mutants.planting import (
    NEVER_RUN,
    PACKAGES,
    ROOT,
    Area,
    Mutant,
    PlantingError,
    changed,
    plant,
    unfitting,
)
from simulations.mutants.trial import Catch, Verdict, caught, judged
from simulations.results import Run, Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulations.mutants.trial import Play

FAULTS_AT_LEAST = 45

VALUE = Mutant(
    name="wrong-value",
    area=Area.MACHINE,
    file="machines/one.py",
    old="VALUE = 1\n",
    new="VALUE = 2\n",
    mistake="Off by one.",
    laws=(1,),
    first=("lift",),
)


# -- the list ----------------------------------------------------------------------------


def test_every_fault_fits_the_code_exactly_once() -> None:
    """A fault whose text has moved would be planted nowhere, or in the wrong place."""
    assert [str(error) for error in unfitting(MUTANTS)] == []


def test_every_fault_is_a_change_that_still_is_python() -> None:
    """What does not even compile tests nothing."""
    for mutant in MUTANTS:
        text = changed(mutant)
        ast.parse(text, mutant.name)
        assert text != (ROOT / mutant.file).read_text(encoding="utf-8"), mutant.name


def test_the_list_is_long_varied_and_about_code_that_runs() -> None:
    """Names are unique, every area has its share, and nothing stands where the virtual world has its own."""
    assert len(MUTANTS) >= FAULTS_AT_LEAST
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert min(Counter(mutant.area for mutant in MUTANTS)[area] for area in Area) >= 5
    for mutant in MUTANTS:
        assert mutant.file.partition("/")[0] in {"machines", "store", "resilience"}, mutant.name
        assert mutant.file not in NEVER_RUN, mutant.name
        assert all(0 <= law <= 23 for law in mutant.laws), mutant.name


def test_each_fault_is_told_in_one_sentence() -> None:
    """The list is read by people, in the documentation."""
    for mutant in MUTANTS:
        assert mutant.mistake.endswith("."), mutant.name
        assert len(mutant.mistake) < 130, mutant.name


# -- planting ----------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of almost nothing."""
    root = tmp_path / "checkout"
    for package in PACKAGES:
        (root / package / "__pycache__").mkdir(parents=True)
        (root / package / "__pycache__" / "one.pyc").write_bytes(b"old")
        (root / package / "__init__.py").touch()
        (root / package / "one.py").write_text("VALUE = 1\nOTHER = 1\n")
    return root


def test_a_fault_stands_alone_in_the_copy_and_not_in_the_checkout(checkout: Path, tmp_path: Path) -> None:
    """One file differs, what was compiled before stays behind, and the original is as it was."""
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    copy = tmp_path / "copy"
    plant(VALUE, copy, checkout)
    files = [path for path in copy.rglob("*") if path.is_file() and path.name != "__init__.py"]
    found = {path.relative_to(copy).as_posix(): path.read_text() for path in files}
    assert found.pop("machines/one.py") == "VALUE = 2\nOTHER = 1\n"
    assert set(found) == {f"{package}/one.py" for package in PACKAGES if package != "machines"}
    assert set(found.values()) == {"VALUE = 1\nOTHER = 1\n"}
    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("old", "times"), [("MISSING", 0), ("= 1", 2)])
def test_a_text_that_is_not_there_exactly_once_is_refused(checkout: Path, old: str, times: int) -> None:
    """The error says which fault, which file and how often."""
    fault = replace(VALUE, old=old)
    with pytest.raises(PlantingError, match=f"wrong-value: .* {times} times in machines/one.py") as raised:
        changed(fault, checkout)
    assert (raised.value.mutant, raised.value.found) == (fault, times)
    assert [error.found for error in unfitting([VALUE, fault], checkout)] == [times]


# -- a trial -----------------------------------------------------------------------------


@dataclass(frozen=True)
class FakeJob:
    """What a campaign would play."""

    label: str
    seed: int = 0

    def the_scenario(self) -> str:
        """Give the label for the scenario."""
        return self.label


def fake_play(seen: list[str]) -> Play:
    """Pass, except where the label says otherwise."""

    def play(label: str, seed: int) -> Run:
        seen.append(label)
        if label == "endless":
            raise RuntimeError("no end of it")
        violations = (Violation(14, 9.0, 0, "late"), Violation(11, 2.5, 0, "ran twice"))
        return Run(label, seed, "", 1.0, violations if label == "bad" else ())

    return cast("Play", play)


def jobs(*labels: str) -> list[Any]:
    """Jobs of these labels."""
    return [FakeJob(label) for label in labels]


def test_a_hunt_ends_with_the_first_broken_law() -> None:
    """The law seen broken first is what caught it; all laws of that run are kept."""
    seen: list[str] = []
    verdict = judged(jobs("good", "bad", "good"), fake_play(seen), time.monotonic() + 60, stop_at_first=True)
    assert verdict == Verdict(2, (Catch("law 11", "at 2.50 s: ran twice", (11, 14), "bad/0"),))
    assert seen == ["good", "bad"]


def test_a_control_plays_to_the_end() -> None:
    """Every run that is not as it should be is named."""
    verdict = judged(
        jobs("bad", "good", "endless"), fake_play([]), time.monotonic() + 60, stop_at_first=False
    )
    assert verdict.played == 3
    assert [catch.run for catch in verdict.catches] == ["bad/0", "endless/0"]


def test_a_run_that_raises_is_a_catch() -> None:
    """An endless run, or one that breaks the world, gives the fault away."""
    assert caught(jobs("endless")[0], fake_play([])) == Catch(
        "exception", "RuntimeError: no end of it", run="endless/0"
    )


def test_a_trial_ends_with_its_budget() -> None:
    """What was not caught in time has survived."""
    assert judged(jobs("bad"), fake_play([]), time.monotonic() - 1, stop_at_first=True) == Verdict(0)


def test_a_verdict_is_read_as_it_was_written() -> None:
    """It crosses from one process to another."""
    verdict = Verdict(7, (Catch("law 1", "two links", (1, 11), "lift/3"),))
    assert Verdict.parse(str(verdict)) == verdict


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"played": 1, "catches": [{}]}'])
def test_what_is_no_verdict_is_refused(text: str) -> None:
    """A harness that prints something else has not judged."""
    with pytest.raises(ValueError, match=r"verdict|Expecting"):
        Verdict.parse(text)


def run_trial(at: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real trial module."""
    return subprocess.run(
        [sys.executable, "-m", "simulations.mutants.trial", *arguments],
        cwd=at,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_trial_judges_the_copy_and_nothing_else(tmp_path: Path) -> None:
    """Imported from the copy it runs; imported from elsewhere it refuses, and is no acquittal."""
    copy = tmp_path / "copy"
    plant(None, copy)
    inside = run_trial(copy, copy, "control", "60")
    assert (inside.returncode, inside.stdout) == (0, str(Verdict(0)) + "\n"), inside.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = run_trial(elsewhere, copy, "control", "60")
    assert outside.returncode != 0
    assert "not the scratch copy" in outside.stderr


def test_a_fault_that_breaks_the_import_is_caught_by_it() -> None:
    """The table's own validation is part of the harness."""
    adopt = next(mutant for mutant in MUTANTS if mutant.name == "table-no-adopt")
    outcome = asyncio.run(Hunt().one(adopt))
    assert outcome.catch is not None
    assert (outcome.catch.by, outcome.played) == ("import", 0)
    assert "adopt" in outcome.catch.what
    assert outcome.caught


def test_the_real_harness_catches_a_real_fault() -> None:
    """By the law it breaks, in a run that the unchanged code passes."""
    fault = next(mutant for mutant in MUTANTS if mutant.name == "connected-at-handshake")
    (outcome,) = all_of(Hunt(), fault)
    assert outcome.caught
    assert outcome.catch is not None
    assert outcome.catch.by == "law 2"


# -- hunting -----------------------------------------------------------------------------

FAKE_HARNESS = """
    import json, sys, time
    from machines.one import VALUE
    order, budget_s, *runs = sys.argv[1:]
    law = {"by": "law 1", "what": "two links", "laws": [1], "run": "lift/0"}
    if VALUE == "hang":
        time.sleep(60)
    if VALUE == "endless":
        sys.exit("Timeout (0:00:20)!\\nThread 0x01")
    if VALUE == "die":
        sys.exit("the interpreter is gone")
    if order == "hunt":
        guilty = VALUE != 1 and runs == ["lift"]
    else:
        guilty = VALUE == "broken harness" and runs == ["lift/0"]
    print(json.dumps({"played": 5, "catches": [law] * guilty}))
"""


ENDLESS = """
    import time
    from types import SimpleNamespace
    from simulations.mutants import trial
    trial.HANG_S = 0.2
    job = SimpleNamespace(label="endless", seed=0, the_scenario=lambda: None)
    trial.caught(job, lambda scenario, seed: time.sleep(60))
"""

ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def fake(checkout: Path, tmp_path: Path) -> Hunt:
    """A hunt with a harness that looks at one value."""
    harness = tmp_path / "harness.py"
    harness.write_text(textwrap.dedent(FAKE_HARNESS))
    return Hunt((sys.executable, str(harness)), checkout, budget_s=20.0, grace_s=10.0)


def all_of(hunting: Hunt, *mutants: Mutant) -> list[Outcome]:
    """Hunt all of them."""
    return asyncio.run(hunting.all(mutants, 2, lambda _: None))


def test_what_the_harness_objects_to_is_caught_and_the_rest_survives(fake: Hunt) -> None:
    """The copy decides, and what was to be played first is passed on."""
    hint_missing = replace(VALUE, name="no-hint", first=())
    wrong, unseen = all_of(fake, VALUE, hint_missing)
    assert (wrong.caught, wrong.played) == (True, 5)
    assert wrong.catch == Catch("law 1", "two links", (1,), "lift/0")
    assert (unseen.caught, unseen.catch, unseen.played) == (False, None, 5)


def test_a_harness_that_hangs_has_caught_it(fake: Hunt) -> None:
    """The process is ended, and does not count as survival."""
    hanging = replace(VALUE, new='VALUE = "hang"\n')
    outcome = asyncio.run(replace(fake, budget_s=0.2, grace_s=0.2).one(hanging))
    assert outcome.catch == Catch("hanging", "no end within 0 s")


def test_a_run_without_end_has_caught_it(fake: Hunt) -> None:
    """The trial ends itself then, with a traceback; that is no death of another kind."""
    (outcome,) = all_of(fake, replace(VALUE, new='VALUE = "endless"\n'))
    assert outcome.catch == Catch("hanging", "a run had no end within 20 s")


def test_a_trial_ends_itself_when_a_run_does_not(tmp_path: Path) -> None:
    """The limit is one run's, and what it says is what the hunt looks for."""
    script = tmp_path / "endless.py"
    script.write_text(textwrap.dedent(ENDLESS))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, env=ENV)
    assert done.returncode == 1
    assert done.stderr.startswith(hunt.HANGING_SAID)


def test_a_harness_that_dies_has_caught_it(fake: Hunt) -> None:
    """What it said last is told."""
    (outcome,) = all_of(fake, replace(VALUE, new='VALUE = "die"\n'))
    assert outcome.catch == Catch("exit", "exit 1: the interpreter is gone")
    assert outcome.caught


def test_a_run_that_fails_without_the_fault_proves_nothing(fake: Hunt, checkout: Path) -> None:
    """Every catch is tried once more on the unchanged code."""
    (checkout / "machines" / "one.py").write_text('VALUE = "broken harness"\n')
    (outcome,) = all_of(fake, replace(VALUE, old='"broken harness"', new="2"))
    assert outcome.catch is not None
    assert not outcome.caught
    assert "unchanged code fails in lift/0" in show.verdict(outcome)


def test_a_harness_that_does_not_run_at_all_is_an_error(fake: Hunt, checkout: Path) -> None:
    """Otherwise everything would be caught, by nothing."""
    (checkout / "machines" / "one.py").write_text('VALUE = "die"\n')
    with pytest.raises(TrialError, match="the interpreter is gone"):
        all_of(fake, replace(VALUE, old='"die"', new="2"))


def test_faults_are_told_one_by_one_as_they_are_decided(fake: Hunt) -> None:
    """Whoever waits sees progress."""
    told: list[str] = []
    mutants = [replace(VALUE, name=f"fault {number}") for number in range(3)]
    outcomes = asyncio.run(fake.all(mutants, 2, lambda outcome: told.append(outcome.mutant.name)))
    assert sorted(told) == [outcome.mutant.name for outcome in outcomes] == [m.name for m in mutants]


# -- what is told ------------------------------------------------------------------------

CAUGHT = Outcome(VALUE, Catch("law 1", "two links | at once", (1,), "lift/0"), 5, 1.5)
SURVIVED = Outcome(replace(VALUE, name="subtle", mistake="A | B."), None, 1234, 60.0)


def drawn(*outcomes: Outcome) -> str:
    """The table as a terminal shows it, with its colours."""
    console = Console(record=True, width=200, force_terminal=True, file=io.StringIO())
    console.print(show.table(outcomes))
    return console.export_text(styles=True)


def test_survivors_are_red() -> None:
    """They are what is to be looked at."""
    red = "\x1b[1;31m"
    assert red not in drawn(CAUGHT)
    assert red in drawn(SURVIVED)
    assert "survived 1,234 runs" in drawn(SURVIVED)
    assert show.summary([CAUGHT, SURVIVED]).startswith("1 of 2 faults caught, 1 of them by a law")
    surprising = replace(CAUGHT, mutant=replace(VALUE, laws=(2,)))
    assert "1 of 1 faults caught, 0 of them by a law" in show.summary([surprising])


def test_the_documents_list_names_fault_mistake_and_what_caught_it() -> None:
    """A table in Markdown; what would end a cell early is escaped."""
    lines = show.to_markdown([CAUGHT, SURVIVED]).splitlines()
    assert "| `wrong-value` | Off by one. | `machines/one.py` | law 1 | `lift/0` |" in lines
    assert "| `subtle` | A \\| B. | `machines/one.py` | survived 1,234 runs | - |" in lines


def test_machines_read_everything() -> None:
    """Each outcome with its fault, its catch and whether it counts."""
    first, second = json.loads(show.to_json([CAUGHT, SURVIVED]))
    assert (first["caught"], first["mutant"]["name"], first["catch"]["run"]) == (
        True,
        "wrong-value",
        "lift/0",
    )
    assert (second["caught"], second["catch"]) == (False, None)


# -- the command -------------------------------------------------------------------------


@pytest.fixture
def invoke(fake: Hunt, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command, with two faults in the small checkout."""
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app)
    faults = (VALUE, replace(VALUE, name="subtle", new="VALUE = 1\nMORE = 1\n", first=()))
    monkeypatch.setattr("simulations.mutants.MUTANTS", faults)
    monkeypatch.setattr(hunt, "Hunt", lambda: fake)
    monkeypatch.setattr("simulations.mutants.planting.ROOT", fake.root)
    return lambda *arguments: CliRunner().invoke(app, ["mutants", *arguments])


def test_the_command_fails_while_any_fault_survives(invoke: Callable[..., Any], tmp_path: Path) -> None:
    """And writes what it found where it was asked to."""
    files = tmp_path / "out.json", tmp_path / "out.md"
    result = invoke("--json", str(files[0]), "--markdown", str(files[1]), "--workers", "2")
    assert result.exit_code == 1, result.output
    assert "1 of 2 faults caught" in result.output
    assert [each["caught"] for each in json.loads(files[0].read_text())] == [True, False]
    assert "1 of 2 faults caught" in files[1].read_text()


def test_the_command_hunts_only_what_it_was_asked_for(invoke: Callable[..., Any]) -> None:
    """All of it caught: exit 0."""
    result = invoke("--only", "wrong-value")
    assert result.exit_code == 0, result.output
    assert "1 of 1 faults caught" in result.output


def test_an_unknown_fault_is_a_usage_error(invoke: Callable[..., Any]) -> None:
    """The answer names those there are."""
    result = invoke("--only", "nonsense")
    assert result.exit_code == 2
    assert "subtle" in result.output


def test_a_file_that_cannot_be_written_is_told_before_the_hunt(
    invoke: Callable[..., Any], tmp_path: Path
) -> None:
    """Nobody waits for a hunt to learn that a directory is missing."""
    (tmp_path / "no").touch()
    result = invoke("--markdown", str(tmp_path / "no" / "out.md"))
    assert result.exit_code == 2
    assert "there is no directory" in result.output
