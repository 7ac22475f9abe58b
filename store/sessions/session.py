"""One session, open for writing: edits are in memory at once, and on the medium when asked.

A file whose write or sync failed is never used again: what the kernel kept of it is not known. Everything
goes into a snapshot of the next generation instead, which does not depend on any file before it.
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.disk import write_all
from store.documents import Edit, applied, check, dump, encode, fit
from store.documents.document import parse
from store.errors import StoreClosed, disk_error
from store.outcomes import Corrupt, Reordered
from store.replace import replace_file
from store.sealed import FileIdentity, Kind, LogWriter, seal_snapshot
from store.sessions.lease import MAX_OWNER_BYTES, Owner
from store.sessions.names import BASE_GENERATION, Suffix, generations
from store.sessions.recovery import REVISION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.directories import Directories
    from store.sealed import MasterKey
    from store.sessions.lease import Lease
    from store.sessions.limits import SessionLimits
    from store.sessions.names import Places
    from store.sessions.receipt import Receipt
    from store.sessions.recovery import Recovered, Recovery

State = dict[str, Any]

REST_AFTER = 30
"""Times a session is tended without a look at its document: half a minute, longer than a pause in typing."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What every session of a data directory is written with.

    Attributes:
        keys: the keys that new files are sealed with; asked each time, because they are rotated.
        wall: seconds since 1970, for people.
        entropy: random bytes.
        limits: sizes to keep to.
    """

    directories: Directories
    places: Places
    keys: Callable[[], tuple[MasterKey, ...]]
    wall: Callable[[], float]
    entropy: Callable[[int], bytes]
    limits: SessionLimits


@dataclass(slots=True)
class _Log:
    """The log being appended to."""

    writer: LogWriter
    handle: int
    next_number: int = 0
    size: int = 0
    named: bool = False  # whether its name is on the medium


class Session:
    """A session and the right to write it. `edit` may be called while another thread is in `write` or `save`.

    Attributes:
        id: 32 hexadecimal digits.
        receipt: how it was found.
        dropped: records given up for the size budget since it was opened, by section.
        shortened: long answers that were cut for it, by section.
    """

    def __init__(self, tools: Tools, recovered: Recovered, lease: Lease, about: Mapping[str, Any]) -> None:
        """Use `Sessions.open` or `Sessions.create`."""
        receipt = recovered.receipt
        self.id = receipt.session
        self.receipt: Receipt = receipt
        self.dropped: Counter[str] = Counter()
        self.shortened: Counter[str] = Counter()
        self._tools = tools
        self._lease = lease
        self._about = dict(about)
        self._io = threading.Lock()  # one writer at a time; taken before `_lock`, never after
        self._lock = threading.Lock()
        self._awake: State | None = recovered.state
        self._asleep = b""
        self._unused = 0
        self._revision = self._written = receipt.revision
        # What stands in a log may not be on the medium: whoever wrote it was killed before a sync, perhaps.
        self._saved = receipt.base_revision if recovered.logged else receipt.revision
        self._pending: list[Edit] = []
        self._generation = receipt.newest or 0
        self._verified = set(recovered.verified)
        self._log: _Log | None = None
        # A log may only be begun behind a snapshot that says all there is, and that has no log yet.
        behind = (
            receipt.generation is None
            or receipt.generation != receipt.newest
            or receipt.from_format is not None
            or recovered.logged
        )
        self._due = self._revision if behind else None
        """The revision that no log can lead to: a snapshot of it, or of a later one, is due."""

    # -- in memory -------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The document; a new one after every edit, never changed in place."""
        with self._lock:
            return self._wake()

    @property
    def revision(self) -> int:
        """How many edits lead here."""
        return self._revision

    @property
    def written(self) -> int:
        """The revision that survives a kill of this process."""
        return self._written

    @property
    def saved(self) -> int:
        """The revision that survives a power cut."""
        return self._saved

    @property
    def generation(self) -> int:
        """The newest snapshot's number; 0 as long as there is none."""
        return self._generation

    @property
    def dirty(self) -> bool:
        """Whether anything is not on the medium yet."""
        return self._saved < self._revision or self._due is not None

    def rest(self) -> bool:
        """Keep the document as compressed bytes until it is next looked at; false if it is not saved.

        A dictionary takes four times what its JSON does, and of many sessions few are worked on.
        """
        with self._lock:
            if self._awake is not None and not self.dirty:
                self._asleep, self._awake = zlib.compress(dump(self._awake), 6), None
            return self._awake is None

    def tend(self) -> None:
        """To be called about once a second: a document that nobody has looked at for a while goes to rest."""
        self._unused += 1
        if self._unused >= REST_AFTER:
            self.rest()

    def _wake(self) -> State:
        self._unused = 0
        if self._awake is None:
            self._awake, self._asleep = parse(zlib.decompress(self._asleep)), b""
        return self._awake

    def edit(self, *edits: Edit) -> int:
        """Change the document and return its revision; no I/O.

        Raises:
            BadEdit: one of them fits no document; none was made.
            StoreClosed: as it says.
        """
        checked = [check(each) for each in edits]
        with self._lock:
            self._check_open()
            for each in checked:
                self._awake = applied(self._wake(), each)
            self._pending += checked
            self._revision += len(checked)
            return self._revision

    def become(self, state: State) -> int:
        """Replace the whole document; it is on disk when it is next written or saved."""
        with self._lock:
            self._check_open()
            self._awake, self._pending = state, []
            self._revision += 1
            self._due = self._revision
            return self._revision

    def skip_to(self, revision: int) -> None:
        """Give no revision a second time that was given to edits which cannot be found again."""
        with self._lock:
            if revision > self._revision:
                self._revision = self._due = revision

    # -- on disk ---------------------------------------------------------------------------

    def write(self) -> int:
        """Hand every edit to the operating system: it survives this process. Returns the revision.

        Raises:
            DiskError: it was refused; the next call writes everything anew.
            LockedKey: there is no key to seal with yet.
            StoreClosed: as it says.
        """
        with self._io:
            return self._flush(sync=False)

    def save(self) -> int:
        """Have every edit on the medium: it survives a power cut. Returns the revision; raises as `write`."""
        with self._io:
            return self._flush(sync=True)

    def wanted_elsewhere(self) -> bool:
        """Whether another process asked for this session, and still runs as far as can be told."""
        path, disk = self._tools.places.takeover(self.id), self._tools.directories.disk
        try:
            said = disk.read(path, MAX_OWNER_BYTES)
        except OSError:
            return False
        owner = Owner.parse(said)
        return bool(said) and (owner is None or owner.is_alive() is not False)

    def compact(self) -> int:
        """Save, and leave one snapshot that says all; returns the revision, raises as `write`."""
        with self._io:
            self._flush(sync=True)
            self._compact()
            return self._saved

    def close(self, *, compact: bool = True) -> None:
        """Save, and let the session go; again does nothing.

        Args:
            compact: leave one snapshot that says all, so that the next opening has nothing to replay.

        Raises:
            DiskError: what was not saved is lost. The session is let go all the same.
        """
        with self._io:
            if not self._lease.held:
                self._leave_log()
                return
            try:
                self._flush(sync=True)
                if compact:
                    self._compact()
            finally:
                self._leave_log()
                self._lease.release()

    def _flush(self, *, sync: bool) -> int:
        self._check_open()
        if not self.dirty:
            return self._revision
        state, revision, batch = self._taken()
        try:
            if self._due is not None and (sync or revision > self._written):
                self._snapshot(state, revision)
            elif batch:
                self._append(revision, batch)
            if sync:
                self._sync(state, revision)
        except OSError as problem:
            self._give_up(revision)
            raise disk_error("save the session", self._tools.places.sessions, problem) from problem
        except BaseException:  # interrupted, or no key: what was taken is in the state, and goes with it
            self._give_up(revision)
            raise
        return revision

    def _give_up(self, revision: int) -> None:
        """Use no file again of which the kernel may have kept a part."""
        self._leave_log()
        with self._lock:
            # Only what was saved before is known to be anywhere.
            self._written = min(self._written, self._saved)
            self._due = revision if self._due is None else max(self._due, revision)

    def _compact(self) -> None:
        if self._log is None:
            return
        state, revision, _ = self._taken()
        try:
            self._snapshot(state, revision)
        except OSError as problem:
            self._give_up(revision)
            raise disk_error("save the session", self._tools.places.sessions, problem) from problem

    def _taken(self) -> tuple[State, int, list[Edit]]:
        with self._lock:
            batch, self._pending = self._pending, []
            return self._wake(), self._revision, batch

    def _append(self, revision: int, batch: list[Edit]) -> None:
        log = self._log or self._begin_log()
        payload = REVISION.pack(revision - len(batch) + 1) + encode(batch)
        data = log.writer.seal(log.next_number, payload)
        if not log.size:
            data = log.writer.header + data
        write_all(self._tools.directories.disk, log.handle, data)
        log.next_number += 1
        log.size += len(data)
        self._written = revision

    def _sync(self, state: State, revision: int) -> None:
        if self._saved >= revision:
            return
        log, disk = self._log, self._tools.directories.disk
        if log is None:
            return
        disk.sync(log.handle)
        if not log.named:
            disk.sync_dir(self._tools.places.sessions)
            log.named = True
        self._saved = revision
        if log.size > self._tools.limits.log_bytes:
            self._snapshot(state, revision)

    def _begin_log(self) -> _Log:
        path = self._tools.places.file(self.id, self._generation, Suffix.EDITS)
        identity = self._identity(Kind.EDITS, self._generation)
        writer = LogWriter(identity, {"first": 0}, self._tools.keys(), self._tools.entropy)
        self._log = _Log(writer, self._tools.directories.disk.create(path))
        return self._log

    def _leave_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            with suppress(OSError):
                self._tools.directories.disk.close(log.handle)

    def _identity(self, kind: Kind, generation: int) -> FileIdentity:
        return FileIdentity(kind, self.id, generation, self._tools.entropy(16).hex())

    # -- generations -----------------------------------------------------------------------

    def _snapshot(self, state: State, revision: int) -> None:
        """Begin the next generation with everything there is."""
        self._give_up(revision)
        generation = self._generation + 1
        # Counted even if it fails: what a failed attempt left behind must not be taken for this one.
        self._generation = generation
        tools = self._tools
        about = {
            **self._about,
            "revision": revision,
            "at": tools.wall(),
            "format": state.get("format"),
        }
        identity = self._identity(Kind.SNAPSHOT, generation)
        keys = tools.keys()

        def sealed(document: State) -> bytes:
            return seal_snapshot(identity, about, dump(document), keys, tools.entropy)

        data = sealed(state)
        if len(data) > tools.limits.snapshot_bytes:
            data = self._within_budget(state, sealed)
        path = tools.places.file(self.id, generation, Suffix.SNAPSHOT)
        replace_file(tools.directories.disk, path, data)
        if tools.directories.disk.read(path, len(data) + 1) != data:
            raise OSError(5, "what was written reads back otherwise", str(path))
        self._verified.add(generation)
        self._written = self._saved = revision
        with self._lock:
            if self._due is not None and self._due <= revision:  # or it was replaced meanwhile
                self._due = None

    def _within_budget(self, state: State, sealed: Callable[[State], bytes]) -> bytes:
        """Give up the oldest history until the session fits; work stays, whatever its size."""
        trimmed = fit(state, lambda document: len(sealed(document)) <= self._tools.limits.snapshot_bytes)
        with self._lock:
            if self._awake is state:  # or else the next snapshot is trimmed likewise
                self._awake = trimmed.state
        self.dropped.update(trimmed.dropped)
        self.shortened.update(trimmed.shortened)
        return sealed(trimmed.state)

    def prune(self, recovery: Callable[[], Recovery]) -> None:
        """Remove generations beyond the newest that are true; what is found damaged is set aside.

        Whoever has a private copy of this session needs nothing of it: the copy brought its base along.
        """
        with self._io:
            self._check_open()
            look: Recovery | None = None
            disk, places = self._tools.directories.disk, self._tools.places
            names = disk.listing(places.sessions)
            most = self._tools.limits.kept
            kept: list[int] = []
            gone: list[int] = []
            for generation in reversed(generations(names, self.id, Suffix.SNAPSHOT)):
                if generation == BASE_GENERATION:
                    continue
                if len(kept) == most:
                    gone.append(generation)
                    continue
                if generation not in self._verified:
                    look = look or recovery()
                    problem = look.verify(generation)
                    if isinstance(problem, Corrupt | Reordered):
                        self._tools.directories.set_aside(places.file(self.id, generation, Suffix.SNAPSHOT))
                    if problem is not None:  # not damaged, and of no use to us: neither counted nor removed
                        continue
                    self._verified.add(generation)
                kept.append(generation)
            for generation in reversed(gone):
                disk.unlink(places.file(self.id, generation, Suffix.SNAPSHOT))
            # By themselves, because a power cut may have taken the snapshot of a log and left the log.
            for generation in generations(names, self.id, Suffix.EDITS):
                if len(kept) == most and generation < kept[-1]:
                    disk.unlink(places.file(self.id, generation, Suffix.EDITS))

    def _check_open(self) -> None:
        if not self._lease.held:
            raise StoreClosed("use the session", self._tools.places.sessions)
