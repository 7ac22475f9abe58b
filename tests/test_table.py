"""The table and the machine that runs it: every pair, every kind of defect, any number of threads."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

import machines.table
from machines import TABLE, Refused, Rule, State, Trigger, allows, fire
from machines.machine import _cursor, _machine
from machines.table import DIALLING, INITIAL, LIVE, WAYS_OUT, TableError, problems_of

TARGETS = {(rule.source, rule.trigger): rule.target for rule in TABLE}


def test_there_are_exactly_the_eight_states_the_user_named() -> None:
    """Names and number are the user's; nobody adds a ninth."""
    assert set(State) == {
        "Fresh", "Restoring", "Restored", "Connected", "Reconnecting", "Failed", "Orphaned", "Modified",
    }  # fmt: skip


@pytest.mark.parametrize("state", State)
def test_every_trigger_moves_as_the_table_says_or_is_refused(state: State) -> None:
    """All 26 triggers in each of the 8 states: the rule's target, or a refusal, and nothing in between."""
    for trigger in Trigger:
        target = TARGETS.get((state, trigger))
        assert allows(state, trigger) is (target is not None)
        if target is None:
            with pytest.raises(Refused):
                fire(state, trigger)
        else:
            assert fire(state, trigger) is target


@pytest.mark.parametrize("state", State)
def test_a_refusal_names_the_state_the_trigger_and_what_is_allowed(state: State) -> None:
    """Whoever reads the error knows where things stand, what was asked, and what would be accepted."""
    allowed = {trigger for trigger in Trigger if (state, trigger) in TARGETS}
    for trigger in set(Trigger) - allowed:
        with pytest.raises(Refused) as refusal:
            fire(state, trigger)
        assert refusal.value.state is state
        assert refusal.value.trigger is trigger
        assert set(refusal.value.allowed) == allowed
        asked, accepts = str(refusal.value).split("; it accepts: ")
        assert asked == f"{trigger} has no meaning while {state}"
        assert set(accepts.split(", ")) == allowed


@pytest.mark.parametrize("state", State)
def test_a_refusal_leaves_nothing_behind(state: State) -> None:
    """After each refusal every legal move, of this state and of every other, leads where it always led."""
    for trigger in Trigger:
        if (state, trigger) in TARGETS:
            continue
        with pytest.raises(Refused):
            fire(state, trigger)
        assert {pair: fire(*pair) for pair in TARGETS} == TARGETS


def test_the_machine_has_no_doors_beside_the_table() -> None:
    """`transitions` would by itself add a trigger `to_...` for every state; none is there, nor any other."""
    assert set(_machine.events) == set(Trigger)
    assert not [name for name in dir(_cursor) if name.startswith("to_")]


def test_a_restart_never_restores_into_a_live_state() -> None:
    """Durable facts survive a restart; that the image is alive has to be proved again."""
    assert not {rule.target for rule in TABLE if rule.source is State.RESTORING} & LIVE


def test_coming_back_with_edits_leads_to_modified_and_without_to_connected() -> None:
    """Each way back exists as a pair, from the same states, and neither can be mistaken for the other."""
    back = {
        Trigger.IMAGE_ANSWERED: Trigger.IMAGE_ANSWERED_DIRTY,
        Trigger.LINK_RESUMED: Trigger.LINK_RESUMED_DIRTY,
    }
    for clean, dirty in back.items():
        assert {r.target for r in TABLE if r.trigger is clean} == {State.CONNECTED}
        assert {r.target for r in TABLE if r.trigger is dirty} == {State.MODIFIED}
        assert {r.source for r in TABLE if r.trigger is clean} == {
            r.source for r in TABLE if r.trigger is dirty
        }


def test_only_proof_leads_into_a_live_state() -> None:
    """Connected and Modified are entered by an answer from the image, and among each other by work."""
    entering = {rule.trigger for rule in TABLE if rule.target in LIVE and rule.source not in LIVE}
    assert entering == {
        Trigger.IMAGE_ANSWERED,
        Trigger.IMAGE_ANSWERED_DIRTY,
        Trigger.LINK_RESUMED,
        Trigger.LINK_RESUMED_DIRTY,
    }


def test_the_resting_states_have_the_ways_out_that_were_promised() -> None:
    """Both end by retry, fresh start, another generation or the archive; Orphaned also by adoption."""
    for state in (State.FAILED, State.ORPHANED):
        common = {Trigger.RETRY, Trigger.START_FRESH, Trigger.RESTORE, Trigger.ARCHIVE}
        assert common < WAYS_OUT[state]
        assert all(allows(state, trigger) for trigger in WAYS_OUT[state])
    assert fire(State.ORPHANED, Trigger.ADOPT) is State.RECONNECTING
    assert fire(State.FAILED, Trigger.NETWORK_CHANGED) is State.RECONNECTING


def test_every_state_dials_is_live_or_rests() -> None:
    """The three sets that other modules decide by divide the states among them."""
    assert sorted([*DIALLING, *LIVE, *WAYS_OUT]) == sorted(State)


def without(
    *, source: State | None = None, trigger: Trigger | None = None, target: State | None = None
) -> tuple[Rule, ...]:
    """Give a copy of the table that lacks every rule matching all of what is named."""

    def matches(rule: Rule) -> bool:
        named = ((source, rule.source), (trigger, rule.trigger), (target, rule.target))
        return all(wanted in (None, actual) for wanted, actual in named)

    return tuple(rule for rule in TABLE if not matches(rule))


FIRST = TABLE[0]

DEFECTS: dict[str, tuple[tuple[Rule, ...], str]] = {
    "a second rule for a pair": (
        (*TABLE, replace(FIRST, target=State.FAILED)),
        "Fresh + session_found has two rules",
    ),
    "the same rule twice": ((*TABLE, FIRST), "Fresh + session_found has two rules"),
    "a rule that leads back to its source": (
        (replace(FIRST, target=FIRST.source), *TABLE[1:]),
        "Fresh + session_found leads nowhere",
    ),
    "a rule without a reason": (
        (replace(FIRST, why="  "), *TABLE[1:]),
        "Fresh + session_found has no reason",
    ),
    "a trigger nobody uses": (without(trigger=Trigger.GAVE_UP), "trigger gave_up is never used"),
    "a state nobody reaches": (without(target=State.ORPHANED), "Orphaned cannot be reached"),
    "an island of two states": (
        tuple(r for r in TABLE if (r.target in WAYS_OUT) <= (r.source in WAYS_OUT)),
        "Failed cannot be reached",
    ),
    "a dead end": (without(source=State.FAILED), "Failed is a dead end"),
    "a trap of two states": (
        (
            *(rule for rule in TABLE if rule.source not in WAYS_OUT),
            Rule(State.FAILED, Trigger.ADOPT, State.ORPHANED, "round"),
            Rule(State.ORPHANED, Trigger.RETRY, State.FAILED, "and round"),
        ),
        "Orphaned is a dead end",
    ),
    "a way out that is missing": (
        without(source=State.ORPHANED, trigger=Trigger.ADOPT),
        "Orphaned lacks the way out adopt",
    ),
}


@pytest.mark.parametrize(("rules", "problem"), DEFECTS.values(), ids=DEFECTS.keys())
def test_each_kind_of_defect_is_named(rules: tuple[Rule, ...], problem: str) -> None:
    """A defect planted into a copy of the table is found and told in a sentence."""
    assert problem in problems_of(rules)


def test_the_table_itself_is_sound() -> None:
    """None of the defects is in the table that ships."""
    assert problems_of(TABLE) == []


def test_an_unsound_table_cannot_be_imported(tmp_path: Path) -> None:
    """Somebody who breaks the table learns it from the first import, with every problem listed."""
    source = Path(machines.table.__file__).read_text(encoding="utf-8")
    broken = tmp_path / "broken_table.py"
    broken.write_text(source.replace('"every edit is durable"', '""'), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("broken_table", broken)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["broken_table"] = module  # dataclasses look their module up while it is being executed
    try:
        with pytest.raises(ValueError, match="unsound: Modified \\+ saved has no reason") as error:
            spec.loader.exec_module(module)
    finally:
        del sys.modules["broken_table"]
    assert error.value.problems == ["Modified + saved has no reason"]  # type: ignore[attr-defined] # the copy's own TableError


def test_the_error_of_an_unsound_table_lists_every_problem() -> None:
    """All problems are in the attribute and in the prose, not only the first."""
    error = TableError(problems_of(without(source=State.FAILED)))
    assert len(error.problems) > 1
    assert all(problem in str(error) for problem in error.problems)


def test_threads_do_not_see_each_others_moves() -> None:
    """Supervisors in several threads share one machine; each gets the answer to its own question."""
    threads, rounds = 4, 40
    together = Barrier(threads)

    def hammer(offset: int) -> int:
        wrong = 0
        pairs = [*TARGETS.items()]
        pairs = pairs[offset:] + pairs[:offset]
        together.wait(timeout=10)
        for _ in range(rounds):
            wrong += sum(fire(*pair) is not target for pair, target in pairs)
        return wrong

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # otherwise a thread hardly ever loses the interpreter inside `fire`
    try:
        with ThreadPoolExecutor(threads) as pool:
            assert sum(pool.map(hammer, range(0, threads * 7, 7))) == 0
    finally:
        sys.setswitchinterval(interval)


def test_moves_start_at_the_initial_state() -> None:
    """A connection that has done nothing is Fresh."""
    assert INITIAL is State.FRESH
