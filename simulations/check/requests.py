"""Laws 11, 12 and 13: a request is carried out once or not at all, and told of once, in time and truly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from simulations.check.links import Link, followed
from simulations.check.story import ANSWERED, OUR_NETWORK, Story, is_work, is_wrong, label_of, result_of
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Entry, Kind

NOT_DONE = frozenset({"expired", "refused"})
"""Outcomes that promise that the image never saw the request."""

SAFE_TO_REPEAT = "lost"
"""The outcome of what was sent and only reads: asking again is safe. Never that of an evaluation."""

LATE_S = 0.25
"""A timer goes off on time in the virtual world; a real loop may be held up a little."""

UNDER_WAY_S = 0.5
"""Beyond what the way's own delay explains: one retransmission of what left before the link was closed."""

ABANDONED_S, ABANDONED_LATE_S = 1.5, 3.0
"""A request given up on a link that seems well: until then the link is found silent and closed (law 4). Later
where acknowledgements still come: when packets are lost here and there, or in one direction."""

HELD_BY_OUR_KERNEL_S = 3.0
"""While it looks for its gateway it keeps what is to leave; it asks three times, a second apart."""

WAITS_AT_THE_IMAGE = frozenset({"busy", "~slow", "frozen", "stall way", "~rate"})
"""Where what has left us may lie, out of our reach, until it is carried out."""


def never_twice(story: Story) -> Iterator[Violation]:
    """An evaluation is handed to a link once at most and carried out once at most, for ever."""
    for kind in (Kind.SENT, Kind.EXECUTED):
        seen: dict[str, float] = {}
        for entry in story.of(kind):
            label = label_of(entry)
            if is_work(label):
                if label in seen:
                    what = f"{label} was {kind} again, first at {seen[label]:.3f}"
                    yield Violation(11, entry.t, entry.image, what)
                seen.setdefault(label, entry.t)


def outcomes_are_true(story: Story) -> Iterator[Violation]:
    """Done means done, with its own result; expired and refused mean never begun."""
    sent = {label_of(entry): entry for entry in story.of(Kind.SENT)}
    executed: dict[str, Entry] = {}
    for entry in story.of(Kind.EXECUTED):
        executed.setdefault(label_of(entry), entry)
    for entry in story.of(Kind.OUTCOME):
        label, outcome = label_of(entry), entry.data["outcome"]
        if not is_work(label):
            continue  # see `probes_are_answered`
        begun = executed.get(label)
        if outcome in NOT_DONE and (begun or label in sent):
            seen = "carried out" if begun else "sent"
            at = (begun or sent[label]).t
            yield Violation(
                11, entry.t, entry.image, f"{label} ended as {outcome} but was {seen} at {at:.3f}"
            )
        elif outcome == SAFE_TO_REPEAT:
            yield Violation(
                11, entry.t, entry.image, f"{label} ended as {outcome}: asked again it may run twice"
            )
        elif outcome in ANSWERED and (begun is None or begun.t > entry.t):
            yield Violation(13, entry.t, entry.image, f"{label} is {outcome}, though no image carried it out")
        elif outcome in ANSWERED and is_wrong(label) != (outcome == "failed"):
            yield Violation(13, entry.t, entry.image, f"{label} came back as {outcome}")
        elif outcome == "done" and str(entry.data["result"]) != result_of(label):
            what = f"{label} came back as {entry.data['result']}: the answer to another request"
            yield Violation(13, entry.t, entry.image, what)


def probes_are_answered(story: Story) -> Iterator[Violation]:
    """A ping that came back was answered by an image since it was asked: recoveries are measured by it."""
    for image in story.images:
        asked: dict[str, float] = {}
        answered_at = float("-inf")
        for entry in story.of(Kind.ASKED, Kind.ANSWERED, Kind.OUTCOME, image=image):
            label = label_of(entry)
            if entry.kind is Kind.ASKED:
                asked[label] = entry.t
            elif entry.kind is Kind.ANSWERED:
                answered_at = entry.t if label == "ping" else answered_at
            elif not is_work(label) and entry.data["outcome"] in ANSWERED and answered_at < asked[label]:
                yield Violation(13, entry.t, image, f"{label} came back, and no image answered a ping since")


@dataclass(slots=True)
class _Waiting:
    asked_at: float
    due: float


def told_once_in_time(story: Story) -> Iterator[Violation]:
    """Every request has one outcome, by its deadline, unless our process or its caller goes first."""
    for image in story.images:
        waiting: dict[str, deque[_Waiting]] = {}
        probe, gone = "", set[str]()
        for entry in story.of(Kind.ASKED, Kind.OUTCOME, Kind.PROCESS, image=image):
            if entry.kind is Kind.PROCESS:
                yield from _overdue(waiting, entry.t, image)
                gone |= set(waiting)
                waiting = {}
            elif entry.kind is Kind.ASKED:
                label = label_of(entry)
                if entry.data["ask"] == "ping" and label.startswith("probe"):
                    gone.add(probe)  # whoever asks anew has stopped waiting
                    waiting.pop(probe, None)
                    probe = label
                due = story.due(entry.t, float(entry.data["timeout_s"] or 0)) + LATE_S
                waiting.setdefault(label, deque()).append(_Waiting(entry.t, due))
            else:
                yield from _settle(waiting, gone, entry)
        yield from _overdue(waiting, story.end, image)


def _settle(waiting: dict[str, deque[_Waiting]], gone: set[str], entry: Entry) -> Iterator[Violation]:
    label = label_of(entry)
    if not waiting.get(label):
        if label not in gone:
            yield Violation(12, entry.t, entry.image, f"{label} has an outcome and nobody waited for it")
        return
    asked = waiting[label].popleft()
    if not waiting[label]:
        del waiting[label]
    if entry.t > asked.due:
        what = f"{label}, asked at {asked.asked_at:.3f}, was told {entry.data['outcome']} after its deadline"
        yield Violation(12, entry.t, entry.image, what)


def _overdue(waiting: dict[str, deque[_Waiting]], now: float, image: int) -> Iterator[Violation]:
    for label, asked in waiting.items():
        for each in asked:
            if each.due < now:
                what = f"{label}, asked at {each.asked_at:.3f}, was never told anything"
                yield Violation(12, each.due, image, what)


# -- ghosts --------------------------------------------------------------------------------------


def no_ghosts(story: Story) -> Iterator[Violation]:
    """What was given up does not run later, unless it had left us before and lay where we cannot reach it."""
    for image in story.images:
        gave_up = {
            label_of(e): e.t for e in story.of(Kind.OUTCOME, image=image) if e.data["outcome"] not in ANSWERED
        }
        sent: dict[str, tuple[float, Link]] = {}
        for entry, _, link in followed(story, image):
            if entry.kind is Kind.SENT and link is not None:
                sent[label_of(entry)] = entry.t, link
            elif entry.kind is Kind.EXECUTED and label_of(entry) in sent and is_work(label_of(entry)):
                sent_at, carrier = sent[label_of(entry)]
                what = _ghost(story, entry, sent_at, carrier, gave_up.get(label_of(entry)))
                if what:
                    yield Violation(11, entry.t, image, f"{label_of(entry)} ran {what}")


def _ghost(story: Story, entry: Entry, sent_at: float, carrier: Link, gave_up: float | None) -> str:
    """How this execution came too late; empty if it did not."""
    image, t = entry.image, entry.t
    if t <= sent_at + UNDER_WAY_S:
        return ""
    things = story.things_between(image, sent_at, t)
    if things & WAITS_AT_THE_IMAGE or story.worked(image, sent_at, t):
        return ""
    held_s = _delay_s(story, image, sent_at, t) + (HELD_BY_OUR_KERNEL_S if things & OUR_NETWORK else 0.0)
    if carrier.closed_at is not None and t > carrier.closed_at + UNDER_WAY_S + held_s:
        return f"though its link {carrier.gen} had been closed at {carrier.closed_at:.3f}"
    half = any(True for at, _ in story.faults_of(image, What.DROP_OUT, What.DROP_IN) if at <= t)
    abandoned_s = ABANDONED_LATE_S if half or things & {"~loss", "~mtu"} else ABANDONED_S
    if gave_up is not None and t > story.due(gave_up, abandoned_s + held_s):
        return f"though its caller had been told at {gave_up:.3f} that nobody knows"
    return ""


def _delay_s(story: Story, image: int, since: float, until: float) -> float:
    """The longest that the way held anything back in this time, one direction."""
    return sum(_worst(story, image, what, since, until) for what in (What.DELAY, What.JITTER))


def _worst(story: Story, image: int, what: What, since: float, until: float) -> float:
    steps = [(0.0, 0.0), *((t, step.value) for t, step in story.faults_of(image, what))]
    ends = [*(t for t, _ in steps[1:]), float("inf")]
    held = (value for (t, value), end in zip(steps, ends, strict=True) if t <= until and end > since)
    return max(held)
