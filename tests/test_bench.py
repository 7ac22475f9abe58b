"""The bench: scenarios break what they say, every client is judged by one rule, and verdicts are honest."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from resilience.demo.namespaces import Lab
from simulations import bench
from simulations.__main__ import app
from simulations.field import cost
from simulations.field.cost import Costs
from simulations.field.player import play
from simulations.field.report import (
    Bar,
    field_bars,
    legend_rows,
    markdown_table,
    recovery_groups,
    recovery_rows,
    spread,
)
from simulations.field.runner import CancelledRaceError, Outcome, Race, run
from simulations.field.score import executions, noticed_at, recovered_at, score
from simulations.field.seat import Seat, SeatError
from simulations.scenarios import SCENARIOS, Scenario, Told, dice_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MISSING = Lab.missing()

COSTS = Costs({"nothing": 10.0, "pyzmq": 40.0, "resilience": 130.0}, 0.2, 0.1, 320)


def in_lab(test: Callable[..., None]) -> Callable[..., None]:
    skipped = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))(test)
    marked: Callable[..., None] = pytest.mark.netns(skipped)
    return marked


def probe(name: str, t0: float, t: float, *, ok: bool) -> dict[str, Any]:
    return {"event": "probe", "id": name, "t0": t0, "t": t, "ok": ok}


def outcome(scenario: str, client: str, recovery_ms: float | None, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "turn": 0,
        "noticed_ms": 300.0,
        "repeated": 0,
        "ghosts": 0,
        "outage_s": 1.0,
        "processor_busy": 0.1,
    }
    return Outcome(scenario=scenario, client=client, recovery_ms=recovery_ms, **{**fields, **changes})


def verdicts(*outcomes: Outcome) -> dict[str, str]:
    return {bar.what: str(bar) for bar in field_bars(outcomes)}


# --- the faults, played for real --------------------------------------------------------------------

# How much of the nominal length is played, and how long the shortest single outage then lasts.
PLAYED = {
    "S1": (0.3, 0.3),
    "S1c": (0.3, 0.3),
    "S2": (0.05, 0.4),
    "S3": (1.0, 0.3),
    "S4": (0.1, 0.6),
    "S5": (0.2, 0.4),
    "S6": (0.4, 0.28),
    "S7": (0.02, 0.9),
}


@in_lab
@pytest.mark.parametrize("key", SCENARIOS)
def test_a_scenario_breaks_the_path_and_says_when_it_is_back(key: str) -> None:
    """Nothing is answered from each fault on for as long as it lasts, and a fresh connect works after."""
    pace, down_s = PLAYED[key]
    with Seat("tcp_floor") as seat:
        wait_until(seat.started)
        steps = SCENARIOS[key].paced(random.Random(1), pace)
        before = time.monotonic()
        window = play(steps, seat, time.sleep)
        assert before <= window.faults[0] < window.path_back <= time.monotonic()
        wait_until(lambda: seat.recovered(window.path_back))
        answers = [line["t"] for line in seat.printed() if line["ok"]]
    assert len(window.faults) == (5 if key == "S6" else 1)
    for fault in window.faults:
        under_way = fault + 0.05  # an answer on its way as the fault struck is none of ours
        silent_until = min(t for t in answers if t > under_way)
        assert silent_until - fault > 0.85 * down_s, "answered in the middle of the outage"
    last = window.path_back - window.faults[-1]
    assert 0.85 * down_s < last < 3 * down_s + 3, "the path was declared back too early or far too late"


@in_lab
def test_a_heat_measures_all_its_clients_under_one_fault() -> None:
    """Each client gets its own verdict, and the same outage to within what starting apart allows."""
    race = Race([SCENARIOS["S3"]], ("tcp_floor", "dealer_tuned"), lambda _: 1, seed=3, pace=0.9)
    told: list[str] = []
    outcomes = {o.client: o for o in run(race, threading.Event(), told.append)}
    assert set(outcomes) == {"tcp_floor", "dealer_tuned"}
    floor, dealer = outcomes["tcp_floor"], outcomes["dealer_tuned"]
    assert floor.recovery_ms is not None
    assert dealer.recovery_ms is not None
    assert floor.recovery_ms < dealer.recovery_ms < 10_000
    assert abs(floor.outage_s - dealer.outage_s) < 0.1
    assert (dealer.repeated, floor.ghosts) == (0, 0)
    assert told == ["S3 round 1: tcp_floor, dealer_tuned"]


@in_lab
def test_a_race_can_be_stopped() -> None:
    """A request to stop ends the race in the middle of an outage, not after it."""
    stop = threading.Event()
    race = Race([SCENARIOS["S7"]], ("tcp_floor",), lambda _: 1, seed=3)
    stopper = threading.Timer(3.0, stop.set)
    stopper.start()
    began = time.monotonic()
    with pytest.raises(CancelledRaceError):
        list(run(race, stop, lambda _: None))
    stopper.join()
    assert time.monotonic() - began < 30


@in_lab
def test_a_client_that_ends_by_itself_is_not_taken_for_a_slow_one() -> None:
    """A crash is reported as one, in the race and before it."""
    with Seat("tcp_floor") as seat:
        wait_until(seat.started)
        assert seat.died() == ""
        seat._process.kill()
        seat._process.wait()
        assert seat.died() == "ended with -9, saying nothing"
        with pytest.raises(SeatError, match="tcp_floor ended by itself"):
            seat.started()


@in_lab
def test_an_image_that_cannot_start_is_named_with_what_it_said() -> None:
    """The end of its stderr is in the error, so that nobody has to look for a log."""
    with pytest.raises(SeatError, match="did not bind") as caught, Seat("tcp_floor", ("ls", "--no-such")):
        pytest.fail("took a seat without an image")
    assert "unrecognized option" in caught.value.complaint


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


# --- the plan ---------------------------------------------------------------------------------------


def test_dice_are_the_same_for_all_clients_of_a_round_only() -> None:
    """The same fault for everybody, another one in the next round, another one with another seed."""
    assert dice_for(1, "S1", 0).random() == dice_for(1, "S1", 0).random()
    others = [dice_for(1, "S1", 1), dice_for(1, "S2", 0), dice_for(2, "S1", 0)]
    assert len({dice.random() for dice in (dice_for(1, "S1", 0), *others)}) == 4


def test_heats_rotate_the_clients_and_keep_the_lonely_alone() -> None:
    """Every client is first once, long scenarios have fewer rounds, and S1c is never played together."""
    race = Race(
        [SCENARIOS["S1"], SCENARIOS["S1c"], SCENARIOS["S7"]],
        ("a", "b"),
        lambda scenario: 1 if scenario.key == "S7" else 2,
        seed=1,
    )
    assert [(scenario.key, turn, clients) for scenario, turn, clients in race.heats()] == [
        ("S1", 0, ("a", "b")),
        ("S1c", 0, ("a",)),
        ("S1c", 0, ("b",)),
        ("S7", 0, ("a", "b")),
        ("S1", 1, ("b", "a")),
        ("S1c", 1, ("b",)),
        ("S1c", 1, ("a",)),
    ]


# --- the measuring rule -----------------------------------------------------------------------------


def test_recovery_counts_only_requests_issued_after_the_path_was_back() -> None:
    """An old request delivered late earns nothing; one issued at the very instant counts."""
    lines = [
        probe("old", 9.0, 10.1, ok=True),
        probe("failed", 10.0, 10.2, ok=False),
        probe("late", 10.3, 10.5, ok=True),
        probe("first", 10.0, 10.4, ok=True),
        {"event": "transition", "t": 10.05, "source": "Reconnecting", "target": "Connected"},
    ]
    assert recovered_at(lines, 10.0) == 10.4
    assert recovered_at(lines, 10.2) == 10.5
    assert recovered_at(lines, 10.4) is None


def test_noticing_is_the_first_step_away_from_a_live_state() -> None:
    """Earlier transitions and steps between live states are not noticing."""

    def step(t: float, source: str, target: str) -> dict[str, Any]:
        return {"event": "transition", "t": t, "source": source, "target": target}

    lines = [
        step(1.0, "Connected", "Reconnecting"),
        step(5.1, "Connected", "Modified"),
        step(5.4, "Modified", "Reconnecting"),
        step(6.0, "Reconnecting", "Connected"),
    ]
    assert noticed_at(lines, 5.0) == 5.4
    assert noticed_at(lines, 5.5) is None


def test_repeats_and_ghosts_are_counted_from_the_images_log() -> None:
    """Twice is repeated however far apart; a ghost ran after its client gave up, not before."""
    lines = [
        probe("answered", 1.0, 1.1, ok=True),
        probe("ghost", 1.0, 2.0, ok=False),
        probe("reply lost", 1.0, 2.0, ok=False),
        probe("never ran", 1.0, 2.0, ok=False),
    ]
    log: list[dict[str, Any]] = [
        {"t": 1.05, "id": "answered"},
        {"t": 1.5, "id": "reply lost"},
        {"t": 3.0, "id": "ghost"},
        {"t": 4.0, "id": "answered"},
        {"t": 4.0, "id": None},
        {"t": 4.1, "id": None},
    ]
    assert executions(lines, log) == (1, 1)


def test_a_score_is_relative_to_the_fault_and_the_return() -> None:
    """Noticing counts from the fault, recovery from path-back; never is None."""
    lines = [
        {"event": "transition", "t": 5.5, "source": "Connected", "target": "Reconnecting"},
        probe("a", 8.0, 8.25, ok=True),
    ]
    result = score(lines, [], faulted=5.0, path_back=8.0)
    assert (result.recovery_s, result.noticed_s) == (0.25, 0.5)
    assert score([], [], 5.0, 8.0).recovery_s is None


# --- tables and verdicts ----------------------------------------------------------------------------


def test_never_is_worse_than_any_time() -> None:
    """A run without recovery is the maximum, and drags the median when half of them are."""
    assert spread([12.0, None, 3.5]).cells() == ["3.5", "12", "never", "3"]
    assert spread([12.0, None, 3.5]).short() == "12 / never"
    assert spread([None, 3.5, None]).cells() == ["3.5", "never", "never", "3"]
    assert spread([None, 3.5, None]).short() == "never"
    assert spread([9.0, 9.0]).rank() < spread([9.0, 9.5]).rank() < spread([3.0, None]).rank()


def test_a_bar_says_by_how_much_it_is_missed() -> None:
    """Met and missed are told apart, with both figures; never is no number."""
    assert str(Bar("x", 50, 12)) == "met: 12; the bar is 50 ms"
    assert str(Bar("x", 50, 50)) == "met: 50; the bar is 50 ms"
    assert str(Bar("x", 50, 62)) == "missed by 12 ms: 62, the bar is 50"
    assert str(Bar("x", 50, float("inf"))) == "missed: never, the bar is 50 ms"


def test_each_kind_of_scenario_has_its_own_bars() -> None:
    """Interface events 50/500 ms, silence 250/600 ms, carrier 200 ms over the floor of the same round."""
    found = verdicts(
        outcome("S1", "resilience", 60),
        outcome("S4", "resilience", 240, noticed_ms=1500.0),
        outcome("S1c", "resilience", 1150),
        outcome("S1c", "tcp_floor", 1000),
        outcome("S1c", "resilience", 220, turn=1),
        outcome("S1c", "tcp_floor", 5, turn=1),
        outcome("S5", "resilience", 90),
        outcome("S5", "lazy_pirate", 80),
        outcome("S5", "pyzmq_req", None),
    )
    assert found["S1 recovery, median"] == "missed by 10 ms: 60, the bar is 50"
    assert found["S1 recovery, worst"] == "met: 60; the bar is 500 ms"
    assert found["S4 recovery, median"] == "met: 240; the bar is 250 ms"
    assert found["S4 noticing, worst"] == "missed by 500 ms: 1500, the bar is 1000"
    assert found["S1c over the floor of the same round, median"] == "met: 182; the bar is 200 ms"
    assert found["S1c over the floor of the same round, worst"] == "missed by 15 ms: 215, the bar is 200"
    assert found["S5 the race: median, against the best peer's"] == "missed by 10 ms: 90, the bar is 80"
    assert found["any recovery, worst"] == "met: 1150; the bar is 10000 ms"
    assert "S5 recovery, median" not in found


def test_a_request_run_twice_or_a_client_never_back_is_missed() -> None:
    """These two may not hide behind good medians."""
    found = verdicts(
        *(outcome("S2", "resilience", 20, turn=turn) for turn in range(4)),
        outcome("S2", "resilience", None, turn=4, repeated=1),
    )
    assert found["requests executed more than once"] == "missed by 1 requests: 1, the bar is 0"
    assert found["any recovery, worst"] == "missed: never, the bar is 10000 ms"
    assert found["S2 recovery, median"] == "met: 20; the bar is 50 ms"


def test_without_our_own_client_there_are_no_verdicts_on_it() -> None:
    """A race among the others is a race all the same."""
    assert field_bars([outcome("S1", "tcp_floor", 2)]) == []


def test_we_are_to_be_level_with_mosh_and_ahead_of_the_others() -> None:
    """Mosh's median with one beat's allowance; nothing to be level with where mosh does not come back."""
    others = [outcome("S3", "mosh", 35), outcome("S3", "nats_tuned", 1100)]
    found = verdicts(outcome("S3", "resilience", 50), *others)
    assert found["S3 the race: median, against the best peer's"] == "met: 50; the bar is 1100 ms"
    assert found["S3 the race: median, level with mosh's"] == "met: 50; the bar is 55 ms"
    found = verdicts(outcome("S3", "resilience", 60), *others)
    assert found["S3 the race: median, level with mosh's"] == "missed by 5 ms: 60, the bar is 55"
    found = verdicts(outcome("S5", "resilience", 60), outcome("S5", "mosh", None))
    assert not any("the race" in what for what in found)


def test_tables_have_every_scenario_and_client_played() -> None:
    """The wide one has a column per scenario, the narrow one a group; what was not played is not invented."""
    outcomes = [
        outcome("S4", "lazy_pirate", 90),
        outcome("S4", "resilience", 50),
        outcome("S4", "resilience", 70, turn=1),
        outcome("S1", "resilience", 4.25),
    ]
    header, rows = recovery_rows(outcomes)
    assert header[1:] == ["S1", "S4"]
    assert rows == [["lazy_pirate", "-", "90 / 90"], ["resilience", "4.25 / 4.25", "60 / 70"]]
    assert legend_rows(outcomes)[1] == [
        ["S1", "link down 1 s", "its own interface", "1"],
        ["S4", "silent drop 6 s", "nobody", "2"],
    ]
    assert recovery_groups(outcomes) == [
        [["S1 link down 1 s", "resilience", "4.25", "4.25", "4.25", "1"]],
        [
            ["S4 silent drop 6 s", "resilience", "50", "60", "70", "2"],
            ["", "lazy_pirate", "90", "90", "90", "1"],
        ],
    ]
    assert markdown_table(header, rows).splitlines()[1] == "| --- | ---: | ---: |"


def test_every_scenario_belongs_to_a_kind_with_or_without_bars() -> None:
    """A scenario added without thinking of its bar would be measured and never judged."""
    kinds = {key: scenario.told for key, scenario in SCENARIOS.items()}
    assert kinds.pop("S5") is Told.REFUSAL
    for key in kinds:
        bars = verdicts(outcome(key, "resilience", 5), outcome(key, "tcp_floor", 2))
        assert any(what.startswith(key) and "worst" in what for what in bars), key


# --- the report -------------------------------------------------------------------------------------


def report(*outcomes: Outcome) -> bench.Report:
    return bench.Report({"kernel": "6.1"}, 7, list(outcomes), COSTS)


def test_json_keeps_every_run_and_every_verdict() -> None:
    """Strict JSON, with never as null."""
    text = report(outcome("S3", "resilience", None), outcome("S3", "tcp_floor", 3.0)).to_json()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    document = json.loads(text, parse_constant=refuse)
    assert document["seed"] == 7
    assert [run["recovery_ms"] for run in document["outcomes"]] == [None, 3.0]
    worst = next(bar for bar in document["bars"] if bar["what"] == "any recovery, worst")
    assert (worst["met"], worst["measured"], worst["limit"]) == (False, None, 10_000)
    assert document["costs"]["import_ms"]["resilience"] == 130.0


def test_markdown_has_tables_verdicts_and_the_machine() -> None:
    """The fragment stands on its own in a README, with every table well formed."""
    text = report(
        outcome("S3", "resilience", 20.0), outcome("S3", "lazy_pirate", 900.0, ghosts=2, died="Killed")
    ).to_markdown()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "| resilience | 20 / 20 |" in rows
    assert "| lazy_pirate | 900 / 900 |" in rows
    assert "| S3 | roam to another subnet after 0.3 s | its own interface | 1 |" in rows
    assert "| lazy_pirate | 0 | 2 | 1 |" in rows
    assert "| S3 recovery, median | met: 20; the bar is 50 ms |" in rows
    assert "| import resilience, over an empty interpreter | met: 120; the bar is 150 ms |" in rows
    assert text.endswith("Measured on kernel 6.1.\n")
    for upper, lower in pairwise(text.splitlines()):
        if upper.startswith("|") and lower.startswith("|"):
            assert upper.count("|") == lower.count("|")


def test_costs_are_measured_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing more takes longer, and a durable transition is no cheaper than the sync it contains."""
    monkeypatch.setattr(cost, "IMPORT_ROUNDS", 3)
    monkeypatch.setattr(cost, "JOURNAL_PAIRS", 30)
    costs = cost.measure()
    assert 0 < costs.import_ms["nothing"] < costs.import_ms["pyzmq"]
    assert costs.journal_bytes > len("tcp://10.0.0.2:5555")
    assert costs.journal_ratio > 0.5


# --- the command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "S1,S99"],
        ["--clients", "carrier_pigeon"],
        ["--runs", "0"],
        ["--json", "/dev/null/x"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    """They are found before anything is measured."""
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2


def test_without_a_lab_it_exits_with_1_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is the lab's own, with the way to measure the rest."""
    monkeypatch.setattr(Lab, "missing", lambda: "The lab needs root.")
    result = CliRunner().invoke(app, ["bench"])
    assert result.exit_code == 1
    assert "The lab needs root. `--skip-network` measures the rest." in " ".join(result.output.split())


def test_costs_alone_need_no_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Missing a bar is a result, not a failure: the exit code is 0 and the files are written."""
    monkeypatch.setattr(Lab, "missing", lambda: pytest.fail("asked for a lab"))
    monkeypatch.setattr(bench, "measure", lambda: COSTS)
    files = {"--json": tmp_path / "b.json", "--markdown": tmp_path / "b.md"}
    arguments = [str(word) for option in files.items() for word in option]
    result = CliRunner().invoke(app, ["bench", "--skip-network", *arguments])
    assert result.exit_code == 0
    assert "missed by 0.5 times" in result.output
    assert json.loads(files["--json"].read_text())["outcomes"] == []
    assert "missed by 0.5 times" in files["--markdown"].read_text()


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (CancelledRaceError(), 130),
        (SeatError("lazy_pirate", "ended by itself", "Traceback"), 1),
    ],
    ids=["interrupted", "a client would not start"],
)
def test_a_race_cut_short_is_no_result(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, code: int
) -> None:
    """Nothing is written, the cause is on the terminal, and Ctrl-C works as before."""

    def broken(*_: object) -> list[Outcome]:
        raise failure

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Lab, "missing", lambda: None)
    monkeypatch.setattr(bench, "run", broken)
    result = CliRunner().invoke(app, ["bench", "--clients", "lazy_pirate"])
    assert result.exit_code == code
    assert str(failure) in result.output
    assert signal.getsignal(signal.SIGINT) is handler


def test_long_scenarios_get_fewer_rounds() -> None:
    """Nine minutes of silence would be spent on S7 otherwise."""

    def most(scenario: Scenario) -> int:
        return min(5, bench._most_runs(scenario))

    assert {key: most(scenario) for key, scenario in SCENARIOS.items() if most(scenario) != 5} == {"S7": 3}
