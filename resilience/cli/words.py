"""How times, sizes, texts and refusals are told to people and to programs."""

from __future__ import annotations

from datetime import datetime

import click

from resilience.cli.lines import write
from resilience.cli.options import EXIT_FAILED
from resilience.errors import printable
from store import StoreError, StoreFull, StoreReadOnly, StoreUnreadable
from store.outcomes import Outcome, SessionError

ID_LETTERS_SHOWN = 8
"""Of a session's id: enough to tell any that one person has apart, and to name them on the command line."""

BYTES_SHOWN = 10_000
"""From here on thousands are enough, and so on."""

_KINDS: tuple[tuple[type[StoreError], str], ...] = (
    (StoreFull, Outcome.DISK_FULL),
    (StoreReadOnly, Outcome.READ_ONLY),
    (StoreUnreadable, "unreadable"),
)


class Refused(Exception):  # noqa: N818 - what the user reads, not a fault of the program
    """A command cannot do what it was asked for, and says what can be done.

    Attributes:
        outcome: what happened, by one fixed name for programs.
        words: what happened, for people.
        advice: what to do.
    """

    def __init__(self, outcome: str, words: str, advice: str = "") -> None:
        super().__init__(outcome, words, advice)
        self.outcome = outcome
        self.words = words
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.words} {self.advice}".strip()


def refused(problem: StoreError | Refused, *, as_json: bool) -> int:
    """Tell why nothing came of it; returns the exit code."""
    click.echo(f"Error: {printable(str(problem))}", err=True)
    if as_json:
        write(
            {
                "event": "error",
                "outcome": outcome_of(problem),
                "error": str(problem),
                "advice": problem.advice,
            }
        )
    return EXIT_FAILED


def outcome_of(problem: StoreError | Refused) -> str:
    """The one name of what happened."""
    if isinstance(problem, SessionError | Refused):
        return str(problem.outcome)
    return next((name for kind, name in _KINDS if isinstance(problem, kind)), "refused")


def moment(at: float | None) -> str:
    """A wall clock's time to the millisecond."""
    if at is None:
        return "never"
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="milliseconds")[:23]


def minute(at: float | None) -> str:
    """The same, as far as a list has room for."""
    return moment(at)[:16]


def size(count: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "kB", "MB"):
        if count < BYTES_SHOWN:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.0f} GB"


def short(session: str) -> str:
    """As much of an id as is shown."""
    return session[:ID_LETTERS_SHOWN]


def count_of(number: int, noun: str) -> str:
    """A number and its noun, in the singular where it has to be."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_line(text: str, letters: int) -> str:
    """What fits of a text's first line, with nothing in it that a terminal would obey."""
    line = printable((text.splitlines() or [""])[0])
    more = len(line) > letters or "\n" in text.strip()
    return line[: letters - 1] + "…" if more else line
