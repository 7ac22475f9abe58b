"""What once failed: kept for ever, and cut down to its essentials."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import players
from simulations.campaign import regressions, single
from simulations.campaign.plan import scenario
from simulations.campaign.regressions import Regression
from simulations.campaign.shrink import Shrinking, as_played, signature
from simulations.faults import What
from simulations.results import Run, Violation
from simulations.scenarios import Load, Scenario, steps
from simulations.swarm import Fixed, swarm
from simulations.trace import Kind

# -- regressions -----------------------------------------------------------------------------------


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
        (
            '{"scenario":"x","seed":1,"steps":["1 stall -1"],"found":"2026-11-24","laws":[]}',
            "below 0",
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


# -- shrinking -------------------------------------------------------------------------------------


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
