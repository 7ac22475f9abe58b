"""The table as few arrows: what a reader needs to see, derived from the rules and provably equal to them.

Drawn rule by rule the table is a hairball. Two reductions make it legible, and
neither loses anything: rules between the same two states become one arrow with
several triggers, and a move that every state of a group shares leaves from the
group's frame, as in Harel's statecharts. `moves_of` undoes both; a test compares
what comes out of it with the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from machines.table import LIVE, TABLE, WAYS_OUT, Rule, State, Trigger


class Group(StrEnum):
    """States that are drawn in one frame; the value is the frame's caption."""

    UNREACHED = "not reached yet"
    LIVE = "live"
    RESTING = "waiting for a decision"


MEMBERS: dict[Group, tuple[State, ...]] = {
    Group.UNREACHED: (State.FRESH, State.RESTORED),
    Group.LIVE: tuple(state for state in State if state in LIVE),
    Group.RESTING: tuple(WAYS_OUT),
}

End = State | Group


@dataclass(frozen=True, slots=True)
class Arrow:
    """All triggers that lead from one state, or from every state of a group, to another state."""

    source: End
    target: State
    triggers: tuple[Trigger, ...]


def merged(rules: tuple[Rule, ...] = TABLE) -> tuple[Arrow, ...]:
    """One arrow for each pair of states that rules connect, in the order of the table."""
    return _arrows([(rule.source, rule.trigger, rule.target) for rule in rules])


def grouped(rules: tuple[Rule, ...] = TABLE) -> tuple[Arrow, ...]:
    """As `merged`, with one arrow from the frame where all states of a group share a move."""
    moves = {(rule.source, rule.trigger, rule.target) for rule in rules}

    def from_frame(rule: Rule) -> Group | None:
        for group, members in MEMBERS.items():
            shared = all((member, rule.trigger, rule.target) in moves for member in members)
            if rule.source in members and rule.target not in members and shared:
                return group
        return None

    return _arrows([(from_frame(rule) or rule.source, rule.trigger, rule.target) for rule in rules])


def moves_of(arrows: tuple[Arrow, ...]) -> set[tuple[State, Trigger, State]]:
    """Every move that the arrows stand for."""
    return {
        (source, trigger, arrow.target)
        for arrow in arrows
        for source in (MEMBERS[arrow.source] if isinstance(arrow.source, Group) else (arrow.source,))
        for trigger in arrow.triggers
    }


def _arrows(moves: list[tuple[End, Trigger, State]]) -> tuple[Arrow, ...]:
    triggers: dict[tuple[End, State], dict[Trigger, None]] = {}
    for source, trigger, target in moves:
        triggers.setdefault((source, target), {})[trigger] = None
    return tuple(Arrow(source, target, tuple(names)) for (source, target), names in triggers.items())
