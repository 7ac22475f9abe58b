"""The journal's writer: every transition that waits shares one write and one sync.

The loop never waits for the disk and the disk never waits for the loop. A disk
that fails stops nothing: transitions are told as not durable, and it is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from resilience.limits import CLOSE_JOURNAL_S, JOURNAL_PATIENCE_S, JOURNAL_RETRY_S, MAX_BATCH, MAX_WAITING
from resilience.seams import Host
from store import History, StoreError, TransitionRecord

Done = Callable[[bool], None]


@dataclass(slots=True)
class _Item:
    """One transition, until it is written and told."""

    record: TransitionRecord
    done: Done | None
    """None once it was told."""

    def tell(self, *, saved: bool) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(saved)


class Recorder:
    """Appends transitions in the order they are given and reports each as saved or not, in that order.

    `history` None means there is no disk to write to, for the reason in `trouble`. A disk
    that does not answer within `JOURNAL_PATIENCE_S` counts as failing until it does: what
    waits is told as not saved, and written all the same when the disk comes back.
    """

    def __init__(
        self,
        history: History | None,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        on_trouble: Callable[[str | None], None],
        trouble: str | None = None,
    ) -> None:
        self.trouble = trouble
        self._history = history
        self._loop = loop
        self._host = host
        self._on_trouble = on_trouble
        self._waiting: deque[_Item] = deque()
        self._writing: list[_Item] | None = None
        self._hangs = False
        self._patience: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def record(self, record: TransitionRecord, done: Done) -> None:
        """Have it written; `done(saved)` is called on the loop, never within this call."""
        item = _Item(record, done)
        self._waiting.append(item)
        if self._writing is None:
            self._write_next()
        elif self._hangs:
            self._loop.call_soon(self._tell_while_it_hangs, item)
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()  # told as not saved already

    def take(self, history: History | None, trouble: str | None = None) -> None:
        """The journal is there at last, or will not come; what was told as not saved is not in it."""
        self._history = history
        self._loop.call_soon(self._set_trouble, trouble)  # behind what is still to be told as not saved

    async def close(self, timeout_s: float = CLOSE_JOURNAL_S) -> bool:
        """Write what waits and close the journal. False: the disk did not answer in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
                if self._retry is not None:
                    self._retry.cancel()
                if self._history is not None:
                    await asyncio.shield(self._host.off_loop(self._close_history))
        except TimeoutError:
            return False
        return True

    # -- on the loop -------------------------------------------------------------------

    def _write_next(self) -> None:
        """Hand over what waits, up to a limit; or only try again what the disk refused before."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
        self._writing = batch
        self._idle.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._history is None:
            self._loop.call_soon(self._written, [False] * len(batch), [])
            return
        records = [item.record for item in batch]
        self._host.off_loop(lambda: self._write(records)).add_done_callback(self._done)
        self._patience = self._loop.call_later(JOURNAL_PATIENCE_S, self._lose_patience)

    def _tell_while_it_hangs(self, item: _Item) -> None:
        """Not any more if the disk has answered meanwhile: then its own write tells."""
        if self._hangs:
            item.tell(saved=False)

    def _lose_patience(self) -> None:
        """A disk that hangs must not keep from the host where it stands."""
        self._hangs = True
        self._set_trouble(f"the disk has not answered for {JOURNAL_PATIENCE_S:g} s")
        for item in [*(self._writing or ()), *self._waiting]:
            item.tell(saved=False)

    def _done(self, job: asyncio.Future[tuple[list[bool], list[str | None]]]) -> None:
        problem = job.exception()
        if problem is None:
            self._written(*job.result())
        else:  # a bug of ours; it must not end the journal, nor pass for saved
            self._written([False] * len(self._writing or ()), [f"{type(problem).__name__}: {problem}"])

    def _written(self, saved: list[bool], troubles: list[str | None]) -> None:
        batch, self._writing = self._writing or [], None
        self._hangs = False
        if self._patience is not None:
            self._patience.cancel()
        if self._waiting:
            self._write_next()  # the disk is at work while we tell
        elif self._history is not None and self._history.pending:
            self._retry = self._loop.call_later(JOURNAL_RETRY_S, self._write_next)
        if self._writing is None:
            self._idle.set()
        for trouble in troubles:
            self._set_trouble(trouble)
        for item, each in zip(batch, saved, strict=True):
            item.tell(saved=each)

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_trouble(trouble)

    # -- beside the loop ---------------------------------------------------------------

    def _write(self, batch: list[TransitionRecord]) -> tuple[list[bool], list[str | None]]:
        """Which of the batch are on disk now, and what was wrong on the way; None: nothing any more."""
        history = self._history
        if history is None:
            return [False] * len(batch), []
        lost = history.lost
        kept: list[bool] = []
        troubles: list[str | None] = []
        for record in batch:
            try:
                history.record(record)
            except (StoreError, ValueError) as problem:  # one that cannot be kept must not take others along
                troubles.append(str(problem))
                kept.append(False)
            else:
                kept.append(True)
        try:
            history.commit()
        except StoreError as problem:
            return [False] * len(batch), [*troubles, str(problem)]
        # The journal gives up its oldest when too many wait; whose they were is not told, so none is claimed.
        return [each and history.lost == lost for each in kept], [*troubles, None]

    def _close_history(self) -> None:
        if self._history is not None:
            with contextlib.suppress(StoreError):  # what could not be saved has been told as such
                self._history.close()
