"""Measures recoveries: from the way being whole again to the first answer to a request issued since."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from simulations.check.story import LIVE, RESTING, Answer, Story, back, lost
from simulations.faults import TOUCHES, Condition, Touch
from simulations.results import Recovery, Violation
from simulations.scenarios import Scenario
from simulations.trace import Entry, Kind, Trace

PROMISE_S = 10.0
"""The user's bar: no recovery takes longer, whatever happened."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which an image may recover: from the way being whole to the next trouble, or to the end."""

    broken_at: float | None
    """When the outage began; None: there was none."""
    whole_at: float
    until: float
    final: bool


def recoveries(scenario: Scenario, trace: Trace) -> tuple[Recovery, ...]:
    """Every recovery that had the time to happen, in the order of images and time.

    One that the next trouble cut short within 10 s is left out.
    """
    return measured(Story(scenario, trace))


def measured(story: Story) -> tuple[Recovery, ...]:
    """As `recoveries`."""
    return tuple(
        recovery
        for image in story.images
        for window in windows(story, image)
        if (recovery := _measure(story, image, window)) is not None
    )


# -- windows -------------------------------------------------------------------------------------


def windows(story: Story, image: int) -> list[Window]:
    """Every time in which the way to the image was whole after trouble; the last is the end of it all."""
    watch = _Watch(story, image)
    disturbed = {t for t, step in story.faults_of(image) if TOUCHES.get(step.what, Touch()).disturbs}
    whole = True
    for entry in story.of(Kind.CONDITION, Kind.FAULT, Kind.HEALED, Kind.PROCESS, image=image):
        match entry.kind:
            case Kind.CONDITION:
                whole = entry.data["condition"] == Condition.WHOLE
                watch.condition(entry.t, str(entry.data["condition"]))
            case Kind.FAULT if whole and entry.t in disturbed:
                watch.cut(entry.t)
                watch.opened = Window(entry.t, entry.t, story.end, final=False)
            case Kind.HEALED:
                watch.healed(entry.t)
            case Kind.PROCESS if entry.data["what"] == "close":
                watch.cut(entry.t)
    watch.cut(story.end)
    return watch.closed


class _Watch:
    """Opens and closes the windows of one image."""

    def __init__(self, story: Story, image: int) -> None:
        self.opened: Window | None = None
        self.closed: list[Window] = []
        self._story = story
        self._image = image
        self._answers = story.answers(image)
        self._broken_at: float | None = None

    def cut(self, t: float) -> None:
        """The next trouble, or the end."""
        if self.opened is not None and self.opened.whole_at < t:
            self.closed.append(replace(self.opened, until=t))
        self.opened = None

    def condition(self, t: float, condition: str) -> None:
        """The way is whole, impaired or broken from now on."""
        if condition == Condition.BROKEN and self._broken_at is None:
            self._broken_at = t
        if condition != Condition.WHOLE:
            self.cut(t)
        elif self._broken_at is not None:
            impaired_since = _last_broken(self._story, self._image, t)
            if impaired_since == t or first_answer(self._answers, impaired_since, t) is None:
                self.cut(t)
                self.opened = Window(self._broken_at, t, self._story.end, final=False)
            self._broken_at = None

    def healed(self, t: float) -> None:
        """Whole for good: a recovery under way is the final one."""
        if self.opened is None or first_answer(self._answers, self.opened.whole_at, t) is not None:
            self.cut(t)
            self.opened = Window(None, t, self._story.end, final=True)
        else:
            self.opened = replace(self.opened, final=True)


def _last_broken(story: Story, image: int, t: float) -> float:
    """When, before `t`, the way was last broken."""
    spells = story.spells(image)
    ends = [s.until for s in spells if s.until <= t and any(not thing.startswith("~") for thing in s.things)]
    return ends[-1] if ends else t


def first_answer(given: tuple[Answer, ...], since: float, until: float) -> float | None:
    """When the first request issued at or after `since` was answered, if that was before `until`."""
    begin = bisect_left(given, since, key=lambda answer: answer.at)
    return next((a.at for a in given[begin:] if a.asked_at >= since and a.at <= until), None)


# -- measuring -----------------------------------------------------------------------------------


def _measure(story: Story, image: int, window: Window) -> Recovery | None:
    """What this window shows; None: it was too short to show anything, or nobody asked, or decided.

    Whoever asks while the image works on a request of ours waits for that: this is not measured either.
    """
    answered_at = first_answer(story.answers(image), window.whole_at, window.until)
    whole_at = _asked_to_retry(story, image, window, answered_at)
    if story.worked(image, whole_at, window.until if answered_at is None else answered_at):
        return None
    if answered_at is not None:
        return _phases(story, image, replace(window, whole_at=whole_at), answered_at)
    asked_at = _first_asked(story, image, window)
    late = asked_at is not None and window.until - max(whole_at, asked_at) >= PROMISE_S
    if window.final or (late and not _rests(story, image, window.until)):
        detect_s = _detect_s(story, image, window)
        return Recovery(image, whole_at, None, window.final, _broken_s(window), detect_s=detect_s)
    return None


def _first_asked(story: Story, image: int, window: Window) -> float | None:
    """When the user first asked for something in this window."""
    asked = (entry.t for entry in story.of(Kind.ASKED, image=image))
    return next((t for t in asked if window.whole_at <= t < window.until), None)


def _rests(story: Story, image: int, t: float) -> bool:
    return story.state(image, t) in RESTING


def _asked_to_retry(story: Story, image: int, window: Window, answered_at: float | None) -> float:
    """From when it could recover: where it waited for a person, from when that person said "retry"."""
    until = window.until if answered_at is None else answered_at
    pressed = [
        entry.t
        for entry in story.of(Kind.ACTION, image=image)
        if window.whole_at < entry.t <= until and entry.data["action"] in ("retry", "adopt", "reconnect")
    ]
    return min((t for t in pressed if _rests(story, image, t)), default=window.whole_at)


def _broken_s(window: Window) -> float | None:
    return None if window.broken_at is None else window.whole_at - window.broken_at


def _detect_s(story: Story, image: int, window: Window) -> float | None:
    """From the break to our leaving Connected."""
    if window.broken_at is None:
        return None
    for entry in story.of(Kind.TOLD, image=image):
        if window.broken_at <= entry.t < window.until and lost(entry):
            return entry.t - window.broken_at
    return None


def _phases(story: Story, image: int, window: Window, answered_at: float) -> Recovery:
    """Where the time went."""
    began, whole_at = window.broken_at or window.whole_at, window.whole_at
    told = [e for e in story.of(Kind.TOLD, image=image) if began <= e.t < window.until and back(e)]
    before = [entry for entry in told if entry.t <= answered_at]
    won = before[-1] if before else told[0] if told else None
    recovery = Recovery(
        image,
        whole_at,
        answered_at - whole_at,
        window.final,
        _broken_s(window),
        how="" if won is None else f"{won.data['trigger']}: {won.data['reason']}",
        detect_s=_detect_s(story, image, window),
    )
    marks = [] if won is None else _dial_of(story, image, won)
    if not marks:
        decided_at = whole_at if won is None else min(max(won.t, whole_at), answered_at)
        return replace(recovery, decide_s=decided_at - whole_at, answer_s=answered_at - decided_at)
    times = [whole_at, *(min(max(mark, whole_at), answered_at) for mark in marks), answered_at]
    spans = [later - earlier for earlier, later in pairwise(times)]
    return replace(
        recovery,
        decide_s=spans[0],
        dial_s=spans[1],
        handshake_s=spans[2],
        restore_s=spans[3],
        answer_s=spans[4],
    )


def _dial_of(story: Story, image: int, won: Entry) -> list[float]:
    """Dialled, accepted, handshaken and told, of the dial that won; empty: an old link survived."""
    if str(won.data["trigger"]).startswith("link_resumed") or won.data["reason"] == "link survived":
        return []
    seen: dict[object, dict[Kind, float]] = {}
    newest: dict[Kind, float] = {}
    for entry in story.of(Kind.DIAL, Kind.ACCEPTED, Kind.HANDSHAKEN, image=image):
        if entry.t > won.t:
            break
        if entry.kind is Kind.DIAL:
            seen[entry.data["gen"]] = {}
        seen.setdefault(entry.data["gen"], {})[entry.kind] = entry.t
        if entry.kind is Kind.HANDSHAKEN:
            newest = seen[entry.data["gen"]]
    if len(newest) != len((Kind.DIAL, Kind.ACCEPTED, Kind.HANDSHAKEN)):
        return []
    return [newest[Kind.DIAL], newest[Kind.ACCEPTED], newest[Kind.HANDSHAKEN], won.t]


# -- law 10 --------------------------------------------------------------------------------------


def promise_is_kept(story: Story) -> Iterator[Violation]:
    """Every image is back 10 s after its way is whole: told connected, and answering whoever asks."""
    for image in story.images:
        final = False
        for window in windows(story, image):
            final = final or window.final
            yield from _broken_promise(story, image, window)
        if not final and any(True for _ in story.of(Kind.HEALED)):
            yield Violation(10, story.end, image, "nobody looked whether it is back")


def _broken_promise(story: Story, image: int, window: Window) -> Iterator[Violation]:
    """Time in which the image works on requests of ours does not count: others wait for that."""
    answered_at = first_answer(story.answers(image), window.whole_at, window.until)
    whole_at = _asked_to_retry(story, image, window, answered_at)
    due = story.idle_for(image, whole_at, PROMISE_S)
    told_by = due + story.lag_s(whole_at, due)
    late = window.until >= told_by and story.state(image, told_by) not in LIVE
    asked_at = _first_asked(story, image, window)
    if asked_at is not None:
        answer_by = story.idle_for(image, max(whole_at, asked_at), PROMISE_S)
        late = late or (window.until if answered_at is None else answered_at) > answer_by
    if late and (window.final or not _rests(story, image, told_by)):
        took = "not answered" if answered_at is None else f"answered after {answered_at - whole_at:.3f} s"
        what = f"{took} since its way was whole; stuck in: {stuck(story, image, whole_at)}"
        yield Violation(10, due, image, what)
    elif window.final and answered_at is None:
        yield Violation(10, window.until, image, "the run ended before it was seen to be back")
    elif window.final and _rests(story, image, window.until):
        what = f"at the end of it all it is {story.state(image, window.until)}, waiting for a decision"
        yield Violation(10, window.until, image, what)


def stuck(story: Story, image: int, since: float) -> str:
    """How far a recovery that began at `since` had come after 10 s."""
    until = since + PROMISE_S
    state = story.state(image, until)
    if state in RESTING:
        return f"{state}, waiting for a decision"
    told = [e.t for e in story.of(Kind.TOLD, image=image) if since <= e.t <= until and back(e)]
    if told:
        return f"answer: told connected {told[0] - since:.3f} s after the way was whole"
    if state in LIVE:
        return "answer: told connected all the time"
    kinds = {e.kind for e in story.of(*_PHASES, image=image) if since <= e.t <= until}
    return next((phase for kind, phase in _PHASES.items() if kind in kinds), "decide: nothing was tried")


_PHASES = {
    Kind.HANDSHAKEN: "restore: handshaken, and not told connected",
    Kind.ACCEPTED: "handshake: accepted, and no handshake",
    Kind.DIAL: "dial: nobody accepted",
    Kind.SCOUT: "decide: scouted, and not dialled",
}
"""The furthest that anything came, the furthest first."""
