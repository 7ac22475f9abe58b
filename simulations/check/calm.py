"""Laws 1, 3, 4, 6, 7, 8, 12 and 18: what gives no reason to touch a link must not touch it.

A calm is a time in which nothing happened that could hurt the link of an image: perhaps the image was busy,
an unrelated interface came and went, the disk failed, or another image was in trouble.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulations.check.story import ANSWERED, LIVE, Life, Spell, Story, Things, back, first, label_of, lost
from simulations.faults import Step, What
from simulations.results import Violation
from simulations.trace import Entry, Kind

QUIET_S = 4.0
"""After trouble: 3 s may pass until an idle link is found silent (DESIGN section 6), then it is replaced."""

CROWDED_S = 30.0
"""After a way of few bytes a second: what was sent meanwhile is still under way."""

FRESH_S = 0.5
"""After our process's start nothing is under way but its own first dial."""

DRAINED_S = 2.5
"""A replaced link may be kept for 2 s for its last reply."""

NOTICED_LATE_S = 6.0
"""Without the kernel's announcements a change is found by comparing, every 5 s."""

ENOUGH_S = 2.0
"""For an evaluation that nothing holds up: round trips take milliseconds."""

PING_IDLE_S = 5.0
"""An idle image is asked this often (machines.policy)."""

WIDE = 10_000.0
"""Bytes a second from which a full segment (1,460 bytes) takes less time than any silence that counts."""

GENTLE: dict[What, float] = {What.DELAY: 0.1, What.JITTER: 0.05}
"""A way that takes so many seconds more is ordinary: its round trip is less than a heartbeat's interval."""

HARMLESS_THINGS = frozenset({"busy", "~slow", "~name"})
HARMLESS = frozenset(
    {
        What.BYSTANDER,
        What.HINTS_LOST,
        What.HINTS_REPEATED,
        What.STEP_CLOCK,
        What.DISK_SLOW,
        What.DISK_FAILS,
        What.DISK_FULL,
        What.DISK_WORKS,
        What.IMAGE_BUSY,
        What.IMAGE_SLOW,
        What.LONG_EVALUATION,
        What.LARGE_EVALUATION,
        What.NAME_FAILS,
        What.NAME_HANGS,
        What.NAME_WORKS,
        What.RETRY,  # pressed only where an image rests, and then ACTION tells of it
        What.START,  # the lives of our process tell of these four
        What.CLOSE,
        What.KILL,
        What.POWER_CUT,
    }
)
"""A living link has no use for a name, for our disk, or for the time of day."""

OF_THE_INTERFACES = frozenset(
    {
        What.LINK_DOWN,
        What.LINK_UP,
        What.CARRIER_OFF,
        What.CARRIER_ON,
        What.LEASE_LOST,
        What.LEASE_BACK,
        What.LEASE_NEW,
        What.ROAM_AWAY,
        What.ROAM_ARRIVE,
        What.DOCK,
        What.UNDOCK,
        What.VPN_UP,
        What.VPN_DOWN,
    }
)

_LAWS: dict[What, int] = {What.BYSTANDER: 8, What.HINTS_REPEATED: 7, What.STEP_CLOCK: 6}
_NEW = frozenset({"Fresh", "Restored"})
_BLAMED_S = 3.0
"""What happens so soon after something harmless was probably done because of it."""


@dataclass(frozen=True, slots=True)
class Calm:
    """From `since`, when the image was connected, until something happened at `until`."""

    since: float
    until: float


def narrow(story: Story, image: int, since: float, until: float) -> bool:
    """Whether at some moment between so few bytes a second got through that silence meant nothing."""
    return _rough(story, image, What.RATE, since, until)


def calms(story: Story, image: int) -> tuple[Calm, ...]:
    """Every calm of one image, in order."""
    found: list[Calm] = []
    settled = 0.0
    for since, until, quiet_s in sorted(_disturbances(story, image)):
        if settled < since:
            begun = _connected_from(story, image, settled, since)
            if begun is not None and begun < since:
                found.append(Calm(begun, since))
        settled = max(settled, until + quiet_s)
    return tuple(found)


def next_fault(story: Story, image: int, since: float, until: float, *but: What) -> float:
    """When something happens from `since` on that could hurt the link by itself; at the latest `until`."""
    but_for = HARMLESS.union(but)
    faults = (t for t, step in story.faults_of(image) if since <= t < until and step.what not in but_for)
    return next(faults, until)


def left_alone(story: Story) -> Iterator[Violation]:
    """In a calm nothing is told, dialled, scouted, closed or lost."""
    for image in story.images:
        spans = calms(story, image)
        seen = list(story.of(Kind.TOLD, Kind.DIAL, Kind.SCOUT, Kind.ABORTED, Kind.LINK_ENDED, image=image))
        for calm in spans:
            touched = first(
                entry
                for entry in seen
                if calm.since < entry.t < calm.until and (entry.kind is not Kind.TOLD or lost(entry))
            )
            if touched is not None:
                what = (
                    f"{touched.kind} {_subject(touched)} though nothing had happened to the link since "
                    f"{calm.since:.3f}; the image was {_trouble(story, image, touched.t)}"
                )
                yield Violation(_law(story, image, touched.t), touched.t, image, what)


def few_pings(story: Story) -> Iterator[Violation]:
    """In a calm the image is asked for a sign of life now and then, not over and over (law 4)."""
    for image in story.images:
        probes = [e.t for e in story.of(Kind.ASKED, image=image) if e.data["ask"] == "ping"]
        pings = [e.t for e in story.of(Kind.SENT, image=image) if label_of(e) == "ping"]
        for calm in calms(story, image):
            sent = [t for t in pings if calm.since < t < calm.until]
            asked = sum(calm.since - PING_IDLE_S < t < calm.until for t in probes)
            if len(sent) > 2 + asked + (calm.until - calm.since) / PING_IDLE_S:
                what = f"{len(sent)} pings since {calm.since:.3f}, though nothing had happened to the link"
                yield Violation(4, sent[-1], image, what)


def served(story: Story) -> Iterator[Violation]:
    """In a calm, on a whole way, an idle image answers every evaluation that has two seconds' time."""
    for image in story.images:
        spans = calms(story, image)
        outcomes = {label_of(e): str(e.data["outcome"]) for e in story.of(Kind.OUTCOME, image=image)}
        for asked in story.of(Kind.ASKED, image=image):
            since, until = asked.t - ENOUGH_S, asked.t + ENOUGH_S
            if asked.data["ask"] != "evaluate" or float(asked.data["timeout_s"] or 0) < ENOUGH_S:
                continue
            if not any(calm.since <= asked.t and until < calm.until for calm in spans):
                continue
            outcome = outcomes.get(label_of(asked), "none")
            if outcome in ANSWERED or story.things_between(image, since, until):
                continue
            if not story.worked(image, since, until):
                law = 18 if _others_in_trouble(story, image, asked.t) else 12
                what = f"{label_of(asked)} ended as {outcome} though nothing was in its way"
                yield Violation(law, asked.t, image, what)


# -- what disturbs -------------------------------------------------------------------------------


def _disturbances(story: Story, image: int) -> Iterator[tuple[float, float, float]]:
    """Since, until, and how long it reverberates."""
    yield from _lifeless(story.lives, story.end)
    for spell in story.spells(image):
        if hurt := _hurting(story, image, spell):
            quiet_s = FRESH_S if hurt == {"process"} else CROWDED_S if "~rate" in hurt else QUIET_S
            yield spell.since, spell.until, quiet_s
    hidden = [(t, t + step.value + NOTICED_LATE_S) for t, step in story.faults_of(image, What.HINTS_LOST)]
    for t, step in story.faults_of(image):
        if step.what not in HARMLESS and not _leaves_it_whole(step):
            late = [until for since, until in hidden if since <= t < until and step.what in OF_THE_INTERFACES]
            yield t, max([t, *late]), QUIET_S
    for entry in story.of(Kind.ACTION, image=image):
        if not entry.data["refused"]:
            yield entry.t, entry.t, QUIET_S


def _lifeless(lives: tuple[Life, ...], end: float) -> Iterator[tuple[float, float, float]]:
    before = 0.0
    for life in lives:
        yield before, life.since, FRESH_S
        before = life.until
    yield min(before, end), float("inf"), 0.0


def _leaves_it_whole(step: Step) -> bool:
    if step.what is What.RATE:
        return step.value == 0 or step.value >= WIDE
    return step.what in GENTLE and step.value <= GENTLE[step.what]


def _hurting(story: Story, image: int, spell: Spell) -> Things:
    whole = {
        thing
        for thing, what in (("~rate", What.RATE), ("~delay", What.DELAY), ("~jitter", What.JITTER))
        if thing in spell.things and not _rough(story, image, what, spell.since, spell.until)
    }
    return spell.things - HARMLESS_THINGS - whole


def _rough(story: Story, image: int, what: What, since: float, until: float) -> bool:
    """Whether at some moment between the way was so bad that silence meant nothing."""
    begun: float | None = None
    for t, step in story.faults_of(image, what):
        if begun is not None and begun <= until and t > since:
            return True
        begun = None if _leaves_it_whole(step) else t
    return begun is not None and begun <= until


def _connected_from(story: Story, image: int, settled: float, until: float) -> float | None:
    """From when in this quiet the image was connected and every older link was gone."""
    begun = settled + story.lag_s(settled, settled + QUIET_S)
    found = [entry for entry in story.of(Kind.TOLD, image=image) if entry.t < until and back(entry)]
    if story.state(image, begun) not in LIVE:
        begun = next((entry.t for entry in found if entry.t >= begun), until)
    for entry in found:
        if entry.t <= begun:
            begun = max(begun, entry.t + (FRESH_S if entry.data["source"] in _NEW else DRAINED_S))
    return begun if story.state(image, begun) in LIVE else None


# -- whose law -----------------------------------------------------------------------------------


def _law(story: Story, image: int, t: float) -> int:
    if story.things(image, t) & {"busy", "~slow"}:
        return 3
    if _others_in_trouble(story, image, t):
        return 18
    for at, step in reversed(story.faults):
        if step.what in _LAWS and at <= t <= at + _BLAMED_S:
            return _LAWS[step.what]
    return 4 if "~rate" in story.things(image, t) else 1


def _others_in_trouble(story: Story, image: int, t: float) -> bool:
    return any(story.things(other, t) for other in story.images if other != image)


def _trouble(story: Story, image: int, t: float) -> str:
    return ", ".join(sorted(story.things(image, t))) or "idle"


def _subject(entry: Entry) -> str:
    data = entry.data
    if entry.kind is Kind.TOLD:
        return f"{data['trigger']} ({data['reason']})"
    return str(data.get("gen", data.get("address", "")))
