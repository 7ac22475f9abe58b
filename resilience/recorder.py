"""The journal's writer thread: every transition that waits shares one write and one sync.

The loop never waits for the disk and the disk never waits for the loop. A disk
that fails stops nothing: transitions are told as not durable, and it is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable

from resilience.limits import JOURNAL_RETRY_S, MAX_BATCH
from store import History, StoreError, TransitionRecord

Done = Callable[[bool], None]


class Recorder:
    """Appends transitions in the order they are given and reports each as saved or not, in that order.

    `history` None means there is no disk to write to, for the reason in `trouble`.
    """

    def __init__(
        self,
        history: History | None,
        loop: asyncio.AbstractEventLoop,
        on_trouble: Callable[[str | None], None],
        trouble: str | None = None,
    ) -> None:
        self.trouble = trouble
        self._history = history
        self._loop = loop
        self._on_trouble = on_trouble
        self._waiting: queue.SimpleQueue[tuple[TransitionRecord, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="resilience-journal", daemon=True)
        self._thread.start()

    def record(self, record: TransitionRecord, done: Done) -> None:
        """Have it written; `done(saved)` is called on the loop."""
        self._waiting.put((record, done))

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits and end the thread; blocks. False: the disk did not answer in time."""
        self._waiting.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the thread --------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch, last = self._next_batch()
            if batch:
                self._tell(
                    [(done, saved) for (_, done), saved in zip(batch, self._write(batch), strict=True)]
                )
            elif self._pending():
                self._commit()
            if last:
                self._close_history()
                return

    def _pending(self) -> bool:
        return self._history is not None and self._history.pending > 0

    def _next_batch(self) -> tuple[list[tuple[TransitionRecord, Done]], bool]:
        """What waits, up to a limit; at least one unless the disk is to be tried again."""
        batch: list[tuple[TransitionRecord, Done]] = []
        try:
            item = self._waiting.get(timeout=JOURNAL_RETRY_S if self._pending() else None)
            while item is not None:
                batch.append(item)
                if len(batch) == MAX_BATCH:
                    return batch, False
                item = self._waiting.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _write(self, batch: list[tuple[TransitionRecord, Done]]) -> list[bool]:
        """Which of the batch are on disk now."""
        if self._history is None:
            return [False] * len(batch)
        lost = self._history.lost
        kept = [self._take(self._history, record) for record, _ in batch]
        # The journal gives up its oldest when too many wait; whose they were is not told, so none is claimed.
        saved = self._commit() and self._history.lost == lost
        return [saved and each for each in kept]

    def _take(self, history: History, record: TransitionRecord) -> bool:
        try:
            history.record(record)
        except (StoreError, ValueError) as problem:  # one that cannot be kept is not to take the others along
            self._set_trouble(str(problem))
            return False
        return True

    def _commit(self) -> bool:
        if self._history is None:
            return False
        try:
            self._history.commit()
        except StoreError as problem:
            self._set_trouble(str(problem))
            return False
        self._set_trouble(None)
        return True

    def _close_history(self) -> None:
        if self._history is not None:
            with contextlib.suppress(StoreError):  # what could not be saved has been told as such
                self._history.close()

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._call(self._on_trouble, trouble)

    def _tell(self, told: list[tuple[Done, bool]]) -> None:
        def tell() -> None:
            for done, saved in told:
                done(saved)

        self._call(tell)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        # RuntimeError: the loop was closed before the disk answered; the journal has it all the same.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)
