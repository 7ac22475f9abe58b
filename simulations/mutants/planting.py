"""One fault at a time, planted in a scratch copy of the checkout; the checkout itself is left alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout this file stands in."""

PACKAGES = ("machines", "store", "resilience", "simulations")
"""What a run of the harness imports."""

NEVER_RUN = frozenset(
    f"resilience/{name}.py"
    for name in ("host", "link", "names", "scout", "network/poll", "network/rtnetlink")
)
"""The virtual world stands in for these: a fault planted there would prove nothing."""


class Area(StrEnum):
    """Which part of the product a fault is planted in."""

    MACHINE = "machine"
    MONITOR = "monitor"
    LINK = "link"
    STORE = "store"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault.

    Attributes:
        name: unique, and short enough for a table.
        area: where it belongs.
        file: what is changed, relative to the checkout.
        old: the text that gives way; occurs exactly once in the file.
        new: what takes its place.
        mistake: what a programmer got wrong, in one sentence.
        laws: which laws (DESIGN section 4) it is expected to break.
        first: what to play first because it is likely to tell: scenarios, or single runs as "scenario/seed".
    """

    name: str
    area: Area
    file: str
    old: str
    new: str
    mistake: str
    laws: tuple[int, ...]
    first: tuple[str, ...] = ()


class PlantingError(Exception):
    """A fault does not fit the code any more.

    Attributes:
        mutant: which.
        found: how often its old text occurs.
    """

    def __init__(self, mutant: Mutant, found: int) -> None:
        self.mutant = mutant
        self.found = found
        super().__init__(
            f"{mutant.name}: the text to replace occurs {found} times in {mutant.file}, not once"
        )


def plant(mutant: Mutant | None, into: Path, root: Path = ROOT) -> None:
    """Copy the code below `root` to the empty directory `into`, with the fault; None: without any.

    Raises:
        PlantingError: the old text does not occur exactly once.
    """
    for package in PACKAGES:
        shutil.copytree(root / package, into / package, ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        (into / mutant.file).write_text(changed(mutant, root), encoding="utf-8")


def changed(mutant: Mutant, root: Path = ROOT) -> str:
    """Give the text of the mutant's file with the fault in it.

    Raises:
        PlantingError: the old text does not occur exactly once.
    """
    text = (root / mutant.file).read_text(encoding="utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise PlantingError(mutant, found)
    return text.replace(mutant.old, mutant.new)


def unfitting(mutants: Iterable[Mutant], root: Path = ROOT) -> list[PlantingError]:
    """List the faults that do not fit the code any more."""
    errors = []
    for mutant in mutants:
        try:
            changed(mutant, root)
        except PlantingError as error:
            errors.append(error)
    return errors
