"""The two places where pydantic meets what comes from outside. Import this late (see `store.codec`)."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from store.documents.model import SessionDocument, entry_adapter

# A third faster than the json module, and it refuses texts that are none (lone surrogates).
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def parse_json(data: bytes) -> Any:
    """Return what the JSON says; of a name given twice the last value counts.

    Raises:
        ValueError: it is no JSON; says where, and does not show what stands there.
    """
    try:
        return _ANYTHING.validate_json(data)
    except ValidationError as exc:
        raise ValueError(_first_problem(exc)) from None


def document_problem(state: dict[str, Any]) -> str | None:
    """Return where a whole document has a wrong type and what is wrong there, None if it is fine."""
    try:
        SessionDocument.model_validate(state)
    except ValidationError as exc:
        return _first_problem(exc)
    return None


def entry_problem(section: str, value: Any) -> str | None:
    """Return the same for one value, entry or record of a section."""
    try:
        entry_adapter(section).validate_python(value)
    except ValidationError as exc:
        return _first_problem(exc)
    return None


def _first_problem(exc: ValidationError) -> str:
    # Without the input: what stands in a session is private, and this goes into logs.
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
