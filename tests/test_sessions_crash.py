"""Power cuts, enumerated, for sessions: in every state a disk may be in, what was acknowledged comes back.

As `test_store_crash`, with sealed sessions and their keys: real code on a disk in memory that logs each call,
real code again on each medium that may follow, and a judge (`session_crashes`). `RESILIENCE_CRASH_STATES=nightly`
tears every write at every byte and cuts more of the recoveries.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crash_states import DATA, RecordingDisk
from session_crashes import CANARY, COPY, Judge, Promise, World, lost, recovered, states
from shelves import SID
from simulations.virtual.medium import Medium
from store.credentials import Credentials, Token
from store.documents import dump
from store.keys import Protection
from store.replace import replace_file
from store.sealed import FileIdentity, Kind, seal_snapshot
from store.sessions.names import Suffix
from store.sessions.rotating import rotate
from wrapped_disks import LeavingOut

NIGHTLY = os.environ.get("RESILIENCE_CRASH_STATES") == "nightly"
STEP = 1 if NIGHTLY else 23
"""Writes are torn at every so many bytes: 23 shares no factor with the sizes of what is written."""

RECOVERED = 5 if NIGHTLY else 37
"""The recovery from every so-manieth state is cut in its turn."""

RECOVERY_STEP = 5 if NIGHTLY else 67


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
    world.promised(places=((SID, "archive"),))
    world.disk.kill()
    world.promised(places=())
    sessions = world.process()
    sessions.unarchive(SID)
    world.promised(places=((SID, "sessions"),))
    session = sessions.open(SID)
    world.type(session, "after")
    world.close(session)


def damaged_snapshot(world: World) -> None:
    """The newest snapshot is not what was written: found, killed, found again, saved, worked on."""
    for _ in range(2):
        assert world.process().open(SID, acknowledged=dict(world.promise.saved)[SID])
        world.disk.kill()
    session = world.process().open(SID)
    world.save(session)
    world.type(session, "after")
    world.save(session)


def torn_log(world: World) -> None:
    """A log ends in the middle of a record; its bytes are kept when its generation goes."""
    for _ in range(2):
        (finding,) = world.process().open(SID).receipt.findings
        assert finding.kept is not None
        world.precious = (world.disk.medium().files[finding.kept],)
        world.disk.kill()
    sessions = world.process()
    session = sessions.open(SID)
    for number in range(8):
        world.type(session, noise(number))
        world.save(session)
        sessions.prune(session)


def missing_revisions(world: World) -> None:
    """What was acknowledged cannot be found, because files are damaged: said once, and then it is so."""
    world.promised(saved=())
    for _ in range(2):
        session = world.process().open(SID, acknowledged=9)
        world.note(session)
        world.promised(saved=((SID, session.revision),))
        world.disk.kill()
    session = world.process().open(SID)
    world.type(session, "after")
    world.save(session)


def older_format(world: World) -> None:
    """A session of the last format: a backup first, and it is still there when the generation is not."""
    sessions = world.process()
    session = sessions.open(SID)
    assert session.receipt.from_format == 0
    world.save(session)
    for number in range(8):
        world.type(session, noise(number))
        world.save(session)
        sessions.prune(session)


def keyring(world: World) -> None:
    """The keys are in the keyring, a session is worked on, and every file gets a new key."""
    sessions = world.process()
    session = world.begin(sessions)
    for number in range(3):
        world.type(session, noise(number))
        world.save(session)
    world.close(session, compact=False)
    credentials = Credentials(DATA, world.seam or world.disk, sessions.keychain)
    credentials.set("image", Token(f"{CANARY} token"))
    world.promised(token=f"{CANARY} token")
    assert rotate(sessions, credentials).forgotten
    session = sessions.open(SID)
    world.type(session, "after")
    world.close(session)


def passphrase(world: World) -> None:
    """The keys are under a passphrase, which is changed; and under none, as the user wants."""
    world.promised(passphrases=("old",))
    sessions = world.process()
    session = world.begin(sessions)
    world.type(session, "one")
    world.close(session)
    before = world.disk.medium().files[DATA / "keys"]
    world.promised(passphrases=("old", "new"))
    sessions.keychain.set_passphrase("old", "new")
    world.promised(passphrases=("new",), gone=frozenset({before}))
    session = sessions.open(SID)
    world.type(session, "two")
    world.close(session)


# What they begin with


def worked_on(generations_wanted: int) -> World:
    """Return a world whose session has so many generations, and whose last process was killed."""
    world = World(RecordingDisk())
    session = world.begin(world.process())
    number = 0
    while session.generation < generations_wanted:
        number += 1
        world.type(session, noise(number))
        world.save(session)
    world.type(session, "last")
    session.write()
    world.disk.kill()
    return world


def begun_with(files: dict[str, Callable[[bytes], bytes]]) -> Callable[[], World]:
    """Return a world that begins with the files of another, some of them changed."""

    def begin() -> World:
        before = worked_on(3)
        medium = before.disk.medium()
        changed = {
            path: next((change(data) for name, change in files.items() if path.name.endswith(name)), data)
            for path, data in medium.files.items()
        }
        saved = () if len(files) > 1 else before.promise.saved
        world = World(RecordingDisk(Medium(changed, medium.dirs)), history=before.history)
        world.promised(saved=saved)
        world.precious = tuple(changed[path] for path in changed if changed[path] != medium.files[path])
        return world

    return begin


def flipped(data: bytes) -> bytes:
    """Return it with one bit in its last tenth changed."""
    place = len(data) * 9 // 10
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def began_in_format_0() -> World:
    """Return a world with a session as the last version left it."""
    world = World(RecordingDisk())
    sessions = world.process()
    sessions.lease(SID).release()
    document = (Path(__file__).parent / "golden" / "session-v0.json").read_bytes()
    identity = FileIdentity(Kind.SNAPSHOT, SID, 1, "0" * 32)
    keys = sessions.keychain.wraps_for_new_files()
    about: dict[str, Any] = {"revision": 3, "format": 0}
    data = seal_snapshot(identity, about, document, keys, Random(1).randbytes)
    replace_file(world.disk, sessions.places.file(SID, 1, Suffix.SNAPSHOT), data)
    state = sessions.read(SID).state
    world = World(RecordingDisk(world.disk.medium()), history={SID: {3: dump(state)}}, precious=(data,))
    world.promised(saved=((SID, 3),))
    return world


def empty(protection: Protection = Protection.INSECURE) -> Callable[[], World]:
    """Return what makes a world with nothing in it."""
    return lambda: World(RecordingDisk(), protection)


WORLDS: dict[str, tuple[Callable[[], World], Callable[[World], None]]] = {
    "first start": (empty(), first_start),
    "kill and return": (empty(), kill_and_return),
    "generations": (empty(), generations),
    "private copy": (empty(), private_copy),
    "archive": (empty(), archive),
    "damaged snapshot": (begun_with({"3.session": flipped}), damaged_snapshot),
    "torn log": (begun_with({"3.edits": lambda data: data[:-7]}), torn_log),
    "missing revisions": (begun_with({"3.session": flipped, "2.edits": flipped}), missing_revisions),
    "older format": (began_in_format_0, older_format),
    "keyring": (empty(Protection.KEYRING), keyring),
    "passphrase": (empty(Protection.PASSPHRASE), passphrase),
}


# The proof

SEEN: dict[str, set[bytes]] = {}
"""Digests of the media that were judged, by world."""


def digest(medium: Medium) -> bytes:
    """Return what tells media apart: names and bytes."""
    found = sha256(repr(sorted(map(str, medium.dirs))).encode())
    for path, data in sorted(medium.files.items()):
        found.update(f"{path}:{len(data)}:".encode() + data)
    return found.digest()[:16]


def begun(name: str) -> World:
    """Return a world after its workload."""
    begin, work = WORLDS[name]
    world = begin()
    work(world)
    return world


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


# Mutants


def missed(name: str, site: str) -> str:
    """Return what the judge says first of a world whose disk leaves out the syncs of one place."""
    begin, work = WORLDS[name]
    world = begin()
    world.seam = LeavingOut(site, world.disk).seam()
    work(world)
    judge = Judge(world)
    return next(filter(None, (judge.verdict(*state) for state in states(world, 10**6))), "")
