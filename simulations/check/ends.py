"""A process that is asked to end in good order does, and soon."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.limits import CLOSE_JOURNAL_S, CLOSE_SESSIONS_S
from simulations.check.story import Story
from simulations.results import Violation
from simulations.trace import Kind

CLOSED_WITHIN_S = CLOSE_SESSIONS_S + CLOSE_JOURNAL_S + 0.75
"""What it waits for its disk at most, and what has to be settled around that."""


def ends_come(story: Story) -> Iterator[Violation]:
    """What is asked to close has closed in time, unless it was killed meanwhile."""
    asked_at: float | None = None
    for entry in story.of(Kind.PROCESS):
        if asked_at is not None:
            yield from _late(story, asked_at, entry.t)
        asked_at = entry.t if entry.data["what"] == "close" else None
    if asked_at is not None:
        yield from _late(story, asked_at, story.end)


def _late(story: Story, asked_at: float, until: float) -> Iterator[Violation]:
    by = story.due(asked_at, CLOSED_WITHIN_S)
    if by < until:
        yield Violation(0, by, -1, f"asked to close at {asked_at:.3f}, it has not")
