"""The order of work on the lane of sessions: what must not wait goes before what may."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from resilience.errors import UsageError
from resilience.limits import JOURNAL_PATIENCE_S
from resilience.seams import Lane

if TYPE_CHECKING:
    from resilience.seams import Host

_Result = TypeVar("_Result")


class Turn(IntEnum):
    """What goes first."""

    WRITE = 0
    """Edits on their way to the operating system: law 15 counts in milliseconds."""
    OPEN = 1
    SAVE = 2
    TEND = 3
    """Nobody waits for it."""
    KEYS = 4
    """May wait for a person; never counts as a disk that hangs."""


class Turns:
    """One job at a time beside the loop, the most pressing one next; equal ones in the order they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host, on_hang: Callable[[bool], None]) -> None:
        """Begin with nothing to do.

        Args:
            loop: what results are told on.
            host: has the lane.
            on_hang: told True when a job takes so long that the disk must hang, False when it has ended.
        """
        self._loop = loop
        self._host = host
        self._on_hang = on_hang
        self._waiting: list[tuple[Turn, int, Callable[[], Any], asyncio.Future[Any]]] = []
        self._came = count()
        self._at_work = False
        self._hangs = False

    def submit(self, job: Callable[[], _Result], turn: Turn) -> asyncio.Future[_Result]:
        """Have it done when its turn comes."""
        done: asyncio.Future[_Result] = self._loop.create_future()
        heapq.heappush(self._waiting, (turn, next(self._came), job, done))
        if not self._at_work:
            self._next()
        return done

    def hand_over(self) -> None:
        """Nobody waits any more: what may still be done is done after the job at work, loop or no loop."""
        waiting, self._waiting = sorted(self._waiting, key=lambda each: each[:2]), []
        for turn, _, job, done in waiting:
            if turn in (Turn.TEND, Turn.KEYS):
                if not done.done():
                    done.set_exception(UsageError("the supervisor was closed"))
                    done.exception()  # whoever only began it does not read it
                continue
            late = self._host.off_loop(job, Lane.SESSIONS)
            late.add_done_callback(partial(_pass_on, done))

    def _next(self) -> None:
        self._at_work = bool(self._waiting)
        if not self._at_work:
            return
        turn, _, job, done = heapq.heappop(self._waiting)
        patience = (
            None if turn is Turn.KEYS else self._loop.call_later(JOURNAL_PATIENCE_S, self._lose_patience)
        )

        def ended(work: asyncio.Future[Any]) -> None:
            if patience is not None:
                patience.cancel()
            hung, self._hangs = self._hangs, False
            self._next()
            _pass_on(done, work)
            if hung:  # behind whoever is told what came of it: it may have ended in a refusal
                self._loop.call_soon(self._on_hang, False)  # noqa: FBT003 - a callback's one argument

        self._host.off_loop(job, Lane.SESSIONS).add_done_callback(ended)

    def _lose_patience(self) -> None:
        self._hangs = True
        self._on_hang(True)  # noqa: FBT003 - same


def _pass_on(done: asyncio.Future[Any], work: asyncio.Future[Any]) -> None:
    problem = work.exception()
    if done.done():
        return
    if problem is not None:
        done.set_exception(problem)
    else:
        done.set_result(work.result())
