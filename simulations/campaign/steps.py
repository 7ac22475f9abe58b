"""Steps that a person wrote down, or a file kept: whether they can be played at all, before they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from simulations.faults import EVERYONE, Step, What

EITHER_SIGN = frozenset({What.STEP_CLOCK})
"""What may have a value below nothing; all others are durations, counts and shares."""


def check(steps: Sequence[Step], images: int) -> None:
    """Refuse what the virtual world could not play, or would play as something else than was meant.

    Raises:
        ValueError: says which step it is, and what is wrong with it.
    """
    for step in steps:
        if not EVERYONE <= step.image < images:
            raise ValueError(f"'{step}' names an image beyond the {images} there are")
        if step.value < 0 and step.what not in EITHER_SIGN:
            raise ValueError(f"'{step}' has a value below 0")
        if step.what is What.LOSS and step.value > 1:
            raise ValueError(f"'{step}' loses more than everything: the share is 0 to 1")
        if step.what is What.IMAGE_HOSTILE:
            _check_squatter(step)
    for before, after in pairwise(steps):
        if after.at_s < before.at_s:
            raise ValueError(f"'{after}' stands after '{before}': steps stand in the order of their times")


def read(file: Path) -> tuple[Step, ...]:
    """Read steps, one a line.

    Raises:
        ValueError: a line is no step.
        OSError: the file cannot be read.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(map(Step.parse, filter(str.strip, lines)))


def _check_squatter(step: Step) -> None:
    from simulations.virtual.programs import HOSTILE  # noqa: PLC0415 - much comes with it, and it is seldom asked

    if step.text not in HOSTILE:
        raise ValueError(
            f"'{step}' does not say which program listens there; write one of "
            + ", ".join(f"'{kind}'" for kind in HOSTILE)
        )
