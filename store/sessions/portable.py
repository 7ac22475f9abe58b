"""A session in one file, to keep elsewhere or to carry to another machine: sealed, or plain because asked to.

A sealed export has its own passphrase and names no key of the data directory it came from. Neither kind is
believed before it is checked, and neither ever replaces a session that is there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from store.documents import BadDocument, dump, merge, read
from store.keys.passphrase import Cost, Stretch, stretched
from store.outcomes import Corrupt, LockedKey, SessionError, TooNew, WrongKey
from store.sealed import Expected, FileIdentity, Kind, MasterKey, open_snapshot, peek, seal_snapshot
from store.sealed.envelope import MAGIC, MAX_PLAINTEXT_BYTES
from store.sessions.inventory import recovery_of, stored
from store.sessions.names import is_session_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store.documents import State
    from store.sealed.envelope import Json
    from store.sessions.recovery import Recovered
    from store.sessions.session import Session
    from store.sessions.shelf import Sessions

FORMAT = 1
MARK = "resilience_export"
"""The field that tells an export from any other JSON."""

NAME = "export"
"""What the envelope calls it: the session's own id is nobody's business before the passphrase is given."""

MAX_EXPORT_BYTES = MAX_PLAINTEXT_BYTES + 64 * 1024
"""What the envelope may hold, and its head; a longer file is not read."""

_READ = "read the export"


class BadExport(Corrupt):
    """It is no export, or no longer what was exported."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return "Take another copy of the file, or export the session again."


class ExportLocked(LockedKey):
    """It is sealed, and no passphrase was given."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return "Give the passphrase it was exported with; it is not that of the keys here."


class ExportWrongPassphrase(WrongKey):
    """It was sealed with another passphrase."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return "Give the passphrase it was exported with; it is not that of the keys here."


class ExportTooNew(TooNew):
    """A later version exported it."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return "Import it with that version, or export it again from there in plain."


@dataclass(frozen=True, slots=True)
class Export:
    """A session as it travels.

    Attributes:
        document: its state, in today's format.
        revision: how many edits led there.
        at: when it was exported, seconds since 1970.
        lineage: marks of this state and of the generations behind it, by which a merge finds what both
            sides once had in common.
        sealed: whether the file it was read from was.
    """

    document: State
    revision: int = 0
    at: float = 0.0
    lineage: tuple[str, ...] = ()
    sealed: bool = False


def gather(sessions: Sessions, session: str, at: float, generation: int | None = None) -> Export:
    """Return a session as it is, archived or not, without changing anything.

    Raises:
        SessionError: it cannot be used; says why.
        StoreUnreadable: the disk does not let us read.
    """
    recovery = recovery_of(sessions, session)
    found = recovery.run(generation=generation)
    lineage = {_mark(found): None}
    for each in reversed(recovery.snapshots):
        if recovery.verify(each) is None:
            lineage[_mark(recovery.run(generation=each))] = None
    return Export(found.state, found.receipt.revision, at, tuple(lineage))


def fingerprint(state: State) -> str:
    """Return what tells equal documents; a session's id is left out, because a copy has another."""
    rest = {name: value for name, value in state.items() if name != "session"}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _mark(found: Recovered) -> str:
    # With the revision: somebody may have undone everything, and that is later work, not the earlier state.
    return f"{found.receipt.revision}-{fingerprint(found.state)}"


# -- files -----------------------------------------------------------------------------


def plain(export: Export) -> bytes:
    """Return the file for everybody to read."""
    return json.dumps(_fields(export), ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"


def sealed(
    export: Export, passphrase: str, entropy: Callable[[int], bytes], cost: Cost | None = None
) -> bytes:
    """Return the file that only the passphrase opens.

    Raises:
        ValueError: the passphrase is empty.
        StretchError: this machine cannot stretch it.
    """
    how = (cost or Cost()).salted(entropy(16))
    about: dict[str, Json] = {
        MARK: FORMAT,
        "argon2id": {
            "salt": how.salt.hex(),
            "memory_kib": how.memory_kib,
            "iterations": how.iterations,
            "lanes": how.lanes,
        },
    }
    key = MasterKey(_key_id(how), stretched(passphrase, how).secret)
    identity = FileIdentity(Kind.EXPORT, NAME, FORMAT, entropy(16).hex())
    return seal_snapshot(identity, about, dump(_fields(export)), [key], entropy)


def is_sealed(data: bytes) -> bool:
    """Whether these bytes claim to be a sealed file."""
    return data.startswith(MAGIC)


def unpack(data: bytes, passphrase: str | None = None, path: Path | None = None) -> Export:
    """Return what an export holds, checked.

    Args:
        data: the whole file.
        passphrase: what it was sealed with; not needed for a plain one.
        path: where it was read, for the errors.

    Raises:
        BadExport: it is none, or damaged.
        ExportLocked, ExportWrongPassphrase: as they say.
        ExportTooNew: a later version wrote it.
    """
    if len(data) > MAX_EXPORT_BYTES:
        raise BadExport(_READ, path, f"it is longer than {MAX_EXPORT_BYTES} bytes")
    if not is_sealed(data):
        return _export(data, path, was_sealed=False)
    try:
        return _export(_unsealed(data, passphrase, path), path, was_sealed=True)
    except (BadExport, ExportLocked, ExportTooNew):
        raise
    except SessionError as problem:
        kinds = {TooNew: ExportTooNew, WrongKey: ExportWrongPassphrase}
        kind = kinds.get(type(problem), BadExport)
        detail = "the passphrase does not open it" if kind is ExportWrongPassphrase else problem.detail
        raise kind(_READ, path, detail) from None


def _unsealed(data: bytes, passphrase: str | None, path: Path | None) -> bytes:
    header = peek(data)
    how = _stretch(header.about.get("argon2id")) if header else None
    keys: dict[str, MasterKey] = {}
    if how is not None:
        if not passphrase:
            raise ExportLocked(_READ, path, "it is sealed with a passphrase")
        keys[_key_id(how)] = MasterKey(_key_id(how), stretched(passphrase, how).secret)
    # Without parameters there is no key; opening it then says what is wrong with the head.
    return open_snapshot(data, Expected(Kind.EXPORT, NAME, FORMAT), keys.get, path=path).plaintext


def _key_id(how: Stretch) -> str:
    return how.salt.hex()[:16]


def _stretch(said: Json) -> Stretch | None:
    """Return the parameters if they are within bounds: anybody may have written them."""
    try:
        fields: Any = said
        how = Stretch(bytes.fromhex(fields["salt"]), *_whole(fields, "memory_kib", "iterations", "lanes"))
    except (TypeError, ValueError, KeyError):
        return None
    return None if how.problem() else how


def _whole(fields: dict[str, Any], *names: str) -> list[int]:
    found = [fields[name] for name in names]
    if any(type(each) is not int for each in found):
        raise ValueError(names)
    return found


def _fields(export: Export) -> dict[str, Any]:
    return {
        MARK: FORMAT,
        "exported_at": export.at,
        "revision": export.revision,
        "lineage": list(export.lineage),
        "document": export.document,
    }


def _export(data: bytes, path: Path | None, *, was_sealed: bool) -> Export:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise BadExport(_READ, path, "it is neither a sealed file nor JSON") from None
    if not isinstance(fields, dict) or type(fields.get(MARK)) is not int:
        raise BadExport(_READ, path, "it is no export of a session")
    if fields[MARK] > FORMAT:
        raise ExportTooNew(_READ, path, f"export format {fields[MARK]}, and {FORMAT} is known here")
    document, revision, lineage = fields.get("document"), fields.get("revision"), fields.get("lineage")
    at = fields.get("exported_at")
    if not isinstance(document, dict) or type(revision) is not int or not 0 <= revision < 2**63:
        raise BadExport(_READ, path, "its document or its revision is missing")
    try:
        state = read(dump(document)).state
    except TooNew as problem:
        raise ExportTooNew(_READ, path, problem.detail) from None
    except (BadDocument, ValueError, RecursionError) as problem:
        raise BadExport(_READ, path, str(problem)) from None
    return Export(
        state,
        revision,
        float(at) if isinstance(at, int | float) else 0.0,
        tuple(each for each in lineage if isinstance(each, str)) if isinstance(lineage, list) else (),
        was_sealed,
    )


# -- bringing it in --------------------------------------------------------------------


class Became(StrEnum):
    """What became of an export."""

    ITSELF = "itself"
    """The session it was, which was not here."""
    NEW = "new"
    """A session of its own, because one of that id is here."""
    MERGED = "merged"
    """Part of the session that is here."""
    NOTHING = "nothing"
    """It had nothing that the session here lacks."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How an export came in.

    Attributes:
        session: where it is now.
        became: what became of it.
        revision: of that session now.
        decisions: places where both sides differed, as `store.documents.merge` records them.
        common: whether a state was found that both sides once had; without one every difference is decided
            as if both had changed it.
    """

    session: str
    became: Became
    revision: int
    decisions: tuple[dict[str, Any], ...] = ()
    common: bool = False


def bring_in(
    sessions: Sessions,
    export: Export,
    *,
    fresh: str,
    merging: bool = False,
    acknowledged: int = 0,
    at: float = 0.0,
) -> Imported:
    """Make a session of an export; one that is there is never written over.

    Args:
        sessions: where.
        export: what.
        fresh: an unused id, for a session of its own.
        merging: join it with the session of its id, if that is here.
        acknowledged: the highest revision that the transition journal knows of its id.
        at: seconds since 1970, for the decisions of a merge.

    Raises:
        Busy: another process has that session open.
        SessionError: the session to merge with cannot be used, or there is no key to seal with.
        DiskError: the disk refused; there is no new session then.
    """
    said = export.document.get("session")
    own = said if isinstance(said, str) and is_session_id(said) else fresh
    there = bool(stored(sessions, own))
    if there and merging:
        return _merged(sessions, export, own, acknowledged, at)
    sessions.keychain.wraps_for_new_files()  # no key, no session: better told before anything is begun
    if not there and (revision := _begun(sessions, export, own, acknowledged)):
        return Imported(own, Became.ITSELF, revision)
    return Imported(fresh, Became.NEW, _begun(sessions, export, fresh, 0) or 0)


def _begun(sessions: Sessions, export: Export, session: str, acknowledged: int) -> int | None:
    """Begin a session with this document and return its revision; None if one of that id is there."""
    state = {**export.document, "session": session}
    image: dict[str, Any] = state.get("image") or {}
    opened = sessions.create(session, str(image.get("key", "")), str(image.get("endpoint", "")))
    try:
        if opened.receipt.generation is not None:  # somebody else has begun it since we looked
            return None
        opened.become(state)
        # A journal that knows a later revision of it must not take the import for an old copy put back.
        opened.skip_to(max(export.revision, acknowledged))
        return opened.save()
    finally:
        opened.close()


def _merged(sessions: Sessions, export: Export, session: str, acknowledged: int, at: float) -> Imported:
    opened = sessions.open(session, acknowledged=acknowledged)
    try:
        base = _common(sessions, opened, export)
        theirs = {**export.document, "session": session}
        found = merge(base or {}, opened.state, theirs, at)
        if fingerprint(found.state) == fingerprint(opened.state):
            return Imported(session, Became.NOTHING, opened.revision, common=base is not None)
        opened.become(found.state)
        opened.save()
        return Imported(
            session, Became.MERGED, opened.revision, tuple(found.decisions), common=base is not None
        )
    finally:
        opened.close()


def _common(sessions: Sessions, opened: Session, export: Export) -> State | None:
    """Return the newest state here that the export's lineage names."""
    known = set(export.lineage)
    if f"{opened.revision}-{fingerprint(opened.state)}" in known:
        return opened.state
    recovery = sessions.recovery(opened.id)
    for generation in reversed(recovery.snapshots):
        if recovery.verify(generation) is None:
            found = recovery.run(generation=generation)
            if _mark(found) in known:
                return found.state
    return None


__all__ = [
    "BadExport",
    "Became",
    "Export",
    "ExportLocked",
    "ExportTooNew",
    "ExportWrongPassphrase",
    "Imported",
    "bring_in",
    "fingerprint",
    "gather",
    "is_sealed",
    "plain",
    "sealed",
    "unpack",
]
