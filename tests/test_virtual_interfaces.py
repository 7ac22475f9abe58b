"""Our own virtual interfaces, and the machine's sleep."""

from __future__ import annotations

import statistics

import pytest

from machines import Cause
from network_lab import IMAGE, answers, looked_up, path
from resilience.network.snapshot import with_opened
from simulations.faults import Step, What
from simulations.virtual.kernel_clock import KernelClock
from simulations.virtual.universe import Universe
from virtual_lab import VirtualLab

# -- our own interfaces ----------------------------------------------------------------------------


def test_the_network_looks_as_the_lab_does() -> None:
    """One WiFi with a lease, another without, loopback, and routes with metrics."""
    lab = VirtualLab()
    snapshot = lab.network.snapshot()
    assert [(each.name, each.up, each.carrier, each.addresses) for each in snapshot.interfaces] == [
        ("lo", True, True, ("127.0.0.1",)),
        ("wlan0", True, True, ("10.71.1.2",)),
        ("wlan1", True, False, ()),
    ]
    assert [(route.destination, route.gateway, route.metric) for route in snapshot.routes] == [
        ("0.0.0.0/0", "10.71.1.1", 600),
        ("10.71.1.0/24", None, 600),
    ]
    assert path(lab) == ("10.71.1.2", "wlan0")
    assert lab.network.snapshot() is snapshot


def test_a_link_that_is_switched_takes_its_routes_along() -> None:
    """The address stays; packets leave at once when it is opened, though the carrier is told later."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("link down")
    down = lab.network.snapshot()
    assert down.has_address("10.71.1.2")
    assert down.routes == ()
    lab.run(1)
    lab.play("link up")
    up = lab.network.snapshot()
    wlan0 = up.interfaces[1]
    assert (wlan0.up, wlan0.lower_up, wlan0.carrier) == (True, True, False)
    assert with_opened(down, up).path_to(IMAGE) is not None
    assert lab.found() == "open"
    lab.run(0.7)
    assert lab.network.snapshot().interfaces[1].carrier
    lab.run(2)
    assert answers(link)


def test_changes_are_announced_within_milliseconds() -> None:
    """Links, addresses and routes; an opened interface is told again when it runs."""
    for step in ("link down", "lease lost", "lease new", "vpn up", "dock", "bystander 5"):
        lab = VirtualLab()
        lab.play(step)
        lab.run(0.0045)
        assert lab.announced, step
        assert 0.001 <= lab.announced[0] <= 0.003, step
    lab = VirtualLab()
    lab.play("link down")
    lab.run(1)
    lab.announced.clear()
    lab.play("link up")
    lab.run(1)
    assert len(lab.announced) >= 3
    assert 1.05 <= lab.announced[-1] <= 1.91


def test_a_lost_carrier_is_seen_at_once_and_announced_late() -> None:
    """The kernel reports at most one a second; a carrier that is found is told within milliseconds."""
    waits = []
    for seed in range(20):
        lab = VirtualLab(f"lost {seed}")
        lab.play("carrier off")
        assert path(lab) is None
        assert lab.network.snapshot().has_address("10.71.1.2")
        assert lab.network.snapshot().routes
        lab.run(2)
        waits.append(lab.announced[0])
        lab.announced.clear()
        lab.play("carrier on")
        wlan0 = lab.network.snapshot().interfaces[1]
        assert (wlan0.lower_up, wlan0.carrier) == (True, False)
        lab.run(0.01)
        assert 2.001 <= lab.announced[0] <= 2.008
        assert path(lab) == ("10.71.1.2", "wlan0")
    assert min(waits) < 0.01
    assert 0.5 < max(waits) < 1.01


def test_hints_get_lost_and_repeated() -> None:
    """Reading works all the same."""
    lab = VirtualLab()
    lab.play("hints lost 5", "lease lost")
    lab.run(4)
    assert lab.announced == []
    assert path(lab) is None
    lab.run(1.5)
    lab.play("hints repeated 20")
    lab.run(0.1)
    assert len(lab.announced) == 20


def bare_connects(lab: VirtualLab, patience_s: float) -> float:
    """How long it takes until a fresh connect every 5 ms reaches the image."""
    began = lab.now
    while lab.now < began + patience_s:
        lab.scout(timeout_s=0.1)
        lab.run(0.005)
        opened = [at for at, _, found in lab.scouted if found.found == "open" and at > began]
        if opened:
            return opened[0] - began
    raise AssertionError(f"nothing within {patience_s} s")


def searching(lab: VirtualLab, for_s: float) -> None:
    """Fresh connects all the time, in vain."""
    end = lab.now + for_s
    while lab.now < end:
        lab.scout(timeout_s=0.1)
        lab.run(0.02)


def test_after_a_lost_carrier_the_kernel_asks_for_its_gateway_once_a_second() -> None:
    """The floor measured in namespaces: 0.1 to 0.4 s in the median, 0.8 to 1.0 s at worst, after 1 s."""
    took = []
    for seed in range(30):
        lab = VirtualLab(f"carrier {seed}")
        lab.play("carrier off")
        searching(lab, 0.9 + 0.2 * seed / 30)
        lab.play("carrier on")
        took.append(bare_connects(lab, 1.5))
    assert 0.05 < statistics.median(took) < 0.65
    assert 0.8 < max(took) < 1.05
    assert min(took) < 0.1


def test_a_carrier_lost_for_a_moment_costs_nothing() -> None:
    """The kernel has not got round to it, a second after the last: the gateway is still known."""
    lab = VirtualLab()
    lab.play("carrier off")
    while not lab.announced:
        lab.run(0.01)
    lab.play("carrier on")
    lab.run(0.01)
    assert lab.found() == "open"
    lab.announced.clear()
    lab.play("carrier off")
    searching(lab, 0.1)
    assert lab.announced == []
    lab.play("carrier on")
    assert bare_connects(lab, 0.1) < 0.01


def test_a_link_that_was_switched_starts_fresh() -> None:
    """The gateway answers at once."""
    lab = VirtualLab()
    lab.play("link down")
    searching(lab, 1)
    lab.play("link up")
    assert bare_connects(lab, 0.1) < 0.01


def test_switching_it_ends_a_search_for_the_gateway() -> None:
    """The probe that was due a second after the last is due at once."""
    lab = VirtualLab()
    lab.play("carrier off")
    searching(lab, 2.5)
    lab.play("link down", "carrier on", "link up")
    assert bare_connects(lab, 0.1) < 0.01


def test_three_unanswered_probes_are_fatal_to_a_connect() -> None:
    """EHOSTUNREACH after 3 s; the next packet begins again, at once."""
    lab = VirtualLab()
    lab.play("carrier off")
    lab.run(2)
    link = lab.dial()
    lab.scout(timeout_s=10)
    lab.run(2.9)
    assert (link.downs, lab.scouted) == ([], [])
    lab.run(0.2)
    assert link.causes == [Cause.NO_ANSWER]
    assert lab.scouted[0][2].found == "no route"
    lab.play("carrier on")
    lab.run(0.01)
    assert lab.found() == "open"


def test_who_is_spoken_to_knows_the_gateway() -> None:
    """The image's retransmission comes before our kernel's next probe, and makes it needless."""
    lab = VirtualLab()
    while lab.network.snapshot().interfaces[1].carrier or not lab.announced:  # until a loss is told at once
        link = lab.connect()
        lab.play("image slow 0.1")
        link.evaluate("1000017")
        lab.run(0.05)
        lab.announced.clear()
        lost_at = lab.now
        lab.play("carrier off")
        lab.run(0.01)
        if not lab.announced:
            lab.play("carrier on")
            lab.run(5)
    searching(lab, 1.29)  # probes go out 0, 1 and 2 s after the loss; the reply 0.05, 0.25, 0.65 and 1.45 s
    lab.play("carrier on")
    assert lost_at + 1.44 < lab.now + bare_connects(lab, 1) < lost_at + 1.5


def test_a_lease_that_is_lost_takes_the_way_along() -> None:
    """Without an address there is no route, and what the old one began comes back with it."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("lease lost")
    assert path(lab) is None
    assert not lab.network.snapshot().has_address("10.71.1.2")
    assert lab.found() == "no route"
    lab.play("lease back")
    lab.run(2)
    assert answers(link)


def test_another_address_leaves_old_links_behind() -> None:
    """Silently; new ones work, and getting the old address back would too."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("lease new")
    assert path(lab) == ("10.71.1.3", "wlan0")
    assert not answers(old, 2)
    assert lab.found() == "open"
    new = lab.connect()
    assert new.link.local_address == "10.71.1.3"


def test_roaming_leads_to_another_subnet() -> None:
    """Another interface, another address; the old link is dead, and there is no wait for the gateway."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("roam away")
    lab.run(0.3)
    assert path(lab) is None
    lab.play("roam arrive")
    assert bare_connects(lab, 0.1) < 0.02
    assert path(lab) == ("10.71.2.2", "wlan1")
    assert not answers(old, 2)
    lab.play("roam away")
    lab.play("roam arrive")
    lab.run(0.02)
    assert path(lab) == ("10.71.1.2", "wlan0")


def test_a_dock_takes_the_way_over_and_gives_it_back() -> None:
    """A connection bound to the WiFi's address stalls meanwhile, and goes on after."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("dock")
    lab.run(1)
    assert path(lab) == ("10.71.3.2", "eth9")
    new = lab.connect()
    assert not answers(old, 1)
    lab.play("undock")
    assert path(lab) == ("10.71.1.2", "wlan0")
    lab.run(2)
    assert len(old.messages) == 1
    assert not answers(new, 1)


def test_a_tunnel_has_the_images_for_itself_and_needs_the_wifi() -> None:
    """Its route wins by its prefix; without the WiFi beneath it nothing passes, and nothing fails at once."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("vpn up")
    assert path(lab) == ("10.99.0.2", "tun0")
    new = lab.connect()
    assert answers(new)
    assert not answers(old, 1)
    lab.play("link down")
    assert path(lab) == ("10.99.0.2", "tun0")
    assert lab.found() == "silent"
    lab.play("dock")
    lab.run(0.5)
    assert path(lab) == ("10.99.0.2", "tun0")
    assert lab.found() == "open"
    lab.play("undock", "link up", "vpn down")
    assert path(lab) is None or path(lab) == ("10.71.1.2", "wlan0")
    lab.run(3)
    assert len(old.messages) == 1


def test_a_bystander_comes_and_goes() -> None:
    """The way stays as it was."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("bystander 2")
    lab.run(1)
    assert "docker0" in [each.name for each in lab.network.snapshot().interfaces]
    assert path(lab) == ("10.71.1.2", "wlan0")
    assert answers(link)
    lab.run(1.5)
    assert "docker0" not in [each.name for each in lab.network.snapshot().interfaces]


# -- sleep -----------------------------------------------------------------------------------------


def test_a_sleeping_machine_neither_receives_nor_waits() -> None:
    """Its timers stand still, what is sent to it is lost, and its clocks of silence do not count."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image slow 0.2")
    link.evaluate("1000017")
    lab.run(0.1)
    half = lab.dial(address="10.71.9.77")
    lab.network.sleep(100)
    lab.run(99)
    assert (link.messages, half.downs) == ([], [])
    assert link.quiet_s < 0.5
    assert link.sending or link.data_quiet_s < 0.5
    lab.run(3)
    assert half.downs == []
    lab.run(3)
    assert half.causes == [Cause.NO_ANSWER]
    assert half.downs[0][0] == pytest.approx(0.2 + 100 + 4.0, abs=0.05)


def test_what_was_lost_in_sleep_is_sent_again() -> None:
    """The image's kernel goes up its ladder meanwhile."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image slow 0.2")
    link.evaluate("1000017")
    lab.run(0.1)
    lab.network.sleep(1)
    lab.run(3)
    assert lab.executed() == ["1000017"]
    assert len(link.messages) == 1
    assert link.messages[0][0] > 1.2


# -- the whole -------------------------------------------------------------------------------------


OTHERS = {
    What.SUSPEND,
    What.STEP_CLOCK,
    What.STALL,
    What.KILL,
    What.POWER_CUT,
    What.CLOSE,
    What.START,
    What.DISK_SLOW,
    What.DISK_FAILS,
    What.DISK_FULL,
    What.DISK_WORKS,
    What.KEYRING_LOCKS,
    What.KEYRING_OPENS,
    What.LONG_EVALUATION,
    What.RETRY,
    What.DISCONNECT,
    What.LARGE_EVALUATION,
    What.RECONNECT,
}  # fmt: skip - one line a part of the world
"""Steps that are not the network's."""


@pytest.mark.parametrize("what", list(What))
def test_every_step_of_the_network_is_played(what: What) -> None:
    """And none of the others."""
    lab = VirtualLab()
    step = Step(0, what, 1, "http" if what is What.IMAGE_HOSTILE else "")
    if what in OTHERS:
        with pytest.raises(ValueError, match="nothing the network could do"):
            lab.network.play(step)
    else:
        lab.network.play(step)
        lab.run(10)


def story(seed: str) -> str:
    """The fingerprint of a run in which every kind of step comes, in an order of the dice."""
    lab = VirtualLab(seed, images=2, named=True)
    dice = lab.universe.dice("story")
    links = [lab.connect(0), lab.connect(1)]
    for _ in range(150):
        what = dice.choice([what for what in What if what not in OTHERS])
        text = (
            dice.choice(["garbage", "http", "silence", "flood", "wrong"])
            if what is What.IMAGE_HOSTILE
            else ""
        )
        value = 0.2 if what is What.LOSS else dice.choice([0, 1, 2])
        lab.network.play(Step(0, what, value, text, dice.choice([-1, 0, 1])))
        links[dice.randrange(2)].ping()
        lab.scout(image=dice.randrange(2))
        looked_up(lab, for_s=0)
        links.append(lab.dial(image=dice.randrange(2)))
        links.pop(dice.randrange(2)).link.abort()
        if dice.random() < 0.05:
            lab.network.sleep(dice.random())
        lab.run(dice.random())
    return lab.universe.trace.digest


def test_the_same_seed_gives_the_same_trace() -> None:
    """Byte for byte, and another seed another one."""
    assert story("one") == story("one")
    assert story("one") != story("two")


def test_sums_of_floats_do_not_keep_a_sleeping_kernel_busy() -> None:
    """These three sleeps end a hair after the sum by which a timer waits: it was planned again and again."""
    universe = Universe("seed")
    clock = KernelClock(universe)
    fired: list[float] = []
    universe.run(10.0)
    clock.after(8.741, lambda: fired.append(universe.now))
    universe.run(18.741)
    for at, for_s in ((18.741, 91.1), (20.724, 320.0)):
        universe.run(at)
        clock.sleep(for_s)
    clock.after(0.0, lambda: fired.append(universe.now))
    universe.run(400.0)
    assert len(fired) == 2
    assert fired[1] == pytest.approx(340.724)
