"""Where pydantic meets what comes from outside. Import this late (see `store.codec`)."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from store.documents.model import SessionDocument, entry_adapter
from store.documents.sections import HISTORIES, MAPS

# Faster than the json module, and it refuses texts that are none (lone surrogates).
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


def misfits(state: dict[str, Any]) -> dict[str, set[str | int | None]]:
    """Return where a document has other types than today's, by section.

    Of maps and histories the keys or indexes concerned; None stands for the section as a whole.
    """
    found: dict[str, set[str | int | None]] = {}
    try:
        SessionDocument.model_validate(state)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_context=False, include_input=False):
            section, *steps = error["loc"]
            if section in state:
                whole = not steps or section not in MAPS | HISTORIES
                found.setdefault(str(section), set()).add(None if whole else steps[0])
    return found


def _first_problem(exc: ValidationError) -> str:
    # Without the input: what stands in a session is private, and this goes into logs.
    first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
