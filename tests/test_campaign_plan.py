"""What a campaign plays, and the file it writes down what it played in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import players
from campaign_bench import RICH_RUN, journal_with
from simulations.campaign import ci_slice, journal, regressions
from simulations.campaign.journal import Journal, JournalError, Plan, compact
from simulations.campaign.plan import Job, chunked, named, plan, scenario
from simulations.swarm import swarm

# -- the plan --------------------------------------------------------------------------------------


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


# -- the journal -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "damage", [b"{]\n", b'{"scenario":"swarm"}\n', b"7\n", b'"x"\n', b"null\n", b"\xff\n"]
)
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
