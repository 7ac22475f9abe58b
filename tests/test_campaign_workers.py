"""Campaigns: everything planned is played once, whatever becomes of workers, terminals and files."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import players
from campaign_bench import (
    DRIVER,
    ENVIRONMENT,
    PATIENCE_S,
    RICH_RUN,
    campaign,
    journal_with,
    seeds,
    wish,
)
from simulations.campaign import journal, regressions, session
from simulations.campaign.conduct import CANDIDATES
from simulations.campaign.plan import Job, chunked
from simulations.campaign.playing import Player, play_one
from simulations.campaign.session import Wish
from simulations.campaign.workers import Cores, play_all
from simulations.results import Run
from simulations.swarm import swarm

# -- workers ---------------------------------------------------------------------------------------


@contextmanager
def two_cores(player: Player, limit_s: float = 30.0) -> Iterator[Cores]:
    pool = Cores(2, player, limit_s)
    try:
        yield pool
    except BaseException:
        pool.kill()
        raise
    pool.close()


def played(player: Player, count: int = 60, limit_s: float = 30.0) -> dict[int, Run]:
    """Play so many seeds in chunks of eight; each must come back once."""
    jobs = (Job("swarm", seed) for seed in range(count))
    with two_cores(player, limit_s) as pool:
        runs = [run for runs in play_all(chunked(jobs, 8), pool, threading.Event()) for run in runs]
    assert sorted(run.seed for run in runs) == list(range(count))
    return {run.seed: run for run in runs}


def one_failure(runs: dict[int, Run]) -> str:
    """Give what is said of the bad seed; all others must have passed."""
    assert [seed for seed, run in runs.items() if not run.passed] == [players.BAD]
    (violation,) = runs[players.BAD].violations
    assert violation.law == 0
    return violation.what


def test_all_cores_play_every_run_once() -> None:
    """The plain case, with what each run told."""
    runs = played(players.quick)
    assert runs[17] == players.quick(swarm(17), 17)


def test_an_exception_is_a_result() -> None:
    """The run that raises is a failure that says where; its chunk goes on."""
    what = one_failure(played(players.raising))
    assert re.fullmatch(r"KeyError: 'no such thing'; at tests/support/players\.py:\d+ in raising", what)


def test_a_run_that_kills_its_worker_is_named_and_nothing_else_is_lost() -> None:
    """The chunk is played again, then its runs one by one."""
    assert one_failure(played(players.killing)) == "ended the process that played it"


def test_a_worker_that_dies_by_chance_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is played once more and passes has passed."""
    monkeypatch.setenv("DIED_ALREADY", str(tmp_path / "once"))
    assert all(run.passed for run in played(players.dying_once).values())
    assert (tmp_path / "once").exists()


def test_a_run_that_hangs_is_interrupted_and_says_where() -> None:
    """Its worker goes on with the next."""
    what = one_failure(played(players.hanging, 16, limit_s=1.0))
    assert what.startswith("took more than 1 s; was at tests/support/players.py:")
    assert what.endswith("in hanging")


def test_a_run_that_cannot_be_interrupted_ends_with_its_process(capfd: pytest.CaptureFixture[str]) -> None:
    """Some code catches everything; the hard limit does not ask."""
    assert one_failure(played(players.deaf, 16, limit_s=1.0)) == "ended the process that played it"
    assert "in deaf" in capfd.readouterr().err


def test_a_result_in_time_is_not_disturbed_by_its_guard() -> None:
    """The limit of one run never hits the next."""
    for _ in range(20):
        run = play_one(Job("swarm", 1), players.slow, 0.02)
        assert run.passed or run.violations[0].what.startswith("took more than 0.02 s")
    assert play_one(Job("swarm", 1), players.slow).passed


def test_processes_are_replaced_before_they_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A campaign is played by more processes than it has cores; what the old ones were given is all kept."""
    monkeypatch.setattr("simulations.campaign.workers.POOL_LIFE", 5)
    monkeypatch.setattr("simulations.campaign.workers.AHEAD", 8)
    runs = played(players.telling, 300)
    assert len({run.digest for run in runs.values()}) > 2


def test_stopping_keeps_what_was_played() -> None:
    """Each chunk under way ends after the run under way, and what it holds is given."""
    stop = threading.Event()
    jobs = (Job("swarm", seed) for seed in range(100_000))
    chunks = itertools.chain([(Job("swarm", 100_000),)], chunked(jobs, 1000))
    with two_cores(players.slow) as pool:
        runs = []
        for some in play_all(chunks, pool, stop):
            runs += some
            stop.set()
    assert 1 <= len(runs) < 1000
    assert all(run.passed for run in runs)


def test_other_code_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> None:
    """A worker whose checkout differs proves nothing about this one."""
    monkeypatch.setattr("simulations.campaign.workers.fingerprint", lambda: "0123456789ab")
    assert campaign(wish(tmp_path), players.quick) == session.CANNOT
    assert "the campaign 0123456789ab" in capfd.readouterr().err


# -- a campaign ------------------------------------------------------------------------------------


def test_a_clean_campaign_says_what_it_exercised(tmp_path: Path, capfd: Any) -> None:
    """Exit 0, every run in the journal, rates and faults in the summary."""
    kept = tmp_path / "regressions.jsonl"
    begun = datetime.now(UTC).date()
    assert campaign(Wish(80, out=tmp_path, workers=2), players.quick) == 0
    assert len(list(journal.runs(tmp_path))) == 80
    said = capfd.readouterr().out
    assert "80 runs, 0 of them failed" in said
    assert "a second and core" in said
    assert "link down" in said
    assert "160" in said
    assert not kept.exists()
    machine = journal.read_plan(tmp_path).machine
    assert machine["Python"] == platform.python_version()
    assert date.fromisoformat(machine["date"]) >= begun


def test_failures_are_told_kept_and_played_first_ever_after(tmp_path: Path, capfd: Any) -> None:
    """Exit 1; how to play a failure again; a few candidates; and the next campaign begins with them."""
    kept = tmp_path / "regressions.jsonl"
    assert campaign(wish(tmp_path, keep=True), players.failing) == 1
    said = capfd.readouterr()
    assert "LAW 11 executed twice" in said.err
    assert "python -m simulations replay swarm " in said.err
    assert "20 of them failed" in said.out
    failures = [json.loads(line) for line in (tmp_path / journal.FAILURES).read_text().splitlines()]
    assert sorted(each["seed"] for each in failures) == list(range(7, 200, 10))
    candidates = regressions.load(kept)
    assert len(candidates) == CANDIDATES
    assert all(each.laws == (11,) and not each.story for each in candidates)
    assert candidates[0].scenario().steps == swarm(candidates[0].seed).steps
    assert campaign(wish(tmp_path, 1), players.failing) == 1
    again = [(run.scenario, run.passed) for run in journal.runs(tmp_path)]
    assert sorted(again) == [*((f"regression {n + 1}", False) for n in range(CANDIDATES)), ("swarm", True)]
    assert "replay --regression 1" in capfd.readouterr().err
    assert len(regressions.load(kept)) == CANDIDATES


def test_a_resumed_campaign_plays_the_rest(tmp_path: Path, capfd: Any) -> None:
    """What is there counts, failures too; more may be asked for; nothing is played twice."""
    assert campaign(wish(tmp_path, 100), players.failing) == 1
    assert campaign(Wish(scenarios=150, resume=True, workers=2, out=tmp_path, keep=False), players.quick) == 1
    assert seeds(tmp_path) == Counter(range(150))
    assert "150 runs, 10 of them failed" in capfd.readouterr().out
    assert campaign(Wish(resume=True, workers=2, out=tmp_path, keep=False), players.raising) == 1
    assert seeds(tmp_path) == Counter(range(150))


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"seed": 5}, "--resume goes on with"),
        ({"only": ("lift",)}, "goes on with"),
        ({"ci": True}, "goes on with"),
    ],
)
def test_another_campaign_is_not_resumed(
    tmp_path: Path, capfd: Any, more: dict[str, Any], complaint: str
) -> None:
    """Results of two plans do not end up in one directory."""
    journal_with(tmp_path, [RICH_RUN])
    (tmp_path / journal.PLAN).write_text(
        json.dumps({"scenarios": 9, "seed": 0, "only": ["swarm"], "ci": False, "code": journal.fingerprint()})
    )
    assert campaign(Wish(**{"resume": True, "out": tmp_path, **more}), players.quick) == session.CANNOT
    assert complaint in capfd.readouterr().err


def test_a_campaign_of_other_code_is_not_resumed(tmp_path: Path, capfd: Any) -> None:
    """A result proves something about one version only."""
    journal_with(tmp_path, [RICH_RUN])
    assert campaign(Wish(resume=True, out=tmp_path), players.quick) == session.CANNOT
    assert "the code has changed" in capfd.readouterr().err


def test_nothing_to_resume_is_said(tmp_path: Path, capfd: Any) -> None:
    """A directory without a campaign is named."""
    assert campaign(Wish(resume=True, out=tmp_path), players.quick) == session.CANNOT
    assert "there is no campaign in" in capfd.readouterr().err


def test_a_campaign_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """What is under way is finished; it can be resumed."""
    assert campaign(wish(tmp_path, 100_000, minutes=0.01), players.slow) == 0
    assert 0 < len(list(journal.runs(tmp_path))) < 50_000


@contextmanager
def campaign_process(player: str, **wish: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a campaign as a terminal would: a process group of its own."""
    argv = [sys.executable, str(DRIVER), player, json.dumps({"workers": 2, **wish})]
    process = subprocess.Popen(
        argv, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stderr.close()


def wait_for_runs(directory: Path, count: int) -> None:
    """Until so many runs have been written down."""
    deadline = time.monotonic() + PATIENCE_S
    while not (directory / journal.RUNS).exists() or len(list(journal.runs(directory))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_interrupt_keeps_what_is_done_and_the_rest_is_resumed(tmp_path: Path) -> None:
    """Ctrl-C, as a terminal sends it: 130, no traceback; --resume completes it, no run is played twice."""
    with campaign_process("slow", scenarios=1000, out=str(tmp_path)) as process:
        wait_for_runs(tmp_path, 100)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors
    done = len(list(journal.runs(tmp_path)))
    assert 100 <= done < 1000
    assert campaign(Wish(resume=True, out=tmp_path, workers=2, keep=False), players.quick) == 0
    assert seeds(tmp_path) == Counter(range(1000))


def test_a_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    """Nobody has to wait for a run that hangs."""
    with campaign_process("hanging", scenarios=100, out=str(tmp_path)) as process:
        wait_for_runs(tmp_path, 20)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE_S / 2)
    assert process.returncode == 130


def test_workers_do_not_outlive_a_killed_campaign(tmp_path: Path) -> None:
    """`kill -9` of the campaign ends its workers; what was committed is whole."""
    with campaign_process("slow", scenarios=100_000, out=str(tmp_path)) as process:
        wait_for_runs(tmp_path, 50)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.wait()
    assert workers
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert max(seeds(tmp_path).values()) == 1
