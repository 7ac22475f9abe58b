"""One image's session as the loop knows it: its document, where that stands, and who waits for the disk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from resilience.limits import MAX_MEMORY_EVALUATIONS
from store.documents import Append, applied, check, merge, new_document
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
        pruned: the snapshot up to which older ones were removed.
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
    pruned: int = 0
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
        return cls(core, core.session, base, base, count=known, unread=core.stored is not None)

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
        """How many of them survive a power cut."""
        return self.session.saved if self.session is not None else 0

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
            raise self.refusal
        if self.session is not None:
            return self.session.edit(*edits)
        checked = [check(each) for each in edits]
        for each in checked:
            self.memory = applied(self.memory, each)
        if any(isinstance(each, Append) for each in checked):
            self._forget_oldest()
        if self.unread and checked:
            self.unread, self.count = False, self.count + UNREAD_EDITS
        self.count += len(checked)
        self.touched = self.touched or bool(checked)
        return self.count

    def _forget_oldest(self) -> None:
        history = self.memory["evaluations"]
        if len(history) > MAX_MEMORY_EVALUATIONS:
            self.memory = {**self.memory, "evaluations": history[-MAX_MEMORY_EVALUATIONS:]}

    def take_in(self, session: Session, at: float) -> int:
        """Go on with an opened session, joined with what was edited meanwhile; returns the conflicts."""
        conflicts = 0
        if self.touched:
            theirs = session.state
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
        self.pruned = session.generation
        return conflicts

    def let_go(self, standing: Standing) -> Session | None:
        """Keep the document only; returns the session, which somebody has to close."""
        session, self.session = self.session, None
        if session is not None:
            self.memory = self.base = session.state
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
