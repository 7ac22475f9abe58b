"""Finding a session's last state: the newest snapshot that is true, and every edit logged since.

A log of edits leads from its own snapshot to the next one, so if the newest snapshot is damaged the one
before it and both logs give the same state: a single damaged file costs nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store.documents import FORMAT, BadDocument, BadEdit, applied, decode, load, migrate
from store.errors import disk_error
from store.outcomes import Corrupt, LockedKey, MissingKey, Outcome, Reordered, SessionError, TooNew, WrongKey
from store.reader import ONE_FILE_ERRORS
from store.sealed import Ending, Kind, Place, open_snapshot, read_log
from store.sessions.names import BASE_GENERATION, Suffix, generations
from store.sessions.receipt import Finding, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.directories import Directories
    from store.sealed import MasterKey, Opened
    from store.sessions.names import Places

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Sixteen times what a session may take: anything longer is not ours, and is not read."""

REVISION = struct.Struct("<Q")
"""What a log's record begins with: the revision its first edit leads to."""

State = dict[str, Any]
KeyOf = "Callable[[str], MasterKey | None]"


@dataclass(slots=True)
class Recovered:
    """A session as it was found.

    Attributes:
        state: the document.
        receipt: how it came about.
        logged: whether edits stand in a log, so that the snapshot alone is not everything.
        moved: files to be set aside once the session may be written: a reader changes nothing.
        tails: bytes behind the last true record of a log, by file.
        verified: generations known to be true.
    """

    state: State
    receipt: Receipt
    logged: bool = False
    moved: list[Finding] = field(default_factory=list)
    tails: dict[str, bytes] = field(default_factory=dict)
    verified: set[int] = field(default_factory=set)


class Recovery:
    """Reads one session; changes nothing on disk."""

    def __init__(
        self, directories: Directories, places: Places, session: str, key_of: Callable[[str], MasterKey | None]
    ) -> None:
        """Look at the names."""
        self._disk = directories.disk
        self._places = places
        self._session = session
        self._key_of = key_of
        names = self._disk.listing(places.sessions)
        self.snapshots = generations(names, session, Suffix.SNAPSHOT)
        self.logs = generations(names, session, Suffix.EDITS)
        self._bad: dict[int, SessionError] = {}

    @property
    def newest(self) -> int:
        """The highest generation of which anything is there; 0 if nothing is."""
        return max([0, *self.snapshots, *self.logs])

    def run(self, *, generation: int | None = None, newer_readable: bool = False) -> Recovered:
        """Return the last state, or that of one generation alone.

        Raises:
            SessionError: no snapshot can be used, or a decision is needed; says which.
            StoreUnreadable: the disk does not let us read.
        """
        wanted = [g for g in reversed(self.snapshots) if generation in (None, g)]
        if generation is None and len(wanted) > 1 and wanted[-1] == BASE_GENERATION:
            wanted.pop()  # what a copy began with is not a state to go back to while there is another
        for each in wanted:
            opened = self._opened(each)
            if opened is not None:
                self._check_keys(opened)
                return self._replayed(each, opened, follow=generation is None, newer_readable=newer_readable)
        if self._bad:
            raise self._bad[max(self._bad)]
        what = "open the session" if generation is None else f"open generation {generation}"
        raise Corrupt(what, self._places.sessions, f"there is no snapshot of {self._session}")

    def verify(self, generation: int) -> SessionError | None:
        """Say what is wrong with a snapshot, if anything is."""
        try:
            opened = self._open(generation)
            load(opened.plaintext)
        except SessionError as problem:
            return problem
        except BadDocument as problem:
            return Corrupt("read the session", self._path(generation, Suffix.SNAPSHOT), str(problem))
        return None

    def verify_log(self, generation: int) -> Finding | None:
        """Say what is wrong with a log, if anything is."""
        found = self._log(generation)
        if isinstance(found, Finding):
            return found
        path = self._path(generation, Suffix.EDITS)
        return None if found.ending is Ending.CLEAN else Finding(path.name, Outcome.CORRUPT, found.ending)

    # -- snapshots -------------------------------------------------------------------------

    def _opened(self, generation: int) -> Opened | None:
        try:
            return self._open(generation)
        except (TooNew, LockedKey):
            raise  # an older generation is not what the user asked for, and the newest is not damaged
        except SessionError as problem:
            self._bad[generation] = problem
            return None

    def _open(self, generation: int) -> Opened:
        path = self._path(generation, Suffix.SNAPSHOT)
        place = Place(Kind.SNAPSHOT, self._session, generation)
        return open_snapshot(self._read(path), place, self._key_of, path)

    def _check_keys(self, opened: Opened) -> None:
        """A file that names a key which opens others is damaged; one that names another needs that key."""
        names = {wrap.key for wrap in opened.header.wraps}
        for problem in self._bad.values():
            if isinstance(problem, MissingKey) or (
                isinstance(problem, WrongKey) and not names.intersection(problem.keys)
            ):
                raise problem

    # -- replay ----------------------------------------------------------------------------

    def _replayed(self, generation: int, opened: Opened, *, follow: bool, newer_readable: bool) -> Recovered:
        state = self._document(generation, opened.plaintext)
        base = revision = int(opened.header.about.get("revision", 0))
        from_format = int(state.get("format", 0))
        if from_format > FORMAT and not newer_readable:
            path = self._path(generation, Suffix.SNAPSHOT)
            raise TooNew("open the session", path, f"format {from_format}, this program knows {FORMAT}")
        if from_format < FORMAT:
            state, _ = migrate(state)
        found = Recovered(state, Receipt(self._session), verified={generation})
        findings = [self._finding(each, problem) for each, problem in sorted(self._bad.items())]
        found.moved = list(findings)
        for log in self.logs if follow else ():
            if log < generation:
                continue
            found.logged = True
            whole, revision = self._follow(log, found, revision, findings)
            if not whole:
                break
        found.receipt = Receipt(
            self._session,
            generation,
            self.newest,
            base,
            revision,
            revision - base,
            tuple(findings),
            from_format=from_format if from_format < FORMAT else None,
        )
        return found

    def _follow(
        self, generation: int, found: Recovered, revision: int, findings: list[Finding]
    ) -> tuple[bool, int]:
        """Apply one log; return whether the next may follow it, and the revision it leads to."""
        read = self._log(generation)
        if isinstance(read, Finding):
            findings.append(read)
            found.moved.append(read)
            return True, revision  # the next snapshot may be damaged and its log whole; a gap will be seen
        for _, payload, _ in read.records:
            try:
                first = REVISION.unpack_from(payload)[0]
                edits = decode(payload[REVISION.size :])
            except (BadEdit, struct.error) as problem:
                findings.append(self._log_finding(generation, f"a record cannot be read: {problem}"))
                return False, revision
            if first > revision + 1:
                findings.append(self._log_finding(generation, f"revisions {revision + 1} to {first - 1} missing"))
                return False, revision
            for edit in edits[revision + 1 - first :]:
                found.state = applied(found.state, edit)
                revision += 1
        if read.ending is not Ending.CLEAN:
            name = self._path(generation, Suffix.EDITS).name
            found.tails[name] = read.tail
            findings.append(Finding(name, Outcome.CORRUPT, f"{read.ending} after {read.good} bytes"))
        return True, revision

    def _log(self, generation: int) -> Any:
        path = self._path(generation, Suffix.EDITS)
        try:
            return read_log(self._read(path), Place(Kind.EDITS, self._session, generation), self._key_of, path)
        except Reordered as problem:
            return Finding(path.name, problem.outcome, problem.detail)
        except Corrupt as problem:
            return Finding(path.name, problem.outcome, problem.detail)

    def _document(self, generation: int, plaintext: bytes) -> State:
        try:
            return load(plaintext)
        except BadDocument as problem:
            raise Corrupt("read the session", self._path(generation, Suffix.SNAPSHOT), str(problem)) from problem

    def _finding(self, generation: int, problem: SessionError) -> Finding:
        # One that names a key which opens its neighbours cannot be opened because it is damaged.
        outcome = Outcome.CORRUPT if isinstance(problem, WrongKey) else problem.outcome
        return Finding(self._path(generation, Suffix.SNAPSHOT).name, outcome, problem.detail)

    def _log_finding(self, generation: int, detail: str) -> Finding:
        return Finding(self._path(generation, Suffix.EDITS).name, Outcome.CORRUPT, detail)

    def _path(self, generation: int, suffix: Suffix) -> Path:
        return self._places.file(self._session, generation, suffix)

    def _read(self, path: Path) -> bytes:
        try:
            data = self._disk.read(path, MAX_FILE_BYTES + 1)
        except OSError as problem:
            if problem.errno not in ONE_FILE_ERRORS:
                raise disk_error("read the session", path, problem, reading=True) from problem
            raise Corrupt("read the session", path, str(disk_error("read it", path, problem))) from problem
        if len(data) > MAX_FILE_BYTES:
            raise Corrupt("read the session", path, "it is far too long")
        return data
