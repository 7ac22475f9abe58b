"""Draws a timeline: troubles on top, then each image's states, its requests, and how fast it was back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from matplotlib.ticker import MaxNLocator

from diagrams.palette import LIGHT, Ink, Tone
from simulations.report import figures
from simulations.report.colours import GRID, OUTCOME_TONES, tone_of
from simulations.report.drawing import AXIS, QUIET, WORD, Picture, Sketch, styled, width_of, word
from simulations.report.paper import Paper
from simulations.report.tally import WITHIN_S
from simulations.report.timeline import IMPAIRED, LEFT_S, QUIET_S, Lane, Request, Span, Timeline
from simulations.results import Recovery

WIDTH = 960.0
_LEFT, _RIGHT, _EDGE = 92.0, 16.0, 4.0
_TROUBLE_ROW, _WORD_ROW = 19.0, 15.0
_STATE_HEIGHT, _LANE_HEIGHT, _GAP = 24.0, 58.0, 14.0
_UNDER = 38.0
"""Below the lanes: two lines of words."""
_SMALL = 10.5
_SEEN = 2.0
"""Pixels; what is narrower cannot be told from a tick."""


@styled()
def draw(told: Timeline) -> Picture:
    """Draw it."""
    return _Drawing(told).drawn()


class _Drawing:
    """A picture under construction; x is in pixels from its left edge, y in pixels from its top."""

    def __init__(self, told: Timeline) -> None:
        self._told = told
        self._paper = Paper.of(told.events, told.length_s, quiet_s=QUIET_S, left_s=LEFT_S)
        x = self._x
        self._rows = _packed((x(span.since), self._reach(span)) for span in told.troubles)
        self._words = _packed((x(t) - 4, x(t) + 10 + width_of(name, _SMALL)) for t, name in told.moments)
        self._under = 8 + _TROUBLE_ROW * (1 + max(self._rows, default=-1))
        self._top = self._under + _WORD_ROW * (1 + max(self._words, default=-1)) + 12
        self._bottom = self._top + (_LANE_HEIGHT + _GAP) * len(told.lanes)
        height = self._bottom + _UNDER
        self._sketch = Sketch(WIDTH, height, f"{told.title}, seed {told.seed}", _in_words(told))
        self._axes = self._sketch.axes(0, 0, WIDTH, height)
        self._axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        self._axes.set_axis_off()

    def drawn(self) -> Picture:
        """Draw everything, from the back to the front."""
        self._grid()
        for number, lane in enumerate(self._told.lanes):
            self._lane(lane, self._top + (_LANE_HEIGHT + _GAP) * number)
        for span, row in zip(self._told.troubles, self._rows, strict=True):
            self._trouble(span, 8 + _TROUBLE_ROW * row)
        for (t, name), row in zip(self._told.moments, self._words, strict=True):
            self._moment(self._x(t), self._under + _WORD_ROW * row, name)
        self._healed()
        return self._sketch.drawn()

    def _x(self, t: float) -> float:
        whole_s = self._paper.length_s or 1.0
        return _LEFT + self._paper.place(t) / whole_s * (WIDTH - _LEFT - _RIGHT)

    def _box(self, left: float, top: float, width: float, height: float, tip: str = "", **look: Any) -> None:
        made = self._axes.barh(top, width, height, left, align="edge", clip_on=False, **look)
        if tip:
            self._sketch.tip(made[0], tip)

    def _uprights(
        self,
        places: Iterable[float],
        top: float,
        bottom: float,
        *tips: str,
        **look: Any,
    ) -> None:
        made = self._axes.vlines(list(places), top, bottom, clip_on=False, **look)
        if tips:
            self._sketch.tip(made, *tips)

    def _write(self, x: float, y: float, words: str, colour: str, **look: Any) -> None:
        word(self._axes, (x, y), words, colour=colour, **look)

    # -- time ----------------------------------------------------------------------------------

    def _grid(self) -> None:
        bottom = self._bottom
        ticks = self._ticks()
        self._uprights(map(self._x, ticks), _EDGE, bottom, colors=GRID, linewidth=0.8, zorder=0)
        for tick in ticks:
            self._write(self._x(tick), bottom + 13, figures.clock(tick), QUIET, size=11, align="center")
        self._axes.hlines(bottom, _LEFT, WIDTH - _RIGHT, colors=AXIS, linewidth=1)
        for begin, over in self._paper.cuts:
            x, words = (self._x(begin) + self._x(over)) / 2, figures.duration(over - begin, 2)
            tip = f"{words} in which nothing happened are left out"
            for shift in (-3, 3):
                (stroke,) = self._axes.plot(
                    [x + shift - 2, x + shift + 2], [bottom + 5, bottom - 5], color=AXIS, linewidth=1
                )
                self._sketch.tip(stroke, tip)
            self._write(x, bottom + 13, words, WORD, size=11, align="center")

    def _ticks(self) -> list[float]:
        """Round moments outside of what was cut short."""
        shown = MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(0, self._paper.length_s or 1.0)
        step = float(shown[1] - shown[0])
        edges = [0.0, *chain.from_iterable(self._paper.cuts), self._paper.times[-1]]
        return [
            number * step
            for begin, over in zip(edges[::2], edges[1::2], strict=True)
            for number in range(-int(-begin // step), int(over // step) + 1)
        ]

    def _healed(self) -> None:
        if self._told.healed_s is not None:
            x, ink = self._x(self._told.healed_s), LIGHT.ink[Tone.GREEN]
            tip = f"from {figures.clock(self._told.healed_s)} on everything is whole"
            self._uprights(
                [x], _EDGE, self._bottom, tip, colors=ink.line, linestyles="dashed", linewidth=1, zorder=0.5
            )
            self._write(x, self._bottom + 28, "all is whole", ink.text, align="center")

    # -- troubles ------------------------------------------------------------------------------

    def _trouble(self, span: Span, y: float) -> None:
        left, right = self._x(span.since), self._x(span.until)
        width = max(right - left, _SEEN)
        ink = LIGHT.ink[Tone.GREY if span.detail == IMPAIRED else Tone.RED]
        self._box(left, y, width, 14, f"{span.name}, {_when(span)}", **_filled(ink))
        if self._inside(span):
            self._write(left + width / 2, y + 7, span.name, ink.text, align="center")
        elif self._no_room_after(span):
            self._write(left - 4, y + 7, span.name, ink.text, align="right")
        else:
            self._write(left + width + 4, y + 7, span.name, ink.text)

    def _inside(self, span: Span) -> bool:
        return width_of(span.name, _SMALL) + 8 <= self._x(span.until) - self._x(span.since)

    def _no_room_after(self, span: Span) -> bool:
        return self._x(span.until) + 4 + width_of(span.name, _SMALL) > WIDTH

    def _reach(self, span: Span) -> float:
        """Where the next span in the same row may begin."""
        end = self._x(span.until) + 4
        within = self._inside(span) or self._no_room_after(span)
        return end if within else end + width_of(span.name, _SMALL) + 8

    def _moment(self, x: float, y: float, name: str) -> None:
        self._uprights([x], y + 4, self._top, colors=AXIS, linewidth=1)
        self._triangle(x, y + 6, "v", LIGHT.ink[Tone.PLAIN].line, name)
        if x + 8 + width_of(name, _SMALL) > WIDTH:
            self._write(x - 8, y + 6, name, WORD, align="right")
        else:
            self._write(x + 8, y + 6, name, WORD)

    def _triangle(self, x: float, y: float, marker: str, colour: str, tip: str) -> None:
        (mark,) = self._axes.plot(
            [x], [y], marker=marker, markersize=7, markeredgewidth=0, color=colour, clip_on=False
        )
        self._sketch.tip(mark, tip)

    # -- an image ------------------------------------------------------------------------------

    def _lane(self, lane: Lane, y: float) -> None:
        name = "state" if len(self._told.lanes) == 1 else f"image {lane.image}"
        self._write(8, y + _STATE_HEIGHT / 2, name, WORD, size=12, strong=True)
        self._write(8, y + _STATE_HEIGHT + 9, "requests", QUIET, size=11)
        for span in lane.broken:
            left = self._x(span.since)
            width = max(self._x(span.until) - left, 1)
            self._box(left, y - 5, width, _LANE_HEIGHT - 8, color=LIGHT.ink[Tone.RED].fill, alpha=0.6)
        for span in lane.states:
            self._state(span, y)
        self._requests(lane.requests, y + _STATE_HEIGHT + 4)
        self._recoveries(lane.recoveries, y + _STATE_HEIGHT + 26)

    def _state(self, span: Span, y: float) -> None:
        left, right = self._x(span.since), self._x(span.until)
        ink = LIGHT.ink[tone_of(span.name)]
        tip = f"{span.name}, {_when(span)}" + (f": {span.detail}" if span.detail else "")
        self._box(left, y, max(right - left, 1), _STATE_HEIGHT, tip, **_filled(ink))
        if width_of(span.name, 11) + 8 <= right - left:
            middle = (left + right) / 2, y + _STATE_HEIGHT / 2
            self._write(*middle, span.name, ink.text, size=11, align="center")

    def _requests(self, requests: Sequence[Request], y: float) -> None:
        """Draw a tick where each was asked, and a line to where its outcome was told, if that can be seen."""
        by_tone: dict[Tone, list[Request]] = defaultdict(list)
        for request in requests:
            by_tone[OUTCOME_TONES.get(request.outcome, Tone.RED)].append(request)
        for tone, alike in by_tone.items():
            look: dict[str, Any] = {"colors": LIGHT.ink[tone].line, "linewidth": 1}
            slow = [
                (self._x(each.since), self._x(each.until), _asked(each))
                for each in alike
                if each.until is not None and self._x(each.until) - self._x(each.since) > _SEEN
            ]
            if slow:
                begins, ends, tips = zip(*slow, strict=True)
                self._axes.hlines([y + 5] * len(slow), begins, ends, alpha=0.4, clip_on=False, **look)
                self._uprights(ends, y + 2, y + 8, *tips, **look)
            self._uprights((self._x(each.since) for each in alike), y, y + 10, *map(_asked, alike), **look)

    def _recoveries(self, recoveries: Sequence[Recovery], y: float) -> None:
        """Mark each time the way was whole again, and write how long the answer took where there is room."""
        ordered = sorted(recoveries, key=lambda each: each.whole_at)
        marks = [self._x(each.whole_at) for each in ordered]
        taken = _LEFT
        for number, (recovery, x) in enumerate(zip(ordered, marks, strict=True)):
            ink, shown = LIGHT.ink[_tone(recovery)], _took(recovery)
            self._triangle(x, y, "^", ink.line, _recovered(recovery))
            width = 10 + width_of(shown, _SMALL)
            before = max([taken, *marks[:number][-1:]])
            following = marks[number + 1] if number + 1 < len(marks) else WIDTH
            to_the_right = x >= taken and x + width <= following
            if to_the_right or x - width >= before:
                beside, align = (6, "left") if to_the_right else (-6, "right")
                self._write(x, y, shown, ink.text, beside=beside, align=align)
                taken = x + width if to_the_right else x


def _filled(ink: Ink) -> dict[str, Any]:  # Any: matplotlib's
    return {"facecolor": ink.fill, "edgecolor": ink.line, "linewidth": 1}


def _asked(request: Request) -> str:
    said = f"{request.label}: asked at {figures.clock(request.since)}, {request.outcome}"
    if request.until is None:
        return said
    return f"{said} after {figures.duration(request.until - request.since)}"


def _tone(recovery: Recovery) -> Tone:
    if recovery.total_s is None or recovery.total_s > WITHIN_S:
        return Tone.RED
    return Tone.GREY if recovery.broken_s is None else Tone.GREEN


def _took(recovery: Recovery) -> str:
    return "never" if recovery.total_s is None else figures.duration(recovery.total_s)


def _recovered(recovery: Recovery) -> str:
    since = "whole" if recovery.broken_s is not None else "well all along, asked"
    how = f" ({recovery.how})" if recovery.how else ""
    return f"{since} at {figures.clock(recovery.whole_at)}, answered after {_took(recovery)}{how}"


def _in_words(told: Timeline) -> str:
    troubles = ", ".join(
        f"{span.name} from {figures.clock(span.since)} to {figures.clock(span.until)}"
        for span in told.troubles
    )
    broken = (each for lane in told.lanes for each in lane.recoveries if each.broken_s is not None)
    back = ", ".join(map(_took, broken))
    return f"Troubles: {troubles or 'none'}. Back after: {back or 'nothing to recover from'}."


def _when(span: Span) -> str:
    lasted = figures.duration(span.until - span.since)
    return f"{figures.clock(span.since)} to {figures.clock(span.until)} ({lasted})"


def _packed(spans: Iterable[tuple[float, float]]) -> Sequence[int]:
    """Give each span the first row in which nothing is in its way."""
    ends: list[float] = []
    rows = []
    for begin, end in spans:
        row = next((number for number, taken in enumerate(ends) if taken <= begin), len(ends))
        ends[row : row + 1] = [end]
        rows.append(row)
    return rows
