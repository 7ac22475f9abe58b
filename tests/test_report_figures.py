"""How figures are written: units that suit, nothing rounded into a promise kept, nothing unprintable."""

from __future__ import annotations

import math

import pytest

from simulations.report import figures


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "-"),
        (math.inf, "never"),
        (0.0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.0432, "43.2 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.416, "1.42 s"),
        (99.96, "100 s"),
        (120.0, "120 s"),
        (150.0, "2.5 min"),
        (28_800.0, "8 h"),
        (86_400.0, "1 day"),
        (-86_400.0, "-1 day"),
        (172_800.0, "2 days"),
        (3.1 * 31_557_600, "3.1 years"),
    ],
)
def test_durations_have_the_unit_that_suits_them(seconds: float | None, written: str) -> None:
    """Three digits, no exponent, and 'never' for infinity."""
    assert figures.duration(seconds) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, "0 s"), (7.25, "7.25 s"), (125.0, "2:05"), (131.54, "2:11.5"), (28_805.2, "8:00:05.2")],
)
def test_moments_are_written_as_on_a_clock(seconds: float, written: str) -> None:
    """Seconds in the first minutes, then hours and minutes."""
    assert figures.clock(seconds) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        (0, 0, "-"),
        (0, 7, "0 %"),
        (1, 3, "33.333 %"),
        (99_999, 100_000, "99.999 %"),
        (999_999, 1_000_000, "99.999 %"),
        (1_000_000, 1_000_000, "100 %"),
    ],
)
def test_only_all_of_them_are_a_hundred_percent(part: int, whole: int, written: str) -> None:
    """Shares are rounded down."""
    assert figures.share(part, whole) == written


def test_two_durations_that_differ_are_written_differently() -> None:
    """What misses a bar by a hair does not look as if it met it."""
    assert figures.compared(10.0, 10.0) == ("10 s", "10 s")
    assert figures.compared(10.04, 10.0) == ("10.04 s", "10 s")
    assert figures.compared(10.000_1, 10.0) == ("10.0001 s", "10 s")
    assert figures.compared(math.inf, 10.0) == ("never", "10 s")


def test_what_cannot_be_printed_is_shown_as_a_mark() -> None:
    """Escape sequences from a hostile peer do not reach a terminal."""
    assert figures.printable("a\x1b[31mb\n\x00é") == "a�[31mb��é"
