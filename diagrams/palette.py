"""Colours for bright and dark pages; the tones are those the user sees in the running program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from machines.table import State


class Tone(StrEnum):
    """A colour with a meaning."""

    PLAIN = "plain"
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    GREY = "grey"


TONE_OF: dict[State, Tone] = {
    State.FRESH: Tone.PLAIN,
    State.RESTORING: Tone.PLAIN,
    State.RESTORED: Tone.PLAIN,
    State.CONNECTED: Tone.GREEN,
    State.MODIFIED: Tone.GREEN,
    State.RECONNECTING: Tone.YELLOW,
    State.FAILED: Tone.RED,
    State.ORPHANED: Tone.GREY,
}

SEEN_AS: dict[State, str] = {
    State.FRESH: "new",
    State.RESTORING: "progress",
    State.RESTORED: "not connected",
    State.CONNECTED: "all saved",
    State.MODIFIED: "edits not yet durable",
    State.RECONNECTING: "the cause, and when the next try is due",
    State.FAILED: "why, and the ways out",
    State.ORPHANED: "whose, and the ways out",
}
"""What the user is shown beside the state's name."""


@dataclass(frozen=True, slots=True)
class Ink:
    """One tone: its surface, its lines, and the text that is set on the surface or on the page."""

    fill: str
    line: str
    text: str


@dataclass(frozen=True, slots=True)
class Palette:
    """Everything one theme needs."""

    page: str
    frame: str
    frame_line: str
    quiet_text: str
    ink: dict[Tone, Ink]


LIGHT = Palette(
    page="#ffffff",
    frame="#f6f8fa",
    frame_line="#afb8c1",
    quiet_text="#57606a",
    ink={
        Tone.PLAIN: Ink("#ddf0ff", "#2f7fd0", "#0a3f75"),
        Tone.GREEN: Ink("#d6f5de", "#1f8a3f", "#0c5424"),
        Tone.YELLOW: Ink("#fff3bf", "#b08000", "#6b4d00"),
        Tone.RED: Ink("#ffe1de", "#d1343f", "#8c1620"),
        Tone.GREY: Ink("#e4e7eb", "#717983", "#434a53"),
    },
)

DARK = Palette(
    page="#0d1117",
    frame="#151b23",
    frame_line="#4a535e",
    quiet_text="#9aa5b1",
    ink={
        Tone.PLAIN: Ink("#10294a", "#4a94e8", "#a8d1ff"),
        Tone.GREEN: Ink("#0f3520", "#3bab57", "#a2ecb4"),
        Tone.YELLOW: Ink("#3f3104", "#cf9f24", "#f5d676"),
        Tone.RED: Ink("#4a171b", "#ec5f65", "#ffb6b3"),
        Tone.GREY: Ink("#2b313a", "#8b949e", "#cbd2da"),
    },
)
