"""Sessions that change hands: to the archive, to another process, and from one."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from machines.events import Ask, Asked
from resilience.errors import NotDurable, UsageError
from resilience.limits import (
    TAKE_OVER_LOOK_S,
    WISHES_S,
)
from resilience.sessions.kept import Kept, Standing
from resilience.sessions.opening import (
    give_away,
    put_away,
    take,
    tended,
)
from resilience.sessions.reading import Reading
from resilience.sessions.turns import Turn
from store.outcomes import Busy, LockedKey, MissingKey, WrongKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from resilience.core import ImageCore
    from store.sessions import Session

_Result = TypeVar("_Result")
_KEY_TROUBLE = (WrongKey, MissingKey, LockedKey)


class Handover(Reading):
    """Lets sessions go, and fetches them."""

    def archive(self, core: ImageCore, session_id: str) -> None:
        """The image has another session from here on; nothing of the old one is deleted."""
        old = self._kept[core.key]
        fresh = self._kept[core.key] = Kept.begun(core, self._host.wall())
        self._forget_patience(old)
        old.answering = False
        self._saver.refuse(old, NotDurable("the session was put into the archive"))
        if old.touched and old.standing is Standing.UNREADABLE:
            # Edits made before anybody knew that it cannot be read: they were never part of it.
            fresh.memory, fresh.count, fresh.worked = (
                {**old.memory, "session": fresh.id},
                old.count,
                old.worked,
            )
            fresh.touched = fresh.dirty = True
            old.touched = False
            core.feed(Asked(Ask.EDITED))
            self._schedule(fresh)
        if old.touched or old.opening:
            old.retired = True
            self._retired.append(old)
            self._try_open(old)
        elif old.session is not None or session_id in self.keyholder.stored:
            self._put_away(old)

    def _put_away(self, kept: Kept) -> None:
        sessions = self.keyholder.sessions
        if sessions is None:
            return
        own = kept.copy_of is None
        session = kept.let_go(Standing.EMPTY)
        if kept in self._retired:
            self._retired.remove(kept)
        job = partial(put_away, sessions, session.id if session is not None else kept.id, session)

        def ended(done: asyncio.Future[None]) -> None:
            problem = done.exception()
            if problem is None:
                self.keyholder.stored.discard(kept.id)
                self.keyholder.archived.add(kept.id)
                self._tell(kept, f"session {kept.id} is in the archive")
            else:
                self._tell(kept, f"session {kept.id} stays where it is, not in the archive: {problem}")

        if own:
            self._turns.submit(job, Turn.OPEN).add_done_callback(ended)
        elif session is not None:
            self._close(kept, session)  # a copy is merged when its original is opened next

    def _watch_wishes(self) -> None:
        if self._wishes is None and not self._closing:
            self._wishes = self._loop.call_later(WISHES_S, self._look_for_wishes)

    def _look_for_wishes(self) -> None:
        self._wishes = None
        open_now = [kept.session for kept in self._kept.values() if kept.session is not None]
        if open_now:
            job = self._turns.submit(partial(tended, open_now), Turn.TEND)
            job.add_done_callback(self._wished)

    def _wished(self, job: asyncio.Future[list[Session]]) -> None:
        if self._closing:
            return
        wished = job.result() if job.exception() is None else []
        for kept in list(self._kept.values()):
            if kept.session is not None and kept.session in wished and kept.copy_of is None:
                self._give_away(kept)
        self._watch_wishes()

    def _give_away(self, kept: Kept) -> None:
        sessions = self.keyholder.sessions
        session = kept.let_go(Standing.READ_ONLY)
        if session is None or sessions is None:
            return
        kept.refusal = Busy("edit the session", None, "another process asked for it")

        def ended(done: asyncio.Future[None]) -> None:
            problem = done.exception()
            if problem is None:
                self._saver.refuse(kept, NotDurable("another process has the session"), saved=session.saved)
                kept.dirty = False
                kept.core.feed(Asked(Ask.SAVED))
                self._tell(
                    kept,
                    "another process asked for the session: it was saved and let go, and is read-only here",
                )
            elif kept.standing is Standing.READ_ONLY:
                kept.take_in(session, self._host.wall())
                self._saver.schedule(kept)
                self._tell(kept, f"another process asks for the session, and it cannot be saved: {problem}")

        self._turns.submit(partial(give_away, sessions, session), Turn.OPEN).add_done_callback(ended)

    async def take_over(self, core: ImageCore, timeout_s: float) -> None:
        """Ask whoever has the session to let it go, and open it when that has happened.

        Raises:
            Busy: it was not let go in time.
            SessionError, DiskError: as it says.
        """
        kept, sessions = self._kept[core.key], self.keyholder.sessions
        if kept.session is not None or sessions is None:
            return
        deadline = self._loop.time() + timeout_s
        wanted = self._wanted(kept)
        self._asking.add(kept.id)
        try:
            await self._turns.submit(partial(sessions.ask_for, kept.id), Turn.OPEN)
            while not self._closing:  # nothing is done any more for whoever waits then
                job = self._turns.submit(partial(take, sessions, wanted), Turn.OPEN)
                found = await self._unless_cancelled(kept, job, lambda found: found.session)
                if found.session is not None:
                    break
                if not isinstance(found.refusal, Busy) or self._loop.time() >= deadline:
                    await self._turns.submit(partial(sessions.stop_asking, kept.id), Turn.OPEN)
                    raise found.refusal or NotDurable("the session cannot be opened")
                await asyncio.sleep(TAKE_OVER_LOOK_S)
            else:
                raise UsageError("the supervisor of this image was closed; start another one")
        except asyncio.CancelledError:
            # A wish that stays is fulfilled for nobody, and by whoever opens the session next.
            if not self._closed:
                self._turns.submit(partial(sessions.stop_asking, kept.id), Turn.OPEN)
            raise
        finally:
            self._asking.discard(kept.id)
        self._joined(kept, found.session)

    async def _unless_cancelled(
        self, kept: Kept, job: asyncio.Future[_Result], opened: Callable[[_Result], Session | None]
    ) -> _Result:
        """Wait for a job that opens a session; if nobody wants it any more when it is open, let it go."""

        def let_go(done: asyncio.Future[_Result]) -> None:
            session = opened(done.result()) if done.exception() is None else None
            if session is not None:
                self._close(kept, session)

        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            job.add_done_callback(let_go)
            raise

    async def private_copy(self, core: ImageCore) -> None:
        """Go on with a copy of a session that somebody else has open; it is merged when that one ends.

        Raises:
            SessionError, DiskError: as it says.
        """
        kept, sessions = self._kept[core.key], self.keyholder.sessions
        if kept.session is not None or sessions is None:
            return
        fresh = self._host.fresh_id().replace("-", "")
        job = self._turns.submit(partial(sessions.copy, kept.id, fresh), Turn.OPEN)
        session = await self._unless_cancelled(kept, job, lambda session: session)
        kept.copy_of = kept.id
        self._joined(kept, session)

    def _joined(self, kept: Kept, session: Session) -> None:
        if self._closing or self._kept.get(kept.core.key) is not kept or kept.session is not None:
            self._close(kept, session)
            return
        self.keyholder.stored.add(kept.id)
        self._take_in(kept, session)
        self._saver.saved(kept)
