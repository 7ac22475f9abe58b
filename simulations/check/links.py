"""Laws 1, 2, 12 and 13: whose links are open, what proves them, and what may be said on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulations.check.story import LAG_S, Story, back, gen_of, is_work, label_of
from simulations.results import Violation
from simulations.trace import Entry, Kind

MAX_LINKS = 3
"""The living one, a replaced one that may deliver its last reply, and the dial under way."""

FIRST_ANSWER = "image answered"
"""The reason of an announcement that a fresh link was answered; others may speak of a link that survived."""

_OF_LINKS = (
    Kind.PROCESS,
    Kind.DIAL,
    Kind.ACCEPTED,
    Kind.HANDSHAKEN,
    Kind.LINK_ENDED,
    Kind.ABORTED,
    Kind.SENT,
    Kind.EXECUTED,
    Kind.ANSWERED,
)


@dataclass(slots=True, eq=False)
class Link:
    """One generation as far as the trace tells."""

    gen: int
    local: str
    dialled_at: float
    accepted: int = 0
    handshaken_at: float | None = None
    answered_at: float | None = None
    """When its first reply left the image."""
    closed_at: float | None = None
    asked: str = ""
    """What is outstanding on it."""
    claimed: bool = False
    """An announcement of a connection stood on it."""
    trusted_at: float | None = None
    """It was given work, or had been answered when a connection was told: the product knows of its answer."""


Links = dict[int, Link]


def followed(story: Story, image: int, *more: Kind) -> Iterator[tuple[Entry, Links, Link | None]]:
    """Each entry about links (and `more`), with every link of this life and the one it is about.

    Yielded before the entry takes effect, but for DIAL.
    """
    links: Links = {}
    at_work: Link | None = None
    for entry in story.of(*_OF_LINKS, *more, image=image):
        kind = entry.kind
        if kind is Kind.PROCESS and entry.data["what"] != "close":
            links = {}
        if kind is Kind.DIAL:
            gen = gen_of(entry)
            link: Link | None = links.get(gen)
            links[gen] = Link(gen, str(entry.data.get("local") or ""), entry.t)
        elif kind is Kind.EXECUTED:
            link = at_work = _asking(links, entry)
        elif kind is Kind.ANSWERED:
            link = at_work
        else:
            link = links.get(gen_of(entry))
        yield entry, links, link
        if link is not None:
            _take_effect(entry, link)
        elif kind is Kind.TOLD and back(entry):
            for each in links.values():
                if each.answered_at is not None and each.trusted_at is None:
                    each.trusted_at = entry.t


def _asking(links: Links, entry: Entry) -> Link | None:
    """On whose behalf an image begins to work; None: on behalf of an earlier life of ours."""
    conn = entry.data["conn"]
    link = links.get(conn) if isinstance(conn, int) else None
    return link if link is not None and link.asked == label_of(entry) else None


def _take_effect(entry: Entry, link: Link) -> None:
    match entry.kind:
        case Kind.ACCEPTED:
            link.accepted += 1
        case Kind.HANDSHAKEN:
            link.handshaken_at = entry.t
        case Kind.LINK_ENDED | Kind.ABORTED:
            link.closed_at = entry.t if link.closed_at is None else link.closed_at
        case Kind.SENT:
            link.asked = label_of(entry)
            if link.trusted_at is None and is_work(link.asked):
                link.trusted_at = entry.t
        case Kind.ANSWERED:
            link.answered_at = entry.t if link.answered_at is None else link.answered_at
            link.asked = ""
        case _:
            pass


# -- law 1 ---------------------------------------------------------------------------------------


def one_owner_of_retry(story: Story) -> Iterator[Violation]:
    """Generations only grow, few are open at once, none is used after its end, none comes back to life."""
    for image in story.images:
        highest, alive = 0, False
        for entry, links, link in followed(story, image):
            what = ""
            if entry.kind is Kind.PROCESS:
                alive = entry.data["what"] in ("start", "close")
                highest = 0 if entry.data["what"] == "start" else highest
            elif entry.kind is Kind.DIAL:
                gen = gen_of(entry)
                if gen <= highest:
                    what = f"generation {gen} was dialled after {highest}"
                highest = max(highest, gen)
                what = what or _crowd(links) or ("" if alive else "dialled by a process that had ended")
            elif entry.kind is Kind.ACCEPTED and link is not None and link.accepted:
                what = f"generation {link.gen} was connected twice: somebody else dials again"
            elif entry.kind is Kind.SENT and (link is None or link.closed_at is not None):
                what = f"{label_of(entry)} was sent on generation {gen_of(entry)}, which had ended"
            if what:
                yield Violation(1, entry.t, image, what)


def _crowd(links: Links) -> str:
    """What is wrong with the links open at once."""
    held = [link for link in links.values() if link.closed_at is None]
    dials = [link.gen for link in held if link.handshaken_at is None]
    if len(held) > MAX_LINKS:
        return f"{len(held)} links are open: {', '.join(str(link.gen) for link in held)}"
    return f"dials {dials} are under way at once" if len(dials) > 1 else ""


def stays_away(story: Story) -> Iterator[Violation]:
    """What the user disconnected is not dialled, scouted or told connected until the user says so."""
    for image in story.images:
        left_at: float | None = None
        for entry in story.of(Kind.ACTION, Kind.PROCESS, Kind.DIAL, Kind.SCOUT, Kind.TOLD, image=image):
            if entry.kind is Kind.PROCESS:
                left_at = None
            elif entry.kind is Kind.ACTION:
                if not entry.data["refused"]:
                    left_at = entry.t if entry.data["action"] == "disconnect" else None
            elif left_at is not None and (entry.kind is not Kind.TOLD or _late_claim(story, entry, left_at)):
                yield Violation(
                    1, entry.t, image, f"{entry.kind} after the user disconnected at {left_at:.3f}"
                )


def _late_claim(story: Story, entry: Entry, left_at: float) -> bool:
    return back(entry) and story.decided_from(entry.t) > left_at


def what_is_let_go_is_closed(story: Story) -> Iterator[Violation]:
    """A process that ends in good order leaves no link to its kernel: that would deliver what waits in it."""
    for image in story.images:
        last: Links = {}
        for entry, links, _ in followed(story, image):
            if entry.kind is Kind.PROCESS and entry.data["what"] == "closed":
                for link in last.values():
                    if link.closed_at is None:
                        yield Violation(11, entry.t, image, f"generation {link.gen} was left open at the end")
            last = links


def what_is_lost_was_lost(story: Story) -> Iterator[Violation]:
    """A lost link is told only when the one in use has ended, and not an older one."""
    for image in story.images:
        for entry, links, _ in followed(story, image, Kind.TOLD):
            if entry.kind is not Kind.TOLD or entry.data["trigger"] != "link_lost":
                continue
            before = story.decided_from(entry.t)
            used = [
                link for link in links.values() if link.trusted_at is not None and link.trusted_at < before
            ]
            if used and all(link.closed_at is None for link in links.values() if link.gen >= used[-1].gen):
                what = f"told link_lost though generation {used[-1].gen} is open"
                yield Violation(1, entry.t, image, what)


# -- law 2 ---------------------------------------------------------------------------------------


def connected_needs_proof(story: Story) -> Iterator[Violation]:
    """An image is told connected only where a handshaken link was answered, and is given work only there."""
    for image in story.images:
        for entry, links, link in followed(story, image, Kind.TOLD):
            if entry.kind is Kind.TOLD and back(entry) and not _proven(story, entry, links):
                what = (
                    f"told {entry.data['target']} ({entry.data['reason']}) though no link had been answered"
                )
                yield Violation(2, entry.t, image, what)
            elif entry.kind is Kind.SENT and is_work(label_of(entry)) and link and link.answered_at is None:
                what = f"{label_of(entry)} was sent on generation {link.gen}, which had not proved itself"
                yield Violation(2, entry.t, image, what)


def _proven(story: Story, entry: Entry, links: Links) -> bool:
    """A fresh answer needs a link of its own; a link that survived is open still, bar the disk's lag."""
    since = story.decided_from(entry.t)
    answered = [
        link
        for link in links.values()
        if link.handshaken_at is not None
        and link.answered_at is not None
        and (link.closed_at is None or link.closed_at >= since)
    ]
    if entry.data["reason"] != FIRST_ANSWER:
        return bool(answered)
    fresh = next((link for link in answered if not link.claimed), None)
    if fresh is not None:
        fresh.claimed = True
    return fresh is not None


# -- laws 12 and 13 ------------------------------------------------------------------------------


def nothing_waits_inside(story: Story) -> Iterator[Violation]:
    """A request is handed to a link after its handshake, when the one before has been answered."""
    for image in story.images:
        for entry, links, link in followed(story, image):
            if entry.kind is not Kind.SENT or link is None or link.closed_at is not None:
                continue
            label = label_of(entry)
            if link.handshaken_at is None:
                what = f"{label} was sent on generation {link.gen} before its handshake: it waits in libzmq"
                yield Violation(12, entry.t, image, what)
            if link.asked and not _strangers(story, image, entry.t):
                what = f"{label} was sent on generation {link.gen} while {link.asked} was outstanding there"
                yield Violation(13, entry.t, image, what)
            others = (each for each in links.values() if each is not link and each.closed_at is None)
            both = next((each for each in others if each.asked and is_work(each.asked)), None)
            if both is not None and is_work(label):
                what = f"{label} was sent while {both.asked} was outstanding on generation {both.gen}"
                yield Violation(13, entry.t, image, what)


def _strangers(story: Story, image: int, t: float) -> bool:
    """Whether somebody answers there whose answers the trace does not hold."""
    return bool(story.things_between(image, t - LAG_S, t) & {"right image", "portal"})
