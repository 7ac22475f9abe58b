"""Law 20, and what needs no law: no secret is written anywhere, and nothing breaks that nobody caught."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.check.story import Story
from simulations.results import Violation
from simulations.trace import Kind

CANARY = "CANARY-"
"""What stands for a secret begins like this."""


def no_secret_is_told(story: Story) -> Iterator[Violation]:
    """No canary in anything that an entry says."""
    for entry in story.of(*Kind):
        for name, said in entry.data.items():
            if isinstance(said, str) and CANARY in said:
                yield Violation(20, entry.t, entry.image, f"a secret stands in {name} of {entry.kind}")


def nothing_breaks(story: Story) -> Iterator[Violation]:
    """No exception that nobody caught."""
    for entry in story.of(Kind.BUG):
        yield Violation(0, entry.t, entry.image, str(entry.data["text"]))
