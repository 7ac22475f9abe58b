"""Law 15, the user's own work: what was typed survives what it must, as it was typed.

Evidence: what the user was told when it typed (`edited`, `save`), and what another process finds on the disk
when the next life begins (`found`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulations.check.story import Story
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Entry, Kind

WRITTEN_WITHIN_S = 0.25
"""Law 15: so long after it was handed to us an edit survives the end of the process."""

TOLD_WITHIN_S = 0.25
"""From an edit to the state that says so: the transition waits for its own sync."""

HINDERS_FOR_S = 20.0
"""So long after the disk or the keyring works again everything is written: the keyring is looked at every
10 s, a session that could not be opened every 5 s, a write that failed every 2 s (resilience.limits)."""

CONNECTED = "Connected"
_CAN_HINDER = frozenset({What.DISK_FAILS, What.DISK_FULL, What.DISK_SLOW, What.KEYRING_LOCKS})
_ENDS: dict[What, set[What]] = {
    What.DISK_WORKS: {What.DISK_FAILS, What.DISK_FULL, What.DISK_SLOW},
    What.KEYRING_OPENS: {What.KEYRING_LOCKS},
}


@dataclass(slots=True)
class _Work:
    """What is known of one image's work. Every text is typed once: its place in the row is its age."""

    texts: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    saved: int = 0
    """So many of them were told to be on the medium."""
    must: int = 0
    """So many the next process has to find, or something typed later."""

    def count(self, text: str) -> int:
        """How many texts had been typed when this one was."""
        return self.texts.index(text) + 1 if text in self.texts else 0


def work_is_kept(story: Story) -> Iterator[Violation]:
    """What was saved survives a power cut, what is 250 ms old a kill, and all of it an end in good order."""
    for image in story.images:
        known = _Work()
        for entry in story.of(Kind.EDITED, Kind.SAVE, Kind.PROCESS, Kind.FOUND, image=image):
            if entry.kind is Kind.FOUND:
                yield from _found(known, entry)
            elif entry.kind is Kind.PROCESS:
                known.must = _must(story, known, entry)
            elif entry.kind is Kind.EDITED:
                known.texts.append(str(entry.data["text"]))
                known.times.append(entry.t)
            elif not entry.data["problem"]:
                yield from _answered(entry)
                known.saved = max(known.saved, known.count(str(entry.data["text"])))


def _answered(entry: Entry) -> Iterator[Violation]:
    """`save()` tells which revision is on the medium: at least that of what was typed before it."""
    revision, saved = _number(entry, "revision"), _number(entry, "saved")
    if saved < revision:
        what = f"told as saved was revision {saved}; it was asked to be {revision}"
        yield Violation(15, entry.t, entry.image, what)


def _must(story: Story, known: _Work, entry: Entry) -> int:
    how, least = str(entry.data["what"]), max(known.must, known.saved)
    life = next((life for life in reversed(story.lives) if life.until <= entry.t), None)
    if life is None or how not in ("kill", "closed"):
        return least
    old_at = entry.t - (WRITTEN_WITHIN_S if how == "kill" else 0.0)
    if _hindered(story, life.since, old_at - HINDERS_FOR_S, entry.t):
        return least
    # Whoever stands still writes nothing: in the 250 ms before a kill, or when asked to end.
    if story.stopped(min(old_at, life.until), entry.t):
        return least
    return max(least, bisect_right(known.times, old_at))


def _hindered(story: Story, life_since: float, since: float, until: float) -> bool:
    """Whether trouble may have kept this life from writing: what was over before `since` has not."""
    if since <= life_since or story.stopped(since, until):  # who stands still does not look again, either
        since = life_since
    return _in_trouble(story, since, until)


def _in_trouble(story: Story, since: float, until: float) -> bool:
    """Whether the disk or the keyring was ill at some moment between."""
    ill: set[What] = set()
    for at, step in story.faults:
        if at > until:
            break
        if at >= since and ill:
            return True
        ill -= _ENDS.get(step.what, set())
        if step.what is What.DISK_SLOW and not step.value:
            ill.discard(step.what)
        elif step.what in _CAN_HINDER:
            ill.add(step.what)
    return bool(ill)


def _found(known: _Work, entry: Entry) -> Iterator[Violation]:
    text = str(entry.data["text"])
    found = known.count(text)
    if text and not found:
        yield Violation(
            15, entry.t, entry.image, f"{text!r} was found, which was not typed, or was lost before"
        )
    elif found < known.must:
        what = f"{text or 'nothing'} was found; {known.texts[known.must - 1]} had to survive"
        yield Violation(15, entry.t, entry.image, what)
    # Whatever was typed later is lost, rightly.
    del known.texts[found:], known.times[found:]
    # What was found may be in the page cache only; what was told saved is not.
    known.must, known.saved = 0, min(known.saved, found)


def unsaved_is_shown(story: Story) -> Iterator[Violation]:
    """Nobody reads "Connected" for long while an edit is not on the medium: that is what "Modified" says."""
    for image in story.images:
        edited, since = 0, 0.0
        for entry in story.of(Kind.EDITED, Kind.STANDS, Kind.PROCESS, image=image):
            if entry.kind is Kind.PROCESS:
                edited = 0
            elif entry.kind is Kind.EDITED:
                # While the session is not open yet its revisions are our own, and begin anew.
                edited, since = _number(entry, "revision") if entry.data["open"] else 0, entry.t
            elif entry.data["state"] == CONNECTED and edited > _number(entry, "saved"):
                by = since + TOLD_WITHIN_S + story.lag_s(since, entry.t)
                if entry.t > by and not story.stopped(since, entry.t):
                    what = f"stands as Connected; revision {edited} was typed, {entry.data['saved']} is saved"
                    yield Violation(15, entry.t, image, what)


def _number(entry: Entry, name: str) -> int:
    found = entry.data.get(name)
    return int(found) if isinstance(found, int | float) else 0
