"""All sessions of one data directory: listing them, opening, beginning, copying, putting away."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from store.directories import Directories
from store.documents import dump, merge, new_document
from store.errors import StoreError, naming
from store.outcomes import Corrupt, Outcome, RolledBack, SessionError
from store.replace import PART, replace_file
from store.sealed import FileIdentity, Kind, seal_snapshot
from store.sessions.archive import belongs, move
from store.sessions.info import SessionInfo, described
from store.sessions.lease import Lease, Owner, read_owner
from store.sessions.limits import SessionLimits
from store.sessions.names import (
    BASE_GENERATION,
    TAKEOVER,
    Places,
    SessionFile,
    Suffix,
    backup_name,
    is_session_id,
    parse,
)
from store.sessions.receipt import Finding, Receipt
from store.sessions.recovery import MAX_FILE_BYTES, Recovered, Recovery
from store.sessions.session import Session, Tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from store.disk import Disk
    from store.keys import Keychain

READ_ATTEMPTS = 8
"""A reader has no lock, and looks again if the writer was at work; no person makes it move that often."""

HEAD_BYTES = 20 * 1024
"""A sealed file's header fits into this."""


class Sessions:
    """The sessions of one data directory. Methods wait for the disk; one thread at a time may call them."""

    def __init__(
        self,
        data_dir: Path,
        disk: Disk,
        keychain: Keychain,
        *,
        owner: Owner,
        wall: Callable[[], float],
        entropy: Callable[[int], bytes],
        limits: SessionLimits | None = None,
    ) -> None:
        """Touch nothing yet.

        Args:
            data_dir: holds ``sessions`` and ``archive``.
            disk: the calls to make.
            keychain: the keys to seal and open with.
            owner: who we are, for others who want what we have open.
            wall: seconds since 1970.
            entropy: random bytes.
            limits: sizes to keep to.
        """
        self.places = Places(data_dir)
        self.directories = Directories(disk, data_dir)
        self.keychain = keychain
        self._disk = disk
        self._owner = owner
        self._wall = wall
        keys = keychain.wraps_for_new_files
        self._tools = Tools(self.directories, self.places, keys, wall, entropy, limits or SessionLimits())

    # -- looking ---------------------------------------------------------------------------

    def listing(self, *, archived: bool = False) -> list[SessionInfo]:
        """Return every session, the one saved last first; needs no key.

        Raises:
            StoreUnreadable: the directory cannot be read.
        """
        directory = self.places.archive if archived else self.places.sessions
        newest: dict[str, SessionFile] = {}
        sizes: dict[str, int] = {}
        for name, size in self._names(directory).items():
            file = parse(name)
            if file is None:
                continue
            sizes[file.session] = sizes.get(file.session, 0) + size
            if file.suffix is Suffix.SNAPSHOT:
                newest[file.session] = max(file, newest.get(file.session, file))
        found = [self._info(directory, file) for file in newest.values()]
        found += [SessionInfo(session) for session in sizes.keys() - newest.keys()]
        found = [replace(each, size=sizes[each.session], archived=archived) for each in found]
        return sorted(found, key=lambda each: (each.at, each.session), reverse=True)

    def info(self, session: str) -> SessionInfo | None:
        """Return what can be told of one session; None if there is none of that id."""
        return next((each for each in self.listing() if each.session == session), None)

    def owner(self, session: str) -> Owner | None:
        """Return who says it has the session open, or had it last."""
        return read_owner(self._disk, self.places.lease(session))

    def recovery(self, session: str, names: Iterable[str] | None = None) -> Recovery:
        """Return what reads a session without changing anything; `names` are those of all files, if known."""
        names = self._names(self.places.sessions) if names is None else names
        return Recovery(self.directories, self.places, session, self._key_of, names)

    def read(self, session: str, *, generation: int | None = None) -> Recovered:
        """Return a session's state without the right to change it; a later format is read as far as it goes.

        Raises:
            SessionError: it cannot be used; says why.
            StoreUnreadable: the disk does not let us read.
        """
        for attempt in range(READ_ATTEMPTS):
            names = self._names(self.places.sessions)
            try:
                found = self.recovery(session, names).run(generation=generation, newer_readable=True)
            except StoreError:
                if attempt == READ_ATTEMPTS - 1 or not self._changed(session, names):
                    raise
            else:
                if not found.receipt.findings or not self._changed(session, names):
                    break
        return found

    def _changed(self, session: str, names: Mapping[str, int]) -> bool:
        """Whether a writer wrote, moved or removed files meanwhile, so that what we saw means nothing."""
        now = self._names(self.places.sessions)
        return any(now.get(name) != names.get(name) for name in {*now, *names} if belongs(name, session))

    # -- opening ---------------------------------------------------------------------------

    def create(self, session: str, image: str, endpoint: str, **about: Any) -> Session:
        """Begin a session. It is on disk with its first edit, or when it is first saved.

        If another process has begun it meanwhile and let it go, it is opened as that one left it.

        Raises:
            Busy: another process has it open.
            SessionError, DiskError: as `open`.
        """
        lease = self.lease(session)
        try:
            if self.recovery(session).newest:  # a second first generation would take the first one's name
                return self._opened(session, lease, None, 0, accept=False)
        except BaseException:
            lease.release()
            raise
        state = new_document(session, image, endpoint, self._wall())
        recovered = Recovered(state, Receipt(session))
        return Session(self._tools, recovered, lease, {"image": image, "endpoint": endpoint, **about})

    def open(
        self,
        session: str,
        *,
        generation: int | None = None,
        acknowledged: int = 0,
        accept_rollback: bool = False,
    ) -> Session:
        """Open a session for writing, with what private copies of it have gained.

        Args:
            session: its id.
            generation: go back to this one; None is the newest state.
            acknowledged: a revision that is known, from elsewhere, to have been saved.
            accept_rollback: an older state than that is right.

        Raises:
            Busy: another process has it open.
            RolledBack: whole, and older than what was acknowledged.
            SessionError: it cannot be used; says why.
            DiskError: the disk refused.
        """
        lease = self.lease(session)
        try:
            return self._opened(session, lease, generation, acknowledged, accept=accept_rollback)
        except BaseException:
            lease.release()
            raise

    def _opened(
        self, session: str, lease: Lease, generation: int | None, acknowledged: int, *, accept: bool
    ) -> Session:
        self._undo_move(session)
        names = self._names(self.places.sessions)
        recovered = self.recovery(session, names).run(generation=generation)
        receipt = recovered.receipt
        behind = max(0, acknowledged - receipt.revision) if generation is None else 0
        damaged = any(each.outcome is Outcome.CORRUPT for each in receipt.findings)
        if behind and not damaged and not accept:
            detail = f"revision {receipt.revision}, but {acknowledged} was saved"
            raise RolledBack("open the session", self.places.sessions, detail)
        recovered.receipt = replace(
            receipt, missing=0 if accept else behind, rolled_back=bool(behind and accept)
        )
        if receipt.from_format is not None and receipt.generation is not None:
            with naming("back up the session", self.places.sessions):
                self._back_up(session, receipt.generation, receipt.from_format)
        opened = Session(self._tools, recovered, lease, _lasting(recovered.about))
        if generation is not None:
            opened.skip_to(max(acknowledged, self._last_revision(session, names)) + 1)
        elif behind:
            # On the medium before the damaged files leave: without them what is missing looks rolled back.
            opened.skip_to(acknowledged)
            opened.save()
        with naming("mend the session", self.places.sessions):
            findings = self._set_aside(recovered)
            self._sweep(session, names)
        opened.receipt = replace(recovered.receipt, findings=findings)
        self._merge_copies(opened, names)
        return opened

    def _last_revision(self, session: str, names: Iterable[str]) -> int:
        """Return the highest revision that can be found, so that going back gives none a second time."""
        with suppress(SessionError):
            return self.recovery(session, names).run().receipt.revision
        return 0

    def prune(self, session: Session) -> None:
        """Remove what the newest generations make superfluous."""
        with naming("remove old generations", self.places.sessions):
            session.prune(lambda: self.recovery(session.id))

    # -- private copies --------------------------------------------------------------------

    def copy(self, session: str, fresh: str) -> Session:
        """Open a private copy of a session that somebody else has open; it is merged when that one ends.

        Args:
            session: whose copy.
            fresh: the copy's id.

        Raises:
            SessionError: the session cannot be read; says why.
            DiskError: the disk refused.
        """
        found = self.read(session)
        state = {**found.state, "session": fresh}
        revision = found.receipt.revision
        about = {**_lasting(found.about), "fork_of": session}
        lease = self.lease(fresh)
        try:
            identity = FileIdentity(Kind.SNAPSHOT, fresh, BASE_GENERATION, self._tools.entropy(16).hex())
            base = {**about, "revision": revision, "at": self._wall()}
            data = seal_snapshot(identity, base, dump(state), self._tools.keys(), self._tools.entropy)
            with naming("save a private copy", self.places.sessions):
                replace_file(self._disk, self.places.file(fresh, BASE_GENERATION, Suffix.SNAPSHOT), data)
        except BaseException:
            lease.release()
            raise
        receipt = Receipt(fresh, BASE_GENERATION, BASE_GENERATION, revision, revision)
        return Session(self._tools, Recovered(state, receipt), lease, about)

    def _merge_copies(self, opened: Session, names: Iterable[str]) -> None:
        """Bring in what private copies gained, those that nobody has open."""
        merged: list[str] = []
        # Nothing but a private copy has this generation, so that the others need not be looked into.
        mark = f"-{BASE_GENERATION:08d}."  # looked for first: parsing every name is dear with many sessions
        bases = [file for name in names if mark in name and (file := parse(name))]
        for base in sorted(bases):
            info = self._info(self.places.sessions, base)
            if info.fork_of != opened.id or base.suffix is not Suffix.SNAPSHOT:
                continue
            with suppress(StoreError):  # one that cannot be read now stays, and is tried at the next opening
                lease = self.lease(info.session)
                try:
                    self._merge_copy(opened, info.session)
                    merged.append(info.session)
                finally:
                    lease.release()
        opened.receipt = replace(opened.receipt, merged=tuple(merged))

    def _merge_copy(self, opened: Session, copy: str) -> None:
        found = self.recovery(copy).run()
        # In the document itself, and so on the medium exactly if what was merged is.
        joined = f"{copy}-{found.receipt.revision}"
        if all(each.get("id") != joined for each in opened.state.get("merges", ())):
            base = self.recovery(copy).run(generation=BASE_GENERATION).state
            sides = [{**state, "session": opened.id} for state in (base, found.state)]
            state = merge(sides[0], opened.state, sides[1], self._wall()).state
            record = {"id": joined, "at": self._wall(), "path": [], "action": "joined"}
            opened.become({**state, "merges": [*state.get("merges", ()), record]})
            opened.save()
        self._put_away(copy)

    # -- putting away ----------------------------------------------------------------------

    def archive(self, session: str) -> None:
        """Put a session into the archive; nothing of it is deleted.

        Raises:
            Busy: another process has it open.
            DiskError: the disk refused.
        """
        lease = self.lease(session)
        try:
            self._put_away(session)
        finally:
            lease.release()

    def unarchive(self, session: str) -> None:
        """Bring a session back; raises as `archive`."""
        lease = self.lease(session)
        try:
            self._move(session, self.places.archive, self.places.sessions)
        finally:
            lease.release()

    def _put_away(self, session: str) -> None:
        self._move(session, self.places.sessions, self.places.archive)

    def _undo_move(self, session: str) -> None:
        """Bring back what a way to or from the archive that was cut short left there."""
        if any(belongs(name, session) for name in self._names(self.places.sessions)):
            self._move(session, self.places.archive, self.places.sessions)

    def _move(self, session: str, source: Path, target: Path) -> None:
        names = [name for name in self._names(source) if belongs(name, session)]
        if names:
            with naming("move the session", source):
                move(self.directories, names, source, target, newest_first=target == self.places.sessions)

    # -- taking over -----------------------------------------------------------------------

    def ask_for(self, session: str) -> None:
        """Ask whoever has the session open to save it and let it go.

        Raises:
            DiskError: the disk refused.
        """
        with naming("ask for the session", self.places.sessions):
            replace_file(self._disk, self.places.takeover(session), self._owner.words())

    def stop_asking(self, session: str) -> None:
        """We have it, or no longer want it."""
        with suppress(OSError):
            self._disk.unlink(self.places.takeover(session))

    # -- inside ----------------------------------------------------------------------------

    def _key_of(self, key_id: str) -> Any:
        return self.keychain.key(key_id)

    def lease(self, session: str) -> Lease:
        """Take the right to write a session; for upkeep that is no editing, too.

        Raises:
            Busy: another process has it open.
            DiskError: the disk refused.
        """
        if not is_session_id(session):
            raise Corrupt("open the session", None, f"{session!r} is no session's id (32 hexadecimal digits)")
        with naming("open the session", self.places.sessions):
            self.directories.make(self.places.sessions)
            self.directories.sync_names()
            owner = replace(self._owner, since=self._wall())
            return Lease.acquire(self._disk, self.places.lease(session), owner)

    def _names(self, directory: Path) -> Mapping[str, int]:
        with naming("read the sessions", directory, reading=True):
            try:
                return self._disk.listing(directory)
            except FileNotFoundError:
                return {}

    def _head(self, path: Path) -> bytes:
        with suppress(OSError):
            return self._disk.read(path, HEAD_BYTES)
        return b""

    def _info(self, directory: Path, file: SessionFile) -> SessionInfo:
        return described(file, self._head(directory / file.name))

    def _set_aside(self, recovered: Recovered) -> tuple[Finding, ...]:
        """Move damaged files into quarantine, copy torn tails there; return the findings with the places."""
        kept: dict[str, Path] = {}
        for finding in recovered.moved:
            kept[finding.file] = self.directories.set_aside(self.places.sessions / finding.file)
        for name, tail in recovered.tails.items():
            kept[name] = self.directories.keep(name, tail)
        return tuple(replace(finding, kept=kept.get(finding.file)) for finding in recovered.receipt.findings)

    def _sweep(self, session: str, names: Iterable[str]) -> None:
        """Remove files that were never whole: their writer died, and nobody else may write this session."""
        for name in names:
            if name.startswith(session) and name.endswith(PART) and not name.endswith(TAKEOVER + PART):
                with suppress(FileNotFoundError):  # a backup or a snapshot was just made by that name
                    self._disk.unlink(self.places.sessions / name)

    def _back_up(self, session: str, generation: int, from_format: int) -> None:
        """Keep the last snapshot of an older format before anything newer is written."""
        source = self.places.file(session, generation, Suffix.SNAPSHOT)
        target = self.places.sessions / backup_name(session, generation, from_format)
        if target.name not in self._names(self.places.sessions):
            replace_file(self._disk, target, self._disk.read(source, MAX_FILE_BYTES))


def _lasting(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every snapshot of a session says alike."""
    return {name: about[name] for name in ("image", "endpoint", "fork_of") if name in about}
