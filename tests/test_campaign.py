"""Campaigns: everything planned is played once, whatever becomes of workers, terminals and files."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

import players
from simulations.campaign import ci_slice, commands, journal, regressions, session, show, single
from simulations.campaign.conduct import CANDIDATES, Summary, replay_command
from simulations.campaign.journal import Journal, JournalError, Plan, compact
from simulations.campaign.plan import Job, chunked, named, plan, scenario
from simulations.campaign.playing import Player, play_one
from simulations.campaign.regressions import Regression
from simulations.campaign.session import Wish
from simulations.campaign.shrink import Shrinking, as_played, signature
from simulations.campaign.workers import Cores, play_all
from simulations.faults import Step, What
from simulations.results import Recovery, Run, Violation
from simulations.scenarios import Load, Scenario, steps
from simulations.swarm import Fixed, swarm
from simulations.trace import Kind, Trace

ROOT = Path(__file__).resolve().parent.parent
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


# -- the plan --------------------------------------------------------------------------------


def test_a_plan_mixes_named_scenarios_and_random_trouble() -> None:
    """A quarter is of the library, evenly; the rest is random; no run is planned twice."""
    jobs = list(plan(2000, 5))
    assert len(set(jobs)) == len(jobs) == 2000
    each = Counter(job.label for job in jobs)
    assert each.pop("swarm") == 1500
    assert set(each) == set(named())
    assert max(each.values()) - min(each.values()) <= 1
    assert min(job.seed for job in jobs) == 5


def test_a_longer_plan_begins_as_a_shorter_one() -> None:
    """Resuming a campaign with more runs does not throw away what was played."""
    assert list(plan(500, 1))[:100] == list(plan(100, 1))


@pytest.mark.parametrize("only", [["swarm"], ["commuter"], ["lift", "swarm"], ["commuter", "lift"]])
def test_a_plan_can_be_narrowed(only: list[str]) -> None:
    """Only what is named is played, still as often as asked for."""
    jobs = list(plan(100, 0, only))
    assert {job.label for job in jobs} == set(only)
    assert len(set(jobs)) == 100


def test_an_unknown_scenario_is_refused_by_name() -> None:
    """A typing error shows what there is."""
    with pytest.raises(LookupError, match=r"'comuter'; there are .*commuter.*swarm"):
        scenario("comuter", 0)


def test_the_ci_slice_holds_everything_that_must_not_break_again() -> None:
    """All regressions first, every named scenario, and random trouble; the same each time."""
    jobs = ci_slice()
    count = len(regressions.load())
    assert [job.label for job in jobs[:count]] == [f"regression {n + 1}" for n in range(count)]
    assert set(named()) <= {job.label for job in jobs}
    assert sum(job.label == "swarm" for job in jobs) > 100
    assert len({(job.label, job.seed) for job in jobs}) == len(jobs)
    assert ci_slice() == jobs


def test_chunks_hold_every_job_once() -> None:
    """Nothing is lost at the edges."""
    jobs = [Job("swarm", seed) for seed in range(103)]
    chunks = list(chunked(jobs, 50))
    assert [len(chunk) for chunk in chunks] == [50, 50, 3]
    assert [job for chunk in chunks for job in chunk] == jobs


# -- the journal -----------------------------------------------------------------------------


def journal_with(directory: Path, *chunks: list[Run]) -> Path:
    """Write some chunks; returns the file."""
    with Journal.begin(directory, Plan(100, 0)) as kept:
        for chunk in chunks:
            kept.append(chunk)
    return directory / journal.RUNS


def test_runs_are_read_as_they_were_written(tmp_path: Path) -> None:
    """But for counts and times, which stand in the sums, and digits nobody needs."""
    journal_with(tmp_path, [RICH_RUN, replace(RICH_RUN, seed=2)], [replace(RICH_RUN, seed=3, recoveries=())])
    read = list(journal.runs(tmp_path))
    assert [run.seed for run in read] == [123_456, 2, 3]
    assert read[0].recoveries[0] == replace(RICH_RUN.recoveries[0], whole_at=12.34568, total_s=0.12346)
    assert read[2].recoveries == ()
    whole = journal.totals(tmp_path)
    assert (whole.runs, round(whole.played_s, 6), whole.counts["fault: number 7"]) == (3, 0.15, 21)


def test_a_line_is_small_and_the_same_on_every_machine() -> None:
    """A hundred thousand runs stay near 100 MB, and a run played again gives the same line."""
    assert len(compact(RICH_RUN)) < 1000
    assert compact(replace(RICH_RUN, took_s=9.0)) == compact(RICH_RUN)


def test_violations_survive_the_journal(tmp_path: Path) -> None:
    """Whoever reads a campaign finds its failures."""
    broken = players.failing(swarm(7), 7)
    journal_with(tmp_path, [broken])
    assert list(journal.runs(tmp_path)) == [broken]


def test_a_torn_end_is_cut_wherever_it_was_torn(tmp_path: Path) -> None:
    """Whatever a crash leaves of the file, the whole chunks are read, and adding to them works."""
    file = journal_with(tmp_path, [RICH_RUN], [replace(RICH_RUN, seed=2), replace(RICH_RUN, seed=3)])
    whole = file.read_bytes()
    first = whole.index(b"}\n", whole.index(b'"chunk"')) + 2
    for cut in [*range(0, len(whole), 7), len(whole) - 1]:
        file.write_bytes(whole[:cut])
        kept = [123_456] if cut >= first else []
        assert [run.seed for run in journal.runs(tmp_path)] == kept
        with Journal.resume(tmp_path, Plan(100, 0)) as again:
            again.append([replace(RICH_RUN, seed=4)])
        assert [run.seed for run in journal.runs(tmp_path)] == [*kept, 4]


@pytest.mark.parametrize("damage", [b"{]\n", b'{"scenario":"swarm"}\n', b"7\n", b"\xff\n"])
def test_damage_in_the_middle_is_named(tmp_path: Path, damage: bytes) -> None:
    """A campaign that is not whole proves nothing, and does not look as if it did."""
    file = journal_with(tmp_path, [RICH_RUN], [replace(RICH_RUN, seed=2)])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1] + damage + lines[3])
    with pytest.raises(JournalError, match="line 3 is damaged"):
        list(journal.runs(tmp_path))


def test_a_chunk_that_lacks_a_run_is_named(tmp_path: Path) -> None:
    """The commit says how many there were."""
    file = journal_with(tmp_path, [RICH_RUN, replace(RICH_RUN, seed=2)])
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[2])
    with pytest.raises(JournalError, match="not all runs of its chunk"):
        list(journal.runs(tmp_path))


def test_a_new_campaign_moves_the_old_one_aside(tmp_path: Path) -> None:
    """One slip of the hand does not cost an hour of results."""
    journal_with(tmp_path, [RICH_RUN])
    journal_with(tmp_path, [replace(RICH_RUN, seed=2)])
    assert [run.seed for run in journal.runs(tmp_path)] == [2]
    assert [run.seed for run in journal.runs(tmp_path / journal.BEFORE)] == [123_456]


# -- workers ---------------------------------------------------------------------------------


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


# -- a campaign ------------------------------------------------------------------------------


def test_a_clean_campaign_says_what_it_exercised(tmp_path: Path, capfd: Any) -> None:
    """Exit 0, every run in the journal, rates and faults in the summary."""
    kept = tmp_path / "regressions.jsonl"
    assert campaign(Wish(80, out=tmp_path, workers=2), players.quick) == 0
    assert len(list(journal.runs(tmp_path))) == 80
    said = capfd.readouterr().out
    assert "80 runs, 0 of them failed" in said
    assert "a second and core" in said
    assert "link down" in said
    assert "160" in said
    assert not kept.exists()


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


# -- regressions -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_regression_is_read_as_it_was_written(seed: int) -> None:
    """Steps, images, name and load: all that the run depends on."""
    original = swarm(seed)
    entry = Regression.parse(str(Regression.of(original, seed, [11, 2, 11], date(2026, 11, 24), "a story")))
    assert (entry.laws, entry.story, entry.found) == ((2, 11), "a story", "2026-11-24")
    again = entry.scenario()
    for field in ("key", "steps", "images", "named", "load"):
        assert getattr(again, field) == getattr(original, field)
    assert isinstance(again, Fixed)


def test_a_named_scenario_is_kept_with_its_dice() -> None:
    """Its times are nominal, so they are paced again as they were."""
    original = scenario("commuter", 3)
    again = Regression.parse(str(Regression.of(original, 3, [4], date(2026, 11, 24)))).scenario()
    assert not isinstance(again, Fixed)
    assert again.paced(random.Random("x")) == original.paced(random.Random("x"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nonsense", "line 2: "),
        ('{"seed": 1}', "line 2: it lacks something or has too much: 'scenario'"),
        ('{"scenario":"x","seed":1,"steps":[],"found":"2026-11-24","laws":[],"more":1}', "'more'"),
        ('{"scenario":"x","seed":1,"steps":["1 fly"],"found":"2026-11-24","laws":[]}', "'1 fly' is no step"),
        ('{"scenario":"x","seed":1,"steps":[],"found":"yesterday","laws":[]}', "yesterday"),
        (
            '{"scenario":"x","seed":1,"steps":["1 image kill #1"],"found":"2026-11-24","laws":[]}',
            "beyond the 1",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    """The file is edited by hand: whoever breaks it is told where."""
    file = tmp_path / "r.jsonl"
    good = str(Regression.of(swarm(1), 1, [1], date(2026, 11, 24)))
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(ValueError, match=r"r\.jsonl, line 2: ") as refusal:
        regressions.load(file)
    assert complaint in str(refusal.value)


def test_a_shrunk_failure_takes_the_place_of_its_candidate(tmp_path: Path) -> None:
    """One bug is one line; what has a story is never overwritten by another."""
    file = tmp_path / "r.jsonl"
    found = date(2026, 11, 24)
    assert regressions.keep(Regression.of(swarm(1), 1, [1], found), file) == 1
    assert regressions.keep(Regression.of(swarm(2), 2, [1], found), file) == 2
    small = Fixed.of(swarm(1), steps("1 drop"))
    assert regressions.keep(Regression.of(small, 1, [1], date(2026, 12, 1), "why"), file) == 1
    assert [each.story for each in regressions.load(file)] == ["why", ""]
    assert regressions.load(file)[0].found == "2026-11-24"
    other = Fixed.of(swarm(1), steps("2 kill"))
    assert regressions.keep(Regression.of(other, 1, [2], found, "another"), file) == 3
    assert [each.story for each in regressions.load(file)] == ["why", "", "another"]


def test_every_regression_has_its_story() -> None:
    """A candidate is looked at, understood and told before it is committed."""
    assert [entry for entry in regressions.load() if not entry.story] == []


def test_every_regression_replays_clean() -> None:
    """What was found once is never broken again."""
    from simulations.virtual.play import play  # noqa: PLC0415 - the whole product comes with it

    broken = {
        number: run.violations
        for number, entry in enumerate(regressions.load(), 1)
        if not (run := play(entry.scenario(), entry.seed)).passed
    }
    assert broken == {}


# -- shrinking -------------------------------------------------------------------------------


def drop_then_save_on_two_images(scenario: Scenario) -> bool:
    """Fail if a drop lasts longer than a second and the last of two images saves for over 2 s meanwhile."""
    drop = next((step.at_s for step in scenario.steps if step.what is What.DROP), None)
    undrop = next((step.at_s for step in scenario.steps if step.what is What.UNDROP), None)
    saves = [step for step in scenario.steps if step.what is What.IMAGE_SAVE and step.value > 2]
    return (
        scenario.images >= 2
        and drop is not None
        and undrop is not None
        and undrop - drop > 1
        and any(drop < save.at_s < undrop and save.image == scenario.images - 1 for save in saves)
    )


def test_shrinking_leaves_the_essentials() -> None:
    """From a long schedule with four images only what the failure needs is left, in round figures."""
    noise = [step for seed in range(4) for step in swarm(seed).steps if step.image <= 0]
    wanted = steps("5.123 drop", "6.777 image save 7.321 #3", "9.871 undrop")
    whole = sorted([*noise[:20], *wanted])
    begin = Fixed("swarm", "t", tuple(whole), images=4, named=True, load=Load(0.2, 0.5))
    assert drop_then_save_on_two_images(begin)
    told: list[int] = []
    search = Shrinking(drop_then_save_on_two_images, lambda smaller, _: told.append(len(smaller.steps)))
    smallest = search.smallest(begin)
    assert [str(step) for step in smallest.steps] == ["0 drop", "0.01 image save 7 #1", "1.01 undrop"]
    assert (smallest.images, smallest.named, smallest.load) == (2, False, Load())
    assert told == sorted(told, reverse=True)
    assert search.tries < 300


def test_shrinking_never_leaves_the_failure() -> None:
    """Whatever fails, what is left of it fails too, and no single step can go."""
    for seed in range(30):
        begin = swarm(seed)
        dice = random.Random(seed)
        needed = {dice.choice(begin.steps).what for _ in range(3)}

        def fails(candidate: Scenario, needed: set[What] = needed) -> bool:
            return needed <= {step.what for step in candidate.steps}

        smallest = Shrinking(fails).smallest(begin)
        assert fails(smallest)
        assert len(smallest.steps) == len(needed)


def test_shrinking_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that needs nearly everything costs a bounded number of runs."""
    monkeypatch.setattr("simulations.campaign.shrink.MAX_TRIES", 50)
    begin = swarm(4)
    search = Shrinking(lambda candidate: len(candidate.steps) >= len(begin.steps) - 1)
    assert len(search.smallest(begin).steps) == len(begin.steps) - 1
    assert search.tries == 50


def test_different_exceptions_are_different_failures() -> None:
    """Shrinking does not wander from one bug to another."""
    of = [
        signature(Run("x", 1, "", 0, (Violation(law, 0, 0, what),)))
        for law, what in [(0, "KeyError: a"), (0, "KeyError: b"), (0, "OSError: a"), (3, "b"), (3, "c")]
    ]
    assert of[0] == of[1] != of[2] != of[3] == of[4]


def test_a_named_scenario_is_shrunk_from_the_times_it_was_played_with() -> None:
    """The virtual world paces it by the same dice."""
    from simulations.virtual.play import trace  # noqa: PLC0415 - the whole product comes with it

    library = scenario("commuter", 3)
    kept, run = trace(library, 3)
    fixed = as_played(library, 3)
    seen = [str(entry.data["step"]) for entry in kept.of(Kind.FAULT)]
    assert seen[: len(fixed.steps)] == [str(step) for step in fixed.steps]
    assert trace(fixed, 3)[1].digest == run.digest


def needs_portal(scenario: Scenario, seed: int) -> Run:
    """Break law 5 whenever there is a portal."""
    bad = any(step.what is What.PORTAL_ON for step in scenario.steps)
    violations = (Violation(5, 1.0, 0, "wedged"),) if bad else ()
    return Run(scenario.key, seed, "", 10.0, violations)


def test_the_command_prints_the_steps_and_keeps_them_with_a_story(tmp_path: Path, capfd: Any) -> None:
    """What is printed can be played again from a file, and from the regression file."""
    file = tmp_path / "r.jsonl"
    assert single.shrink(single.chosen("swarm", 1), "", needs_portal, file) == 0
    said = capfd.readouterr()
    assert said.out.splitlines() == ["0 portal on"]
    assert "--keep" in said.err
    assert not file.exists()
    assert single.shrink(single.chosen("swarm", 1), "portal wedges", needs_portal, file) == 0
    (entry,) = regressions.load(file)
    assert (entry.steps, entry.laws, entry.story) == (("0 portal on",), (5,), "portal wedges")
    (tmp_path / "steps.txt").write_text("0 portal on\n\n")
    assert single.chosen("swarm", 1, steps=tmp_path / "steps.txt").scenario.steps == entry.scenario().steps


def test_what_does_not_fail_is_not_shrunk(tmp_path: Path, capfd: Any) -> None:
    """Said, with exit 1."""
    assert single.shrink(single.chosen("swarm", 3), "", players.quick, tmp_path / "r") == 1
    assert "breaks no law" in capfd.readouterr().err


# -- telling ---------------------------------------------------------------------------------


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
    for seed, (total_s, final) in enumerate(
        [(1.0, True), (9.0, False), (2.0, True), (None, True), (0.5, True)]
    ):
        whole.add(Run("x", seed, "", 1.0, recoveries=(Recovery(0, 1.0, total_s, final=final),)))
    assert (whole.worst_s, whole.worst_run) == (2.0, "x 2")


def test_the_replay_command_leads_back_to_the_run() -> None:
    """By name and seed, or by its line in the regression file."""
    run = players.failing(swarm(7), 7)
    assert replay_command(run) == "python -m simulations replay swarm 7"
    assert (
        replay_command(replace(run, scenario="regression 3")) == "python -m simulations replay --regression 3"
    )


# -- the command line ------------------------------------------------------------------------


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
        (["replay"], "name a scenario and a seed"),
        (["replay", "swarm", "1", "--regression", "1"], "name a scenario and a seed"),
        (["replay", "comuter", "1"], "there is no scenario"),
        (["replay", "lift", "3", "--trace", "nowhere/at/all.jsonl"], "there is no directory"),
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
