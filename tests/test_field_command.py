"""`python -m simulations field`: what it refuses, what it counts as failed, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from resilience.demo.namespaces import Lab
from simulations.field import tour
from simulations.field.commands import register
from simulations.field.runner import CancelledRaceError, Outcome
from simulations.field.seat import SeatError
from simulations.scenarios import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MISSING = Lab.missing()
GOOD = Outcome("S1", 0, "resilience", 12.0, 1.0, 0, 0, 1.0, 0.1)


def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    made.callback()(lambda: None)
    return made


def outcomes(monkeypatch: pytest.MonkeyPatch, *found: Outcome) -> None:
    """Have the command find these, without a lab."""
    monkeypatch.setattr(Lab, "missing", lambda: None)
    monkeypatch.setattr(tour, "played", lambda *_: iter(found))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "S1,carrier-pigeon"], "carrier-pigeon"),
        (["--only", "sleep"], "clocks"),
        (["--runs", "0"], "runs"),
        (["--out", "/dev/null/x"], "there is no directory /dev/null"),
    ],
    ids=["unknown", "unreal", "no runs", "no directory"],
)
def test_usage_errors_exit_with_2_and_say_why(arguments: list[str], complaint: str) -> None:
    """Before anything is played."""
    result = CliRunner().invoke(app(), ["field", *arguments], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert complaint in result.output


def test_without_a_lab_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is the lab's own."""
    monkeypatch.setattr(Lab, "missing", lambda: "The lab needs root.")
    result = CliRunner().invoke(app(), ["field"])
    assert result.exit_code == 1
    assert "The lab needs root." in result.output


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"recovery_ms": 10_001.0}, "back only after"),
        ({"recovery_ms": None}, "never back"),
        ({"repeated": 2}, "2 requests ran twice"),
        ({"died": "Traceback"}, "the client ended: Traceback"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_bad_run_among_good_ones_fails(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], complaint: str
) -> None:
    """It is named, and the exit code is 1."""
    outcomes(monkeypatch, GOOD, replace(GOOD, turn=1, **changes), replace(GOOD, turn=2))
    result = CliRunner().invoke(app(), ["field", "--only", "S1", "--runs", "3"])
    assert result.exit_code == 1
    assert f"S1, run 2: {complaint}" in result.output


def test_ten_seconds_and_ghosts_are_no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar is 10 s inclusive; a ping that was answered to nobody harms nobody."""
    outcomes(monkeypatch, replace(GOOD, recovery_ms=10_000.0, noticed_ms=None, ghosts=3))
    result = CliRunner().invoke(app(), ["field", "--only", "S1"])
    assert result.exit_code == 0
    assert "S1 link down 1 s" in result.output


def test_every_run_leaves_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Appended, with everything measured and the seed."""
    outcomes(monkeypatch, GOOD, replace(GOOD, turn=1, recovery_ms=None))
    file = tmp_path / "field.jsonl"
    file.write_text('{"older": true}\n')
    arguments = ["field", "--only", "S1", "--runs", "2", "--seed", "9", "--out", str(file)]
    assert CliRunner().invoke(app(), arguments).exit_code == 1
    older, first, second = map(json.loads, file.read_text().splitlines())
    assert older == {"older": True}
    assert first == {
        "scenario": "S1",
        "turn": 0,
        "client": "resilience",
        "recovery_ms": 12.0,
        "noticed_ms": 1.0,
        "repeated": 0,
        "ghosts": 0,
        "outage_s": 1.0,
        "processor_busy": 0.1,
        "died": "",
        "seed": 9,
    }
    assert (second["turn"], second["recovery_ms"]) == (1, None)


@pytest.mark.parametrize(
    ("failure", "code"),
    [(CancelledRaceError(), 130), (SeatError("the image", "did not bind its port", ""), 1)],
    ids=["interrupted", "a program would not start"],
)
def test_a_tour_cut_short_says_so(monkeypatch: pytest.MonkeyPatch, failure: Exception, code: int) -> None:
    """No table, the cause on the terminal, and Ctrl-C works as before."""

    def broken(*_: object) -> Iterator[Outcome]:
        raise failure

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Lab, "missing", lambda: None)
    monkeypatch.setattr(tour, "played", broken)
    result = CliRunner().invoke(app(), ["field", "--only", "S1"])
    assert result.exit_code == code
    assert str(failure) in result.output
    assert signal.getsignal(signal.SIGINT) is handler


def test_what_cannot_be_side_by_side_comes_last_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest first, every story as often as wished, and S1c with nobody beside it."""
    under_way, most, order = set[str](), dict[str, int](), list[str]()
    lock = threading.Lock()

    def heat(_: object, story: Any, turn: int, __: object, stop: threading.Event) -> list[Outcome]:
        with lock:
            under_way.add(f"{story.key}{turn}")
            order.append(story.key)
            most[story.key] = max(most.get(story.key, 0), len(under_way))
        stop.wait(0.05)
        with lock:
            under_way.remove(f"{story.key}{turn}")
        return [replace(GOOD, scenario=story.key, turn=turn)]

    monkeypatch.setattr(tour, "heat", heat)
    wish = tour.Wish(tuple(LIBRARY[key] for key in ("S1c", "S1", "S4")), runs=2, seed=1, together=4)
    found = list(tour.played(wish, threading.Event()))
    runs = [(outcome.scenario, outcome.turn) for outcome in found]
    assert sorted(runs) == [(key, turn) for key in ("S1", "S1c", "S4") for turn in (0, 1)]
    assert order[0] == "S4"
    assert order[-2:] == ["S1c", "S1c"]
    assert most["S1c"] == 1


def test_a_failure_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody plays to the end for nothing."""

    def heat(_: object, story: Any, __: int, ___: object, stop: threading.Event) -> list[Outcome]:
        if story.key == "S1":
            raise SeatError("the image", "did not bind its port", "")
        if stop.wait(60):
            raise CancelledRaceError
        return [GOOD]

    monkeypatch.setattr(tour, "heat", heat)
    wish = tour.Wish(tuple(LIBRARY[key] for key in ("S4", "S1")), runs=1, seed=1, together=2)
    with pytest.raises(SeatError):
        list(tour.played(wish, threading.Event()))


@pytest.mark.netns
@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_stories_are_played_for_real(tmp_path: Path) -> None:
    """Two stories, one of them without a fault, in labs of their own."""
    file = tmp_path / "field.jsonl"
    result = CliRunner().invoke(app(), ["field", "--only", "S3,docker", "--out", str(file)])
    assert result.exit_code == 0, result.output
    lines = {line["scenario"]: line for line in map(json.loads, file.read_text().splitlines())}
    assert set(lines) == {"S3", "docker"}
    assert 0 < lines["S3"]["recovery_ms"] < 10_000
    assert lines["docker"]["noticed_ms"] is None
