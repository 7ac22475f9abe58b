"""Is a link alive? Pure judgements over what the kernel and the image tell."""

from __future__ import annotations

from enum import StrEnum

from machines.events import Identity, Vitals
from machines.policy import Policy

UPTIME_SLACK_S = 2.0
"""Images round uptimes to whole seconds, once at each reading."""


class Verdict(StrEnum):
    """What an open link looks like."""

    WELL = "well"
    SILENT = "silent"
    FROZEN = "frozen"


def judge(seen: Vitals, clean_since: float, now: float, policy: Policy, *, busy: bool) -> Verdict:
    """Tell a dead path from a stopped process from a link that is merely quiet.

    Any segment from the far end counts as life, so a long transfer is never cut off
    while its bytes move, in either direction, and a stuck send buffer is noticed
    because its acknowledgements stop. Silence from before `clean_since` (a stall or
    sleep of our own, or the link's birth) is not held against the link.
    """
    clean_s = now - clean_since
    limit = (policy.quiet_busy_s if busy else policy.quiet_idle_s) + seen.rtt_s
    if min(seen.quiet_s, clean_s) > limit:
        return Verdict.SILENT
    if min(seen.data_quiet_s, clean_s) > policy.frozen_s + seen.rtt_s and not seen.sending:
        return Verdict.FROZEN
    return Verdict.WELL


def restarted(known: Identity, known_at: float, met: Identity, now: float) -> bool:
    """Whether the uptime went back: less than it would be had the image simply run on."""
    if known.uptime_s is None or met.uptime_s is None:
        return False
    return met.uptime_s + UPTIME_SLACK_S < known.uptime_s + max(0.0, now - known_at)
