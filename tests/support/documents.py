"""Session documents and edits for tests: any that are valid, and one as large as they come."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from simulations.sample_session import full_document
from store.documents import Append, Drop, Edit, Patch, Put, new_document
from store.documents.sections import HISTORIES, MAPS, SINGLES

__all__ = [
    "any_json",
    "documents",
    "edits",
    "entries",
    "full_document",
    "garbage_json",
    "outside_json",
    "record_ids",
    "workspace_texts",
]

SESSION = "5e551014" * 4

letters = st.characters(exclude_categories=["Cs"])
texts = st.text(letters, max_size=12)
names = st.text(letters, min_size=1, max_size=4)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
# Few values, so that two sides agree or collide often.
keys = st.sampled_from(["a", "b", "c", "w1"])
seconds = st.integers(0, 5) | st.floats(-1e6, 1e12)
counts = st.integers(0, 5) | st.integers(0, 2**63 - 1)
codes = st.sampled_from(["", "3 + 4", "self halt", "^ nil", "x"]) | texts

any_json = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
"""What a later version may keep in a field of its own."""

outside_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
"""What anybody may send: not finite, not Unicode, beyond 64 bits."""

positions = st.fixed_dictionaries({}, optional={"line": counts, "column": counts})
recent = st.fixed_dictionaries(
    {}, optional={"at": seconds, "endpoint": texts, "state": texts, "reason": texts}
)


def _part(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects with some of the fields, and sometimes some that nobody knows."""
    unknown: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
        names.map("later_{}".format), any_json, max_size=2
    )
    return st.builds(
        lambda known, more: {**known, **more}, st.fixed_dictionaries({}, optional=fields), unknown
    )


def _record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    ids = keys | st.integers(0, 20).map(str)
    return st.builds(lambda id_, at, rest: {"id": id_, "at": at, **rest}, ids, seconds, _part(**fields))


entries: dict[str, st.SearchStrategy[Any]] = {
    "image": _part(key=texts, endpoint=texts, identity=st.none() | texts, dialect=st.none() | texts),
    "connection": _part(
        endpoint=texts,
        parameters=st.dictionaries(names, any_json, max_size=3),
        last_state=st.sampled_from(["Connected", "Lost"]),
        connected_at=st.none() | seconds,
        recent=st.lists(recent, max_size=4),
    ),
    "preferences": st.dictionaries(names, any_json, max_size=3),
    "layout": _part(panels=st.dictionaries(keys, any_json, max_size=3), focus=st.none() | texts),
    "unsent_input": codes,
    "statistics": _part(connected_s=seconds, evaluations=counts, edits=counts, sessions=counts),
    "workspaces": _part(
        title=texts,
        code=codes,
        unsent=codes,
        cursor=positions,
        selection=st.none() | st.fixed_dictionaries({}, optional={"start": positions, "end": positions}),
        last_used_at=st.none() | seconds,
    ),
    "inspectors": _part(
        kind=texts, target=codes, visible=st.booleans(), expanded=st.lists(texts, max_size=3)
    ),
    "browsers": _part(class_name=texts, view=texts, filter=texts, method=st.none() | texts),
    "objects": _part(description=texts, class_name=texts, seen_at=st.none() | seconds),
    "inputs": _record(text=codes),
    "evaluations": _record(code=codes, result=st.none() | texts, ok=st.none() | st.booleans(), mode=texts),
    "inspections": _record(target=codes, class_name=texts, summary=texts),
    "merges": _record(path=st.lists(names, max_size=3), base=any_json, ours=any_json, theirs=any_json),
}
"""What one value, entry or record of each section may be."""


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Return valid documents of one session, from hardly anything to all of it."""
    singles = {section: entries[section] for section in SINGLES}
    maps = {section: st.dictionaries(keys, entries[section], max_size=3) for section in MAPS}
    histories = {
        section: st.lists(entries[section], max_size=4, unique_by=lambda record: record["id"])
        for section in HISTORIES
    }
    later: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
        names.map("later_{}".format), any_json, max_size=2
    )
    return st.builds(
        lambda known, more: {**new_document(SESSION, "image", "tcp://image:1", 1.0), **known, **more},
        st.fixed_dictionaries({}, optional={**singles, **maps, **histories}),
        later,
    )


def edits() -> st.SearchStrategy[Edit]:
    """Return edits that `check` accepts."""
    singles = st.sampled_from(sorted(SINGLES)).flatmap(
        lambda section: (
            st.builds(Put, st.just(section), entries[section])
            | st.builds(Patch, st.just(section), _patches(section))
        )
    )
    maps = st.sampled_from(sorted(MAPS)).flatmap(
        lambda section: (
            st.builds(Put, st.just(section), entries[section], keys)
            | st.builds(Patch, st.just(section), _patches(section), keys)
            | st.builds(Drop, st.just(section), keys)
        )
    )
    histories = st.sampled_from(sorted(HISTORIES)).flatmap(
        lambda section: (
            st.builds(Append, st.just(section), entries[section])
            | st.builds(Patch, st.just(section), _patches(section), keys)
        )
    )
    return singles | maps | histories


def _patches(section: str) -> st.SearchStrategy[Any]:
    """Return patches of a section: some fields of a value, and some to be removed."""
    if section == "unsent_input":
        return entries[section]
    removed = st.lists(st.sampled_from(["code", "title", "cursor", "key", "panels", "a"]), max_size=2)
    fixed = {"id", "at"} if section in HISTORIES else set()
    return st.builds(
        lambda value, gone: {name: value[name] for name in value if name not in fixed} | dict.fromkeys(gone),
        entries[section],
        removed,
    )


garbage_json = st.one_of(
    st.binary(max_size=200),
    st.integers(1, 100_000).map(lambda depth: b"[" * depth),
    st.integers(1, 1000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(1, 10_000).map(lambda digits: b'{"format":' + b"9" * digits + b"}"),
    st.sampled_from(
        [
            b"",
            b"null",
            b"[]",
            b'{"format":NaN}',
            b'{"format":1,"session":"s","created_at":Infinity}',
            b'{"format":1,"session":"s","created_at":1e999}',
            b'{"format":1,"session":"s","later":-1e999}',
            b'{"format":1,"session":"\\ud800"}',
            b'{"format":1,"session":"s","\\udfff":1}',
            b'{"format":1,"session":"\xed\xa0\x80"}',
            b'{"format":1,"format":2,"session":"s"}',
            b'{"format":true,"session":"s"}',
            b'{"format":1.0,"session":"s"}',
            b'{"format":-1,"session":"s"}',
            b'\xef\xbb\xbf{"format":1,"session":"s"}',
        ]
    ),
)
"""Bytes that are no document, whatever else they are."""


def record_ids(state: dict[str, Any], section: str) -> set[str]:
    """Return the ids in a history."""
    return {record["id"] for record in state.get(section, [])}


def workspace_texts(state: dict[str, Any]) -> set[str]:
    """Return every text somebody worked on that is in a workspace."""
    workspaces = state.get("workspaces", {}).values()
    return {text for work in workspaces for text in (work.get("code"), work.get("unsent")) if text}
