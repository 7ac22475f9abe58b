r"""Bytes of one journal segment: a header, then records. Pure; raises nothing on garbage.

::

    header   magic 8 | version 2 | generation 8 | writer 8 | first seq 8 | marker 4 | checksum 4
    record   mark 4 | length 4 | seq 8 | checksum 4 | payload

All numbers are little-endian. Magic and version keep their place in every future version, so that
an older program can say "too new" instead of "broken". A record's checksum starts from its segment's
generation: a record carried into another segment, by a copied file or a reused disk block, is not
valid there.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

# A byte with the high bit, line ends of each kind and a control-Z: a copy made as text is noticed, as in PNG.
MAGIC = b"\x89RJ\r\n\x1a\n\x00"
VERSION = 1
# Last before the checksum: the header, and with it the segment's initial state, was written to its end.
MARKER = b"INIT"
MARK = b"\xf5Rc\x02"  # 0xF5 occurs in no UTF-8 text: payloads hardly ever look like a record's start

MAX_PAYLOAD_BYTES = 64 * 1024
# Searching behind damage is bounded: a segment made of nothing but marks would cost a checksum over
# 64 KiB for each. At this many, about a quarter of a second, the search ends with "damaged".
MAX_CANDIDATES = 4096

_PREFIX = struct.Struct("<8sH")
_HEADER = struct.Struct("<8sHQQQ4sI")
_RECORD = struct.Struct("<4sIQI")
_BODY = struct.Struct("<IQ")  # what of a record's head goes into its checksum
_SUM = struct.Struct("<I")
_GENERATION = struct.Struct("<Q")

HEADER_BYTES = _HEADER.size
RECORD_BYTES = _RECORD.size
MAX_NUMBER = 2**63 - 1  # generations and seqs stay far below; one more must still fit the field


class Ending(StrEnum):
    """How a segment's bytes end."""

    CLEAN = "clean"  # after a whole record, after the header, or before any byte
    TORN = "torn"  # in something incomplete or false, and nothing valid behind it
    DAMAGED = "damaged"  # something false, and valid records behind it; or not our segment at all
    TOO_NEW = "too new"  # written by a later version: nothing was read


@dataclass(frozen=True, slots=True)
class Header:
    """Who wrote a segment.

    Attributes:
        generation: the segment's number, also its file name.
        writer: the generation of the first segment of the same writer, which thereby names the writer.
        first_seq: no record in here is below it; it supersedes what earlier segments of the same writer
            hold from there on, because that was written again.
    """

    generation: int
    writer: int
    first_seq: int


@dataclass(frozen=True, slots=True)
class Record:
    """One whole record, at bytes `offset` to `end` of its segment."""

    seq: int
    payload: bytes
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the bytes of a segment say.

    Attributes:
        ending: how they end.
        header: None if it is not whole; then the segment does not count.
        records: the valid ones before anything false.
        good: bytes up to the end of the last of these.
        later: valid ones found behind damage by searching.
    """

    ending: Ending
    header: Header | None = None
    records: tuple[Record, ...] = ()
    good: int = 0
    later: tuple[Record, ...] = ()


def seed_of(generation: int) -> int:
    """Return what the checksums of a segment's records start from."""
    return zlib.crc32(_GENERATION.pack(generation))


def encode_header(header: Header) -> bytes:
    """Return the bytes a segment starts with."""
    start = _HEADER.pack(MAGIC, VERSION, header.generation, header.writer, header.first_seq, MARKER, 0)[:-4]
    return start + _SUM.pack(zlib.crc32(start))


def encode_record(seed: int, seq: int, payload: bytes) -> bytes:
    """Return one record's bytes; the payload must not exceed `MAX_PAYLOAD_BYTES`."""
    size = len(payload)
    checksum = zlib.crc32(payload, zlib.crc32(_BODY.pack(size, seq), seed))
    return _RECORD.pack(MARK, size, seq, checksum) + payload


def decode_header(data: bytes) -> Header | None:
    """Return the header if it is whole and of this version."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, generation, writer, first_seq, marker, checksum = _HEADER.unpack_from(data)
    whole = (magic, version, marker) == (MAGIC, VERSION, MARKER)
    if not whole or checksum != zlib.crc32(data[: HEADER_BYTES - 4]) or first_seq > MAX_NUMBER:
        return None
    return Header(generation, writer, first_seq)


def decode(data: bytes, generation: int) -> Decoded:
    """Read a whole segment.

    Args:
        data: its bytes.
        generation: the number its file name gives it.
    """
    if not data:
        return Decoded(Ending.CLEAN)
    if len(data) >= _PREFIX.size:
        magic, version = _PREFIX.unpack_from(data)
        if magic == MAGIC and version > VERSION:
            return Decoded(Ending.TOO_NEW)
    seed = seed_of(generation)
    header = decode_header(data)
    if header is None:
        return _broken(data, seed, None, (), 0)
    # A whole segment under a wrong name is somebody's copy, not a torn write.
    if header.generation != generation:
        return Decoded(Ending.DAMAGED)
    records: list[Record] = []
    offset, seq = HEADER_BYTES, header.first_seq - 1
    while record := _record_at(data, offset, seed, seq):
        records.append(record)
        offset, seq = record.end, record.seq
    if offset == len(data):
        return Decoded(Ending.CLEAN, header, tuple(records), offset)
    return _broken(data, seed, header, tuple(records), offset)


def _broken(data: bytes, seed: int, header: Header | None, records: tuple[Record, ...], good: int) -> Decoded:
    after = records[-1].seq if records else -1
    later, exhausted = _search(data, good, seed, after)
    ending = Ending.DAMAGED if later or exhausted else Ending.TORN
    return Decoded(ending, header, records, good, later)


def _record_at(data: bytes, offset: int, seed: int, after: int) -> Record | None:
    """Return the record at `offset` if it is whole, true, and numbered above `after`."""
    start = offset + RECORD_BYTES
    if start > len(data):
        return None
    mark, size, seq, checksum = _RECORD.unpack_from(data, offset)
    end = start + size
    # The length is believed only within these bounds, so that a false one costs nothing.
    if mark != MARK or size > MAX_PAYLOAD_BYTES or end > len(data) or not after < seq <= MAX_NUMBER:
        return None
    payload = data[start:end]
    if checksum != zlib.crc32(payload, zlib.crc32(data[offset + 4 : offset + 16], seed)):
        return None
    return Record(seq, payload, offset, end)


def _search(data: bytes, offset: int, seed: int, after: int) -> tuple[tuple[Record, ...], bool]:
    """Look for valid records from `offset` on; also say whether the search was given up."""
    found: list[Record] = []
    candidates = 0
    while (offset := data.find(MARK, offset)) >= 0:
        record = _record_at(data, offset, seed, after)
        if record is None:
            candidates += 1
            if candidates > MAX_CANDIDATES:
                return tuple(found), True
            offset += 1
        else:
            found.append(record)
            offset, after = record.end, record.seq
    return tuple(found), False
