"""Documents to and from bytes. In memory a document is a plain dictionary, with all it came with."""

from __future__ import annotations

from dataclasses import dataclass
from json.encoder import JSONEncoder

from store.documents.bounds import MAX_DOCUMENT_BYTES, problem_with
from store.documents.errors import BadDocument
from store.documents.migrations import FORMAT, format_of, migrate, readable_newer
from store.documents.sections import HISTORIES, MAPS, State


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document as it was read.

    Attributes:
        state: the document, in today's format.
        from_format: the format it had. An older one is worth a backup before it is written over.
    """

    state: State
    from_format: int


_to_json = JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def new_document(session: str, image_key: str, endpoint: str, at: float) -> State:
    """Return an empty session.

    Args:
        session: its id, 32 hexadecimal digits.
        image_key: what the host calls the image.
        endpoint: where the image is.
        at: seconds since 1970.
    """
    return {
        "format": FORMAT,
        "session": session,
        "created_at": float(at),
        "image": {"key": image_key, "endpoint": endpoint},
        "connection": {"endpoint": endpoint, "recent": []},
        "preferences": {},
        "layout": {"panels": {}},
        "unsent_input": "",
        "workspaces": {},
        "inspectors": {},
        "browsers": {},
        "objects": {},
        "inputs": [],
        "evaluations": [],
        "inspections": [],
        "merges": [],
        "statistics": {},
    }


def dump(state: State) -> bytes:
    """Return a document as compact JSON."""
    return _to_json(state).encode("utf-8", "replace")


def load(data: bytes, *, read_only: bool = False) -> State:
    """Return the document in these bytes in today's format; see `read` for more."""
    return read(data, read_only=read_only).state


def read(data: bytes, *, read_only: bool = False) -> Loaded:
    """Return the document in these bytes in today's format, and which one it had.

    Args:
        data: what `dump` of any version wrote.
        read_only: whether a newer document is wanted too, as far as it can be read. That must not be
            written.

    Raises:
        BadDocument: these bytes are no session document.
        TooNew: a later version wrote them, and `read_only` is false.
    """
    state = parse(data)
    found = format_of(state)
    if found > FORMAT and read_only:
        return Loaded(readable_newer(state), found)
    state, found = migrate(state)
    validate(state)
    return Loaded(state, found)


def copied(state: State) -> State:
    """Return a copy that edits can be applied to: they change a document, its maps and its histories."""
    return {
        name: value.copy() if name in MAPS or name in HISTORIES else value for name, value in state.items()
    }


def parse(data: bytes) -> State:
    """Return the JSON object in these bytes, whatever it holds, within the bounds.

    Raises:
        BadDocument: there is none, or it is beyond them.
    """
    from store.documents.parsing import parse_json  # noqa: PLC0415 -- pydantic, see `store.codec`

    if len(data) > MAX_DOCUMENT_BYTES:
        raise BadDocument(f"{len(data)} bytes, of {MAX_DOCUMENT_BYTES} at most")
    try:
        value = parse_json(data)
    except ValueError as exc:
        raise BadDocument(str(exc)) from None
    if not isinstance(value, dict):
        raise BadDocument("no JSON object")
    if problem := problem_with(value):
        raise BadDocument(problem)
    return value


def validate(state: State) -> None:
    """Make sure that every known field has its type.

    Raises:
        BadDocument: one has not.
    """
    from store.documents.parsing import document_problem  # noqa: PLC0415 -- pydantic

    if problem := document_problem(state):
        raise BadDocument(problem)
