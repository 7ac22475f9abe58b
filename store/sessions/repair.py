"""Looking at every file of a session, and putting aside those that are not true.

Looking changes nothing. Repairing first makes sure of the newest state there is, in a generation of its own,
and only then moves what is damaged: into the quarantine, never away. What a key or a later version would
open is not damaged, and stays where it is.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from store.documents import BadDocument, read
from store.errors import DiskError, StoreError, naming
from store.outcomes import Corrupt, Outcome, RolledBack, SessionError
from store.reader import CLOSED_TO_US
from store.replace import replace_file
from store.sealed import Ending, Expected, Kind, LogRead, open_snapshot, read_log
from store.sessions.inventory import Part, Stored, recovery_of, stored
from store.sessions.names import Suffix
from store.sessions.receipt import Finding, Receipt
from store.sessions.recovery import MAX_FILE_BYTES

if TYPE_CHECKING:
    from store.sessions.session import Session
    from store.sessions.shelf import Sessions

DAMAGED = frozenset({Outcome.CORRUPT, Outcome.REORDERED})
"""What makes a file one to be put aside. Everything else is a matter of keys, versions or decisions."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a session stands.

    Attributes:
        session: its id.
        archived: whether it stands in the archive.
        checked: how many files were read to their last byte.
        findings: those that are not as they should be, with where they stand now if they were moved.
        receipt: how its last state came about; None if there is none to be had.
        problem: why it cannot be opened; None if it can.
        repaired: whether anything was changed.
    """

    session: str
    archived: bool
    checked: int
    findings: tuple[Finding, ...] = ()
    receipt: Receipt | None = None
    problem: StoreError | None = None
    repaired: bool = False

    @property
    def sound(self) -> bool:
        """Whether there is nothing to do."""
        return not self.findings and self.problem is None

    @property
    def outcome(self) -> Outcome | None:
        """The name of what is wrong; None if nothing is, or it is the disk."""
        if isinstance(self.problem, SessionError):
            return self.problem.outcome
        return self.findings[0].outcome if self.findings else None


def verify(sessions: Sessions, session: str, *, acknowledged: int = 0) -> Report:
    """Read every snapshot, log and backup of a session to its last byte; changes nothing.

    Args:
        sessions: where.
        session: its id.
        acknowledged: a revision that is known, from elsewhere, to have been saved.

    Raises:
        StoreUnreadable: the directory cannot be read.
    """
    files = stored(sessions, session)
    archived = bool(files) and all(each.archived for each in files)
    files = [each for each in files if each.archived == archived]
    newest = max([0, *(each.generation for each in files if each.part is Part.SNAPSHOT)])
    report = Report(session, archived, len(files))
    try:
        findings = [finding for each in files if (finding := _finding(sessions, each, newest))]
        report = replace(report, findings=tuple(findings))
        receipt = recovery_of(sessions, session).run(newer_readable=False).receipt
    except StoreError as problem:
        return replace(report, problem=problem)
    known = {each.file for each in findings}
    holes = [each for each in receipt.findings if each.file not in known and not _is_tail(each)]
    report = replace(report, findings=(*findings, *holes), receipt=receipt)
    if not archived and receipt.revision < acknowledged:
        return replace(report, problem=_behind(sessions, receipt.revision, acknowledged))
    return report


def repair(
    sessions: Sessions, session: str, *, acknowledged: int = 0, accept_rollback: bool = False
) -> Report:
    """Put aside what is damaged, and leave the newest state there is as a generation of its own.

    A session that is sound, archived, open elsewhere, waits for a key, or whose files this user may not read
    is left alone; the report says so.

    Raises:
        StoreUnreadable: the directory cannot be read.
    """
    before = verify(sessions, session, acknowledged=acknowledged)
    undecided = isinstance(before.problem, RolledBack) and not accept_rollback and not before.findings
    if before.archived or before.sound or undecided or isinstance(before.problem, DiskError):
        return before
    try:
        _bring_back_backup(sessions, before)
        try:
            opened = sessions.open(session, acknowledged=acknowledged, accept_rollback=accept_rollback)
        except Corrupt as problem:
            return _given_up(sessions, replace(before, problem=problem))
        try:
            return _mended(sessions, opened, before)
        finally:
            opened.close()
    except StoreError as problem:
        return replace(before, problem=problem)


# -- looking ---------------------------------------------------------------------------


def _finding(sessions: Sessions, file: Stored, newest: int) -> Finding | None:
    try:
        if file.part is Part.EDITS:
            return _log_finding(sessions, file, newest)
        expected = Expected(Kind.SNAPSHOT, file.session, file.generation)
        opened = open_snapshot(_bytes(sessions, file), expected, sessions.keychain.key, path=file.path)
        read(opened.plaintext)
    except SessionError as problem:
        return Finding(file.path.name, problem.outcome, problem.detail)
    except (BadDocument, DiskError) as problem:
        if isinstance(problem, DiskError) and problem.errno in CLOSED_TO_US:
            raise  # nobody knows what stands there, least of all that it is damaged
        return Finding(file.path.name, Outcome.CORRUPT, str(problem))
    return None


def _log_finding(sessions: Sessions, file: Stored, newest: int) -> Finding | None:
    found, _ = _log(sessions, file)
    if found is None or found.ending is Ending.CLEAN:
        return None
    if found.ending is Ending.TORN and file.generation < newest:
        return None  # what was torn off was never acknowledged, and a later snapshot says all the rest
    return Finding(
        file.path.name, found.outcome or Outcome.CORRUPT, f"{found.ending} after {found.good} bytes"
    )


def _log(sessions: Sessions, file: Stored) -> tuple[LogRead | None, bytes]:
    data = _bytes(sessions, file)
    if not data:  # its writer was stopped before the first edit
        return None, data
    expected = Expected(Kind.EDITS, file.session, file.generation)
    return read_log(data, expected, sessions.keychain.key, path=file.path), data


def _bytes(sessions: Sessions, file: Stored) -> bytes:
    with naming("read a session's file", file.path, reading=True):
        return sessions.directories.disk.read(file.path, MAX_FILE_BYTES)


def _is_tail(finding: Finding) -> bool:
    return finding.detail.startswith(Ending.TORN)


def _behind(sessions: Sessions, revision: int, acknowledged: int) -> RolledBack:
    """Return what opening it would raise."""
    detail = f"revision {revision}, but {acknowledged} was saved"
    return RolledBack("open the session", sessions.places.sessions, detail)


# -- changing --------------------------------------------------------------------------


def _mended(sessions: Sessions, opened: Session, before: Report) -> Report:
    opened.save()
    found = {each.file: each for each in (*before.findings, *opened.receipt.findings)}
    with naming("set damaged files aside", sessions.places.sessions):
        for finding in tuple(found.values()):
            found[finding.file] = _put_aside(sessions, opened.id, finding)
    receipt = opened.receipt
    changed = receipt.rolled_back or bool(receipt.missing) or any(each.kept for each in found.values())
    return replace(before, findings=tuple(found.values()), receipt=receipt, problem=None, repaired=changed)


def _put_aside(sessions: Sessions, session: str, finding: Finding) -> Finding:
    """Move one damaged file, unless the opening did already; the session is ours."""
    there = {each.path.name: each for each in stored(sessions, session) if not each.archived}
    file = there.get(finding.file)
    if file is None or finding.outcome not in DAMAGED:
        return finding
    if file.part is Part.EDITS:
        with suppress(SessionError):
            log, data = _log(sessions, file)
            if log is not None:  # its beginning is true, and leads from one generation to the next
                if log.ending is Ending.CLEAN:
                    return finding
                kept = sessions.directories.keep(file.path.name, data[log.good :])
                _cut(sessions, file, log.good)
                return replace(finding, kept=kept)
    return replace(finding, kept=sessions.directories.set_aside(file.path))


def _cut(sessions: Sessions, file: Stored, size: int) -> None:
    disk = sessions.directories.disk
    handle = disk.open(file.path)
    try:
        disk.truncate(handle, size)
        disk.sync(handle)
    finally:
        disk.close(handle)


def _bring_back_backup(sessions: Sessions, before: Report) -> None:
    """Where no snapshot is true and an upgrade backup is, put its bytes under the snapshot's name."""
    if before.receipt is not None or not isinstance(before.problem, Corrupt):
        return
    damaged = {each.file for each in before.findings}
    backups = [each for each in stored(sessions, before.session) if each.part is Part.BACKUP]
    for backup in sorted(backups, key=lambda each: each.generation, reverse=True):
        if backup.path.name in damaged or backup.archived:
            continue
        lease = sessions.lease(before.session)
        try:
            target = sessions.places.file(before.session, backup.generation, Suffix.SNAPSHOT)
            with naming("bring back the upgrade backup", target):
                if target.name in damaged:
                    sessions.directories.set_aside(target)
                replace_file(sessions.directories.disk, target, _bytes(sessions, backup))
        finally:
            lease.release()
        return


def _given_up(sessions: Sessions, before: Report) -> Report:
    """Nothing of it can be used: put all of it aside together, so that a new session may begin."""
    if any(each.outcome not in DAMAGED for each in before.findings):
        return before  # a key or a version may still open some of it
    lease = sessions.lease(before.session)
    try:
        known = {each.file: each for each in before.findings}
        with naming("set damaged files aside", sessions.places.sessions):
            for file in stored(sessions, before.session):
                if file.archived:
                    continue
                found = known.get(file.path.name) or Finding(
                    file.path.name, Outcome.CORRUPT, "true, and leads on from nothing"
                )
                known[found.file] = replace(found, kept=sessions.directories.set_aside(file.path))
        return replace(before, findings=tuple(known.values()), problem=None, repaired=True)
    finally:
        lease.release()
