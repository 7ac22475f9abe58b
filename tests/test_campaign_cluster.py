"""Campaigns on a Dask cluster of several processes: a worker lost in the middle costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import players
from simulations.campaign import journal
from simulations.scenarios import Scenario

pytest.importorskip("distributed", reason="the optional extra `cluster` is not installed")

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "tests" / "support" / "campaigning.py"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(DRIVER.parent)]),
}
PATIENCE_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Cluster(NamedTuple):
    """A scheduler and its workers, each a process."""

    scheduler: str
    head: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def process(*arguments: str, directory: Path, failures: int = 3) -> Iterator[subprocess.Popen[bytes]]:
    """Start a part of the cluster; it ends with the block."""
    environment = ENVIRONMENT | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(failures)}
    with (directory / "log.txt").open("ab") as log:
        argv = [sys.executable, "-m", "dask", *arguments]
        started = subprocess.Popen(argv, cwd=directory, env=environment, stdout=log, stderr=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextmanager
def cluster(directory: Path, workers: int, failures: int = 3) -> Iterator[Cluster]:
    """Start a scheduler and some workers of one thread each, without nannies that would replace them.

    The scheduler gives up on a chunk after it was lost with more than so many workers; 3 is its default.
    """
    told = directory / "scheduler.json"
    with ExitStack() as stack:
        scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        scheduler += ["--scheduler-file", str(told)]
        head = stack.enter_context(process(*scheduler, directory=directory, failures=failures))
        deadline = time.monotonic() + PATIENCE_S
        while not told.exists() or not told.read_text():
            assert time.monotonic() < deadline, (directory / "log.txt").read_text()
            time.sleep(0.05)
        address = json.loads(told.read_text())["address"]
        worker = ["worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        started = [stack.enter_context(process(*worker, directory=directory)) for _ in range(workers)]
        yield Cluster(address, head, started)


@contextmanager
def campaign(player: str, scheduler: str, out: Path, scenarios: int) -> Iterator[subprocess.Popen[str]]:
    """Start a campaign on a cluster."""
    wish = {"scheduler": scheduler, "out": str(out), "scenarios": scenarios}
    argv = [sys.executable, str(DRIVER), player, json.dumps(wish)]
    started = subprocess.Popen(
        argv, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def wait_for_runs(directory: Path, count: int) -> None:
    """Until so many runs have been written down."""
    deadline = time.monotonic() + PATIENCE_S
    while not (directory / journal.RUNS).exists() or len(list(journal.runs(directory))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("failures", [3, 0], ids=["the cluster tries again", "we do"])
def test_a_worker_killed_in_the_middle_costs_nothing(tmp_path: Path, failures: int) -> None:
    """Every run is there, once, as if nothing had happened, and is what one machine would have played."""
    with (
        cluster(tmp_path, 3, failures) as three,
        campaign("slow", three.scheduler, tmp_path / "out", 900) as started,
    ):
        wait_for_runs(tmp_path / "out", 200)
        three.workers[1].kill()
        assert len(list(journal.runs(tmp_path / "out"))) < 900
        said, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 0, said
    runs = {run.seed: run for run in journal.runs(tmp_path / "out")}
    assert Counter(run.seed for run in journal.runs(tmp_path / "out")) == Counter(range(900))
    assert runs[17].digest == players.quick(any_swarm(), 17).digest
    assert "900 runs, 0 of them failed" in said


def any_swarm() -> Scenario:
    """Any: the stand-in only looks at its name."""
    return Scenario("swarm", "", ())


def test_a_run_that_kills_its_workers_is_named(tmp_path: Path) -> None:
    """The cluster gives up on its chunk; played one by one, all others pass."""
    with (
        cluster(tmp_path, 4, failures=0) as four,
        campaign("killing", four.scheduler, tmp_path / "out", 60) as started,
    ):
        said, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 1, said
    runs = {run.seed: run for run in journal.runs(tmp_path / "out")}
    assert sorted(runs) == list(range(60))
    assert [seed for seed, run in runs.items() if not run.passed] == [players.BAD]
    assert "ended the process that played it" in said


def test_an_interrupt_forgets_what_is_under_way(tmp_path: Path) -> None:
    """130, soon; the cluster is free again, and what was written down is whole."""
    with (
        cluster(tmp_path, 2) as two,
        campaign("slow", two.scheduler, tmp_path / "out", 5000) as started,
    ):
        wait_for_runs(tmp_path / "out", 100)
        os.killpg(started.pid, signal.SIGINT)
        said, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 130, said
    assert "Traceback" not in said
    assert max(Counter(run.seed for run in journal.runs(tmp_path / "out")).values()) == 1


def test_a_cluster_that_goes_away_is_told(tmp_path: Path) -> None:
    """Exit 2; what was written down is whole, and can be resumed elsewhere."""
    with (
        cluster(tmp_path, 2) as two,
        campaign("slow", two.scheduler, tmp_path / "out", 5000) as started,
    ):
        wait_for_runs(tmp_path / "out", 100)
        two.head.kill()
        said, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 2, said
    assert "--resume" in said
    assert max(Counter(run.seed for run in journal.runs(tmp_path / "out")).values()) == 1


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Exit 2, and nothing looks like a result."""
    with campaign("quick", "tcp://127.0.0.1:9", tmp_path / "out", 10) as started:
        said, _ = started.communicate(timeout=PATIENCE_S)
    assert started.returncode == 2, said
    assert "No verdict:" in said
    assert "tcp://127.0.0.1:9" in said
