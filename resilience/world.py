"""The real world behind the seam: pyzmq links, TCP scouts, the network monitor, names, the journal."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import zmq

from machines import Cause
from machines import events as e
from machines.policy import CROWD
from resilience.core import ImageCore
from resilience.limits import (
    DESCRIPTORS_PER_LINK,
    PATH_PROVEN_GAP_S,
    SPARE_DESCRIPTORS,
    TICKS_PER_SECOND,
)
from resilience.link import LinkCallbacks, ZmqLink
from resilience.names import Names
from resilience.network.monitor import NetworkMonitor
from resilience.network.snapshot import Delta, Path, Snapshot
from resilience.recorder import Recorder
from resilience.scout import Scouts
from store import TransitionRecord

_CAUSE_OF = {e.Scouting.REFUSED: Cause.REFUSED, e.Scouting.NO_ROUTE: Cause.NO_ROUTE}

WHY_TIMEOUT_S = 0.25
"""A refusal arrives within a round trip; beyond this the cause stays "no answer"."""


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


class RealWorld:
    """Implements `resilience.seams.World` for every image of one supervisor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.cores: dict[str, ImageCore] = {}
        self.recorder: Recorder | None = None
        self._loop = loop
        self._contexts = Contexts()
        self._links: dict[str, dict[int, tuple[ZmqLink, zmq.Context[zmq.Socket[bytes]]]]] = {}
        self._scouts: dict[str, Scouts] = {}
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._paths: dict[str, Path | None] = {}
        self._proven_at: dict[tuple[str, str | None], float] = {}
        self._open_links = 0
        self._crowded = False
        self._descriptors = Descriptors()
        self._names = Names(loop)
        self.monitor = NetworkMonitor(self._network_changed, self._slept, self._stalled)
        self._ticker: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at the network and begin to watch it."""
        self.monitor.start(self._loop)
        self._tick()

    def close(self) -> None:
        """Let go of every image and stop watching."""
        if self._ticker is not None:
            self._ticker.cancel()
        for core in list(self.cores.values()):
            self.forget(core)
        self.monitor.stop()
        self._names.close()
        self._contexts.close()

    def forget(self, core: ImageCore) -> None:
        """Close everything of one image."""
        core.close()
        self.cores.pop(core.key, None)
        self._links.pop(core.key, None)
        self._scouts.pop(core.key, None)
        armed = self._timers.pop(core.key, None)
        if armed is not None:
            armed[1].cancel()

    # -- clocks --------------------------------------------------------------------------

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def arm(self, core: ImageCore) -> None:
        deadline, armed = core.deadline(), self._timers.get(core.key)
        if armed is not None:
            if armed[0] == deadline:
                return
            armed[1].cancel()
            del self._timers[core.key]
        if deadline is not None and core.key in self.cores:
            delay_s = max(0.0, deadline - time.monotonic())
            self._timers[core.key] = (deadline, self._loop.call_later(delay_s, self._due, core))

    def _due(self, core: ImageCore) -> None:
        self._timers.pop(core.key, None)
        core.wake()

    def _tick(self) -> None:
        crowd = sum(1 for core in self.cores.values() if core.connection.search.next_try_at is not None)
        if crowd > CROWD // 2 or self._crowded:
            for core in self.cores.values():
                core.connection.search.crowd = crowd
        self._crowded = crowd > CROWD // 2
        self._ticker = self._loop.call_later(1 / TICKS_PER_SECOND, self._tick)

    # -- links -----------------------------------------------------------------------------

    def open_link(self, core: ImageCore, gen: int, address: str, *, fresh_context: bool) -> None:
        links = self._links.setdefault(core.key, {})
        problem = self._descriptors.shortage(self._open_links)
        if problem is None:
            callbacks = LinkCallbacks(core.feed, self._link_down(core), core.replied)
            host = f"[{address}]" if ":" in address else address
            context = self._contexts.take(fresh=fresh_context)
            try:
                link = ZmqLink(gen, f"tcp://{host}:{core.endpoint.port}", context, self._loop, callbacks)
            except (zmq.ZMQError, OSError) as error:
                self._contexts.give_back(context)
                problem = str(error)
            else:
                links[gen] = (link, context)
                self._open_links += 1
        if problem is not None:
            self._loop.call_soon(core.link_down, gen, Cause.LOCAL, problem)

    def _link_down(self, core: ImageCore) -> Callable[[int, Cause, str], None]:
        def down(gen: int, cause: Cause, detail: str) -> None:
            self.abort_link(core, gen)
            if cause is Cause.NO_ANSWER and core.address is not None:
                self._ask_why(core, gen, core.address)
            else:
                core.link_down(gen, cause, detail)

        return down

    def _ask_why(self, core: ImageCore, gen: int, address: str) -> None:
        """That a connect failed is all libzmq says; a scout on the same way learns why in a round trip."""

        def told(_: str, found: e.Scouted) -> None:
            core.link_down(gen, _CAUSE_OF.get(found.found, Cause.NO_ANSWER))

        Scouts(self._loop, told).send(address, core.endpoint.port, WHY_TIMEOUT_S)

    def abort_link(self, core: ImageCore, gen: int) -> None:
        held = self._links.get(core.key, {}).pop(gen, None)
        if held is not None:
            link, context = held
            link.abort()
            self._open_links -= 1
            self._contexts.give_back(context)

    def send(self, core: ImageCore, gen: int, request_id: str, frame: bytes) -> None:
        held = self._links.get(core.key, {}).get(gen)
        if held is not None:
            held[0].send(request_id, frame)

    def vitals(self, core: ImageCore, gen: int) -> e.Vitals | None:
        held = self._links.get(core.key, {}).get(gen)
        return held[0].vitals() if held is not None else None

    def local_addresses(self, core: ImageCore) -> dict[int, str]:
        return {gen: link.local_address or "" for gen, (link, _) in self._links.get(core.key, {}).items()}

    def scout(self, core: ImageCore, address: str, timeout_s: float) -> None:
        scouts = self._scouts.get(core.key)
        if scouts is None:
            scouts = Scouts(self._loop, core.scouted)
            self._scouts[core.key] = scouts
        scouts.send(address, core.endpoint.port, timeout_s)

    def call_off_scouts(self, core: ImageCore) -> None:
        scouts = self._scouts.get(core.key)
        if scouts is not None:
            scouts.call_off()

    # -- names -----------------------------------------------------------------------------

    def resolve(self, core: ImageCore) -> None:
        def told(addresses: list[str], problem: str) -> None:
            if core.key in self.cores:
                core.resolved(addresses, problem)

        self._names.look_up(core.endpoint.host, core.endpoint.port, told)

    # -- network ---------------------------------------------------------------------------

    def path_to(self, address: str) -> Path | None:
        if address not in self._paths:
            self._paths[address] = self.monitor.snapshot.path_to(address)
        return self._paths[address]

    def _network_changed(self, snapshot: Snapshot, _: Delta) -> None:
        self._paths.clear()
        for core in list(self.cores.values()):
            core.look_at_path()
            for gen, address in self.local_addresses(core).items():
                if address and not snapshot.has_address(address):
                    core.feed(e.AddressGone(gen, f"{address} is gone"))

    def _slept(self, slept_s: float) -> None:
        for core in list(self.cores.values()):
            core.feed(e.Woke(slept_s))

    def _stalled(self, lag_s: float) -> None:
        for core in list(self.cores.values()):
            core.feed(e.Stalled(lag_s))

    def proven(self, core: ImageCore) -> None:
        if core.path is None or len(self.cores) == 1:
            return
        way = (core.path.interface, core.path.gateway)
        now = time.monotonic()
        if now - self._proven_at.get(way, float("-inf")) >= PATH_PROVEN_GAP_S:
            self._proven_at[way] = now
            self._loop.call_soon(self._wake_neighbours, core, way)

    def _wake_neighbours(self, core: ImageCore, way: tuple[str, str | None]) -> None:
        for other in list(self.cores.values()):
            if (
                other is not core
                and other.path is not None
                and (other.path.interface, other.path.gateway) == way
            ):
                other.feed(e.PathProven())

    # -- disk ------------------------------------------------------------------------------

    def record(self, core: ImageCore, record: TransitionRecord) -> None:
        def done(saved: bool) -> None:  # noqa: FBT001 - a callback's one argument
            core.durable(saved=saved)

        if self.recorder is not None:
            self.recorder.record(record, done)


class Descriptors:
    """Counts file descriptors before a link is opened: libzmq aborts the whole process when they run out."""

    def __init__(self) -> None:
        self._counted = 0
        self._links_then = 0

    def shortage(self, links: int) -> str | None:
        """Why one more link must not be opened, or None."""
        limit = _descriptor_limit()
        if limit is None:
            return None
        room = limit - DESCRIPTORS_PER_LINK - SPARE_DESCRIPTORS
        guess = self._counted + max(0, links - self._links_then) * DESCRIPTORS_PER_LINK
        if not self._counted or guess > room:  # counting 10,000 takes 10 ms: only when it may matter
            guess = self._counted = _descriptors_in_use()
            self._links_then = links
        if guess <= room:
            return None
        return f"{guess} of {limit} file descriptors are in use; raise the limit (ulimit -n) for more images"


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
