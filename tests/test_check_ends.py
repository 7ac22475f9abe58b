"""A good end that never comes is seen."""

from __future__ import annotations

import pytest

from simulations.check.ends import CLOSED_WITHIN_S, ends_come
from simulations.trace import Kind
from traces import Tale


@pytest.mark.parametrize(
    ("how", "after_s", "wrong"),
    [
        ("closed", 1.0, False),
        ("closed", CLOSED_WITHIN_S + 1.0, True),
        ("kill", 3.0, False),
        ("power cut", 3.0, False),
        (None, 0.0, True),
    ],
)
def test_what_is_asked_to_close_closes_in_time(how: str | None, after_s: float, *, wrong: bool) -> None:
    """Or is killed before."""
    told = Tale().begin()
    told.process(10.0, "close")
    if how is not None:
        told.process(10.0 + after_s, how)
    told.note(40.0, Kind.NOTICE, -1, text="the end")
    assert [violation.law for violation in told.by(ends_come)] == [0] * wrong


def test_who_stands_still_meanwhile_has_more_time() -> None:
    """Nobody closes anything in a stall."""
    told = Tale().begin()
    told.process(10.0, "close")
    told.fault("10.1 stall 20")
    told.process(32.0, "closed")
    told.note(40.0, Kind.NOTICE, -1, text="the end")
    assert told.by(ends_come) == []
