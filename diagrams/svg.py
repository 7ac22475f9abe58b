"""`states.svg`: the machine as a picture, drawn with drawsvg at the declared places.

drawsvg escapes, nests and numbers the elements, always in the order in which they
are appended, so the same table gives the same bytes. The picture brings its own
page and both themes: it is legible even where the reader's page and the reader's
system disagree about being dark.
"""

from __future__ import annotations

from itertools import pairwise
from math import hypot

import drawsvg as draw  # type: ignore[import-untyped] # drawsvg ships no types

from diagrams.arrows import grouped
from diagrams.layout import (
    BOXES,
    CAPTIONS,
    FRAMES,
    HEIGHT,
    LABEL_LINE,
    LABEL_SIZE,
    START,
    WIDTH,
    Point,
    label_box,
    label_lines,
    routed,
)
from diagrams.palette import DARK, LIGHT, SEEN_AS, TONE_OF, Palette, Tone
from machines.table import State

_SANS = "-apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Helvetica, Arial, sans-serif"
_MONO = "ui-monospace, SFMono-Regular, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_NAME_SIZE, _SEEN_SIZE, _CAPTION_SIZE = 19, 13, 13
_CORNER = 9  # how far before a corner the line begins to bend
_HEAD = 9  # length of an arrow's head; the line stops inside it

_DESCRIPTION = "The eight states of a connection and the triggers that lead from one to another."
_HINT = "An arrow that leaves a frame leaves every state in it.  An arrow has the colour of where it leads."


def states_svg(light: Palette = LIGHT, dark: Palette = DARK) -> str:
    """The whole picture as SVG text."""
    drawing = draw.Drawing(WIDTH, HEIGHT, role="img", aria_label=_DESCRIPTION)
    drawing.append_css(_FONTS + _colours(light))
    drawing.append_css("@media (prefers-color-scheme: dark) {\n" + _colours(dark) + "\n}")
    drawing.append(draw.Rectangle(0.5, 0.5, WIDTH - 1, HEIGHT - 1, rx=14, class_="page"))
    _draw_frames(drawing)
    _draw_arrows(drawing)
    _draw_boxes(drawing)
    drawing.append(draw.Text(_HINT, _CAPTION_SIZE, WIDTH / 2, HEIGHT - 24, class_="quiet middle"))
    return str(drawing.as_svg()) + "\n"


_FONTS = f"""\
text {{ font-family: {_SANS}; }}
.trigger {{ font-family: {_MONO}; font-weight: 500; }}
.middle {{ text-anchor: middle; }}
.name {{ font-weight: 600; }}
.line {{ fill: none; stroke-width: 1.8; }}
.box {{ stroke-width: 1.8; }}
.frame {{ stroke-width: 1.2; stroke-dasharray: 5 4; }}
"""


def _colours(palette: Palette) -> str:
    rules = [
        f".page {{ fill: {palette.page}; stroke: {palette.frame_line}; }}",
        f".pill {{ fill: {palette.page}; }}",
        f".frame {{ fill: {palette.frame}; stroke: {palette.frame_line}; }}",
        f".framed {{ fill: {palette.frame}; }}",
        f".quiet {{ fill: {palette.quiet_text}; }}",
    ]
    for tone, ink in palette.ink.items():
        rules += [
            f".{tone}.box {{ fill: {ink.fill}; stroke: {ink.line}; }}",
            f".{tone}.line {{ stroke: {ink.line}; }}",
            f".{tone}.head {{ fill: {ink.line}; }}",
            f".{tone}.text {{ fill: {ink.text}; }}",
        ]
    return "\n".join(rules)


def _draw_frames(drawing: draw.Drawing) -> None:
    for group, frame in FRAMES.items():
        drawing.append(
            draw.Rectangle(frame.left, frame.top, frame.width, frame.height, rx=16, class_="frame")
        )
        drawing.append(draw.Text(group.value, _CAPTION_SIZE, *CAPTIONS[group], class_="quiet"))


def _draw_boxes(drawing: draw.Drawing) -> None:
    for state, box in BOXES.items():
        x, y = box.middle
        tone = TONE_OF[state]
        drawing.append(draw.Rectangle(box.left, box.top, box.width, box.height, rx=12, class_=f"box {tone}"))
        if state is State.MODIFIED:
            drawing.append(draw.Circle(box.right - 16, box.top + 16, 5, class_=f"head {Tone.YELLOW}"))
        drawing.append(draw.Text(state.value, _NAME_SIZE, x, y - 2, class_=f"name middle text {tone}"))
        drawing.append(draw.Text(SEEN_AS[state], _SEEN_SIZE, x, y + 20, class_=f"middle text {tone}"))


def _draw_arrows(drawing: draw.Drawing) -> None:
    heads = {tone: _head(tone) for tone in Tone}
    drawing.append(draw.Circle(*START[0], 6, class_=f"head {TONE_OF[State.FRESH]}"))
    drawing.append(_line(START, TONE_OF[State.FRESH], heads))
    labelled = routed(grouped())
    # All lines first: a label may then interrupt its own line, and never lies under another.
    for arrow, route in labelled:
        drawing.append(_line(route.corners, TONE_OF[arrow.target], heads))
    for arrow, route in labelled:
        lines = label_lines(arrow.triggers, route)
        space = label_box(lines, route)
        framed = any(
            frame.left < route.label[0] < frame.right and frame.top < route.label[1] < frame.bottom
            for frame in FRAMES.values()
        )
        drawing.append(
            draw.Rectangle(
                space.left,
                space.top,
                space.width,
                space.height,
                rx=6,
                class_="framed" if framed else "pill",
            )
        )
        first_baseline = route.label[1] - (len(lines) - 1) * LABEL_LINE / 2 + LABEL_SIZE * 0.34
        drawing.append(
            draw.Text(
                lines,
                LABEL_SIZE,
                route.label[0],
                first_baseline,
                line_height=LABEL_LINE / LABEL_SIZE,
                class_=f"trigger middle text {TONE_OF[arrow.target]}",
            )
        )


def _head(tone: Tone) -> draw.Marker:
    head = draw.Marker(
        -_HEAD, -5, 1, 5, scale=1, orient="auto", id=f"head-{tone}", markerUnits="userSpaceOnUse"
    )
    head.append(draw.Lines(-_HEAD, -4.5, 0, 0, -_HEAD, 4.5, -_HEAD + 2, 0, close=True, class_=f"head {tone}"))
    return head


def _line(corners: tuple[Point, ...], tone: Tone, heads: dict[Tone, draw.Marker]) -> draw.Path:
    """A line through the corners, each of them rounded, with a head at its end."""
    path = draw.Path(class_=f"line {tone}", marker_end=heads[tone])
    path.M(*corners[0])
    for (before, corner), (_, after) in pairwise(pairwise(corners)):
        path.L(*_towards(corner, before)).Q(*corner, *_towards(corner, after))
    return path.L(*corners[-1])


def _towards(corner: Point, neighbour: Point) -> Point:
    """The point a little away from `corner`, on the way to `neighbour`."""
    dx, dy = neighbour[0] - corner[0], neighbour[1] - corner[1]
    share = min(_CORNER / hypot(dx, dy), 0.5)
    return corner[0] + dx * share, corner[1] + dy * share
