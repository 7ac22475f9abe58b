"""The directory of a campaign: nobody writes over it, two never write to it, no failure is lost from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import players
from campaign_bench import ENVIRONMENT, RICH_RUN, campaign, journal_with, seeds, wish
from simulations.campaign import journal, session
from simulations.campaign.claim import ClaimedError, claim
from simulations.campaign.journal import Journal, JournalError, Plan
from simulations.campaign.session import Wish
from simulations.results import Run

HOLDER = """
import pathlib, sys, time
from simulations.campaign.claim import claim
held = claim(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def bad_seeds(directory: Path) -> list[int]:
    lines = (directory / journal.FAILURES).read_text().splitlines()
    return sorted(json.loads(line)["seed"] for line in lines)


# -- what is there stays ---------------------------------------------------------------------------


def test_who_cannot_play_leaves_the_directory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """Twice a scheduler that is not there: the campaign from before is where it was."""

    def absent(*_: object) -> None:
        raise OSError("no scheduler there")

    assert campaign(wish(tmp_path, 20), players.quick) == 0
    monkeypatch.setattr(session, "Cores", absent)
    for _ in range(2):
        assert campaign(wish(tmp_path, 20), players.quick) == session.CANNOT
    assert len(list(journal.runs(tmp_path))) == 20
    assert not (tmp_path / journal.BEFORE).exists()
    assert "no scheduler there" in capfd.readouterr().err


def test_no_campaign_is_deleted_for_a_new_one(tmp_path: Path, capfd: Any) -> None:
    """Each goes to a place of its own, and which one is said."""
    for count in (1, 2, 3):
        assert campaign(wish(tmp_path, count), players.quick) == 0
    places = [tmp_path, tmp_path / "before-2", tmp_path / "before"]
    assert [len(list(journal.runs(place))) for place in places] == [3, 2, 1]
    assert f"is in {tmp_path / 'before-2'} now" in capfd.readouterr().err


# -- one writes at a time --------------------------------------------------------------------------


def test_a_second_campaign_in_one_directory_is_refused(tmp_path: Path, capfd: Any) -> None:
    """With the process that plays there; begun anew or resumed, nothing is moved or written."""
    with Journal.begin(tmp_path, Plan(100, 0, code=journal.fingerprint())) as playing:
        playing.append([RICH_RUN])
        for resume in (False, True):
            again = Wish(resume=resume, out=tmp_path, workers=1)
            assert campaign(again, players.quick) == session.CANNOT
            said = capfd.readouterr().err
            assert f"another campaign is writing to {tmp_path} (process {os.getpid()})" in said
            assert "name another --out" in said
    assert len(list(journal.runs(tmp_path))) == 1
    assert campaign(wish(tmp_path, 5), players.quick) == 0


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    """However it ends: nobody has to remove anything by hand."""
    argv = [sys.executable, "-c", HOLDER, str(tmp_path)]
    other = subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    with other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(ClaimedError, match=f"process {other.pid}"):
                claim(tmp_path)
        finally:
            other.kill()
    claim(tmp_path).close()


def test_a_run_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    """Whatever wrote it: counted twice it would prove more than was played."""
    file = journal_with(tmp_path, [RICH_RUN])
    file.write_bytes(file.read_bytes() * 2)
    with pytest.raises(JournalError, match=r"line 3: swarm 123456 stands there twice"):
        list(journal.runs(tmp_path))


# -- failures are kept -----------------------------------------------------------------------------


def test_a_failure_that_could_not_be_kept_is_played_and_kept_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full between the run and its failure costs neither."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "failed", full)
        assert campaign(wish(tmp_path, 20), players.failing) == session.CANNOT
    assert campaign(Wish(resume=True, workers=1, out=tmp_path, keep=True), players.failing) == 1
    assert bad_seeds(tmp_path) == [7, 17]
    assert sorted(seeds(tmp_path)) == list(range(20))
    assert len((tmp_path / "regressions.jsonl").read_text().splitlines()) == 2


def test_a_failure_is_kept_once_though_its_run_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept, but never committed; and the last line was torn off."""

    def full(_self: Journal, _: list[Run]) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", full)
        assert campaign(Wish(20, only=("swarm",), workers=1, out=tmp_path), players.failing) == session.CANNOT
    with (tmp_path / journal.FAILURES).open("a") as file:
        file.write('{"replay":"torn of')
    assert campaign(Wish(resume=True, workers=1, out=tmp_path), players.failing) == 1
    assert bad_seeds(tmp_path) == [7, 17]


# -- a plan that is resumed ------------------------------------------------------------------------


def test_a_plan_does_not_become_shorter(tmp_path: Path, capfd: Any) -> None:
    """What was planned is to be played; a slip of the hand would call it done."""
    assert campaign(wish(tmp_path, 30), players.quick) == 0
    assert campaign(Wish(29, resume=True, out=tmp_path), players.quick) == session.CANNOT
    assert "30 runs are planned" in capfd.readouterr().err
    assert journal.read_plan(tmp_path).scenarios == 30
    assert campaign(Wish(31, resume=True, workers=1, out=tmp_path), players.quick) == 0
    assert len(list(journal.runs(tmp_path))) == 31
