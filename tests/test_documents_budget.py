"""Budgets: history goes oldest first and no more than needed, work never, and what went is told."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import documents, full_document, workspace_texts
from store.documents import Append, Put, State, Trimmed, apply, check, dump, fit, load, new_document
from store.documents.bounds import MAX_DOCUMENT_BYTES
from store.documents.budget import AT_LEAST, AT_MOST, RECENT_AT_MOST, RESULT_LETTERS
from store.documents.sections import HISTORIES

UNTOUCHED = ("image", "connection", "preferences", "layout", "unsent_input", "workspaces", "inspectors")


def no_more_than(size_bytes: int) -> Any:
    """Return a condition on a document's size."""
    return lambda state: len(dump(state)) <= size_bytes


def work(state: State) -> bytes:
    """Return what must never go."""
    return dump({section: state.get(section) for section in (*UNTOUCHED, "browsers", "statistics")})


def fresh(**sections: Any) -> State:
    """Return a document with some sections."""
    return new_document("5e55" * 8, "pharo", "tcp://pharo:5555", 1.5) | sections


def records(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return a history, oldest first."""
    return [{"id": f"{number:06d}", "at": float(number), **fields} for number in range(count)]


def told(before: State, trimmed: Trimmed) -> None:
    """Make sure that the counts are right, and that the newest of each history are what is left."""
    for section in HISTORIES:
        old, new = before.get(section, []), trimmed.state.get(section, [])
        assert trimmed.dropped.get(section, 0) == len(old) - len(new)
        newest = sorted(old, key=lambda record: (record["at"], record["id"]))[len(old) - len(new) :]
        assert {record["id"] for record in new} == {record["id"] for record in newest}
    assert trimmed.dropped.get("objects", 0) == len(before.get("objects", {})) - len(
        trimmed.state.get("objects", {})
    )
    assert 0 not in trimmed.dropped.values()


@given(documents())
def test_what_fits_stays_as_it_is(state: State) -> None:
    """To the letter."""
    before = dump(state)
    trimmed = fit(state, lambda _: True)
    assert dump(trimmed.state) == before
    assert trimmed == Trimmed(trimmed.state)
    apply(trimmed.state, check(Put("workspaces", {"code": "another"}, "new")))
    apply(trimmed.state, check(Append("inputs", {"id": "new", "at": 1})))
    assert dump(state) == before


@given(documents(), st.integers(0, 3000))
def test_work_never_goes_and_what_goes_is_told(state: State, size_bytes: int) -> None:
    """However little room there is; and the document given is as it was."""
    before = dump(state)
    trimmed = fit(state, no_more_than(size_bytes))
    assert dump(state) == before
    assert work(trimmed.state) == work(state)
    assert workspace_texts(trimmed.state) == workspace_texts(state)
    assert trimmed.fits is (len(dump(trimmed.state)) <= size_bytes)
    told(state, trimmed)
    assert load(dump(trimmed.state)) == trimmed.state


@pytest.mark.parametrize("size_bytes", [950_000, 700_000, 500_000])
def test_a_full_document_loses_only_what_it_must(size_bytes: int) -> None:
    """A sixteenth more than needed at most."""
    state = full_document(1_000_000, 3)
    trimmed = fit(state, no_more_than(size_bytes))
    assert trimmed.fits
    told(state, trimmed)
    assert work(trimmed.state) == work(state)
    assert len(dump(trimmed.state)) > size_bytes - 60_000
    assert fit(trimmed.state, no_more_than(size_bytes)) == Trimmed(trimmed.state)


def test_it_asks_a_few_times_only() -> None:
    """Sealing a megabyte to see how large it gets takes a while."""
    asked = []

    def small(state: State) -> bool:
        asked.append(1)
        return len(zlib.compress(dump(state), 1)) < 200_000

    assert fit(full_document(1_000_000, 3), small).fits
    assert len(asked) <= 7


def test_the_oldest_goes_first_across_histories() -> None:
    """Not evaluations before inputs, but what is longest ago."""
    old = [record | {"id": f"i{record['id']}"} for record in records(200, text="x" * 20)]
    new = [record | {"at": record["at"] + 1000} for record in records(200, code="x" * 20)]
    state = fresh(inputs=old, evaluations=new)
    trimmed = fit(state, no_more_than(len(dump(state)) - 2000))
    assert set(trimmed.dropped) == {"inputs"}
    told(state, trimmed)


def test_the_last_records_stay_and_then_objects_and_answers_go() -> None:
    """In that order, each only if the one before did not help."""
    state = fresh(
        evaluations=records(60, code="c" * 100, result="r" * 5000),
        objects={f"o{number}": {"description": "d" * 100, "seen_at": number} for number in range(1000)},
    )
    size = len(dump(state))
    history = fit(state, no_more_than(size - 30_000))
    assert set(history.dropped) == {"evaluations"}
    both = fit(state, no_more_than(size - 100_000))
    assert both.dropped["evaluations"] == 10
    assert 0 < both.dropped["objects"] < 1000
    assert both.state["objects"] == dict(list(state["objects"].items())[both.dropped["objects"] :])
    assert both.shortened == {}
    answers = fit(state, no_more_than(150_000))
    assert answers.dropped == {"evaluations": 10, "objects": 1000}
    assert 0 < answers.shortened["evaluations"] < 50
    assert answers.fits
    cut, whole = answers.state["evaluations"][0], answers.state["evaluations"][-1]
    assert (len(cut["result"]), len(cut["code"]), cut["shortened"]) == (RESULT_LETTERS, 100, True)
    assert whole == state["evaluations"][-1]


def test_what_cannot_fit_is_said_to_be_so() -> None:
    """When all that may go is gone."""
    state = fresh(
        workspaces={"w": {"code": "x" * 1000}},
        evaluations=records(300, result="r" * 2000),
        objects={"o": {"description": "an object"}},
    )
    trimmed = fit(state, lambda _: False)
    assert not trimmed.fits
    assert trimmed.dropped == {"evaluations": 250, "objects": 1}
    assert trimmed.shortened == {"evaluations": 50}
    assert trimmed.state["workspaces"] == state["workspaces"]


def test_nobody_keeps_more_than_the_most() -> None:
    """Room or not; the oldest go, and the list of recent connections is short."""
    state = fresh(
        **{section: records(most + 7) for section, most in AT_MOST.items() if section in HISTORIES},
        objects={f"o{number}": {"seen_at": float(-number)} for number in range(AT_MOST["objects"] + 7)},
        connection={"recent": [{"at": float(number)} for number in range(RECENT_AT_MOST + 7)]},
    )
    trimmed = fit(state, lambda _: True)
    assert trimmed.dropped == dict.fromkeys((*AT_MOST, "recent"), 7)
    told(state, trimmed)
    assert list(trimmed.state["objects"])[-1] == f"o{AT_MOST['objects'] - 1}"
    assert trimmed.state["connection"]["recent"][0] == {"at": 7.0}
    assert fit(trimmed.state, lambda _: True) == Trimmed(trimmed.state)


def test_fifty_evaluations_are_promised() -> None:
    """What clients ask for is the least that is kept, and less than the most."""
    assert AT_LEAST["evaluations"] == 50
    assert set(AT_LEAST) == HISTORIES
    assert set(AT_MOST) == {*HISTORIES, "objects"}
    assert all(AT_LEAST[section] <= AT_MOST[section] for section in HISTORIES)


def test_what_compresses_well_is_still_bounded() -> None:
    """A document that could not be loaded again does not fit, however small it is when sealed."""
    state = fresh(evaluations=records(100, result="r" * 100_000))
    assert len(dump(state)) > MAX_DOCUMENT_BYTES
    trimmed = fit(state, lambda candidate: len(zlib.compress(dump(candidate))) < 100_000)
    assert trimmed.fits
    assert load(dump(trimmed.state)) == trimmed.state


def test_a_record_shortened_before_is_not_counted_again() -> None:
    """Only what this call did is told."""
    state = fresh(evaluations=records(10, result="r" * RESULT_LETTERS, shortened=True))
    assert fit(state, lambda _: False).shortened == {}
