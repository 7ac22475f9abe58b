"""Payloads: what is recorded comes back the same, and what is not ours is passed over."""

from __future__ import annotations

import dataclasses
import json
import math
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.codec import MAX_RECORD_BYTES, decode, encode_summary, encode_transition
from store.framing import MAX_NUMBER, MAX_PAYLOAD_BYTES
from store.ledger import Ledger
from store.records import SessionSummary, TransitionRecord

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
seconds = st.floats(allow_nan=False, allow_infinity=False)
seqs = st.integers(0, MAX_NUMBER - 1)
transitions = st.builds(
    TransitionRecord,
    image=texts,
    endpoint=texts,
    session=texts,
    seq=seqs,
    at=seconds,
    source=texts,
    trigger=texts,
    target=texts,
    reason=texts,
    detail=texts,
    identity=st.none() | texts,
    dialect=st.none() | texts,
    revision=st.just(0) | seqs,
)
summaries = st.builds(
    SessionSummary,
    image=texts,
    endpoint=texts,
    session=texts,
    seq=seqs,
    state=texts,
    reason=texts,
    identity=st.none() | texts,
    dialect=st.none() | texts,
    first_at=seconds,
    last_at=seconds,
    transitions=seqs,
    connected_at=st.none() | seconds,
)

EXAMPLE = TransitionRecord("i:1", "tcp://i:1", "5e55", 3, 1.5, "Fresh", "dial", "Connected", "answered")


def fields(record: TransitionRecord = EXAMPLE, **changes: Any) -> bytes:
    """Return a payload with some fields changed, added, or (given ...) left out."""
    found = json.loads(encode_transition(record)) | changes
    return json.dumps({name: value for name, value in found.items() if value is not ...}).encode()


@given(transitions)
def test_transitions_come_back_as_recorded(record: TransitionRecord) -> None:
    """Every field, whatever its text."""
    assert decode(encode_transition(record)) == record


@given(transitions)
def test_transitions_are_plain_json(record: TransitionRecord) -> None:
    """Any other program can read them; nothing but the fields, a version and a kind is in there."""
    found = {"revision": 0, **json.loads(encode_transition(record))}  # written where there is one
    assert found == {"v": 1, "k": "t", **dataclasses.asdict(record)}


@given(summaries)
def test_summaries_come_back_as_written(summary: SessionSummary) -> None:
    """Every field, whatever its text."""
    assert decode(encode_summary(summary)) == summary


def test_text_that_is_no_text_costs_a_letter_and_not_the_record() -> None:
    """Names with undecodable bytes, as the operating system gives them, are still restored."""
    strange = dataclasses.replace(EXAMPLE, detail="caf\udce9 \U0001f600 \0")
    assert decode(encode_transition(strange)) == dataclasses.replace(EXAMPLE, detail="caf? \U0001f600 \0")


def test_fields_of_later_programs_are_passed_over() -> None:
    """A payload with more in it than we know is still replayed."""
    assert decode(fields(mood="fine", nested={"deep": [1, 2]})) == EXAMPLE


def test_fields_that_earlier_programs_did_not_have_may_be_missing() -> None:
    """Detail, identity and dialect have defaults."""
    assert decode(fields(detail=..., identity=..., dialect=...)) == EXAMPLE


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        fields(v=2),
        fields(v="1"),
        fields(v=...),
        fields(k="z"),
        fields(k=...),
        fields(seq="3"),
        fields(seq=-1),
        fields(seq=MAX_NUMBER),
        fields(seq=10**400),
        fields(seq=1.5),
        fields(at=None),
        fields(at=10**400),
        fields(image=...),
        fields(image=7),
        fields().replace(b"1.5", b"NaN"),
        b"[" * 30_000,
        fields(detail=...)[:-1] + b',"detail":' + b"[" * 30_000,
    ],
)
def test_what_is_no_payload_of_ours_is_nothing(payload: bytes) -> None:
    """Wrong types, other versions, other kinds and plain garbage decode to None."""
    assert decode(payload) is None


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_garbage_never_raises(garbage: bytes) -> None:
    """Any bytes at all decode to something or nothing."""
    assert decode(garbage) is None


@settings(max_examples=200)
@given(st.integers(0, 250), st.binary(max_size=8))
def test_damaged_payloads_never_raise(position: int, junk: bytes) -> None:
    """A payload with some bytes replaced decodes to a record, a summary or nothing."""
    payload = bytearray(encode_transition(EXAMPLE))
    payload[position : position + len(junk)] = junk
    assert isinstance(decode(bytes(payload)), TransitionRecord | SessionSummary | None)


class Stated(StrEnum):
    """States are such."""

    UP = "Connected"


class Loud(float):
    """A number of some library that prints itself in its own way."""

    def __repr__(self) -> str:
        return f"Loud({float(self)})"

    __str__ = __repr__


def test_subclasses_are_written_as_what_they_are() -> None:
    """An enumeration's member as its value, a library's number as a number, a truth value as one too."""
    odd = dataclasses.replace(EXAMPLE, target=Stated.UP, at=Loud(1.5), seq=True)
    assert decode(encode_transition(odd)) == dataclasses.replace(EXAMPLE, seq=1)
    whole = dataclasses.replace(EXAMPLE, at=2)
    assert decode(encode_transition(whole)) == whole


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_a_time_that_could_not_be_read_back_is_refused(at: float) -> None:
    """Better no record than one that is acknowledged and then skipped."""
    with pytest.raises(ValueError, match="finite"):
        encode_transition(dataclasses.replace(EXAMPLE, at=at))


@pytest.mark.parametrize("seq", [-1, MAX_NUMBER])
def test_a_number_that_could_not_be_read_back_is_refused(seq: int) -> None:
    """As above."""
    with pytest.raises(ValueError, match="seq"):
        encode_transition(dataclasses.replace(EXAMPLE, seq=seq))


def test_the_summary_of_the_largest_record_fits_the_journal() -> None:
    """Otherwise a record could be taken whose session could never be checkpointed."""
    empty = TransitionRecord("", "", "", MAX_NUMBER - 1, -math.pi * 1e-300, "", "", "Connected", "")
    room = MAX_RECORD_BYTES - len(encode_transition(empty))
    largest = dataclasses.replace(empty, image="x" * room)
    assert len(encode_transition(largest)) == MAX_RECORD_BYTES
    ledger = Ledger()
    ledger.fold(largest)
    [summary] = ledger.sessions()
    worst = dataclasses.replace(summary, transitions=MAX_NUMBER - 1)
    assert len(encode_summary(worst)) <= MAX_PAYLOAD_BYTES
