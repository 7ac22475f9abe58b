"""Law 6: our own stall and sleep are never blamed on the network."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.check.calm import HARMLESS_THINGS, calms, next_fault
from simulations.check.story import LIVE, STOPPED, Spell, Story
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Kind

AFTER_A_STOP_S = 1.5
"""After this a silence counts again."""

_STOPS = (What.STALL, What.SUSPEND)

ASLEEP_S = 1.0
"""So long a sleep is certainly seen as one."""

UNDER_WAY_S = 0.05
"""A reply arrives this much after it left."""

ASKED_WITHIN_S = 0.5
"""Of waking: clocks are compared four times a second."""


def own_stop_is_excused(story: Story) -> Iterator[Violation]:
    """What we did not hear because we stood still or slept is not told as the network's silence."""
    for image in story.images:
        quiet = {calm.until for calm in calms(story, image)}
        for stop in story.runs(image, lambda things: bool(things & STOPPED)):
            if stop.since not in quiet or story.state(image, stop.since) not in LIVE:
                continue
            if not stop.things <= STOPPED | HARMLESS_THINGS:
                continue
            until = stop.until + AFTER_A_STOP_S
            if story.things_between(image, stop.until, until) <= HARMLESS_THINGS:
                yield from _blamed(story, image, stop, until)
                yield from _unasked(story, image, stop)


def _blamed(story: Story, image: int, stop: Spell, until: float) -> Iterator[Violation]:
    until = next_fault(story, image, stop.since, until, *_STOPS)
    asked = False
    for entry in story.of(Kind.TOLD, Kind.SENT, Kind.DIAL, Kind.LINK_ENDED, image=image):
        if not stop.since <= entry.t < until:
            continue
        if entry.kind is Kind.TOLD and entry.data["trigger"] in ("link_silent", "path_lost"):
            what = (
                f"told {entry.data['trigger']} after we ourselves had stood still for {stop.lasted_s:.3f} s"
            )
            yield Violation(6, entry.t, image, what)
            return
        if entry.kind is Kind.DIAL and not asked:
            if not _outstanding(story, image, stop):
                yield Violation(
                    6, entry.t, image, "dialled after a stop of ours without asking the link first"
                )
            return
        asked = asked or entry.kind in (Kind.SENT, Kind.LINK_ENDED)


def _outstanding(story: Story, image: int, stop: Spell) -> bool:
    """Whether a request was out as we stopped, its reply not yet certainly heard."""
    out = False
    for entry in story.of(Kind.SENT, Kind.ANSWERED, image=image):
        if entry.kind is Kind.SENT and entry.t <= stop.since:
            out = True
        elif entry.kind is Kind.ANSWERED and entry.t <= stop.since - UNDER_WAY_S:
            out = False
    return out


def _unasked(story: Story, image: int, stop: Spell) -> Iterator[Violation]:
    """After a sleep the link is asked for a sign of life, unless it owes us one anyway."""
    by = stop.until + ASKED_WITHIN_S
    asleep = [spell for spell in story.spells(image) if "awake" in spell.things and spell.until <= stop.until]
    if "awake" not in stop.things or asleep[-1].until != stop.until or asleep[-1].lasted_s < ASLEEP_S:
        return
    if by != next_fault(story, image, stop.since, by, *_STOPS) or _outstanding(story, image, stop):
        return
    seen = (e.t for e in story.of(Kind.SENT, Kind.LINK_ENDED, image=image) if stop.until <= e.t <= by)
    if next(seen, None) is None:
        yield Violation(6, by, image, f"slept for {stop.lasted_s:.3f} s, and the link was not asked")
