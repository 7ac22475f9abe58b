"""Documents: what was written comes back whole, what is none is named, and neither costs much."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import store.documents.model as models
from documents import any_json, documents, full_document, garbage_json, outside_json
from store.documents import BadDocument, SessionDocument, dump, load, new_document, read
from store.documents.bounds import MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_NAME_LETTERS, problem_with
from store.documents.sections import SECTIONS
from store.outcomes import Outcome, TooNew

GOLDEN = Path(__file__).parent / "golden"
LOAD_MS_MAX = 12
PARSES_MAX = 4  # it is three times what the json module takes only to parse


def fresh(**fields: Any) -> dict[str, Any]:
    """Return a new document with some fields set."""
    return new_document("5e55" * 8, "pharo", "tcp://pharo:5555", 1.5) | fields


def as_bytes(state: Any) -> bytes:
    """Return JSON as another program might write it."""
    return json.dumps(state).encode()


def refusal(data: bytes) -> str:
    """Return what is said of bytes that are no document."""
    with pytest.raises(BadDocument) as caught:
        load(data)
    return caught.value.detail


# -- there and back --------------------------------------------------------------------


def test_a_new_document_holds_every_section_and_loads() -> None:
    """So that nobody has to ask whether a section is there."""
    state = fresh()
    assert state.keys() >= SECTIONS
    assert load(dump(state)) == state
    assert read(dump(state)).from_format == 1


@given(documents())
def test_documents_come_back_as_they_were(state: dict[str, Any]) -> None:
    """Fields nobody knows too, to the letter: 1 stays 1 and 1.0 stays 1.0."""
    assert dump(load(dump(state))) == dump(state)


@given(documents())
def test_the_typed_view_loses_nothing(state: dict[str, Any]) -> None:
    """At every level: a model that drops what it does not know would lose a later version's work."""
    view = SessionDocument.model_validate(state).model_dump(exclude_unset=True)
    assert view == state


@given(any_json)
def test_unknown_fields_may_hold_anything(value: Any) -> None:
    """Inside each model, and beside them all."""
    state = fresh(
        later=value,
        workspaces={"w": {"code": "3", "later": value, "cursor": {"line": 1, "later": value}}},
        evaluations=[{"id": "e", "at": 1, "later": value}],
        connection={"recent": [{"at": 1.0, "later": value}], "later": value},
    )
    assert dump(load(dump(state))) == dump(state)


def test_a_full_document_comes_back() -> None:
    """The same for the same seed, another for another, and of the size asked for."""
    state = full_document(1_000_000, 1)
    data = dump(state)
    assert load(data) == state
    assert 1_000_000 <= len(data) < 1_060_000
    assert full_document(50_000, 1) == full_document(50_000, 1)
    assert full_document(50_000, 1) != full_document(50_000, 2)


def test_lone_surrogates_cost_a_letter_not_the_document() -> None:
    """Names from the operating system may hold them; JSON in UTF-8 cannot."""
    assert load(dump(fresh(unsent_input="a\udc80b")))["unsent_input"] == "a?b"


def test_the_view_reads_as_the_models_say() -> None:
    """A host reads attributes, with a value for what is not there."""
    view = SessionDocument.model_validate_json((GOLDEN / "session-v1.json").read_bytes())
    assert view.workspaces["w1"].cursor.line == 3
    assert view.workspaces["w2"].selection is None
    assert view.evaluations[0].ok is True
    assert view.evaluations[2].model_extra == {"display_result": "pending"}
    assert view.connection.recent[-1].state == "Connected"
    assert view.objects["4711"].class_name == "Library"
    assert view.statistics.sessions == 31
    empty = SessionDocument.model_validate({"format": 1, "session": "s"})
    assert empty.workspaces == {}
    assert empty.connection.connected_at is None


def test_every_model_says_what_it_is() -> None:
    """They are read by those who write hosts."""
    found = [
        value for value in vars(models).values() if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    assert len(found) > 10
    for model in found:
        if model.__module__ == models.__name__ and not model.__name__.startswith("_"):
            assert model.__doc__
            assert model.model_config["extra"] == "allow", model


# -- what is none ----------------------------------------------------------------------


@given(garbage_json | outside_json.map(as_bytes) | st.dictionaries(st.text(), outside_json).map(as_bytes))
def test_what_is_no_document_is_called_so(data: bytes) -> None:
    """By name, whatever the bytes are."""
    with pytest.raises((BadDocument, TooNew)):
        load(data)


@given(documents(), st.data())
def test_damaged_documents_load_or_are_called_so(state: dict[str, Any], data: st.DataObject) -> None:
    """One byte changed, or the end missing: a document that is still one, or a named refusal."""
    good = bytearray(dump(state))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] = data.draw(st.integers(0, 255))
    for damaged in (bytes(good), bytes(good[:place])):
        try:
            found = load(damaged)
        except (BadDocument, TooNew):
            continue
        assert load(dump(found)) == found


@given(documents(), st.sampled_from(sorted({*SECTIONS, "format", "session", "created_at"})), outside_json)
def test_wrong_types_are_refused_or_right(state: dict[str, Any], name: str, value: Any) -> None:
    """What loads, loads again, and the typed view can be made of it."""
    try:
        found = load(as_bytes(state | {name: value}))
    except (BadDocument, TooNew):
        return
    SessionDocument.model_validate(found)
    assert load(dump(found)) == found


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"workspaces": []}, "workspaces"),
        ({"workspaces": {"w": {"code": 3}}}, "workspaces.w.code"),
        ({"workspaces": {"w": {"cursor": {"line": -1}}}}, "workspaces.w.cursor.line"),
        ({"workspaces": {"w": {"cursor": {"line": "1"}}}}, "workspaces.w.cursor.line"),
        ({"evaluations": [{"at": 1.0}]}, "evaluations.0.id"),
        ({"evaluations": [{"id": "e"}]}, "evaluations.0.at"),
        ({"evaluations": [{"id": "e", "at": "now"}]}, "evaluations.0.at"),
        ({"evaluations": [{"id": "e", "at": True}]}, "evaluations.0.at"),
        ({"evaluations": [{"id": "", "at": 1}]}, "evaluations.0.id"),
        ({"unsent_input": None}, "unsent_input"),
        ({"inspectors": {"i": {"visible": "yes"}}}, "inspectors.i.visible"),
        ({"evaluations": [{"id": "e", "at": 1, "ok": 1}]}, "evaluations.0.ok"),
        ({"session": ""}, "session"),
        ({"statistics": {"edits": 1.5}}, "statistics.edits"),
    ],
)
def test_a_refusal_names_the_place(fields: dict[str, Any], place: str) -> None:
    """Down to the field."""
    assert refusal(as_bytes(fresh(**fields))).startswith(f"{place}: ")


def test_what_exceeds_the_bounds_is_refused() -> None:
    """Too long, too deep, too large, not finite."""
    assert "bytes, of" in refusal(b" " * (MAX_DOCUMENT_BYTES + 1))
    assert "64 bits" in refusal(as_bytes(fresh(later=2**63)))
    assert "64 bits" in refusal(as_bytes(fresh(later=[{"deep": -(2**63) - 1}])))
    assert "not finite" in refusal(as_bytes(fresh(later=[float("inf")])))
    assert "letters" in refusal(as_bytes(fresh(later={"n" * (MAX_NAME_LETTERS + 1): 1})))
    nested: Any = 1
    for _ in range(MAX_DEPTH - 1):
        nested = [nested]
    assert load(as_bytes(fresh(later=nested)))["later"] == nested
    assert "levels" in refusal(as_bytes(fresh(later=[nested])))
    assert load(as_bytes(fresh(later=2**63 - 1)))["later"] == 2**63 - 1


def test_of_a_name_given_twice_the_last_value_counts() -> None:
    """As every program here reads it; what matters is that all read the same."""
    assert load(b'{"format":1,"session":"a","session":"b"}')["session"] == "b"


@given(outside_json)
def test_the_bounds_hold_for_any_value(value: Any) -> None:
    """What passes can be written and read back."""
    if problem_with(value) is None:
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_a_refusal_does_not_show_what_stands_there() -> None:
    """What is in a session is private, and errors end up in logs."""
    for data in (
        as_bytes(fresh(workspaces={"w": {"code": ["hunter2"]}})),
        as_bytes(fresh(unsent_input=["hunter2"])),
        as_bytes(fresh(statistics={"edits": "hunter2"})),
        b'{"format":1,"session":"s","unsent_input":"hunter2',
        b'{"hunter2": \xff}',
    ):
        with pytest.raises(BadDocument) as caught:
            load(data)
        assert "hunter2" not in f"{caught.value} {caught.value!r}"
        assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_the_error_has_an_outcome_and_pickles() -> None:
    """It crosses processes, and says what to do."""
    with pytest.raises(BadDocument) as caught:
        load(b"no")
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 -- made on the line itself
    assert error.outcome is Outcome.CORRUPT
    assert str(error) == str(caught.value)
    assert error.advice in str(error)


# -- what it costs ---------------------------------------------------------------------


def test_importing_costs_no_pydantic() -> None:
    """A host that restores nothing never pays for it."""
    code = "import store.documents, sys; print([m for m in sys.modules if 'pydantic' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_offers_nothing_else() -> None:
    """The model comes on request; what is not there says so as usual."""
    import store.documents as package  # noqa: PLC0415 -- looked at as a module

    assert package.SessionDocument is models.SessionDocument
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = package.no_such_thing
    for name in package.__all__:
        assert hasattr(package, name)


MEASURE = """
import json, time
from documents import full_document
from store.documents import dump, load

def measured_ms(function):
    start = time.process_time()
    function(data)
    return (time.process_time() - start) * 1000

data = dump(full_document(1_000_000, 7))
pairs = [(measured_ms(load), measured_ms(json.loads)) for _ in range(20)]
print(json.dumps([min(times) for times in zip(*pairs)]))
"""


def test_a_megabyte_loads_quickly() -> None:
    """Checked and all; where the machine is slow, in a few times what parsing alone takes.

    In a process of its own, as after a start: in this one the garbage collector has all the tests to look at.
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent / "support")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, env=environment
    )
    load_ms, parse_ms = json.loads(done.stdout)
    assert load_ms < max(LOAD_MS_MAX, PARSES_MAX * parse_ms), (load_ms, parse_ms)
