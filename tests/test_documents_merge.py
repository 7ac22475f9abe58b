"""Merging: nothing of either side is lost, what only one side did is simply done, and all else is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from documents import documents, edits, record_ids, workspace_texts
from store.documents import (
    Append,
    Drop,
    Edit,
    Patch,
    Put,
    SessionDocument,
    State,
    apply,
    check,
    copied,
    dump,
    load,
    merge,
    new_document,
)
from store.documents.merge import same
from store.documents.sections import HISTORIES

AT = 9.5


def fresh(*changes: Edit) -> State:
    """Return a document after some edits."""
    return changed(new_document("5e55" * 8, "pharo", "tcp://pharo:5555", 1.5), *changes)


def changed(state: State, *changes: Edit) -> State:
    """Return a copy of a document after some edits."""
    result = copied(state)
    for edit in changes:
        apply(result, check(edit))
    return result


words = st.sampled_from(["", "3", "3 + 4", "3 * 4", "nil"])
rivals = st.tuples(
    st.builds(Put, st.just("unsent_input"), words),
    st.builds(lambda code, unsent: Patch("workspaces", {"code": code, "unsent": unsent}, "w1"), words, words),
    st.builds(
        lambda text, at: Append("inputs", {"id": "i", "at": at, "text": text}), words, st.sampled_from([1, 2])
    ),
    st.builds(lambda text: Patch("inputs", {"text": text}, "i"), words),
    st.builds(lambda text: Patch("statistics", {"edits": len(text)}), words),
)
"""Edits that meet those of another side: the same workspace, the same record, the same counter."""


@st.composite
def histories(draw: st.DrawFn) -> tuple[State, State, State]:
    """Return a document and two that it became: by anything, by edits, or by edits of the same places."""
    base = draw(documents())
    kind = draw(st.sampled_from(["anything", "edits", "rivals", "rivals"]))
    if kind == "anything":
        return base, draw(documents()), draw(documents())
    if kind == "rivals":
        base = changed(base, *draw(rivals))
        return base, changed(base, *draw(rivals)), changed(base, *draw(rivals))
    ours, theirs = (changed(base, *draw(st.lists(edits(), max_size=6))) for _ in range(2))
    return base, ours, theirs


# -- laws ------------------------------------------------------------------------------


@given(documents(), documents())
def test_a_side_that_did_nothing_changes_nothing(base: State, other: State) -> None:
    """From either side, and to the letter."""
    for merged in (merge(base, other, base, AT), merge(base, base, other, AT)):
        assert same(merged.state, other)
        assert merged.decisions == ()


@given(documents(), documents())
def test_the_same_done_twice_is_no_conflict(base: State, other: State) -> None:
    """Both sides did it: it is done."""
    merged = merge(base, other, copied(other), AT)
    assert same(merged.state, other)
    assert merged.decisions == ()


@given(histories())
def test_the_result_is_a_document(sides: tuple[State, State, State]) -> None:
    """It loads, its records are in order, and each id is there once."""
    state = merge(*sides, AT).state
    assert load(dump(state)) == state
    view = SessionDocument.model_validate(state)
    for section in HISTORIES:
        records = getattr(view, section)
        assert len({record.id for record in records}) == len(records)


@given(histories())
def test_no_record_of_either_side_is_missing(sides: tuple[State, State, State]) -> None:
    """Unless one side is the other's past: then what that one let go is gone."""
    base, ours, theirs = sides
    assume(not same(ours, base))
    assume(not same(theirs, base))
    state = merge(base, ours, theirs, AT).state
    for section in HISTORIES:
        assert record_ids(ours, section) | record_ids(theirs, section) <= record_ids(state, section)
        # The records themselves too, if under another id: an update of one that both had is no loss.
        bodies = {dump(body(record)) for record in state.get(section, [])}
        before = {dump(body(record)) for record in base.get(section, [])}
        for side in (ours, theirs):
            assert {dump(body(record)) for record in side.get(section, [])} <= bodies | before


def body(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without its id."""
    return {name: value for name, value in record.items() if name != "id"}


@given(histories())
def test_histories_are_in_order(sides: tuple[State, State, State]) -> None:
    """By time, and by id where that is the same; decisions of this merge come last."""
    base, ours, theirs = sides
    assume(not same(ours, base))
    assume(not same(theirs, base))
    assume(not same(ours, theirs))
    merged = merge(base, ours, theirs, AT)
    for section in HISTORIES:
        records = [record for record in merged.state.get(section, []) if record not in merged.decisions]
        assert records == sorted(records, key=lambda record: (record["at"], record["id"]))


@given(histories())
def test_no_text_of_either_side_is_missing(sides: tuple[State, State, State]) -> None:
    """Whatever stands in a workspace of one side and was not there before is in a workspace still."""
    base, ours, theirs = sides
    state = merge(base, ours, theirs, AT).state
    kept = workspace_texts(state) | {state.get("unsent_input")}
    old = workspace_texts(base) | {base.get("unsent_input")}
    for side in (ours, theirs):
        assert workspace_texts(side) - old <= kept
        assert {side["unsent_input"]} - {""} - old <= kept


@given(histories())
def test_the_same_sides_merge_the_same(sides: tuple[State, State, State]) -> None:
    """No clock, no chance; and the sides are left as they were."""
    before = [dump(side) for side in sides]
    first, second = merge(*sides, AT), merge(*sides, AT)
    assert dump(first.state) == dump(second.state)
    assert first.decisions == second.decisions
    assert [dump(side) for side in sides] == before


@given(histories(), st.lists(edits(), max_size=6))
def test_the_result_can_be_edited_by_itself(sides: tuple[State, State, State], more: list[Edit]) -> None:
    """Going on with it changes neither side, also where one was taken as it is."""
    for base, ours, theirs in (sides, (sides[0], sides[0], sides[2]), (sides[0], sides[1], sides[0])):
        before = [dump(side) for side in sides]
        state = merge(base, ours, theirs, AT).state
        for edit in more:
            apply(state, check(edit))
        assert [dump(side) for side in sides] == before


@given(histories())
def test_decisions_are_recorded(sides: tuple[State, State, State]) -> None:
    """At the end of the merges, after those that were there."""
    merged = merge(*sides, AT)
    count = len(merged.decisions)
    assert merged.state.get("merges", [])[-count:] == list(merged.decisions) if count else True
    for decision in merged.decisions:
        assert decision["at"] == AT
        assert decision["action"] in {"ours", "kept", "copied", "added"}
        if decision["action"] == "ours":  # and theirs is in it, since it is nowhere else
            assert "theirs" in decision
        if decision["action"] == "copied":
            section = "workspaces" if decision["path"][0] == "unsent_input" else decision["path"][0]
            kept = merged.state[section]
            ids = kept if isinstance(kept, dict) else {record["id"] for record in kept}
            assert decision["copy_id"] in ids


@given(documents(), st.lists(edits(), max_size=6), st.lists(edits(), max_size=6))
def test_edits_in_different_sections_are_all_done(base: State, one: list[Edit], other: list[Edit]) -> None:
    """In any order: what does not touch cannot disagree."""
    mine = {edit.section for edit in one} | HISTORIES  # those are sorted, which edits do not do
    ones = [edit for edit in one if edit.section not in HISTORIES]
    others = [edit for edit in other if edit.section not in mine]
    merged = merge(base, changed(base, *ones), changed(base, *others), AT)
    expected = changed(base, *ones, *others)
    assert merged.decisions == ()
    for section in expected.keys() - HISTORIES:
        assert same(merged.state.get(section), expected[section])


@given(histories())
def test_the_other_side_can_follow(sides: tuple[State, State, State]) -> None:
    """Once merged, theirs is the past of the result: nothing more is decided."""
    base, ours, theirs = sides
    state = merge(base, ours, theirs, AT).state
    again = merge(theirs, state, theirs, AT + 1)
    assert same(again.state, state)
    assert again.decisions == ()


# -- cases -----------------------------------------------------------------------------


def test_different_fields_of_one_workspace_are_both_taken() -> None:
    """Field by field, not entry by entry."""
    base = fresh(Put("workspaces", {"title": "A", "code": "3"}, "w"))
    ours = changed(base, Patch("workspaces", {"title": "B"}, "w"))
    theirs = changed(base, Patch("workspaces", {"code": "4", "later": {"x": 1}}, "w"))
    merged = merge(base, ours, theirs, AT)
    assert merged.state["workspaces"] == {"w": {"title": "B", "code": "4", "later": {"x": 1}}}
    assert merged.decisions == ()


def test_code_changed_by_both_stands_in_two_workspaces() -> None:
    """Ours in place, theirs beside it, with its cursor and all; the decision leads there."""
    base = fresh(Put("workspaces", {"title": "Lending", "code": "3"}, "w"))
    ours = changed(base, Patch("workspaces", {"code": "3 + 4"}, "w"))
    theirs = changed(base, Patch("workspaces", {"code": "3 * 4", "cursor": {"line": 7}}, "w"))
    merged = merge(base, ours, theirs, AT)
    (decision,) = merged.decisions
    workspaces = merged.state["workspaces"]
    assert workspaces["w"] == {"title": "Lending", "code": "3 + 4", "cursor": {"line": 7}}
    assert workspaces[decision["copy_id"]] == {
        "title": "Lending (conflict copy)",
        "code": "3 * 4",
        "cursor": {"line": 7},
    }
    assert decision["path"] == ["workspaces", "w", "code"]
    assert decision["base"] == "3"
    assert len(workspaces) == 2


def test_the_same_conflict_again_makes_no_second_copy_unless_the_first_was_worked_on() -> None:
    """Two machines may merge the same two histories, one after the other."""
    base = fresh(Put("workspaces", {"code": "3"}, "w"))
    ours = changed(base, Patch("workspaces", {"code": "3 + 4"}, "w"))
    theirs = changed(base, Patch("workspaces", {"code": "3 * 4"}, "w"))
    once = merge(base, ours, theirs, AT).state
    again = merge(base, once, theirs, AT).state
    assert again["workspaces"] == once["workspaces"]
    (copy_id,) = once["workspaces"].keys() - {"w"}
    worked_on = changed(once, Patch("workspaces", {"code": "3 * 5"}, copy_id))
    third = merge(base, worked_on, theirs, AT).state
    assert workspace_texts(third) == {"3 + 4", "3 * 5", "3 * 4"}


def test_unsent_input_of_both_is_kept() -> None:
    """What was typed there is in a workspace; what was sent or cleared on one side only is not missed."""
    base = fresh(Put("unsent_input", "3"))
    ours, theirs = changed(base, Put("unsent_input", "3 + 4")), changed(base, Put("unsent_input", "3 * 4"))
    merged = merge(base, ours, theirs, AT)
    assert merged.state["unsent_input"] == "3 + 4"
    (work,) = merged.state["workspaces"].values()
    assert work == {"title": "Unsent input (conflict copy)", "code": "3 * 4"}
    for one, other in ((ours, ""), (theirs, "")):
        cleared = changed(base, Put("unsent_input", other))
        for merged in (merge(base, one, cleared, AT), merge(base, cleared, one, AT)):
            assert merged.state["unsent_input"] == one["unsent_input"]
            assert merged.state["workspaces"] == {}
            assert [decision["action"] for decision in merged.decisions] == ["kept"]


def test_a_workspace_closed_here_and_changed_there_stays() -> None:
    """From either side. One closed here and left alone there is closed."""
    base = fresh(Put("workspaces", {"code": "3"}, "w"), Put("workspaces", {"code": "x"}, "v"))
    ours = changed(base, Drop("workspaces", "w"), Drop("workspaces", "v"))
    theirs = changed(base, Patch("workspaces", {"code": "4"}, "w"))
    for sides in ((ours, theirs), (theirs, ours)):
        merged = merge(base, *sides, AT)
        assert merged.state["workspaces"] == {"w": {"code": "4"}}
        assert [decision["action"] for decision in merged.decisions] == ["kept"]


def test_other_fields_are_decided_and_both_values_told() -> None:
    """What is no text of somebody's needs no copy."""
    base = fresh(Put("preferences", {"theme": "dark", "font": {"size": 9}}))
    ours = changed(base, Patch("preferences", {"theme": "light"}))
    theirs = changed(base, Patch("preferences", {"theme": "blue", "font": {"size": 11}}))
    merged = merge(base, ours, theirs, AT)
    assert merged.state["preferences"] == {"theme": "light", "font": {"size": 11}}
    (decision,) = merged.decisions
    assert decision["path"] == ["preferences", "theme"]
    assert (decision["base"], decision["ours"], decision["theirs"]) == ("dark", "light", "blue")
    assert decision["action"] == "ours"


def test_a_cursor_is_taken_whole() -> None:
    """A line of ours with a column of theirs is a place nobody was at."""
    base = fresh(Put("workspaces", {"cursor": {"line": 1, "column": 1}}, "w"))
    ours = changed(base, Patch("workspaces", {"cursor": {"line": 9}}, "w"))
    theirs = changed(base, Patch("workspaces", {"cursor": {"column": 5}}, "w"))
    merged = merge(base, ours, theirs, AT)
    assert merged.state["workspaces"]["w"]["cursor"] == {"line": 9, "column": 1}
    assert len(merged.decisions) == 1


def test_counters_are_added_up() -> None:
    """Each side's evaluations happened; and what is no counter is not added."""
    base = fresh(Put("statistics", {"evaluations": 10, "connected_s": 1.5, "best": 3}))
    ours = changed(base, Patch("statistics", {"evaluations": 12, "connected_s": 2.5, "best": 4, "edits": 2}))
    theirs = changed(base, Patch("statistics", {"evaluations": 15, "connected_s": 4, "best": 5, "edits": 3}))
    merged = merge(base, ours, theirs, AT)
    assert merged.state["statistics"] == {"evaluations": 17, "connected_s": 5.0, "best": 4, "edits": 5}
    assert sorted(decision["action"] for decision in merged.decisions) == ["added", "added", "added", "ours"]


@pytest.mark.parametrize(
    "values", [(10, 2, 12), (0, 2**63 - 1, 2**63 - 2), (0.0, 1.7e308, 1.6e308), (None, 1, 2)]
)
def test_counters_that_cannot_be_added_are_a_conflict(values: tuple[Any, Any, Any]) -> None:
    """Set back, or beyond what a number holds: nothing is made up."""
    section = "preferences" if values[0] is None else "statistics"
    sides = []
    for value in values:
        state = fresh()
        state[section] = {"connected_s": value}
        sides.append(state)
    merged = merge(sides[0], sides[1], sides[2], AT)
    assert merged.state[section]["connected_s"] == values[1]
    assert [decision["action"] for decision in merged.decisions] == ["ours"]


def test_recent_connections_of_both_are_listed_once() -> None:
    """Newest last, twenty at most."""
    entries = [{"at": float(number), "endpoint": f"tcp://image:{number}"} for number in range(30)]
    base = fresh(Patch("connection", {"recent": entries[:2]}))
    ours = changed(base, Patch("connection", {"recent": entries[:16:2]}))
    theirs = changed(base, Patch("connection", {"recent": entries[1:]}))
    merged = merge(base, ours, theirs, AT)
    assert merged.state["connection"]["recent"] == entries[-20:]
    assert merged.decisions == ()


def test_records_of_one_id_that_differ_are_both_kept() -> None:
    """Under another id, and told; one that only one side completed is simply that one."""
    asked = Append("evaluations", {"id": "e", "at": 1.0, "code": "3 + 4"})
    base = fresh(asked)
    answered, failed = copied(base), copied(base)
    answered["evaluations"] = [{**base["evaluations"][0], "result": "7"}]
    failed["evaluations"] = [{**base["evaluations"][0], "ok": False}]
    touched = changed(base, Put("unsent_input", "x"))
    for sides in ((answered, touched), (touched, answered)):
        merged = merge(base, *sides, AT)
        assert merged.state["evaluations"] == answered["evaluations"]
        assert merged.decisions == ()
    merged = merge(base, answered, failed, AT)
    (decision,) = merged.decisions
    first, second = merged.state["evaluations"]
    assert first == answered["evaluations"][0]
    assert second == failed["evaluations"][0] | {"id": decision["copy_id"]}


def test_without_a_known_past_every_difference_is_told() -> None:
    """The last common revision may be gone; then nothing can be said to be old."""
    ours = fresh(Put("workspaces", {"code": "3"}, "w"), Append("inputs", {"id": "a", "at": 1}))
    theirs = fresh(Put("workspaces", {"code": "4"}, "w"), Append("inputs", {"id": "b", "at": 0}))
    merged = merge({}, ours, theirs, AT)
    assert workspace_texts(merged.state) == {"3", "4"}
    assert [record["id"] for record in merged.state["inputs"]] == ["b", "a"]
    assert load(dump(merged.state)) == merged.state


def test_values_nested_deeply_still_fit_into_a_decision() -> None:
    """Three levels deeper than they stood: as text, if they would be too deep there."""
    nested: Any = []
    for _ in range(29):
        nested = [nested]
    base, ours, theirs = (fresh(Put("preferences", {"a": value})) for value in (0, [nested], [[1], nested]))
    merged = merge(base, ours, theirs, AT)
    assert load(dump(merged.state)) == merged.state
    (decision,) = merged.decisions
    assert isinstance(decision["theirs"], str)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0.0, -0.0, False),
        ({"a": 1, "b": [None]}, {"b": [None], "a": 1}, True),
        ([{"a": 1}], [{"a": True}], False),
    ],
)
def test_equality_is_that_of_json(one: Any, other: Any, *, equal: bool) -> None:
    """To Python 1, 1.0 and True are equal; a change from one to another would be lost."""
    assert same(one, other) is equal
