"""Law 3: busy is shown as busy, frozen is told as frozen."""

from __future__ import annotations

import pytest

from simulations.check import busy
from simulations.trace import Kind
from traces import Tale

FROZEN = "image process frozen, network fine"
SILENT = "Connected link_silent Reconnecting"


def tale(*faults: str) -> Tale:
    """Connected from the start; these faults; seen until 40 s."""
    told = Tale().begin()
    told.fault(*faults)
    told._pass(40.0)
    told.close(40.0)
    return told


# -- busy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "reason", "shown_as_busy", "wrong"),
    [
        ("1000001", "image busy", True, False),
        ("1000001", "image not answering, network fine", True, True),
        ("1000001", "image answered", True, True),
        ("1000001", "image busy", False, True),
        ("ping", "image not answering, network fine", True, False),
        ("ping", "image busy", True, False),
        ("ping", "image answered", True, True),
    ],
)
def test_a_request_that_is_out_for_long_is_shown(
    label: str,
    reason: str,
    shown_as_busy: bool,  # noqa: FBT001 - a column of the table above
    wrong: bool,  # noqa: FBT001 - same
) -> None:
    """After a second and a look; an evaluation as busy, a ping as not answering."""
    told = tale("10 image busy 8 #0")
    told.note(10.1, Kind.SENT, gen=1, label=label)
    told.stands(11.0, "Connected", "image answered", busy=True)
    told.stands(11.7, "Connected", reason, busy=shown_as_busy)
    assert [v.law for v in told.by(busy.busy_is_shown)] == [3] * wrong


def test_what_is_answered_is_not_busy() -> None:
    """Nor what was never asked, even while somebody else keeps the image busy."""
    told = tale("10 image busy 8 #0")
    told.stands(13.0, "Connected", "image answered")
    told.exchange(20.0, 1, "1000001")
    told.stands(25.0, "Connected", "image answered")
    assert told.by(busy.busy_is_shown) == []


def test_what_was_answered_is_not_shown_as_busy() -> None:
    """Neither by word nor by flag; what left the image just now may be under way."""
    for at, reason, flag, wrong in (
        (20.05, "image busy", True, 0),
        (20.5, "image answered", True, 1),
        (20.5, "image busy", False, 1),
    ):
        told = tale()
        told.exchange(20.0, 1, "1000001")
        told.stands(at, "Connected", reason, busy=flag)
        assert [v.law for v in told.by(busy.busy_is_shown)] == [3] * wrong


# -- frozen --------------------------------------------------------------------------------


def test_a_frozen_image_is_told_as_that() -> None:
    """Within six seconds, by its own name, on a network that is well."""
    for told_at, reason, wrong in (
        (14.4, FROZEN, 0),
        (14.4, "no sign of life", 1),
        (17.0, FROZEN, 1),
        (None, "", 1),
    ):
        told = tale("10 image freeze #0")
        if told_at is not None:
            told.told(told_at, SILENT, reason)
        assert [v.law for v in told.by(busy.frozen_is_named)] == [3] * wrong, (told_at, reason)


def test_a_short_freeze_need_not_be_told() -> None:
    """Over before anybody can know."""
    assert tale("10 image freeze #0", "13 image thaw #0").by(busy.frozen_is_named) == []


def test_a_frozen_image_behind_a_broken_way_has_no_name() -> None:
    """What comes between may be what is told."""
    told = tale("10 image freeze #0", "11 drop")
    told.told(12.0, SILENT, "no sign of life")
    assert told.by(busy.frozen_is_named) == []
    told = tale("10 image freeze #0", "11 nat forgets")
    told.told(12.0, SILENT, "no sign of life")
    assert told.by(busy.frozen_is_named) == []


def test_a_freeze_in_the_middle_of_other_trouble_is_not_judged() -> None:
    """Neither soon after a connection nor while the image is away."""
    told = tale("9 nat forgets", "10 image freeze #0")
    told.told(11.0, SILENT, "no sign of life")
    assert told.by(busy.frozen_is_named) == []
    told = tale("10 image freeze #0")
    told.told(9.9, SILENT, "no sign of life")
    assert told.by(busy.frozen_is_named) == []


def test_a_slow_disk_delays_what_is_told_of_a_freeze() -> None:
    """As everything else that is told."""
    for told_at, wrong in ((17.5, 0), (18.5, 1)):
        told = tale("9 disk slow 1", "10 image freeze #0")
        told.told(told_at, SILENT, FROZEN)
        assert len(told.by(busy.frozen_is_named)) == wrong


def test_a_reason_waits_for_the_transitions_on_a_slow_disk() -> None:
    """Law 14; the flag beside it does not."""
    for flag, at, wrong in ((False, 20.5, 0), (True, 20.5, 1), (False, 25.0, 1)):
        told = tale()
        told.fault("15 disk slow 0.3")
        told.exchange(20.0, 1, "1000001")
        told.stands(at, "Connected", "image busy", busy=flag)
        assert [v.law for v in told.by(busy.busy_is_shown)] == [3] * wrong, (flag, at)


def test_the_word_busy_waits_for_a_slow_disk_and_the_flag_does_not() -> None:
    """Law 14: an edit's transition is told after 1 s, and until then no reason passes it."""
    for flag, at, wrong in ((True, 11.9, 0), (False, 11.9, 1), (True, 14.0, 1)):
        told = tale("9 disk slow 0.3", "10 image busy 8 #0")
        told.note(10.1, Kind.SENT, gen=1, label="1000001")
        told.stands(at, "Connected", "image answered", busy=flag)
        assert [v.law for v in told.by(busy.busy_is_shown)] == [3] * wrong, (flag, at)
