"""The two wire dialects: bytes become a `Request` or a refusal, and replies become bytes.

Dialect A is the typed envelope (`payload`, `request_type`), dialect B the command style (`command`,
`parameters`). Each request shows its dialect by its shape, so an image can speak both on one socket.

Nothing here trusts the sender: size, encoding, depth and every type are checked before use, and whatever is
wrong is told in a reply, because a REP socket that raises instead of answering is lost to *all* its clients.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

REQUEST_MAX_BYTES = 10_000_000  # the protocol's 10 MB; the socket itself allows a little more, to answer
DEPTH_MAX = 32  # the deepest documented message has 6 levels
ID_MAX_CHARS = 200  # a UUID has 36
QUOTED_MAX_CHARS = 100  # of somebody else's text repeated in our messages
VERSION = "1.0.0"


class Dialect(StrEnum):
    """How a message is laid out."""

    A = "a"
    B = "b"


class Speaks(StrEnum):
    """Which dialects an image answers to."""

    A = "a"
    B = "b"
    BOTH = "both"

    @property
    def own(self) -> Dialect:
        """The dialect used where the request leaves the choice, or cannot be read at all."""
        return Dialect.B if self is Speaks.B else Dialect.A


class Kind(StrEnum):
    """What can be asked, by its name in dialect A."""

    PING = "Ping"
    EVALUATE = "Evaluate"
    SYSTEM_INFO = "SystemInfo"
    EXECUTIONS = "Executions"


class Code(StrEnum):
    """Why there is no result."""

    INVALID_REQUEST = "InvalidRequest"
    EVALUATION_ERROR = "EvaluationError"
    UNSUPPORTED_OPERATION = "UnsupportedOperation"
    INTERNAL_ERROR = "InternalError"


# Dialect B names error types, not codes. For a failed evaluation its documents say RuntimeError; they have
# no name for the others, so A's are used there.
_ERROR_TYPES = {Code.EVALUATION_ERROR: "RuntimeError"}

_COMMANDS = {"ping": Kind.PING, "evaluate": Kind.EVALUATE, "executions": Kind.EXECUTIONS}
_REQUEST_TYPES = {kind.value: kind for kind in (Kind.PING, Kind.EVALUATE, Kind.SYSTEM_INFO)}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be carried out."""

    dialect: Dialect
    id: str | int | None
    kind: Kind
    params: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON, each value checked where it is used

    def text(self, name: str, default: str | None = None) -> str:
        """Answer a text parameter.

        Raises:
            RefusedError: it is missing without a default, or not a text.
        """
        value = self.params.get(name)
        if value is None:
            value = default
        if not isinstance(value, str):
            raise self.refused(Code.INVALID_REQUEST, f"the parameter {name!r} must be a text")
        return value

    def refused(self, code: Code, message: str) -> "RefusedError":
        """Make the refusal of this very request."""
        return RefusedError(self.dialect, self.id, code, message)


class RefusedError(Exception):
    """There will be an error reply instead of a result."""

    def __init__(self, dialect: Dialect, request_id: str | int | None, code: Code, message: str) -> None:
        self.dialect = dialect
        self.request_id = request_id
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


def parse(raw: bytes, speaks: Speaks) -> Request:
    """Read a request.

    Raises:
        RefusedError: it is not one; the refusal knows the dialect and the id its reply should have.
    """
    message = _message(raw, speaks.own)
    typed, command = "payload" in message, "command" in message
    if not (typed or command):
        raise RefusedError(
            speaks.own, None, Code.INVALID_REQUEST, "neither 'payload' nor 'command' is present"
        )
    dialect = speaks.own
    if typed != command:
        dialect = Dialect.A if typed else Dialect.B
    if speaks is not Speaks.BOTH and dialect is not speaks.own:
        text = f"this image speaks dialect {speaks.own.value.upper()} only"
        raise RefusedError(speaks.own, None, Code.INVALID_REQUEST, text)
    request_id = _id(message, dialect)
    return _typed(message, request_id) if dialect is Dialect.A else _command(message, request_id)


def result(request: Request, data: Mapping[str, Any]) -> bytes:
    """Write the reply that carries a result."""
    if request.dialect is Dialect.A:
        kind = Kind.SYSTEM_INFO if request.kind is Kind.EXECUTIONS else request.kind
        return _envelope(kind.value, data)
    return _dump({"id": request.id, "status": "success", "result": data, "timestamp": _now()})


def failure(refused: RefusedError) -> bytes:
    """Write the reply that carries an error."""
    if refused.dialect is Dialect.A:
        data: dict[str, Any] = {"code": refused.code.value, "message": refused.message, "details": {}}
        return _envelope("Error", data)
    return _dump(
        {
            "id": refused.request_id,
            "status": "error",
            "error": refused.message,
            "error_type": _ERROR_TYPES.get(refused.code, refused.code.value),
            "timestamp": _now(),
        }
    )


def _message(raw: bytes, dialect: Dialect) -> dict[str, Any]:
    def invalid(text: str) -> RefusedError:
        return RefusedError(dialect, None, Code.INVALID_REQUEST, text)

    if len(raw) > REQUEST_MAX_BYTES:
        raise invalid(f"more than {REQUEST_MAX_BYTES} bytes")
    try:
        message = json.loads(raw.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise invalid(f"nested deeper than {DEPTH_MAX} levels") from None
    except ValueError:  # not UTF-8, not JSON, or a number of thousands of digits
        raise invalid("not a UTF-8 JSON text") from None
    if _deeper_than(message, DEPTH_MAX):
        raise invalid(f"nested deeper than {DEPTH_MAX} levels")
    if not isinstance(message, dict):
        raise invalid("not a JSON object")
    return message


def _no_constant(name: str) -> float:
    raise ValueError(name)  # NaN and the infinities: Python reads them, JSON does not have them


def _deeper_than(value: object, levels: int) -> bool:
    layer: list[object] = [value]
    for _ in range(levels):
        containers = [item for item in layer if isinstance(item, dict | list)]
        layer = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
        ]
        if not layer:
            return False
    return any(isinstance(item, dict | list) for item in layer)


def _id(message: Mapping[str, Any], dialect: Dialect) -> str | int | None:
    value = message.get("id")
    usable = value is None or (isinstance(value, str | int) and not isinstance(value, bool))
    if not usable or len(str(value)) > ID_MAX_CHARS:
        text = f"'id' must be a text or an integer of at most {ID_MAX_CHARS} characters"
        raise RefusedError(dialect, None, Code.INVALID_REQUEST, text)
    return value


def _typed(message: Mapping[str, Any], request_id: str | int | None) -> Request:
    def invalid(text: str) -> RefusedError:
        return RefusedError(Dialect.A, request_id, Code.INVALID_REQUEST, text)

    version = message.get("version", VERSION)
    if not isinstance(version, str) or version.split(".", 1)[0] != VERSION.split(".", 1)[0]:
        raise invalid(f"this image speaks version {VERSION} of the protocol")
    payload = message["payload"]
    if not isinstance(payload, dict) or payload.get("type") != "Request":
        raise invalid("'payload' must be an object of type 'Request'")
    data = payload.get("data")
    if not isinstance(data, dict):
        raise invalid("'data' must be an object")
    name, params = data.get("request_type"), data.get("params")
    if not isinstance(name, str):
        raise invalid("'request_type' must be a text")
    if not isinstance(params, dict | None):
        raise invalid("'params' must be an object or null")
    kind = _REQUEST_TYPES.get(name)
    if kind is None:
        text = f"no request type {name[:QUOTED_MAX_CHARS]!r} here"
        raise RefusedError(Dialect.A, request_id, Code.UNSUPPORTED_OPERATION, text)
    request = Request(Dialect.A, request_id, kind, params or {})
    if kind is Kind.SYSTEM_INFO and request.text("info_type", "All") == "Executions":
        return Request(Dialect.A, request_id, Kind.EXECUTIONS, request.params)
    return request


def _command(message: Mapping[str, Any], request_id: str | int | None) -> Request:
    name, params = message["command"], message.get("parameters")
    if not isinstance(name, str):
        raise RefusedError(Dialect.B, request_id, Code.INVALID_REQUEST, "'command' must be a text")
    if not isinstance(params, dict | None):
        text = "'parameters' must be an object or null"
        raise RefusedError(Dialect.B, request_id, Code.INVALID_REQUEST, text)
    kind = _COMMANDS.get(name)
    if kind is None:
        text = f"no command {name[:QUOTED_MAX_CHARS]!r} here"
        raise RefusedError(Dialect.B, request_id, Code.UNSUPPORTED_OPERATION, text)
    return Request(Dialect.B, request_id, kind, params or {})


def _envelope(response_type: str, data: Mapping[str, Any]) -> bytes:
    return _dump(
        {
            "id": str(uuid.uuid4()),  # its own: images in the field do not echo the request's
            "version": VERSION,
            "timestamp": _now(),
            "payload": {"type": "Response", "data": {"response_type": response_type, "data": data}},
        }
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, allow_nan=False).encode()
