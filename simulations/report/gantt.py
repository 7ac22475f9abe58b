"""A timeline as a Mermaid Gantt chart, for pages that render Mermaid themselves.

Mermaid has no words for two things, which are therefore said in the title: long stretches without an event
are left out, and the times after them are short by as much.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from diagrams.palette import LIGHT, Tone
from simulations.report import figures
from simulations.report.colours import OUTCOME_TONES, tone_of
from simulations.report.paper import Paper
from simulations.report.timeline import IMPAIRED, LEFT_S, QUIET_S, Lane, Span, Timeline

TAGS = {Tone.PLAIN: "", Tone.GREEN: "done", Tone.YELLOW: "active", Tone.RED: "crit", Tone.GREY: ""}
"""Mermaid knows four kinds of task; each gets the colour of a tone below."""

_VARIABLES = (("", Tone.PLAIN), ("done", Tone.GREEN), ("active", Tone.YELLOW), ("crit", Tone.RED))
_SPECIAL = re.compile(r"[^\w .,+/()'-]", re.ASCII)
"""What may mean something to Mermaid: colons end a name, semicolons a line, hashes begin a comment."""

_LETTER = 0.0075
"""Of the length of the chart, the width of a letter where it is shown about 900 pixels wide."""

_SEEN = 0.004
"""Of the length of the chart; what lasts less could not be seen, and its name would cover others."""

_REQUESTS_MOST = 6
"""Rows for requests that went wrong; where there are more they are only counted."""


def gantt(told: Timeline) -> str:
    """Write it."""
    paper = Paper.of(told.events, told.length_s, quiet_s=QUIET_S, left_s=LEFT_S)
    left_out = [f"{figures.duration(over - begin, 2)} left out" for begin, over in paper.cuts]
    title = ", ".join([f"{told.title} (seed {told.seed})", *left_out])
    lines = [
        *_head(),
        f"    title {_plain(title)}",
        "    dateFormat x",
        "    axisFormat %s s",
        "    todayMarker off",
    ]
    lines += ["    section Faults", *_troubles(told, paper)]
    for lane in told.lanes:
        name = "" if len(told.lanes) == 1 else f" {lane.image}"
        lines += [f"    section Image{name}", *_states(lane, paper)]
        lines += [f"    section Requests{name}", *_requests(lane, paper)]
    return "\n".join(lines) + "\n"


def _head() -> Iterator[str]:
    yield "---"
    yield "displayMode: compact"
    yield "config:"
    yield "  theme: base"
    yield "  themeVariables:"
    for kind, tone in _VARIABLES:
        ink = LIGHT.ink[tone]
        name = f"{kind}Task" if kind in {"done", "active"} else kind or "task"
        yield f'    {name}BkgColor: "{ink.fill}"'
        yield f'    {name}BorderColor: "{ink.line}"'
    for name in ("taskTextColor", "taskTextDarkColor", "taskTextLightColor", "taskTextOutsideColor"):
        yield f'    {name}: "{LIGHT.ink[Tone.GREY].text}"'
    for name in ("sectionBkgColor", "sectionBkgColor2"):
        yield f'    {name}: "{LIGHT.frame}"'
    yield f'    altSectionBkgColor: "{LIGHT.page}"'
    yield f'    gridColor: "{LIGHT.frame_line}"'
    yield "---"
    yield "gantt"


def _troubles(told: Timeline, paper: Paper) -> Iterator[str]:
    for span in told.troubles:
        yield _task(span.name, Tone.GREY if span.detail == IMPAIRED else Tone.RED, span, paper)
    for t, word in told.moments:
        yield _milestone(word, Tone.PLAIN, t, paper)
    if told.healed_s is not None:
        yield _milestone("all is whole", Tone.GREEN, told.healed_s, paper)


def _states(lane: Lane, paper: Paper) -> Iterator[str]:
    whole_s = paper.length_s or 1.0
    for span in lane.states:
        part = (paper.place(span.until) - paper.place(span.since)) / whole_s
        if part >= _SEEN:
            name = span.name if part >= _LETTER * len(span.name) else span.name[0]
            yield _task(name, tone_of(span.name), span, paper)
    for recovery in lane.recoveries:
        if recovery.total_s is not None and recovery.broken_s is not None:
            back_at = recovery.whole_at + recovery.total_s
            yield _milestone(f"back in {figures.duration(recovery.total_s)}", Tone.GREEN, back_at, paper)


def _requests(lane: Lane, paper: Paper) -> Iterator[str]:
    outcomes = Counter(request.outcome for request in lane.requests)
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    yield _task(told or "none", Tone.PLAIN, Span(0.0, paper.times[-1], ""), paper)
    wrong = [request for request in lane.requests if request.outcome != "done" and request.until is not None]
    for request in wrong if len(wrong) <= _REQUESTS_MOST else ():
        span = Span(request.since, request.until or request.since, request.outcome)
        yield _task(span.name, OUTCOME_TONES.get(request.outcome, Tone.RED), span, paper)


def _task(name: str, tone: Tone, span: Span, paper: Paper) -> str:
    begin = paper.place(span.since)
    end = max(paper.place(span.until), begin + _SEEN * paper.length_s)
    tag = f"{TAGS[tone]}, " if TAGS[tone] else ""
    return f"    {_plain(name)} :{tag}{begin * 1000:.0f}, {end * 1000:.0f}"


def _milestone(name: str, tone: Tone, at: float, paper: Paper) -> str:
    tag = f"{TAGS[tone]}, " if TAGS[tone] else ""
    return f"    {_plain(name)} :{tag}milestone, {paper.place(at) * 1000:.0f}, 0ms"


def _plain(words: str) -> str:
    """Leave only what Mermaid takes as it stands."""
    return " ".join(_SPECIAL.sub(" ", words.replace("#", "no. ")).split()) or "unnamed"
