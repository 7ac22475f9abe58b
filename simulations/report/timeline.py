"""One run as spans of time: what was broken, which state each image was in, what was asked and came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from machines.table import INITIAL
from simulations.check.story import Story
from simulations.faults import EVERYONE, TOUCHES, Step, What
from simulations.report import figures
from simulations.results import Recovery, Run
from simulations.scenarios import Scenario
from simulations.trace import Entry, Kind, Trace

QUIET_S, LEFT_S = 60.0, 5.0
"""Nobody learns anything from eight hours of sleep drawn to scale: longer stretches without an event become
short."""

IMPAIRED = "~"
"""Begins the names of things that only impair the way (see `faults.Touch`)."""

NAMES = {
    "link": "link down",
    "carrier": "no carrier",
    "lease": "no address",
    "drop": "silent drop",
    "stall way": "way stalled",
    "image": "image down",
    "saving": "image saves",
    "busy": "image busy",
    "frozen": "image frozen",
    "right image": "wrong peer",
    "host": "host down",
    "awake": "asleep",
    "running": "held",
    "process": "process down",
    "wanted": "disconnected",
    "verdict": "waits for a word",
}
"""What a broken thing is called on a picture; others are called by their own name."""

_DISK = {What.DISK_FAILS: "disk fails", What.DISK_FULL: "disk full", What.DISK_SLOW: "disk slow"}
_KEYRING = {What.KEYRING_LOCKS: "keyring locked"}
_ENDS = frozenset({What.UNDROP, What.DISK_WORKS, What.KEYRING_OPENS})


@dataclass(frozen=True, slots=True)
class Span:
    """Something lasts from `since` to `until`, in seconds of the run."""

    since: float
    until: float
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the user's; `until` None: the run, or our process, ended first."""

    since: float
    until: float | None
    label: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One image."""

    image: int
    states: tuple[Span, ...]
    """Without those times at which our process does not run."""
    broken: tuple[Span, ...]
    requests: tuple[Request, ...]
    recoveries: tuple[Recovery, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run."""

    key: str
    title: str
    seed: int
    length_s: float
    healed_s: float | None
    troubles: tuple[Span, ...]
    """What was broken or impaired, in the order in which it began."""
    moments: tuple[tuple[float, str], ...]
    """Steps that last no time."""
    lanes: tuple[Lane, ...]

    @property
    def events(self) -> Iterator[float]:
        """Every moment at which something begins or ends; requests are too many to count."""
        for span in self.troubles:
            yield from (span.since, span.until)
        for t, _ in self.moments:
            yield t
        for lane in self.lanes:
            for span in lane.states:
                yield from (span.since, span.until)
        if self.healed_s is not None:
            yield self.healed_s


def timeline(scenario: Scenario, trace: Trace, run: Run) -> Timeline:
    """Read one run."""
    story = Story(scenario, trace)
    healed = next(story.of(Kind.HEALED), None)
    troubles = sorted(
        [
            *_broken_for(story),
            *_stored(story, _DISK, What.DISK_WORKS),
            *_stored(story, _KEYRING, What.KEYRING_OPENS),
            *_deaf(story),
        ],
        key=lambda span: (span.since, span.name),
    )
    return Timeline(
        key=scenario.key,
        title=scenario.title,
        seed=run.seed,
        length_s=story.end,
        healed_s=None if healed is None else healed.t,
        troubles=tuple(troubles),
        moments=tuple(_moments(story)),
        lanes=tuple(_lane(story, run, image) for image in story.images),
    )


def who(images: Sequence[int], of: int) -> str:
    """Name some of the images; nothing if it is all of them."""
    return "" if len(images) == of else " " + " ".join(f"#{image}" for image in images)


# -- what was broken -------------------------------------------------------------------------------


def _broken_for(story: Story) -> Iterator[Span]:
    """Give each thing once, with the images it concerned."""
    concerned: dict[tuple[float, float, str], list[int]] = {}
    for image in story.images:
        things = {thing for spell in story.spells(image) for thing in spell.things}
        for thing in sorted(things):
            for run in story.runs(image, lambda found, thing=thing: thing in found):  # type: ignore[misc] # mypy infers no type for a default
                concerned.setdefault((run.since, min(run.until, story.end), thing), []).append(image)
    for (since, until, thing), images in concerned.items():
        if until > since:
            name = NAMES.get(thing, thing.removeprefix(IMPAIRED)) + who(images, len(story.images))
            yield Span(since, until, name, detail=IMPAIRED if thing.startswith(IMPAIRED) else "")


def _stored(story: Story, names: Mapping[What, str], ends: What) -> Iterator[Span]:
    """Disk and keyring do not lie on the way to an image; their troubles are read from the steps."""
    since, name = 0.0, ""
    for t, step in (*story.faults, (story.end, Step(story.end, ends))):
        if step.what not in names and step.what is not ends:
            continue
        if name:
            yield Span(since, t, name, detail=IMPAIRED)
        slow_no_more = step.what is What.DISK_SLOW and not step.value
        since, name = t, "" if slow_no_more else names.get(step.what, "")


def _deaf(story: Story) -> Iterator[Span]:
    for t, step in story.faults:
        if step.what is What.HINTS_LOST:
            yield Span(t, min(t + step.value, story.end), "no hints", detail=IMPAIRED)


def _moments(story: Story) -> Iterator[tuple[float, str]]:
    """Steps after which nothing is broken that was whole: they disturb, or are heard, or do no harm."""
    for t, step in story.faults:
        touch = TOUCHES.get(step.what)
        lasts = step.what in _DISK | _KEYRING or step.what in _ENDS or step.what is What.HINTS_LOST
        if lasts or (touch is not None and not touch.disturbs):
            continue
        value = f" {figures.duration(step.value)}" if step.what is What.STEP_CLOCK else ""
        image = "" if step.image == EVERYONE or len(story.images) == 1 else f" #{step.image}"
        yield t, f"{step.what}{value}{image}"


# -- what an image went through --------------------------------------------------------------------


def _lane(story: Story, run: Run, image: int) -> Lane:
    broken = story.runs(image, lambda things: any(not thing.startswith(IMPAIRED) for thing in things))
    return Lane(
        image=image,
        states=tuple(_states(story, image)),
        broken=tuple(
            Span(spell.since, min(spell.until, story.end), ", ".join(sorted(spell.things)))
            for spell in broken
        ),
        requests=tuple(_requests(story, image)),
        recoveries=tuple(each for each in run.recoveries if each.image == image),
    )


def _states(story: Story, image: int) -> Iterator[Span]:
    since, name, why = 0.0, "", ""
    for entry in story.of(Kind.TOLD, Kind.PROCESS, image=image):
        now, because = _state_after(entry, name)
        if now == name:
            continue
        if name and entry.t > since:
            yield Span(since, entry.t, name, why)
        since, name, why = entry.t, now, because
    if name:
        yield Span(since, story.end, name, why)


def _state_after(entry: Entry, before: str) -> tuple[str, str]:
    """Give the state from this entry on, and why; no state while our process does not run."""
    if entry.kind is Kind.TOLD:
        words = (str(entry.data.get(name) or "") for name in ("trigger", "reason", "detail"))
        return str(entry.data["target"]), ", ".join(word for word in words if word)
    match entry.data["what"]:
        case "start":
            return INITIAL.value, "our process starts"
        case "close":
            return before, ""
        case _:
            return "", ""


def _requests(story: Story, image: int) -> Iterator[Request]:
    waiting: dict[str, float] = {}
    for entry in story.of(Kind.ASKED, Kind.OUTCOME, image=image):
        label = str(entry.data["label"])
        if entry.kind is Kind.ASKED:
            waiting[label] = entry.t
        elif label in waiting:
            yield Request(waiting.pop(label), entry.t, label, str(entry.data["outcome"]))
    for label, since in waiting.items():
        yield Request(since, None, label, "never told")
