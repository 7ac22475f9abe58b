"""The generated pictures: they show the table, the whole table, legibly, and the same bytes every time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from diagrams.__main__ import MEND, main, outdated, rendered
from diagrams.arrows import MEMBERS, Arrow, Group, grouped, merged, moves_of
from diagrams.layout import (
    BOXES,
    CAPTIONS,
    FRAMES,
    HEIGHT,
    ROUTES,
    START,
    WIDTH,
    Box,
    Point,
    Route,
    RoutesError,
    label_box,
    label_lines,
    routed,
)
from diagrams.palette import DARK, LIGHT, TONE_OF, Palette, Tone
from machines.table import TABLE, State, Trigger

ROOT = Path(__file__).resolve().parent.parent
MOVES = {(rule.source, rule.trigger, rule.target) for rule in TABLE}
ROUTED = routed(grouped())


# -- what they say ---------------------------------------------------------------------


def test_the_committed_files_show_the_present_table() -> None:
    """Nobody changes a rule and forgets the pictures."""
    assert outdated(ROOT / "diagrams") == [], f"run: {MEND}"


def test_fewer_arrows_stand_for_exactly_the_same_moves() -> None:
    """Merging and framing lose no rule and invent none."""
    assert moves_of(merged()) == MOVES
    assert moves_of(grouped()) == MOVES
    assert len(grouped()) < len(merged()) < len(TABLE)


def test_a_move_only_some_of_a_group_have_does_not_leave_the_frame() -> None:
    """Take one state's share of a common move away, and the others keep theirs, each for itself."""
    lacking = tuple(r for r in TABLE if (r.source, r.trigger) != (State.ORPHANED, Trigger.RESTORE))
    arrows = grouped(lacking)
    assert moves_of(arrows) == {(r.source, r.trigger, r.target) for r in lacking}
    assert Arrow(State.FAILED, State.RESTORING, (Trigger.RESTORE,)) in arrows


def test_the_mermaid_text_has_every_move_once() -> None:
    """Read back, the Mermaid arrows are the table."""
    arrows = re.findall(r"^    (\w+) --> (\w+): (\S+)$", rendered()["states.mmd"], re.MULTILINE)
    moves = [
        (source, trigger, target) for source, target, names in arrows for trigger in names.split("<br/>")
    ]
    assert sorted(moves) == sorted(MOVES)


def test_the_page_has_every_rule_and_every_pair() -> None:
    """Read back, the list of rules is the table, and so is the matrix, refusals included."""
    rows = [
        [cell.strip(" *`") for cell in line.strip("|").split("|")]
        for line in rendered()["table.md"].splitlines()
        if line.startswith("|") and "---" not in line
    ]
    reasons = {(r.trigger.value, r.target.value, r.why) for r in TABLE}
    assert {(row[1], row[2], row[3]) for row in rows if len(row) == 4 and row[0] != "from"} == reasons
    states = next(row for row in rows if row[0] == "trigger")[1:]
    matrix = {
        (state, row[0], target)
        for row in rows
        if len(row) == 9 and row[0] != "trigger"
        for state, target in zip(states, row[1:], strict=True)
    }
    assert len(matrix) == len(State) * len(Trigger)
    assert {move for move in matrix if move[2] != "–"} == MOVES  # noqa: RUF001 - the page's sign for a refusal


def test_the_picture_names_every_state_and_every_trigger() -> None:
    """The SVG is well-formed, and its text holds all eight states and all triggers, each arrow its own."""
    root = ET.fromstring(rendered()["states.svg"])  # noqa: S314 - we wrote it ourselves
    texts = [[*text.itertext()] for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {text[0] for text in texts} >= set(State)
    for arrow, route in ROUTED:
        assert [*label_lines(arrow.triggers, route)] in texts


# -- writing and checking --------------------------------------------------------------


def test_check_names_the_command_that_mends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edited and a missing file are each reported with the command, which then really mends them."""
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert capsys.readouterr() == ("", "")
    (tmp_path / "states.mmd").write_text("stateDiagram-v2\n", encoding="utf-8")
    (tmp_path / "table.md").unlink()
    assert main(["--check"], tmp_path) == 1
    complaints = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in complaints] == ["diagrams/states.mmd", "diagrams/table.md"]
    assert all(line.endswith(f": {MEND}") for line in complaints)
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0


def test_the_same_bytes_whatever_the_hash_seed() -> None:
    """No order of a set or a dictionary of hashes finds its way into a file."""
    code = "import json; from diagrams.__main__ import rendered; print(json.dumps(rendered()))"
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(run.stdout) == rendered()


def test_a_new_arrow_without_a_route_is_named() -> None:
    """A rule the picture has no place for stops the drawing with what to add, and where."""
    arrows = grouped()
    stray = Arrow(State.ORPHANED, State.FAILED, (Trigger.GAVE_UP,))
    with pytest.raises(RoutesError, match=r"diagrams/layout\.py") as error:
        routed((*arrows[1:], stray))
    assert error.value.missing == [(State.ORPHANED, State.FAILED)]
    assert error.value.surplus == [(arrows[0].source, arrows[0].target)]
    assert "add    Orphaned -> Failed" in str(error.value)


# -- legibility ------------------------------------------------------------------------


def overlap(one: Box, other: Box) -> bool:
    """Whether two rectangles share any area."""
    return (
        one.left < other.right
        and other.left < one.right
        and one.top < other.bottom
        and other.top < one.bottom
    )


def bars(route: Route | None, margin: float = 0) -> list[Box]:
    """Give the segments of a line as thin rectangles; None is the line from the initial dot."""
    corners = START if route is None else route.corners
    return [
        Box(min(a, c) - margin, min(b, d) - margin, max(a, c) + margin, max(b, d) + margin)
        for (a, b), (c, d) in pairwise(corners)
    ]


def on_edge(point: Point, box: Box) -> bool:
    """Whether the point lies on the rectangle's outline."""
    x, y = point
    within = box.left <= x <= box.right and box.top <= y <= box.bottom
    return within and (x in (box.left, box.right) or y in (box.top, box.bottom))


LINES = [(f"{arrow.source} -> {arrow.target}", route) for arrow, route in ROUTED]
LABELS = [
    (f"{arrow.source} -> {arrow.target}", label_box(label_lines(arrow.triggers, route), route))
    for arrow, route in ROUTED
]


def test_every_line_runs_from_the_edge_of_its_source_to_the_edge_of_its_target() -> None:
    """Lines start and end where they say, and run only along the axes."""
    for arrow, route in ROUTED:
        source = FRAMES[arrow.source] if isinstance(arrow.source, Group) else BOXES[arrow.source]
        assert on_edge(route.corners[0], source), arrow
        assert on_edge(route.corners[-1], BOXES[arrow.target]), arrow
        assert all(a == c or b == d for (a, b), (c, d) in pairwise(route.corners)), arrow


def test_no_line_runs_through_a_box() -> None:
    """Neither through a foreign box nor through its own."""
    for name, route in [*LINES, ("start", None)]:
        for state, box in BOXES.items():
            inside = Box(box.left + 1, box.top + 1, box.right - 1, box.bottom - 1)
            assert not any(overlap(bar, inside) for bar in bars(route, 0.01)), (name, state)


def test_no_two_lines_cross_or_touch() -> None:
    """The drawing is planar: every line can be followed by eye, at a distance from every other."""
    for (one, first), (other, second) in combinations([*LINES, ("start", None)], 2):
        for bar in bars(first, 4):
            assert not any(overlap(bar, against) for against in bars(second, 4)), (one, other)


def test_no_label_touches_another_label_a_foreign_line_a_box_or_a_caption() -> None:
    """Every label stands free, inside the picture, upon or beside its own line only."""
    for (one, first), (other, second) in combinations(LABELS, 2):
        assert not overlap(first, second), (one, other)
    captions = {group: Box(x, y - 13, x + len(group.value) * 8, y + 4) for group, (x, y) in CAPTIONS.items()}
    for name, label in LABELS:
        assert label.left > 4, name
        assert label.right < WIDTH - 4, name
        assert label.top > 4, name
        assert label.bottom < HEIGHT - 40, name  # below is the line that explains the picture
        for line, route in [*LINES, ("start", None)]:
            assert line == name or not any(overlap(label, bar) for bar in bars(route, 2)), (name, line)
        for thing in [*BOXES.values(), *captions.values()]:
            assert not overlap(label, thing), name
    for line, route in [*LINES, ("start", None)]:
        assert not any(overlap(bar, caption) for bar in bars(route, 2) for caption in captions.values()), line


def test_every_label_stands_at_its_own_line() -> None:
    """A label's centre is at most two lines of text away from the arrow it explains."""
    for arrow, route in ROUTED:
        x, y = route.label
        near = Box(x - 24, y - 24, x + 24, y + 24)
        assert any(overlap(near, bar) for bar in bars(route, 0.01)), arrow


def test_frames_hold_their_members_and_nobody_else() -> None:
    """What stands in a frame is what its arrows speak for."""
    for group, frame in FRAMES.items():
        inside = {state for state, box in BOXES.items() if overlap(box, frame)}
        assert inside == set(MEMBERS[group])
        for state in inside:
            box = BOXES[state]
            assert frame.left < box.left
            assert box.right < frame.right
            assert frame.top < box.top
            assert box.bottom < frame.bottom
    assert set(ROUTES) == {(arrow.source, arrow.target) for arrow in grouped()}


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Give the ratio WCAG 2 asks to be 4.5 for text and 3 for shapes."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_everything_can_be_read_in_both_themes(palette: Palette) -> None:
    """Text has a contrast of at least 4.5 with whatever it stands on, lines one of at least 3."""
    for tone, ink in palette.ink.items():
        for surface in (ink.fill, palette.page, palette.frame):
            assert contrast(ink.text, surface) >= 4.5, (tone, surface)
        assert contrast(ink.line, palette.page) >= 3, tone
        assert contrast(ink.line, palette.frame) >= 3, tone
    for surface in (palette.page, palette.frame):
        assert contrast(palette.quiet_text, surface) >= 4.5


def test_the_states_have_the_colours_the_user_sees() -> None:
    """Green when live, yellow when reconnecting, red when failed, grey when orphaned."""
    assert {state: TONE_OF[state] for state in State if TONE_OF[state] is not Tone.PLAIN} == {
        State.CONNECTED: Tone.GREEN,
        State.MODIFIED: Tone.GREEN,
        State.RECONNECTING: Tone.YELLOW,
        State.FAILED: Tone.RED,
        State.ORPHANED: Tone.GREY,
    }
