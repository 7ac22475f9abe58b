"""Sealing and opening whole files: nothing is believed that its key does not vouch for.

Each file has a key of its own, made when the file is made and kept in its header, sealed under one master
key or two. Records are numbered, and each is bound to the file's identity, its number and the tag of the
record before it: what was swapped, replayed or reordered does not open. The master keys' boxes are not
bound to the records, so that a new master key costs a new header and nothing else.

A log cut off exactly between two records is a log with fewer records: nothing in the file can tell. Whoever
acknowledged the missing ones has to remember their number elsewhere.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from store.outcomes import Corrupt, MissingKey, Outcome, Reordered, SessionError, TooNew, WrongKey
from store.sealed.boxes import KEY_BYTES, NO_TAG, NONCE_BYTES, Box, mac_of, sealed_key, unsealed_key
from store.sealed.envelope import (
    FRAME_BYTES,
    MAX_NUMBER,
    MAX_WRAPS,
    MIN_BOX_BYTES,
    TAG_BYTES,
    FileIdentity,
    Head,
    Header,
    HeaderProblem,
    Json,
    Named,
    Wrap,
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

Entropy: TypeAlias = "Callable[[int], bytes]"
KeyOf: TypeAlias = "Callable[[str], MasterKey | None]"

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
    return head + frame_bytes(0, Box(file_key, identity).seal(0, plaintext, NO_TAG, final=True))


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
        self._box = Box(file_key, identity)
        self._tag = NO_TAG

    def seal(self, number: int, plaintext: bytes) -> bytes:
        """Return the record with the next number.

        Raises:
            ValueError: another number is next, or the text is too large.
        """
        if number != self.next_number or number > MAX_NUMBER:
            raise ValueError(f"record {number}, but {self.next_number} is next")
        box = self._box.seal(number, plaintext, self._tag, final=False)
        self.next_number += 1
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
    return covered + mac_of(file_key, covered) + data[head.size :]


# -- reading ---------------------------------------------------------------------------


def peek(data: bytes) -> Header | None:
    """Return what the head of a file claims, without any key; None if it cannot be read."""
    header = read_header(data)
    return None if isinstance(header, HeaderProblem) else header


def check_header(data: bytes, key_of: KeyOf, *, path: Path | None = None) -> Header:
    """Return the header of a file, whichever it is, after its key has vouched for it.

    Raises:
        SessionError: as `open_snapshot`, but for the order.
    """
    head = _true_head(data, path)
    _file_key(head, key_of, path)
    return head.header


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
    box = Box(file_key, head.header.identity)
    plaintext = box.open(0, data[frame.start : frame.end], NO_TAG, final=True)
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
    box = Box(file_key, head.header.identity)
    records: list[LogRecord] = []
    good, tag, number = head.size, NO_TAG, first
    while (frame := frame_at(data, good)) and frame.number == number:
        plaintext = box.open(number, data[frame.start : frame.end], tag, final=False)
        if plaintext is None:
            break
        records.append(LogRecord(number, plaintext, frame.end))
        good, tag, number = frame.end, data[frame.end - TAG_BYTES : frame.end], number + 1
    ending: Ending = Ending.CLEAN
    outcome: Outcome | None = None
    if good < len(data):
        ending, outcome = _ending(box, data, begins=head.size, good=good, first=first, number=number)
    return LogRead(head.header, tuple(records), good, ending, outcome)


def _ending(
    box: Box, data: bytes, *, begins: int, good: int, first: int, number: int
) -> tuple[Ending, Outcome | None]:
    """Tell a torn end, where record `number` should be, from damage and from another order."""
    highest = min(number + (len(data) - good) // (FRAME_BYTES + MIN_BOX_BYTES), MAX_NUMBER)
    here = frame_at(data, good)
    if here and here.number != number and first <= here.number <= highest:
        # It may have been sealed behind any of the records that are here.
        tags = [NO_TAG, *(data[frame.end - TAG_BYTES : frame.end] for frame in frames_from(data, begins))]
        sealed = data[here.start : here.end]
        if any(box.open(here.number, sealed, tag, final=False) is not None for tag in tags[:_TRIES]):
            return Ending.DAMAGED, Outcome.REORDERED
        return Ending.DAMAGED, Outcome.CORRUPT
    if highest > number and later_frame(data, good + 1, number + 1, highest):
        return Ending.DAMAGED, Outcome.CORRUPT
    return Ending.TORN, None


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
    return covered + mac_of(file_key, covered)


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
        file_key = unsealed_key(identity, wrap.box, wrap.key, key.secret)
        if file_key is None:
            continue
        if not hmac.compare_digest(mac_of(file_key, head.covered), head.mac):
            raise Corrupt(_WHAT, path, "its header was changed")
        return file_key
    if tried:
        raise WrongKey(_WHAT, path, f"key {', '.join(tried)}")
    raise MissingKey(_WHAT, path, f"key {', '.join(wrap.key for wrap in head.header.wraps)}")


def _wrapped(identity: FileIdentity, file_key: bytes, key: MasterKey, entropy: Entropy) -> Wrap:
    return Wrap(key.id, sealed_key(identity, file_key, key.id, key.secret, entropy(NONCE_BYTES)))


def _first(about: dict[str, Json]) -> int | None:
    first = about.get("first")
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first <= MAX_NUMBER:
        return None
    return first
