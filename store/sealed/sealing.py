"""Sealing and opening whole files: nothing is believed that its key does not vouch for.

Each file has a key of its own, made when the file is made and kept in its header, sealed under one master
key or two. Records are numbered, and each is bound to the file's identity, its number and the tag of the
record before it: what was swapped, replayed or reordered does not open. The master keys' boxes are not
bound to the records, so that a new master key costs a new header and nothing else.

A log cut off exactly between two records is a log with fewer records: nothing in the file can tell. Whoever
acknowledged the missing ones has to remember their number elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from store.outcomes import Corrupt, MissingKey, Outcome, Reordered, SessionError, TooNew, WrongKey
from store.sealed.envelope import (
    FRAME_BYTES,
    MAX_NUMBER,
    MAX_PLAINTEXT_BYTES,
    MAX_WRAPS,
    MIN_BOX_BYTES,
    TAG_BYTES,
    VERSION,
    FileIdentity,
    Frame,
    Head,
    Header,
    HeaderProblem,
    Json,
    Kind,
    Named,
    Wrap,
    canonical,
    covered_bytes,
    fields_of,
    frame_at,
    frame_bytes,
    frames_from,
    header_fields,
    identity_problem,
    later_frame,
    read_head,
    read_header,
    wrap_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Entropy: TypeAlias = "Callable[[int], bytes]"
KeyOf: TypeAlias = "Callable[[str], MasterKey | None]"

KEY_BYTES = 32
NONCE_BYTES = 12
COMPRESSION_LEVEL = 1
SMALL_BYTES = 96
"""Shorter than this, zlib's own bytes eat what it saves."""

_NO_TAG = bytes(TAG_BYTES)
_PLAIN, _DEFLATED = b"\0", b"\1"
_WHAT = "open a sealed file"
_TRIES = 1024
"""How many orders are tried before a false record is called damaged instead of reordered."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One of the keys that open file keys.

    Attributes:
        id: 16 hex digits, in plain sight.
        secret: 32 bytes, shown nowhere.
    """

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """A snapshot that is whole and true."""

    header: Header
    plaintext: bytes = field(repr=False)


class Ending(StrEnum):
    """How a log ends."""

    CLEAN = "clean"
    TORN = "torn"
    """The last record is false, and nothing behind it looks like one: what a writer's death leaves."""
    DAMAGED = "damaged"
    """Something that looks like a record stands behind a false one, or out of its order."""


class LogRecord(NamedTuple):
    """One record of a log, and where in the file it ends."""

    number: int
    plaintext: bytes
    end: int


@dataclass(frozen=True, slots=True)
class LogRead:
    """What a log says as far as it is true.

    Attributes:
        header: whose log it is.
        records: every record up to the first false one.
        good: how many bytes of the file are true.
        ending: how it ends.
        outcome: corrupt or reordered, if it is damaged.
    """

    header: Header
    records: tuple[LogRecord, ...] = field(repr=False)
    good: int
    ending: Ending
    outcome: Outcome | None = None


# -- writing ---------------------------------------------------------------------------


def seal_snapshot(
    identity: FileIdentity,
    about: dict[str, Json],
    plaintext: bytes,
    keys: Sequence[MasterKey],
    entropy: Entropy,
) -> bytes:
    """Return a whole file that holds `plaintext`.

    Raises:
        ValueError: the text is too large, the header is, or there is no key: the caller's mistake.
    """
    file_key = entropy(KEY_BYTES)
    head = _new_head(identity, about, keys, file_key, entropy)
    packed = _packed(plaintext)
    box = _gcm(file_key).encrypt(_nonce(0), packed, _bound(identity, 0, _NO_TAG, final=True))
    return head + frame_bytes(0, box)


class LogWriter:
    """Seals the records of one new log, in order.

    No number is sealed twice, whatever becomes of the bytes: a second text under one number would give
    both away. When a write failed, go on in a new file.

    Attributes:
        header: the beginning of the file.
        next_number: the number the next record must have.
    """

    def __init__(
        self, identity: FileIdentity, about: dict[str, Json], keys: Sequence[MasterKey], entropy: Entropy
    ) -> None:
        """Make a file key.

        Args:
            identity: whose log it will be.
            about: plaintext for listings; ``first`` is the number of the first record.
            keys: the master keys that will open it.
            entropy: gives random bytes.

        Raises:
            ValueError: ``first`` is no number, the header is too large, or there is no key.
        """
        first = _first(about)
        if first is None:
            raise ValueError('"first" is no number of a record')
        file_key = entropy(KEY_BYTES)
        self.next_number = first
        self.header = _new_head(identity, about, keys, file_key, entropy)
        self._identity = identity
        self._gcm = _gcm(file_key)
        self._tag = _NO_TAG

    def seal(self, number: int, plaintext: bytes) -> bytes:
        """Return the record with the next number.

        Raises:
            ValueError: another number is next, or the text is too large.
        """
        if number != self.next_number or number > MAX_NUMBER:
            raise ValueError(f"record {number}, but {self.next_number} is next")
        packed = _packed(plaintext)
        self.next_number += 1
        bound = _bound(self._identity, number, self._tag, final=False)
        box = self._gcm.encrypt(_nonce(number), packed, bound)
        self._tag = box[-TAG_BYTES:]
        return frame_bytes(number, box)


def rewrap(
    data: bytes,
    add: MasterKey | None,
    drop: str | None,
    key_of: KeyOf,
    entropy: Entropy,
    *,
    path: Path | None = None,
) -> bytes:
    """Return the file with one more master key, one less, or both; its records stay as they are.

    Raises:
        SessionError: as `open_snapshot`; nothing that is not true is sealed anew.
        ValueError: no key would be left, or too many.
    """
    head = _true_head(data, path)
    file_key = _file_key(head, key_of, path)
    kept = [wrap for wrap in head.header.wraps if wrap.key != drop and (add is None or wrap.key != add.id)]
    if add is not None:
        kept.append(_wrapped(head.header.identity, file_key, add, entropy))
    if not 1 <= len(kept) <= MAX_WRAPS:
        raise ValueError(f"{len(kept)} master keys")
    covered = covered_bytes({**fields_of(head), "wraps": wrap_fields(kept)})
    return covered + _mac(file_key, covered) + data[head.size :]


# -- reading ---------------------------------------------------------------------------


def peek(data: bytes) -> Header | None:
    """Return what the head of a file claims, without any key; None if it cannot be read."""
    header = read_header(data)
    return None if isinstance(header, HeaderProblem) else header


def open_snapshot(data: bytes, expected: Named, key_of: KeyOf, *, path: Path | None = None) -> Opened:
    """Return what a file holds.

    Args:
        data: the whole file.
        expected: which file it has to be.
        key_of: returns the master key of that id, None if there is none.
        path: where it was read, for the errors.

    Raises:
        TooNew: a later version wrote it.
        Corrupt: it is not what was written.
        Reordered: it is another file, and a true one.
        MissingKey: none of the keys it names is there.
        WrongKey: a key of that name is there and does not open it.
    """
    head, file_key = _opened_head(data, expected, key_of, path)
    frame = frame_at(data, head.size)
    if frame is None or frame.end != len(data) or frame.number != 0:
        raise Corrupt(_WHAT, path, "its length is not what was written")
    bound = _bound(head.header.identity, 0, _NO_TAG, final=True)
    plaintext = _unboxed(_gcm(file_key), data, frame, bound)
    if plaintext is None:
        raise Corrupt(_WHAT, path, "its contents are damaged")
    return Opened(head.header, plaintext)


def read_log(data: bytes, expected: Named, key_of: KeyOf, *, path: Path | None = None) -> LogRead:
    """Return the records of a log up to the first false one.

    Raises:
        SessionError: as `open_snapshot`, for the header.
    """
    head, file_key = _opened_head(data, expected, key_of, path)
    first = _first(head.header.about)
    if first is None:
        raise Corrupt(_WHAT, path, "its first number is missing")
    gcm, identity = _gcm(file_key), head.header.identity
    records: list[LogRecord] = []
    good, tag, number = head.size, _NO_TAG, first
    while frame := frame_at(data, good):
        plaintext = None
        if frame.number == number:
            plaintext = _unboxed(gcm, data, frame, _bound(identity, number, tag, final=False))
        if plaintext is None:
            break
        records.append(LogRecord(number, plaintext, frame.end))
        good, tag, number = frame.end, data[frame.end - TAG_BYTES : frame.end], number + 1
    if good == len(data):
        return LogRead(head.header, tuple(records), good, Ending.CLEAN)
    ending, outcome = Ending.TORN, None
    stray = _stray(data, good, first, number)
    if stray:
        ending, outcome = Ending.DAMAGED, Outcome.CORRUPT
        tags = (data[frame.end - TAG_BYTES : frame.end] for frame in frames_from(data, head.size))
        if _is_true(gcm, data, stray, identity, [_NO_TAG, *tags][:_TRIES]):
            outcome = Outcome.REORDERED
    return LogRead(head.header, tuple(records), good, ending, outcome)


def _stray(data: bytes, good: int, first: int, number: int) -> Frame | None:
    """Return what looks like a record where none, or another one, is expected."""
    highest = min(number + (len(data) - good) // (FRAME_BYTES + MIN_BOX_BYTES), MAX_NUMBER)
    here = frame_at(data, good)
    if here and first <= here.number <= highest and here.number != number:
        return here
    return later_frame(data, good + 1, number + 1, highest) if highest > number else None


def _is_true(gcm: AESGCM, data: bytes, frame: Frame, identity: FileIdentity, tags: Sequence[bytes]) -> bool:
    """Tell whether the record was sealed for this file, behind any of the records that are in it."""
    bounds = (_bound(identity, frame.number, tag, final=False) for tag in tags)
    return any(_unboxed(gcm, data, frame, bound) is not None for bound in bounds)


# -- heads -----------------------------------------------------------------------------


def _new_head(
    identity: FileIdentity,
    about: dict[str, Json],
    keys: Sequence[MasterKey],
    file_key: bytes,
    entropy: Entropy,
) -> bytes:
    problem = identity_problem(identity)
    if problem or not 1 <= len(keys) <= MAX_WRAPS:
        raise ValueError(problem or f"{len(keys)} master keys")
    wraps = tuple(_wrapped(identity, file_key, key, entropy) for key in keys)
    covered = covered_bytes(header_fields(Header(identity, about, wraps)))
    return covered + _mac(file_key, covered)


def _opened_head(data: bytes, expected: Named, key_of: KeyOf, path: Path | None) -> tuple[Head, bytes]:
    head = _true_head(data, path)
    file_key = _file_key(head, key_of, path)
    identity = head.header.identity
    said = (identity.kind, identity.session, identity.generation)
    if said != (expected.kind, expected.session, expected.generation):
        raise Reordered(
            _WHAT, path, f"it is the {identity.kind} {identity.generation} of {identity.session!r}"
        )
    return head, file_key


def _true_head(data: bytes, path: Path | None) -> Head:
    head = read_head(data)
    if isinstance(head, HeaderProblem):
        raised: type[SessionError] = TooNew if head.outcome is Outcome.TOO_NEW else Corrupt
        raise raised(_WHAT, path, head.detail)
    return head


def _file_key(head: Head, key_of: KeyOf, path: Path | None) -> bytes:
    """Return the file key, after it has vouched for the header."""
    identity = head.header.identity
    tried: list[str] = []
    for wrap in head.header.wraps:
        key = key_of(wrap.key)
        if key is None:
            continue
        tried.append(wrap.key)
        file_key = _unwrapped(identity, wrap, key)
        if file_key is None:
            continue
        if not hmac.compare_digest(_mac(file_key, head.covered), head.mac):
            raise Corrupt(_WHAT, path, "its header was changed")
        return file_key
    if tried:
        raise WrongKey(_WHAT, path, f"key {', '.join(tried)}")
    raise MissingKey(_WHAT, path, f"key {', '.join(wrap.key for wrap in head.header.wraps)}")


def _wrapped(identity: FileIdentity, file_key: bytes, key: MasterKey, entropy: Entropy) -> Wrap:
    nonce = entropy(NONCE_BYTES)
    return Wrap(key.id, nonce + _gcm(key.secret).encrypt(nonce, file_key, _wrap_bound(identity, key.id)))


def _unwrapped(identity: FileIdentity, wrap: Wrap, key: MasterKey) -> bytes | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- costs 9 ms, paid when first used

    if len(wrap.box) != NONCE_BYTES + KEY_BYTES + TAG_BYTES:
        return None
    nonce, box = wrap.box[:NONCE_BYTES], wrap.box[NONCE_BYTES:]
    try:
        return _gcm(key.secret).decrypt(nonce, box, _wrap_bound(identity, wrap.key))
    except InvalidTag:
        return None


def _first(about: dict[str, Json]) -> int | None:
    first = about.get("first")
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first <= MAX_NUMBER:
        return None
    return first


# -- cryptography ----------------------------------------------------------------------


def _gcm(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 -- 9 ms, paid when first used
        AESGCM,
    )

    return AESGCM(key)


def _mac(file_key: bytes, covered: bytes) -> bytes:
    return hmac.digest(hmac.digest(file_key, b"header", hashlib.sha256), covered, hashlib.sha256)


def _nonce(number: int) -> bytes:
    """Return the record's nonce: the file key is new, and numbers only grow."""
    return struct.pack("<IQ", 0, number)


def _identity_bytes(identity: FileIdentity) -> bytes:
    return canonical([VERSION, identity.kind.value, identity.session, identity.generation, identity.file])


def _bound(identity: FileIdentity, number: int, tag: bytes, *, final: bool) -> bytes:
    """Return what a record is bound to: where it belongs and what stands before it."""
    return _identity_bytes(identity) + struct.pack("<Q16sB", number, tag, final)


def _wrap_bound(identity: FileIdentity, key_id: str) -> bytes:
    return canonical(["wrap", key_id]) + _identity_bytes(identity)


def _unboxed(gcm: AESGCM, data: bytes, frame: Frame, bound: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- costs 9 ms, paid when first used

    try:
        packed = gcm.decrypt(_nonce(frame.number), data[frame.start : frame.end], bound)
    except InvalidTag:
        return None
    return _unpacked(packed)


# -- packing ---------------------------------------------------------------------------


def _packed(plaintext: bytes) -> bytes:
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise ValueError(f"{len(plaintext)} bytes, of {MAX_PLAINTEXT_BYTES} allowed")
    if len(plaintext) >= SMALL_BYTES:
        deflated = zlib.compress(plaintext, COMPRESSION_LEVEL)
        if len(deflated) < len(plaintext):
            return _DEFLATED + deflated
    return _PLAIN + plaintext


def _unpacked(packed: bytes) -> bytes | None:
    """Return what was packed; None if that would be too much, or it was not packed here."""
    how, rest = packed[:1], packed[1:]
    if how == _PLAIN:
        return rest if len(rest) <= MAX_PLAINTEXT_BYTES else None
    if how != _DEFLATED:
        return None
    inflating = zlib.decompressobj()
    try:
        plaintext = inflating.decompress(rest, MAX_PLAINTEXT_BYTES + 1)
    except zlib.error:
        return None
    whole = inflating.eof and not inflating.unused_data
    return plaintext if whole and len(plaintext) <= MAX_PLAINTEXT_BYTES else None


__all__ = [
    "Ending",
    "Entropy",
    "FileIdentity",
    "Kind",
    "LogRead",
    "LogRecord",
    "LogWriter",
    "MasterKey",
    "Opened",
    "open_snapshot",
    "peek",
    "read_log",
    "rewrap",
    "seal_snapshot",
]
