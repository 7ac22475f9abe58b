"""Law 15, the user's own work: what was typed survives what it must, as it was typed.

Evidence: what the user was told when it typed (`edited`, `save`), what the host may read at any time (the
saved revision in `stands`), and what another process finds on the disk when the next life begins (`found`).
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

CONNECTED = "Connected"
_CAN_HINDER = frozenset(
    {What.DISK_FAILS, What.DISK_FULL, What.DISK_SLOW, What.KEYRING_LOCKS, What.KEYRING_OPENS}
)
_DELAYS = frozenset({What.STALL, What.SUSPEND, What.START})


@dataclass(slots=True)
class _Work:
    """What is known of one image's work."""

    texts: list[tuple[int, str]] = field(default_factory=list)
    """(revision, text) of every edit, as the user was told; ascending."""
    times: list[float] = field(default_factory=list)
    saved: int = 0
    """The highest revision that was told to be on the medium, in any life."""
    must: int = 0
    """What the next process has to find."""

    def text_at(self, revision: int) -> str | None:
        """What stood there; None: it is not known."""
        place = bisect_right(self.texts, revision, key=lambda each: each[0]) - 1
        return self.texts[place][1] if place >= 0 else None

    def forget_beyond(self, revision: int) -> None:
        """These were lost, rightly, and their numbers may be given again."""
        kept = bisect_right(self.texts, revision, key=lambda each: each[0])
        del self.texts[kept:], self.times[kept:]


def work_is_kept(story: Story) -> Iterator[Violation]:
    """What was saved survives a power cut, what is 250 ms old a kill, and all of it an end in good order."""
    for image in story.images:
        known = _Work()
        for entry in story.of(Kind.EDITED, Kind.SAVE, Kind.STANDS, Kind.PROCESS, Kind.FOUND, image=image):
            if entry.kind is Kind.FOUND:
                yield from _found(known, entry)
            elif entry.kind is Kind.PROCESS:
                known.must = _must(story, known, entry, known.must)
            elif entry.kind is Kind.EDITED:
                known.texts.append((_number(entry, "revision"), str(entry.data["text"])))
                known.times.append(entry.t)
            else:
                known.saved = max(known.saved, _number(entry, "saved"))


def _must(story: Story, known: _Work, entry: Entry, before: int) -> int:
    how = str(entry.data["what"])
    if how not in ("kill", "closed"):
        return max(before, known.saved)
    if _hindered(story, entry.t):
        return max(before, known.saved)
    until = entry.t - (WRITTEN_WITHIN_S if how == "kill" else 0.0)
    old = bisect_right(known.times, until)
    if how == "kill" and story.stopped(until, entry.t):
        return max(before, known.saved)
    return max(before, known.saved, known.texts[old - 1][0] if old else 0)


def _hindered(story: Story, t: float) -> bool:
    """Whether the disk or the keyring may have kept us from writing, in the life that ends at `t`."""
    life = story.life(t)
    since = life.since if life is not None else 0.0
    before = [
        step.what for at, step in story.faults if at <= since and step.what in _CAN_HINDER | {What.DISK_WORKS}
    ]
    ill = bool(before) and before[-1] not in (What.DISK_WORKS, What.KEYRING_OPENS)
    during = any(
        since <= at <= t and step.what in _CAN_HINDER | _DELAYS for at, step in story.faults if at > since
    )
    return ill or during


def _found(known: _Work, entry: Entry) -> Iterator[Violation]:
    revision, text = _number(entry, "revision"), str(entry.data["text"])
    if revision < known.must:
        what = f"revision {revision} was found; {known.must} had to survive"
        yield Violation(15, entry.t, entry.image, what)
    expected = known.text_at(revision)
    if expected is not None and text != expected:
        what = f"{text!r} was found at revision {revision}, where {expected!r} had been typed"
        yield Violation(15, entry.t, entry.image, what)
    known.forget_beyond(revision)
    known.must = 0


def unsaved_is_shown(story: Story) -> Iterator[Violation]:
    """Nobody reads "Connected" for long while an edit is not on the medium: that is what "Modified" says."""
    for image in story.images:
        edited, since = 0, 0.0
        for entry in story.of(Kind.EDITED, Kind.STANDS, Kind.PROCESS, image=image):
            if entry.kind is Kind.PROCESS:
                edited = 0
            elif entry.kind is Kind.EDITED:
                edited, since = _number(entry, "revision"), entry.t
            elif entry.data["state"] == CONNECTED and edited > _number(entry, "saved"):
                by = since + TOLD_WITHIN_S + story.lag_s(since, entry.t)
                if entry.t > by and not story.stopped(since, entry.t):
                    what = f"stands as Connected; revision {edited} was typed, {entry.data['saved']} is saved"
                    yield Violation(15, entry.t, image, what)


def _number(entry: Entry, name: str) -> int:
    found = entry.data.get(name)
    return int(found) if isinstance(found, int | float) else 0
