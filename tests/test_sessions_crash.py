"""Power cuts, enumerated, for sessions: in every state a disk may be in, what was acknowledged comes back.

As `test_store_crash`, with sealed sessions and their keys: real code on a disk in memory that logs each call
(`session_worlds`), real code again on each medium that may follow, and a judge (`session_crashes`).
`RESILIENCE_CRASH_STATES=nightly` tears every write at every byte, and cuts more of the recoveries.
"""

from __future__ import annotations

import os
from hashlib import sha256

import pytest

from session_crashes import Judge, Promise, World, lost, recovered, states
from session_worlds import WORLDS, begun
from simulations.virtual.medium import Medium

NIGHTLY = os.environ.get("RESILIENCE_CRASH_STATES") == "nightly"
STEP = 1 if NIGHTLY else 23
"""Writes are torn at every so many bytes: 23 shares no factor with the sizes of what is written."""

RECOVERED = 37
"""The recovery from every so-manieth state is cut in its turn."""

RECOVERY_STEP = 23 if NIGHTLY else 67

SEEN: dict[str, set[bytes]] = {}
"""Digests of the media that were judged, by world."""


def digest(medium: Medium) -> bytes:
    """Return what tells media apart: names and bytes."""
    found = sha256(repr(sorted(map(str, medium.dirs))).encode())
    for path, data in sorted(medium.files.items()):
        found.update(f"{path}:{len(data)}:".encode() + data)
    return found.digest()[:16]


@pytest.mark.timeout(0 if NIGHTLY else 120)
@pytest.mark.parametrize("name", WORLDS)
def test_every_state_a_power_cut_may_leave_is_recovered(name: str) -> None:
    """In each of them, and in each that a power cut during its recovery may leave."""
    world = begun(name)
    judge, seen = Judge(world), SEEN.setdefault(name, set())
    for number, (promise, medium) in enumerate(states(world, STEP)):
        key = digest(medium)
        assert judge.verdict(promise, medium) == "", promise
        if number % RECOVERED == 0 and key not in seen:
            _cut_the_recovery(world, promise, medium, seen)
        seen.add(key)


def _cut_the_recovery(world: World, promise: Promise, medium: Medium, seen: set[bytes]) -> None:
    again = recovered(world, promise, medium)
    judge = Judge(again)
    for later, cut in states(again, RECOVERY_STEP):
        key = digest(cut)
        if key in seen:
            continue
        seen.add(key)
        assert (judge.verdict(later, cut) or lost(medium, cut)) == "", promise


def test_that_many_states_were_judged() -> None:
    """Distinct ones, by what stands on the medium."""
    if SEEN.keys() != WORLDS.keys():
        pytest.skip("counts only what ran before it: all of this file")
    count = len(set().union(*SEEN.values()))
    print(f"{count} distinct states: { ({name: len(seen) for name, seen in SEEN.items()}) }")  # noqa: T201 -- told
    assert count >= (100_000 if NIGHTLY else 5_000)
