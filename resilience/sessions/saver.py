"""Edits on their way: handed to the system at once, on the medium soon, and tried until they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from machines.events import Ask, Asked
from resilience.errors import NotDurable
from resilience.limits import SAVE_DELAY_S, SESSION_RETRY_S, WRITE_DELAY_S
from resilience.sessions.turns import Turn, Turns
from store.outcomes import LockedKey

if TYPE_CHECKING:
    from resilience.sessions.kept import Kept
    from store.sessions import Session


class Saver:
    """Writes and saves open sessions, each in its time. Belongs to the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turns: Turns,
        told_trouble: Callable[[str | None], None],
        after_save: Callable[[Kept], None],
        key_refused: Callable[[], None],
    ) -> None:
        """Begin with nothing to do.

        Args:
            loop: whose timers to use.
            turns: the lane of sessions.
            told_trouble: told what the disk said when it refused, and None when no session is refused.
            after_save: told of every session that is on the medium.
            key_refused: told when there was no key to seal with.
        """
        self._loop = loop
        self._turns = turns
        self._told_trouble = told_trouble
        self._after_save = after_save
        self._key_refused = key_refused
        self._troubled: set[Kept] = set()

    @property
    def trouble(self) -> str | None:
        """What the disk said to a session that is refused; None while none is."""
        return next((kept.trouble for kept in self._troubled if kept.trouble), None)

    def schedule(self, kept: Kept) -> None:
        """There is something to write or to save: it is not put off by what is edited after it."""
        if kept.writer is None and kept.trouble is None and not kept.written:
            kept.writer = self._loop.call_later(WRITE_DELAY_S, self._write, kept)
        if kept.saver is None and not kept.saving:
            delay_s = SESSION_RETRY_S if kept.trouble is not None else SAVE_DELAY_S
            kept.saver = self._loop.call_later(delay_s, self.save, kept)

    def save(self, kept: Kept) -> None:
        """Have it on the medium as soon as its turn comes."""
        if kept.saver is not None:
            kept.saver.cancel()
            kept.saver = None
        session = kept.session
        if session is not None and not kept.saving:
            kept.saving = True
            job = self._turns.submit(partial(_saved_by, session, session.save), Turn.SAVE)
            job.add_done_callback(partial(self._saved, kept, session))

    def _write(self, kept: Kept) -> None:
        kept.writer = None
        session = kept.session
        if session is not None:
            job = self._turns.submit(partial(_saved_by, session, session.write), Turn.WRITE)
            job.add_done_callback(partial(self._done, kept, session))

    def _saved(self, kept: Kept, session: Session, job: asyncio.Future[int]) -> None:
        kept.saving = False
        self._done(kept, session, job)
        if kept.waiters and kept.session is session and job.exception() is None:
            self.save(kept)  # asked for after this one was under way

    def _done(self, kept: Kept, session: Session, job: asyncio.Future[int]) -> None:
        problem = job.exception()
        if kept.session is not session:  # it was let go meanwhile, and whoever did that saved it
            self._troubled.discard(kept)
            return
        if problem is None:
            self._well(kept)
            kept.known_saved = max(kept.known_saved, job.result())
            self.saved(kept)
            if kept.saved < session.revision:
                self.schedule(kept)
        else:
            if isinstance(problem, LockedKey):
                self._key_refused()
            self._trouble(kept, str(problem) or type(problem).__name__)

    def _well(self, kept: Kept) -> None:
        kept.trouble = None
        if kept in self._troubled:
            self._troubled.discard(kept)
            if not self._troubled:
                self._told_trouble(None)

    def _trouble(self, kept: Kept, trouble: str) -> None:
        kept.trouble = trouble
        self._troubled.add(kept)
        self._told_trouble(trouble)
        self.refuse(kept, NotDurable(trouble))
        self.schedule(kept)

    def saved(self, kept: Kept) -> None:
        """See what is on the medium by now, and tell whoever waits for it."""
        saved = kept.saved
        if kept.dirty and saved >= kept.worked:
            kept.dirty = False
            kept.core.feed(Asked(Ask.SAVED))
        for waiter in [each for each in kept.waiters if each[0] <= saved]:
            kept.waiters.remove(waiter)
            if not waiter[1].done():
                waiter[1].set_result(saved)
        self._after_save(kept)

    def refuse(self, kept: Kept, why: NotDurable, *, saved: int = -1) -> None:
        """Whoever waits for more than is `saved` waits in vain."""
        waiters, kept.waiters = kept.waiters, []
        for wanted, told in waiters:
            if told.done():
                continue
            if wanted <= saved:
                told.set_result(saved)
            else:
                told.set_exception(NotDurable(why.problem))


def _saved_by(session: Session, job: Callable[[], int]) -> int:
    """Do it, beside the loop; returns what is on the medium when it has ended."""
    job()
    return session.saved
