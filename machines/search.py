"""The search for an image: one dial under way, scouts before it, a schedule behind both.

A *dial* is a fresh link of its own generation. A *scout* is a bare TCP connect:
while nothing answers, fresh SYNs go out far more often than dials could (a dial
must live for several round trips, a scout may be one of many), and each finds a
returned path without waiting for the kernel's SYN ladder. A scout that gets
through is followed by a dial at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from random import Random

from machines import commands as c
from machines.policy import Policy
from machines.reasons import Cause
from machines.schedule import Schedule

_SOMEBODY_ANSWERED = frozenset({Cause.PROTOCOL, Cause.NO_HANDSHAKE, Cause.FROZEN, Cause.LOCAL, Cause.NAME})
"""After these a scout would tell nothing new: only another dial can."""

PATIENT_SCOUT = 16
"""One scout in so many waits as long as anything may: the path may be back and slow."""

PROOF_GAP_S = 0.1
"""A thousand images come back within a second, and each is a proof; this many scouts per image are enough."""

SCOUT_LEAD = 2.0
SCOUT_SLACK_S = 0.02
"""A dial younger than twice a scout's round trip (and a scheduling slack) may still be on its way."""


class Phase(IntEnum):
    """How far a dial has come."""

    SYN = 1
    ACCEPTED = 2
    PINGING = 3


@dataclass(slots=True)
class DialAttempt:
    """The one attempt under way."""

    gen: int
    phase: Phase
    since: float
    deadline: float | None
    check_at: float | None = None
    known_open: bool = False
    """A scout has just got through to the port."""


class Search:
    """Owns the generation counter and every attempt; writes its commands to `out`."""

    def __init__(self, random: Random, policy: Policy, out: list[c.Command]) -> None:
        self.policy = policy
        self.attempt = 0
        self.gen = 0
        self.dial: DialAttempt | None = None
        self.next_try_at: float | None = None
        self.cause = Cause.NO_ANSWER
        self.rtt_s: float | None = None
        self.crowd = 1
        self._out = out
        self._open_failures = 0
        self._timeouts = 0
        self._proof_at = float("-inf")
        self._schedule = Schedule(random)

    @property
    def waiting(self) -> bool:
        """Whether nobody has accepted a connection of the present search yet."""
        return self.dial is None or self.dial.phase is Phase.SYN

    def attempt_of(self, gen: int) -> DialAttempt | None:
        """The attempt with this generation, if it is the one under way."""
        return self.dial if self.dial is not None and self.dial.gen == gen else None

    def begin_anew(self, now: float) -> None:
        """The outage begins, or something told of a change: search densely again."""
        self._schedule.reset(now)

    def forget_failures(self) -> None:
        """An image answered: nothing of the past search is held against the next."""
        self.cause = Cause.NO_ANSWER
        self.attempt = 0
        self._open_failures = 0
        self._timeouts = 0

    def forget_path(self) -> None:
        """The way there is another one: what was learnt of the old one's speed means nothing."""
        self.cause = Cause.NO_ANSWER
        self.rtt_s = None
        self._timeouts = 0

    def _patience_s(self, phase: Phase) -> float:
        base = self.policy.handshake_s if phase is not Phase.SYN else self.policy.connect_first_s
        if self.rtt_s is not None:
            least = self.policy.handshake_s if phase is not Phase.SYN else self.policy.connect_min_s
            base = max(least, self.policy.connect_rtts * self.rtt_s)
        return float(min(self.policy.patience_max_s, base * 2 ** min(self._timeouts, 8)))

    def start_dial(self, now: float, *, known_open: bool = False) -> None:
        """Dial with the next generation; an attempt under way is aborted, never waited for."""
        if self.dial is not None:
            self._out.append(c.Abort(self.dial.gen))
        self.gen += 1
        self.attempt += 1
        deadline = now + self._patience_s(Phase.SYN)
        self.dial = DialAttempt(self.gen, Phase.SYN, now, deadline, known_open=known_open)
        stuck = self._open_failures >= self.policy.context_after
        if stuck:
            self._open_failures = 0
        self._out.append(c.Dial(self.gen, fresh_context=stuck))
        self.set_next_try(now)

    def set_next_try(self, now: float) -> None:
        """Put the next try one gap of the schedule away."""
        self.next_try_at = now + self._schedule.gap_s(self.cause, now, self.crowd)

    def try_again(self, now: float) -> None:
        """The gap is over: a scout where nobody answers, a dial where somebody did and it came to nothing."""
        if not self.waiting:
            self.next_try_at = None
        elif self.dial is None and self.cause in _SOMEBODY_ANSWERED:
            self.start_dial(now)
        else:
            self.scout(now)

    def scout(self, now: float) -> None:
        """Send one scout and set the next try."""
        self.attempt += 1
        patience_s = max(self.policy.connect_first_s, self._patience_s(Phase.SYN))
        if self.attempt % PATIENT_SCOUT == 0:
            patience_s = self.policy.patience_max_s
        self._out.append(c.Scout(patience_s))
        self.set_next_try(now)

    def scouted_open(self, took_s: float, now: float) -> None:
        """Somebody accepts: dial, unless a dial has been under way for no longer than that took."""
        dial = self.dial
        if dial is not None and now - dial.since <= SCOUT_LEAD * took_s + SCOUT_SLACK_S:
            return
        if dial is not None and dial.known_open:
            self._open_failures += (
                1  # scouts get through and dials do not: libzmq is what is stuck (czmq#2276)
            )
        self.start_dial(now, known_open=True)

    def path_proven(self, now: float) -> None:
        """The path works for others: look at once. A dial that may be half-way is left alone."""
        if self.dial is None:
            self._schedule.reset(now)
            self.start_dial(now)
        elif now - self._proof_at >= PROOF_GAP_S:
            self._proof_at = now
            self._schedule.reset(now)
            self.scout(now)

    def looking_up(self, attempt: DialAttempt, now: float, *, done: bool) -> None:
        """A dial without an address has no time to run out of."""
        if attempt.phase is Phase.SYN:
            attempt.deadline = now + self._patience_s(Phase.SYN) if done else None

    def accepted(self, attempt: DialAttempt, now: float) -> None:
        """The far kernel accepted: the handshake has its own time, scouts have done their work."""
        if attempt.phase is Phase.SYN:
            attempt.phase = Phase.ACCEPTED
            attempt.deadline = now + self._patience_s(Phase.ACCEPTED)
            self._out.append(c.CallOffScouts())

    def handshaken(self, attempt: DialAttempt, now: float) -> None:
        """Ask for the answer that proves the link.

        There is no deadline from here: the image may be busy with somebody else's
        request, and a second ping would only queue up behind the first (law 3).
        The carrier's silence is what ends the attempt.
        """
        if attempt.phase is not Phase.PINGING:
            attempt.phase = Phase.PINGING
            attempt.deadline = None
            attempt.since = now
            attempt.check_at = now + self.policy.check_busy_s
            self._out.append(c.Ping(attempt.gen))

    def overdue(self, now: float) -> Cause | None:
        """Why the attempt under way has run out of time, if it has."""
        if self.dial is None or self.dial.deadline is None or now < self.dial.deadline:
            return None
        return Cause.NO_HANDSHAKE if self.dial.phase is Phase.ACCEPTED else Cause.NO_ANSWER

    def fail_dial(self, cause: Cause, *, timed_out: bool = False) -> None:
        """The attempt came to nothing; `cause` decides how the search goes on."""
        if self.dial is not None and (self.dial.known_open or self.dial.phase is not Phase.SYN):
            self._open_failures += 1
        if timed_out:
            self._timeouts += 1
        self.dial = None
        self.cause = cause

    def excuse(self, now: float) -> None:
        """We did not run for a while: the attempt under way gets its time again."""
        if self.dial is not None:
            self.dial.since = now
            if self.dial.deadline is not None:  # None: a lookup or an unanswered ping, which has no deadline
                self.dial.deadline = now + self._patience_s(self.dial.phase)

    def abort_dial(self) -> None:
        """Give up the attempt under way, not the search."""
        if self.dial is not None:
            self._out.append(c.Abort(self.dial.gen))
            self.dial = None

    def stop(self) -> None:
        """End the search."""
        self.abort_dial()
        if self.next_try_at is not None:
            self._out.append(c.CallOffScouts())
            self.next_try_at = None

    def deadlines(self) -> tuple[float | None, ...]:
        """Every moment at which the search wants to be looked at."""
        if self.dial is None:
            return (self.next_try_at,)
        return (self.next_try_at, self.dial.deadline, self.dial.check_at)
