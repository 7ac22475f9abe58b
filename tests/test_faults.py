"""The vocabulary of trouble: what is written is read back exactly, and what a schedule breaks it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.faults import EVERYONE, TOUCHES, Condition, Step, Touch, Ways, What

BROKEN, IMPAIRED, WHOLE = Condition.BROKEN, Condition.IMPAIRED, Condition.WHOLE

figures = st.floats(0, 1e9, allow_nan=False)
all_steps = st.builds(
    Step,
    at_s=figures,
    what=st.sampled_from(What),
    value=figures | figures.map(lambda value: -value),
    text=st.sampled_from(["", "http", "garbage"]),
    image=st.sampled_from([EVERYONE, 0, 3, 12]),
)
schedules = st.lists(
    st.builds(
        Step,
        at_s=st.floats(0, 60),
        what=st.sampled_from(What),
        value=st.sampled_from([0.0, 0.5, 3.0]),
        image=st.sampled_from([EVERYONE, 0, 1, 2]),
    ),
    max_size=30,
).map(lambda steps: sorted(steps, key=lambda step: step.at_s))


def played(*lines: str, images: int = 1) -> Ways:
    """The ways after these steps, each played at its own time."""
    ways = Ways(images)
    for line in lines:
        step = Step.parse(line)
        ways.apply(step, step.at_s)
    return ways


# --- one line a step ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", What)
def test_every_kind_is_read_back(what: What) -> None:
    """With and without value, text and image, the line says the same step."""
    for step in (
        Step(0, what),
        Step(12.5, what, value=8),
        Step(3, what, value=-0.25),
        Step(4, what, text="http"),
        Step(1, what, image=2),
        Step(0.1, what, value=0.05, text="huge", image=0),
    ):
        assert Step.parse(str(step)) == step


@given(all_steps)
def test_no_digit_is_lost(step: Step) -> None:
    """A story that is kept plays at the very same instants."""
    assert Step.parse(str(step)) == step


def test_lines_are_for_people() -> None:
    """Whole figures have no point, and what is not said is not written."""
    assert str(Step(12.5, What.LINK_DOWN)) == "12.5 link down"
    assert str(Step(3, What.IMAGE_BUSY, 8, image=1)) == "3 image busy 8 #1"
    assert str(Step(4, What.IMAGE_HOSTILE, text="http", image=0)) == "4 image hostile 'http' #0"
    assert str(Step(1, What.STEP_CLOCK, -3600)) == "1 step clock -3600"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "link down",
        "1.2.3 link down",
        "-1 link down",
        "1 link sideways",
        "1 link",
        "1 link down #-1",
        "1 image hostile http",
        "1 image busy --8",
        "nan link down",
        "1 link down 2 link up",
    ],
)
def test_what_is_no_step_is_refused_with_its_line(line: str) -> None:
    """Whoever writes a story sees which line is wrong."""
    with pytest.raises(ValueError, match="is no step") as caught:
        Step.parse(line)
    assert repr(line) in str(caught.value)


def test_which_steps_happen_at_the_image() -> None:
    """Images and their hosts; everything else is on the way or at our own end."""
    at_images = {what for what in What if Step.concerns_images(what)}
    assert {What.IMAGE_KILL, What.IMAGE_MOVE, What.HOST_BOOT} <= at_images
    assert not at_images & {What.DROP, What.KILL, What.LONG_EVALUATION, What.RETRY}


# --- what is whole ------------------------------------------------------------------------------------------


def test_a_thing_broken_stays_broken_until_it_is_healed() -> None:
    """Another cure does not help."""
    ways = played("1 link down", "2 lease back")
    assert ways.condition(0, 100) is BROKEN
    assert ways.things(0, 100) == ("link",)
    ways.apply(Step(3, What.LINK_UP), 3)
    assert ways.condition(0, 3) is WHOLE


def test_roaming_breaks_two_things_and_arriving_heals_three() -> None:
    """The other WiFi is whole whatever was wrong with this one's interface."""
    ways = played("0 link down", "1 roam away")
    assert ways.things(0, 1) == ("carrier", "lease", "link")
    ways.apply(Step(2, What.ROAM_ARRIVE), 2)
    assert ways.condition(0, 2) is WHOLE


def test_what_lasts_ends_by_itself() -> None:
    """At its end exactly; of two the later end counts, whichever began first."""
    ways = played("1 image busy 8", "2 image busy 1")
    assert ways.condition(0, 8.9) is BROKEN
    assert ways.condition(0, 9.0) is WHOLE
    assert ways.next_end(2) == 9.0
    assert ways.next_end(9) is None


def test_impairments_are_not_breaks_and_zero_ends_them() -> None:
    """A bad way is no way without: no recovery is measured on it, and none is demanded."""
    ways = played("0 loss 0.3", "1 delay 0.2")
    assert ways.condition(0, 5) is IMPAIRED
    ways.apply(Step(5, What.LOSS), 5)
    assert ways.things(0, 5) == ("~delay",)
    ways.apply(Step(6, What.DROP), 6)
    assert ways.condition(0, 6) is BROKEN
    ways.apply(Step(7, What.UNDROP), 7)
    ways.apply(Step(7, What.DELAY), 7)
    assert ways.condition(0, 7) is WHOLE


def test_one_image_in_trouble_is_not_all() -> None:
    """A number names one; without a number it is everyone."""
    ways = played("0 image kill #1", images=3)
    assert [ways.condition(image, 1) for image in range(3)] == [WHOLE, BROKEN, WHOLE]
    ways.apply(Step(1, What.DROP), 1)
    assert [ways.condition(image, 1) for image in range(3)] == [BROKEN] * 3
    ways.apply(Step(2, What.UNDROP), 2)
    ways.apply(Step(2, What.IMAGE_START), 2)
    assert [ways.condition(image, 2) for image in range(3)] == [WHOLE] * 3


def test_a_machine_that_boots_brings_its_image_along() -> None:
    """Whatever the image was before, it runs now."""
    ways = played("0 image freeze", "1 image kill", "2 host crash", "3 host boot")
    assert ways.condition(0, 3) is WHOLE


def test_our_own_evaluations_wait_for_each_other() -> None:
    """One request at a time: the second begins when the first has ended, and somebody else's beside them."""
    assert played("1 long evaluation 5", "2 long evaluation 5").next_end(2) == 11
    assert played("1 image busy 5", "2 long evaluation 5").next_end(2) == 11
    assert played("1 long evaluation 5", "9 long evaluation 5").next_end(9) == 14
    assert played("1 long evaluation 5", "2 image busy 5").next_end(2) == 7


def test_a_process_that_ends_is_neither_frozen_nor_saving() -> None:
    """However it ended; what takes its place is a new one."""
    for end in ("image kill", "host crash", "image other", "image version", "image hostile 'http'"):
        ways = played("0 image freeze", "0 image save 60", f"1 {end}")
        assert not {"frozen", "saving"} & set(ways.things(0, 1)), end


def test_after_another_image_a_person_decides() -> None:
    """Its return is not enough, and "retry" while the wrong one still answers does not help."""
    for line in ("0 image other", "0 image version"):
        ways = played(line, "1 image back")
        assert ways.condition(0, 1) is BROKEN
        ways.apply(Step(2, What.RETRY), 2)
        assert ways.condition(0, 2) is WHOLE
        assert played(line, "1 retry", "2 image back").things(0, 2) == ("verdict",)
    assert played("0 image hostile 'http'", "1 image back").condition(0, 1) is WHOLE


def test_from_when_all_is_whole() -> None:
    """Now, or at the last end, or never by itself."""
    assert played().whole_from(4) == 4
    assert played("1 image busy 8 #0", "2 stall 3", images=2).whole_from(2) == 9
    assert played("1 image busy 8").whole_from(30) == 30
    assert played("1 image busy 8 #1", "2 drop #0", images=2).whole_from(2) is None
    assert played("1 loss 0.1").whole_from(2) is None, "impaired is not whole"


def test_what_disturbs_breaks_nothing() -> None:
    """A recovery counts from these, although the way is whole all the time."""
    disturbing = {what for what, touch in TOUCHES.items() if touch.disturbs}
    assert What.NAT_FORGETS in disturbing
    assert What.UNDOCK in disturbing
    assert all(not TOUCHES[what].breaks for what in disturbing)


def test_every_thing_has_a_cure_that_heals_it() -> None:
    """Whatever can be broken for good is whole after its cures, and they are as few as the things."""
    for what, touch in TOUCHES.items():
        ways = Ways(2)
        ways.apply(Step(1, what, value=3), 1)
        cures = ways.cures(5)
        assert len(cures) <= 2 * len(touch.breaks)
        assert bool(cures) == bool(touch.breaks and not touch.lasts), what
        for cure in cures:
            ways.apply(cure, 5)
        assert ways.whole_from(5) == 5, what


def test_cures_are_for_whom_they_are_needed() -> None:
    """The common way is cured once, an image by its number, and the right one is back before the retry."""
    ways = played("0 drop", "0 image other #1", "0 image freeze #2", images=3)
    assert [str(cure) for cure in ways.cures(9)] == [
        "9 undrop",
        "9 image back #1",
        "9 retry #1",
        "9 image thaw #2",
    ]


@given(schedules)
def test_any_schedule_is_whole_after_its_cures(schedule: list[Step]) -> None:
    """The three questions agree at all times, and what does not end by itself has a cure."""
    ways, now = Ways(3), 0.0
    for step in schedule:
        now = step.at_s
        ways.apply(step, now)
        whole = all(ways.condition(image, now) is WHOLE for image in range(3))
        assert (ways.whole_from(now) == now) == whole
        if ways.whole_from(now) is None:
            assert ways.cures(now)
    for cure in ways.cures(now):
        ways.apply(cure, now)
    while (end := ways.next_end(now)) is not None:
        now = end
    assert all(ways.condition(image, now) is WHOLE for image in range(3))
    assert ways.whole_from(now) == now
    assert ways.cures(now) == ()


def test_a_touch_says_what_it_is() -> None:
    """Nothing both ends by itself and has an end of its own; nothing breaks what it heals."""
    for what, touch in TOUCHES.items():
        assert not (touch.lasts and touch.zero_heals), what
        assert not set(touch.breaks) & set(touch.heals), what
        assert touch != Touch(), what


# --- what has no process ------------------------------------------------------------------------------------


def test_who_does_not_run_neither_saves_nor_stands_still() -> None:
    """A step that finds no process leaves nothing behind for the one that is started next."""
    for step in ("2 image save 9 #0", "2 image freeze #0"):
        assert played("1 image kill #0", step, "3 image start #0").things(0, 3.0) == ()
        assert played("1 host crash #0", step, "3 host boot #0").things(0, 3.0) == ()
        assert played(step, "3 image start #0").things(0, 3.0) != ()


def test_whoever_is_replaced_by_the_right_image_saves_no_longer() -> None:
    """Where the right one stood all the time nothing is ended."""
    save = "2 image save 9 #0"
    assert played("1 image hostile 'http' #0", save, "3 image back #0").things(0, 3.0) == ()
    assert played(save, "3 image back #0").things(0, 3.0) == ("saving",)
