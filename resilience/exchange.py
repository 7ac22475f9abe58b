"""Who may ask when: the bounded queue of one image and the one request outstanding on each link.

Pure: no sockets, no clock. `due` says what to hand to which link; what became of a
request is told exactly once, through the `settle` callback it came with.

Nothing waits inside libzmq. A request waits here until its image is served, or its
time runs out (`Expired`: not done). Once handed to a link it is never handed over
again: it ends with its reply, or as `LinkLost` (a read) or `OutcomeUnknown`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from resilience.errors import Expired, LinkLost, OutcomeUnknown, QueueFull, ResilienceError, UsageError
from resilience.limits import MAX_QUEUED_REQUESTS
from resilience.wire import Dialect, Kind, Reply, Request, encode, fresh_id

Settle = Callable[[Reply | ResilienceError, "Asked"], None]


@dataclass(slots=True, eq=False)
class Asked:
    """A request on its way, and what its caller wants to know of it."""

    request: Request
    issued_at: float
    deadline: float
    settle: Settle | None
    sent_at: float | None = None
    sent_wall: float = 0.0
    both_shapes: bool = False
    """It was sent without knowing the dialect."""
    answered_at: float | None = None
    answered_by: str = ""
    """Id of the wire request that answered it: another's, if a ping in flight served this one too."""

    def finish(self, outcome: Reply | ResilienceError) -> None:
        """Tell the caller, once."""
        settle, self.settle = self.settle, None
        if settle is not None:
            settle(outcome, self)


@dataclass(slots=True)
class Slot:
    """One link's outstanding request."""

    asked: Asked
    frame: bytes


@dataclass(slots=True)
class Exchange:
    """The requests of one image."""

    image: str
    dialect: Dialect | None = None
    serving: int | None = None
    fresh_id: Callable[[], str] = fresh_id
    _queue: deque[Asked] = field(default_factory=deque)
    _slots: dict[int, Slot] = field(default_factory=dict)
    _heard: set[int] = field(default_factory=set)
    """Links on which something has been answered."""

    # -- asking --------------------------------------------------------------------------

    def submit(self, asked: Asked, now: float) -> None:
        """Queue a caller's request.

        Raises:
            QueueFull: too many wait already.
        """
        self.expire(now, "")
        if len(self._queue) >= MAX_QUEUED_REQUESTS:
            raise QueueFull(self.image, MAX_QUEUED_REQUESTS)
        self._queue.append(asked)

    def ping(self, gen: int, now: float) -> Slot | None:
        """The machine wants a sign of life on `gen`; None if an answer is outstanding there already.

        A link's first ping has both shapes: whoever is at its far end may not be who was there before.
        """
        if gen in self._slots:
            return None
        dialect = self.dialect if gen in self._heard else None
        return self._hand_over(
            gen, Asked(Request(Kind.PING, id=self.fresh_id()), now, float("inf"), None), dialect, now
        )

    def due(self, now: float, why: str = "") -> Slot | None:
        """The next queued request, if its image is served and nothing else is outstanding."""
        if self.serving is None or self.serving in self._slots:
            return None
        if any(not slot.asked.request.kind.read_only for slot in self._slots.values()):
            return None  # a replaced link may still deliver the reply of the one request outstanding
        self.expire(now, why)
        while self._queue and self.serving is not None and self.serving not in self._slots:
            asked = self._queue.popleft()
            try:
                return self._hand_over(self.serving, asked, self.dialect, now)
            except UsageError as problem:  # it fitted the dialect the image spoke when it was asked
                asked.finish(problem)
        return None

    def _hand_over(self, gen: int, asked: Asked, dialect: Dialect | None, now: float) -> Slot:
        slot = Slot(asked, encode(asked.request, dialect))
        asked.both_shapes = dialect is None
        asked.sent_at = now
        self._slots[gen] = slot
        return slot

    # -- what became of it ---------------------------------------------------------------

    def outstanding(self, gen: int) -> Asked | None:
        """The request outstanding on link `gen`."""
        slot = self._slots.get(gen)
        return slot.asked if slot is not None else None

    def answered(self, gen: int, outcome: Reply | ResilienceError, now: float) -> None:
        """The reply of what is outstanding on `gen` came.

        An answered ping also answers every ping that has waited in the queue since
        before it was sent: they ask the same question, and one answer is news to all.
        """
        slot = self._slots.pop(gen, None)
        if slot is None:
            return
        self._heard.add(gen)
        sent_at = now if slot.asked.sent_at is None else slot.asked.sent_at
        served = [slot.asked]
        if slot.asked.request.kind is Kind.PING and not isinstance(outcome, ResilienceError):
            served += self._take(lambda a: a.request.kind is Kind.PING and a.issued_at <= sent_at)
        for asked in served:
            asked.sent_at = sent_at
            self._finish(asked, outcome, slot.asked.request.id, now)

    def _take(self, wanted: Callable[[Asked], bool]) -> list[Asked]:
        """Remove from the queue before anybody is told: whoever is told may ask again at once."""
        taken = [asked for asked in self._queue if wanted(asked)]
        if not taken:
            return taken
        self._queue = deque(asked for asked in self._queue if asked not in taken)
        return taken

    @staticmethod
    def _finish(asked: Asked, outcome: Reply | ResilienceError, by: str, now: float) -> None:
        asked.answered_at = now
        asked.answered_by = by
        asked.finish(outcome)

    def link_gone(self, gen: int, why: str) -> None:
        """Link `gen` is no more; what was outstanding on it has its outcome now."""
        slot = self._slots.pop(gen, None)
        self._heard.discard(gen)
        if slot is not None:
            slot.asked.finish(self._lost(slot.asked, why))

    @staticmethod
    def _lost(asked: Asked, why: str) -> ResilienceError:
        request = asked.request
        if request.kind.read_only:
            return LinkLost(request.id, request.kind, why)
        return OutcomeUnknown(request.id, request.kind, asked.sent_wall, why)

    def expire(self, now: float, why: str) -> None:
        """Settle whatever has run out of time. A slot stays taken: its reply is still to come."""
        overdue = [slot.asked for slot in self._slots.values() if now >= slot.asked.deadline]
        for asked in self._take(lambda a: now >= a.deadline or a.settle is None):
            waited = now - asked.issued_at
            asked.finish(Expired(asked.request.id, asked.request.kind, waited, why or "waiting for its turn"))
        for asked in overdue:
            asked.finish(self._lost(asked, "no reply in time"))

    def abandoned(self) -> list[int]:
        """Links on which something is outstanding that nobody waits for and that must not run later."""
        return [
            gen
            for gen, slot in self._slots.items()
            if slot.asked.settle is None and not slot.asked.request.kind.read_only
        ]

    def close(self, why: str, now: float) -> None:
        """Settle everything: the image is being let go."""
        for gen in list(self._slots):
            self.link_gone(gen, why)
        while self._queue:
            asked = self._queue.popleft()
            waited = now - asked.issued_at
            asked.finish(Expired(asked.request.id, asked.request.kind, waited, why))

    def deadline(self) -> float | None:
        """When `expire` has something to do next."""
        waiting = [a.deadline for a in self._queue]
        waiting += [s.asked.deadline for s in self._slots.values() if s.asked.settle is not None]
        return min((t for t in waiting if t != float("inf")), default=None)
