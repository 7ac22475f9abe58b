"""What processes do with sessions and keys before the power goes: the worlds whose crash states are tried."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from crash_states import DATA, EMPTY, HOME, RecordingDisk
from session_crashes import CANARY, COPY, SESSION_FILES, World, restore_keys
from shelves import SID
from simulations.virtual.medium import Medium
from store.credentials import Credentials, Token
from store.documents import dump
from store.keys import Protection
from store.replace import replace_file
from store.sealed import FileIdentity, Kind, seal_snapshot
from store.sessions.cleaning import carry_out, plan
from store.sessions.names import Places, Suffix
from store.sessions.repair import repair
from store.sessions.rotating import rotate
from wrapped_disks import Wrapped


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
    """A process dies with edits written and not saved; the next finds and saves them; a third looks."""
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
        world.promised(absent=frozenset({DATA / "sessions" / f"{SID}-00000003.session"}))
        world.disk.kill()
    session = world.process().open(SID)
    world.promised(absent=frozenset())
    world.save(session)
    world.type(session, "after")
    world.save(session)


def torn_log(world: World) -> None:
    """A log ends in the middle of a record; its bytes are kept when its generation goes."""
    sessions = world.process()
    session = sessions.open(SID)
    (finding,) = session.receipt.findings
    assert finding.kept is not None
    world.precious = (world.disk.medium().files[finding.kept],)
    for number in range(8):
        world.type(session, noise(number))
        world.save(session)
        sessions.prune(session)


def torn_log_torn_again(world: World) -> None:
    """The same, and who found it was killed as soon as its bytes had a name in the quarantine."""
    dying = Dying(world.seam or world.disk)
    world.seam, seam = dying.seam(), world.seam
    with suppress(KilledError):
        world.process().open(SID)
    assert dying.dead
    world.disk.kill()
    world.seam = seam
    torn_log(world)


class KilledError(BaseException):
    """The process is gone."""


class Dying(Wrapped):
    """Its process is killed when it would sync the quarantine's names."""

    dead = False

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        if self.dead or (name == "sync_dir" and path.name == "quarantine"):
            self.dead = True
            raise KilledError
        return super().called(name, call, path, words)


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


def repaired(world: World) -> None:
    """A log with a torn tail behind it is cut by a repair that was asked for, and its bytes are kept."""
    log = DATA / "sessions" / f"{SID}-00000003.edits"
    before = world.disk.medium().files[log]
    report = repair(world.process(), SID)
    assert report.repaired
    after = world.disk.medium().files[log]
    assert before.startswith(after)
    assert before != after
    world.precious = (before[len(after) :], after)
    world.promised(gone=frozenset({before}))


def keys_restored(world: World) -> None:
    """The key file is damaged; its copy takes its place, and its bytes are kept."""
    world.promised(keys_are_damaged=True)
    restore_keys(world.seam or world.disk)
    world.promised(keys_are_damaged=False)
    session = world.process().open(SID)
    world.type(session, "after")
    world.save(session)


def cleaned(world: World) -> None:
    """An archived session is removed for good, as somebody asked."""
    sessions = world.process()
    session = world.begin(sessions)
    world.type(session, "one")
    world.close(session)
    sessions.archive(SID)
    world.promised(saved=())
    steps = plan(sessions, 1e9, last_used={}, touched=lambda _path: 1.0, purge=True)
    assert [done.problem for done in carry_out(sessions, steps)] == [None]
    world.promised(absent=frozenset({DATA / "archive" / f"{SID}-00000001.session"}))


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
    document = (Path(__file__).parent.parent / "golden" / "session-v0.json").read_bytes()
    identity = FileIdentity(Kind.SNAPSHOT, SID, 1, "0" * 32)
    keys = sessions.keychain.wraps_for_new_files()
    about: dict[str, Any] = {"revision": 3, "format": 0}
    data = seal_snapshot(identity, about, document, keys, Random(1).randbytes)
    replace_file(world.disk, sessions.places.file(SID, 1, Suffix.SNAPSHOT), data)
    state = sessions.read(SID).state
    world = World(RecordingDisk(world.disk.medium()), history={SID: {3: dump(state)}}, precious=(data,))
    world.promised(saved=((SID, 3),))
    return world


def half_archived() -> World:
    """Return a world whose session was on its way to the archive; one file has its old and its new name."""
    before = worked_on(3)
    medium = before.disk.medium()
    files, away = dict(medium.files), DATA / "archive"
    for old in (file_of(1, Suffix.EDITS), file_of(2, Suffix.SNAPSHOT)):
        files[away / old.name] = files[old]
    del files[file_of(2, Suffix.SNAPSHOT)]
    world = World(RecordingDisk(Medium(files, medium.dirs | {away})), history=before.history)
    world.precious = tuple(data for path, data in files.items() if path.suffix in SESSION_FILES)
    world.promised(saved=before.promise.saved)
    return world


def file_of(generation: int, suffix: Suffix) -> Path:
    """Return the path of a file of the session."""
    return Places(DATA).file(SID, generation, suffix)


def brought_back(world: World) -> None:
    """Whoever opens it brings all of it back."""
    session = world.process().open(SID)
    world.type(session, "after")
    world.save(session)


def empty(protection: Protection = Protection.INSECURE, start: Medium = EMPTY) -> Callable[[], World]:
    """Return what makes a world with nothing in it."""
    return lambda: World(RecordingDisk(start), protection)


NO_HOME = Medium(dirs=frozenset({HOME.parent}))


WORLDS: dict[str, tuple[Callable[[], World], Callable[[World], None]]] = {
    "first start": (empty(), first_start),
    "no home": (empty(start=NO_HOME), first_start),
    "kill and return": (empty(), kill_and_return),
    "generations": (empty(), generations),
    "private copy": (empty(), private_copy),
    "archive": (empty(), archive),
    "half archived": (half_archived, brought_back),
    "damaged snapshot": (begun_with({"3.session": flipped}), damaged_snapshot),
    "torn log": (begun_with({"3.edits": lambda data: data[:-7]}), torn_log),
    "torn log, torn again": (begun_with({"3.edits": lambda data: data[:-7]}), torn_log_torn_again),
    "missing revisions": (begun_with({"3.session": flipped, "2.edits": flipped}), missing_revisions),
    "repaired": (begun_with({"3.edits": lambda data: data[:-7]}), repaired),
    "keys restored": (begun_with({"keys": flipped}), keys_restored),
    "cleaned": (empty(), cleaned),
    "older format": (began_in_format_0, older_format),
    "keyring": (empty(Protection.KEYRING), keyring),
    "passphrase": (empty(Protection.PASSPHRASE), passphrase),
}


def begun(name: str) -> World:
    """Return a world after its workload."""
    begin, work = WORLDS[name]
    world = begin()
    work(world)
    return world
