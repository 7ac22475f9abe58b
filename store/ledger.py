"""What all transitions amount to, in memory: one summary per image and session. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from store.records import SessionSummary

if TYPE_CHECKING:
    from store.records import TransitionRecord

# About 1 MB of memory, and what a checkpoint has room for: 1,000 images with a session before the last.
MAX_SESSIONS = 2048
# Sorting to forget happens once for this many sessions, not for each.
FORGET_AT_ONCE = 256

# The store knows no states but asks this one question of them: is there a connection? A test holds
# these names against the machine's table.
CONNECTED_STATES = frozenset({"Connected", "Modified"})


class Ledger:
    """Folds transitions into summaries.

    Of one image's transitions the one with the highest `seq` is the last, whichever process wrote
    it and wherever it stands: whoever opens a history goes on above every number it finds, so a later
    number means that its writer knew of the earlier one, or wrote at the same time. Wall clocks decide
    nothing.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.forgotten = 0
        self._sessions: dict[tuple[str, str], SessionSummary] = {}
        self._last: dict[str, str] = {}  # image to its last session
        self._highest: dict[str, int] = {}

    def fold(self, record: TransitionRecord) -> None:
        """Take one transition into account."""
        key = (record.image, record.session)
        old = self._sessions.get(key)
        connected_at = old.connected_at if old else None
        if record.target in CONNECTED_STATES and record.source not in CONNECTED_STATES:
            connected_at = record.at
        if old is None:
            new = SessionSummary(
                record.image,
                record.endpoint,
                record.session,
                record.seq,
                record.target,
                record.reason,
                record.identity,
                record.dialect,
                record.at,
                record.at,
                1,
                connected_at,
                record.revision,
            )
        elif record.seq >= old.seq:
            new = SessionSummary(
                record.image,
                record.endpoint,
                record.session,
                record.seq,
                record.target,
                record.reason,
                record.identity or old.identity,
                record.dialect or old.dialect,
                old.first_at,
                record.at,
                old.transitions + 1,
                connected_at,
                max(record.revision, old.revision),
            )
        else:  # another process wrote this beside what is already known
            new = replace(old, transitions=old.transitions + 1)
        self._put(key, new)

    def merge(self, summary: SessionSummary) -> None:
        """Take a checkpoint's summary into account; twice is the same as once.

        It stands for transitions of which some, or none, were folded before it: the larger count is
        the true one when a single process wrote the session; when several did at once it may be too low.
        """
        key = (summary.image, summary.session)
        old = self._sessions.get(key)
        if old is None:
            self._put(key, summary)
            return
        newer, older = (summary, old) if summary.seq >= old.seq else (old, summary)
        fuller = summary if summary.transitions >= old.transitions else old
        self._put(
            key,
            SessionSummary(
                newer.image,
                newer.endpoint,
                newer.session,
                newer.seq,
                newer.state,
                newer.reason,
                newer.identity or older.identity,
                newer.dialect or older.dialect,
                fuller.first_at,  # not the smaller one: clocks are set back at times
                newer.last_at,
                fuller.transitions,
                older.connected_at if newer.connected_at is None else newer.connected_at,
                max(newer.revision, older.revision),
            ),
        )

    def avoid(self, image: str, seq: int) -> None:
        """Never give out `seq` or less for this image."""
        if seq > self._highest.get(image, -1):
            self._highest[image] = seq

    def next_seq(self, image: str) -> int:
        """Return the number for the image's next transition; the first is 1."""
        return self._highest.get(image, 0) + 1

    def last(self, image: str) -> SessionSummary | None:
        """Return the session in which the image's last transition was."""
        session = self._last.get(image)
        return None if session is None else self._sessions[image, session]

    def sessions(self) -> list[SessionSummary]:
        """Return all summaries; the one with the latest transition, by wall clock, first."""
        return sorted(self._sessions.values(), key=lambda each: each.last_at, reverse=True)

    def by_weight(self) -> list[SessionSummary]:
        """Return all summaries; every image's last session first, and otherwise the newest first."""
        return sorted(
            self._sessions.values(),
            key=lambda each: (self._last[each.image] == each.session, each.last_at),
            reverse=True,
        )

    def _put(self, key: tuple[str, str], summary: SessionSummary) -> None:
        image, session = key
        known = self._last.get(image)
        if known is None or summary.seq >= self._sessions[image, known].seq:
            self._last[image] = session
        self._sessions[key] = summary
        self.avoid(image, summary.seq)
        if len(self._sessions) >= MAX_SESSIONS + FORGET_AT_ONCE:
            self._forget()

    def _forget(self) -> None:
        for summary in self.by_weight()[MAX_SESSIONS:]:
            del self._sessions[summary.image, summary.session]
            self.forgotten += 1
            if self._last[summary.image] == summary.session:
                del self._last[summary.image]
                del self._highest[summary.image]
