"""Laws 2 and 4: a way that is silent is noticed in time, and nobody is called connected beyond it."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.check.calm import HARMLESS_THINGS, Calm, calms
from simulations.check.story import ANSWERED, LIVE, OUR_NETWORK, Spell, Story, back, first, lost
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Kind

ASKING_S, IDLE_S = 1.0, 3.0
"""A silent way is told within these, with a request in flight and without (DESIGN section 6)."""

SLACK_S = 0.25
"""What the base round trip, the journal and the granularity of looking add to a bar."""

REPLY_TAIL_S = 1.6
"""Where only our half is dropped, what the image said last is heard, and again after 0.2, 0.4, 0.8 s."""

SETTLED_S = 4.0
"""Replies that were under way when the way broke have arrived: 1.5 s of delay and 0.8 s of jitter at most."""

UNREACHABLE = frozenset(
    {"link", "carrier", "lease", "drop", "host", "stall way", "image", "saving", "portal"}
)
"""While one of these is broken, nobody can be reached."""

CUT = "connection"
"""What a NAT breaks that forgets: the way is whole, and what stood on it is gone."""

_DROPS = (What.DROP, What.DROP_IN, What.DROP_OUT, What.UNDROP)
_DOCKS = frozenset({What.DOCK, What.UNDOCK})
_DISTURBING = frozenset({What.DOCK, What.VPN_UP, What.VPN_DOWN, What.NAT_FORGETS, What.NAT_RESETS})


def silence_is_noticed(story: Story) -> Iterator[Violation]:
    """A connected image that nobody can reach any more is told so within the bars."""
    for image in story.images:
        quiet = {calm.until: calm for calm in calms(story, image)}
        broken = story.runs(image, lambda things: bool(things & UNREACHABLE))
        cut = [
            Spell(t, story.end, frozenset({CUT}))
            for t, _ in story.faults_of(image, What.NAT_FORGETS, What.NAT_RESETS)
        ]
        for spell in (*broken, *cut):
            if spell.since not in quiet or story.state(image, spell.since) not in LIVE:
                continue
            if _docked(story, spell.since) and spell.things & OUR_NETWORK:
                continue
            by = _bar(story, image, spell, quiet[spell.since])
            if by >= spell.until or _disturbed(story, image, spell, by):
                continue
            told = first(e for e in story.of(Kind.TOLD, image=image) if e.t >= spell.since and lost(e))
            if told is None or told.t > by:
                when = "never" if told is None else f"{told.t - spell.since:.3f} s later"
                what = f"{', '.join(sorted(spell.things))} broke at {spell.since:.3f} and was told {when}"
                yield Violation(4, by, image, what)


def _bar(story: Story, image: int, spell: Spell, calm: Calm) -> float:
    """By when the silence that begins with `spell` must have been told."""
    begun = since = spell.since
    heard: list[float] = []
    if any(t == spell.since for t, _ in story.faults_of(image, What.DROP_OUT)):
        heard = [e.t for e in story.of(Kind.ANSWERED, image=image) if 0 <= e.t - since <= IDLE_S]
        since = max([since, *heard]) + REPLY_TAIL_S
    elif "stall way" in spell.things:  # what was held back has arrived in between
        arrived = (e.t for e in story.of(Kind.OUTCOME, image=image) if e.data["outcome"] in ANSWERED)
        begun = since = max([since, *(t for t in arrived if since <= t < since + IDLE_S)])
    bar, asked = since + IDLE_S, False
    for entry in story.of(Kind.SENT, Kind.ANSWERED, image=image):
        if calm.since <= entry.t < spell.since:
            asked = entry.kind is Kind.SENT
        elif begun <= entry.t < bar and entry.kind is Kind.SENT:
            bar = min(bar, max(since, entry.t) + ASKING_S)
    if asked and not heard:  # what was out was answered: only what we say is dropped
        bar = min(bar, since + ASKING_S)
    return bar + SLACK_S + story.lag_s(spell.since, bar)


def _disturbed(story: Story, image: int, spell: Spell, by: float) -> bool:
    """Whether something else happened meanwhile that makes the bar another one."""
    meanwhile = story.things_between(image, spell.since, by) - UNREACHABLE - HARMLESS_THINGS
    faults = [t for t, _ in story.faults_of(image, *_DISTURBING) if spell.since <= t <= by]
    others = len(faults) - (CUT in spell.things)
    return bool(meanwhile or others) or story.stopped(spell.since, by)


def _docked(story: Story, t: float) -> bool:
    """Whether a cable goes on where the WiFi ends."""
    docks = [step.what is What.DOCK for at, step in story.faults if at <= t and step.what in _DOCKS]
    return bool(docks) and docks[-1]


def no_claim_beyond_reach(story: Story) -> Iterator[Violation]:
    """Nobody is told connected while nobody can be reached, or while the image is frozen (law 2)."""
    for image in story.images:
        quiet = {calm.until for calm in calms(story, image)}
        frozen = story.runs(image, lambda things: "frozen" in things and not things & UNREACHABLE)
        for spell in story.runs(image, lambda things: bool(things & UNREACHABLE)):
            rate = "~rate" in story.things_between(image, spell.since - IDLE_S, spell.until)
            if not rate and not _docked_meanwhile(story, spell):
                yield from _claims(story, image, spell)
        for spell in frozen:
            if spell.since in quiet:  # else what was said before may be heard when the way is whole again
                yield from _claims(story, image, spell)


def _claims(story: Story, image: int, spell: Spell) -> Iterator[Violation]:
    for entry in story.of(Kind.TOLD, image=image):
        claims = entry.t < spell.until and back(entry)
        if not claims or story.decided_from(entry.t) <= spell.since + SETTLED_S:
            continue
        if "stall way" in story.things_between(image, entry.t - SETTLED_S, entry.t):
            continue  # what had been kept arrives when it ends, whatever is broken by then
        if not _answers(story, image, spell, entry.t) and not _replies_get_through(story, image, entry.t):
            things = ", ".join(sorted(story.things(image, entry.t)))
            yield Violation(2, entry.t, image, f"told {entry.data['target']} while broken: {things}")


def _answers(story: Story, image: int, spell: Spell, t: float) -> bool:
    """Whether requests are answered all the same, about `t`: then the claim is none."""
    return any(a.asked_at > spell.since and t <= a.at <= t + ASKING_S for a in story.answers(image))


def _replies_get_through(story: Story, image: int, t: float) -> bool:
    """Whether only our half is dropped, and the reply to an old request has just come in."""
    drops = [step.what for at, step in story.faults_of(image, *_DROPS) if at <= t]
    since = len(drops) - drops[::-1].index(What.UNDROP) if What.UNDROP in drops else 0
    replied = any(0 <= t - e.t <= ASKING_S for e in story.of(Kind.ANSWERED, image=image))
    return replied and set(drops[since:]) == {What.DROP_OUT}


def _docked_meanwhile(story: Story, spell: Spell) -> bool:
    docked = any(step.what is What.DOCK and spell.since <= t < spell.until for t, step in story.faults)
    return bool(spell.things & OUR_NETWORK) and (docked or _docked(story, spell.since))
