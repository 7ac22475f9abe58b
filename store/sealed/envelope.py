"""The bytes of a sealed file, without any key: what frames what, and what garbage is recognised by.

    magic 8 | version u16 | header size u32 | header, canonical JSON | CRC-32 | MAC 32 | records
    record: size of the box u32 | number u64 | box

The MAC needs a key and is checked in `store.sealed.sealing`; the CRC needs none. It is there to tell a
damaged header from a wrong key: without it both would only be "does not open".
Magic and version stay where they are for ever, so that every version can say "too new".
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from store.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAGIC = b"\x89RS\r\n\x1a\n\x00"
"""As PNG's: a bit above ASCII, both line ends and a zero, each damaged by a different careless copy."""

VERSION = 1
MAX_HEADER_BYTES = 16 * 1024
"""A header is read before anything is known to be true, so it must be cheap to refuse."""

MAX_PLAINTEXT_BYTES = 16 * 1024 * 1024
"""Twice what a document may have in memory; a box that would give more is refused while it unpacks."""

MAX_BOX_BYTES = MAX_PLAINTEXT_BYTES + 1024
"""What does not shrink is kept as it is, with a byte that says so and the tag."""

MAX_WRAPS = 8
"""One key, two while rotating; the rest is room for a passphrase or a second machine."""

MAX_NAME_CHARS = 64
MAX_NUMBER = 2**63 - 1
"""Generations and numbers fit into SQLite's and everybody's signed integers."""

TAG_BYTES = 16
MAC_BYTES = 32

_PREFIX = struct.Struct("<8sHI")
_CRC = struct.Struct("<I")
_FRAME = struct.Struct("<IQ")

_SOMETHING = re.compile(rb"[^\0]")

FRAME_BYTES = _FRAME.size
MIN_BOX_BYTES = TAG_BYTES + 1
"""Nothing still has the byte that says how it is packed."""

HEX = frozenset("0123456789abcdef")


class Kind(StrEnum):
    """What a sealed file is for."""

    SNAPSHOT = "snapshot"
    EDITS = "edits"
    CREDENTIALS = "credentials"
    EXPORT = "export"


class Expected(NamedTuple):
    """Which file somebody means to open."""

    kind: Kind
    session: str
    generation: int


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Which file this is; bound into everything sealed in it.

    Attributes:
        kind: what it is for.
        session: the session's id, or any other name of at most 64 characters.
        generation: which of the session's generations.
        file: 32 hex digits of this file alone.
    """

    kind: Kind
    session: str
    generation: int
    file: str


class Named(Protocol):
    """`Expected` or `FileIdentity`: what the opener expects the header to say."""

    @property
    def kind(self) -> Kind:
        """What it is for."""

    @property
    def session(self) -> str:
        """Whose it is."""

    @property
    def generation(self) -> int:
        """Which of the generations."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """The file key, sealed under one master key."""

    key: str
    box: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a sealed file says; true only once its MAC is checked.

    Attributes:
        identity: which file it says it is.
        about: small plaintext for listings.
        wraps: the file key, once per master key.
    """

    identity: FileIdentity
    about: dict[str, Json]
    wraps: tuple[Wrap, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """A header and where it stands.

    Attributes:
        header: what it says.
        covered: the bytes under the MAC.
        mac: what the MAC is said to be.
        size: where the records begin.
    """

    header: Header
    covered: bytes
    mac: bytes
    size: int


@dataclass(frozen=True, slots=True)
class HeaderProblem:
    """Why no header can be read.

    Attributes:
        outcome: corrupt or too new.
        detail: what is wrong.
    """

    outcome: Outcome
    detail: str


def canonical(value: Json) -> bytes:
    """Return the one JSON text of a value; `ValueError` if there is none."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def covered_bytes(fields: dict[str, Json]) -> bytes:
    """Return a head up to its MAC; `ValueError` if it is too large or no JSON."""
    text = canonical(fields)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"a header of {len(text)} bytes, of {MAX_HEADER_BYTES} allowed")
    head = _PREFIX.pack(MAGIC, VERSION, len(text)) + text
    return head + _CRC.pack(zlib.crc32(head))


def header_fields(header: Header) -> dict[str, Json]:
    """Return a header as the JSON object in the file."""
    identity = header.identity
    return {
        "kind": identity.kind.value,
        "session": identity.session,
        "generation": identity.generation,
        "file": identity.file,
        "about": header.about,
        "wraps": wrap_fields(header.wraps),
    }


def wrap_fields(wraps: Iterable[Wrap]) -> list[Json]:
    """Return wraps as they stand in the header."""
    return [{"key": wrap.key, "box": b64encode(wrap.box).decode()} for wrap in wraps]


def read_header(data: bytes) -> Header | HeaderProblem:
    """Return what the head of a file says, without a key. Never raises."""
    head = read_head(data)
    return head if isinstance(head, HeaderProblem) else head.header


def read_head(data: bytes) -> Head | HeaderProblem:
    """Return the head of a file and where its parts stand. Never raises."""
    if len(data) < _PREFIX.size:
        return HeaderProblem(Outcome.CORRUPT, "too short")
    magic, version, size = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        return HeaderProblem(Outcome.CORRUPT, "not a sealed file")
    if version != VERSION:
        as_ours = _head(_PREFIX.pack(MAGIC, VERSION, size) + data[_PREFIX.size :], size)
        if version < VERSION or isinstance(as_ours, Head):
            return HeaderProblem(Outcome.CORRUPT, "its version number is damaged")
        return HeaderProblem(Outcome.TOO_NEW, f"format {version}; this version reads up to {VERSION}")
    head = _head(data, size)
    return head if isinstance(head, Head) else HeaderProblem(Outcome.CORRUPT, head)


def _head(data: bytes, size: int) -> Head | str:
    """Return the head of a file of this version, or what is wrong with it."""
    ends = _PREFIX.size + size
    begins = ends + _CRC.size + MAC_BYTES
    if size > MAX_HEADER_BYTES:
        return "its header claims to be too large"
    if len(data) < begins:
        return "cut off in its header"
    if zlib.crc32(data[:ends]) != _CRC.unpack_from(data, ends)[0]:
        return "its header is damaged"
    header = _parsed(data[_PREFIX.size : ends])
    if header is None:
        return "its header makes no sense"
    return Head(header, data[: ends + _CRC.size], data[ends + _CRC.size : begins], begins)


def fields_of(head: Head) -> dict[str, Json]:
    """Return the JSON object of a head that was read, with fields this version does not know."""
    fields: dict[str, Json] = json.loads(head.covered[_PREFIX.size : -_CRC.size])
    return fields


def _parsed(text: bytes) -> Header | None:
    try:
        fields = json.loads(text.decode())
        if not isinstance(fields, dict) or canonical(fields) != text:
            return None
        return _header(fields)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _header(fields: dict[str, Json]) -> Header | None:
    kind, session, generation, file = (fields[name] for name in ("kind", "session", "generation", "file"))
    about, wraps = fields["about"], fields["wraps"]
    if not (isinstance(kind, str) and isinstance(about, dict) and isinstance(wraps, list)):
        return None
    if not isinstance(generation, int) or not isinstance(session, str) or not isinstance(file, str):
        return None
    identity = FileIdentity(Kind(kind), session, generation, file)
    if identity_problem(identity) or not 1 <= len(wraps) <= MAX_WRAPS:
        return None
    return Header(identity, about, tuple(_wrap(wrap) for wrap in wraps))


def _wrap(value: Json) -> Wrap:
    if not isinstance(value, dict):
        raise TypeError(value)
    key, box = value["key"], value["box"]
    if not isinstance(key, str) or not isinstance(box, str) or not 1 <= len(key) <= MAX_NAME_CHARS:
        raise TypeError(value)
    return Wrap(key, b64decode(box, validate=True))


def identity_problem(identity: FileIdentity) -> str:
    """Return what is wrong with an identity; empty if nothing."""
    if len(identity.session) > MAX_NAME_CHARS:
        return "the session's name is too long"
    if isinstance(identity.generation, bool) or not 0 <= identity.generation <= MAX_NUMBER:
        return "the generation is no natural number"
    if len(identity.file) != 2 * 16 or not HEX.issuperset(identity.file):
        return "the file's id is not 32 hex digits"
    return ""


# -- records ---------------------------------------------------------------------------


class Frame(NamedTuple):
    """Where one record stands.

    Attributes:
        number: what number it claims to be.
        start: where its box begins.
        end: where the next record begins.
    """

    number: int
    start: int
    end: int


def frame_bytes(number: int, box: bytes) -> bytes:
    """Return a record."""
    return _FRAME.pack(len(box), number) + box


def frame_at(data: bytes, offset: int) -> Frame | None:
    """Return the frame that begins there, if a whole one can."""
    if offset < 0 or offset + FRAME_BYTES > len(data):
        return None
    size, number = _FRAME.unpack_from(data, offset)
    start = offset + FRAME_BYTES
    if not MIN_BOX_BYTES <= size <= MAX_BOX_BYTES or start + size > len(data):
        return None
    return Frame(number, start, start + size)


def frames_from(data: bytes, offset: int) -> Iterable[Frame]:
    """Yield the frames that follow each other from there on."""
    while frame := frame_at(data, offset):
        yield frame
        offset = frame.end


def later_frame(data: bytes, offset: int, lowest: int, highest: int) -> Frame | None:
    """Return the first thing at or behind `offset` that looks like a record numbered in that range.

    Length and number are in plain sight. Random bytes look like it about once in 2**40 places, zeros never.
    """
    places = {struct.pack("<Q", number)[3:] for number in (lowest, highest)}
    found = [frame for high in places if (frame := _frame_with(data, offset, high, lowest, highest))]
    return min(found, key=lambda frame: frame.start, default=None)


def _frame_with(data: bytes, offset: int, high: bytes, lowest: int, highest: int) -> Frame | None:
    """Return the first such record whose number has these upper five bytes."""
    before = FRAME_BYTES - len(high)
    place = data.find(high, offset + before)
    while place >= 0:
        frame = frame_at(data, place - before)
        if frame and lowest <= frame.number <= highest:
            return frame
        if not any(data[place - before : place + len(high)]):
            # Zeros, perhaps many: no record begins before the last few of them.
            something = _SOMETHING.search(data, place)
            place = max(place, (something.start() if something else len(data)) - FRAME_BYTES)
        place = data.find(high, place + 1)
    return None
