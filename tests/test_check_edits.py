"""Law 15: what was typed survives what it must, as it was typed; while it may be lost that is told."""

from __future__ import annotations

import pytest

from simulations.check import edits
from simulations.check.edits import HINDERS_FOR_S
from simulations.trace import Kind
from traces import Tale

HINDERS = ("disk fails", "disk full", "disk slow 0.1", "keyring locks")
ENDS = ("disk works", "disk works", "disk slow", "keyring opens")


def tale(images: int = 1) -> Tale:
    """Every image is connected from the start."""
    return Tale(images=images).begin()


def ended(told: Tale, t: float, how: str) -> None:
    """Our process ends, as the schedule says."""
    told.fault(f"{t:g} {how if how != 'closed' else 'close'}")
    if how == "closed":
        told.process(t, "close")
    told.process(t + 0.001 if how == "closed" else t, how)


def started(told: Tale, t: float, finds: str, image: int = 0) -> None:
    """Another one starts, and finds this."""
    told.fault(f"{t:g} start")
    told.found(t, finds, image)


def accused(told: Tale) -> list[tuple[int, float, int]]:
    """By the law of work: which law, when, whose."""
    return [(v.law, v.at, v.image) for v in told.by(edits.work_is_kept)]


def test_work_that_survives_breaks_no_law() -> None:
    """A kill, a power cut after a save and an end in good order; each process goes on where the last was."""
    told = tale()
    told.typed(1.0, "a", "b")
    ended(told, 2.0, "kill")
    started(told, 3.0, "b")
    told.typed(4.0, "c")
    told.stands(4.5, "Modified", "unsaved edits", saved=3)
    told.saved(4.6, "c")
    told.stands(4.7, "Connected", "all saved", saved=4)
    ended(told, 4.8, "power cut")
    started(told, 6.0, "c")
    told.typed(7.0, "d")
    ended(told, 7.01, "closed")
    started(told, 8.0, "d")
    ended(told, 9.0, "power cut")
    started(told, 10.0, "c")
    assert accused(told) == []
    assert told.by(edits.unsaved_is_shown) == []


# -- what a kill, a power cut and an end in good order may take ------------------------------------


@pytest.mark.parametrize(("age_s", "lost"), [(0.24, 0), (0.26, 1)])
def test_a_kill_takes_what_is_younger_than_250_ms(age_s: float, lost: int) -> None:
    """And nothing that is older."""
    told = tale()
    told.typed(2.0, "a")
    ended(told, 2.0 + age_s, "kill")
    started(told, 3.0, "")
    assert accused(told) == [(15, 3.0, 0)] * lost


def test_what_is_typed_later_may_be_found_or_not() -> None:
    """Of two texts the older had to survive: either may be found, and only nothing at all is too little."""
    for finds, wrong in (("b", 0), ("a", 0), ("", 1)):
        told = tale()
        told.typed(2.0, "a")
        told.typed(2.9, "b")
        ended(told, 3.0, "kill")
        started(told, 4.0, finds)
        assert len(accused(told)) == wrong, finds


def test_a_later_life_is_held_to_the_same() -> None:
    """Not the first one only."""
    told = tale()
    ended(told, 2.0, "kill")
    started(told, 3.0, "")
    told.typed(4.0, "a")
    ended(told, 5.0, "kill")
    started(told, 6.0, "")
    assert accused(told) == [(15, 6.0, 0)]
    told.typed(7.0, "b")
    ended(told, 7.1, "closed")
    started(told, 8.0, "")
    assert accused(told) == [(15, 6.0, 0), (15, 8.0, 0)]


def test_a_power_cut_takes_what_was_not_told_saved() -> None:
    """However old it is; but not what was, and a `save()` that failed promised nothing."""
    for saved, problem, finds, wrong in (
        ("", "", "", 0),
        ("b", "", "", 1),
        ("b", "", "a", 1),
        ("b", "", "b", 0),
        ("a", "", "a", 0),
        ("a", "", "", 1),
        ("b", "NotDurable", "", 0),
    ):
        told = tale()
        told.typed(1.0, "a", "b")
        if saved:
            told.saved(1.1, saved, problem=problem)
        ended(told, 9.0, "power cut")
        started(told, 10.0, finds)
        assert accused(told) == [(15, 10.0, 0)] * wrong, (saved, problem, finds)


def test_what_was_told_saved_survives_a_kill_however_young() -> None:
    """250 ms are for what nobody was told of."""
    told = tale()
    told.typed(2.0, "a")
    told.saved(2.05, "a")
    ended(told, 2.1, "kill")
    started(told, 3.0, "")
    assert accused(told) == [(15, 3.0, 0)]


def test_an_end_in_good_order_takes_nothing() -> None:
    """However young."""
    for finds, wrong in (("a", 0), ("", 1)):
        told = tale()
        told.typed(2.0, "a")
        ended(told, 2.001, "closed")
        started(told, 3.0, finds)
        assert accused(told) == [(15, 3.0, 0)] * wrong


def test_who_is_killed_while_ending_is_held_to_a_kill() -> None:
    """It was asked to end, and had not ended: what is 250 ms old is there, what is younger may not be."""
    for typed_at, wrong in ((2.0, 1), (2.9, 0)):
        told = tale()
        told.typed(typed_at, "a")
        told.fault("2.95 close", "3 kill")
        told.process(2.95, "close")
        told.process(3.0, "kill")
        started(told, 4.0, "")
        assert accused(told) == [(15, 4.0, 0)] * wrong


# -- what hinders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "closed"])
@pytest.mark.parametrize("trouble", HINDERS)
def test_a_disk_or_keyring_in_trouble_excuses(trouble: str, how: str) -> None:
    """Whether it began in this life, however short it was, or before it and had not ended."""
    begins, ends = f"1 {trouble}", ENDS[HINDERS.index(trouble)]
    for faults in ([begins], [begins, f"1.5 {ends}"]):
        told = tale()
        told.fault(*faults)
        told.typed(2.0, "a")
        ended(told, 4.0, how)
        started(told, 5.0, "")
        assert accused(told) == [], faults
    for faults in ([begins], [begins, "3 start"], [begins, f"3.5 {ends}"], [begins, f"3 {ends}"]):
        told = tale()
        ended(told, 0.5, "kill")
        told.fault(*faults)
        told.found(3.0, "")
        told.typed(4.0, "a")
        told.process(5.0, how)
        told.found(6.0, "")
        assert accused(told) == [], faults


@pytest.mark.parametrize("how", ["kill", "closed"])
@pytest.mark.parametrize("trouble", HINDERS)
def test_what_was_over_before_this_life_excuses_nothing(trouble: str, how: str) -> None:
    """Who starts with a disk and a keyring that are well has to keep what is typed."""
    told = tale()
    told.fault(f"1 {trouble}")
    ended(told, 2.0, "kill")
    told.fault(f"2.5 {ENDS[HINDERS.index(trouble)]}")
    started(told, 3.0, "")
    told.typed(4.0, "a")
    ended(told, 5.0, how)
    started(told, 6.0, "")
    assert accused(told) == [(15, 6.0, 0)]


@pytest.mark.parametrize("trouble", HINDERS)
def test_trouble_after_the_end_excuses_nothing(trouble: str) -> None:
    """By then all had to be written."""
    told = tale()
    told.typed(1.0, "a")
    ended(told, 2.0, "kill")
    told.fault(f"2.5 {trouble}", f"2.6 {ENDS[HINDERS.index(trouble)]}")
    started(told, 3.0, "")
    assert accused(told) == [(15, 3.0, 0)]


@pytest.mark.parametrize("how", ["kill", "closed"])
@pytest.mark.parametrize("trouble", HINDERS)
def test_what_was_over_long_before_the_end_excuses_nothing(trouble: str, how: str) -> None:
    """Everything looks again, also at what was typed meanwhile; unless it stood still just then."""
    for stands_still, wrong in (("", 1), ("20 stall 2", 0)):
        told = tale()
        told.fault(f"1 {trouble}", f"2 {ENDS[HINDERS.index(trouble)]}", *filter(None, [stands_still]))
        told.typed(1.5, "a")
        ended(told, 2.0 + HINDERS_FOR_S + 0.3, how)
        started(told, 30.0, "")
        assert accused(told) == [(15, 30.0, 0)] * wrong


def test_each_trouble_has_its_own_end() -> None:
    """A keyring that opens heals no disk, a disk that works opens no keyring, a fast one may still refuse."""
    for trouble, healed in (
        ("disk fails", "keyring opens"),
        ("disk full", "keyring opens"),
        ("disk full", "disk slow"),
        ("keyring locks", "disk works"),
        ("keyring locks", "disk slow"),
    ):
        told = tale()
        ended(told, 1.0, "kill")
        told.fault(f"1.5 {trouble}", f"2 {healed}")
        started(told, 3.0, "")
        told.typed(4.0, "a")
        ended(told, 5.0, "kill")
        started(told, 6.0, "")
        assert accused(told) == [], (trouble, healed)


def test_a_cure_without_an_illness_excuses_nothing() -> None:
    """Every run ends with both."""
    told = tale()
    told.fault("1 disk works", "1 keyring opens", "1.5 disk slow")
    told.typed(2.0, "a")
    ended(told, 4.0, "kill")
    started(told, 5.0, "")
    assert accused(told) == [(15, 5.0, 0)]


@pytest.mark.parametrize("how", ["kill", "power cut", "closed"])
@pytest.mark.parametrize("trouble", HINDERS)
def test_trouble_is_no_excuse_for_what_was_told_saved(trouble: str, how: str) -> None:
    """A `save()` that came back well said that it is on the medium."""
    told = tale()
    told.fault(f"1 {trouble}")
    told.typed(2.0, "a")
    told.saved(2.5, "a")
    ended(told, 4.0, how)
    started(told, 5.0, "")
    assert accused(told) == [(15, 5.0, 0)]


@pytest.mark.parametrize(
    ("how", "after_s", "lost"),
    [("kill", -0.1, 0), ("kill", 0.2, 0), ("kill", 0.3, 1), ("closed", -0.0005, 0), ("closed", 0.1, 1)],
)
@pytest.mark.parametrize("stop", ["stall 0.5", "suspend 60"])
def test_a_process_that_does_not_run_writes_nothing(stop: str, how: str, after_s: float, lost: int) -> None:
    """From its stop it has 250 ms anew until a kill; an end in good order is excused if it fell into one."""
    runs_at = 2.05 + float(stop.split()[1])
    told = tale()
    told.typed(2.0, "a")
    told.fault(f"2.05 {stop}")
    ended(told, runs_at + after_s, how)
    started(told, 70.0, "")
    assert accused(told) == [(15, 70.0, 0)] * lost


# -- what is found -----------------------------------------------------------------------------------


def test_what_was_never_typed_is_not_found() -> None:
    """Not even where nothing had to be."""
    told = tale()
    ended(told, 2.0, "power cut")
    started(told, 3.0, "a")
    assert accused(told) == [(15, 3.0, 0)]
    assert "was not typed" in told.by(edits.work_is_kept)[0].what


def test_what_was_lost_does_not_come_back() -> None:
    """Rightly lost, and another process has begun without it."""
    told = tale()
    told.typed(1.0, "a", "b")
    told.saved(1.1, "a")
    ended(told, 2.0, "power cut")
    started(told, 3.0, "a")
    assert accused(told) == []
    ended(told, 4.0, "kill")
    started(told, 5.0, "b")
    assert accused(told) == [(15, 5.0, 0)]


def test_a_loss_is_told_once() -> None:
    """Who finds nothing after that finds what there is."""
    told = tale()
    told.typed(1.0, "a")
    ended(told, 2.0, "kill")
    for t in (3.0, 5.0):
        started(told, t, "")
        ended(told, t + 1, "kill")
    started(told, 7.0, "")
    assert accused(told) == [(15, 3.0, 0)]


def test_what_was_found_may_be_in_the_page_cache_only() -> None:
    """A power cut after the kill may take it, unless it was told saved, in whatever life."""
    for saved, wrong in ((False, 0), (True, 1)):
        told = tale()
        told.typed(1.0, "a")
        if saved:
            told.saved(1.1, "a")
        ended(told, 2.0, "kill")
        started(told, 3.0, "a")
        ended(told, 4.0, "power cut")
        started(told, 5.0, "")
        assert accused(told) == [(15, 5.0, 0)] * wrong


def test_a_process_that_finds_no_session_excuses_none_after_it() -> None:
    """What had to survive a kill has to be found by whoever looks next."""
    told = tale()
    told.typed(1.0, "a")
    ended(told, 2.0, "kill")
    told.fault("3 start")
    told.process(3.0, "start")
    ended(told, 4.0, "kill")
    started(told, 5.0, "")
    assert accused(told) == [(15, 5.0, 0)]


def test_each_image_has_its_own_work() -> None:
    """What was typed into one is not looked for in the other, and not found there."""
    told = tale(images=2)
    told.typed(1.0, "a", image=0)
    told.typed(1.0, "b", image=1)
    ended(told, 2.0, "kill")
    started(told, 3.0, "a", image=0)
    told.note(3.0, Kind.FOUND, 1, revision=2, text="b")
    assert accused(told) == []
    told.note(3.5, Kind.FOUND, 1, revision=2, text="a")
    assert accused(told) == [(15, 3.5, 1)]


# -- what is told meanwhile --------------------------------------------------------------------------


def shown(told: Tale) -> list[tuple[int, float]]:
    """By the law of what is shown: which law, when."""
    return [(v.law, v.at) for v in told.by(edits.unsaved_is_shown)]


def test_nobody_reads_connected_while_an_edit_may_be_lost() -> None:
    """After the moment it takes to tell."""
    told = tale()
    told.typed(2.0, "a")
    told.stands(2.3, "Connected", "image answered", saved=1)
    told.stands(2.5, "Modified", "unsaved edits", saved=1)
    told.stands(3.0, "Reconnecting", "no sign of life", saved=1)
    told.stands(4.5, "Connected", "all saved", saved=2)
    told.typed(5.0, "b")
    told.stands(5.1, "Connected", "all saved", saved=2)
    assert shown(told) == []
    told.stands(5.4, "Connected", "all saved", saved=2)
    assert shown(told) == [(15, 5.4)]
    assert "revision 3 was typed, 2 is saved" in told.by(edits.unsaved_is_shown)[0].what


def test_a_slow_disk_and_a_stop_take_their_time() -> None:
    """The transition waits for its own sync, and nothing is told by a process that stands still."""
    for fault, looked_at, wrong in (
        ("1 disk slow 0.1", 2.9, 0),
        ("1 disk slow 0.1", 3.0, 1),
        ("2.1 stall 3", 5.0, 0),
        ("1 stall 0.5,1.9 bystander", 2.4, 1),
    ):
        told = tale()
        told.fault(*fault.split(","))
        told.typed(2.0, "a")
        told.stands(looked_at, "Connected", "image answered", saved=1)
        assert len(shown(told)) == wrong, (fault, looked_at)


def test_a_session_that_is_not_open_counts_for_itself() -> None:
    """Its revisions are our own, and begin anew when it opens."""
    told = tale()
    told.typed(2.0, "a", opened=False)
    told.stands(3.0, "Connected", "image answered", saved=1)
    assert shown(told) == []
    told.typed(4.0, "b")
    told.stands(5.0, "Connected", "image answered", saved=2)
    assert shown(told) == [(15, 5.0)]


def test_what_an_earlier_life_typed_is_not_this_ones() -> None:
    """It knows what it found, and that is saved."""
    told = tale()
    told.typed(2.0, "a")
    ended(told, 2.2, "kill")
    started(told, 3.0, "")
    told.stands(4.0, "Connected", "image answered", saved=0)
    assert shown(told) == []


def test_a_save_tells_at_least_what_was_asked_to_be_saved() -> None:
    """The revision on the medium, and no older one."""
    for saved, wrong in ((7, 0), (8, 0), (6, 1)):
        told = tale()
        told.note(10.0, Kind.EDITED, revision=7, text="1000001", open=True)
        told.note(10.5, Kind.SAVE, text="1000001", problem="", said="", revision=7, saved=saved)
        assert [v.law for v in told.by(edits.work_is_kept)] == [15] * wrong
