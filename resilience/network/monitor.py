"""Watches the network, the clocks and our own event loop, and tells what changed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from enum import StrEnum

from resilience.network.clocks import TICK_S, SleepWatch, StallWatch
from resilience.network.kernel import Kernel, OwnKernel
from resilience.network.messages import InterruptedDumpError
from resilience.network.poll import PollError
from resilience.network.snapshot import Delta, Snapshot, diff, with_opened
from resilience.network.subscription import Subscription

LOOK_SHARE = 0.02
"""Of the loop's time for looks that nothing prompted: 500 interfaces (5 ms) are still looked at every tick,
300 polled addresses (10 ms) twice a second."""

CROSS_CHECK_S = 5.0
"""So often netlink is compared with `netifaces`, and is tried again where it failed."""


class Mode(StrEnum):
    """How the network is watched."""

    RTNETLINK = "rtnetlink"
    POLL = "poll"


class NetworkMonitor:
    """Watches until stopped; belongs to the loop's thread.

    `on_change` gets the new snapshot and how it differs from the last one, never an empty difference.
    `on_sleep` gets the seconds this machine was suspended, before any change that waking brought.
    `on_stall` gets the seconds our own loop did not run. What they raise goes to the loop's handler.

    No failure ends the watch: trouble with netlink leads to polling, trouble with that to
    watching only the addresses that connections start from.
    """

    def __init__(
        self,
        on_change: Callable[[Snapshot, Delta], None],
        on_sleep: Callable[[float], None],
        on_stall: Callable[[float], None],
        kernel: Kernel | None = None,
    ) -> None:
        self._kernel = kernel or OwnKernel()
        self._on_change = on_change
        self._on_sleep = on_sleep
        self._on_stall = on_stall
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._subscription: Subscription | None = None
        self._snapshot = Snapshot()
        self._netlink_trouble = self._poll_trouble = ""
        self._clock = self._kernel.sleep_clock()
        self._sleeps = SleepWatch(0.0, 0.0)
        self._stalls = StallWatch()
        self._tick_at = self._look_at = self._compare_at = self._subscribe_at = -math.inf

    @property
    def snapshot(self) -> Snapshot:
        """The network as last read; empty before `start`."""
        return self._snapshot

    @property
    def mode(self) -> Mode:
        """How the network is being watched."""
        return Mode.POLL if self._subscription is None else Mode.RTNETLINK

    @property
    def trouble(self) -> str | None:
        """Why the network is not watched better than it is, for people; None when all is well."""
        return "; ".join(filter(None, (self._netlink_trouble, self._poll_trouble))) or None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the first snapshot, here and now and without announcing it, and begin to watch.

        Raises:
            RuntimeError: it is watching already.
        """
        if self._loop is not None:
            raise RuntimeError("this monitor is watching already; stop() it before starting it again")
        self._loop, now = loop, loop.time()
        self._sleeps = SleepWatch(self._clock.offset(), now, self._clock.least_s)
        self._snapshot = with_opened(Snapshot(), self._subscribe(loop) or self._poll())
        self._arm(loop, loop.time())

    def stop(self) -> None:
        """Stop watching: nothing is called any more, and the last snapshot stays."""
        if self._subscription is not None:
            self._subscription.close()
        if self._tick is not None:
            self._tick.cancel()
        self._loop = self._tick = self._subscription = None

    def _arm(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._tick_at = now + TICK_S
        self._tick = loop.call_at(self._tick_at, self._on_tick, loop)

    def _on_tick(self, loop: asyncio.AbstractEventLoop) -> None:
        expected_at, now = self._tick_at, loop.time()
        self._arm(loop, now)
        try:
            slept = self._look_for_sleep(now)
            lag_s = self._stalls.observe(expected_at, now)
            if lag_s is not None and not slept:  # where the monotonic clock counts sleep, once is enough
                self._on_stall(lag_s)
        finally:
            if self._loop is not None:  # no callback has stopped us
                self._look(loop, loop.time())

    def _look_for_sleep(self, now: float) -> bool:
        slept = self._sleeps.observe(now, self._clock.offset())
        if slept is None:
            return False
        self._look_at = self._compare_at = -math.inf  # what was announced meanwhile may never have arrived
        self._on_sleep(slept.slept_s)
        return True

    def _look(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        if self._subscription is not None:
            self._look_through(self._subscription, loop, now)
        elif now >= self._subscribe_at and (snapshot := self._subscribe(loop)) is not None:
            self._publish(snapshot)
        elif now >= self._look_at:
            snapshot = self._poll()
            self._look_at = now + (loop.time() - now) / LOOK_SHARE
            self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        snapshot = with_opened(self._snapshot, snapshot)
        delta = diff(self._snapshot, snapshot)
        if delta:
            self._snapshot = snapshot
            self._on_change(snapshot, delta)

    # -- rtnetlink -----------------------------------------------------------------------

    def _subscribe(self, loop: asyncio.AbstractEventLoop) -> Snapshot | None:
        now = loop.time()
        try:
            self._subscription = Subscription(loop, self._kernel, self._on_read, self._on_failure)
        except Exception as error:  # noqa: BLE001 - refused, or a loop that cannot wait for descriptors
            self._netlink_trouble = str(error) or type(error).__name__
            self._subscribe_at = now + CROSS_CHECK_S
            return None
        self._netlink_trouble = self._poll_trouble = ""
        self._compare_at = now + CROSS_CHECK_S
        return self._subscription.first

    def _on_read(self, snapshot: Snapshot) -> None:
        if self._loop is not None:
            self._look_for_sleep(self._loop.time())  # the network is often the first to tell of waking
        if self._loop is not None:
            self._publish(snapshot)

    def _on_failure(self, error: Exception) -> None:
        self._subscription = None
        self._netlink_trouble = str(error) or type(error).__name__
        self._subscribe_at = self._tick_at + CROSS_CHECK_S
        self._look_at = -math.inf
        self._publish(self._poll())

    def _look_through(self, subscription: Subscription, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Ask for what is announced late, or was lost."""
        differ = False
        if now >= self._look_at:
            try:
                differ = subscription.carriers_differ(self._snapshot)
            except InterruptedDumpError:
                differ = True
            except Exception as error:  # noqa: BLE001 - as any reading that fails
                subscription.close()
                self._on_failure(error)
                return
            self._look_at = now + (loop.time() - now) / LOOK_SHARE
        if now >= self._compare_at:
            self._compare_at = now + CROSS_CHECK_S
            differ = differ or self._addresses_differ()
        if differ:
            subscription.read_again()

    # -- polling -------------------------------------------------------------------------

    def _poll(self) -> Snapshot:
        try:
            snapshot = self._kernel.poll()
        except PollError as error:
            self._poll_trouble = str(error)
            return self._kernel.poll_sources()
        self._poll_trouble = ""
        return snapshot

    def _addresses_differ(self) -> bool:
        try:
            polled = self._kernel.poll()
        except PollError:
            return False
        return _addresses(polled) != _addresses(self._snapshot)


def _addresses(snapshot: Snapshot) -> set[tuple[str, str]]:
    return {(one.name, address) for one in snapshot.interfaces for address in one.addresses}
