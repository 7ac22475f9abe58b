"""The bytes of a sealed file, read without a key: any bytes at all give a header or a named problem."""

from __future__ import annotations

import json
import struct
import time
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealed_files import SNAPSHOT, TEXT, identity, log, master_key, snapshot
from store.outcomes import Outcome
from store.sealed import FileIdentity, Header, HeaderProblem, Kind, peek, read_header
from store.sealed.envelope import (
    MAGIC,
    MAX_HEADER_BYTES,
    canonical,
    covered_bytes,
    frame_at,
    frame_bytes,
    identity_problem,
    later_frame,
    read_head,
)

PREFIX_BYTES = 14


def headed(text: bytes, version: int = 1) -> bytes:
    """Return a head around any text, its CRC right and its MAC nonsense."""
    head = struct.pack("<8sHI", MAGIC, version, len(text)) + text
    return head + struct.pack("<I", zlib.crc32(head)) + bytes(32)


def fields(**changes: object) -> bytes:
    """Return a header's JSON with some of it changed."""
    usual = {
        "kind": "snapshot",
        "session": "s",
        "generation": 1,
        "file": "0" * 32,
        "about": {},
        "wraps": [{"key": "k", "box": ""}],
    }
    return json.dumps({**usual, **changes}, sort_keys=True, separators=(",", ":")).encode()


def problem(data: bytes) -> HeaderProblem:
    """Return why there is no header."""
    found = read_header(data)
    assert isinstance(found, HeaderProblem), found
    assert peek(data) is None
    return found


# -- what is right ---------------------------------------------------------------------


def test_a_header_says_what_was_put_in() -> None:
    """Identity, plaintext and wraps come back, without any key."""
    header = read_header(snapshot())
    assert isinstance(header, Header)
    assert header.identity == identity(SNAPSHOT)
    assert header.about == {"title": "Zähler"}
    assert [wrap.key for wrap in header.wraps] == [master_key().id]
    assert peek(snapshot()) == header


def test_a_header_is_read_from_the_beginning_of_a_file_alone() -> None:
    """A listing reads a few hundred bytes of each file, not the whole."""
    whole = snapshot(b"x" * 100_000)
    head = read_head(whole)
    assert not isinstance(head, HeaderProblem)
    assert head.size < 700
    assert peek(whole[: head.size]) == peek(whole)


def test_fields_of_a_later_version_do_not_hinder() -> None:
    """Whatever stands besides is ignored, as long as the version is ours."""
    assert isinstance(read_header(headed(fields(zeal=[1, {"deep": None}]))), Header)


# -- what is wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        fields(kind="novel"),
        fields(kind=None),
        fields(session="s" * 65),
        fields(session=7),
        fields(generation=-1),
        fields(generation=2**63),
        fields(generation=1.0),
        fields(generation=True),
        fields(file="0" * 31),
        fields(file="G" * 32),
        fields(about=[]),
        fields(wraps=[]),
        fields(wraps=[{"key": "k", "box": ""}] * 9),
        fields(wraps=[{"key": "", "box": ""}]),
        fields(wraps=[{"key": "k" * 65, "box": ""}]),
        fields(wraps=[{"key": "k", "box": "not base64!"}]),
        fields(wraps=["k"]),
        fields(wraps=[{"key": "k"}]),
        fields() + b" ",
        fields().replace(b'"session":"s"', b'"session":"s","session":"s"'),
        b"{}",
        b"[]",
        b"",
        b"\xff",
        b"nul",
        b"[" * 10_000,
        b'{"about":' * 1_500,
        fields(about={"n": 0}).replace(b'"n":0', b'"n":NaN'),
        fields(about={"n": 0}).replace(b'"n":0', b'"n":' + b"9" * 5_000),
        fields(about={"n": ""}).replace(b'"n":""', b'"n":"\\ud800"'),
    ],
)
def test_a_header_that_makes_no_sense_is_corrupt(text: bytes) -> None:
    """Even with its checksum right: whoever wrote that, it was not this program."""
    assert problem(headed(text)).outcome is Outcome.CORRUPT


@pytest.mark.parametrize("version", [2, 3, 255, 65_535])
def test_a_later_version_is_too_new(version: int) -> None:
    """Magic and version are readable for ever, whatever follows them."""
    assert problem(headed(b"\x00 something else entirely", version)).outcome is Outcome.TOO_NEW
    assert problem(struct.pack("<8sHI", MAGIC, version, 2**32 - 1)).outcome is Outcome.TOO_NEW


def test_a_damaged_version_number_is_no_later_version() -> None:
    """Or a flipped bit would hide a session behind "install something newer"."""
    data = bytearray(snapshot())
    for bit in range(16):
        damaged = bytearray(data)
        damaged[8 + bit // 8] ^= 1 << bit % 8
        assert problem(bytes(damaged)).outcome is Outcome.CORRUPT


@pytest.mark.parametrize("data", [snapshot(), log([b"one", b"two"])])
def test_every_bit_of_a_head_counts(data: bytes) -> None:
    """No flip goes unseen before the MAC, and none raises."""
    head = read_head(data)
    assert not isinstance(head, HeaderProblem)
    for bit in range((head.size - 32) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert problem(bytes(damaged)).outcome is Outcome.CORRUPT


def test_every_cut_through_a_head_is_corrupt() -> None:
    """However little is left."""
    head = read_head(snapshot())
    assert not isinstance(head, HeaderProblem)
    for size in range(head.size):
        assert problem(snapshot()[:size]).outcome is Outcome.CORRUPT


def test_a_header_is_bounded() -> None:
    """Too much is refused when writing, and not believed when reading."""
    with pytest.raises(ValueError, match="allowed"):
        covered_bytes({"about": "x" * MAX_HEADER_BYTES})
    assert problem(headed(fields(about={"x": "x" * MAX_HEADER_BYTES}))).detail.endswith("too large")
    huge = struct.pack("<8sHI", MAGIC, 1, 2**32 - 1) + bytes(100)
    assert problem(huge).detail.endswith("too large")


@given(data=st.binary(max_size=600))
@example(data=MAGIC)
@example(data=MAGIC + bytes(6))
def test_any_bytes_give_a_header_or_a_problem(data: bytes) -> None:
    """Never an exception, never anything else."""
    assert isinstance(read_header(data), Header | HeaderProblem)
    assert isinstance(read_header(headed(data)), Header | HeaderProblem)
    peek(data)


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    value=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("kind", "session", "generation", "file", "about", "wraps", "other"), NESTED),
    )
)
def test_any_json_gives_a_header_or_a_problem(value: dict[str, object]) -> None:
    """Right names with any values."""
    text = fields(**value)
    assert isinstance(read_header(headed(text)), Header | HeaderProblem)


def test_there_is_one_text_for_a_value() -> None:
    """What is signed must not depend on who writes it down; and what is no JSON is not written."""
    assert canonical({"b": 1, "a": ["ä"]}) == '{"a":["ä"],"b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"session": "s" * 65}, "too long"),
        ({"generation": -1}, "natural"),
        ({"generation": True}, "natural"),
        ({"file": "f"}, "hex"),
        ({"file": "F" * 32}, "hex"),
    ],
)
def test_an_identity_is_checked_when_it_is_made(changed: dict[str, object], words: str) -> None:
    """A caller's mistake is told at once, not by a file that cannot be read."""
    usual = {"kind": Kind.EXPORT, "session": "", "generation": 0, "file": "0" * 32}
    assert not identity_problem(FileIdentity(**usual))  # type: ignore[arg-type]  # one dict of several types
    assert words in identity_problem(FileIdentity(**{**usual, **changed}))  # type: ignore[arg-type]  # as above


# -- records ---------------------------------------------------------------------------


def test_a_frame_is_whole_or_not_there() -> None:
    """A length that leads beyond the file, or is none, frames nothing."""
    record = frame_bytes(7, b"b" * 20)
    assert frame_at(record, 0) == (7, 12, 32)
    assert frame_at(b"??" + record, 2) == (7, 14, 34)
    for offset, data in (
        (0, record[:-1]),
        (1, record),
        (-1, record),
        (0, frame_bytes(7, b"b" * 16)),
        (0, b""),
    ):
        assert frame_at(data, offset) is None


def test_a_later_record_is_found_wherever_it_stands() -> None:
    """Behind garbage, behind zeros, behind a frame whose length is damaged."""
    record = frame_bytes(9, b"b" * 20)
    for before in (b"", b"?" * 100, bytes(100), b"\x09" + bytes(11), bytes(30) + b"\x01" + bytes(30)):
        found = later_frame(before + record + b"tail", 0, 8, 20)
        assert found == (9, len(before) + 12, len(before) + 32)
    assert later_frame(record, 0, 10, 20) is None
    assert later_frame(record, 1, 8, 20) is None


def test_a_later_record_is_found_beyond_a_carry() -> None:
    """Where the upper bytes of the number change between the record that is expected and the later one."""
    record = frame_bytes(2**24 + 1, b"b" * 20)
    assert later_frame(b"?" * 50 + record, 0, 2**24 - 1, 2**24 + 9)


@pytest.mark.parametrize("filler", [b"\0", b"\0\0\0\0\0\1", b"\x11\0\0\0\1\0\0\0\0\0\0\0", b"\xff"])
def test_looking_for_records_takes_no_longer_in_the_worst_of_files(filler: bytes) -> None:
    """A megabyte of anything is looked through in well under a few seconds."""
    data = filler * (1_000_000 // len(filler))
    began = time.perf_counter()
    later_frame(data, 1, 900_000, 900_010)
    assert time.perf_counter() - began < 5


@given(data=st.binary(max_size=300), offset=st.integers(0, 300), lowest=st.integers(0, 2**30))
def test_any_bytes_can_be_looked_through(data: bytes, offset: int, lowest: int) -> None:
    """Whatever is found lies within the file."""
    found = later_frame(data, offset, lowest, lowest + 10)
    assert found is None or (offset + 12 <= found.start < found.end <= len(data))


def test_the_plaintext_is_nowhere_in_the_file() -> None:
    """The head says what it is for; the text is sealed."""
    assert TEXT not in snapshot()
    assert b"unsent_input" not in snapshot()
