"""rtnetlink on an event loop: the first message of a burst is acted on at once, the rest together.

After a reading the socket is left alone for a moment. What arrives meanwhile keeps it readable, so
the burst ends in one more reading and the last change is never lost; a buffer that overflows
meanwhile keeps it readable too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from resilience.network.kernel import Kernel
from resilience.network.messages import InterruptedDumpError
from resilience.network.snapshot import Snapshot

HOLD_S = 0.003
"""The next reading waits so long: an address and its routes, which belong together, come within 2 ms."""

BURST_HOLD_S = 0.02
"""The same in a long burst: 50 readings a second, however many messages."""

BURST_S = 0.04
"""Readings closer together than this belong to one burst."""

LONG_BURST = 10
"""Readings. An interface coming up, its addresses and its routes take three or four."""

BURST_SHARE = 0.2
"""Of the loop's time in a long burst: readings that take long, with thousands of routes, become fewer."""

MAX_INTERRUPTED = 50
"""Readings in a row spoiled by further changes, about a second, before this way of watching is given up."""


class Subscription:
    """Hands over a snapshot after every change, until closed or failed. `first` was taken while opening.

    Raises:
        NetlinkError: the kernel refuses, or the network changes too fast to be read.
        NotImplementedError: this loop cannot wait for a descriptor.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kernel: Kernel,
        on_read: Callable[[Snapshot], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._on_read = on_read
        self._on_failure = on_failure
        self._hold: asyncio.TimerHandle | None = None
        self._owed = False
        self._interrupted = 0
        self._in_a_row = 0
        self._read_at = -math.inf
        self._events = kernel.announcements()
        self._reader = kernel.readings()
        try:
            self.first = self._reader.read_all()
            loop.add_reader(self._events.fileno(), self.read_again)
        except BaseException:
            self._reader.close()
            self._events.close()
            raise

    def read_again(self) -> None:
        """Read the network now, or, soon after another reading, as soon as that may be repeated."""
        if self._hold is not None:
            self._owed = True
            return
        began = self._loop.time()
        try:
            self._events.drain()
            snapshot = self._reader.read_all()
        except InterruptedDumpError as error:
            self._interrupted += 1
            if self._interrupted > MAX_INTERRUPTED:
                self._fail(error)
            else:
                self._owed = True
                self._hold_off(BURST_HOLD_S)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, polling goes on where this ends
            self._fail(error)
            return
        took_s = self._loop.time() - began
        self._in_a_row = self._in_a_row + 1 if began - self._read_at < BURST_S else 1
        self._read_at, self._interrupted = began, 0
        if self._in_a_row < LONG_BURST:
            self._hold_off(max(HOLD_S, took_s))
        else:
            self._hold_off(max(BURST_HOLD_S, took_s / BURST_SHARE))
        self._on_read(snapshot)

    def carriers_differ(self, snapshot: Snapshot) -> bool:
        """Whether the interfaces are not what `snapshot` says. Cheaper than a reading.

        The kernel announces at most one lost carrier a second (net/core/link_watch.c): the next one comes
        0.96 s late, measured with a TAP device. Asked, it knows at once.

        Raises:
            NetlinkError: as a reading.
        """
        known = [(one.index, one.name, one.up, one.carrier) for one in snapshot.interfaces]
        now = [(one.index, one.name, one.up, one.carrier) for one in self._reader.read_interfaces()]
        return known != now

    def close(self) -> None:
        """Stop listening; nothing is called any more."""
        if self._hold is not None:
            self._hold.cancel()
        elif self._events.fileno() >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._events.fileno())
        self._events.close()
        self._reader.close()

    def _hold_off(self, for_s: float) -> None:
        self._loop.remove_reader(self._events.fileno())
        self._hold = self._loop.call_later(for_s, self._release)

    def _release(self) -> None:
        self._hold = None
        self._loop.add_reader(self._events.fileno(), self.read_again)
        if self._owed:
            self._owed = False
            self.read_again()

    def _fail(self, error: Exception) -> None:
        self.close()
        self._on_failure(error)
