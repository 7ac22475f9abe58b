"""Laws 5 and 17: a session belongs to one image, and whoever else answers at its address is named."""

from __future__ import annotations

from collections.abc import Iterator

from machines.reasons import Reason
from simulations.check.story import LIVE, RESTING, Spell, Story, back, is_work, label_of, told
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Entry, Kind

OF_AN_IMAGE = 1_000_000
"""Labels of image i are i + 1 million and some (`simulations.virtual.user`)."""

NAMED_WITHIN_S = 6.0
"""A peer that accepts and stays silent costs 2 s of patience, doubled once for a slow path; then a try."""

ANSWERS_UNDER_WAY_S = 0.5

VERDICT_UNDER_WAY_S = 5.0
"""So long an answer of another image may travel on a bad way, and wait for the session to be read."""

_STRANGER = frozenset(
    {
        Reason.OTHER_PROGRAM,
        Reason.MUTE,
        Reason.OTHER_IMAGE,
        Reason.INCOMPATIBLE,
        Reason.NOT_ANSWERING,
        Reason.CLOSED,
    }
)
"""What says that somebody is there, and that it is not our image as it should be."""

_EXPECTED: dict[What, frozenset[str]] = {
    What.IMAGE_OTHER: frozenset({Reason.OTHER_IMAGE}),
    What.IMAGE_VERSION: frozenset({Reason.INCOMPATIBLE}),
    What.IMAGE_HOSTILE: _STRANGER,
    What.PORTAL_ON: _STRANGER,
}


def work_goes_to_its_own_image(story: Story) -> Iterator[Violation]:
    """An evaluation runs at the image it was meant for, and never at one the session does not belong to."""
    for entry in story.of(Kind.EXECUTED):
        label = label_of(entry)
        meant = int(label.rpartition(" ")[2]) // OF_AN_IMAGE - 1 if is_work(label) else entry.image
        if meant != entry.image:
            yield Violation(17, entry.t, entry.image, f"{label} is image {meant}'s, and ran at {entry.image}")
    for image in story.images:
        for entry, owner in _owned(story, image):
            ours = entry.kind is Kind.EXECUTED and is_work(label_of(entry))
            if ours and owner and entry.data["image_id"] != owner:
                what = f"{label_of(entry)} ran at {entry.data['image_id']}; the session is {owner}'s"
                yield Violation(17, entry.t, image, what)


def only_another_is_another(story: Story) -> Iterator[Violation]:
    """Orphaned is told only if another image has answered; one that was restarted gets its session again."""
    for image in story.images:
        other: Entry | None = None
        for entry, owner in _owned(story, image):
            if entry.kind is Kind.EXECUTED:
                other = entry if entry.data["image_id"] != owner else other
            elif back(entry):
                # Told late, it may be older than the answer of the other one.
                ours = not owner or (other is not None and other.data["image_id"] == owner)
                if other and (ours or other.t < story.decided_from(entry.t)):
                    other = None
            elif entry.data["target"] == "Orphaned" and owner and other is None:
                yield Violation(17, entry.t, image, f"told Orphaned, and nobody but {owner} has answered")


def _owned(story: Story, image: int) -> Iterator[tuple[Entry, str]]:
    """Each execution and announcement with the image that the session belongs to; empty: to nobody yet.

    It is whoever answered before the first Connected was decided, until the user adopts another; if it is
    told so late that two may have, nobody knows. A new process knows it if it finds a transition since.
    """
    owner = before = ""
    met: list[tuple[float, str]] = []
    owned_since = 0
    kinds = (Kind.EXECUTED, Kind.TOLD, Kind.ACTION, Kind.RESTORED, Kind.PROCESS)
    for entry in story.of(*kinds, image=image):
        if entry.kind is Kind.EXECUTED:
            yield entry, owner
            met.append((entry.t, str(entry.data["image_id"])))
        elif entry.kind is Kind.TOLD:
            yield entry, owner
            if back(entry) and not owner:
                owner, owned_since = _met_by(met, story.decided_from(entry.t)), int(entry.data["seq"] or 0)
        elif entry.kind is Kind.RESTORED:
            owner = before if int(entry.data["seq"] or 0) >= owned_since else ""
        elif entry.kind is Kind.ACTION:
            owner = "" if entry.data["action"] == "adopt" and not entry.data["refused"] else owner
        elif entry.data["what"] == "start":
            owner, before = "", owner


def _met_by(met: list[tuple[float, str]], decided: float) -> str:
    """Who answered last, if it was the same one ever since `decided`."""
    since = {image_id for t, image_id in met if t >= decided}
    return "" if len(since) > 1 or not met else met[-1][1]


def strangers_are_named(story: Story) -> Iterator[Violation]:
    """Somebody else at the address is never told as connected, and soon told as what it is."""
    for image in story.images:
        known = next((e.t for e in story.of(Kind.TOLD, image=image) if back(e)), float("inf"))
        for spell in story.runs(image, _only_a_stranger):
            began = [
                (t, step) for t, step in story.faults_of(image, *_EXPECTED) if spell.since <= t < spell.until
            ]
            if spell.since < known or len(began) != 1 or began[0][0] != spell.since:
                continue
            what = began[0][1].what
            if "portal" in spell.things and what is not What.PORTAL_ON:
                continue  # the portal answers, and hides whoever came behind it
            yield from _claims(story, image, spell, 5 if what is not What.IMAGE_OTHER else 17)
            yield from _unnamed(story, image, spell, what)


def only_verdicts_rest(story: Story) -> Iterator[Violation]:
    """Nobody is made to decide anything but what only a person can: whose image this is, which version."""
    for image in story.images:
        for entry in story.of(Kind.TOLD, image=image):
            source, target = told(entry)
            if target in RESTING and source not in RESTING:
                since = story.decided_from(entry.t) - VERDICT_UNDER_WAY_S
                if "verdict" not in story.things_between(image, since, entry.t):
                    what = f"told {target} ({entry.data['reason']}), and there is nothing to decide"
                    yield Violation(5, entry.t, image, what)


def _only_a_stranger(things: frozenset[str]) -> bool:
    return bool(things & {"right image", "portal"}) and things <= {"right image", "verdict", "portal"}


def _claims(story: Story, image: int, spell: Spell, law: int) -> Iterator[Violation]:
    since = spell.since + ANSWERS_UNDER_WAY_S
    for entry in story.of(Kind.TOLD, image=image):
        if entry.t < spell.until and back(entry) and since < story.decided_from(entry.t):
            yield Violation(law, entry.t, image, f"told {entry.data['target']} while somebody else is there")


def _unnamed(story: Story, image: int, spell: Spell, what: What) -> Iterator[Violation]:
    """Looks at what is shown from some seconds after the stranger came."""
    since = spell.since + NAMED_WITHIN_S + story.lag_s(spell.since, spell.until)
    if story.state(image, spell.since) in RESTING:
        return
    shown = [e for e in story.of(Kind.STANDS, image=image) if since <= e.t < spell.until]
    reasons = [str(entry.data["reason"]) for entry in shown]
    if len(shown) > 1 and not _EXPECTED[what] & set(reasons):
        law = 17 if what is What.IMAGE_OTHER else 5
        claim = " and still told connected" if any(e.data["state"] in LIVE for e in shown) else ""
        yield Violation(law, shown[0].t, image, f"{what} is shown as {reasons[0]!r}{claim}")
