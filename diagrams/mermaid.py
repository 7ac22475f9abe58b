"""`states.mmd`: the machine as a Mermaid state diagram, for pages that render Mermaid themselves."""

from __future__ import annotations

from diagrams.arrows import merged
from diagrams.palette import LIGHT, TONE_OF, Tone
from machines.table import INITIAL, State


def states_mmd() -> str:
    """The whole diagram as Mermaid text.

    Frames are left out: Mermaid forbids arrows between states inside different ones.
    """
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {INITIAL}"]
    lines += [f"    {arrow.source} --> {arrow.target}: {'<br/>'.join(arrow.triggers)}" for arrow in merged()]
    lines += [
        f"    classDef {tone} fill:{ink.fill},stroke:{ink.line},color:{ink.text}"
        for tone, ink in LIGHT.ink.items()
    ]
    lines += [
        f"    class {', '.join(state for state in State if TONE_OF[state] is tone)} {tone}" for tone in Tone
    ]
    return "\n".join(lines) + "\n"
