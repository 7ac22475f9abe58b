"""Finding a session's last state: the newest snapshot that is true, and every edit logged since.

A log of edits leads from its own snapshot to the next one, so if the newest snapshot is damaged the one
before it and both logs give the same state: a single damaged file costs nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store.documents import FORMAT, BadDocument, BadEdit, Loaded, applied, decode, read
from store.errors import disk_error
from store.outcomes import Corrupt, Outcome, Reordered, SessionError
from store.reader import CLOSED_TO_US, ONE_FILE_ERRORS
from store.sealed import Ending, Expected, Kind, open_snapshot, read_log
from store.sessions.names import Suffix, generations
from store.sessions.receipt import Finding, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from store.directories import Directories
    from store.documents import State
    from store.sealed import LogRead, MasterKey, Opened
    from store.sessions.names import Places

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Sixteen times what a session may take: anything longer is not ours, and is not read."""

REVISION = struct.Struct("<Q")
"""What a log's record begins with: the revision its first edit leads to."""


@dataclass(slots=True)
class Recovered:
    """A session as it was found.

    Attributes:
        state: the document.
        receipt: how it came about.
        about: what the snapshot says in plain text.
        logged: whether edits stand in a log, so that the snapshot alone is not everything.
        moved: files to be set aside once the session may be written: a reader changes nothing.
        tails: bytes behind the last true record of a log, by file.
        verified: generations known to be true.
    """

    state: State
    receipt: Receipt
    about: dict[str, Any] = field(default_factory=dict)
    logged: bool = False
    moved: list[Finding] = field(default_factory=list)
    tails: dict[str, bytes] = field(default_factory=dict)
    verified: set[int] = field(default_factory=set)


class Recovery:
    """Reads one session; changes nothing on disk."""

    def __init__(
        self,
        directories: Directories,
        places: Places,
        session: str,
        key_of: Callable[[str], MasterKey | None],
        names: Iterable[str],
    ) -> None:
        """Look at the names of the files there are."""
        self._disk = directories.disk
        self._places = places
        self._session = session
        self._key_of = key_of
        names = [name for name in names if name.startswith(session)]
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
        for each in wanted:
            opened = self._opened(each)
            if opened is not None:
                return self._replayed(each, opened, follow=generation is None, newer_readable=newer_readable)
        if self._bad:
            raise self._bad[max(self._bad)]
        what = "open the session" if generation is None else f"open generation {generation}"
        raise Corrupt(what, self._places.sessions, f"there is no snapshot of {self._session}")

    def verify(self, generation: int) -> SessionError | None:
        """Say what is wrong with a snapshot, if anything is."""
        try:
            opened = self._open(generation)
            read(opened.plaintext)
        except SessionError as problem:
            return problem
        except BadDocument as problem:
            return Corrupt("read the session", self._path(generation, Suffix.SNAPSHOT), str(problem))
        return None

    # -- snapshots -------------------------------------------------------------------------

    def _opened(self, generation: int) -> Opened | None:
        try:
            return self._open(generation)
        except (Corrupt, Reordered) as problem:
            self._bad[generation] = problem
            return None
        # Anything else is raised: a newest generation that is locked or too new is not damaged, and an
        # older one is not what the user asked for.

    def _open(self, generation: int) -> Opened:
        path = self._path(generation, Suffix.SNAPSHOT)
        expected = Expected(Kind.SNAPSHOT, self._session, generation)
        return open_snapshot(self._read(path), expected, self._key_of, path=path)

    # -- replay ----------------------------------------------------------------------------

    def _replayed(self, generation: int, opened: Opened, *, follow: bool, newer_readable: bool) -> Recovered:
        loaded = self._document(generation, opened.plaintext, read_only=newer_readable)
        base = revision = _number(opened.header.about, "revision")
        found = Recovered(
            loaded.state, Receipt(self._session), dict(opened.header.about), verified={generation}
        )
        findings = [self._finding(each, problem) for each, problem in sorted(self._bad.items())]
        found.moved = list(findings)
        whole = True
        for log in self.logs if follow else ():
            if log < generation:
                continue
            if whole:
                whole, revision = self._follow(log, found, revision, findings)
            else:
                self._set_apart(log, found, findings, "it follows what is missing")
        found.receipt = Receipt(
            self._session,
            generation,
            self.newest,
            base,
            revision,
            revision - base,
            tuple(findings),
            from_format=loaded.from_format if loaded.from_format != FORMAT else None,
        )
        return found

    def _follow(
        self, generation: int, found: Recovered, revision: int, findings: list[Finding]
    ) -> tuple[bool, int]:
        """Apply one log; return whether the next may follow it, and the revision it leads to."""
        read, data = self._log(generation)
        found.logged = True  # even if nothing stands in it: its name is taken
        if read is None:
            return True, revision
        if isinstance(read, Finding):
            findings.append(read)
            found.moved.append(read)
            return True, revision  # the next snapshot may be damaged and its log whole; a gap will be seen
        name, used = self._path(generation, Suffix.EDITS).name, 0
        for _, payload, end in read.records:
            try:
                first = REVISION.unpack_from(payload)[0]
                edits = decode(payload[REVISION.size :])
            except (BadEdit, struct.error) as problem:
                found.tails[name] = data[used:]
                findings.append(Finding(name, Outcome.CORRUPT, f"a record cannot be read: {problem}"))
                return False, revision
            if first > revision + 1:
                # A writer's records follow each other, so that it is the first one, and none was used.
                self._set_apart(
                    generation, found, findings, f"revisions {revision + 1} to {first - 1} missing"
                )
                return False, revision
            for edit in edits[revision + 1 - first :]:
                found.state = applied(found.state, edit)
                revision += 1
            used = end
        if read.ending is not Ending.CLEAN:
            found.tails[name] = data[read.good :]
            outcome = read.outcome or Outcome.CORRUPT
            findings.append(Finding(name, outcome, f"{read.ending} after {read.good} bytes"))
        return True, revision

    def _set_apart(self, generation: int, found: Recovered, findings: list[Finding], detail: str) -> None:
        """Keep a log that does not follow the snapshot: it would be removed with its generation."""
        finding = Finding(self._path(generation, Suffix.EDITS).name, Outcome.REORDERED, detail)
        findings.append(finding)
        found.moved.append(finding)

    def _log(self, generation: int) -> tuple[LogRead | Finding | None, bytes]:
        """Read one log, and its bytes; None: nothing was ever written."""
        path = self._path(generation, Suffix.EDITS)
        expected = Expected(Kind.EDITS, self._session, generation)
        try:
            data = self._read(path)
            if not data:
                return None, b""
            read = read_log(data, expected, self._key_of, path=path)
        except (Corrupt, Reordered) as problem:
            return Finding(path.name, problem.outcome, problem.detail), b""
        return read, data

    def _document(self, generation: int, plaintext: bytes, *, read_only: bool) -> Loaded:
        try:
            return read(plaintext, read_only=read_only)
        except BadDocument as problem:
            raise Corrupt(
                "read the session", self._path(generation, Suffix.SNAPSHOT), str(problem)
            ) from problem

    def _finding(self, generation: int, problem: SessionError) -> Finding:
        return Finding(self._path(generation, Suffix.SNAPSHOT).name, problem.outcome, problem.detail)

    def _path(self, generation: int, suffix: Suffix) -> Path:
        return self._places.file(self._session, generation, suffix)

    def _read(self, path: Path) -> bytes:
        try:
            data = self._disk.read(path, MAX_FILE_BYTES + 1)
        except OSError as problem:
            # What is closed to us is not damaged: an older generation in its place would lose work.
            if problem.errno not in ONE_FILE_ERRORS or problem.errno in CLOSED_TO_US:
                raise disk_error("read the session", path, problem, reading=True) from problem
            raise Corrupt("read the session", path, str(disk_error("read it", path, problem))) from problem
        if len(data) > MAX_FILE_BYTES:
            raise Corrupt("read the session", path, "it is far too long")
        return data


def _number(about: dict[str, Any], name: str) -> int:
    found = about.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
