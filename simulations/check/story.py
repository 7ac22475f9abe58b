"""A trace made ready for judging: entries by kind and image, and what was broken when.

Laws read only the kinds that concern them, so that judging costs little beside playing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

from simulations.faults import EVERYONE, Step, What
from simulations.scenarios import Scenario
from simulations.trace import Entry, Kind, Trace

LIVE = frozenset({"Connected", "Modified"})
"""The states that claim a working link."""

RESTING = frozenset({"Failed", "Orphaned"})
"""The states that wait for a person."""

OUR_NETWORK = frozenset({"link", "carrier", "lease"})
"""Things of our own interfaces."""

NO_LIFE = ""
"""The state while our process does not run."""

STOPPED = frozenset({"running", "awake"})
"""Things that are broken while our own process stands still."""

SYNCS_OF_A_TRANSITION = 6
"""A transition waits for the sync under way and for its own; each may be a few of the disk's."""

LAG_S = 0.1
"""From a decision to its being told, on a disk that is well."""

MOST_LAG_S = 2.0
"""A disk that does not answer for 1 s is told to hang, and nothing waits for it; so long twice."""

SYNCS_OF_A_JOB = 12
"""What the disk is asked for at once, at most: a damaged session read, set aside and mended. Others wait."""

ANSWERED = frozenset({"done", "failed"})
"""Outcomes that come from the image: a result, or an error of its own."""

WRONG = "nil foo. "
"""How code begins that the image answers with an error."""

AT_ONCE_S = 0.1
"""An image answers a ping or a number in less."""

_WAITS = re.compile(r"\(Delay forSeconds: ([0-9.]+)\)")

Things = frozenset[str]


@dataclass(frozen=True, slots=True)
class Spell:
    """From `since` until `until` (seconds) these things were broken or impaired on the way to one image."""

    since: float
    until: float
    things: Things

    @property
    def lasted_s(self) -> float:
        """Seconds."""
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Life:
    """One run of our process; `until` is when it was killed, or asked to close."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A request of the user that was answered."""

    asked_at: float
    at: float


class Story:
    """One run, for those who judge it. `end` is when the last entry was written."""

    def __init__(self, scenario: Scenario, trace: Trace) -> None:
        self.scenario = scenario
        self.images = range(scenario.images)
        self.end = trace.entries[-1].t if trace.entries else 0.0
        self._filed: dict[tuple[Kind, int], list[tuple[int, Entry]]] = {}
        self._merged: dict[tuple[tuple[Kind, ...], int | None], list[Entry]] = {}
        """What was asked for before; several laws read the same."""
        filed = self._filed
        for place, entry in enumerate(trace.entries):
            filed.setdefault((entry.kind, entry.image), []).append((place, entry))
        self.faults = tuple((entry.t, _step(entry)) for entry in self.of(Kind.FAULT))
        self.lives = tuple(self._lives())
        self._spells = [self._spells_of(image) for image in self.images]
        self._states = [self._states_of(image) for image in self.images]
        self._work = [tuple(self._work_of(image)) for image in self.images]
        self._answers = [tuple(self._answers_of(image)) for image in self.images]
        self._slow_disk = tuple(self._slow_disk_spells())
        self.stops = self.runs(0, lambda things: bool(things & STOPPED)) if scenario.images else ()

    # -- entries ---------------------------------------------------------------------------

    def of(self, *kinds: Kind, image: int | None = None) -> Iterator[Entry]:
        """Entries of some kinds, in the order they were written; of one image and of none in particular."""
        whole = self._merged.get((kinds, image))
        if whole is None:
            if image is None:
                found = [filed for (kind, _), filed in self._filed.items() if kind in kinds]
            else:
                found = [self._filed.get((kind, who), []) for kind in kinds for who in (image, EVERYONE)]
            whole = [entry for _, entry in sorted(chain.from_iterable(found))]
            self._merged[kinds, image] = whole
        return iter(whole)

    def faults_of(self, image: int, *kinds: What) -> Iterator[tuple[float, Step]]:
        """When which steps were played that touch this image; of all kinds if none is named."""
        return (
            (t, step)
            for t, step in self.faults
            if step.image in (image, EVERYONE) and (not kinds or step.what in kinds)
        )

    # -- conditions ------------------------------------------------------------------------

    def spells(self, image: int) -> tuple[Spell, ...]:
        """What was broken or impaired for this image, without gaps, from the first word on it to the end."""
        return self._spells[image]

    def things(self, image: int, t: float) -> Things:
        """What is broken or impaired at `t`."""
        spells = self._spells[image]
        place = bisect_right(spells, t, key=lambda spell: spell.since) - 1
        return spells[place].things if place >= 0 else frozenset()

    def things_between(self, image: int, since: float, until: float) -> Things:
        """Everything that was broken or impaired at some moment between."""
        over = (s.things for s in self._spells[image] if s.since <= until and s.until > since)
        return frozenset().union(*over)

    def runs(self, image: int, wanted: Callable[[Things], bool]) -> tuple[Spell, ...]:
        """The longest spells whose things are as `wanted` throughout; their things are all that occurred."""
        found: list[Spell] = []
        for spell in self._spells[image]:
            if not wanted(spell.things):
                continue
            if found and found[-1].until == spell.since:
                spell = Spell(found[-1].since, spell.until, found.pop().things | spell.things)  # noqa: PLW2901 - it grows
            found.append(spell)
        return tuple(found)

    # -- states ----------------------------------------------------------------------------

    def state(self, image: int, t: float) -> str:
        """The state last told before `t`; "Fresh" from a process's start, `NO_LIFE` from its end."""
        states = self._states[image]
        place = bisect_right(states, t, key=lambda state: state[0]) - 1
        while place >= 0 and states[place][0] == t:
            place -= 1
        return states[place][1] if place >= 0 else NO_LIFE

    def lag_s(self, since: float, until: float = 0.0) -> float:
        """How long after a decision it may be told, at most, between: the disk comes first (law 14)."""
        slowest_s = self.slowest_sync_s(since, max(since, until))
        return LAG_S + min(MOST_LAG_S, SYNCS_OF_A_TRANSITION * slowest_s)

    def slowest_sync_s(self, since: float, until: float) -> float:
        """What one sync of the disk took at most, between."""
        slow = (value for begun, ended, value in self._slow_disk if begun <= until and ended >= since)
        return max(slow, default=0.0)

    def decided_from(self, told_at: float) -> float:
        """When what is told at `told_at` was decided at the earliest: we may have stood still in between."""
        since = told_at - self.lag_s(told_at)
        for stop in reversed(self.stops):
            if stop.since < told_at and stop.until >= since:
                since = min(since, stop.since - self.lag_s(stop.since))
        return since

    def life(self, t: float) -> Life | None:
        """The life of our process at `t`."""
        return next((life for life in self.lives if life.since <= t < life.until), None)

    # -- clocks ----------------------------------------------------------------------------

    def due(self, t: float, after_s: float) -> float:
        """When a timer set at `t` goes off at the latest: the clock stops in sleep, and we in a stall."""
        due = t + after_s
        for stop in self.stops:
            if stop.since >= due:
                break
            if stop.until <= t:
                continue
            if "awake" in stop.things:
                due += stop.until - max(stop.since, t)
            due = max(due, stop.until)
        return due

    def stopped(self, since: float, until: float) -> bool:
        """Whether our process stood still at some moment between."""
        return any(stop.since < until and stop.until > since for stop in self.stops)

    def worked(self, image: int, since: float, until: float) -> bool:
        """Whether at some moment between the image was at work on a request of ours that takes its time."""
        return any(begun < until and ended > since for begun, ended in self._work[image])

    def idle_for(self, image: int, since: float, for_s: float) -> float:
        """When the image has had so much time without work of ours."""
        by = since + for_s
        for begun, ended in self._work[image]:
            if begun < by and ended > since:
                by += ended - max(begun, since)
        return by

    def answers(self, image: int) -> tuple[Answer, ...]:
        """Every request of the user that was answered, in the order of the answers."""
        return self._answers[image]

    # -- reading ---------------------------------------------------------------------------

    def _lives(self) -> Iterator[Life]:
        since: float | None = None
        for entry in self.of(Kind.PROCESS):
            if entry.data["what"] == "start":
                since = entry.t
            elif since is not None:
                yield Life(since, entry.t)
                since = None
        if since is not None:
            yield Life(since, float("inf"))

    def _spells_of(self, image: int) -> tuple[Spell, ...]:
        said = [(e.t, _things(e)) for e in self.of(Kind.CONDITION, image=image) if e.image == image]
        said.append((float("inf"), frozenset()))
        return tuple(Spell(t, until, things) for (t, things), (until, _) in pairwise(said))

    def _states_of(self, image: int) -> tuple[tuple[float, str], ...]:
        states: list[tuple[float, str]] = []
        for entry in self.of(Kind.TOLD, Kind.PROCESS, image=image):
            if entry.kind is Kind.TOLD:
                states.append((entry.t, str(entry.data["target"])))
            elif entry.data["what"] != "close":
                states.append((entry.t, "Fresh" if entry.data["what"] == "start" else NO_LIFE))
        return tuple(states)

    def _answers_of(self, image: int) -> Iterator[Answer]:
        waiting: dict[str, deque[float]] = {}
        for entry in self.of(Kind.ASKED, Kind.OUTCOME, image=image):
            if entry.kind is Kind.ASKED:
                waiting.setdefault(label_of(entry), deque()).append(entry.t)
            elif asked := waiting.get(label_of(entry)):
                asked_at = asked.popleft()
                if entry.data["outcome"] in ANSWERED:
                    yield Answer(asked_at, entry.t)

    def _work_of(self, image: int) -> Iterator[tuple[float, float]]:
        """An image carries out one request after the other; whoever is gone meanwhile gets no answer."""
        begun: Entry | None = None
        for entry in (*self.of(Kind.EXECUTED, Kind.ANSWERED, image=image), None):
            if begun is not None:
                until = self.end if entry is None else entry.t
                if entry is None or entry.kind is not Kind.ANSWERED:
                    until = min(until, begun.t + self._takes_s(begun))
                if until - begun.t > AT_ONCE_S:
                    yield begun.t, until
            begun = entry if entry is not None and entry.kind is Kind.EXECUTED else None

    def _takes_s(self, begun: Entry) -> float:
        """How long this work takes at most, by what was asked for and how slow the image is."""
        waits = _WAITS.match(label_of(begun))
        slow = [step.value for t, step in self.faults_of(begun.image, What.IMAGE_SLOW) if t <= begun.t]
        return AT_ONCE_S + (float(waits[1]) if waits else 0.0) + (slow[-1] if slow else 0.0)

    def _slow_disk_spells(self) -> Iterator[tuple[float, float, float]]:
        """Since, until and value (s a sync); what was begun slowly ends slowly."""
        since = value = 0.0
        for t, step in (*self.faults, (self.end, Step(self.end, What.DISK_WORKS))):
            if step.what in (What.DISK_SLOW, What.DISK_WORKS):
                if value:
                    yield since, t + SYNCS_OF_A_JOB * value, value
                since, value = t, step.value if step.what is What.DISK_SLOW else 0.0


def told(entry: Entry) -> tuple[str, str]:
    """Source and target of a TOLD."""
    return str(entry.data["source"]), str(entry.data["target"])


def lost(entry: Entry) -> bool:
    """Whether this TOLD says that the image is not connected any more."""
    source, target = told(entry)
    return source in LIVE and target not in LIVE


def back(entry: Entry) -> bool:
    """Whether this TOLD says that the image is connected now and was not before."""
    source, target = told(entry)
    return source not in LIVE and target in LIVE


def gen_of(entry: Entry) -> int:
    """Which link this is about."""
    gen = entry.data.get("gen")
    return gen if isinstance(gen, int) else -1


def label_of(entry: Entry) -> str:
    """Which request this is about."""
    return str(entry.data["label"])


def is_work(label: str) -> bool:
    """Whether this is an evaluation, which must not run twice; pings and probes may."""
    return not label.startswith(("ping", "probe"))


def is_wrong(label: str) -> bool:
    """Whether the image answers this with an error."""
    return label.startswith(WRONG)


def result_of(label: str) -> str:
    """What evaluating it gives: code is a number of its own, perhaps after a wait."""
    return label.rpartition(" ")[2]


def first(entries: Iterable[Entry]) -> Entry | None:
    """The first, if there is one."""
    return next(iter(entries), None)


def _step(entry: Entry) -> Step:
    return Step.parse(str(entry.data["step"]))


def _things(entry: Entry) -> Things:
    return frozenset(thing for thing in str(entry.data["things"]).split(",") if thing)
