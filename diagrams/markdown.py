"""`table.md`: the rules with their reasons, and what every state makes of every trigger."""

from __future__ import annotations

from machines.table import INITIAL, TABLE, WAYS_OUT, State, Trigger

_REFUSAL = "–"  # noqa: RUF001 - an en dash reads as "nothing here"; a hyphen gets lost in a wide table


def table_md() -> str:
    """The whole page as Markdown text."""
    return "\n".join([*_rules(), *_ways_out(), *_matrix()]) + "\n"


def _rules() -> list[str]:
    refusals = len(State) * len(Trigger) - len(TABLE)
    lines = [
        "# The transition table",
        "",
        "Written by `python -m diagrams` from `machines/table.py`; change the rules there.",
        "",
        f"{len(State)} states, {len(Trigger)} triggers, {len(TABLE)} rules. The other {refusals} pairs",
        "are refusals: the state stays, and the error names the state, the trigger and what is allowed.",
        f"Every connection begins in **{INITIAL}**.",
        "",
        "![The states and the triggers between them](states.svg)",
        "",
        "## Rules",
        "",
        "| from | trigger | to | because |",
        "|---|---|---|---|",
    ]
    shown: State | None = None
    for rule in sorted(TABLE, key=lambda rule: list(State).index(rule.source)):
        source = "" if rule.source is shown else f"**{rule.source}**"
        lines.append(f"| {source} | `{rule.trigger}` | {rule.target} | {_cell(rule.why)} |")
        shown = rule.source
    return lines


def _ways_out() -> list[str]:
    lines = ["", "## Ways out", ""]
    for state, triggers in WAYS_OUT.items():
        names = ", ".join(f"`{trigger}`" for trigger in Trigger if trigger in triggers)
        lines.append(f"- **{state}** can always be left by {names}.")
    return lines


def _matrix() -> list[str]:
    targets = {(rule.source, rule.trigger): rule.target.value for rule in TABLE}
    lines = [
        "",
        "## Every pair",
        "",
        f"Where the trigger leads; {_REFUSAL} is a refusal.",
        "",
        f"| trigger | {' | '.join(State)} |",
        f"|---|{':-:|' * len(State)}",
    ]
    for trigger in Trigger:
        cells = " | ".join(targets.get((state, trigger), _REFUSAL) for state in State)
        lines.append(f"| `{trigger}` | {cells} |")
    return lines


def _cell(text: str) -> str:
    """Prose that cannot end its table cell."""
    return text.replace("|", "\\|")
