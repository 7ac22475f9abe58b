"""Law 10: an image that is wanted is tried for again and again, never less often than it must be."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.check.links import Link, Links, followed
from simulations.check.story import LIVE, NO_LIFE, RESTING, Story, back, is_work, label_of
from simulations.results import Violation
from simulations.trace import Entry, Kind

MOST_S: tuple[tuple[float, float], ...] = ((10.0, 0.25), (60.0, 1.0), (float("inf"), 4.0))
"""Until so long into an outage no two tries are further apart than this (machines.policy.LADDERS, the most
patient of them). 4 s at the end keep the 10 s when no event ever comes (DESIGN section 4, law 10)."""

PATIENCE_S, MOST_PATIENCE_S = 2.0, 4.0
"""An accepted dial may take so long for its handshake, and nothing else is tried meanwhile; with every dial
that timed out twice as long, up to the most (machines.policy)."""

_SLOWS = frozenset({"~delay", "~jitter", "~loss", "~rate", "~mtu"})
"""What makes round trips long, and patience with them."""

LOOKUP_S = 5.0
"""A name server that says nothing is waited for so long."""

SLACK_S = 0.1

FLOOD = 300
"""Tries within a second. The densest search makes about 70: a gap below 25 ms, drawn at random."""

CROWD = 16
"""More images than this share the pace (machines.policy)."""

_MORE = (Kind.SCOUT, Kind.TOLD, Kind.LOOK_UP, Kind.LOOKED_UP, Kind.ACTION, Kind.NOTICED)
"""A network that changed is a new beginning: the next try is due one gap after it."""

_NOT_SEARCHING = LIVE | RESTING | {NO_LIFE, "Restored"}


def never_stops_trying(story: Story) -> Iterator[Violation]:
    """While an image is wanted and away, a try follows a try within the bounds."""
    for image in story.images:
        search, links = _Search(story, image), dict[int, Link]()
        for entry, held, _ in followed(story, image, *_MORE):
            if not _says_nothing(entry):
                yield from search.late(entry.t, links)
                search.follow(entry)
            links = held
        yield from search.late(story.end, links)


def _says_nothing(entry: Entry) -> bool:
    """Of the search: work is given to a link that has been found; a ping may go to an old one."""
    return entry.kind is Kind.EXECUTED or (entry.kind is Kind.SENT and not is_work(label_of(entry)))


def never_floods(story: Story) -> Iterator[Violation]:
    """However urgent: between two tries there is a gap."""
    for image in story.images:
        tries = [entry.t for entry in story.of(Kind.DIAL, Kind.SCOUT, image=image)]
        for begun, ended in zip(tries, tries[FLOOD:], strict=False):
            if ended - begun < 1.0:
                yield Violation(10, ended, image, f"{FLOOD} tries within {ended - begun:.3f} s")
                break


class _Search:
    """One image's search as it goes on: since when, and what was tried last."""

    def __init__(self, story: Story, image: int) -> None:
        self._story = story
        self._image = image
        self._since: float | None = None
        """When the outage was told, or the first dial begun; None: nothing is being searched."""
        self._last: Entry | None = None
        self._timeouts = 0
        self._closing = False
        """The process is ending: it searches no more, and may still tell what the disk has just taken."""

    def follow(self, entry: Entry) -> None:
        """The next entry."""
        self._last = entry
        if entry.kind is Kind.ABORTED:
            self._timeouts += 1
        elif entry.kind is Kind.PROCESS or (entry.kind is Kind.TOLD and back(entry)):
            self._timeouts = 0
        match entry.kind:
            case Kind.TOLD if back(entry) or entry.data["target"] in RESTING:
                self._since = None
            case Kind.TOLD if entry.data["target"] == "Reconnecting" and self._since is None:
                if not self._closing:
                    self._since = self._story.decided_from(entry.t)
            case Kind.PROCESS:
                self._since = None
                self._closing = entry.data["what"] == "close"
            case Kind.ACTION if entry.data["action"] == "disconnect" and not entry.data["refused"]:
                self._since = None
            case Kind.DIAL if self._since is None:
                if self._story.state(self._image, entry.t) not in LIVE | RESTING:
                    self._since = entry.t

    def late(self, now: float, links: Links) -> Iterator[Violation]:
        """Whether there should have been another try before `now`."""
        story, last = self._story, self._last
        if self._since is None or last is None or now - last.t <= MOST_S[0][1]:
            return
        if story.state(self._image, now) in _NOT_SEARCHING:
            return
        if any(_may_be_waiting_its_turn(link) for link in links.values()):
            return
        by = last.t + self._allowed_s(last, links) + story.lag_s(last.t, now)
        if now > by and not story.stopped(last.t, now):
            what = f"nothing was tried for {now - last.t:.3f} s, {last.t - self._since:.0f} s into the search"
            yield Violation(10, by, self._image, what)

    def _allowed_s(self, last: Entry, links: Links) -> float:
        into_s = last.t - (self._since or 0.0) + SLACK_S  # decided a moment before it was told
        allowed_s = next(most_s for until_s, most_s in MOST_S if into_s < until_s)
        if len(self._story.images) > CROWD:
            allowed_s = MOST_S[-1][1]
        if any(
            link.closed_at is None and link.accepted and not link.handshaken_at for link in links.values()
        ):
            slow = self._story.things_between(self._image, self._since or 0.0, last.t) & _SLOWS
            allowed_s = MOST_PATIENCE_S if slow else min(MOST_PATIENCE_S, PATIENCE_S * 2**self._timeouts)
        if self._story.scenario.named:
            allowed_s = max(allowed_s, LOOKUP_S)
        return allowed_s + SLACK_S


def _may_be_waiting_its_turn(link: Link) -> bool:
    """Its ping may stand behind another request, or the answer be under way: a second would tell no more."""
    return link.closed_at is None and link.handshaken_at is not None and link.trusted_at is None
