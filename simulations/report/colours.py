"""Which colour what has on a picture, and what becomes of it on a dark page."""

from __future__ import annotations

from collections.abc import Iterator

from diagrams.palette import DARK, LIGHT, TONE_OF, Palette, Tone
from machines.table import State

OUTCOME_TONES = {
    "done": Tone.GREEN,
    "expired": Tone.YELLOW,
    "lost": Tone.YELLOW,
    "refused": Tone.GREY,
    "never told": Tone.GREY,
    "failed": Tone.RED,
    "unknown": Tone.RED,
}
"""Unknown is red: the user has to look what became of it; lost is known not to have run."""

OF_PHASE = {
    "decide": "#8496ab",
    "dial": "#2f7fd0",
    "handshake": "#14a3a8",
    "restore": "#3f9d4e",
    "answer": "#e0962a",
}
"""Phases are neither good nor bad, and have colours of their own."""
_OF_PHASE_DARK = {
    "decide": "#74869c",
    "dial": "#4a94e8",
    "handshake": "#2bb8ba",
    "restore": "#4fb564",
    "answer": "#e3a545",
}

GRID, _GRID_DARK = "#e6eaef", "#222a34"


def tone_of(state: str) -> Tone:
    """Give the colour a state has everywhere."""
    return TONE_OF[State(state)] if state in list(State) else Tone.PLAIN


def dark_of() -> dict[str, str]:
    """Give what each colour of a bright page becomes on a dark one."""
    bright = [*_all(LIGHT), *OF_PHASE.values(), GRID]
    dark = [*_all(DARK), *_OF_PHASE_DARK.values(), _GRID_DARK]
    return dict(zip(bright, dark, strict=True))


def _all(palette: Palette) -> Iterator[str]:
    yield from (palette.page, palette.frame, palette.frame_line, palette.quiet_text)
    for tone in Tone:
        ink = palette.ink[tone]
        yield from (ink.fill, ink.line, ink.text)
