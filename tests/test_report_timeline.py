"""A run as spans of time, from a trace written by hand; its picture, and its Mermaid."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from diagrams.palette import LIGHT, Tone
from simulations.report import gantt, lanes
from simulations.report.colours import dark_of
from simulations.report.paper import Paper
from simulations.report.timeline import IMPAIRED, Lane, Request, Span, Timeline, timeline
from simulations.results import Recovery, Run
from simulations.scenarios import Scenario, steps
from simulations.trace import Kind, Trace

SVG = "{http://www.w3.org/2000/svg}"
SCENARIO = Scenario("short", "a short story", steps("2 link down", "3 vpn up", "4 link up"))


def told(
    trace: Trace, t: float, source: str, target: str, *, trigger: str = "link_lost", image: int = 0
) -> None:
    trace.note(
        t, Kind.TOLD, image, seq=1, source=source, trigger=trigger, target=target, reason="why", detail=""
    )


def short_trace() -> Trace:
    """A link gone for 2 s, requests answered, unknown and never told, a process killed."""
    trace = Trace()
    trace.note(0.0, Kind.PROCESS, what="start")
    trace.note(0.0, Kind.CONDITION, 0, condition="whole", things="")
    told(trace, 0.5, "Fresh", "Connected")
    trace.note(1.0, Kind.ASKED, 0, label="7", ask="evaluate", timeout_s=5.0)
    trace.note(1.25, Kind.OUTCOME, 0, label="7", outcome="done", result="7")
    trace.note(1.75, Kind.ASKED, 0, label="8", ask="evaluate", timeout_s=5.0)
    trace.note(2.0, Kind.FAULT, step="2 link down")
    trace.note(2.0, Kind.CONDITION, 0, condition="broken", things="link,~loss")
    told(trace, 2.5, "Connected", "Reconnecting")
    trace.note(2.5, Kind.OUTCOME, 0, label="8", outcome="unknown", result="")
    trace.note(2.75, Kind.ASKED, 0, label="9", ask="evaluate", timeout_s=5.0)
    trace.note(3.0, Kind.FAULT, step="3 vpn up")
    trace.note(4.0, Kind.FAULT, step="4 link up")
    trace.note(4.0, Kind.CONDITION, 0, condition="whole", things="")
    trace.note(4.0, Kind.HEALED)
    told(trace, 4.25, "Reconnecting", "Connected", trigger="image_answered")
    trace.note(6.0, Kind.PROCESS, what="kill")
    trace.note(8.0, Kind.NOTICE, text="the end")
    return trace


def short() -> Timeline:
    recovery = Recovery(0, 4.0, 0.3, final=True, broken_s=2.0, how="image_answered: why")
    return timeline(SCENARIO, short_trace(), Run("short", 3, "d", 8.0, recoveries=(recovery,)))


# -- reading ---------------------------------------------------------------------------


def test_states_last_until_the_next_one_or_the_end_of_the_process() -> None:
    """A process that was killed has no state."""
    states = short().lanes[0].states
    assert [(span.since, span.until, span.name) for span in states] == [
        (0.0, 0.5, "Fresh"),
        (0.5, 2.5, "Connected"),
        (2.5, 4.25, "Reconnecting"),
        (4.25, 6.0, "Connected"),
    ]
    assert states[3].detail == "image_answered, why"


def test_troubles_last_as_long_as_the_way_says() -> None:
    """What only impairs is told apart from what breaks; a step that lasts no time is a moment."""
    told = short()
    assert told.troubles == (Span(2.0, 4.0, "link down"), Span(2.0, 4.0, "loss", detail=IMPAIRED))
    assert told.moments == ((3.0, "vpn up"),)
    assert [(span.since, span.until) for span in told.lanes[0].broken] == [(2.0, 4.0)]
    assert (told.healed_s, told.length_s) == (4.0, 8.0)


def test_requests_end_with_their_outcome_or_never() -> None:
    """The one that was under way when the process was killed has none."""
    assert short().lanes[0].requests == (
        Request(1.0, 1.25, "7", "done"),
        Request(1.75, 2.5, "8", "unknown"),
        Request(2.75, None, "9", "never told"),
    )


def test_a_trouble_of_one_image_names_it() -> None:
    """What all share is shown once; what one has alone, with its number."""
    trace = Trace()
    for image in (0, 1):
        trace.note(0.0, Kind.CONDITION, image, condition="whole", things="")
        trace.note(1.0, Kind.CONDITION, image, condition="broken", things="drop")
        trace.note(2.0, Kind.CONDITION, image, condition="whole", things="")
    trace.note(3.0, Kind.CONDITION, 1, condition="broken", things="image")
    trace.note(4.0, Kind.CONDITION, 1, condition="whole", things="")
    trace.note(5.0, Kind.HEALED)
    two = Scenario("two", "two images", (), images=2)
    found = timeline(two, trace, Run("two", 1, "d", 5.0))
    assert [span.name for span in found.troubles] == ["silent drop", "image down #1"]


def test_the_disk_and_lost_hints_are_troubles_too() -> None:
    """They do not lie on the way, and are read from the steps."""
    trace = Trace()
    trace.note(0.0, Kind.CONDITION, 0, condition="whole", things="")
    for t, step in ((1.0, "disk fails"), (2.0, "hints lost 3"), (4.0, "disk works"), (6.0, "disk slow 0.2")):
        trace.note(t, Kind.FAULT, step=f"{t:g} {step}")
    trace.note(7.0, Kind.FAULT, step="7 disk slow")
    trace.note(9.0, Kind.HEALED)
    found = timeline(Scenario("disk", "disk", ()), trace, Run("disk", 1, "d", 9.0))
    assert [(span.since, span.until, span.name) for span in found.troubles] == [
        (1.0, 4.0, "disk fails"),
        (2.0, 5.0, "no hints"),
        (6.0, 7.0, "disk slow"),
    ]


def test_a_locked_keyring_is_a_trouble_beside_the_disks() -> None:
    """Neither ends the other's, and that one opens which was not locked is nothing to tell."""
    trace = Trace()
    trace.note(0.0, Kind.CONDITION, 0, condition="whole", things="")
    for t, step in ((1.0, "disk full"), (2.0, "keyring locks"), (4.0, "disk works"), (6.0, "keyring opens")):
        trace.note(t, Kind.FAULT, step=f"{t:g} {step}")
    trace.note(9.0, Kind.FAULT, step="9 keyring opens")
    trace.note(9.0, Kind.HEALED)
    found = timeline(Scenario("keyring", "keyring", ()), trace, Run("keyring", 1, "d", 9.0))
    assert [(span.since, span.until, span.name) for span in found.troubles] == [
        (1.0, 4.0, "disk full"),
        (2.0, 6.0, "keyring locked"),
    ]
    assert not [moment for moment in found.moments if "keyring" in moment[1]]


def test_a_run_of_no_length_has_an_empty_timeline() -> None:
    """Nothing happened, and both pictures can be drawn all the same."""
    trace = Trace()
    trace.note(0.0, Kind.CONDITION, 0, condition="whole", things="")
    empty = timeline(Scenario("none", "nothing", ()), trace, Run("none", 1, "d", 0.0))
    assert empty.troubles == ()
    ET.fromstring(lanes.draw(empty).standalone())  # noqa: S314 - our own
    assert gantt.gantt(empty).count("    section ") == 3


# -- paper -----------------------------------------------------------------------------


def test_long_quiet_stretches_are_cut_short() -> None:
    """Eight hours of sleep take 3 s of paper, and what is before and after keeps its size."""
    paper = Paper.of([10.0, 28_810.0], 28_820.0, quiet_s=25.0, left_s=3.0)
    assert paper.cuts == [(10.0, 28_810.0)]
    assert [paper.place(t) for t in (0, 5, 10, 28_810, 28_820)] == [0, 5, 10, 13, 23]
    assert paper.length_s == 23


def test_paper_keeps_to_its_ends() -> None:
    """What lies beyond stands at the end; a run of no length has one place."""
    paper = Paper.of([4.0], 8.0, quiet_s=25.0, left_s=3.0)
    assert [paper.place(t) for t in (-1, 3, 9)] == [0, 3, 8]
    assert paper.cuts == []
    assert Paper.of([], 0.0, quiet_s=25.0, left_s=3.0).place(5.0) == 0


# -- the picture -----------------------------------------------------------------------


def texts(svg: str) -> list[str]:
    """Every word that can be seen."""
    root = ET.fromstring(svg)  # noqa: S314 - our own
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def tips(svg: str) -> dict[str, set[str]]:
    """What is said where one points at something, and what that is filled with."""
    groups = [each for each in ET.fromstring(svg).iter(f"{SVG}g") if each.find(f"{SVG}title") is not None]  # noqa: S314 - our own
    return {
        each.findtext(f"{SVG}title", ""): set(
            re.findall("fill: (#[0-9a-f]{6})", ET.tostring(each, "unicode"))
        )
        for each in groups
    }


def test_the_picture_shows_states_troubles_and_how_fast_it_was_back() -> None:
    """Each in the colour it has everywhere."""
    svg = lanes.draw(short()).standalone()
    words = texts(svg)
    for word in ("Connected", "Reconnecting", "link down", "loss", "vpn up", "300 ms", "all is whole"):
        assert word in words
    told = tips(svg)
    assert told["Reconnecting, 2.5 s to 4.25 s (1.75 s): link_lost, why"] == {LIGHT.ink[Tone.YELLOW].fill}
    assert told["link down, 2 s to 4 s (2 s)"] == {LIGHT.ink[Tone.RED].fill}
    assert told["loss, 2 s to 4 s (2 s)"] == {LIGHT.ink[Tone.GREY].fill}


def test_each_request_has_a_tick_with_its_own_words() -> None:
    """Words and marks are matched by their order; the marks of one outcome are one collection."""
    trace = short_trace()
    for t in (4.5, 5.0):
        trace.note(t, Kind.ASKED, 0, label=f"at {t}", ask="evaluate", timeout_s=5.0)
        trace.note(t + 0.01, Kind.OUTCOME, 0, label=f"at {t}", outcome="done", result="")
    root = ET.fromstring(lanes.draw(timeline(SCENARIO, trace, Run("s", 3, "d", 8.0))).inline())  # noqa: S314 - our own
    told = {each.findtext(f"{SVG}title", ""): next(each.iter(f"{SVG}path"), None) for each in root.iter()}
    marks = {words: mark.get("d", "") for words, mark in told.items() if mark is not None}
    places = {words: float(d.split()[1]) for words, d in marks.items() if "asked at" in words}
    assert [words.partition(",")[0] for words in sorted(places, key=places.__getitem__)] == [
        "7: asked at 1 s",
        "8: asked at 1.75 s",
        "9: asked at 2.75 s",
        "at 4.5: asked at 4.5 s",
        "at 5.0: asked at 5 s",
    ]


def test_the_picture_says_in_words_what_it_shows() -> None:
    """For those who cannot see it."""
    label = ET.fromstring(lanes.draw(short()).standalone()).attrib["aria-label"]  # noqa: S314 - our own
    assert label.startswith("a short story, seed 3. Troubles: link down from 2 s to 4 s")
    assert label.endswith("Back after: 300 ms.")


def test_hostile_words_stay_words() -> None:
    """What a trace holds may come from a peer: markup, formulas, letters that no font has."""
    evil = "</svg><script>alert(1)</script>"
    names = (evil, "\x1b[2J\x00", "$\\frac{1}{$", "\N{SNOWMAN}\N{CJK UNIFIED IDEOGRAPH-4E16}\N{PILE OF POO}")
    states = tuple(Span(float(n), n + 1.0, f"{name} {evil}") for n, name in enumerate(names))
    requests = (Request(0.0, 2.0, evil, evil),)
    recovery = Recovery(0, 1.0, 1.0, final=True, broken_s=1.0, how=evil)
    lane = Lane(0, states, (), requests, (recovery,))
    spans = tuple(Span(0.0, 1.0, name) for name in names)
    drawn = lanes.draw(Timeline("evil", evil, 1, 4.0, 2.0, spans, ((1.0, evil),), (lane,)))
    for svg in (drawn.standalone(), drawn.inline()):
        assert {evil, "�[2J�", *names[2:]} <= set(texts(svg))
        assert "<script" not in svg
        assert "\x1b" not in svg


def test_a_recovery_that_never_came_is_red() -> None:
    """It is not drawn as nothing."""
    run = Run("short", 3, "d", 8.0, recoveries=(Recovery(0, 4.0, None, final=True, broken_s=2.0),))
    svg = lanes.draw(timeline(SCENARIO, short_trace(), run)).standalone()
    assert "never" in texts(svg)
    assert tips(svg)["whole at 4 s, answered after never"] == {LIGHT.ink[Tone.RED].line}


def test_who_was_well_all_along_is_not_shown_as_a_recovery() -> None:
    """The answer is shown in grey, and not among the recoveries in words."""
    run = Run("short", 3, "d", 8.0, recoveries=(Recovery(0, 4.0, 0.3, final=True),))
    found = timeline(SCENARIO, short_trace(), run)
    svg = lanes.draw(found).standalone()
    assert tips(svg)["well all along, asked at 4 s, answered after 300 ms"] == {LIGHT.ink[Tone.GREY].line}
    assert "Back after: nothing to recover from." in svg
    assert "back in" not in gantt.gantt(found)


def test_the_same_run_gives_the_same_bytes() -> None:
    """So that a picture in the docs changes only with what it shows."""
    assert lanes.draw(short()).standalone() == lanes.draw(short()).standalone()


def test_every_colour_has_one_for_dark_pages() -> None:
    """A colour that was forgotten would glare, or vanish."""
    svg = lanes.draw(short()).inline()
    assert set(re.findall("#[0-9a-f]{6}", svg)) <= dark_of().keys()


# -- Mermaid ---------------------------------------------------------------------------


def test_the_chart_is_what_mermaid_reads() -> None:
    """Sections, tasks with begin and end in milliseconds, milestones; worked out from the trace above."""
    chart = gantt.gantt(short())
    body = chart.partition("gantt\n")[2]
    assert body == (
        "    title a short story (seed 3)\n"
        "    dateFormat x\n"
        "    axisFormat %s s\n"
        "    todayMarker off\n"
        "    section Faults\n"
        "    link down :crit, 2000, 4000\n"
        "    loss :2000, 4000\n"
        "    vpn up :milestone, 3000, 0ms\n"
        "    all is whole :done, milestone, 4000, 0ms\n"
        "    section Image\n"
        "    Fresh :0, 500\n"
        "    Connected :done, 500, 2500\n"
        "    Reconnecting :active, 2500, 4250\n"
        "    Connected :done, 4250, 6000\n"
        "    back in 300 ms :done, milestone, 4300, 0ms\n"
        "    section Requests\n"
        "    1 done, 1 unknown, 1 never told :0, 8000\n"
        "    unknown :crit, 1750, 2500\n"
    )


def test_nothing_in_the_chart_can_mean_something_else_to_mermaid() -> None:
    """Colons, semicolons, hashes, quotes, line ends and markup of a title do not get through."""
    evil = Scenario("evil", 'x: y; #z %%{init}%%\n    section "<b>', ())
    chart = gantt.gantt(timeline(evil, short_trace(), Run("evil", 1, "d", 8.0)))
    title = next(line for line in chart.splitlines() if line.strip().startswith("title"))
    assert title == "    title x y no. z init section b (seed 1)"
    assert chart.count("section ") == 3 + 1  # the word within the title


def test_what_is_left_out_is_said() -> None:
    """Mermaid draws time evenly, so a night is cut out and named."""
    trace = Trace()
    trace.note(0.0, Kind.CONDITION, 0, condition="whole", things="")
    trace.note(1.0, Kind.CONDITION, 0, condition="broken", things="awake")
    trace.note(28_801.0, Kind.CONDITION, 0, condition="whole", things="")
    trace.note(28_803.0, Kind.HEALED)
    chart = gantt.gantt(timeline(Scenario("sleep", "sleep", ()), trace, Run("sleep", 1, "d", 0.0)))
    assert "title sleep (seed 1), 8 h left out" in chart
    assert "asleep :crit, 1000, 6000" in chart
