"""The two links a connection may hold beside the one it dials: the living one and a draining one."""

from __future__ import annotations

from dataclasses import dataclass

from machines.events import Identity, Vitals
from machines.liveness import Verdict, judge
from machines.policy import Policy

CLOCK_GRAIN_S = 0.01
"""The kernel dates segments in jiffies; at HZ=100 one is 10 ms."""


@dataclass(slots=True)
class LiveLink:
    """A link that has answered."""

    gen: int
    check_at: float
    clean_since: float
    """Silence is measured from here at the earliest: our own stalls and sleeps do not count."""
    suspect_since: float | None = None
    """Set while we dial beside it: data heard after this moment proves that it survived."""
    busy_since: float | None = None
    trivial: bool = False
    """What it is busy with is a ping."""
    ping_at: float = 0.0
    """When an idle link is asked for an answer next."""
    proven: bool = False
    """It was claimed once: only such a link can be claimed again by a mere sign of life."""
    met: Identity | None = None
    """Who answered on it while the session was still being read."""
    frozen: bool = False
    """When last looked at, the kernel at its far end answered and the process did not."""

    def suspect(self, now: float, policy: Policy) -> None:
        """Believe it only when it speaks again."""
        self.suspect_since = now
        self.check_at = now + policy.check_hedge_s

    def spoke_again(self, seen: Vitals, now: float) -> bool:
        """Whether data, not mere acknowledgements, came since the suspicion: the process has spoken."""
        return self.suspect_since is not None and seen.data_quiet_s + CLOCK_GRAIN_S < now - self.suspect_since

    def judge(self, seen: Vitals, now: float, policy: Policy) -> Verdict:
        """What it looks like now."""
        verdict = judge(seen, self.clean_since, now, policy, busy=self.busy_since is not None)
        self.frozen = verdict is Verdict.FROZEN
        return verdict

    def set_next_check(self, now: float, policy: Policy) -> None:
        """Look often while a request is in flight or the link is suspect, calmly otherwise."""
        interval = policy.check_idle_s if self.busy_since is None else policy.check_busy_s
        if self.suspect_since is not None:
            grown = policy.check_hedge_growth * (now - self.suspect_since)
            interval = min(policy.check_idle_s, max(policy.check_hedge_s, grown))
        self.check_at = now + interval


@dataclass(slots=True)
class DrainingLink:
    """A replaced link with a reply still to come."""

    gen: int
    until: float
