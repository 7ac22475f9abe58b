"""Laws 1, 3, 4, 6, 7, 8, 12 and 18: a link that nothing happened to is left alone, and serves."""

from __future__ import annotations

import pytest

from simulations.check import calm
from simulations.check.calm import Calm, calms
from simulations.trace import Kind
from traces import Tale, dropped

LOST = "Connected link_lost Reconnecting"


def tale(*faults: str, images: int = 1) -> Tale:
    """Connected from the start; then these faults, and nothing else until 30 s."""
    told = Tale(images=images).begin()
    told.fault(*faults)
    told._pass(30.0)
    told.close(30.0)
    return told


HARMLESS = {
    "5 image busy 8 #0": 3,
    "5 image slow 2 #0": 3,
    "5 long evaluation 8 #0": 3,
    "5 bystander": 8,
    "5 hints repeated 50": 7,
    "5 step clock -3600": 6,
    "5 disk fails": 1,
    "5 disk full": 1,
    "5 name hangs": 1,
    "5 rate 20000": 4,
    "5 delay 0.1": 1,
    "5 jitter 0.05": 1,
}
"""What hurts no link, and whose law a link that is touched all the same breaks."""


def test_a_correct_run_is_left_alone() -> None:
    """Whatever happens that does not hurt, and also across an outage."""
    told = tale(*sorted(HARMLESS)[:-1])
    for t in (2.0, 7.0, 22.0, 27.0):
        told.evaluate(t, 1, str(1_000_000 + int(t)))
    for check in (calm.left_alone, calm.few_pings, calm.served):
        assert told.by(check) == []
    told = Tale().begin()
    dropped(told, 5.0, 9.0)
    told.close(30.0)
    for check in (calm.left_alone, calm.few_pings, calm.served):
        assert told.by(check) == []


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize("kind", [Kind.TOLD, Kind.DIAL, Kind.SCOUT, Kind.ABORTED, Kind.LINK_ENDED])
def test_nothing_touches_a_link_in_a_calm(fault: str, kind: Kind) -> None:
    """Neither in words nor in deeds."""
    told = tale(fault)
    match kind:
        case Kind.TOLD:
            told.told(6.0, "Connected link_silent Reconnecting", "no sign of life")
        case Kind.DIAL:
            told.dial(6.0, 2)
        case Kind.SCOUT:
            told.note(6.0, kind, address="10.71.9.2")
        case _:
            told.note(6.0, kind, gen=1)
    assert [(v.law, v.at) for v in told.by(calm.left_alone)] == [(HARMLESS[fault], 6.0)]


@pytest.mark.parametrize(
    "fault",
    [
        "5 nat forgets",
        "5 dock",
        "5 lease new",
        "5 drop",
        "5 stall 2",
        "5 loss 0.3",
        "5 rate 800",
        "5 delay 0.2",
        "5 jitter 0.1",
    ],
)
def test_what_hurts_is_no_calm(fault: str) -> None:
    """From then on much may happen."""
    told = tale(fault)
    told.told(6.0, LOST, "link closed by the other side")
    told.dial(6.0, 2)
    assert told.by(calm.left_alone) == []


def test_one_images_trouble_is_not_anothers() -> None:
    """Law 18, by name."""
    told = tale("5 image kill #1", images=2)
    told.told(5.1, LOST, "link closed by the other side", image=1)
    told.dial(5.2, 2, image=1)
    assert told.by(calm.left_alone) == []
    told.dial(5.3, 2, image=0)
    assert [(v.law, v.image) for v in told.by(calm.left_alone)] == [(18, 0)]


def test_a_reason_that_changes_touches_nothing() -> None:
    """Nor does a transition between the two live states."""
    told = tale()
    told.told(6.0, "Connected edited Modified", "unsaved edits")
    assert told.by(calm.left_alone) == []


def test_a_calm_lasts_from_the_connection_to_the_next_trouble() -> None:
    """It begins anew when the trouble is over and every old link is gone."""
    told = Tale().begin()
    told_at = dropped(told, 5.0, 9.0)
    told.fault("20 carrier off")
    told.close(30.0)
    first, second = calms(told.story, 0)
    assert first == Calm(first.since, 5.0)
    assert first.since == pytest.approx(0.6, abs=0.02)
    assert second.since >= max(told_at, 9.0) + calm.DRAINED_S
    assert second.until == 20.0


def test_what_was_hidden_is_found_later() -> None:
    """Without announcements a new lease is seen seconds later: that is no calm."""
    told = tale("5 hints lost 8", "6 lease new")
    told.told(11.0, LOST, "our address is gone")
    told.dial(11.0, 2)
    assert told.by(calm.left_alone) == []


def test_nobody_is_calm_where_nobody_lives() -> None:
    """Between two lives of our process, nor before its first connection."""
    told = Tale().begin()
    told.fault("5 kill")
    told.process(5.0, "kill")
    told.fault("15 start")
    told.process(15.0, "start")
    told.connect(16.0, 1)
    told.close(20.0)
    spans = calms(told.story, 0)
    assert [span.until for span in spans] == [5.0, 20.0]
    assert spans[1].since > 16.0


# -- law 4: calm when idle -------------------------------------------------------------------


def test_an_idle_image_is_not_asked_over_and_over() -> None:
    """Every 5 s; more if the user asks."""
    told = tale()
    for t in range(5, 29, 5):
        told.exchange(t, 1, "ping")
    for n in range(5):
        told.probe(20.0 + n / 10, 1, n)
    assert told.by(calm.few_pings) == []
    for n in range(8):
        told.exchange(10.1 + n / 4, 1, "ping")
    assert [v.law for v in told.by(calm.few_pings)] == [4]


# -- laws 12 and 18: served ------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["unknown", "expired", "lost", ""])
def test_nothing_in_its_way_means_done(outcome: str) -> None:
    """Two seconds are enough for a number."""
    told = tale()
    told.ask(10.0, "1000001", timeout_s=5.0)
    if outcome:
        told.outcome(15.0, "1000001", outcome)
    assert [v.law for v in told.by(calm.served)] == [12]


def test_a_neighbours_trouble_holds_nobody_up() -> None:
    """That is law 18."""
    told = tale("5 image freeze #1", images=2)
    told.ask(10.0, "1000001")
    told.outcome(15.0, "1000001", "expired")
    assert [v.law for v in told.by(calm.served)] == [18]


def test_hurry_and_a_busy_image_excuse() -> None:
    """So does work of our own that is under way."""
    told = tale("5 image busy 8 #0")
    told.ask(6.0, "1000001")
    told.outcome(11.0, "1000001", "unknown")
    told.ask(20.0, "1000002", timeout_s=0.3)
    told.outcome(20.3, "1000002", "expired")
    told.execute(21.0, 1, "(Delay forSeconds: 9) wait. 1000003")
    told.ask(22.0, "1000004")
    told.outcome(27.0, "1000004", "expired")
    assert told.by(calm.served) == []


def test_what_the_user_does_is_a_reason() -> None:
    """A disconnect closes the link; one that was refused does nothing."""
    for refused, wrong in ((False, 0), (True, 1)):
        told = tale()
        told.note(10.0, Kind.ACTION, action="disconnect", refused=refused)
        told.note(10.1, Kind.ABORTED, gen=1)
        assert len(told.by(calm.left_alone)) == wrong


@pytest.mark.parametrize(
    ("steps", "since", "until", "narrow"),
    [
        (("5 rate 800", "9 rate"), 1.0, 4.0, False),
        (("5 rate 800", "9 rate"), 1.0, 6.0, True),
        (("5 rate 800", "9 rate"), 6.0, 7.0, True),
        (("5 rate 800", "9 rate"), 9.5, 20.0, False),
        (("5 rate 800", "9 rate 50000"), 9.5, 20.0, False),
        (("5 rate 50000", "9 rate 800"), 6.0, 8.0, False),
        (("5 rate 800",), 6.0, 8.0, True),
    ],
)
def test_a_way_is_narrow_while_its_rate_is_small(
    steps: tuple[str, ...],
    since: float,
    until: float,
    narrow: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """From its step to the next one."""
    assert calm.narrow(tale(*steps).story, 0, since, until) is narrow


def test_after_a_narrow_way_much_is_under_way() -> None:
    """Half a minute; after other trouble a few seconds are enough."""
    told = tale("5 rate 800", "9 rate")
    assert [span.since for span in calms(told.story, 0)] == [pytest.approx(0.6, abs=0.02)]
    told = tale("5 loss 0.2", "9 loss")
    assert calms(told.story, 0)[1].since == pytest.approx(13.1)


def test_only_evaluations_inside_a_calm_are_promised() -> None:
    """Not a ping, and not what began or ended beyond it."""
    told = tale("20 drop")
    told.ask(10.0, "probe 1000009", timeout_s=30.0)
    told.ask(18.5, "1000001")
    told.outcome(23.5, "1000001", "unknown")
    assert told.by(calm.served) == []
