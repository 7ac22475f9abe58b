"""What every image of one supervisor shares: links, scouts, timers, paths, the journal, on one `Host`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from machines import Cause
from machines import events as e
from machines.policy import CROWD
from resilience.core import ImageCore
from resilience.errors import UsageError
from resilience.limits import PATH_PROVEN_GAP_S, TICKS_PER_SECOND
from resilience.names import Names
from resilience.network.monitor import NetworkMonitor
from resilience.network.snapshot import Delta, Path, Snapshot
from resilience.recorder import Recorder
from resilience.seams import Host, Link, LinkCallbacks, ScoutParty
from resilience.sessions.keeper import Keeper
from store import TransitionRecord

_CAUSE_OF = {e.Scouting.REFUSED: Cause.REFUSED, e.Scouting.NO_ROUTE: Cause.NO_ROUTE}

WHY_TIMEOUT_S = 0.25
"""A refusal arrives within a round trip; beyond this the cause stays "no answer"."""


class SharedWorld:
    """Implements `resilience.seams.World` for every image of one supervisor."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, host: Host, recorder: Recorder, keeper: Keeper
    ) -> None:
        self.cores: dict[str, ImageCore] = {}
        self._loop = loop
        self._thread = threading.get_ident()
        self._host = host
        self._recorder = recorder
        self._keeper = keeper
        self._links: dict[str, dict[int, Link]] = {}
        self._scouts: dict[str, ScoutParty] = {}
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._paths: dict[str, Path | None] = {}
        self._proven_at: dict[tuple[str, str | None], float] = {}
        self._crowded = False
        self._names = Names(loop, host.look_up)
        self.monitor = NetworkMonitor(self._network_changed, self._slept, self._stalled, host.kernel())
        self._ticker: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at the network and begin to watch it."""
        self.monitor.start(self._loop)
        self._tick()

    def check_caller(self) -> None:
        """Futures and timers of another loop would wait for ever, those of another thread come to harm.

        Raises:
            UsageError: called from there.
        """
        running: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):  # none is running: whoever starts ours again may ask between
            running = asyncio.get_running_loop()
        if threading.get_ident() != self._thread or running not in (None, self._loop):
            raise UsageError(
                "images belong to the event loop of their supervisor, and this is not it; "
                "from elsewhere use resilience.BlockingSupervisor, or its loop's call_soon_threadsafe"
            )

    def close(self) -> None:
        """Let go of every image and stop watching."""
        if self._ticker is not None:
            self._ticker.cancel()
        for core in list(self.cores.values()):
            self.forget(core)
        self.monitor.stop()
        self._names.close()

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
        return self._host.now()

    def wall(self) -> float:
        return self._host.wall()

    def fresh_id(self) -> str:
        return self._host.fresh_id()

    def arm(self, core: ImageCore) -> None:
        deadline, armed = core.deadline(), self._timers.get(core.key)
        if armed is not None:
            if armed[0] == deadline:
                return
            armed[1].cancel()
            del self._timers[core.key]
        if deadline is not None and core.key in self.cores:
            delay_s = max(0.0, deadline - self._host.now())
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
        callbacks = LinkCallbacks(core.feed, self._link_down(core), core.replied)
        try:
            link = self._host.open_link(
                gen, address, core.endpoint.port, callbacks, fresh_context=fresh_context
            )
        except OSError as problem:
            self._loop.call_soon(core.link_down, gen, Cause.LOCAL, problem.strerror or str(problem))
        else:
            self._links.setdefault(core.key, {})[gen] = link

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

        self._host.scouts(told).send(address, core.endpoint.port, WHY_TIMEOUT_S)

    def abort_link(self, core: ImageCore, gen: int) -> None:
        link = self._links.get(core.key, {}).pop(gen, None)
        if link is not None:
            link.abort()

    def send(self, core: ImageCore, gen: int, request_id: str, frame: bytes) -> None:
        link = self._links.get(core.key, {}).get(gen)
        if link is not None:
            link.send(request_id, frame)

    def vitals(self, core: ImageCore, gen: int) -> e.Vitals | None:
        link = self._links.get(core.key, {}).get(gen)
        return link.vitals() if link is not None else None

    def local_addresses(self, core: ImageCore) -> dict[int, str]:
        return {gen: link.local_address or "" for gen, link in self._links.get(core.key, {}).items()}

    def scout(self, core: ImageCore, address: str, timeout_s: float) -> None:
        scouts = self._scouts.get(core.key)
        if scouts is None:
            scouts = self._host.scouts(core.scouted)
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
        self._names.ask_again()
        for core in list(self.cores.values()):
            core.look_at_path()
            for gen, address in self.local_addresses(core).items():
                if address and not snapshot.has_address(address):
                    core.feed(e.AddressGone(gen, f"{address} is gone"))

    def _slept(self, slept_s: float) -> None:
        self._names.ask_again()
        for core in list(self.cores.values()):
            core.feed(e.Woke(slept_s))

    def _stalled(self, lag_s: float) -> None:
        for core in list(self.cores.values()):
            core.feed(e.Stalled(lag_s))

    def proven(self, core: ImageCore) -> None:
        if core.path is None or len(self.cores) == 1:
            return
        way = (core.path.interface, core.path.gateway)
        now = self._host.now()
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

        self._recorder.record(record, done)

    def read_session(self, core: ImageCore) -> None:
        self._keeper.read(core)

    def archive_session(self, core: ImageCore, session: str) -> None:
        self._keeper.archive(core, session)

    def revision(self, core: ImageCore) -> int:
        return self._keeper.revision(core)
