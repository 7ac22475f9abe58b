"""Law 20, and exceptions that nobody caught."""

from __future__ import annotations

from simulations.check import secrecy
from simulations.check.secrecy import CANARY
from simulations.trace import Kind
from traces import Tale


def test_a_trace_without_secrets_and_bugs_is_right() -> None:
    """Words that only look alike are no secrets."""
    told = Tale().begin()
    told.note(1.0, Kind.NOTICE, -1, text="a canary sings")
    assert told.by(secrecy.no_secret_is_told) == []
    assert told.by(secrecy.nothing_breaks) == []


def test_a_canary_is_heard_wherever_it_sings() -> None:
    """In any entry and in any of its words."""
    for kind, name in ((Kind.NOTICE, "text"), (Kind.LOOKED_UP, "problem"), (Kind.LINK_ENDED, "cause")):
        told = Tale()
        told.note(1.0, kind, 0, **{name: f"key={CANARY}17 refused"})
        assert [v.law for v in told.by(secrecy.no_secret_is_told)] == [20]


def test_an_exception_that_nobody_caught_is_never_right() -> None:
    """It breaks law 0."""
    told = Tale()
    told.note(1.0, Kind.BUG, -1, text="KeyError: 7")
    assert [(v.law, v.what) for v in told.by(secrecy.nothing_breaks)] == [(0, "KeyError: 7")]
