"""Migrations: every format there ever was still opens, and a later one can be read without losing a field."""

from __future__ import annotations

import copy
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import store.documents.model as models
from documents import any_json, documents, names, outside_json
from store.documents import (
    FORMAT,
    MIGRATIONS,
    BadDocument,
    SessionDocument,
    State,
    dump,
    load,
    migrate,
    new_document,
    read,
    readable_newer,
)
from store.documents.bounds import problem_with
from store.documents.sections import SECTIONS
from store.outcomes import Outcome, TooNew

GOLDEN = Path(__file__).parent / "golden"
FROZEN = {
    "session-v0.json": "3370fcee9a65b9fd12c77cf2cc714242ef7f2db4766be9ec20ce4ce7f47f9a22",
    "session-v0-migrated.json": "f7c2cf91705c8b0fcbed2643be670a30499dcc36d2fce6844d4192f1326037a6",
    "session-v1.json": "401ee78838735f9b9c3f2976ea9ef04f793359033662240acff2abde5de8423f",
}
"""They are on somebody's disk: a golden file is added with a new format, and never changed."""


def golden(name: str) -> State:
    """Return a golden document."""
    found: State = json.loads((GOLDEN / name).read_bytes())
    return found


# -- golden files ----------------------------------------------------------------------


def test_golden_files_are_frozen() -> None:
    """Whoever needs to change one has broken an old session."""
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in GOLDEN.glob("session-*.json")}
    assert found == FROZEN


def test_there_is_a_golden_file_and_a_step_for_every_format() -> None:
    """From the first to today's."""
    for number in range(FORMAT + 1):
        assert golden(f"session-v{number}.json")["format"] == number
    assert set(MIGRATIONS) == set(range(FORMAT))


@pytest.mark.parametrize("number", range(FORMAT + 1))
def test_every_format_opens(number: int) -> None:
    """As today's, with nothing that was in it missing."""
    data = (GOLDEN / f"session-v{number}.json").read_bytes()
    loaded = read(data)
    assert loaded.from_format == number
    assert loaded.state["format"] == FORMAT
    assert load(dump(loaded.state)) == loaded.state
    text = json.dumps(loaded.state, ensure_ascii=False)
    for leaf in leaves({name: value for name, value in json.loads(data).items() if name != "format"}):
        assert json.dumps(leaf, ensure_ascii=False) in text


def leaves(value: Any) -> list[Any]:
    """Return every scalar in a JSON value."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def test_format_0_becomes_what_it_always_became() -> None:
    """A released step never changes."""
    before = golden("session-v0.json")
    state, found = migrate(before)
    assert found == 0
    assert state == golden("session-v0-migrated.json")
    assert before == golden("session-v0.json")


def test_todays_format_is_left_alone() -> None:
    """There is nothing to do."""
    state = golden("session-v1.json")
    assert migrate(state) == (state, FORMAT)
    assert load((GOLDEN / "session-v1.json").read_bytes()) == state


# -- the first step --------------------------------------------------------------------

drafts = st.fixed_dictionaries(
    {"format": st.just(0), "session": names},
    optional={
        "image": st.text(max_size=5),
        "endpoint": st.text(max_size=5),
        "created": st.integers(0, 10**9) | st.floats(0, 1e9),
        "state": st.text(max_size=5),
        "workspace": st.text(max_size=20),
        "cursor": st.just([]) | st.tuples(st.integers(0, 99), st.integers(0, 99)).map(list),
        "unsent": st.text(max_size=9),
        "history": st.lists(st.text(max_size=9), max_size=4),
        "preferences": st.dictionaries(names, any_json, max_size=2),
        "later_wizard": any_json,
        "evaluations": any_json,
        "workspaces": any_json,
    },
)


@given(drafts)
def test_every_draft_migrates(draft: State) -> None:
    """Pure, the same each time, its code and history kept, and so is what it never knew."""
    before = copy.deepcopy(draft)
    state, _ = migrate(draft)
    assert draft == before
    assert migrate(draft)[0] == state
    assert load(json.dumps(state).encode()) == state
    assert state["workspaces"]["workspace"]["code"] == draft.get("workspace", "")
    assert [record["code"] for record in state["evaluations"]] == draft.get("history", [])
    for name in ("evaluations", "workspaces"):
        assert (name in draft) == (name in state.get("from_format_0", {}))
        if name in draft:
            assert state["from_format_0"][name] == draft[name]
    assert state.get("later_wizard") == draft.get("later_wizard")


@given(
    drafts, st.sampled_from(["workspace", "cursor", "history", "created", "session", "unsent"]), outside_json
)
def test_drafts_with_wrong_types_are_called_so(draft: State, name: str, value: Any) -> None:
    """A step trusts nothing: what it cannot carry over is a bad document, not another error."""
    try:
        state = load(json.dumps(draft | {name: value}).encode())
    except BadDocument:
        return
    assert load(dump(state)) == state


@given(outside_json)
def test_the_format_is_a_whole_number_that_is_known(value: Any) -> None:
    """Or the document is bad, or too new."""
    state = {"format": value, "session": "s"}
    if type(value) is int and 0 <= value <= FORMAT:
        assert migrate(state)[1] == value
        return
    with pytest.raises((BadDocument, TooNew)) as caught:
        migrate(state)
    too_new = type(value) is int and value > FORMAT
    assert caught.value.outcome is (Outcome.TOO_NEW if too_new else Outcome.CORRUPT)


# -- later formats ---------------------------------------------------------------------


def newer(**fields: Any) -> State:
    """Return a document of the next format."""
    return new_document("5e55" * 8, "pharo", "tcp://pharo:5555", 1.5) | {"format": FORMAT + 1} | fields


def test_a_later_format_is_too_new_to_write_and_can_be_read() -> None:
    """Read-only is asked for; the format stays what it is."""
    data = dump(newer(panes={"split": [1, 2]}, workspaces={"w": {"code": "3", "language": "pharo"}}))
    with pytest.raises(TooNew) as caught:
        load(data)
    assert f"format {FORMAT + 1}" in str(caught.value)
    loaded = read(data, read_only=True)
    assert loaded.from_format == FORMAT + 1
    assert dump(loaded.state) == data
    assert SessionDocument.model_validate(loaded.state).workspaces["w"].code == "3"


def test_what_has_another_type_now_is_set_aside() -> None:
    """Entry by entry: one that cannot be read does not hide the others."""
    state = newer(
        unsent_input={"text": "3 +", "cursor": 3},
        workspaces={"w": {"code": "3"}, "v": {"code": ["a", "b"]}},
        evaluations=[{"id": "a", "at": 1}, {"id": 2, "at": 2}, {"id": "c", "at": 3}, {"id": "d", "at": "4"}],
        layout=[],
        set_aside="a field of their own",
    )
    view = readable_newer(state)
    typed = SessionDocument.model_validate(view)
    assert typed.workspaces.keys() == {"w"}
    assert [record.id for record in typed.evaluations] == ["a", "c"]
    assert view["set_aside"] == {
        "unsent_input": {"text": "3 +", "cursor": 3},
        "workspaces": {"v": {"code": ["a", "b"]}},
        "evaluations": [{"id": 2, "at": 2}, {"id": "d", "at": "4"}],
        "layout": [],
        "set_aside": "a field of their own",
    }


@given(
    documents(),
    st.dictionaries(st.sampled_from(sorted({*SECTIONS, "session", "created_at", "set_aside"})), any_json),
)
def test_any_later_document_can_be_read_and_no_field_is_lost(state: State, fields: State) -> None:
    """Whatever it made of the fields known today."""
    later = state | {"format": FORMAT + 1} | fields
    before = dump(later)
    view = load(before, read_only=True)
    SessionDocument.model_validate(view)
    assert dump(later) == before
    aside = view.get("set_aside", {})
    for name, value in later.items():
        if name in view and view[name] == value:
            continue
        assert name in aside
        if name == "set_aside":
            assert aside[name] == value
            continue
        rest = view.get(name)
        if isinstance(aside[name], dict) and isinstance(rest, dict):
            assert rest | aside[name] == value
        elif isinstance(aside[name], list) and isinstance(rest, list):
            assert len(rest) + len(aside[name]) == len(value)
        else:
            assert aside[name] == value


@given(st.dictionaries(st.sampled_from(sorted(SECTIONS)) | st.text(max_size=4), outside_json, max_size=4))
def test_garbage_of_a_later_format_is_read_or_called_so(fields: State) -> None:
    """Within the bounds it is read, beyond them it is none."""
    later = {"session": "s"} | fields | {"format": FORMAT + 5}
    try:
        view = load(json.dumps(later).encode(), read_only=True)
    except BadDocument:
        return
    assert problem_with(later) is None
    SessionDocument.model_validate(view)


# -- the schema ------------------------------------------------------------------------


def schema() -> dict[str, dict[str, str]]:
    """Return every model's fields with what each one has if it is not there."""
    found = {
        name: model
        for name, model in vars(models).items()
        if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == models.__name__
    }
    return {
        name: {
            field: "required" if info.is_required() else repr(info.default)
            for field, info in sorted(model.model_fields.items())
        }
        for name, model in sorted(found.items())
        if not name.startswith("_")
    }


def test_the_schema_is_frozen() -> None:
    """A new field is added to the golden file; removing, renaming or requiring one needs a new format."""
    assert schema() == json.loads((GOLDEN / "schema-v1.json").read_bytes())
