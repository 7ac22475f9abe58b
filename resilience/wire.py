"""The two wire dialects of Smalltalk images, as pure functions over bytes.

*Typed* (A) wraps everything in a versioned envelope and does not echo ids;
*command* (B) is flat and does. An image says which it speaks by how it answers
the first ping, and that ping carries both shapes, so one question is enough: a
dialect that ignores unknown fields answers it, one that does not still answers
with an error in its own shape.

Replies are matched by our request-id frame, never by anything in here.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from machines import Identity
from resilience.errors import (
    EvaluationError,
    ImageError,
    MalformedReply,
    ReplyTooLarge,
    RequestTooLarge,
    UnsupportedRequest,
    printable,
)
from resilience.limits import MAX_ERROR_CHARS, MAX_MESSAGE_BYTES

PROTOCOL_VERSION = "1.0.0"
MAX_DETAILS = 50
MAX_VERSION_DIGITS = 6
MAX_IDENTITY_CHARS = 200
MAX_MEASURE = 1e15
MAJOR_VERSION = 1
"""Major versions break, minor ones add (PROTOCOL.md)."""


_compact = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder for each call that wants its own separators."""


class Dialect(StrEnum):
    """Which of the two an image speaks."""

    TYPED = "typed"
    COMMAND = "command"


class Kind(StrEnum):
    """What is asked of an image."""

    PING = "ping"
    EVALUATE = "evaluate"

    @property
    def read_only(self) -> bool:
        """Whether doing it twice changes nothing (law 11)."""
        return self is Kind.PING


def fresh_id() -> str:
    """A name nobody else gives a request."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Request:
    """One question to an image."""

    kind: Kind
    code: str = ""
    id: str = field(default_factory=fresh_id)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an image answered.

    `result` is the printed result, `result_type` its class if the image says so,
    `execution_time_ms` the image's own measurement, `data` everything it sent.
    """

    dialect: Dialect
    result: str
    result_type: str | None = None
    execution_time_ms: float | None = None
    identity: Identity = field(default_factory=Identity)
    data: dict[str, Any] = field(default_factory=dict)


def encode(request: Request, dialect: Dialect | None) -> bytes:
    """The request's bytes; with the dialect unknown (None) it has both shapes.

    Raises:
        RequestTooLarge: the image would refuse it; nothing was sent.
    """
    message: dict[str, Any] = {"id": request.id}
    if dialect is not Dialect.COMMAND:
        message |= _typed(request)
    if dialect is not Dialect.TYPED:
        message |= _command(request)
    frame = _compact(message).encode("ascii")
    if len(frame) > MAX_MESSAGE_BYTES:
        raise RequestTooLarge(len(frame), MAX_MESSAGE_BYTES)
    return frame


def _typed(request: Request) -> dict[str, Any]:
    if request.kind is Kind.PING:
        data: dict[str, Any] = {"request_type": "Ping", "params": {"message": None}}
    else:
        params = {"code": request.code, "context": None, "return_string": True}
        data = {"request_type": "Evaluate", "params": params}
    return {
        "version": PROTOCOL_VERSION,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "payload": {"type": "Request", "data": data},
    }


def _command(request: Request) -> dict[str, Any]:
    if request.kind is Kind.PING:
        return {"command": "ping", "parameters": {}}
    return {"command": "evaluate", "parameters": {"code": request.code}}


class UnsupportedVersion(ImageError):  # noqa: N818 - reads as what it is
    """The image speaks another major version of the typed dialect.

    Attributes:
        version: what it said.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"the image speaks protocol version {version}, this program {PROTOCOL_VERSION}")


class DialectError(EvaluationError):
    """An error reply, with the dialect it was given in.

    Attributes:
        dialect: the image's.
    """

    def __init__(self, dialect: Dialect, code: str, message: str, details: dict[str, str]) -> None:
        self.dialect = dialect
        super().__init__(code, message, details)


def decode(frame: bytes) -> Reply:
    """Read one reply frame.

    Raises:
        DialectError: the image answered with an error.
        UnsupportedRequest: ... and the error is that it does not know the request.
        UnsupportedVersion: it speaks another major version.
        MalformedReply, ReplyTooLarge: it is not a reply, or too large to be one.
    """
    if len(frame) > MAX_MESSAGE_BYTES:
        raise ReplyTooLarge(len(frame), MAX_MESSAGE_BYTES)
    from resilience import shapes  # noqa: PLC0415 - pydantic takes 40 ms to import; `Supervisor` does it at its start

    shape = shapes.read(frame)
    if isinstance(shape, shapes.Typed):
        return _read_typed(shape, frame)
    return _read_command(shape)


def _read_typed(shape: Any, frame: bytes) -> Reply:
    major = shape.version.partition(".")[0]
    if not (major.isascii() and major.isdigit() and len(major) < MAX_VERSION_DIGITS):
        raise MalformedReply(f"version {shape.version[:20]!r} is no version", frame)
    if int(major) != MAJOR_VERSION:
        raise UnsupportedVersion(printable(shape.version[:20]))
    answer = shape.payload.data
    body: dict[str, Any] = answer.data
    if answer.response_type == "Error":
        raise _error(Dialect.TYPED, body.get("code"), body.get("message"), body.get("details"))
    if body.get("has_error") is True:
        raise _error(Dialect.TYPED, "EvaluationError", body.get("result"), body.get("details"))
    return _reply(Dialect.TYPED, body, body.get("result", body.get("message", "")))


def _read_command(shape: Any) -> Reply:
    if shape.status != "success":
        raise _error(Dialect.COMMAND, shape.error_type, shape.error, None)
    body = shape.result if isinstance(shape.result, dict) else {"result": shape.result}
    return _reply(Dialect.COMMAND, body, body.get("result", body.get("message", "")))


def _reply(dialect: Dialect, body: dict[str, Any], result: object) -> Reply:
    kind = body.get("result_type")
    return Reply(
        dialect=dialect,
        result=result if isinstance(result, str) else json.dumps(result, ensure_ascii=False),
        result_type=kind if isinstance(kind, str) else None,
        execution_time_ms=_number(body.get("execution_time")),
        identity=_identity(body),
        data=body,
    )


def _identity(body: dict[str, Any]) -> Identity:
    image_id = body.get("image_id")
    usable = isinstance(image_id, str) and 0 < len(image_id) <= MAX_IDENTITY_CHARS and image_id.isprintable()
    return Identity(image_id if usable else None, _number(body.get("uptime")))


def _number(value: object) -> float | None:
    """A sane non-negative measurement, or nothing: JSON integers may have thousands of digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_MEASURE:
        return None
    return float(value)


def _brief(value: object, limit: int) -> str:
    return printable(str(value)[:limit])


def _error(dialect: Dialect, code: object, message: object, details: object) -> ImageError:
    name = code if isinstance(code, str) and code else "Error"
    words = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    words = printable(words[:MAX_ERROR_CHARS])
    if name == "UnsupportedOperation":
        return UnsupportedRequest(words, dialect)
    extra = list(details.items())[:MAX_DETAILS] if isinstance(details, dict) else []
    details_read = {_brief(k, 100): _brief(v, MAX_ERROR_CHARS) for k, v in extra}
    return DialectError(dialect, printable(name[:100]), words, details_read)


def known_dialect(name: str | None) -> Dialect | None:
    """Return the dialect of this name: the journal may be a later version's, with one nobody here knows."""
    return next((each for each in Dialect if each.value == name), None)
