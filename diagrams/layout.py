"""Where everything stands in the picture: eight boxes, three frames, and a route for each arrow.

The places are declared, not computed. A layout engine has to be the right one in
the right version to give the same bytes twice (Graphviz moves things between
releases), and none of those that are pure Python and maintained places the labels
of three dozen arrows among eight boxes without overlap. Eight states do not move;
a person can place them well once. What a person cannot do is be sure, so
`tests/test_diagrams.py` computes it: no label touches another label, a foreign line
or a box, no line runs through a box, no two lines cross, and every arrow of the table has
exactly one route here.

Lengths are SVG user units; x grows to the right and y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from diagrams.arrows import Arrow, End, Group
from machines.table import State, Trigger

Point = tuple[float, float]

WIDTH, HEIGHT = 1216, 836

LABEL_SIZE = 13
LABEL_LINE = 17
_CHARACTER = 0.61 * LABEL_SIZE  # the widest of the usual monospace faces advance 0.60 to 0.61 em
_PAD_X, _PAD_Y = 6, 3


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, by its edges."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From the left edge to the right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From the top edge to the bottom."""
        return self.bottom - self.top

    @property
    def middle(self) -> Point:
        """The centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Route:
    """The corners of one arrow, from its source to its target, and the centre of its label."""

    corners: tuple[Point, ...]
    label: Point
    in_one_line: bool = False
    """Triggers stand side by side rather than one below the other; for long horizontal runs."""


class RoutesError(ValueError):
    """The declared routes and the arrows of the table are not the same.

    Attributes:
        missing: arrows that have no route.
        surplus: routes that have no arrow.
    """

    def __init__(self, missing: list[tuple[End, State]], surplus: list[tuple[End, State]]) -> None:
        self.missing = missing
        self.surplus = surplus
        wanted = "".join(f"\n  add    {source} -> {target}" for source, target in missing)
        unwanted = "".join(f"\n  remove {source} -> {target}" for source, target in surplus)
        super().__init__(
            f"the picture does not fit the table; in ROUTES of diagrams/layout.py:{wanted}{unwanted}"
        )


BOXES: dict[State, Box] = {
    State.FRESH: Box(80, 126, 236, 206),
    State.RESTORED: Box(346, 126, 502, 206),
    State.CONNECTED: Box(694, 126, 850, 206),
    State.MODIFIED: Box(960, 126, 1116, 206),
    State.RESTORING: Box(80, 400, 236, 480),
    State.RECONNECTING: Box(540, 400, 1060, 480),
    State.FAILED: Box(596, 656, 796, 736),
    State.ORPHANED: Box(936, 656, 1136, 736),
}

FRAMES: dict[Group, Box] = {
    Group.UNREACHED: Box(64, 92, 518, 226),
    Group.LIVE: Box(678, 92, 1132, 226),
    Group.RESTING: Box(580, 636, 1152, 776),
}

CAPTIONS: dict[Group, Point] = {
    Group.UNREACHED: (80, 114),
    Group.LIVE: (694, 114),
    Group.RESTING: (596, 761),
}

START: tuple[Point, Point] = ((36, 146), (80, 146))
"""From the dot to the initial state."""

_S, _G = State, Group

ROUTES: dict[tuple[End, State], Route] = {
    # The session: looked for, read, kept.
    (_S.FRESH, _S.RESTORING): Route(((118, 206), (118, 400)), (118, 280)),
    (_S.RESTORING, _S.FRESH): Route(((198, 400), (198, 206)), (198, 330)),
    (_S.RESTORING, _S.RESTORED): Route(((236, 440), (366, 440), (366, 206)), (343, 300)),
    (_S.FRESH, _S.RESTORED): Route(((236, 166), (346, 166)), (291, 150)),
    (_S.RESTORING, _S.FAILED): Route(((198, 480), (198, 704), (596, 704)), (310, 704)),
    # Towards the image.
    (_G.UNREACHED, _S.CONNECTED): Route(((518, 142), (694, 142)), (598, 142)),
    (_G.UNREACHED, _S.MODIFIED): Route(((490, 92), (490, 62), (1038, 62), (1038, 126)), (764, 62)),
    (_G.UNREACHED, _S.RECONNECTING): Route(((484, 226), (484, 440), (540, 440)), (484, 290)),
    (_G.UNREACHED, _S.FAILED): Route(((424, 226), (424, 672), (596, 672)), (424, 560)),
    (_S.RESTORED, _S.ORPHANED): Route(
        ((424, 126), (424, 32), (1186, 32), (1186, 696), (1136, 696)), (764, 32)
    ),
    # With the image.
    (_S.CONNECTED, _S.MODIFIED): Route(((850, 148), (960, 148)), (905, 148)),
    (_S.MODIFIED, _S.CONNECTED): Route(((960, 184), (850, 184)), (905, 184)),
    (_G.LIVE, _S.RESTORED): Route(((678, 172), (502, 172)), (598, 172)),
    (_G.LIVE, _S.RECONNECTING): Route(((868, 226), (868, 400)), (868, 312)),
    (_G.LIVE, _S.ORPHANED): Route(((1110, 226), (1110, 656)), (1110, 520)),
    # The search.
    (_S.RECONNECTING, _S.RESTORED): Route(((572, 400), (572, 194), (502, 194)), (572, 330)),
    (_S.RECONNECTING, _S.CONNECTED): Route(((752, 400), (752, 206)), (752, 312)),
    (_S.RECONNECTING, _S.MODIFIED): Route(((1006, 400), (1006, 206)), (1006, 312)),
    (_S.RECONNECTING, _S.FAILED): Route(((640, 480), (640, 656)), (640, 545)),
    (_S.RECONNECTING, _S.ORPHANED): Route(((1030, 480), (1030, 656)), (1030, 580)),
    # The ways out.
    (_S.FAILED, _S.RECONNECTING): Route(((752, 656), (752, 480)), (752, 600)),
    (_G.RESTING, _S.RECONNECTING): Route(((866, 636), (866, 480)), (866, 560)),
    (_S.ORPHANED, _S.RECONNECTING): Route(((962, 656), (962, 480)), (962, 530)),
    (_G.RESTING, _S.RESTORING): Route(((580, 730), (118, 730), (118, 480)), (420, 730)),
    (_G.RESTING, _S.FRESH): Route(
        ((580, 758), (36, 758), (36, 186), (80, 186)), (310, 758), in_one_line=True
    ),
}


def label_lines(triggers: tuple[Trigger, ...], route: Route) -> tuple[str, ...]:
    """The label as it is set, line by line."""
    return (" · ".join(triggers),) if route.in_one_line else tuple(triggers)


def label_box(lines: tuple[str, ...], route: Route) -> Box:
    """The space a label takes, whatever monospace face the reader has."""
    x, y = route.label
    half_width = max(map(len, lines)) * _CHARACTER / 2 + _PAD_X
    half_height = len(lines) * LABEL_LINE / 2 + _PAD_Y
    return Box(x - half_width, y - half_height, x + half_width, y + half_height)


def routed(arrows: tuple[Arrow, ...]) -> list[tuple[Arrow, Route]]:
    """Each arrow with its route.

    Raises:
        RoutesError: some arrow has no route here, or some route no arrow.
    """
    wanted = [(arrow.source, arrow.target) for arrow in arrows]
    missing = [ends for ends in wanted if ends not in ROUTES]
    surplus = [ends for ends in ROUTES if ends not in wanted]
    if missing or surplus:
        raise RoutesError(missing, surplus)
    return [(arrow, ROUTES[arrow.source, arrow.target]) for arrow in arrows]
