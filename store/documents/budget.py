"""Making a session fit: the oldest history goes first, work never, and what went is told."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from store.documents.bounds import MAX_DOCUMENT_BYTES
from store.documents.document import copied, dump
from store.documents.sections import HISTORIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from store.documents.sections import State

AT_MOST: Final = {"evaluations": 500, "inputs": 1000, "inspections": 100, "merges": 100, "objects": 2000}
"""Records or entries of a section that are kept even if there is room for more."""

AT_LEAST: Final = {"evaluations": 50, "inputs": 50, "inspections": 10, "merges": 10}
"""Records of a history that are kept however little room there is; clients are promised 50 evaluations."""

RECENT_AT_MOST: Final = 20
"""Earlier connections of an image."""

RESULT_LETTERS: Final = 1000
"""What is left of a long answer of the image if there is no room otherwise; its code is never shortened."""

STEPS: Final = 16
"""History goes by sixteenths: whether a document fits is dear to find out, and four questions find that."""

SHORTENED: Final = {"evaluations": "result", "inspections": "summary"}
"""What the image answered, by the history that holds it."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A document that was made to fit, and what that took.

    Attributes:
        state: the document; the one given is as it was.
        dropped: how many records or entries of each section went.
        shortened: how many records of each history had their answer cut.
        fits: false if all that may go is gone and the rest is still too large.
    """

    state: State
    dropped: dict[str, int] = field(default_factory=dict)
    shortened: dict[str, int] = field(default_factory=dict)
    fits: bool = True


def fit(state: State, fits: Callable[[State], bool]) -> Trimmed:
    """Return as much of the document as fits.

    First each section is cut to what it may hold at most. Then go, as far as needed: the oldest records of
    all histories beyond the last few, the descriptions of objects not seen for longest, and the ends of
    long answers. Workspaces, unsent input and all else that somebody made are never touched.

    Args:
        state: a document.
        fits: whether a document does.
    """

    def small(candidate: State) -> bool:
        # Cheap to compress is not small: a document beyond this bound could not be loaded again.
        return fits(candidate) and len(dump(candidate)) <= MAX_DOCUMENT_BYTES

    kept = _capped(state)
    good = small(kept)
    for thin in (_without_history, _without_objects, _with_short_answers):
        if not good:
            kept, good = _least(partial(thin, kept), small)
    return Trimmed(kept, _missing(state, kept), _cut(state, kept), good)


def _least(thinned: Callable[[int], State], small: Callable[[State], bool]) -> tuple[State, bool]:
    """Return the document with the least loss that makes it small, or with all of it if none does."""
    losses = range(1, STEPS + 1)
    index = bisect_left(losses, x=True, key=lambda loss: small(thinned(loss)))
    return thinned(losses[min(index, STEPS - 1)]), index < STEPS


def _capped(state: State) -> State:
    result = copied(state)
    for section, most in AT_MOST.items():
        if section in HISTORIES:
            records = result.get(section, [])
            if len(records) > most:
                result[section] = sorted(records, key=_age)[-most:]
        elif len(result.get(section, {})) > most:
            result[section] = _seen_last(result[section], most)
    recent = result.get("connection", {}).get("recent", [])
    if len(recent) > RECENT_AT_MOST:
        result["connection"] = result["connection"] | {"recent": recent[-RECENT_AT_MOST:]}
    return result


def _without_history(state: State, loss: int) -> State:
    """Leave out the oldest sixteenths of what may go, counted over all histories together."""
    result = copied(state)
    records = {section: sorted(state.get(section, []), key=_age) for section in sorted(HISTORIES)}
    spare = sorted(
        (_age(record), section)
        for section, history in records.items()
        for record in history[: max(0, len(history) - AT_LEAST[section])]
    )
    gone = [section for _, section in spare[: _share(len(spare), loss)]]
    for section, history in records.items():
        if section in gone:
            result[section] = history[gone.count(section) :]
    return result


def _without_objects(state: State, loss: int) -> State:
    result = copied(state)
    if objects := result.get("objects"):
        result["objects"] = _seen_last(objects, len(objects) - _share(len(objects), loss))
    return result


def _with_short_answers(state: State, loss: int) -> State:
    result = copied(state)
    long = sorted(
        (_age(record), section, index)
        for section, name in SHORTENED.items()
        for index, record in enumerate(state.get(section, []))
        if len(record.get(name) or "") > RESULT_LETTERS
    )
    for _, section, index in long[: _share(len(long), loss)]:
        record, name = result[section][index], SHORTENED[section]
        result[section][index] = record | {name: record[name][:RESULT_LETTERS], "shortened": True}
    return result


def _share(count: int, loss: int) -> int:
    return -(-count * loss // STEPS)  # rounded up, so that every step leaves out something


def _age(record: dict[str, Any]) -> tuple[float, str]:
    return record["at"], record["id"]


def _seen_last(objects: dict[str, Any], count: int) -> dict[str, Any]:
    # The sort is stable: of those never seen, the ones registered first go first.
    oldest_first = sorted(objects, key=lambda key: objects[key].get("seen_at") or 0.0)
    kept = set(oldest_first[len(objects) - count :])
    return {key: value for key, value in objects.items() if key in kept}


def _missing(before: State, after: State) -> dict[str, int]:
    sizes = {
        section: len(before.get(section, ())) - len(after.get(section, ())) for section in sorted(AT_MOST)
    }
    recent = [len(state.get("connection", {}).get("recent", ())) for state in (before, after)]
    sizes["recent"] = recent[0] - recent[1]
    return {section: count for section, count in sizes.items() if count}


def _cut(before: State, after: State) -> dict[str, int]:
    counts = {}
    for section in SHORTENED:
        whole = {record["id"] for record in before.get(section, ()) if not record.get("shortened")}
        counts[section] = sum(
            1 for record in after.get(section, ()) if record.get("shortened") and record["id"] in whole
        )
    return {section: count for section, count in counts.items() if count}
