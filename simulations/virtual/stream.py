"""One direction of a TCP connection: what one end hands over reaches the other in order, or waits.

The network tells at once whether a chunk will arrive, so a retransmission timer runs only when something is
lost: a quiet second costs nothing. What the kernel would do then is done when it would do it: the first
retransmission after 0.2 s and a round trip, later ones twice as late each, new data waiting behind them.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Protocol

SEGMENT_BYTES = 1_448
"""What one packet of Ethernet holds beside its headers, with timestamps."""

CHUNK_MAX_BYTES = 64 * 1024
"""Long code travels and is acknowledged segment by segment. Megabytes would take an event for each of
thousands of segments and show nothing more: they go in larger pieces."""

WINDOW = 10
"""Chunks under way: TCP's initial window (RFC 6928), which here neither grows nor shrinks."""

CHUNKS_OF_A_MESSAGE = 64
"""At most, until they are as large as `CHUNK_MAX_BYTES`."""

RTO_MIN_S, RTO_MAX_S = 0.2, 120.0
"""Linux: TCP_RTO_MIN, TCP_RTO_MAX."""

EARLY_S = 1e-6
"""Sums of floats: a limit that ends in less than this has ended."""

MORE = object()
"""Not the last chunk of what was handed over."""


class Cancellable(Protocol):
    """A timer that may be called off."""

    def cancel(self) -> None:
        """It will not fire."""


class Stream:
    """Sender and receiver of one direction.

    `carry(bytes, number, payload)` puts a chunk on its way and tells whether it will arrive soon; `deliver`
    gets each payload in order. With `limit_s`, `give_up` is called when something
    has been unacknowledged for so long.
    """

    __slots__ = (
        "_after",
        "_carry",
        "_deliver",
        "_early",
        "_give_up",
        "_limit_s",
        "_lost",
        "_next",
        "_now",
        "_queue",
        "_since",
        "_timed",
        "_timer",
        "_tries",
        "_una",
        "closed",
        "round_trip_s",
        "sent",
        "taken",
    )

    def __init__(
        self,
        carry: Callable[[int, int, object], bool],
        deliver: Callable[[object], object],
        now: Callable[[], float],
        after: Callable[..., Cancellable],
        *,
        limit_s: float | None = None,
        give_up: Callable[[], object] | None = None,
    ) -> None:
        self._carry = carry
        self._deliver = deliver
        self._now = now
        self._after = after
        self._limit_s = limit_s
        self._give_up = give_up
        self._queue: deque[tuple[int, object]] = deque()
        self._una = 0
        """Number of the first chunk that is not acknowledged; it stands first in the queue."""
        self._next = 0
        self._lost: list[int] = []
        self._tries = 0
        self._since: float | None = None
        """When the first chunk in the queue turned out to be missing."""
        self._timer: Cancellable | None = None
        self._timed: tuple[int, float] | None = None
        """A chunk whose round trip is being measured, and when it was sent."""
        self.round_trip_s = 0.0
        """Smoothed, as far as it is known."""
        self._early: dict[int, object] = {}
        self.sent = 0
        """Chunks put on their way, again and again included."""
        self.taken = 0
        """Chunks received in order."""
        self.closed = False

    # -- the sender ------------------------------------------------------------------------

    @property
    def outstanding(self) -> bool:
        """Whether something of it was sent and is not acknowledged."""
        return self._next > self._una

    @property
    def backlog(self) -> int:
        """Chunks unacknowledged or unsent."""
        return len(self._queue)

    @property
    def needs_acks(self) -> bool:
        """Whether the next acknowledgement makes the sender do something."""
        return bool(self._lost or self._tries) or self._next - self._una < len(self._queue)

    def push(self, size: int, payload: object) -> None:
        """Hand over so many bytes, which mean this to the receiver once the last one is there."""
        if self.closed:
            return
        chunk = min(max(SEGMENT_BYTES, size // CHUNKS_OF_A_MESSAGE), CHUNK_MAX_BYTES)
        while size > chunk:
            self._queue.append((chunk, MORE))
            size -= chunk
        self._queue.append((size, payload))
        self._pump()

    def close(self) -> None:
        """Nothing is sent any more; what is under way may still arrive."""
        self.closed = True
        self._queue.clear()
        self._calm()

    def acknowledged(self, taken: int, *, gap: bool) -> None:
        """The receiver has taken so many chunks; with a `gap`, later ones have arrived too."""
        if self.closed:
            return
        if taken > self._una:
            while self._una < taken and self._queue:
                self._queue.popleft()
                self._una += 1
            self._lost = [number for number in self._lost if number >= taken]
            self._measure(taken)
            self._tries, self._since = 0, None
            self._calm()
        elif not gap or self._tries:
            return
        lost, self._lost = self._lost, []
        for number in lost:
            self._transmit(number)
        self._pump()

    def missed(self, number: int) -> None:
        """This chunk did not arrive after all."""
        if self.closed or number < self._una:
            return
        if number not in self._lost:
            insort(self._lost, number)
        self._timed = None  # what comes after a loss measures the repair
        self.unacknowledged()

    def unacknowledged(self) -> None:
        """No acknowledgement will come for what is outstanding: the retransmission timer runs."""
        if self._timer is not None or self.closed or not self.outstanding:
            return
        if self._since is None:
            self._since = self._now()
        delay_s = min((RTO_MIN_S + self.round_trip_s) * 2.0**self._tries, RTO_MAX_S)
        if self._limit_s is not None:
            delay_s = min(delay_s, max(0.0, self._since + self._limit_s - self._now()))
        self._timer = self._after(delay_s, self._expired)

    def _pump(self) -> None:
        """Send what may be sent: in backoff, nothing new."""
        while (
            not self._tries and self._next - self._una < WINDOW and self._next < self._una + len(self._queue)
        ):
            number = self._next
            self._next += 1
            if self._timed is None:
                self._timed = number, self._now()
            self._transmit(number)

    def _transmit(self, number: int) -> None:
        size, payload = self._queue[number - self._una]
        self.sent += 1
        if not self._carry(size, number, payload):
            self.missed(number)

    def _expired(self) -> None:
        self._timer = None
        if not self.outstanding:
            self._tries, self._since = 0, None
            return
        if self._over_limit() and self._give_up is not None:
            self._give_up()
            return
        self._tries += 1
        self._transmit(self._una)

    def _measure(self, taken: int) -> None:
        """RFC 6298's average."""
        if self._timed is not None and self._timed[0] < taken:
            took_s = self._now() - self._timed[1]
            self.round_trip_s += (took_s - self.round_trip_s) / 8
            self._timed = None

    def _over_limit(self) -> bool:
        return (
            self._limit_s is not None
            and self._since is not None
            and self._now() - self._since >= self._limit_s - EARLY_S
        )

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the receiver ------------------------------------------------------------------------

    @property
    def gap(self) -> bool:
        """Whether something later has arrived than what is waited for."""
        return bool(self._early)

    def lacks(self, number: int) -> bool:
        """Whether this chunk has not arrived before."""
        return number >= self.taken and number not in self._early

    def arrived(self, number: int, payload: object) -> None:
        """A chunk is there; in order, it is delivered with all that waited for it."""
        if number > self.taken:
            self._early[number] = payload
        elif number == self.taken:
            self.taken += 1
            self._deliver(payload)
            while self._early and self.taken in self._early:
                later = self._early.pop(self.taken)
                self.taken += 1
                self._deliver(later)
