"""The report: complete, self-contained, and deaf to what hostile peers put into it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from diagrams.palette import DARK
from simulations.report import page, plots, proof, tables
from simulations.report.colours import dark_of
from simulations.report.tally import Tally
from simulations.report.verdict import Expected, judge
from simulations.results import Recovery, Run, Violation
from simulations.scenarios import LIBRARY, Scenario
from simulations.trace import Kind, Trace

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "</table><script>alert('1')</script>\x1b[2J|`<img src=x onerror=alert(2)>"


def player(scenario: Scenario, seed: int) -> tuple[Trace, Run]:
    """Play nothing much, the same every time."""
    trace = Trace()
    for image in range(scenario.images):
        trace.note(0.0, Kind.CONDITION, image, condition="whole", things="")
    trace.note(1.0, Kind.HEALED)
    return trace, Run(scenario.key, seed, "same", 1.0)


def runs(*more: Run) -> proof.Proof:
    """A small campaign of two named scenarios, random trouble, and more."""
    recovery = Recovery(
        0,
        1.0,
        0.2,
        final=True,
        broken_s=1.0,
        decide_s=0.1,
        dial_s=0.02,
        handshake_s=0.03,
        restore_s=0.04,
        answer_s=0.01,
    )
    made = [
        Run(name, seed, "same", 30.0, recoveries=(recovery,))
        for name in ("lift", "tunnel", "swarm")
        for seed in (1, 2)
    ]
    tally = Tally.of([*made, *more])
    tally.counts.update({"fault: link down": 3, "told": 9})
    titles = {key: scenario.title for key, scenario in LIBRARY.items()}
    return proof.Proof(
        tally, judge(tally, Expected(titles, least_runs=1)), {"Python": "3.x"}, "python -m simulations"
    )


class Reader(HTMLParser):
    """Collects what a browser would see: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    """No script, no picture, no style sheet, no font is loaded; the page itself forbids it."""
    read = Reader(page.page(runs(), player))
    assert not {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in read.elements}
    assert not [attrs for _, attrs in read.elements if {"src", "href"} & attrs.keys()]
    assert {(attrs.get("xlink:href") or "#")[0] for _, attrs in read.elements} == {"#"}  # marks used twice
    policies = [
        attrs.get("content") for tag, attrs in read.elements if tag == "meta" and "http-equiv" in attrs
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_the_page_has_every_part() -> None:
    """Plots, tables as tables, one timeline a scenario, what was done, and how it was measured."""
    read = Reader(page.page(runs(), player))
    text = " ".join("".join(read.words).split())
    assert read.count("svg") == 3 + 3
    assert read.count("style") == 1  # rules within a picture would hold for the whole page
    assert all(attrs["role"] == "img" and attrs["aria-label"] for tag, attrs in read.elements if tag == "svg")
    for heading in (
        "Every bar",
        "How long a recovery takes",
        "By scenario",
        "Where the time goes",
        "Single runs",
    ):
        assert heading in text
    assert "Yes: all 7 bars met" in text
    assert "link down 3" in text or "link down3" in text
    assert "nearest-rank" in text
    assert "python -m simulations replay lift 1" in text


def test_a_missed_bar_is_the_first_thing_to_be_read() -> None:
    """With its figures in the table, and its run where it can be played again."""
    late = Run(
        "lift",
        9,
        "same",
        30.0,
        (Violation(10, 3.0, 0, "late"),),
        (Recovery(0, 1.0, None, final=True, broken_s=1.0),),
    )
    text = " ".join(" ".join(Reader(page.page(runs(late), player)).words).split())
    assert "No: 5 of 7 bars missed" in text
    assert "law 10, back within 10 s" in text
    assert "python -m simulations replay lift 9" in text


def test_hostile_text_stays_text_on_the_page() -> None:
    """What a peer said may stand in a violation; names, steps and reasons are no markup either."""
    evil = Run(
        EVIL,
        1,
        "same",
        30.0,
        (Violation(5, 1.0, 0, EVIL),),
        (Recovery(0, 1.0, 0.1, final=True, broken_s=1.0, how=EVIL),),
    )
    read = Reader(page.page(runs(evil), player))
    assert not {"script", "img"} & {tag for tag, _ in read.elements}
    assert not [name for _, attrs in read.elements for name in attrs if name.startswith("on")]
    assert "alert('1')" in "".join(read.words)
    assert "\x1b" not in "".join(read.words)


def test_hostile_text_stays_in_its_cell_of_markdown() -> None:
    """Neither a column border nor markup nor code gets out."""
    table = tables.Rows("t", ("a", "b"), [("x", "|`<b>\n| y")])
    assert tables.markdown_table(table).splitlines()[2] == "| x | \\|\\`&lt;b>�\\| y |"


def test_hostile_text_does_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither escape sequences nor the markup of `rich`."""
    evil = Run("lift", 1, "same", 30.0, (Violation(5, 1.0, 0, "[red]\x1b[2J[/bold]"),))
    proof.show(runs(evil), Console(width=100, highlight=False))
    shown = capsys.readouterr().out
    assert "[red]�[2J[/bold]" in shown
    assert "\x1b" not in shown


def test_an_empty_campaign_has_a_page() -> None:
    """It says that nothing was measured."""
    nothing = Tally()
    empty = proof.Proof(nothing, judge(nothing, Expected({})), {}, "")
    text = page.page(empty, player)
    assert "nothing was measured" in text
    assert "There are none." in text


def test_a_single_run_has_a_page() -> None:
    """Percentiles of one value are that value."""
    one = Tally.of(
        [Run("lift", 1, "same", 30.0, recoveries=(Recovery(0, 1.0, 0.25, final=True, broken_s=1.0),))]
    )
    text = page.page(proof.Proof(one, judge(one, Expected({})), {}, ""), player)
    assert "250 ms" in text


def test_a_run_that_plays_differently_now_is_said_to() -> None:
    """The picture is of another trace than the campaign saw."""
    other = Run("vpn", 4, "other", 30.0, recoveries=(Recovery(0, 1.0, 0.1, final=True, broken_s=1.0),))
    text = page.page(runs(other), player)
    assert text.count("The code has changed since") == 1


def test_a_run_that_cannot_be_played_again_does_not_cost_the_report() -> None:
    """It is named instead of drawn."""

    def broken(scenario: Scenario, seed: int) -> tuple[Trace, Run]:
        if scenario.key == "lift":
            raise RuntimeError("<b>no</b>")
        return player(scenario, seed)

    text = page.page(runs(), broken)
    assert "It cannot be played again: RuntimeError: &lt;b&gt;no&lt;/b&gt;" in text
    assert text.count("<svg") == 3 + 2


def test_the_slowest_run_of_each_scenario_is_shown() -> None:
    """Not a fast one that somebody picked."""
    slow = Run("tunnel", 77, "same", 30.0, recoveries=(Recovery(0, 1.0, 4.5, final=True, broken_s=1.0),))
    told = {each.name: each.slowest for each in page.timelines(runs(slow), player)}
    assert (told["tunnel"].seed, told["tunnel"].total_s) == (77, 4.5)
    assert told["lift"].seed == 1


# -- plots -----------------------------------------------------------------------------


def test_the_plots_are_well_formed_and_tell_their_figures() -> None:
    """As files of their own, for both themes, and in words."""
    for name, picture in page.pictures(runs()).items():
        svg = picture.standalone()
        root = ET.fromstring(svg)  # noqa: S314 - our own
        assert "prefers-color-scheme: dark" in svg, name
        assert f":root {{ background: {DARK.page}; }}" in svg, name  # a file is seen on its own
        assert DARK.page not in picture.inline(), name
        assert "200 ms" in root.attrib["aria-label"] or "100 ms" in root.attrib["aria-label"], name


def test_every_recovery_stands_in_the_histogram() -> None:
    """Also those faster or slower than its ends, and those that never came."""
    extremes = (0.0, 0.0005, 0.02, 0.02, 0.02, 500.0, None)
    lengths = tuple(Recovery(0, 1.0, each, final=False, broken_s=1.0) for each in extremes)
    found = Run("lift", 3, "same", 30.0, recoveries=lengths)
    root = ET.fromstring(plots.distribution(Tally.of([found])).inline())  # noqa: S314 - our own
    tips = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert [int(tip.rpartition(": ")[2]) for tip in tips] == [2, 3, 2]


def test_the_share_that_took_longer_is_drawn_to_the_last_one() -> None:
    """The tail is what the bars are about: the last step down is at the slowest of all."""
    values = np.array([*([0.01] * 4999), 5.0])
    axes = Figure().add_subplot()
    plots._survivors(axes, values)
    curve = max((np.asarray(line.get_xydata()) for line in axes.lines), key=len)
    assert curve[-3:, 0].tolist() == [0.01, 5.0, 5.0]
    assert curve[-3:, 1].tolist() == pytest.approx([2 / 5000, 1 / 5000, 0.0])
    assert axes.get_ylim()[0] <= 1 / 5000


def test_the_plots_keep_to_colours_that_dark_pages_know() -> None:
    """And are the same bytes every time."""
    late = Run("lift", 9, "same", 30.0, recoveries=(Recovery(0, 1.0, None, final=True, broken_s=1.0),))
    for name, picture in page.pictures(runs(late)).items():
        assert set(re.findall("#[0-9a-f]{6}", picture.inline())) <= dark_of().keys(), name
        assert picture.inline() == page.pictures(runs(late))[name].inline()


def test_marks_of_two_pictures_have_names_of_their_own() -> None:
    """Inlined in one page, one would use the other's."""
    named = [set(re.findall(' id="([^"]+)"', each.inline())) for each in page.pictures(runs()).values()]
    assert sum(map(len, named)) == len(set.union(*named)) > 0


# -- JSON and Markdown -----------------------------------------------------------------


def test_the_json_has_no_infinity(tmp_path: Path) -> None:
    """Never is null, and the file is read by strict readers."""
    late = Run("lift", 9, "same", 30.0, recoveries=(Recovery(0, 1.0, None, final=True, broken_s=1.0),))
    file = tmp_path / "verdict.json"
    proof.write_json(runs(late), file)
    found = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert found["met"] is False
    assert found["all"]["runs"] == 7
    lift = next(each for each in found["scenarios"] if each["name"] == "lift")
    assert (lift["final"]["count"], lift["final"]["p50"], lift["final"]["most"]) == (3, 0.2, None)
    assert lift["slowest"] == {
        "scenario": "lift",
        "seed": 9,
        "total_s": None,
        "digest": "same",
        "replay": "python -m simulations replay lift 9",
    }


def test_a_regression_is_replayed_by_its_number() -> None:
    """Its label is not the name of a scenario."""
    assert tables.replay_command("regression 3", 8) == "python -m simulations replay --regression 3"


def test_the_markdown_has_every_table(tmp_path: Path) -> None:
    """For the docs, with the command and the machine."""
    file = tmp_path / "verdict.md"
    proof.write_markdown(replace(runs(), command="python -m simulations verify"), file)
    text = file.read_text()
    assert text.startswith("**All 7 bars met.**")
    assert "| lift | 2 | 100 % | 200 ms | 200 ms | 200 ms | 200 ms | 1 |" in text
    assert "100 ms / 100 ms / 100 ms" in text
    assert text.endswith("Measured with `python -m simulations verify` on Python 3.x.\n")


def test_each_phase_of_each_scenario_has_its_99th_percentile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, in Markdown, on the page and in JSON: the slow tail is what people feel."""
    recovery = Recovery(0, 1.0, 0.2, final=True, broken_s=1.0)
    made = [
        Run("lift", turn, "same", 30.0, recoveries=(replace(recovery, decide_s=turn / 1000),))
        for turn in range(1, 101)
    ]
    tally = Tally.of(made)
    known = proof.Proof(tally, judge(tally, Expected({}, least_runs=1)), {}, "")
    quantiles = "50 ms / 95 ms / 99 ms / 100 ms"
    proof.show(known, Console(width=100, highlight=False))
    late = capsys.readouterr().out.partition("p99 of")[2]
    assert "lift - 99 ms -" in " ".join(late.split())
    file = tmp_path / "verdict"
    proof.write_markdown(known, file)
    assert quantiles in file.read_text()
    assert quantiles in page.page(known, player)
    proof.write_json(known, file)
    assert json.loads(file.read_text())["scenarios"][0]["phases"]["decide"]["p99"] == 0.099
