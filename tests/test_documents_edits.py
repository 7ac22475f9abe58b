"""Edits: whatever passes the check applies, comes back from bytes, and leaves a document that loads."""

from __future__ import annotations

import copy
import json
import pickle
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import any_json, documents, edits, entries, garbage_json, outside_json
from store.documents import (
    Append,
    BadEdit,
    Drop,
    Edit,
    Patch,
    Put,
    SessionDocument,
    apply,
    check,
    copied,
    decode,
    decode_known,
    dump,
    encode,
    load,
    new_document,
)
from store.documents.bounds import MAX_DEPTH, MAX_EDIT_BYTES, MAX_NAME_LETTERS
from store.documents.edits import patched
from store.documents.sections import HISTORIES, MAPS, SECTIONS, SINGLES


def fresh() -> dict[str, Any]:
    """Return an empty document."""
    return new_document("5e55" * 8, "pharo", "tcp://pharo:5555", 1.5)


def after(*changes: Edit) -> dict[str, Any]:
    """Return an empty document after some edits."""
    state = fresh()
    for edit in changes:
        apply(state, check(edit))
    return state


def refusal(edit: Edit) -> BadEdit:
    """Return what is said of a bad edit."""
    with pytest.raises(BadEdit) as caught:
        check(edit)
    return caught.value


# -- what they do ----------------------------------------------------------------------


def test_each_kind_does_what_it_says() -> None:
    """On a section, an entry and a history."""
    state = after(
        Put("unsent_input", "3 +"),
        Put("workspaces", {"title": "One", "code": "3", "cursor": {"line": 1, "column": 2}}, "w1"),
        Patch("workspaces", {"code": "4", "cursor": {"line": 5}, "title": None}, "w1"),
        Put("workspaces", {"code": "gone"}, "w2"),
        Drop("workspaces", "w2"),
        Drop("workspaces", "never there"),
        Patch("inspectors", {"target": "self"}, "i1"),
        Patch("image", {"identity": "b7c1"}),
        Append("inputs", {"id": "a", "at": 1.0, "text": "x"}),
        Append("inputs", {"id": "a", "at": 2.0, "text": "the id is taken"}),
        Append("inputs", {"id": "b", "at": 0.5, "text": "y"}),
    )
    assert state["unsent_input"] == "3 +"
    assert state["workspaces"] == {"w1": {"code": "4", "cursor": {"line": 5, "column": 2}}}
    assert state["inspectors"] == {"i1": {"target": "self"}}
    assert state["image"] == {"key": "pharo", "endpoint": "tcp://pharo:5555", "identity": "b7c1"}
    assert [record["text"] for record in state["inputs"]] == ["x", "y"]


def test_an_answer_completes_its_evaluation() -> None:
    """What was sent is there before it is answered; an answer to what is gone changes nothing."""
    state = after(
        Append("evaluations", {"id": "e1", "at": 1.0, "code": "3 + 4"}),
        Append("evaluations", {"id": "e2", "at": 2.0, "code": "3 / 0"}),
        Patch("evaluations", {"result": "7", "ok": True}, "e1"),
        Patch("evaluations", {"result": "no longer asked"}, "e0"),
    )
    assert state["evaluations"] == [
        {"id": "e1", "at": 1.0, "code": "3 + 4", "result": "7", "ok": True},
        {"id": "e2", "at": 2.0, "code": "3 / 0"},
    ]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": 1}, {"a": None}, {"b": 1}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1, None]}, {"a": [1, None]}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "b"}, None, None),
        (None, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
    ],
)
def test_patches_are_merge_patches(target: Any, patch: Any, result: Any) -> None:
    """RFC 7386: objects are merged, None removes, all else replaces."""
    before = copy.deepcopy(target)
    assert patched(target, patch) == result
    assert target == before


@given(any_json, any_json)
def test_a_patch_twice_is_a_patch_once(target: Any, patch: Any) -> None:
    """So that replaying a log over a snapshot that has some of it does no harm."""
    once = patched(target, patch)
    assert patched(once, patch) == once


# -- laws ------------------------------------------------------------------------------


@given(documents(), st.lists(edits(), max_size=8))
def test_checked_edits_apply_and_leave_a_document(state: dict[str, Any], changes: list[Edit]) -> None:
    """Whatever the document was: applying never fails, and the result loads."""
    for edit in changes:
        apply(state, check(edit))
    assert load(dump(state)) == state
    SessionDocument.model_validate(state)


@given(documents(), st.lists(edits(), max_size=8))
def test_edits_come_back_from_bytes(state: dict[str, Any], changes: list[Edit]) -> None:
    """And do the same as before."""
    checked = [check(edit) for edit in changes]
    again = decode(encode(checked))
    assert again == checked
    assert encode(again) == encode(checked)
    replayed = copied(state)
    for edit in checked:
        apply(state, edit)
    for edit in again:
        apply(replayed, edit)
    assert dump(replayed) == dump(state)


@given(documents(), st.lists(edits(), max_size=8))
def test_applying_changes_neither_edits_nor_other_documents(
    state: dict[str, Any], changes: list[Edit]
) -> None:
    """A copy, and edits that still wait to be written, are what they were."""
    checked = [check(edit) for edit in changes]
    waiting = encode(checked)
    other, before = copied(state), dump(state)
    for edit in checked:
        apply(state, edit)
    assert dump(other) == before
    assert encode(checked) == waiting


@given(documents(), edits())
def test_an_edit_twice_is_an_edit_once(state: dict[str, Any], edit: Edit) -> None:
    """Each kind says what shall be, not how to get there."""
    checked = check(edit)
    apply(state, checked)
    once = dump(state)
    apply(state, checked)
    assert dump(state) == once


def test_a_checked_edit_is_nobody_elses() -> None:
    """What the caller does to its own value later is no edit."""
    mine = {"code": "3", "cursor": {"line": 1}}
    edit = check(Put("workspaces", mine, "w"))
    mine["code"] = "4"
    assert edit == Put("workspaces", {"code": "3", "cursor": {"line": 1}}, "w")
    record: dict[str, Any] = {"id": "a", "at": 1}
    added = check(Append("inputs", record))
    record["at"] = 2
    assert added == Append("inputs", {"id": "a", "at": 1})


def test_a_checked_edit_is_plain_json() -> None:
    """Enumerations, tuples and lone surrogates become what will be read back."""

    class Mode(StrEnum):
        DISPLAY = "display"

    edit = check(Put("preferences", {"mode": Mode.DISPLAY, "pair": (1, 2), "text": "a\udc80"}))
    assert edit == Put("preferences", {"mode": "display", "pair": [1, 2], "text": "a?"})
    assert type(edit) is Put
    assert type(edit.value["mode"]) is str
    assert decode(encode([edit])) == [edit]


@given(st.sampled_from(sorted(SINGLES | MAPS)), st.data())
def test_every_kind_of_entry_can_be_put(section: str, data: st.DataObject) -> None:
    """What a document may hold, an edit may bring."""
    value = data.draw(entries[section])
    state = after(Put(section, value, "k" if section in MAPS else None))
    assert (state[section]["k"] if section in MAPS else state[section]) == value


# -- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (Put("workspace", {}), "no such section"),
        (Put("format", 2), "no such section"),
        (Put("session", "s"), "no such section"),
        (Put("evaluations", []), "only grows"),
        (Put("inputs", {"id": "a", "at": 1}, "a"), "only grows"),
        (Patch("inputs", {}), "key of an entry"),
        (Patch("inputs", {"id": "b"}, "a"), "keeps its id"),
        (Patch("inputs", {"at": None}, "a"), "keeps its id"),
        (Patch("inputs", {"text": 3}, "a"), "text: "),
        (Patch("inputs", None, "a"), "dictionary"),
        (Drop("inputs", "a"), "only grows"),
        (Append("workspaces", {"id": "a", "at": 1}), "histories only"),
        (Append("image", {"id": "a", "at": 1}), "histories only"),
        (Put("image", {}, "k"), "has no entries"),
        (Drop("image", "k"), "has no entries"),
        (Put("workspaces", {}), "key of an entry"),
        (Put("workspaces", {}, ""), "key of an entry"),
        (Drop("workspaces", "k" * (MAX_NAME_LETTERS + 1)), "key of an entry"),
        (Put("workspaces", {}, "\ud800"), "key of an entry"),
        (Put("workspaces", {"code": 3}, "w"), "code: "),
        (Patch("workspaces", {"cursor": {"line": "x"}}, "w"), "cursor.line: "),
        (Patch("workspaces", None, "w"), "dictionary"),
        (Patch("unsent_input", None), "string"),
        (Append("inputs", {"at": 1}), "id: "),
        (Append("inputs", {"id": "a"}), "at: "),
        (Append("inputs", {"id": "a", "at": float("inf")}), "no JSON"),
        (Put("preferences", {"a": float("nan")}), "no JSON"),
        (Put("preferences", {"a": {1, 2}}), "no JSON"),
        (Put("preferences", {("a", "b"): 1}), "no JSON"),
        (Put("preferences", {"a": 2**63}), "64 bits"),
        (Put("preferences", {"a": 10**5000}), "no JSON"),
        (Put("preferences", {"n" * (MAX_NAME_LETTERS + 1): 1}), "letters"),
        (Put("unsent_input", "x" * MAX_EDIT_BYTES), "bytes, of"),
    ],
)
def test_a_bad_edit_is_named(edit: Edit, problem: str) -> None:
    """With its section, its key, and what is wrong with it."""
    error = refusal(edit)
    assert problem in error.problem
    assert error.section == edit.section
    assert error.key == getattr(edit, "key", None)
    assert pickle.loads(pickle.dumps(error)).args == error.args  # noqa: S301 -- made on the line itself
    assert error.advice in str(error)


@pytest.mark.parametrize(
    "thing", [{"workspaces": {}}, "workspaces", None, ("workspaces", {}, "w1")], ids=repr
)
def test_what_is_no_edit_is_called_so(thing: Any) -> None:
    """As somebody tries who has not read how."""
    assert "is no edit; use Put, Patch, Drop or Append" in refusal(thing).problem


def test_what_is_nested_too_deeply_is_refused() -> None:
    """A document takes 32 levels in all, wherever the edit goes."""
    nested: Any = 1
    for _ in range(MAX_DEPTH - 2):
        nested = [nested]
    assert load(dump(after(Put("preferences", {"a": nested}))))["preferences"] == {"a": nested}
    assert "levels" in refusal(Put("preferences", {"a": [nested]})).problem
    assert "levels" in refusal(Put("workspaces", {"later": nested}, "w")).problem
    assert load(dump(after(Put("workspaces", {"later": nested[0]}, "w"))))
    endless: list[Any] = []
    endless.append(endless)
    assert "no JSON" in refusal(Put("preferences", {"a": endless})).problem
    for _ in range(100_000):
        nested = [nested]
    assert "no JSON" in refusal(Put("preferences", {"a": nested})).problem


def test_a_refusal_does_not_show_what_was_typed() -> None:
    """Errors end up in logs."""
    for edit in (
        Put("unsent_input", ["hunter2"]),
        Put("workspaces", {"code": ["hunter2"]}, "w"),
        Append("inputs", {"id": ["hunter2"], "at": "hunter2"}),
        Put("preferences", {"a": {"hunter2"}}),
    ):
        error = refusal(edit)
        assert "hunter2" not in f"{error} {error!r}"
        assert error.__context__ is None or error.__suppress_context__


@given(
    st.sampled_from(sorted(SECTIONS)) | st.text(max_size=5),
    outside_json,
    st.none() | st.text(max_size=3),
    st.data(),
)
def test_whatever_is_edited_applies_or_is_refused(
    section: str, value: Any, key: str | None, data: st.DataObject
) -> None:
    """There is nothing between: what passes the check leaves a document that loads."""
    kinds: list[Edit] = [Put(section, value, key), Patch(section, value, key), Append(section, value)]
    if key is not None:
        kinds.append(Drop(section, key))
    edit = data.draw(st.sampled_from(kinds))
    try:
        checked = check(edit)
    except BadEdit:
        return
    state = fresh()
    apply(state, checked)
    assert load(dump(state)) == state
    assert decode(encode([checked])) == [checked]


@given(garbage_json | outside_json.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_are_no_edits_are_called_so(data: bytes) -> None:
    """By name; an empty list is a list of edits."""
    try:
        found = decode(data)
    except BadEdit:
        return
    assert found == []


@given(garbage_json | outside_json.map(lambda value: json.dumps(value).encode()))
def test_of_a_later_log_what_is_known_is_read(data: bytes) -> None:
    """The rest is counted."""
    try:
        known, passed_over = decode_known(data)
    except BadEdit:
        return
    assert len(known) + passed_over == len(json.loads(data))


def test_unknown_edits_of_a_later_log_do_not_hide_the_others() -> None:
    """Another kind, another section, another type."""
    good = check(Put("unsent_input", "3"))
    later = [["move", "workspaces", "a", "b"], ["put", "panes", {}], ["put", "unsent_input", {"text": "3"}]]
    data = json.dumps([later[0], json.loads(encode([good]))[0], *later[1:]]).encode()
    assert decode_known(data) == ([good], 3)
    with pytest.raises(BadEdit):
        decode(data)


@given(st.lists(edits(), min_size=1, max_size=3), st.data())
def test_damaged_edits_decode_or_are_called_so(changes: list[Edit], data: st.DataObject) -> None:
    """One byte changed, or the end missing."""
    good = bytearray(encode([check(edit) for edit in changes]))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] = data.draw(st.integers(0, 255))
    for damaged in (bytes(good), bytes(good[:place])):
        try:
            found = decode(damaged)
        except BadEdit:
            continue
        assert decode(encode(found)) == found


@pytest.mark.parametrize(
    "item",
    [
        "put",
        ["put"],
        ["put", "image"],
        ["put", 3, {}],
        ["put", "workspaces", {}, 3],
        ["patch", "workspaces", {}, None],
        ["drop", "workspaces"],
        ["append", "inputs", []],
        ["move", "workspaces", "a"],
        {"put": "image"},
        None,
    ],
)
def test_other_shapes_are_no_edits(item: Any) -> None:
    """The log of a later version is read by that one."""
    with pytest.raises(BadEdit):
        decode(json.dumps([item]).encode())


def test_the_kinds_of_sections_are_disjoint() -> None:
    """An edit's kind decides how it merges."""
    assert len(SECTIONS) == len(SINGLES) + len(MAPS) + len(HISTORIES)
    assert set(entries) == SECTIONS
