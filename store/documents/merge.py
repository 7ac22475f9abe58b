"""Two histories of one session made one again, field by field, with nothing dropped and all of it told.

Three-way: what only one side changed is taken from that side; what both changed alike is no conflict. Where
they disagree ours stays in place, and theirs is kept: code and unsent input in a workspace of its own,
anything else in the recorded decision. Histories are joined by the ids of their records.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from json.encoder import JSONEncoder
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from store.documents.bounds import MAX_DEPTH, MAX_INTEGER, problem_with
from store.documents.budget import RECENT_AT_MOST
from store.documents.document import copied
from store.documents.sections import HISTORIES

if TYPE_CHECKING:
    from store.documents.sections import State

# Sorted, so that two dictionaries that are equal read the same.
_canonical = JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, sort_keys=True).encode

_ABSENT: Final = object()

Path = tuple[str, ...]
"""Where in a document, from its root."""

WHOLE: Final = frozenset({"cursor", "selection"})
"""Fields of a workspace that mean nothing by halves: a line of ours with a column of theirs is no place."""

TEXTS: Final = ("code", "unsent")
"""Fields of a workspace that are somebody's work."""

COUNTERS: Final = frozenset({"connected_s", "evaluations", "edits", "sessions"})
"""Statistics that only grow: what both sides added to them is added up."""

MAX_TITLE_LETTERS: Final = 4000
"""Of a conflict copy, so that what is added to it still fits a line of the model."""

OURS: Final = "ours"
KEPT: Final = "kept"
COPIED: Final = "copied"
ADDED: Final = "added"


@dataclass(frozen=True, slots=True)
class Merged:
    """The one document, and what was decided on the way.

    Attributes:
        state: the document; its `merges` end with the decisions.
        decisions: one record for each place where both sides had changed something differently:
            ``path``, ``base``, ``ours`` and ``theirs`` (left out where there was nothing), ``action``, and
            for a copy ``copy_id`` instead of the two sides, which stand in the document.
            Actions: ``ours`` stayed; ``kept`` what the other side had removed; ``copied`` theirs beside
            ours; ``added`` both up.
    """

    state: State
    decisions: tuple[dict[str, Any], ...] = ()


def merge(base: State, ours: State, theirs: State, at: float) -> Merged:
    """Join two documents that were one once.

    A side that has not changed since contributes nothing: the other is the result as it is. Otherwise
    every record of either side is in the result, also those that one of them let go to save room.

    Args:
        base: the document as both last knew it; empty if that is not known, and then every
            difference is a conflict.
        ours: what stays in place where there is one.
        theirs: what is kept beside it.
        at: seconds since 1970, for the recorded decisions.
    """
    if same(ours, theirs) or same(theirs, base):
        return Merged(copied(ours))
    if same(ours, base):
        return Merged(copied(theirs))
    return _Merge(at).documents(base, ours, theirs)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: to Python 1, 1.0 and True are equal, to a document not."""
    if one is other:
        return True
    if one is _ABSENT or other is _ABSENT:
        return False
    return bool(one == other) and _canonical(one) == _canonical(other)


class _Merge:
    """One merge under way."""

    def __init__(self, at: float) -> None:
        self._at = at
        self._decisions: list[dict[str, Any]] = []
        self._copies: dict[str, dict[str, Any]] = {}  # workspaces that keep what theirs was
        self._taken: dict[str, Any] = {}  # workspaces there are already

    def documents(self, base: State, ours: State, theirs: State) -> Merged:
        state: State = {}
        self._taken = _dict(theirs.get("workspaces")) | _dict(ours.get("workspaces"))
        for name in _names(ours, theirs):
            values = (_get(base, name), _get(ours, name), _get(theirs, name))
            merged = self._section(name, *values)
            if merged is not _ABSENT:
                state[name] = merged
        state = copied(state)
        if self._copies:
            state["workspaces"] = state.get("workspaces", {}) | self._copies
        if self._decisions:
            state.setdefault("merges", []).extend(self._decisions)
        return Merged(state, tuple(self._decisions))

    def _section(self, name: str, base: Any, ours: Any, theirs: Any) -> Any:
        path = (name,)
        if name in HISTORIES:
            return self._history(path, _list(base), _list(ours), _list(theirs))
        if name == "workspaces":
            return self._workspaces(_dict(base), _dict(ours), _dict(theirs))
        if name == "unsent_input":
            return self._unsent_input(base, ours, theirs)
        return self._value(path, base, ours, theirs)

    def _value(self, path: Path, base: Any, ours: Any, theirs: Any) -> Any:
        if same(theirs, base) or same(ours, theirs):
            return ours
        if same(ours, base):
            return theirs
        if path == ("connection", "recent"):
            return _recent(_list(ours), _list(theirs))
        if isinstance(ours, dict) and isinstance(theirs, dict) and not _is_whole(path):
            return self._fields(path, _dict(base), ours, theirs)
        if path[0] == "statistics" and path[-1] in COUNTERS:
            total = _total(base, ours, theirs)
            if total is not None:
                self._decide(path, (base, ours, theirs), ADDED)
                return total
        return self._conflict(path, base, ours, theirs)

    def _conflict(self, path: Path, base: Any, ours: Any, theirs: Any) -> Any:
        if ours is _ABSENT or theirs is _ABSENT:
            self._decide(path, (base, ours, theirs), KEPT)
            return theirs if ours is _ABSENT else ours
        self._decide(path, (base, ours, theirs), OURS)
        return ours

    def _fields(
        self, path: Path, base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
    ) -> dict[str, Any]:
        result = {}
        for name in _names(ours, theirs):
            value = self._value((*path, name), _get(base, name), _get(ours, name), _get(theirs, name))
            if value is not _ABSENT:
                result[name] = value
        return result

    def _workspaces(
        self, base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
    ) -> dict[str, Any]:
        result = {}
        for key in _names(ours, theirs):
            merged = self._workspace(key, _get(base, key), _get(ours, key), _get(theirs, key))
            if merged is not _ABSENT:
                result[key] = merged
        return result

    def _workspace(self, key: str, base: Any, ours: Any, theirs: Any) -> Any:
        path = ("workspaces", key)
        if (
            same(theirs, base)
            or same(ours, base)
            or not (isinstance(ours, dict) and isinstance(theirs, dict))
        ):
            return self._value(path, base, ours, theirs)
        before = _dict(base)
        rest = [
            {name: value for name, value in side.items() if name not in TEXTS}
            for side in (before, ours, theirs)
        ]
        result = self._fields(path, *rest)
        copy_id = self._copy_id(key, theirs)
        for name in TEXTS:
            values = (_get(before, name), _get(ours, name), _get(theirs, name))
            text = self._text((*path, name), *values, copy_id=copy_id)
            if text is not _ABSENT:
                result[name] = text
        if any(decision.get("copy_id") == copy_id for decision in self._decisions):
            self._copies[copy_id] = _titled(theirs, key)
        return result

    def _unsent_input(self, base: Any, ours: Any, theirs: Any) -> Any:
        workspace = {"title": "Unsent input", "code": theirs}
        copy_id = "" if theirs is _ABSENT else self._copy_id("unsent", workspace)
        text = self._text(("unsent_input",), base, ours, theirs, copy_id=copy_id)
        if any(decision.get("copy_id") == copy_id for decision in self._decisions):
            self._copies[copy_id] = _titled(workspace, "unsent")
        return text

    def _text(self, path: Path, base: Any, ours: Any, theirs: Any, *, copy_id: str) -> Any:
        """Return the text that stands in place; if theirs is to be copied, a decision names the copy."""
        before, mine, other = ("" if text is _ABSENT else text for text in (base, ours, theirs))
        if other in (before, mine):
            return ours
        if mine == before:
            return theirs
        if not mine or not other:
            # One side sent or cleared it while the other went on typing: what was typed stays.
            self._decide(path, (base, ours, theirs), KEPT)
            return ours if mine else theirs
        self._decide(path, (base, _ABSENT, _ABSENT), COPIED, copy_id)
        return ours

    def _copy_id(self, key: str, workspace: dict[str, Any]) -> str:
        copy_id, copy = f"{key[:200]}-{_digest(workspace)[:16]}", _titled(workspace, key)
        # The same text makes the same copy, unless somebody has gone on working in that one.
        while copy_id in self._taken and not same(self._taken[copy_id], copy):
            copy_id += "+"
        return copy_id

    def _history(self, path: Path, base: list[Any], ours: list[Any], theirs: list[Any]) -> list[Any]:
        before, result = _by_id(base), _by_id(ours)
        for key, record in _by_id(theirs).items():
            mine = result.get(key)
            if mine is None or same(mine, before.get(key, _ABSENT)):
                result[key] = record
            elif not same(record, mine) and not same(record, before.get(key, _ABSENT)):
                copy = _renamed(record)
                result[copy["id"]] = copy
                self._decide((*path, key), (before.get(key, _ABSENT), _ABSENT, _ABSENT), COPIED, copy["id"])
        return sorted(result.values(), key=lambda record: (record["at"], record["id"]))

    def _decide(self, path: Path, values: tuple[Any, Any, Any], action: str, copy_id: str = "") -> None:
        present = {
            name: _shallow(value)
            for name, value in zip(("base", "ours", "theirs"), values, strict=True)
            if value is not _ABSENT
        }
        decision = {"at": self._at, "path": list(path), **present, "action": action}
        if copy_id:
            decision["copy_id"] = copy_id
        self._decisions.append({"id": _digest(decision)[:32], **decision})


def _is_whole(path: Path) -> bool:
    return len(path) == len(("workspaces", "id", "field")) and path[0] == "workspaces" and path[2] in WHOLE


def _names(*sides: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for side in sides for name in side))


def _get(values: dict[str, Any], name: str) -> Any:
    return values.get(name, _ABSENT)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _digest(value: Any) -> str:
    return sha256(_canonical(value).encode()).hexdigest()


def _titled(workspace: dict[str, Any], key: str) -> dict[str, Any]:
    title = str(workspace.get("title") or key)[:MAX_TITLE_LETTERS]
    return workspace | {"title": f"{title} (conflict copy)"}


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"id": f"{record['id'][:200]}~{_digest(record)[:16]}"}


def _by_id(records: list[Any]) -> dict[str, dict[str, Any]]:
    """Return records by id; a second, different one of the same id gets another."""
    result: dict[str, dict[str, Any]] = {}
    for record in records:
        if not same(result.setdefault(record["id"], record), record):
            copy = _renamed(record)
            result[copy["id"]] = copy
    return result


def _recent(ours: list[Any], theirs: list[Any]) -> list[Any]:
    known = {_canonical(entry): entry for entry in (*theirs, *ours)}
    latest = sorted(known.items(), key=lambda item: (item[1].get("at", 0.0), item[0]))
    return [entry for _, entry in latest][-RECENT_AT_MOST:]


def _total(base: Any, ours: Any, theirs: Any) -> float | None:
    """Return a counter that both sides added to; None if these cannot be added."""
    parts = [0 if value is _ABSENT else value for value in (base, ours, theirs)]
    if not all(type(part) in (int, float) for part in parts):
        return None
    start, mine, other = parts
    total: float = mine + other - start
    return total if min(mine, other) >= start and isfinite(total) and total < MAX_INTEGER else None


def _shallow(value: Any) -> Any:
    # A decision lies three levels below the document, deeper than some of what it tells of did.
    return _canonical(value) if problem_with(value, MAX_DEPTH - 3) else value
