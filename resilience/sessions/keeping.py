"""What every part of the keeper uses: the sessions, their keys, the lane, and how things are told."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from resilience.errors import NotDurable
from resilience.limits import (
    JOURNAL_PATIENCE_S,
)
from resilience.sessions.kept import Kept
from resilience.sessions.keyholder import CHOICES, Keyholder
from resilience.sessions.opening import (
    close_session,
)
from resilience.sessions.saver import Saver
from resilience.sessions.turns import Turn, Turns
from store.keys import KeyState, Protection
from store.outcomes import LockedKey, MissingKey, WrongKey

if TYPE_CHECKING:
    from resilience.seams import Host
    from store.sessions import Session

_KEY_TROUBLE = (WrongKey, MissingKey, LockedKey)


class Keeping(ABC):
    """The sessions of one supervisor, and whom to tell."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        data_dir: FilePath,
        notice: Callable[[str], None],
        *,
        protection: Protection | None = None,
        passphrase: str | None = None,
        read_only: bool = False,
        journal_unread: bool = False,
    ) -> None:
        self._loop = loop
        self._host = host
        self._notice = notice
        self._read_only = read_only
        self._journal_unread = journal_unread
        """Which session is whose is not known yet: edits wait in memory."""
        self._turns = Turns(loop, host, self._hangs)
        self.keyholder = Keyholder(
            loop,
            host,
            self._turns,
            data_dir,
            self._keys_changed,
            protection=protection,
            passphrase=passphrase,
            read_only=read_only,
        )
        self._saver = Saver(loop, self._turns, self._told_trouble, self._prune, self.keyholder.look_again)
        self._kept: dict[str, Kept] = {}
        self._retired: list[Kept] = []
        self._left: list[tuple[Kept, Session]] = []
        """What was open when everything ended, to ask what of it is on the medium."""
        self._patience: dict[str, asyncio.TimerHandle] = {}
        self._wishes: asyncio.TimerHandle | None = None
        self._trouble: str | None = None
        self._told: set[str] = set()
        self._asking: set[str] = set()
        """The ids of sessions that others are asked for at this moment."""
        self._progress = asyncio.Event()
        self._closing = False
        self._closed = False

    @abstractmethod
    def _keys_changed(self) -> None:
        """What waited for the keys may go on."""

    @abstractmethod
    def _put_away(self, kept: Kept) -> None:
        """Its session goes to the archive."""

    @abstractmethod
    def _watch_wishes(self) -> None:
        """A session is open: somebody else may ask for it."""

    # -- telling -----------------------------------------------------------------------------

    def _tell(self, kept: Kept, words: str) -> None:
        self._notice(f"{kept.core.key}: {words}")

    def _tell_once(self, kept: Kept, words: str) -> None:
        if (line := f"{kept.core.key}: {words}") not in self._told:
            self._told.add(line)
            self._notice(line)

    def _hangs(self, hangs: bool) -> None:  # noqa: FBT001 - a callback's one argument
        if hangs:
            self._told_trouble(f"the disk has not answered for {JOURNAL_PATIENCE_S:g} s")
        else:
            self._told_trouble(self._saver.trouble)

    def _told_trouble(self, trouble: str | None) -> None:
        """A disk's refusal is told once, whatever the number of sessions."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._notice(f"sessions are not durable: {trouble}" if trouble else "sessions are durable again")

    def _tell_of_keys(self, kept: Kept) -> None:
        """Once for all images: work stays in memory, and what to do about it. Our own records are no work."""
        keys = self.keyholder.keys
        if self._read_only:  # that the directory cannot be written is told already
            return
        if (
            self.keyholder.busy
            or keys.state is KeyState.READY
            or not (kept.worked or kept.id in self.keyholder.stored)
        ):
            return
        advice = {
            KeyState.UNDECIDED: CHOICES,
            KeyState.LOCKED: "unlock the keyring, or give the passphrase",
            KeyState.MISSING: "put the entry back into the keyring; nothing is deleted",
        }.get(keys.state, "")
        words = f"sessions stay in memory, because {keys.why}" + (f"; {advice}" if advice else "")
        if words not in self._told:
            self._told.add(words)
            self._notice(words)

    def _forget_patience(self, kept: Kept) -> None:
        timer = self._patience.pop(kept.core.key, None)
        if timer is not None:
            timer.cancel()

    def _close(self, kept: Kept, session: Session) -> asyncio.Future[None] | None:
        sessions = self.keyholder.sessions
        if sessions is None:
            return None
        done = self._turns.submit(partial(close_session, sessions, session), Turn.OPEN)
        done.add_done_callback(lambda job: self._closed_one(kept, job))
        return done

    def _closed_one(self, kept: Kept, job: asyncio.Future[None]) -> None:
        problem = job.exception()
        if problem is not None:
            self._tell(kept, f"not durable: {problem}")

    def _prune(self, kept: Kept) -> None:
        """A new generation is on the medium: the oldest may go."""
        session, sessions = kept.session, self.keyholder.sessions
        if session is None or sessions is None:
            return
        if session.generation != kept.pruned:
            kept.pruned = session.generation
            job = self._turns.submit(partial(sessions.prune, session), Turn.TEND)
            job.add_done_callback(lambda done: done.exception())  # it is tried again with the next generation
        dropped = dict(session.dropped)
        if dropped != kept.dropped:
            gone = {each: count - kept.dropped.get(each, 0) for each, count in dropped.items()}
            kept.dropped = dropped
            said = ", ".join(f"{count} of {section}" for section, count in sorted(gone.items()) if count)
            self._tell(kept, f"the session is full: the oldest history was dropped ({said})")

    def _settle(self, kept: Kept) -> None:
        """Whoever waits for a save is told as soon as it is clear that there will be none."""
        waits = kept.opening or kept.answering or self.keyholder.busy or self._journal_unread
        if kept.waiters and kept.session is None and not waits:
            self._saver.refuse(kept, NotDurable(kept.why_not_durable or "the session is not open"))
