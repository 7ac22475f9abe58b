"""Has chunks played by other processes, on all cores or on a cluster, whatever becomes of those processes.

A worker that dies takes its chunk along. The chunk is played once more, on its own; if a worker dies again,
its runs are played one by one, so that the one that kills is named and none of the others is lost.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol

from simulations.campaign.journal import fingerprint
from simulations.campaign.playing import RUN_LIMIT_S, Chunk, Player, begin_worker, failed, play_chunk
from simulations.results import Run

POOL_LIFE = 60
"""Chunks per core before the processes are replaced, so that no leak adds up. `max_tasks_per_child` of the
standard library is for that, and deadlocks in all versions up to 3.13 (python/cpython#115634)."""

AHEAD = 2
"""Chunks per core that are handed out: one being played, one waiting."""

LOOK_S = 0.2
"""How long a wish to stop may go unnoticed."""

Promise = Future[list[Run]]


class PoolLostError(RuntimeError):
    """Whatever plays is gone altogether, and nothing will come of what it was given."""


class Pool(Protocol):
    """Somewhere chunks are played."""

    @property
    def slots(self) -> int:
        """How many chunks are played at a time."""
        ...

    def submit(self, chunk: Chunk) -> Promise:
        """Have a chunk played."""
        ...

    def died(self, error: Exception) -> bool:
        """Whether a promise was broken because the process that was to keep it is gone."""
        ...

    def stop(self) -> None:
        """Keep the promises under way with what has been played, soon."""
        ...

    def close(self) -> None:
        """Let the processes go; every promise has been kept, or nobody waits any more."""
        ...

    def kill(self) -> None:
        """End everything now."""
        ...


class Cores:
    """Processes of this machine."""

    def __init__(
        self, workers: int | None = None, player: Player | None = None, limit_s: float = RUN_LIMIT_S
    ) -> None:
        self._workers = workers or cores()
        self._with = (player, limit_s, fingerprint())
        self._context = multiprocessing.get_context("spawn")  # a fork would inherit threads' locks
        self._stop = self._context.Event()
        self._pool = self._fresh()
        self._submitted = 0

    @property
    def slots(self) -> int:
        """One a process."""
        return self._workers

    def submit(self, chunk: Chunk) -> Promise:
        """Have a chunk played, by fresh processes if one of the present has died or all are old."""
        self._submitted += 1
        if self._submitted % (POOL_LIFE * self._workers) == 0:
            self._replace()
        with _interrupts_wait():
            try:
                return self._pool.submit(play_chunk, chunk, *self._with)
            except BrokenProcessPool:
                self._replace()
                return self._pool.submit(play_chunk, chunk, *self._with)

    def died(self, error: Exception) -> bool:
        """Whether a process is gone; then all are."""
        return isinstance(error, BrokenProcessPool)

    def stop(self) -> None:
        """End each chunk after the run under way."""
        self._stop.set()

    def close(self) -> None:
        """Wait until the processes have gone."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def kill(self) -> None:
        """Wait for nothing."""
        for child in multiprocessing.active_children():
            child.kill()
        self.close()

    def _fresh(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers, mp_context=self._context, initializer=begin_worker, initargs=(self._stop,)
        )

    def _replace(self) -> None:
        self._pool.shutdown(wait=False)  # it keeps the promises it has made
        self._pool = self._fresh()


def cores() -> int:
    """Count the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold back Ctrl-C, and keep it for good from processes started meanwhile, which would traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def play_all(chunks: Iterator[Chunk], pool: Pool, stop: threading.Event) -> Iterator[list[Run]]:
    """Have all chunks played; gives the runs of each as it is finished, each run once.

    Once `stop` is set nothing more is begun, and what was played of the chunks under way is given.
    """
    under_way: dict[Promise, Chunk] = {}
    suspects: deque[Chunk] = deque()
    while True:
        if stop.is_set():
            chunks = iter(())
            suspects.clear()
            pool.stop()
        while not suspects and len(under_way) < AHEAD * pool.slots and (chunk := next(chunks, None)):
            under_way[pool.submit(chunk)] = chunk
        if not under_way:
            if not suspects:
                return
            yield from _alone(suspects.popleft(), pool, stop)
            continue
        for promise in wait(under_way, timeout=LOOK_S, return_when=FIRST_COMPLETED).done:
            chunk = under_way.pop(promise)
            runs = _kept(promise, pool, stop)
            if runs is None:
                suspects.append(chunk)
            else:
                yield runs


def _alone(chunk: Chunk, pool: Pool, stop: threading.Event) -> Iterator[list[Run]]:
    """Play a chunk while nothing else is played: if a worker dies now, it is because of this."""
    promise = pool.submit(chunk)
    while not wait([promise], timeout=LOOK_S).done:
        if stop.is_set():
            pool.stop()
    runs = _kept(promise, pool, stop)
    if runs is not None:
        yield runs
    elif len(chunk) == 1:
        yield [failed(chunk[0], "ended the process that played it")]
    else:
        for job in chunk:
            if not stop.is_set():
                yield from _alone((job,), pool, stop)


def _kept(promise: Promise, pool: Pool, stop: threading.Event) -> list[Run] | None:
    """Give what was played; None: the worker died.

    Raises:
        PoolLostError: nobody is left to play.
    """
    try:
        return promise.result()
    except Exception as error:
        if stop.is_set() and (promise.cancelled() or pool.died(error)):
            return []
        if pool.died(error):
            return None
        if promise.cancelled():
            raise PoolLostError("the cluster is gone") from error
        raise
