"""One image's session as the loop knows it: its document, where that stands, and who waits for the disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from resilience.limits import MAX_EARLY_ENTRIES, MAX_MEMORY_EVALUATIONS
from store.documents import Append, Drop, Patch, Put, applied, check, merge, new_document
from store.documents.sections import HISTORIES
from store.outcomes import Busy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resilience.core import ImageCore
    from store.documents import Edit, State
    from store.errors import StoreError
    from store.sessions import Receipt, Session

UNREAD_EDITS = 1_000_000
"""The journal may be behind the session by as many, and no revision is given twice: edits made before the
session could be read are numbered from there."""


class Standing(StrEnum):
    """Where a session's document is."""

    EMPTY = "empty"
    """Nothing was ever kept for this image, or only its transitions: a file is made when there is work."""
    READING = "reading"
    MEMORY = "in memory"
    """Edits are taken, and joined with what is stored as soon as that can be opened."""
    OPEN = "open"
    READ_ONLY = "read-only"
    UNREADABLE = "unreadable"


@dataclass(slots=True, eq=False)
class Kept:
    """One session. Belongs to the loop; only `session` may be used by the lane meanwhile.

    Attributes:
        core: the image it belongs to.
        id: its id, which is the journal's.
        base: what the document in memory began as.
        memory: the document while there is no session open.
        count: the revision while there is no session open.
        touched: whether edits were made that no session has yet.
        unread: whether there may be stored edits that nobody here has seen.
        why: why it is not open, in words.
        refusal: why it may not be edited.
        trouble: what the disk said to the last attempt.
        worked: the revision of the user's last edit; histories that we keep ourselves do not count.
        dirty: whether the machine was told of edits that are not saved.
        opening: whether a job of the lane opens it just now.
        answering: whether the machine waits to be told what was found.
        retired: whether it goes to the archive as soon as what is in memory is in it.
        generation: which generation to open; None is the newest.
        copy_of: the session this is a private copy of.
        early: entries of a document nobody has read yet that were removed, or changed in part, all the same;
            None: it was read.
        pruned: the snapshot up to which older ones were removed.
        known_saved: what survives a power cut. A job under way may know more; it counts when it has ended.
    """

    core: ImageCore
    id: str
    base: State
    memory: State
    standing: Standing = Standing.EMPTY
    session: Session | None = None
    count: int = 0
    touched: bool = False
    unread: bool = False
    opening: bool = False
    answering: bool = False
    retired: bool = False
    why: str = ""
    refusal: StoreError | None = None
    trouble: str | None = None
    worked: int = 0
    dirty: bool = False
    generation: int | None = None
    copy_of: str | None = None
    early: dict[tuple[str, str], type[Drop | Patch]] | None = None
    pruned: int = 0
    known_saved: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    writer: asyncio.TimerHandle | None = None
    saver: asyncio.TimerHandle | None = None
    opener: asyncio.TimerHandle | None = None
    saving: bool = False
    waiters: list[tuple[int, asyncio.Future[int]]] = field(default_factory=list)

    @classmethod
    def begun(cls, core: ImageCore, at: float) -> Kept:
        """Return the session of an image of which nothing was read yet."""
        base = new_document(core.session, core.key, str(core.endpoint), at)
        known = core.stored.revision if core.stored is not None else 0
        return cls(core, core.session, base, base, count=known, unread=core.stored is not None, early={})

    # -- looking ---------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The document."""
        return self.session.state if self.session is not None else self.memory

    @property
    def revision(self) -> int:
        """How many edits lead to it."""
        return self.session.revision if self.session is not None else self.count

    @property
    def saved(self) -> int:
        """How many of them survive a power cut, as the last job that has ended found."""
        return self.known_saved if self.session is not None else 0

    @property
    def written(self) -> bool:
        """Whether all of them survive the end of this process."""
        return self.session is not None and self.session.written >= self.session.revision

    @property
    def durable(self) -> bool:
        """Whether all of them do."""
        if self.standing is Standing.OPEN:
            return self.saved >= self.revision
        return not self.touched and self.standing in (Standing.EMPTY, Standing.READ_ONLY)

    @property
    def why_not_durable(self) -> str | None:
        """Why edits do not reach the disk; None if they do, or soon will."""
        if self.standing is Standing.OPEN:
            return self.trouble
        if self.standing in (Standing.READ_ONLY, Standing.UNREADABLE):
            return str(self.refusal) if self.refusal is not None else self.why
        return self.why or None

    @property
    def receipt(self) -> Receipt | None:
        """How it came back; None while it has not."""
        return self.session.receipt if self.session is not None else None

    @property
    def busy_owner(self) -> str | None:
        """Who else has it open."""
        return self.refusal.detail if isinstance(self.refusal, Busy) else None

    # -- changing --------------------------------------------------------------------------

    def edit(self, edits: Sequence[Edit]) -> int:
        """Change the document; returns its revision.

        Raises:
            BadEdit: one of the edits fits no document; none was made.
            SessionError: it may not be changed; says why.
        """
        if self.standing in (Standing.READ_ONLY, Standing.UNREADABLE) and self.refusal is not None:
            raise self.refusal.with_traceback(None)  # it is one object, raised again and again
        if self.session is not None:
            return self.session.edit(*edits)
        checked = [check(each) for each in edits]
        for each in checked:
            self._note_early(each)
            self.memory = applied(self.memory, each)
        if any(isinstance(each, Append) for each in checked):
            self._forget_oldest()
        if self.unread and checked:
            self.unread, self.count = False, self.count + UNREAD_EDITS
        self.count += len(checked)
        self.touched = self.touched or bool(checked)
        return self.count

    def _note_early(self, edit: Edit) -> None:
        """Remember what is to become of an entry that only the stored document can have."""
        key = getattr(edit, "key", None)
        if self.early is None or key is None or edit.section in HISTORIES:
            return
        place = edit.section, key
        if isinstance(edit, Drop):
            if place in self.early or len(self.early) < MAX_EARLY_ENTRIES:
                self.early[place] = Drop
        elif isinstance(edit, Put):
            if self.early.get(place) is Patch:  # now it is an entry of ours, whole
                del self.early[place]
        elif key not in self.memory.get(edit.section, {}) and len(self.early) < MAX_EARLY_ENTRIES:
            self.early.setdefault(place, Patch)

    def _as_told_early(self, stored: State) -> State:
        """The document that is read now, with what was said of its entries before."""
        for (section, key), kind in (self.early or {}).items():
            if kind is Drop:
                stored = applied(stored, Drop(section, key))
            elif key in stored.get(section, {}):
                stored = applied(stored, Patch(section, self.memory[section][key], key))
        return stored

    def read_as(self, state: State) -> None:
        """This is what is stored."""
        self.memory = self.base = state
        self.early = None

    def _forget_oldest(self) -> None:
        history = self.memory["evaluations"]
        if len(history) > MAX_MEMORY_EVALUATIONS:
            self.memory = {**self.memory, "evaluations": history[-MAX_MEMORY_EVALUATIONS:]}

    def take_in(self, session: Session, at: float) -> int:
        """Go on with an opened session, joined with what was edited meanwhile; returns the conflicts."""
        conflicts = 0
        if self.touched:
            theirs = self._as_told_early(session.state)
            if session.receipt.generation is None:  # it is new: nothing to join
                session.become({**self.memory, "session": session.id})
            else:
                found = merge(self.base, {**self.memory, "session": session.id}, theirs, at)
                session.become(found.state)
                conflicts = len(found.decisions)
            session.skip_to(self.count)
            if self.worked:
                self.worked = session.revision
        self.session, self.standing, self.unread = session, Standing.OPEN, False
        self.touched, self.why, self.refusal, self.trouble = False, "", None, None
        self.early = None
        self.pruned, self.known_saved = session.generation, session.saved
        return conflicts

    def let_go(self, standing: Standing) -> Session | None:
        """Keep the document only; returns the session, which somebody has to close."""
        session, self.session = self.session, None
        if session is not None:
            self.read_as(session.state)
            self.count = session.revision
        self.standing = standing
        self.cancel_timers()
        return session

    def cancel_timers(self) -> None:
        """Nothing is due any more."""
        for timer in (self.writer, self.saver, self.opener):
            if timer is not None:
                timer.cancel()
        self.writer = self.saver = self.opener = None
