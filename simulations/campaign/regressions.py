"""The failures that are kept for ever: which schedule, with which seed, broke which laws, and why.

One JSON object a line. The steps stand there as text, so that an entry outlives every change of the generator
and of the library; a candidate, just found by a campaign, has no story yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

from simulations.campaign import steps
from simulations.faults import Step
from simulations.scenarios import Load, Scenario
from simulations.swarm import Fixed

FILE = Path(__file__).resolve().parent.parent / "regressions.jsonl"


@dataclass(frozen=True, slots=True)
class Regression:
    """One line of the file.

    `scenario_key` and `seed` are what the dice of the run grow from. `paced`: the times of the steps are
    nominal and still to be stretched by those dice.
    """

    scenario_key: str
    seed: int
    steps: tuple[str, ...]
    found: str
    laws: tuple[int, ...]
    story: str = ""
    images: int = 1
    named: bool = False
    paced: bool = False
    load: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Scenario, seed: int, laws: Sequence[int], found: date, story: str = "") -> Self:
        """Write down what broke these laws."""
        lines = tuple(str(step) for step in scenario.steps)
        load = {} if scenario.load == Load() else asdict(scenario.load)
        return cls(
            scenario_key=scenario.key,
            seed=seed,
            steps=lines,
            found=found.isoformat(),
            laws=tuple(sorted(set(laws))),
            story=story,
            images=scenario.images,
            named=scenario.named,
            paced=not isinstance(scenario, Fixed),
            load=load,
        )

    def scenario(self) -> Scenario:
        """Make it playable.

        Raises:
            ValueError: a line is no step.
        """
        kind = Scenario if self.paced else Fixed
        return kind(
            key=self.scenario_key,
            title=f"{self.scenario_key} {self.seed}, kept since {self.found}",
            steps=tuple(map(Step.parse, self.steps)),
            story=self.story,
            images=self.images,
            named=self.named,
            real=False,
            load=Load(**self.load),
        )

    def __str__(self) -> str:
        """Write it as a line of the file, without what says nothing."""
        empty = {each.name: each.default for each in fields(self)} | {"load": {}}
        whole = {name: value for name, value in asdict(self).items() if value != empty[name]}
        whole = {"scenario": whole.pop("scenario_key")} | whole
        return json.dumps(whole, ensure_ascii=False)

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read one back.

        Raises:
            ValueError: it is no regression; says what is wrong.
        """
        try:
            found: dict[str, Any] = json.loads(line)
            found = {"scenario_key": found.pop("scenario")} | found
            entry = cls(**found | {"steps": tuple(found["steps"]), "laws": tuple(found["laws"])})
            date.fromisoformat(entry.found)
            scenario = entry.scenario()
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"it lacks something or has too much: {error}") from error
        steps.check(scenario.steps, entry.images)
        return entry


def load(file: Path = FILE) -> list[Regression]:
    """Read the file.

    Raises:
        ValueError: a line is no regression; says which.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = []
    for number, line in enumerate(lines, 1):
        try:
            kept.append(Regression.parse(line))
        except ValueError as error:
            raise ValueError(f"{file.name}, line {number}: {error}") from error
    return kept


def keep(regression: Regression, file: Path = FILE) -> int:
    """Write one down, in place of a candidate of the same run if there is one; returns its line number.

    Raises:
        ValueError: the file has a line that is no regression.
    """
    kept = load(file)
    for number, entry in enumerate(kept):
        same_run = (entry.scenario_key, entry.seed) == (regression.scenario_key, regression.seed)
        if same_run and (not entry.story or entry.steps == regression.steps):
            kept[number] = replace(regression, found=entry.found, story=regression.story or entry.story)
            break
    else:
        number = len(kept)
        kept.append(regression)
    beside = file.with_suffix(".new")
    beside.write_text("".join(f"{entry}\n" for entry in kept), encoding="utf-8")
    os.replace(beside, file)  # noqa: PTH105 - the atomic call by its own name
    return number + 1
