"""Edits: the small steps a session changes by, and what its log holds. All of this is pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from json.encoder import JSONEncoder
from typing import TYPE_CHECKING, Any

from store.documents.bounds import MAX_DEPTH, MAX_EDIT_BYTES, MAX_NAME_LETTERS, problem_with
from store.documents.errors import BadEdit
from store.documents.sections import HISTORIES, SECTIONS, SINGLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.documents.sections import State

_to_json = JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Put:
    """Replace a whole single section, or (with a key) add or replace one entry of a map."""

    section: str
    value: Any
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Change some fields of a single section, an entry or a record (JSON merge patch, RFC 7386).

    A field that is None is removed; fields inside fields are changed likewise; lists are replaced. An entry
    that is not there is made; a record that is not there (any more) stays away.
    """

    section: str
    value: Any
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove an entry of a map, if it is there."""

    section: str
    key: str


@dataclass(frozen=True, slots=True)
class Append:
    """Add a record to a history, unless one of its id is there already."""

    section: str
    record: dict[str, Any]


Edit = Put | Patch | Drop | Append


def check(edit: Edit) -> Edit:
    """Return the edit as it will be stored, which shares nothing with what the caller goes on changing.

    Raises:
        BadEdit: no document can take it.
    """
    if not isinstance(edit, Edit):
        raise BadEdit(None, None, f"a {type(edit).__name__} is no edit; use Put, Patch, Drop or Append")
    section = edit.section
    key = getattr(edit, "key", None)
    if problem := _address_problem(edit, section, key):
        raise BadEdit(section, key, problem)
    if isinstance(edit, Drop):
        return edit
    if isinstance(edit, Append):
        record = _own(section, None, edit.record)
        _must_fit(section, None, record)
        return replace(edit, record=record)
    value = _own(section, key, edit.value)
    _must_fit(section, key, _remains(section, key, value) if isinstance(edit, Patch) else value)
    return replace(edit, value=value)


def apply(state: State, edit: Edit) -> None:
    """Change the document by an edit that `check` returned; that never fails.

    Values are never changed in place, only replaced, so that one edit can be applied to several documents.
    """
    section = edit.section
    if isinstance(edit, Append):
        history = state.setdefault(section, [])
        wanted = edit.record["id"]
        if not any(record.get("id") == wanted for record in reversed(history)):
            history.append(edit.record)
    elif isinstance(edit, Drop):
        state.get(section, {}).pop(edit.key, None)
    elif section in HISTORIES:
        history = state.get(section, [])
        for index in range(len(history) - 1, -1, -1):  # the newest are those that change
            if history[index]["id"] == edit.key:
                history[index] = patched(history[index], edit.value)
                break
    else:
        place, name = (state, section) if edit.key is None else (state.setdefault(section, {}), edit.key)
        place[name] = edit.value if isinstance(edit, Put) else patched(place.get(name), edit.value)


def applied(state: State, edit: Edit) -> State:
    """Return the document after an edit, as `apply` would leave it; the one given stays as it was.

    They share everything the edit did not touch: a thread that writes the old one is not disturbed.
    """
    fresh = dict(state)
    section = fresh.get(edit.section)
    if isinstance(section, dict | list):
        fresh[edit.section] = section.copy()
    apply(fresh, edit)
    return fresh


def patched(target: Any, patch: Any) -> Any:
    """Return what a JSON merge patch makes of a value."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


def encode(edits: Sequence[Edit]) -> bytes:
    """Return edits that `check` returned as compact JSON."""
    return _to_json([_to_list(edit) for edit in edits]).encode("utf-8", "replace")


def decode(data: bytes) -> list[Edit]:
    """Return the edits that `encode` wrote, checked again.

    Raises:
        BadEdit: these bytes are none.
    """
    return [check(_from_list(item)) for item in _items(data)]


def decode_known(data: bytes) -> tuple[list[Edit], int]:
    """Return the edits of a later version that this one understands, and how many it passed over.

    Only to look at a document that is not going to be written (see `readable_newer`).

    Raises:
        BadEdit: these bytes are no list at all.
    """
    known, passed_over = [], 0
    for item in _items(data):
        try:
            known.append(check(_from_list(item)))
        except BadEdit:
            passed_over += 1
    return known, passed_over


def _items(data: bytes) -> list[Any]:
    from store.documents.parsing import parse_json  # noqa: PLC0415 -- pydantic, see `store.codec`

    try:
        found = parse_json(data)
    except ValueError as exc:
        raise BadEdit(None, None, str(exc)) from None
    if not isinstance(found, list):
        raise BadEdit(None, None, "no list of edits")
    return found


def _to_list(edit: Edit) -> list[Any]:
    if isinstance(edit, Append):
        return ["append", edit.section, edit.record]
    if isinstance(edit, Drop):
        return ["drop", edit.section, edit.key]
    kind = "put" if isinstance(edit, Put) else "patch"
    return (
        [kind, edit.section, edit.value] if edit.key is None else [kind, edit.section, edit.value, edit.key]
    )


def _from_list(item: Any) -> Edit:
    match item:
        case ["put", str(section), value]:
            return Put(section, value)
        case ["put", str(section), value, str(key)]:
            return Put(section, value, key)
        case ["patch", str(section), value]:
            return Patch(section, value)
        case ["patch", str(section), value, str(key)]:
            return Patch(section, value, key)
        case ["drop", str(section), str(key)]:
            return Drop(section, key)
        case ["append", str(section), dict(record)]:
            return Append(section, record)
    raise BadEdit(None, None, "none of the kinds of edits")


def _address_problem(edit: Edit, section: str, key: str | None) -> str | None:
    if section not in SECTIONS:
        return f"there is no such section, only {', '.join(sorted(SECTIONS))}"
    if isinstance(edit, Append):
        return None if section in HISTORIES else "records are appended to histories only"
    if section in HISTORIES and not isinstance(edit, Patch):
        return "a history only grows: append to it, or patch a record"
    if section in SINGLES:
        return None if key is None and not isinstance(edit, Drop) else "this section has no entries"
    # A key is an address: replacing what is no letter in it could make it that of another entry.
    if (
        not isinstance(key, str)
        or not 0 < len(key.encode("utf-8", "ignore").decode()) == len(key) <= MAX_NAME_LETTERS
    ):
        return f"the key of an entry is a text of 1 to {MAX_NAME_LETTERS} letters"
    return None


def _own(section: str, key: str | None, value: Any) -> Any:
    from store.documents.parsing import parse_json  # noqa: PLC0415 -- pydantic, see `store.codec`

    try:
        data = _to_json(value).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadEdit(section, key, f"no JSON: {exc}") from None
    if len(data) > MAX_EDIT_BYTES:
        raise BadEdit(section, key, f"{len(data)} bytes, of {MAX_EDIT_BYTES} at most")
    try:
        value = parse_json(data)
    except ValueError as exc:
        raise BadEdit(section, key, f"no JSON: {exc}") from None
    above = 1 if section in SINGLES else 2  # the document, and the map or history
    if problem := problem_with(value, MAX_DEPTH - above):
        raise BadEdit(section, key, problem)
    return value


def _must_fit(section: str, key: str | None, value: Any) -> None:
    from store.documents.parsing import entry_problem  # noqa: PLC0415 -- pydantic, see `store.codec`

    if problem := entry_problem(section, value):
        raise BadEdit(section, key, problem)


def _remains(section: str, key: str | None, patch: Any) -> Any:
    """Return what a patch leaves where there was nothing, which has to have the types of the whole."""
    remains = patched(None, patch)
    if section not in HISTORIES or not isinstance(remains, dict):
        return remains
    if patch.keys() & {"id", "at"}:
        raise BadEdit(section, key, "a record keeps its id and its time")
    return {"id": key, "at": 0.0} | remains
