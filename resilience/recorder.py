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

from resilience.limits import JOURNAL_RETRY_S, MAX_UNSAVED
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
        self._unsaved = 0
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
            saved = self._write([record for record, _ in batch])
            if batch:
                self._tell([done for _, done in batch], saved=saved)
            if last:
                if self._history is not None:
                    self._history.close()
                return

    def _next_batch(self) -> tuple[list[tuple[TransitionRecord, Done]], bool]:
        """Everything that waits, at least one unless the disk is to be tried again."""
        batch: list[tuple[TransitionRecord, Done]] = []
        timeout_s = JOURNAL_RETRY_S if self._unsaved else None
        try:
            item = self._waiting.get(timeout=timeout_s)
            while item is not None:
                batch.append(item)
                item = self._waiting.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _write(self, records: list[TransitionRecord]) -> bool:
        if self._history is None:
            return False
        try:
            for record in records:
                if self._unsaved < MAX_UNSAVED:
                    self._history.record(record)
                    self._unsaved += 1
            if self._unsaved:
                self._history.commit()
        except StoreError as problem:
            self._set_trouble(str(problem))
            return False
        self._unsaved = 0
        self._set_trouble(None)
        return True

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._call(self._on_trouble, trouble)

    def _tell(self, done: list[Done], *, saved: bool) -> None:
        def tell() -> None:
            for each in done:
                each(saved)

        self._call(tell)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        # RuntimeError: the loop was closed before the disk answered; the journal has it all the same.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)
