"""Laws 7, 8 and 9: what our own interfaces tell is acted on at once, and a lost address is left."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.check.calm import OF_THE_INTERFACES, calms
from simulations.check.links import Link, followed
from simulations.check.story import LIVE, OUR_NETWORK, Spell, Story, label_of, lost
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Kind

LEFT_WITHIN_S = 0.25
"""From our seeing that the address is gone; it takes no time, unless we are held up."""

AT_ONCE_S = 0.5
"""An announcement is read at once, a carrier is looked at four times a second: DESIGN section 6."""

REPORTED_S = 2.0
"""A carrier that comes back sooner may never have been reported: the kernel tells of one a second."""

_TAKES_THE_ADDRESS = frozenset({What.LEASE_LOST, What.LEASE_NEW, What.ROAM_AWAY, What.ROAM_ARRIVE})
_CHANGES_THE_ADDRESS = _TAKES_THE_ADDRESS | {What.LEASE_BACK}
_OTHER_WAYS_OUT = frozenset({What.DOCK, What.VPN_UP})
"""Once there has been a cable or a tunnel the trace does not tell which address is whose."""


def a_lost_address_is_left(story: Story) -> Iterator[Violation]:
    """No link outlives its address: it is closed once we have seen that, and nothing is sent on it."""
    until = _until_other_ways_out(story)
    changes = [(t, step.what) for t, step in story.faults if step.what in _CHANGES_THE_ADDRESS]
    seen = [entry.t for entry in story.of(Kind.NOTICED)]
    for place, (lost_at, what) in enumerate(changes):
        forever = what is What.LEASE_NEW  # the old one does not come back with LEASE_BACK
        again = [t for t, other in changes[place + 1 :] if not (forever and other is What.LEASE_BACK)]
        if what not in _TAKES_THE_ADDRESS or lost_at >= until:
            continue
        looked_at = max((t for t in seen if t <= lost_at), default=0.0)
        if any(other is What.ROAM_ARRIVE and looked_at < t < lost_at for t, other in changes[:place]):
            continue  # two roams between two looks: the address may be back
        noticed_at = next((t for t in seen if t > lost_at), float("inf"))
        if noticed_at < min([*again, until]):
            for image in story.images:
                yield from _still_used(story, image, lost_at, noticed_at)


def _still_used(story: Story, image: int, lost_at: float, noticed_at: float) -> Iterator[Violation]:
    by = noticed_at + LEFT_WITHIN_S
    old: dict[int, Link] = {}
    for entry, links, link in followed(story, image):
        if entry.t <= lost_at:
            old = {gen: each for gen, each in links.items() if each.closed_at is None and each.accepted}
            continue
        if entry.kind is Kind.PROCESS:
            return
        if entry.t > by:
            break
        if entry.kind is Kind.SENT and link is not None and link.gen in old and entry.t > noticed_at:
            what = f"{label_of(entry)} was sent on generation {link.gen}; its address went at {lost_at:.3f}"
            yield Violation(8, entry.t, image, what)
    if by < story.end and not story.stopped(lost_at, by):
        yield from (_outlived(link, image, lost_at, by) for link in old.values() if link.closed_at is None)


def _outlived(link: Link, image: int, lost_at: float, by: float) -> Violation:
    return Violation(8, by, image, f"generation {link.gen} outlived its address, which went at {lost_at:.3f}")


# -- laws 7 and 9 --------------------------------------------------------------------------------


def events_are_acted_on(story: Story) -> Iterator[Violation]:
    """A path that our own interface loses is told as lost, and dialled when it is back, at once."""
    until = _until_other_ways_out(story)
    for image in story.images:
        quiet = {calm.until for calm in calms(story, image)}
        for spell in story.runs(image, lambda things: bool(things & OUR_NETWORK)):
            if spell.since >= until:
                break
            if spell.since in quiet and story.state(image, spell.since) in LIVE:
                yield from _untold(story, image, spell, until)
            if spell.lasted_s >= REPORTED_S and spell.until + AT_ONCE_S < until:
                yield from _undialled(story, image, spell)


def _until_other_ways_out(story: Story) -> float:
    return next((t for t, step in story.faults if step.what in _OTHER_WAYS_OUT), story.end)


def _held_up(story: Story, image: int, since: float, until: float) -> bool:
    """Whether we stood still, or the kernel's announcements were lost."""
    hidden = any(t <= until and t + s.value >= since for t, s in story.faults_of(image, What.HINTS_LOST))
    return hidden or story.stopped(since, until)


def _untold(story: Story, image: int, spell: Spell, until: float) -> Iterator[Violation]:
    """`until`: when another way out opens, over which the image may still be reached."""
    by = spell.since + AT_ONCE_S
    told_by = by + story.lag_s(spell.since, by)
    if told_by >= min(spell.until, until) or _held_up(story, image, spell.since, by):
        return
    if story.stopped(spell.since, told_by):
        return
    if "process" in story.things_between(image, spell.since, told_by):
        return
    told = (e.t for e in story.of(Kind.TOLD, image=image) if spell.since <= e.t <= told_by and lost(e))
    if next(told, None) is None:
        gone = ", ".join(sorted(spell.things & OUR_NETWORK))
        yield Violation(9, told_by, image, f"{gone} went at {spell.since:.3f}, and no loss was told")


def _undialled(story: Story, image: int, spell: Spell) -> Iterator[Violation]:
    since, by = spell.until, spell.until + AT_ONCE_S
    searching = {story.state(image, since), story.state(image, by)} == {"Reconnecting"}
    meanwhile = story.things_between(image, spell.since, by)
    if not searching or meanwhile & {"process", "wanted"} or _held_up(story, image, spell.since, by):
        return
    if any(since < t <= by for t, _ in story.faults_of(image, *OF_THE_INTERFACES)):
        return
    dialled = (e.t for e in story.of(Kind.DIAL, image=image) if since <= e.t <= by)
    if next(dialled, None) is None:
        yield Violation(7, by, image, f"our network was back at {since:.3f}, and nothing was dialled")
