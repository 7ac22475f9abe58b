"""Formats of session documents: how an older one becomes today's, and what can be read of a newer one.

Each step is a pure function from the document of one format to that of the next. A step is never changed
once it was released: what it made is on somebody's disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from store.documents.errors import BadDocument
from store.documents.sections import MAPS, SECTIONS
from store.outcomes import TooNew

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from store.documents.sections import State

FORMAT: Final = 1
"""Of the documents this version writes. A new section or meaning needs a new one, a new field does not."""


def format_of(state: State) -> int:
    """Return the format a document says it has.

    Raises:
        BadDocument: it says none.
    """
    found = state.get("format")
    if type(found) is not int or found < 0:
        raise BadDocument("format: a whole number is missing")
    return found


def migrate(state: State) -> tuple[State, int]:
    """Return the document in today's format, and the format it had. The one given stays as it is.

    Raises:
        BadDocument: it has no format, or not the fields of the one it claims.
        TooNew: its format is a later one; see `readable_newer`.
    """
    found = format_of(state)
    if found > FORMAT:
        raise TooNew("read the session document", None, f"format {found}, and this version knows {FORMAT}")
    for step in range(found, FORMAT):
        state = MIGRATIONS[step](state)
    return state, found


def readable_newer(state: State) -> State:
    """Return a view of a newer document that today's models can read. It must not be written.

    No field is lost: what has another type than it has today is moved to ``set_aside``, under the section it
    came from, and everything unknown stays where it is.
    """
    from store.documents.parsing import misfits  # noqa: PLC0415 -- pydantic, see `store.codec`

    view = dict(state)
    aside: State = {}
    for section, places in misfits(state).items():
        value = view.pop(section)
        if None in places:
            aside[section] = value
        elif section in MAPS:
            aside[section] = {key: entry for key, entry in value.items() if key in places}
            view[section] = {key: entry for key, entry in value.items() if key not in places}
        else:
            aside[section] = [record for index, record in enumerate(value) if index in places]
            view[section] = [record for index, record in enumerate(value) if index not in places]
    view.setdefault("session", "unknown")
    if not aside:
        return view
    if "set_aside" in state:
        aside["set_aside"] = state["set_aside"]
    return view | {"set_aside": aside}


def _from_0(state: State) -> State:
    """One unnamed workspace and a list of what was evaluated became maps and records."""
    old = dict(state)
    created_at = _take(old, "created", (int, float), 0.0)
    image, endpoint = _take(old, "image", (str,), ""), _take(old, "endpoint", (str,), "")
    code, unsent = _take(old, "workspace", (str,), ""), _take(old, "unsent", (str,), "")
    cursor, history = _take(old, "cursor", (list,), []), _take(old, "history", (list,), [])
    last_state = _take(old, "state", (str,), "")
    workspace: State = {"title": "Workspace", "code": code}
    if cursor:
        line, column = cursor if len(cursor) == 2 else (None, None)  # noqa: PLR2004 -- line and column
        workspace["cursor"] = {"line": line, "column": column}
    new: State = {
        "format": 1,
        "session": old.pop("session", None),
        "created_at": created_at,
        "image": {"key": image, "endpoint": endpoint},
        "connection": {"endpoint": endpoint, "last_state": last_state, "recent": []},
        "unsent_input": unsent,
        "workspaces": {"workspace": workspace},
        # They had neither ids nor times; these ids keep their order, and are the same each time.
        "evaluations": [
            {"id": f"v0-{number:06d}", "at": created_at, "code": code}
            for number, code in enumerate(history, 1)
        ],
    }
    # What format 0 did not know, it kept: also if the name means something now.
    strange = {
        name: old[name] for name in old if name in (SECTIONS | {"created_at"}) - {"preferences", "layout"}
    }
    new |= {name: value for name, value in old.items() if name not in strange and name != "format"}
    return new | {"from_format_0": strange} if strange else new


def _take(old: State, name: str, kinds: tuple[type, ...], default: Any) -> Any:
    value = old.pop(name, default)
    if type(value) not in kinds:
        raise BadDocument(f"{name}: not what format 0 had there")
    return value


MIGRATIONS: Final[Mapping[int, Callable[[State], State]]] = {0: _from_0}
"""By the format a step starts from."""
