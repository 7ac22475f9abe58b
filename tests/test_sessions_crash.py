"""Power cuts, enumerated, for sessions: in every state a disk may be in, what was acknowledged comes back.

As `test_store_crash`, with sealed sessions and their keys: real code on a disk in memory that logs each call,
real code again on each medium that may follow, and a judge (`session_crashes`). `RESILIENCE_CRASH_STATES=nightly`
tears every write at every byte and cuts more of the recoveries.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest

from crash_states import RecordingDisk, media
from session_crashes import COPY, Judge, Promise, World, only_words, verdicts
from shelves import SID
from simulations.virtual.medium import Medium
from store.keys import Protection, rotation
from store.sealed import rewrap

NIGHTLY = os.environ.get("RESILIENCE_CRASH_STATES") == "nightly"
STEP = 1 if NIGHTLY else 61
"""Writes are torn at every so many bytes: 61 shares no factor with the sizes of what is written."""


# Workloads


def noise(number: int) -> str:
    """Return a text that does not shrink."""
    return Random(number).randbytes(100).hex()


def first_start(world: World) -> None:
    """Nothing is there: the directories, the keys, a session, its first log."""
    session = world.begin(world.process())
    world.type(session, "one")
    world.save(session)
    world.type(session, "two")
    session.write()
    world.type(session, "three")
    world.save(session)
    world.disk.kill()


def kill_and_return(world: World) -> None:
    """A process dies with edits written and not saved; the next finds them, saves, and closes; a third looks."""
    session = world.begin(world.process())
    world.type(session, "one")
    world.save(session)
    world.type(session, "two")
    session.write()
    world.disk.kill()
    session = world.process().open(SID)
    world.type(session, "three")
    session.write()
    world.type(session, "four", "w2")
    world.save(session)
    world.close(session)
    world.disk.kill()
    session = world.process().open(SID)
    world.type(session, "five")
    world.close(session, compact=False)


def generations(world: World) -> None:
    """Logs fill up, generations follow each other, and old ones go."""
    sessions = world.process()
    session = world.begin(sessions)
    for number in range(12):
        world.type(session, noise(number))
        world.save(session)
        sessions.prune(session)
    assert session._generation > 4
    world.close(session)


def private_copy(world: World) -> None:
    """Two processes write, one of them into a copy; the next opening merges, and puts the copy away."""
    first = world.begin(world.process())
    world.type(first, "base")
    world.save(first)
    copy = world.process().copy(SID, COPY)
    world.base = copy.state
    world.note(copy)
    world.type(first, "ours", "w2")
    world.type(copy, "theirs", "w3")
    world.save(copy)
    world.promised(texts=frozenset({"CANARY-4f1d theirs"}))
    world.type(copy, "theirs too", "w4")
    world.close(copy)
    world.close(first)
    world.disk.kill()
    merged = world.process().open(SID)
    assert merged.receipt.merged == (COPY,)
    world.believe(merged)
    world.type(merged, "after", "w5")
    world.close(merged)


def archive(world: World) -> None:
    """A session with several files is put away, looked at, and brought back."""
    sessions = world.process()
    session = world.begin(sessions)
    for number in range(6):
        world.type(session, noise(number))
        world.save(session)
    world.close(session, compact=False)
    sessions.archive(SID)
    sessions.unarchive(SID)
    session = sessions.open(SID)
    world.type(session, "after")
    world.close(session)


def rotated_keys(world: World) -> None:
    """A new key in the keyring: listed, named by every file beside the old one, active, and the old one forgotten."""
    sessions = world.process()
    session = world.begin(sessions)
    world.type(session, "one")
    world.save(session)
    world.type(session, "two")
    world.close(session, compact=False)
    chain = sessions.keychain
    rotation.begin(chain)
    session = sessions.open(SID)
    world.type(session, "three")
    world.close(session)
    _rewrap_all(world, sessions, drop=None)
    old = rotation.finish(chain)
    assert old is not None
    _rewrap_all(world, sessions, drop=old)
    rotation.forget(chain, old, sessions.key_ids())
    session = sessions.open(SID)
    world.type(session, "four")
    world.close(session)
