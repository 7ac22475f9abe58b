"""Sessions on a disk that may lose its power at any call, and a judge of what is found afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from crash_states import DATA, RecordingDisk, media
from shelves import OWNER, SID, begun, typed
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Medium
from store.credentials import Credentials, Token
from store.directories import Directories
from store.disk import Disk
from store.documents import Edit, State, dump, load, merge
from store.errors import StoreError
from store.keys import Keychain, Protection, keyfile
from store.keys.passphrase import Cost
from store.outcomes import Corrupt, SessionError, WrongKey
from store.sessions import Session, SessionLimits, Sessions
from store.sessions.inventory import key_ids
from vaults import MemoryVault

CANARY = "CANARY-4f1d"
"""Stands in all that is secret, and must not be found in any file."""

COPY = "c" * 32
CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)
"""The least Argon2 allows: what it costs is proved elsewhere."""

LIMITS = SessionLimits(log_bytes=700)
"""A generation begins after a few edits, or each state would be that of a long log."""

SESSION_FILES = (".session", ".edits")
BACKUP = ".v0"


def only_words(name: str) -> bool:
    """Whether a file is a lock, whose bytes tell a person who has it and decide nothing."""
    return name.endswith(".lease")


@dataclass(frozen=True)
class Promise:
    """What had been acknowledged, and what stood outside of the disk, when the power went.

    Attributes:
        saved: the revision of each session.
        texts: what stands in workspaces, wherever it is by now.
        vault: the entries of the keyring.
        passphrases: one of these opens the keys.
        gone: what no file may hold any more.
        absent: files that were moved or removed.
        places: where a session has to be: among the sessions, or in the archive, and not in both.
        token: what the credentials hold.
        keys_are_damaged: the key file may be, and is mended from its copy then.
    """

    saved: tuple[tuple[str, int], ...] = ()
    texts: frozenset[str] = frozenset()
    vault: tuple[tuple[str, str], ...] = ()
    passphrases: tuple[str, ...] = ()
    gone: frozenset[bytes] = frozenset()
    absent: frozenset[Path] = frozenset()
    places: tuple[tuple[str, str], ...] = ()
    token: str = ""
    keys_are_damaged: bool = False


class RecordingVault(MemoryVault):
    """Tells of every change: the keyring is another store, and has what it was given at once."""

    def __init__(self, told: Callable[[dict[str, str]], None]) -> None:
        super().__init__()
        self._told = told

    def set(self, name: str, secret: str) -> None:
        """Make an entry."""
        super().set(name, secret)
        self._told(self.entries)

    def delete(self, name: str) -> None:
        """Remove an entry."""
        super().delete(name)
        self._told(self.entries)


@dataclass
class World:
    """Processes that use sessions on one disk, and what they were told.

    Attributes:
        history: each session's document at every revision it had, as bytes.
        base: what a private copy began with; from then on merged documents are states of the session, too.
        precious: bytes that have to stand in some file, whatever happens.
        seam: what the processes have for a disk, if it is not `disk` itself.
    """

    disk: RecordingDisk
    protection: Protection = Protection.INSECURE
    promise: Promise = field(default_factory=Promise)
    history: dict[str, dict[int, bytes]] = field(default_factory=dict)
    base: State | None = None
    precious: tuple[bytes, ...] = ()
    seam: Disk | None = None
    seeds: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.vault = RecordingVault(self._vault_changed)
        self.disk.acknowledge(self.promise)

    def promised(self, **changes: Any) -> None:
        """From here on this is acknowledged, too."""
        self.promise = replace(self.promise, **changes)
        self.disk.acknowledge(self.promise)

    def _vault_changed(self, entries: dict[str, str]) -> None:
        self.promised(vault=tuple(sorted(entries.items())))

    def process(self) -> Sessions:
        """Return what a new process begins with; the keys are chosen by the first."""
        passphrase = self.promise.passphrases[-1] if self.promise.passphrases else None
        disk = self.seam or self.disk
        return process(disk, self.vault, self.protection, passphrase, seed=next(self.seeds))

    def note(self, session: Session) -> None:
        """Remember the document at this revision."""
        self.history.setdefault(session.id, {})[session.revision] = dump(session.state)

    def begin(self, sessions: Sessions, session: str = SID) -> Session:
        """Begin a session."""
        opened = begun(sessions, session)
        self.note(opened)
        return opened

    def edit(self, session: Session, *edits: Edit) -> None:
        """Make edits one by one."""
        for each in edits:
            session.edit(each)
            self.note(session)

    def type(self, session: Session, text: str, workspace: str = "w1") -> None:
        """Type a secret into a workspace."""
        self.edit(session, typed(f"{CANARY} {text}", workspace))

    def save(self, session: Session) -> None:
        """Have a session saved, and believe it."""
        session.save()
        self.believe(session)

    def believe(self, session: Session) -> None:
        """What a session says is saved is acknowledged."""
        self.note(session)
        self.promised(saved=tuple(sorted({**dict(self.promise.saved), session.id: session.saved}.items())))

    def close(self, session: Session, *, compact: bool = True) -> None:
        """Close a session, and believe that it saved."""
        session.close(compact=compact)
        self.believe(session)

    def knows(self, session: str, revision: int, state: State) -> bool:
        """Whether that is a state this session was in, or what two of its histories make."""
        known = self.history.get(session, {})
        if known.get(revision) == dump(state):
            return True
        return self.base is not None and _told_apart(state) in self._merged(session)

    def _merged(self, session: str) -> list[bytes]:
        assert self.base is not None
        sides = [[load(data) for data in self.history.get(each, {}).values()] for each in (session, COPY)]
        return [
            _told_apart(merge(self.base, ours, {**theirs, "session": session}, 1000.0).state)
            for ours in sides[0]
            for theirs in sides[1]
        ]


def _told_apart(state: State) -> bytes:
    return dump({name: state[name] for name in sorted(state) if name != "merges"})


def process(
    disk: Disk, vault: MemoryVault, protection: Protection, passphrase: str | None = None, *, seed: int = 0
) -> Sessions:
    """Return the sessions of a process that has just begun, its keys unlocked.

    Raises:
        SessionError: the keys cannot be had.
    """
    dice = Random(seed)
    Directories(disk, DATA).make(DATA)
    keychain = Keychain.open(DATA, disk, vault, entropy=dice.randbytes, cost=CHEAP)
    sessions = Sessions(
        DATA, disk, keychain, owner=OWNER, wall=lambda: 1000.0, entropy=dice.randbytes, limits=LIMITS
    )
    if keychain.protection is None:
        keychain.choose(protection, passphrase, named_elsewhere=key_ids(sessions))
    keychain.unlock(passphrase)
    return sessions


def restore_keys(disk: Disk) -> None:
    """Put the copy of the key file in its place."""
    directories = Directories(disk, DATA)
    directories.make(directories.quarantine)
    directories.owe(DATA)
    directories.sync_names()
    there = disk.listing(directories.quarantine)
    aside = next(f"keys-{n}.bytes" for n in count(1) if f"keys-{n}.bytes" not in there)
    keyfile.restore_copy(disk, DATA, directories.quarantine / aside)


# The judge


@dataclass
class Found:
    """What opening everything gave.

    Attributes:
        sessions: each session's revision and document.
        medium: what the disk held then.
        fault: what is wrong with it.
        opened: the sessions, open.
    """

    sessions: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    medium: Medium | None = None
    fault: str = ""
    opened: list[Session] = field(default_factory=list)

    def close(self) -> None:
        """Close everything."""
        try:
            for each in self.opened:
                each.close()
        except (StoreError, OSError) as exc:
            self.fault = f"closing raised {type(exc).__name__}: {exc}"


class Judge:
    """Says what is wrong with a medium: the invariants of a store that loses nothing.

    I1 what was acknowledged is there. I2 it is a state the session was in. I3 opening ends, and says what
    it used. I4 no bytes go. I5 doing it again changes nothing. I6 no secret stands in any file.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._clean: set[bytes] = set()

    def verdict(self, promise: Promise, medium: Medium) -> str:
        """Return the first fault, or nothing."""
        if fault := self._of_the_bytes(promise, medium):
            return fault
        vault = MemoryVault(dict(promise.vault))
        disk = VirtualDisk(medium)
        first = self.look(disk, promise, vault, seed=1001)
        if first.fault or first.medium is None:
            return first.fault
        if fault := lost(medium, first.medium) or self._of_the_bytes(promise, first.medium):
            return fault
        if first.medium != medium:  # or else the second would see what the first saw
            disk = VirtualDisk(first.medium)
            second = self.look(disk, promise, vault, seed=1002)
            if second.fault or second.medium != first.medium or second.sessions != first.sessions:
                return second.fault or "a second opening finds or changes something"
            first = second
        return self._saved(promise, medium, first, disk, vault)

    def _saved(
        self, promise: Promise, medium: Medium, found: Found, disk: VirtualDisk, vault: MemoryVault
    ) -> str:
        """Save what was found, and look once more."""
        found.close()
        closed = disk.medium()
        again = self.look(VirtualDisk(closed), promise, vault, seed=1003)
        if fault := found.fault or again.fault or lost(medium, closed) or self._of_the_bytes(promise, closed):
            return f"after closing: {fault}"
        return "" if again.sessions == found.sessions else "after closing something else is found"

    def look(self, disk: VirtualDisk, promise: Promise, vault: MemoryVault, *, seed: int) -> Found:
        """Open everything as a program would, and hold it against what was promised."""
        found = Found()
        try:
            sessions = self._process(disk, promise, vault, seed)
            found.fault = _misplaced(sessions, promise) or _no_token(sessions, disk, promise)
            for session in self.world.history.keys() - {COPY}:
                opened = self._opened(sessions, session, promise)
                found.opened.append(opened)
                found.sessions[session] = (opened.revision, dump(opened.state))
                found.fault = found.fault or self._fault(opened, promise)
            found.medium = disk.medium()
        except (SessionError, StoreError, OSError, AssertionError, ValueError, KeyError, TypeError) as exc:
            found.fault = f"opening raised {type(exc).__name__}: {exc}"
        return found

    def _process(self, disk: VirtualDisk, promise: Promise, vault: MemoryVault, seed: int) -> Sessions:
        def begin(passphrase: str | None) -> Sessions:
            return process(disk, vault, self.world.protection, passphrase, seed=seed)

        if promise.keys_are_damaged:  # as a person does who is told so
            with suppress(Corrupt):
                Keychain.open(DATA, disk, vault)
                return begin(None)
            restore_keys(disk)
        for passphrase in promise.passphrases[:-1]:
            with suppress(WrongKey):
                return begin(passphrase)
        return begin(promise.passphrases[-1] if promise.passphrases else None)

    @staticmethod
    def _opened(sessions: Sessions, session: str, promise: Promise) -> Session:
        acked = dict(promise.saved).get(session)
        if not any(each.session == session and each.readable for each in sessions.listing()):
            if any(each.session == session for each in sessions.listing(archived=True)):
                sessions.unarchive(session)
            elif acked is None:  # nothing was promised: whatever else lies around, it can be begun
                return begun(sessions, session)
        return sessions.open(session, acknowledged=acked or 0)

    def _fault(self, opened: Session, promise: Promise) -> str:
        acked = dict(promise.saved).get(opened.id, 0)
        if opened.receipt.missing or opened.revision < acked:
            return f"revision {opened.revision} of {opened.id[0]}, and {acked} was acknowledged"
        if not self.world.knows(opened.id, opened.revision, opened.state):
            return f"revision {opened.revision} of {opened.id[0]} is no state it was in"
        texts = {each["code"] for each in opened.state["workspaces"].values()}
        if opened.id == SID and not promise.texts <= texts:
            return f"not in any workspace: {sorted(promise.texts - texts)}"
        return ""

    def _of_the_bytes(self, promise: Promise, medium: Medium) -> str:
        """Say what is wrong with the files, whatever they mean."""
        for path, data in medium.files.items():
            if path in promise.absent:
                return f"{path.name} is back"
            if data in promise.gone:
                return f"{path.name} is what was given up"
            if data in self._clean:
                continue
            if CANARY.encode() in data:
                return f"a secret stands in {path}"
            self._clean.add(data)
        if promise.saved and (fault := _no_copy(medium)):
            return fault
        for data in self.world.precious:
            if not any(data in each for each in medium.files.values()):
                return "bytes that were there are gone"
        return ""


def _no_copy(medium: Medium) -> str:
    """Say what is wrong with the copy of the key file, which was made before anything was saved."""
    try:
        keyfile.decode(medium.files[DATA / keyfile.COPY])
    except (KeyError, SessionError):
        return "the key file has no copy to be mended from"
    return ""


def _misplaced(sessions: Sessions, promise: Promise) -> str:
    there = {
        "sessions": {each.session for each in sessions.listing() if each.readable},
        "archive": {each.session for each in sessions.listing(archived=True)},
    }
    for session, place in promise.places:
        if any((session in names) != (place == each) for each, names in there.items()):
            return f"session {session[0]} is not in {place}, or elsewhere too"
    return ""


def _no_token(sessions: Sessions, disk: Disk, promise: Promise) -> str:
    if not promise.token:
        return ""
    found = Credentials(DATA, disk, sessions.keychain).get("image")
    return "" if found == Token(promise.token) else "the token is gone"


def lost(before: Medium, after: Medium) -> str:
    """Say which bytes of sessions are in no file any more."""
    kept = set(after.files.values())
    for path, data in before.files.items():
        if data and path.suffix in (*SESSION_FILES, BACKUP, ".bytes") and data not in kept:
            return f"bytes of {path.name} are gone"
    return ""


def states(world: World, step: int) -> Iterator[tuple[Promise, Medium]]:
    """Return every medium that the calls of a world may leave, and what was promised then."""
    return media(world.disk, step, words=only_words)


def recovered(world: World, promise: Promise, medium: Medium) -> World:
    """Let a process open what is on a medium, and die, and another save it: a world to be cut again."""
    again = replace(world, disk=RecordingDisk(medium), promise=promise)
    again.vault.entries.update(promise.vault)
    for close in (False, True):
        found = Judge(again).look(again.disk, promise, again.vault, seed=next(again.seeds))
        if close:
            found.close()
        again.disk.kill()
    return again
