"""The library: every story makes sense as data, ends with every way whole, and is jittered as it ought."""

from __future__ import annotations

import random

import pytest

from resilience.standin.serve import PARKED_S
from simulations.faults import Condition, Step, Ways, What
from simulations.field.player import PLAYABLE, SQUATTERS
from simulations.scenarios import (
    JITTER,
    JITTER_MAX_S,
    LIBRARY,
    SCENARIOS,
    SETTLE_S,
    STAND_IN_SAVES_S,
    UNREAL,
    Scenario,
    dice_for,
    steps,
    unreal,
)

STORIES = [key for key in LIBRARY if key not in SCENARIOS]
FOR_NAMES = {What.NAME_FAILS, What.NAME_HANGS, What.NAME_WORKS, What.IMAGE_MOVE}
ONE_HOST = {What.HOST_CRASH, What.HOST_BOOT, What.IMAGE_MOVE}
PAIRS = [
    (What.DOCK, What.UNDOCK),
    (What.VPN_UP, What.VPN_DOWN),
    (What.DISK_FULL, What.DISK_WORKS),
    (What.DISK_FAILS, What.DISK_WORKS),
    (What.KEYRING_LOCKS, What.KEYRING_OPENS),
]


def left_broken(scenario: Scenario, played: tuple[Step, ...]) -> list[str]:
    """What is not whole for some image when the schedule is over and what lasts has ended."""
    ways, now = Ways(scenario.images), 0.0
    for step in played:
        now = step.at_s
        ways.apply(step, now)
    while (end := ways.next_end(now)) is not None:
        now = end
    return [
        thing
        for image in range(scenario.images)
        if ways.condition(image, now) is not Condition.WHOLE
        for thing in ways.things(image, now)
    ]


@pytest.mark.parametrize("key", LIBRARY)
def test_every_story_ends_healed(key: str) -> None:
    """With its nominal times, and with those of many runs."""
    story = LIBRARY[key]
    assert left_broken(story, story.steps) == []
    for turn in range(50):
        assert left_broken(story, story.paced(dice_for(3, key, turn))) == []


def test_a_story_that_does_not_end_healed_would_be_seen() -> None:
    """The check above can fail."""
    torn = Scenario("x", "x", steps("0 drop", "1 image kill #1", "2 undrop"), images=2)
    assert left_broken(torn, torn.steps) == ["image"]


@pytest.mark.parametrize("key", LIBRARY)
def test_every_story_is_told(key: str) -> None:
    """A title, a sentence, steps in the order of time that begin at once and name images there are."""
    story = LIBRARY[key]
    assert story.key == key
    assert story.title
    assert story.story.endswith((".", "!"))
    assert "." not in story.story[:-1], "one sentence"
    times = [step.at_s for step in story.steps]
    assert times == sorted(times)
    assert times[0] == 0
    assert all(-1 <= step.image < story.images for step in story.steps)
    if not story.named:
        assert not FOR_NAMES & {step.what for step in story.steps}
    if story.images > 1:
        assert not ONE_HOST & {step.what for step in story.steps}


def test_titles_tell_stories_apart() -> None:
    """Nobody has to know the key."""
    assert len({story.title for story in LIBRARY.values()}) == len(LIBRARY) >= 45


@pytest.mark.parametrize("key", STORIES)
def test_stories_are_as_long_as_they_are_worth(key: str) -> None:
    """Five seconds to half a minute awake; sleep costs nothing in virtual time, and one story is to last."""
    story = LIBRARY[key]
    asleep_s = sum(step.value for step in story.steps if step.what is What.SUSPEND)
    assert 5 <= story.outage_s - asleep_s <= 35 or asleep_s or key == "basement"


def test_the_library_knows_every_kind_of_trouble() -> None:
    """A kind that no story holds would be met by random trouble only."""
    assert {step.what for story in LIBRARY.values() for step in story.steps} == set(What)


def test_what_is_real_is_what_can_be_played() -> None:
    """Each kind of step is played on real interfaces, or there is a reason why it is not."""
    assert set(What) == PLAYABLE | UNREAL.keys()
    assert not PLAYABLE & UNREAL.keys()
    for story in LIBRARY.values():
        assert story.real == (not any(unreal(step) for step in story.steps))
        if story.real:
            assert {step.what for step in story.steps} <= PLAYABLE
            assert {step.text for step in story.steps if step.what is What.IMAGE_HOSTILE} <= SQUATTERS.keys()
    assert sum(story.real for story in LIBRARY.values()) >= 30
    assert STAND_IN_SAVES_S == PARKED_S
    assert not LIBRARY["bigsave"].real
    assert all(scenario.real for scenario in SCENARIOS.values())


def test_what_is_plugged_in_is_unplugged() -> None:
    """Docks, tunnels, broken disks and locked keyrings are no broken ways, and end all the same."""
    for story in LIBRARY.values():
        for begins, ends in PAIRS:
            last = [step.what for step in story.steps if step.what in (begins, ends)][-1:]
            assert last in ([], [ends]), story.key


def test_the_race_lasts_as_long_as_ever() -> None:
    """The nominal outages of the eight faults, which published tables are about."""
    lengths = {key: round(scenario.outage_s, 6) for key, scenario in SCENARIOS.items()}
    assert lengths == {
        "S1": 1.0,
        "S1c": 1.0,
        "S2": 8.0,
        "S3": 0.3,
        "S4": 6.0,
        "S5": 2.0,
        "S6": 5.5,
        "S7": 45.0,
    }
    assert sum(step.what is What.LINK_DOWN for step in SCENARIOS["S6"].steps) == 5
    assert [str(step) for step in SCENARIOS["S6"].steps[:3]] == [
        "0 link down",
        "0.7 link up",
        "1.2 link down",
    ]


# --- pacing -------------------------------------------------------------------------------------------------


def test_gaps_are_jittered_by_a_tenth() -> None:
    """Never more than 10 % either way, never always the same; and the first fault waits a little."""
    scenario = Scenario("x", "x", steps("0 drop", "6 undrop"))
    settled, gaps = [], []
    for seed in range(300):
        first, second = scenario.paced(random.Random(seed))
        settled.append(first.at_s)
        gaps.append(second.at_s - first.at_s)
    assert SETTLE_S[0] <= min(settled) < 1.1
    assert 2.4 < max(settled) <= SETTLE_S[1]
    assert 6 * (1 - JITTER) <= min(gaps) < 5.5
    assert 6.5 < max(gaps) <= 6 * (1 + JITTER)


def test_after_a_long_sleep_the_jitter_is_bounded() -> None:
    """A tenth of a night would put the morning before the alarm."""
    for seed in range(100):
        _, _, asleep, link, _ = LIBRARY["sleep"].paced(random.Random(seed))
        assert link.at_s >= asleep.at_s + asleep.value
        assert abs(link.at_s - asleep.at_s - 28805.8) <= JITTER_MAX_S + 1e-6


def test_pace_shortens_waiting_and_nothing_else() -> None:
    """The same dice at a tenth of the pace give the same steps in a tenth of the time."""
    slow = SCENARIOS["S2"].paced(random.Random(4))
    fast = SCENARIOS["S2"].paced(random.Random(4), 0.1)
    assert [step.what for step in fast] == [step.what for step in SCENARIOS["S2"].steps]
    for one, other in zip(fast, slow, strict=True):
        assert one.at_s == pytest.approx(other.at_s / 10, abs=1e-5)


def test_order_outlives_the_jitter() -> None:
    """Steps of one instant stay together, and none overtakes another."""
    for story in LIBRARY.values():
        for turn in range(10):
            times = [step.at_s for step in story.paced(dice_for(1, story.key, turn))]
            assert times == sorted(times)
    down, lost, up, back = SCENARIOS["S2"].paced(dice_for(1, "S2", 0))
    assert down.at_s == lost.at_s < up.at_s == back.at_s


def test_a_story_without_steps_is_quiet() -> None:
    """Nothing happens, and it takes no time."""
    quiet = Scenario("x", "nothing happens", ())
    assert quiet.paced(random.Random(1)) == ()
    assert quiet.outage_s == 0


def test_what_lasts_counts_to_the_end() -> None:
    """A story that ends with a long evaluation is as long as that."""
    assert Scenario("x", "x", steps("0 drop", "1 undrop", "2 image busy 8")).outage_s == 10
    assert Scenario("x", "x", steps("0 image busy 8", "3 drop", "4 undrop")).outage_s == 8
