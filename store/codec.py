"""Journal payloads to and from bytes: compact JSON, one version field, one kind field."""

from __future__ import annotations

from json.encoder import JSONEncoder
from json.encoder import encode_basestring as _quoted
from math import isfinite
from typing import TYPE_CHECKING

from store.framing import MAX_NUMBER, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from store.records import SessionSummary, TransitionRecord

VERSION = 1
TRANSITION = "t"
SUMMARY = "s"

# A summary repeats a record's texts under longer names and adds numbers; with this much kept free,
# the summary of the largest record still fits the journal's limit.
MAX_RECORD_BYTES = MAX_PAYLOAD_BYTES - 256

# Built once: json.dumps would build an encoder for every call with these arguments. Infinities are
# refused here, because JSON has none and the record would not come back.
_to_json = JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode_transition(record: TransitionRecord) -> bytes:
    """Return the payload of one transition.

    Raises:
        ValueError: a number that could not be read back: an `at` that is not finite, or a `seq`
            or `revision` that is negative or beyond 63 bits.
    """
    _check_number("seq", record.seq)
    _check_number("revision", record.revision)
    at = float(record.at)  # and not a subclass that prints itself as something else
    if not isfinite(at):
        raise ValueError(f"at must be finite, not {at}")
    # Put together by hand, every transition of every image goes through here: this takes a third of
    # the time that building a dictionary and encoding it does.
    text = (
        f'{{"v":{VERSION},"k":"{TRANSITION}","image":{_quoted(record.image)},'
        f'"endpoint":{_quoted(record.endpoint)},"session":{_quoted(record.session)},'
        f'"seq":{record.seq:d},"at":{at!r},"source":{_quoted(record.source)},'
        f'"trigger":{_quoted(record.trigger)},"target":{_quoted(record.target)},'
        f'"reason":{_quoted(record.reason)},"detail":{_quoted(record.detail)},'
        f'"identity":{_quoted_or_null(record.identity)},"dialect":{_quoted_or_null(record.dialect)}'
        f"{_revision(record.revision)}}}"
    )
    return _to_bytes(text)


def encode_summary(summary: SessionSummary) -> bytes:
    """Return the payload that stands for all transitions of a session so far; raises as above."""
    _check_number("seq", summary.seq)
    _check_number("revision", summary.revision)
    text = _to_json(
        {
            "v": VERSION,
            "k": SUMMARY,
            "image": summary.image,
            "endpoint": summary.endpoint,
            "session": summary.session,
            "seq": summary.seq,
            "state": summary.state,
            "reason": summary.reason,
            "identity": summary.identity,
            "dialect": summary.dialect,
            "first_at": summary.first_at,
            "last_at": summary.last_at,
            "transitions": summary.transitions,
            "connected_at": summary.connected_at,
            **({"revision": summary.revision} if summary.revision else {}),
        }
    )
    return _to_bytes(text)


def decode(payload: bytes) -> TransitionRecord | SessionSummary | None:
    """Return what a payload says; None if it is no payload of this version."""
    # Here and not above: pydantic costs more than all the rest of this program's start, and a host
    # that starts with an empty journal, or only writes, never parses anything.
    from store.schema import parse  # noqa: PLC0415 -- the reason is above

    return parse(payload)


def _check_number(name: str, number: int) -> None:
    if not 0 <= number < MAX_NUMBER:
        raise ValueError(f"{name} must be from 0 to below {MAX_NUMBER}, not {number}")


def _revision(revision: int) -> str:
    return f',"revision":{revision:d}' if revision else ""  # most records have none


def _quoted_or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def _to_bytes(text: str) -> bytes:
    # Names from the operating system may hold bytes that are no text (lone surrogates); as "?" they
    # cost a letter, unreplaced they would cost the record when it is read back.
    return text.encode("utf-8", "replace")
