"""How a stored session comes back: at once, later, read-only, or not at all. No connection waits for it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from machines import State
from machines.events import Ask, SessionUnreadable
from resilience.limits import (
    REREAD_S,
    RESTORE_PATIENCE_S,
)
from resilience.sessions.keeping import Keeping
from resilience.sessions.kept import Kept, Standing
from resilience.sessions.opening import (
    Found,
    Wanted,
    in_words,
    missing,
    open_session,
)
from resilience.sessions.turns import Turn
from store.outcomes import Busy, LockedKey, MissingKey, WrongKey

if TYPE_CHECKING:
    from resilience.core import ImageCore
    from store.sessions import Session

JOURNAL_UNREAD = "the journal, which says whose session is whose, is still being read"

_KEY_TROUBLE = (WrongKey, MissingKey, LockedKey)


class Reading(Keeping):
    """Opens sessions beside the loop, and answers the machines that wait for them."""

    def read(self, core: ImageCore) -> None:
        """The machine wants the stored session, and is answered now or soon."""
        kept = self._kept[core.key]
        kept.answering = True
        if kept.session is not None and kept.generation is None:
            self._answer(kept)
            return
        session = kept.let_go(Standing.READING)
        if session is not None:
            self._close(kept, session)
        kept.refusal = None
        self._patience[core.key] = self._loop.call_later(RESTORE_PATIENCE_S, self._lose_patience, kept)
        self._advance(kept)

    def _advance(self, kept: Kept) -> None:
        """Tell the machine what is known of its session, or find out more."""
        keys = self.keyholder
        if kept.opening:
            return
        if keys.sessions is None:
            if not keys.busy:
                self._unopened(kept, Found(refusal=keys.problem), keys.keys.why)
        elif kept.id not in keys.stored:
            self._not_stored(kept)
        elif keys.ready:
            self._open(kept)
        elif not keys.busy:
            refusal = keys.problem if isinstance(keys.problem, WrongKey) else None
            self._unopened(kept, Found(refusal=refusal), keys.keys.why)

    def _not_stored(self, kept: Kept) -> None:
        core = kept.core
        wanted = self._wanted(kept)
        if kept.id in self.keyholder.archived or core.stored is None:
            self._forget_patience(kept)
            kept.answering = False
            fresh = self._kept[core.key] = Kept.begun(core, self._host.wall())
            fresh.memory, fresh.touched, fresh.worked = kept.memory, kept.touched, kept.worked
            fresh.dirty, fresh.count = kept.dirty, kept.count
            fresh.waiters, kept.waiters = kept.waiters, []  # for the same edits, whatever session has them
            core.absent()
            fresh.id = core.session
            self._schedule(fresh)
        elif wanted.acknowledged:
            self._unopened(kept, Found(refusal=missing(wanted, self.keyholder.sessions)), "")
        else:
            kept.standing = Standing.MEMORY if kept.touched else Standing.EMPTY
            kept.unread = False
            self._answer(kept)
            self._schedule(kept)

    def _wanted(self, kept: Kept) -> Wanted:
        stored = kept.core.stored
        return Wanted(
            kept.id,
            kept.core.key,
            str(kept.core.endpoint),
            kept.generation,
            stored.revision if stored is not None and stored.session == kept.id else 0,
            begin=kept.id not in self.keyholder.stored,
        )

    def _try_open(self, kept: Kept) -> None:
        """Open what is in memory, if there is a key and no try is under way or set for later."""
        if kept.opening or kept.answering or kept.opener is not None or self._closed:
            return
        if kept.standing is not Standing.MEMORY:
            return
        if self._journal_unread:
            kept.why = JOURNAL_UNREAD
            return
        if not kept.touched and kept.id not in self.keyholder.stored:
            kept.standing = Standing.EMPTY
            return
        if self.keyholder.can_write:
            kept.why = ""
            self._open(kept)
        else:
            kept.why = self.keyholder.keys.why
            self._tell_of_keys(kept)
            self._settle(kept)

    def _open(self, kept: Kept) -> None:
        sessions = self.keyholder.sessions
        if sessions is None:
            return
        kept.opening = True
        wanted, kept.generation = self._wanted(kept), None
        job = self._turns.submit(partial(open_session, sessions, wanted), Turn.OPEN)
        job.add_done_callback(partial(self._opened, kept, wanted.generation))

    def _opened(self, kept: Kept, generation: int | None, job: asyncio.Future[Found]) -> None:
        kept.opening = False
        self._progress.set()
        problem = job.exception()
        found = job.result() if problem is None else Found()
        if found.session is None:
            why = f"{type(problem).__name__}: {problem}" if problem is not None else ""
            if generation is not None and found.unreadable and not self._closed:
                self._tell(kept, f"generation {generation} cannot be read; the newest state goes on")
                self._open(kept)
                return
            self._unopened(kept, found, why)
            return
        self.keyholder.stored.add(kept.id)
        if self._closed:  # too late for anybody to use it
            self._close(kept, found.session)
            return
        self._take_in(kept, found.session)
        if kept.retired:
            self._put_away(kept)
            return
        self._answer(kept)
        self._saver.saved(kept)
        if kept.waiters:
            self._saver.save(kept)

    def _take_in(self, kept: Kept, session: Session) -> None:
        before = kept.touched
        conflicts = kept.take_in(session, self._host.wall())
        receipt = session.receipt
        if receipt.generation is not None and not receipt.clean:
            self._tell(kept, f"the session came back with {receipt}")
        if conflicts:
            self._tell(
                kept,
                f"what was edited meanwhile is merged; {conflicts} places were edited twice, see `merges`",
            )
        if session.dirty:
            if not before and not kept.dirty:
                kept.worked, kept.dirty = (
                    session.revision,
                    True,
                )  # edits of an earlier life, not yet on the medium
            self._saver.schedule(kept)
        self._watch_wishes()

    def _unopened(self, kept: Kept, found: Found, why: str) -> None:
        """It is not open for writing: shown only, in memory only, or for a person to decide."""
        refusal = found.refusal
        was_asked = kept.answering
        if isinstance(refusal, LockedKey):
            self.keyholder.look_again()
        if refusal is not None and found.readable and not kept.touched:
            kept.standing, kept.refusal, kept.why = Standing.READ_ONLY, refusal, ""
            kept.read_as(found.state or kept.memory)
            self._tell(kept, f"the session is read-only: {in_words(refusal)}")
        elif refusal is not None and was_asked and (found.unreadable or isinstance(refusal, WrongKey)):
            kept.standing, kept.refusal = Standing.UNREADABLE, refusal
            self._forget_patience(kept)
            kept.answering = False
            kept.core.feed(SessionUnreadable(in_words(refusal)))
            self._settle(kept)
            return
        else:
            kept.standing = Standing.MEMORY
            kept.refusal = refusal if isinstance(refusal, Busy) else None
            kept.why = in_words(refusal) if refusal is not None else why
            if found.state is not None and not kept.touched:
                kept.read_as(found.state)
            if refusal is not None and not isinstance(refusal, LockedKey):
                self._tell_once(kept, f"not durable: {kept.why}")
                if not self._closed and kept.opener is None:
                    kept.opener = self._loop.call_later(REREAD_S, self._reopen, kept)
            else:
                self._tell_of_keys(kept)
        self._answer(kept)
        self._settle(kept)

    def _reopen(self, kept: Kept) -> None:
        kept.opener = None
        self._try_open(kept)

    def _answer(self, kept: Kept) -> None:
        if kept.answering:
            self._forget_patience(kept)
            kept.answering = False
            kept.core.restored(dirty=kept.dirty)

    def _lose_patience(self, kept: Kept) -> None:
        """Whoever is asked may be asking a person: go on in memory, and join the two when it has answered."""
        if kept.answering:
            kept.standing = Standing.MEMORY
            kept.why = "the session is still being read" if kept.opening else self.keyholder.keys.why
            self._tell_of_keys(kept)
            self._answer(kept)
            self._schedule(kept)

    def _keys_changed(self) -> None:
        self._progress.set()
        for kept in [*self._kept.values(), *self._retired]:
            if kept.answering:
                self._advance(kept)
            elif kept.standing is Standing.MEMORY:
                self._try_open(kept)
            elif kept.standing is Standing.UNREADABLE and isinstance(kept.refusal, _KEY_TROUBLE):
                self._restore_again(kept)
            self._settle(kept)

    def _restore_again(self, kept: Kept) -> None:
        """What a session failed for is here now."""
        if self.keyholder.can_write and kept.core.connection.state is State.FAILED:
            kept.core.ask(Ask.RESTORE)

    def _schedule(self, kept: Kept) -> None:
        if kept.standing is Standing.OPEN:
            self._saver.schedule(kept)
        elif kept.standing in (Standing.EMPTY, Standing.MEMORY) and kept.touched:
            kept.standing = Standing.MEMORY
            self.keyholder.need()
            self._try_open(kept)
