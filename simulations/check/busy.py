"""Law 3: busy is not dead and is shown as busy; frozen is told as frozen."""

from __future__ import annotations

from collections.abc import Iterator

from machines.reasons import Reason
from simulations.check.calm import HARMLESS_THINGS, calms, next_fault
from simulations.check.story import AT_ONCE_S, LIVE, Story, first, label_of, lost
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Entry, Kind

FROZEN_S = 6.0
"""3 s of acknowledged but unanswered heartbeats (machines.policy), a look each second, and slack."""

_OUT = frozenset({Reason.BUSY, Reason.NOT_ANSWERING})

SHOWN_AFTER_S = 1.5
"""A request unanswered for 1 s makes an image "busy" (machines.policy); looked at every 0.15 s."""


def frozen_is_named(story: Story) -> Iterator[Violation]:
    """A process that is stopped on a healthy network is told as exactly that, and in time."""
    for image in story.images:
        quiet = {calm.until for calm in calms(story, image)}
        for spell in story.runs(
            image, lambda things: "frozen" in things and things <= HARMLESS_THINGS | {"frozen"}
        ):
            if spell.since not in quiet or story.state(image, spell.since) not in LIVE:
                continue
            by = spell.since + FROZEN_S + story.lag_s(spell.since, spell.since + FROZEN_S)
            until = next_fault(story, image, spell.since, spell.until, What.IMAGE_FREEZE)
            told = first(
                e for e in story.of(Kind.TOLD, image=image) if spell.since <= e.t < until and lost(e)
            )
            if told is not None and told.data["reason"] != Reason.FROZEN:
                yield Violation(3, told.t, image, f"frozen, but told as {told.data['reason']!r}")
            elif by < until and (told is None or told.t > by):
                yield Violation(
                    3, by, image, f"frozen since {spell.since:.3f}, and not told in {FROZEN_S:g} s"
                )


def busy_is_shown(story: Story) -> Iterator[Violation]:
    """While a connected image works on a request of ours the reason says so, and not afterwards."""
    for image in story.images:
        seen = list(story.of(Kind.SENT, Kind.EXECUTED, Kind.ANSWERED, Kind.STANDS, image=image))
        for calm in calms(story, image):
            yield from _unshown(story, [entry for entry in seen if calm.since <= entry.t < calm.until])


def _unshown(story: Story, seen: list[Entry]) -> Iterator[Violation]:
    asked: Entry | None = None
    quiet_since = float("inf")
    for entry in seen:
        if entry.kind is Kind.EXECUTED:
            quiet_since = float("inf")  # what stood in the queue of a link of ours that is gone comes first
            continue
        if entry.kind is not Kind.STANDS:
            asked = entry if entry.kind is Kind.SENT else None
            quiet_since = entry.t if asked is None else float("inf")
            continue
        what = ""
        if asked is not None and not _shown(story, entry, asked):
            shown = entry.data["reason"]
            what = f"{label_of(asked)} has been out since {asked.t:.3f}, and what is shown is {shown!r}"
        elif _still_shown(story, entry, quiet_since):
            what = f"shown as {entry.data['reason']!r}, though the last reply left at {quiet_since:.3f}"
        if what and not story.stopped(entry.t - SHOWN_AFTER_S, entry.t):
            yield Violation(3, entry.t, entry.image, what)
            return


def _still_shown(story: Story, stands: Entry, quiet_since: float) -> bool:
    """Whether it looks busy although nothing is out. A reason waits for transitions told after the disk."""
    if stands.t < quiet_since + AT_ONCE_S:
        return False
    told_by = quiet_since + story.lag_s(quiet_since, stands.t)
    return bool(stands.data["busy"]) or (stands.data["reason"] in _OUT and stands.t >= told_by)


def _shown(story: Story, stands: Entry, asked: Entry) -> bool:
    """Whether it looks as it should with a request out. A reason waits for transitions the disk holds up."""
    due = asked.t + SHOWN_AFTER_S
    if stands.t < due:
        return True
    good = _OUT if label_of(asked) == "ping" else {Reason.BUSY}
    named = stands.data["reason"] in good or stands.t < due + story.lag_s(asked.t, stands.t)
    return bool(stands.data["busy"]) and named
