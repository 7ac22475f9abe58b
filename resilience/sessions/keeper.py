"""The sessions of one supervisor: read when an image is added, edited on the loop, written beside it.

The loop never waits for the disk or the keyring, and neither does a connection: a session that cannot be
opened yet is kept in memory and joined with what is stored as soon as that opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from machines import Refused
from machines.events import Ask, Asked
from resilience.errors import NotDurable
from resilience.limits import (
    CLOSE_SESSIONS_S,
    RESTORE_PATIENCE_S,
)
from resilience.sessions.handover import Handover
from resilience.sessions.kept import Kept, Standing
from resilience.sessions.turns import Turn
from store.outcomes import LockedKey, MissingKey, WrongKey

if TYPE_CHECKING:
    from resilience.core import ImageCore
    from store.documents import Edit
    from store.sessions import Session

_KEY_TROUBLE = (WrongKey, MissingKey, LockedKey)


class Keeper(Handover):
    """Keeps the session of every image. Belongs to the loop."""

    def start(self) -> None:
        """Begin to read the key file; nothing waits for it."""
        self.keyholder.start()

    def keep(self, core: ImageCore) -> None:
        """An image is added; nothing is read or made before there is a reason to."""
        self._kept[core.key] = Kept.begun(core, self._host.wall())

    def journal_read(self) -> None:
        """The journal is known only now: join each image's session with what was edited meanwhile."""
        self._journal_unread = False
        for kept in self._kept.values():
            kept.why, kept.id = "", kept.core.session
            if not kept.answering and kept.standing in (Standing.EMPTY, Standing.MEMORY):
                kept.standing = Standing.MEMORY
                self._try_open(kept)
            self._settle(kept)

    def of(self, core: ImageCore) -> Kept:
        """The image's session."""
        return self._kept[core.key]

    def revision(self, core: ImageCore) -> int:
        """What the journal may claim to be on the medium. A private copy's edits are not the session's."""
        kept = self._kept.get(core.key)
        if kept is None or kept.id != core.session or kept.copy_of is not None:
            return 0
        return kept.saved

    def edit(self, core: ImageCore, edits: Sequence[Edit], *, own: bool = False) -> int:
        """Change the session's document; returns its revision. No I/O.

        Args:
            core: whose session.
            edits: what to change.
            own: it is not the user's work but our record of what happened: saved likewise, and no mark.

        Raises:
            BadEdit: one of the edits fits no document; none was made.
            SessionError: the session may not be changed; says why.
        """
        kept = self._kept[core.key]
        revision = kept.edit(edits)
        if not edits:
            return revision
        if not own:
            kept.worked = revision
            if not kept.dirty:
                kept.dirty = True
                core.feed(Asked(Ask.EDITED))
        self._schedule(kept)
        return revision

    async def save(self, core: ImageCore) -> int:
        """Return the revision that is on the medium when every edit so far is.

        Raises:
            NotDurable: it is not, and says why; the edits are kept, and tried again.
        """
        kept = self._kept[core.key]
        if kept.durable:
            return kept.saved if kept.session is not None else kept.revision
        told: asyncio.Future[int] = self._loop.create_future()
        kept.waiters.append((kept.revision, told))
        self._schedule(kept)
        if kept.session is not None:
            self._saver.save(kept)
        self._settle(kept)
        return await told

    def restore(self, core: ImageCore, generation: int | None) -> None:
        """Read the session, or another generation of it, again.

        Raises:
            Refused: the state forbids it.
        """
        kept = self._kept[core.key]
        before, kept.generation = kept.generation, generation
        self.keyholder.try_again()
        try:
            core.ask(Ask.RESTORE)
        except Refused:
            kept.generation = before  # a read may be under way, and nobody wished it another
            raise
        if not kept.answering:
            kept.generation = None

    async def close(self, timeout_s: float = CLOSE_SESSIONS_S) -> bool:
        """Save every session and let it go. False: the disk, or the keyring, did not answer in time."""
        self._closing = True
        self._journal_unread = False  # a session of its own is better than none
        for timer in (self._wishes, *self._patience.values()):
            if timer is not None:
                timer.cancel()
        self._patience.clear()
        leaving = self._save_what_is_open()
        in_time = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._open_what_waits()
                self._closed = True
                if jobs := self._close_all():
                    await asyncio.wait(jobs)
        except TimeoutError:
            in_time = False
            self._closed = True
            self._close_all()
            self._turns.hand_over()
            self._tell_of_the_late(leaving)
        self._closed = True
        self.keyholder.close()
        for kept in [*self._kept.values(), *self._retired]:
            kept.answering = False
            kept.cancel_timers()
            saved = max((each.saved for left, each in self._left if left is kept), default=kept.saved)
            self._saver.refuse(kept, NotDurable("the supervisor was closed"), saved=saved)
            if kept.touched and kept.worked:
                self._tell(kept, f"edits that were in memory only are gone: {kept.why_not_durable}")
        return in_time

    async def _open_what_waits(self) -> None:
        """What is in memory goes to the disk if there is a key. A keyring is not waited for long."""
        keys = self.keyholder
        until = self._loop.time() + RESTORE_PATIENCE_S
        everything = [*self._kept.values(), *self._retired]
        for kept in everything:
            if kept.opener is not None:
                kept.opener.cancel()
                kept.opener = None
            kept.answering = False
            if kept.touched and kept.standing in (Standing.READING, Standing.MEMORY):
                kept.standing = Standing.MEMORY
                self._try_open(kept)
        while any(each.opening for each in everything) or (
            keys.busy and any(each.touched for each in everything) and self._loop.time() < until
        ):
            self._progress.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - self._loop.time()) or None):
                    await self._progress.wait()

    def _save_what_is_open(self) -> list[Session]:
        """Every session's edits before any is tidied: there may be many, and there is not much time."""
        leaving = [kept.session for kept in self._kept.values() if kept.session is not None]
        for session in leaving:
            if session.written < session.revision:
                self._turns.submit(session.write, Turn.WRITE).add_done_callback(_closing_says_it)
        for session in leaving:
            if session.dirty:
                self._turns.submit(session.save, Turn.OPEN).add_done_callback(_closing_says_it)
        return leaving

    def _close_all(self) -> list[asyncio.Future[None]]:
        jobs: list[asyncio.Future[None]] = []
        sessions = self.keyholder.sessions
        if sessions is not None:
            asking = [partial(sessions.stop_asking, each) for each in self._asking]
            jobs += [self._turns.submit(job, Turn.OPEN) for job in asking]
        for kept in self._kept.values():
            session = kept.let_go(Standing.READ_ONLY)
            if session is None:
                continue
            self._left.append((kept, session))
            job = self._close(kept, session)
            if job is not None:
                jobs.append(job)
        return jobs

    def _tell_of_the_late(self, leaving: list[Session]) -> None:
        unwritten = [each for each in leaving if each.written < each.revision]
        unsaved = [each for each in leaving if each.saved < each.revision]
        if unwritten:
            self._notice(
                f"not durable: the last edits of {len(unwritten)} sessions may be gone: too slow a disk"
            )
        elif unsaved:
            self._notice(
                f"not durable: the last edits of {len(unsaved)} sessions are with the operating system, and "
                "not on the medium yet"
            )


def _closing_says_it(job: asyncio.Future[int]) -> None:
    job.exception()
