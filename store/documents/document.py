"""Documents to and from bytes. In memory a document is a plain dictionary, with all it came with."""

from __future__ import annotations

from json.encoder import JSONEncoder
from typing import Any

from store.documents.bounds import MAX_DOCUMENT_BYTES, problem_with
from store.documents.errors import BadDocument

FORMAT = 1
"""Of the documents this version writes."""

State = dict[str, Any]
"""A document in memory."""

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


def load(data: bytes) -> State:
    """Return the document that `dump` wrote.

    Raises:
        BadDocument: these bytes are none.
    """
    state = parse(data)
    validate(state)
    return state


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
