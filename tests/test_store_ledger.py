"""Summaries: what transitions amount to, with or without the older ones still at hand."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from machines.table import State
from store.ledger import CONNECTED_STATES, FORGET_AT_ONCE, MAX_SESSIONS, Ledger
from store.records import SessionSummary, TransitionRecord

BASE = TransitionRecord("i:1", "tcp://i:1", "aa", 1, 100.0, "Fresh", "dial", "Reconnecting", "first dial")


def folded(*records: TransitionRecord) -> Ledger:
    """Return a ledger that knows `records`."""
    ledger = Ledger()
    for record in records:
        ledger.fold(record)
    return ledger


def test_states_that_mean_connected_are_the_machines() -> None:
    """The only two state names the store knows are names the machine has."""
    assert {State.CONNECTED.value, State.MODIFIED.value} == CONNECTED_STATES


def test_a_summary_tells_first_last_count_and_connection() -> None:
    """Three transitions of one session, told in one line."""
    up = replace(BASE, seq=2, at=101.0, source="Reconnecting", target="Connected", reason="answered")
    down = replace(BASE, seq=3, at=105.0, source="Connected", target="Reconnecting", reason="path lost")
    named = replace(up, identity="img", dialect="d1")
    assert folded(BASE, named, down).last("i:1") == SessionSummary(
        image="i:1",
        endpoint="tcp://i:1",
        session="aa",
        seq=3,
        state="Reconnecting",
        reason="path lost",
        identity="img",
        dialect="d1",
        first_at=100.0,
        last_at=105.0,
        transitions=3,
        connected_at=101.0,
    )


def test_saving_an_edit_is_no_new_connection() -> None:
    """Between Connected and Modified the connection is the same one; into either from outside it is new."""
    up = replace(BASE, seq=2, at=1.0, source="Reconnecting", target="Modified")
    saved = replace(BASE, seq=3, at=2.0, source="Modified", target="Connected")
    summary = folded(BASE, up, saved).last("i:1")
    assert summary is not None
    assert summary.connected_at == 1.0


def test_numbers_go_on_above_everything_known() -> None:
    """The next number is one above the highest of any session, and starts at 1."""
    ledger = folded(replace(BASE, seq=7), replace(BASE, seq=5, session="bb"))
    assert (ledger.next_seq("i:1"), ledger.next_seq("other")) == (8, 1)
    ledger.avoid("i:1", 20)
    ledger.avoid("i:1", 3)
    assert ledger.next_seq("i:1") == 21


def test_the_last_transition_is_the_one_with_the_highest_number() -> None:
    """A process that started to write earlier may have the later word; clocks have none."""
    beside = replace(BASE, seq=4, at=500.0, session="bb", target="Failed")
    late = replace(BASE, seq=9, at=3.0, target="Orphaned")
    for order in ((late, beside), (beside, late)):
        last = folded(*order).last("i:1")
        assert last is not None
        assert (last.state, last.session) == ("Orphaned", "aa")


def test_an_earlier_transition_of_the_same_session_counts_but_changes_nothing() -> None:
    """Two processes in one session: both counted, the higher number is the state."""
    summary = folded(replace(BASE, seq=9), replace(BASE, seq=4, target="Failed")).last("i:1")
    assert summary is not None
    assert (summary.state, summary.seq, summary.transitions) == ("Reconnecting", 9, 2)


def test_sessions_come_newest_first() -> None:
    """By the wall clock of their last transition, which is what the user is shown."""
    ledger = folded(BASE, replace(BASE, session="bb", at=300.0), replace(BASE, image="j:1", at=200.0))
    assert [each.last_at for each in ledger.sessions()] == [300.0, 200.0, 100.0]


steps = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from("xy"),
        st.floats(0, 1000),
        st.sampled_from(["Connected", "Reconnecting", "Modified"]),
        st.sampled_from(["Connected", "Reconnecting", "Modified", "Failed"]),
    ),
    max_size=12,
)


@given(steps, st.data())
def test_a_checkpoint_stands_for_all_before_it(
    made: list[tuple[str, str, float, str, str]], data: st.DataObject
) -> None:
    """Dropping any number of the oldest transitions changes no summary, if a checkpoint follows them."""
    records = [
        replace(BASE, image=image, session=session, seq=n, at=at, source=source, target=target)
        for n, (image, session, at, source, target) in enumerate(made, 1)
    ]
    point = data.draw(st.integers(0, len(records)))
    dropped = data.draw(st.integers(0, point))
    checkpoint = folded(*records[:point]).by_weight()
    restored = folded(*records[dropped:point])
    for summary in checkpoint * data.draw(st.integers(1, 2)):
        restored.merge(summary)
    for record in records[point:]:
        restored.fold(record)
    whole = folded(*records)
    assert set(restored.sessions()) == set(whole.sessions())
    assert [restored.last(image) for image in "ab"] == [whole.last(image) for image in "ab"]
    assert [restored.next_seq(image) for image in "ab"] == [whole.next_seq(image) for image in "ab"]


def test_memory_is_bounded_and_every_images_last_session_goes_last() -> None:
    """Old sessions are forgotten, and counted; no image is, while there are fewer images than room."""
    ledger = Ledger()
    total = 3 * MAX_SESSIONS
    for n in range(total):
        ledger.fold(replace(BASE, image=f"i:{n % 500}", session=str(n), seq=n + 1, at=-float(n)))
    assert len(ledger.sessions()) < MAX_SESSIONS + FORGET_AT_ONCE
    assert ledger.forgotten == total - len(ledger.sessions())
    for n in range(total - 500, total):
        last = ledger.last(f"i:{n % 500}")
        assert last is not None
        assert last.session == str(n)


def test_with_more_images_than_room_the_oldest_image_goes() -> None:
    """Everything about it goes together."""
    ledger = Ledger()
    for n in range(MAX_SESSIONS + FORGET_AT_ONCE):
        ledger.fold(replace(BASE, image=f"i:{n}", at=float(n)))
    assert ledger.last("i:0") is None
    assert ledger.next_seq("i:0") == 1
    assert ledger.last(f"i:{MAX_SESSIONS}") is not None
    assert len(ledger.sessions()) == MAX_SESSIONS
