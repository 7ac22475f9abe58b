"""An asyncio event loop on virtual time: a process of ours, which may be held up, and dies without a word."""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from simulations.virtual.clock import Clock
from simulations.virtual.universe import EndlessError, Pending, Universe

_Result = TypeVar("_Result")
_Args = TypeVarTuple("_Args")

MAX_CALLS_A_TURN = 100_000
"""A thousand images that all move at once need some ten thousand."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs whatever is ready at an instant, in order, and takes no time for it.

    Callbacks from outside (`call_soon`, `readable`) wait while the process is held. After `die` nothing runs.
    """

    def __init__(self, universe: Universe, clock: Clock, on_bug: Callable[[str], None]) -> None:
        self._universe = universe
        self._clock = clock
        self._on_bug = on_bug
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbered = 0
        self._readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._readable: dict[int, bool] = {}
        self._held_until = 0.0
        self._wake: Pending | None = None
        self._wake_at = float("inf")
        self._alive = True
        self._turning = False
        self._tasks: list[asyncio.Task[Any]] = []

    # -- the outside -----------------------------------------------------------------------

    def hold(self, until: float) -> None:
        """The process does not run before this true time."""
        self._held_until = max(self._held_until, until)
        self._plan()

    def die(self) -> None:
        """Nothing runs any more, not even what would clean up."""
        self._tell_unheard()
        self._alive = False
        self._ready.clear()
        self._timers.clear()
        self._readers.clear()

    def _tell_unheard(self) -> None:
        """Of tasks whose exception nobody took: while somebody holds on to them Python says nothing."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task._log_traceback:  # noqa: SLF001 - asyncio's own mark
                problem = task.exception()  # takes it, so that Python does not say it again
                self._on_bug(f"a task died unheard; {type(problem).__name__}: {problem}")
        self._tasks.clear()

    def readable(self, fd: int, *, ready: bool) -> None:
        """Whether a virtual descriptor has something to read."""
        self._readable[fd] = ready
        if ready:
            self._look(fd)

    def _look(self, fd: int) -> None:
        if self._readable.get(fd) and fd in self._readers:
            self.call_soon(self._read, fd)

    def _read(self, fd: int) -> None:
        if self._readable.get(fd) and fd in self._readers:
            callback, args = self._readers[fd]
            callback(*args)
            self._look(fd)

    # -- turning ---------------------------------------------------------------------------

    def _plan(self) -> None:
        """Wake when there is something to do, if the process may run then."""
        if not self._alive or self._turning:
            return
        if self._ready:
            at = self._universe.now
        elif self._timers:
            at = self._clock.true_time(self._timers[0][0])
        else:
            return
        at = max(at, self._held_until)
        if self._wake is not None:
            if self._wake_at <= at and self._wake_at >= self._held_until:
                return
            self._wake.cancel()
        self._wake_at = at
        self._wake = self._universe.at(at, self._turn)

    def _turn(self) -> None:
        self._wake = None
        if not self._alive:
            return
        if self._universe.now < self._held_until:
            self._plan()
            return
        self._turning = True
        before = events._get_running_loop()  # noqa: SLF001 - what every loop does while it runs
        events._set_running_loop(self)  # noqa: SLF001 - same
        try:
            self._run_ready()
        finally:
            events._set_running_loop(before)  # noqa: SLF001 - same
            self._turning = False
        self._plan()

    def _run_ready(self) -> None:
        now, ready, timers = self._clock.monotonic(), self._ready, self._timers
        while timers and timers[0][0] <= now:
            timer = heapq.heappop(timers)[2]
            if not timer.cancelled():
                ready.append(timer)
        calls = 0
        while ready and self._alive:
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - what every loop does with its handles
            calls += 1
            if calls > MAX_CALLS_A_TURN:
                raise EndlessError(f"more than {MAX_CALLS_A_TURN:,} callbacks at {self._universe.now:.6f} s")
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)

    # -- asyncio ---------------------------------------------------------------------------

    def time(self) -> float:
        return self._clock.monotonic()

    def call_soon(
        self, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if self._alive:
            self._ready.append(handle)
            self._plan()
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Args], object],
        *args: *_Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if self._alive:
            self._numbered += 1
            heapq.heappush(self._timers, (when, self._numbered, timer))
            self._plan()
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is dropped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _Result] | Coroutine[Any, Any, _Result],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_Result]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def add_reader(self, fd: Any, callback: Callable[[*_Args], Any], *args: *_Args) -> None:
        self._readers[fd] = (callback, args)
        self._look(fd)

    def remove_reader(self, fd: Any) -> bool:
        return self._readers.pop(fd, None) is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._alive:
            return  # what Python says when it clears a killed process away, at a time of its own
        problem = context.get("exception")
        # Asyncio's own message has the addresses of objects in it, another in every run.
        said = f"{type(problem).__name__}: {problem}" if problem is not None else "no exception"
        where = str(context.get("message", "unhandled")).partition(" <")[0].partition("(")[0]
        self._on_bug(f"{where}; {said}")

    def is_running(self) -> bool:
        return self._alive

    def is_closed(self) -> bool:
        return not self._alive

    def get_debug(self) -> bool:
        return False
