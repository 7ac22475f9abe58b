"""Laws 7, 8 and 9: what our own interfaces tell is acted on at once, and a lost address is left."""

from __future__ import annotations

import pytest

from simulations.check import paths
from simulations.trace import Kind
from traces import Tale

PATH_LOST = "Connected path_lost Reconnecting"


def tale(*faults: str) -> Tale:
    """Connected from the start; these faults; seen until 40 s."""
    told = Tale().begin()
    told.fault(*faults)
    told._pass(40.0)
    told.note(40.0, Kind.HEALED, -1)
    return told


def roamed(told: Tale, noticed_at: float = 10.002, aborted_at: float | None = 10.003) -> Tale:
    """The address goes at 10 s; what a correct product does then."""
    told.note(noticed_at, Kind.NOTICED, -1, interfaces="lo,wlan0")
    told.told(noticed_at + 0.001, PATH_LOST, "waiting for network")
    if aborted_at is not None:
        told.note(aborted_at, Kind.ABORTED, gen=1)
    return told


# -- law 8 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["10 lease lost", "10 lease new", "10 roam away", "10 roam arrive"])
def test_a_link_does_not_outlive_its_address(fault: str) -> None:
    """It is closed as soon as we know."""
    assert roamed(tale(fault)).by(paths.a_lost_address_is_left) == []
    told = roamed(tale(fault), aborted_at=None)
    assert [v.law for v in told.by(paths.a_lost_address_is_left)] == [8]
    assert len(roamed(tale(fault), aborted_at=11.0).by(paths.a_lost_address_is_left)) == 1


def test_nothing_is_sent_from_an_address_that_is_gone() -> None:
    """What we know, we act on before anything else."""
    told = roamed(tale("10 lease lost"), aborted_at=10.2)
    told.note(10.1, Kind.SENT, gen=1, label="1000001")
    assert "1000001 was sent" in told.by(paths.a_lost_address_is_left)[0].what


def test_what_was_never_noticed_cannot_be_acted_on() -> None:
    """The same address was back before anybody looked."""
    told = tale("10 lease lost", "10.001 lease back")
    told.note(10.002, Kind.NOTICED, -1, interfaces="lo,wlan0")
    assert told.by(paths.a_lost_address_is_left) == []
    assert tale("10 lease lost").by(paths.a_lost_address_is_left) == []


def test_a_dial_that_nobody_accepted_has_no_address() -> None:
    """And with a cable or a tunnel the trace does not tell whose is whose."""
    told = roamed(tale("10 lease lost"))
    told.dial(9.9, 2)
    assert told.by(paths.a_lost_address_is_left) == []
    told = roamed(tale("5 dock", "10 lease lost"), aborted_at=None)
    assert told.by(paths.a_lost_address_is_left) == []


# -- laws 7 and 9 --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["10 link down", "10 lease lost", "10 carrier off", "10 roam away"])
def test_a_path_that_our_interface_loses_is_told_at_once(fault: str) -> None:
    """Silence would tell too, but seconds later."""
    told = tale(fault)
    told.told(10.3, PATH_LOST, "waiting for network")
    assert told.by(paths.events_are_acted_on) == []
    told = tale(fault)
    told.told(11.5, "Connected link_silent Reconnecting", "no sign of life")
    assert [v.law for v in told.by(paths.events_are_acted_on)] == [9]


@pytest.mark.parametrize("first", ["9 hints lost 5", "9.9 stall 2", "8 dock"])
def test_who_is_not_told_cannot_act(first: str) -> None:
    """Lost announcements, a stall of ours, and a cable that goes on."""
    assert tale(first, "10 carrier off").by(paths.events_are_acted_on) == []


def test_a_path_that_is_back_is_dialled_at_once() -> None:
    """Not only when the schedule comes round."""
    for dialled_at, wrong in ((20.01, 0), (20.9, 1)):
        told = tale("10 link down", "20 link up")
        told.told(10.01, PATH_LOST, "waiting for network")
        told.dial(dialled_at, 2)
        told.note(30.0, Kind.HEALED, -1)
        assert [v.law for v in told.by(paths.events_are_acted_on)] == [7] * wrong


def test_nobody_dials_what_nobody_wants() -> None:
    """Nor for a flap that the kernel may never have told of."""
    told = tale("10 link down", "15 disconnect #0", "20 link up")
    told.told(10.01, PATH_LOST, "waiting for network")
    assert told.by(paths.events_are_acted_on) == []
    told = tale("10 carrier off", "11 carrier on")
    told.told(10.01, PATH_LOST, "waiting for network")
    assert told.by(paths.events_are_acted_on) == []


def test_a_new_lease_takes_the_old_address_for_ever() -> None:
    """Not even the lease that comes back gives it back."""
    told = roamed(tale("10 lease new", "10.001 lease back"), aborted_at=None)
    assert [v.law for v in told.by(paths.a_lost_address_is_left)] == [8]


def test_two_roams_between_two_looks_may_bring_the_address_back() -> None:
    """Nobody knows then which one was lost."""
    told = roamed(tale("9.999 roam arrive", "10 roam arrive"), aborted_at=None)
    assert told.by(paths.a_lost_address_is_left) == []


def test_a_process_that_was_killed_or_held_up_leaves_nothing_in_time() -> None:
    """The kernel closes the links of the dead, and a stalled one acts when it runs."""
    told = roamed(tale("10 lease lost"), aborted_at=None)
    told.process(10.1, "kill")
    assert told.by(paths.a_lost_address_is_left) == []
    told = roamed(tale("9.999 stall 2", "10 lease lost"), aborted_at=None)
    assert told.by(paths.a_lost_address_is_left) == []


def test_a_loss_that_was_told_before_need_not_be_told_again() -> None:
    """Nor one that comes out of other trouble."""
    told = tale("10 link down")
    told.told(9.9, "Connected link_lost Reconnecting", "link closed by the other side")
    assert told.by(paths.events_are_acted_on) == []
    assert tale("9 nat forgets", "10 link down").by(paths.events_are_acted_on) == []


def test_a_network_that_goes_again_need_not_be_dialled() -> None:
    """Nor one that came back after announcements had been lost."""
    told = tale("10 link down", "20 link up", "20.2 lease lost")
    told.told(10.01, PATH_LOST, "waiting for network")
    assert told.by(paths.events_are_acted_on) == []
    told = tale("10 link down", "15 hints lost 8", "20 link up")
    told.told(10.01, PATH_LOST, "waiting for network")
    assert told.by(paths.events_are_acted_on) == []


def test_another_way_out_that_opens_at_once_is_given_its_chance() -> None:
    """The loss is told when the image is not reached over it either."""
    for vpn, wrong in (("10.1 vpn up", 0), ("12 vpn up", 1)):
        told = tale("10 carrier off", vpn)
        told.told(13.0, "Connected link_silent Reconnecting", "no sign of life")
        assert len(told.by(paths.events_are_acted_on)) == wrong


def test_what_a_slow_disk_holds_back_is_not_told_in_our_sleep() -> None:
    """It was on its way when the lid was closed."""
    told = tale("9.9 disk slow 1", "10 link down", "10.8 suspend 60")
    told.told(71.5, PATH_LOST, "waiting for network")
    assert told.by(paths.events_are_acted_on) == []
