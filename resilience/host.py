"""The machine we run on: pyzmq links, TCP scouts, the kernel, names, threads for the disk."""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import zmq

from machines.events import Scouted
from resilience.limits import (
    DESCRIPTORS_AT_ONCE,
    DESCRIPTORS_PER_LINK,
    LINK_SETTLES_S,
    SPARE_DESCRIPTORS,
)
from resilience.link import ZmqLink
from resilience.names import Lookups
from resilience.network.kernel import Kernel, OwnKernel
from resilience.scout import Scouts
from resilience.seams import Lane, Link, LinkCallbacks, ScoutParty
from resilience.wire import fresh_id
from store.disk import Disk
from store.keys import KeyringVault, Vault
from store.sessions import Owner, this_process

_Result = TypeVar("_Result")


class OwnHost:
    """Implements `resilience.seams.Host` with the operating system, for one supervisor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._contexts = Contexts()
        self._descriptors = Descriptors()
        self._open_links = 0
        self._lookups = Lookups(loop)
        self._lanes = {lane: Writer(loop, f"resilience-{lane}") for lane in Lane}
        self._vault: KeyringVault | None = None
        self._random = random.Random()  # noqa: S311 - jitter, not secrets

    @property
    def random(self) -> random.Random:
        return self._random

    @property
    def disk(self) -> Disk | None:
        return None

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def fresh_id(self) -> str:
        return fresh_id()

    def kernel(self) -> Kernel:
        return OwnKernel()

    def open_link(
        self, gen: int, address: str, port: int, callbacks: LinkCallbacks, *, fresh_context: bool
    ) -> Link:
        if shortage := self._descriptors.shortage(self._open_links, self.now()):
            raise OSError(errno.EMFILE, shortage)
        context = self._contexts.take(fresh=fresh_context)
        where = f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"
        try:
            link = ZmqLink(
                gen, where, context, self._loop, callbacks, on_closed=lambda: self._closed(context)
            )
        except (zmq.ZMQError, OSError) as problem:
            self._contexts.give_back(context)
            raise OSError(problem.errno, _in_words(problem)) from problem
        self._open_links += 1
        self._descriptors.opened(self.now())
        return link

    def _closed(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._open_links -= 1
        self._contexts.give_back(context)

    def scouts(self, found: Callable[[str, Scouted], None]) -> ScoutParty:
        return Scouts(self._loop, found)

    def look_up(self, name: str, port: int, tell: Callable[[list[str], str], object]) -> None:
        self._lookups.begin(name, port, tell)

    @property
    def vault(self) -> Vault:
        self._vault = self._vault or KeyringVault()
        return self._vault

    @property
    def owner(self) -> Owner:
        return this_process()

    def entropy(self, size: int) -> bytes:
        return os.urandom(size)

    def off_loop(self, job: Callable[[], _Result], lane: Lane = Lane.JOURNAL) -> asyncio.Future[_Result]:
        return self._lanes[lane].submit(job)

    def close(self) -> None:
        self._contexts.close()
        for writer in self._lanes.values():
            writer.close()


class Writer:
    """One thread for what may wait for the disk.

    Not an executor: the interpreter joins an executor's threads at exit, and a disk may hang for ever.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str = "resilience-journal") -> None:
        self._loop = loop
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = False

    def submit(self, job: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Have it done after everything submitted before; the future is the loop's."""
        done: asyncio.Future[_Result] = self._loop.create_future()

        def work() -> None:
            try:
                result = job()
            except BaseException as problem:  # noqa: BLE001 - whoever waits decides what it means
                self._tell(_fail, done, problem)
            else:
                self._tell(_succeed, done, result)

        self._jobs.put(work)
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return done

    def close(self) -> None:
        """End the thread when what was submitted is done; does not wait."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            work()

    def _tell(self, how: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop was closed before the disk answered
            self._loop.call_soon_threadsafe(how, *args)


def _succeed(done: asyncio.Future[_Result], result: _Result) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[_Result], problem: BaseException) -> None:
    if not done.done():
        done.set_exception(problem)


class Contexts:
    """The ZeroMQ context in use, and those that still have links in them."""

    def __init__(self) -> None:
        self._current = self._new()
        self._links: dict[zmq.Context[zmq.Socket[bytes]], int] = {}

    @staticmethod
    def _new() -> zmq.Context[zmq.Socket[bytes]]:
        context = zmq.Context()
        # The default of 1,023 sockets is 340 links: each has a DEALER and both ends of its monitor.
        context.set(zmq.MAX_SOCKETS, context.get(zmq.SOCKET_LIMIT))
        return context

    def take(self, *, fresh: bool) -> zmq.Context[zmq.Socket[bytes]]:
        """The context for one more link."""
        if fresh:
            old, self._current = self._current, self._new()
            self._retire(old)
        self._links[self._current] = self._links.get(self._current, 0) + 1
        return self._current

    def give_back(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """A link of it is closed."""
        self._links[context] -= 1
        if context is not self._current:
            self._retire(context)

    def _retire(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        if not self._links.get(context):
            self._links.pop(context, None)
            # Termination waits for the reaper; never on the loop.
            threading.Thread(target=context.term, name="resilience-context", daemon=True).start()

    def close(self) -> None:
        """Terminate the current context; its links are closed already."""
        self._current.term()


class Descriptors:
    """Counts file descriptors before a link is opened: libzmq aborts the whole process when they run out."""

    def __init__(self) -> None:
        self._counted = 0
        self._links_then = 0
        self._young: deque[float] = deque()

    def opened(self, now: float) -> None:
        """One more link, which will take the rest of its descriptors soon."""
        self._young.append(now)

    def shortage(self, links: int, now: float) -> str | None:
        """Why one more link must not be opened, or None."""
        while self._young and self._young[0] <= now - LINK_SETTLES_S:
            self._young.popleft()
        limit = _descriptor_limit()
        if limit is None:
            return None
        room = limit - DESCRIPTORS_PER_LINK - SPARE_DESCRIPTORS
        guess = self._counted + max(0, links - self._links_then) * DESCRIPTORS_PER_LINK
        if not self._counted or guess > room:  # counting 10,000 takes 10 ms: only when it may matter
            coming = len(self._young) * (DESCRIPTORS_PER_LINK - DESCRIPTORS_AT_ONCE)
            guess = self._counted = _descriptors_in_use() + coming
            self._links_then = links
        if guess <= room:
            return None
        return f"{guess} of {limit} file descriptors are in use or will be; {RAISE_THE_LIMIT}"


RAISE_THE_LIMIT = "raise the limit (ulimit -n) for more images"


def _in_words(problem: OSError | zmq.ZMQError) -> str:
    """What went wrong here, and what to do where we know it."""
    if problem.errno in {errno.EMFILE, errno.ENFILE}:
        return f"no file descriptors are left ({problem}); {RAISE_THE_LIMIT}"
    return str(problem)


def _descriptor_limit() -> int | None:
    try:
        import resource  # noqa: PLC0415 - POSIX only
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _descriptors_in_use() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a count, not paths
    except OSError:
        return 0
