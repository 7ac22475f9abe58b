"""Journal bytes: everything written is read back, and nothing else is ever believed."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.framing import (
    HEADER_BYTES,
    MAGIC,
    MARK,
    MAX_NUMBER,
    MAX_PAYLOAD_BYTES,
    RECORD_BYTES,
    Decoded,
    Ending,
    Header,
    decode,
    decode_header,
    encode_header,
    encode_record,
    seed_of,
)

GENERATION = 7
SEED = seed_of(GENERATION)
HEADER = Header(GENERATION, writer=99, first_seq=10)


def segment(*payloads: bytes, header: Header = HEADER) -> bytes:
    """Return a whole segment holding `payloads`."""
    seed = seed_of(header.generation)
    parts = [encode_record(seed, header.first_seq + n, payload) for n, payload in enumerate(payloads)]
    return encode_header(header) + b"".join(parts)


def payloads(decoded: Decoded) -> list[bytes]:
    """Return what a decoded segment holds."""
    return [record.payload for record in decoded.records]


numbers = st.integers(0, MAX_NUMBER)


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(0, 2**40), numbers, st.integers(0, 2**40))
def test_what_is_written_is_read_back(contents: list[bytes], generation: int, writer: int, seq: int) -> None:
    """Header, payloads and numbers come back as given, and the segment ends clean."""
    header = Header(generation, writer, seq)
    data = segment(*contents, header=header)
    decoded = decode(data, generation)
    assert (decoded.ending, decoded.header, decoded.good) == (Ending.CLEAN, header, len(data))
    assert payloads(decoded) == contents
    assert [record.seq for record in decoded.records] == [seq + n for n in range(len(contents))]


def test_largest_payload_is_read_back_and_a_larger_one_is_not_believed() -> None:
    """The limit is exact, whatever length a record claims."""
    assert payloads(decode(segment(b"x" * MAX_PAYLOAD_BYTES), GENERATION)) == [b"x" * MAX_PAYLOAD_BYTES]
    too_large = decode(segment(b"x" * (MAX_PAYLOAD_BYTES + 1)), GENERATION)
    assert (too_large.ending, too_large.records) == (Ending.TORN, ())


def test_nothing_is_clean() -> None:
    """A file made but not written to holds nothing, and nothing is wrong with it."""
    assert decode(b"", GENERATION) == Decoded(Ending.CLEAN)


def test_a_segment_cut_anywhere_gives_the_records_that_are_whole() -> None:
    """Whatever part of a write reached the disk, its whole records count; without a whole header, none."""
    contents = [b"first", b"", b"third one"]
    data = segment(*contents)
    ends = [record.end for record in decode(data, GENERATION).records]
    for size in range(1, len(data)):
        decoded = decode(data[:size], GENERATION)
        whole = sum(end <= size for end in ends)
        assert payloads(decoded) == contents[:whole]
        if size < HEADER_BYTES:
            assert (decoded.ending, decoded.header, decoded.good) == (Ending.TORN, None, 0)
        else:
            at_end = size in (HEADER_BYTES, *ends)
            assert decoded.ending is (Ending.CLEAN if at_end else Ending.TORN)
            assert decoded.good == max(end for end in (HEADER_BYTES, *ends) if end <= size)


@pytest.mark.parametrize("filler", [b"\0", b"\xff", MARK])
def test_filler_behind_the_last_record_is_a_torn_tail(filler: bytes) -> None:
    """A file whose length reached the disk before its bytes ends torn, not damaged."""
    data = segment(b"one", b"two")
    for size in (1, 19, 20, 21, 4096):
        decoded = decode(data + (filler * size)[:size], GENERATION)
        assert (decoded.ending, decoded.good, decoded.later) == (Ending.TORN, len(data), ())
        assert payloads(decoded) == [b"one", b"two"]


def test_any_changed_bit_is_noticed() -> None:
    """Records before a changed bit are kept; valid ones behind it make it damage, else it is a torn tail."""
    contents = [b"first", b"second", b"third"]
    data = segment(*contents)
    records = decode(data, GENERATION).records
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            decoded = decode(bytes(changed), GENERATION)
            if len(MAGIC) <= position < len(MAGIC) + 2:  # no way to tell a changed version from another one
                assert decoded.ending in (Ending.TOO_NEW, Ending.DAMAGED)
                assert decoded.records == ()
                continue
            before = sum(record.end <= position for record in records) if position >= HEADER_BYTES else 0
            assert payloads(decoded) == contents[:before]
            in_last = position >= records[-1].offset
            assert decoded.ending is (Ending.TORN if in_last else Ending.DAMAGED)
            behind = contents[before + 1 :] if position >= HEADER_BYTES else contents
            assert [record.payload for record in decoded.later] == behind


def test_later_versions_are_recognised_and_left_unread() -> None:
    """Whatever a later version looks like behind its version number, it is "too new", not "broken"."""
    for rest in (b"", b"\0" * 200, segment(b"x")[10:]):
        decoded = decode(MAGIC + struct.pack("<H", 2) + rest, GENERATION)
        assert decoded == Decoded(Ending.TOO_NEW)


def test_a_record_of_another_segment_is_not_valid_here() -> None:
    """Bytes that moved between segments, with their files or by reused disk blocks, are not believed."""
    stranger = encode_record(seed_of(GENERATION + 1), 12, b"stranger")
    decoded = decode(segment(b"one") + stranger, GENERATION)
    assert (decoded.ending, payloads(decoded)) == (Ending.TORN, [b"one"])


def test_a_segment_under_a_wrong_name_is_damage_not_a_torn_write() -> None:
    """Somebody's copy is kept as it is: nothing about it was being written when it stopped."""
    decoded = decode(segment(b"one"), GENERATION + 1)
    assert (decoded.ending, decoded.records, decoded.good) == (Ending.DAMAGED, (), 0)


def test_repeated_records_are_not_replayed_twice() -> None:
    """Sequence numbers grow; a block of records that comes again is no continuation."""
    data = segment(b"one", b"two")
    decoded = decode(data + data[HEADER_BYTES:], GENERATION)
    assert (decoded.ending, payloads(decoded)) == (Ending.TORN, [b"one", b"two"])


def test_numbers_may_skip_but_not_pass_the_limit() -> None:
    """Records given up before they were written leave gaps; a number nothing could follow is refused."""
    start = encode_header(HEADER)
    gap = encode_record(SEED, 10, b"a") + encode_record(SEED, 90, b"b")
    assert payloads(decode(start + gap, GENERATION)) == [b"a", b"b"]
    assert decode(start + encode_record(SEED, MAX_NUMBER + 1, b"c"), GENERATION).records == ()
    assert decode_header(encode_header(Header(1, 1, MAX_NUMBER + 1))) is None


def test_searching_behind_damage_is_bounded() -> None:
    """A segment of nothing but record starts with long lengths is given up on, and so kept as damage."""
    fake = struct.pack("<4sIQI", MARK, MAX_PAYLOAD_BYTES, 50, 0)
    data = segment(b"one") + fake * (1024 * 1024 // len(fake))
    began = time.monotonic()
    decoded = decode(data, GENERATION)
    assert time.monotonic() - began < 10
    assert (decoded.ending, payloads(decoded)) == (Ending.DAMAGED, [b"one"])


@settings(max_examples=400)
@given(st.binary(max_size=600), st.integers(0, 3))
def test_garbage_is_never_believed_and_never_raises(garbage: bytes, generation: int) -> None:
    """Any bytes at all decode to something, without a record."""
    decoded = decode(garbage, generation)
    assert decoded.records == ()
    assert decoded.good == 0


@settings(max_examples=400)
@given(st.data())
def test_mangled_segments_give_a_prefix(data: st.DataObject) -> None:
    """However a segment is overwritten, cut and extended, what is read is a prefix of what was written.

    Disks do these three things. None of them moves the rest of a file up, which is the one change
    that could hide a whole record.
    """
    contents = data.draw(st.lists(st.binary(max_size=40), max_size=6))
    mangled = bytearray(segment(*contents))
    for _ in range(data.draw(st.integers(0, 3))):
        junk = data.draw(st.binary(max_size=60))
        start = data.draw(st.integers(0, len(mangled)))
        mangled[start : start + len(junk)] = junk
    del mangled[data.draw(st.integers(0, len(mangled))) :]
    mangled += data.draw(st.binary(max_size=60))
    decoded = decode(bytes(mangled), GENERATION)
    assert payloads(decoded) == contents[: len(decoded.records)]
    assert HEADER_BYTES <= decoded.good <= len(mangled) or decoded.good == 0
    if decoded.ending is Ending.CLEAN:
        assert decoded.good == len(mangled)
    for record in (*decoded.records, *decoded.later):
        assert record.end - record.offset == RECORD_BYTES + len(record.payload)
