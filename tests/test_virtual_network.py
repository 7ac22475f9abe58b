"""The virtual network on its raw API: what kernels, libzmq and the way between would do, and when."""

from __future__ import annotations

import statistics

import pytest

from machines import Cause
from resilience.network.snapshot import with_opened
from simulations.faults import Step, What
from simulations.trace import Kind
from simulations.virtual.stream import Stream
from virtual_lab import VirtualLab, Watched

IMAGE = "10.71.9.2"
WAY_S = 0.0014
"""One way takes less."""


def path(lab: VirtualLab) -> tuple[str, str] | None:
    """Address and interface by which the product thinks the first image is reached."""
    found = lab.network.snapshot().path_to(IMAGE)
    return None if found is None else (found.local_address, found.interface)


def answers(link: Watched, within_s: float = 0.1) -> bool:
    """Whether a ping on this link is answered in time."""
    before = len(link.messages)
    link.ping()
    link.lab.run(within_s)
    return len(link.messages) > before


# -- links -------------------------------------------------------------------------------------


def test_a_link_is_accepted_then_shaken() -> None:
    """One round trip to the accept, two more for the handshake, each told once and traced."""
    lab = VirtualLab()
    link = lab.connect()
    (accepted, _), (shaken, _) = link.events
    assert WAY_S < accepted < 2 * WAY_S
    assert accepted + 2 * WAY_S < shaken < accepted + 4 * WAY_S
    assert link.link.local_address == "10.71.1.2"
    (dial,) = lab.traced(Kind.DIAL)
    assert dial.data == {"gen": 1, "address": IMAGE, "local": "10.71.1.2"}
    assert [entry.t for entry in lab.traced(Kind.HANDSHAKEN)] == [shaken]


def test_a_ping_comes_back_with_its_id_before_the_delimiter() -> None:
    """As a REP socket echoes it."""
    lab = VirtualLab()
    link = lab.connect()
    link.ping("7")
    lab.run(0.1)
    ((at, frames),) = link.messages
    assert frames[:2] == [b"7", b""]
    assert b'"image_id": "image-0"' in frames[2]
    assert at < 0.1 + 2 * WAY_S
    assert [entry.data["label"] for entry in lab.traced(Kind.SENT)] == ["ping"]


def test_quiet_costs_next_to_nothing() -> None:
    """An idle link takes at most ten events a second, a scout on a silent way at most two."""
    lab = VirtualLab()
    link = lab.connect()
    assert lab.events_in(100) <= 1_000
    assert link.downs == []
    lab = VirtualLab()
    lab.play("drop")
    lab.scout()
    assert lab.events_in(0.5) <= 2


def test_the_kernel_keeps_a_clock_for_each_link() -> None:
    """Vitals: heartbeats keep it fresh; nothing is known before the accept or after the end."""
    lab = VirtualLab()
    link = lab.dial()
    assert link.link.vitals() is None
    lab.run(10)
    vitals = link.link.vitals()
    assert vitals is not None
    assert vitals.quiet_s < 0.41
    assert WAY_S < vitals.rtt_s < 2 * WAY_S
    assert not vitals.sending
    link.link.abort()
    assert link.link.vitals() is None


def test_what_came_before_the_end_is_told_before_the_end() -> None:
    """A reply and the end of its link reach a stalled process together."""
    lab = VirtualLab()
    link = lab.connect()
    lab.stall()
    link.ping()
    lab.run(0.1)
    lab.play("image kill")
    lab.run(0.5)
    assert (link.messages, link.downs) == ([], [])
    lab.go_on()
    lab.run(0)
    assert link.order[-2:] == ["message", "down"]
    assert link.causes == [Cause.CLOSED]


def test_an_aborted_link_reports_nothing_any_more() -> None:
    """Not even what was under way into our loop."""
    lab = VirtualLab()
    link = lab.connect()
    link.ping()
    lab.stall()
    lab.run(0.1)
    link.link.abort()
    lab.go_on()
    lab.play("image kill")
    lab.run(1)
    assert (link.messages, link.downs) == ([], [])
    assert len(lab.traced(Kind.ABORTED)) == 1
    assert not lab.traced(Kind.LINK_ENDED)


def test_an_abort_tells_the_image() -> None:
    """RST: the image's kernel forgets the connection."""
    lab = VirtualLab()
    link = lab.connect()
    assert len(lab.network.images[0].connections) == 1
    link.link.abort()
    lab.run(0.1)
    assert lab.network.images[0].connections == []


def test_an_aborted_request_is_never_carried_out() -> None:
    """It was sent into a drop; the returning way does not deliver what was not acknowledged."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("drop")
    link.evaluate("1000017")
    lab.run(2)
    link.link.abort()
    lab.run(1)
    lab.play("undrop")
    lab.run(60)
    assert lab.executed() == []


def test_a_request_left_alone_is_carried_out_when_the_way_is_back() -> None:
    """The other half of the last test: without the abort the kernel delivers it."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("drop")
    link.evaluate("1000017")
    lab.run(3)
    lab.play("undrop")
    lab.run(10)
    assert lab.executed() == ["1000017"]
    assert len(link.messages) == 1


def test_a_kill_resets_our_connections_and_tells_nobody() -> None:
    """The next process hears nothing of what the last one began."""
    lab = VirtualLab()
    link, half = lab.connect(), lab.dial()
    lab.scout()
    lab.network.detach()
    lab.network.attach(lab.deliver)
    lab.run(5)
    assert (half.events, link.downs, lab.scouted) == ([], [], [])
    assert lab.network.images[0].connections == []
    assert lab.connect().names == ["Accepted", "Handshaken"]


def test_a_request_from_an_earlier_process_is_nobodys() -> None:
    """The trace says -1 for its connection: generations begin anew."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image busy 1")
    link.evaluate("1000017")
    lab.run(0.1)
    lab.network.detach()
    lab.network.attach(lab.deliver)
    lab.run(2)
    assert [entry.data["conn"] for entry in lab.traced(Kind.EXECUTED)] == [-1]


# -- dials and scouts --------------------------------------------------------------------------


def test_a_closed_port_refuses() -> None:
    """The dial fails within a round trip, and a scout says why."""
    lab = VirtualLab()
    lab.play("image kill")
    link = lab.dial()
    lab.run(0.01)
    assert link.causes == [Cause.NO_ANSWER]
    assert lab.found() == "refused"
    assert [entry.data["cause"] for entry in lab.traced(Kind.LINK_ENDED)] == ["no answer"]


def test_a_silent_way_leaves_a_dial_waiting() -> None:
    """Until libzmq's connect timeout; a scout until its own."""
    lab = VirtualLab()
    lab.play("drop")
    link = lab.dial()
    assert lab.found() == "silent"
    lab.run(3.6)
    assert link.downs == []
    lab.run(0.2)
    assert link.causes == [Cause.NO_ANSWER]


@pytest.mark.parametrize(("undrop", "accepted"), [(0.5, 1.0), (1.5, 3.0)])
def test_a_lost_syn_is_sent_again(undrop: float, accepted: float) -> None:
    """After 1 s, then 2 s more: what a fresh connect beats."""
    lab = VirtualLab()
    lab.play("drop")
    link = lab.dial()
    lab.until(undrop)
    lab.play("undrop")
    lab.run(3.9 - undrop)
    assert link.events[0][0] == pytest.approx(accepted, abs=0.01)


def test_a_lost_syn_answer_is_asked_for_again() -> None:
    """The other direction costs the same."""
    lab = VirtualLab()
    lab.play("drop in")
    link = lab.dial()
    lab.run(0.5)
    lab.play("undrop")
    lab.run(1)
    assert link.events[0][0] == pytest.approx(1.0, abs=0.01)


def test_no_route_is_known_at_once() -> None:
    """A connect without a route fails before anything leaves."""
    lab = VirtualLab()
    lab.play("link down")
    link = lab.dial()
    lab.scout()
    lab.run(0.001)
    assert link.causes == [Cause.NO_ANSWER]
    assert lab.scouted[0][2].found == "no route"


def test_a_scout_tells_how_long_it_took() -> None:
    """And is told once."""
    lab = VirtualLab()
    lab.scout()
    lab.run(1)
    ((_, address, scouted),) = lab.scouted
    assert (address, scouted.found) == (IMAGE, "open")
    assert WAY_S < scouted.took_s < 2 * WAY_S
    (entry,) = lab.traced(Kind.SCOUTED)
    assert entry.data == {"address": IMAGE, "found": "open"}


def test_scouts_called_off_say_nothing() -> None:
    """Neither do those beyond the most there may be."""
    lab = VirtualLab()
    lab.play("drop")
    party = lab.network.scouts(lambda at, found: lab.scouted.append((lab.now, at, found)), 0)
    for _ in range(30):
        party.send(IMAGE, 5555, 0.25)
    lab.run(0.3)
    assert len(lab.scouted) == 24
    party.send(IMAGE, 5555, 0.25)
    party.call_off()
    assert lab.events_in(5) == 0
    assert len(lab.scouted) == 24


def test_an_unknown_address_is_silent() -> None:
    """Nobody lives there."""
    lab = VirtualLab()
    lab.scout(address="10.71.9.77")
    lab.run(0.3)
    assert lab.scouted[0][2].found == "silent"


# -- the way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["drop", "drop out", "drop in"])
def test_a_dropped_way_is_silent(step: str) -> None:
    """One direction is enough: heartbeats are not acknowledged, or the acknowledgement is lost."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play(step)
    lab.run(3)
    assert link.quiet_s > 2.5
    assert link.sending
    lab.play("undrop")
    lab.run(5)
    assert link.quiet_s < 0.41
    assert answers(link)


def test_what_waits_in_backoff_waits_for_the_retransmission() -> None:
    """The way is back after 6 s, the link only with the next rung of 0.2, 0.4, 0.8, 1.6, 3.2, 6.4 s."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("drop")
    lab.run(7)
    assert lab.found() == "silent"
    lab.play("undrop")
    assert lab.found() == "open"
    assert not answers(link, 3)
    lab.run(5)
    assert len(link.messages) == 1


def test_new_data_in_backoff_is_no_sign_of_life() -> None:
    """Heartbeats wait behind the first lost one: the far end is heard with the rung at 3 s, not before."""
    lab = VirtualLab()
    link = lab.connect()
    lab.until(0.4)
    lab.play("drop")
    lab.run(2)
    lab.play("undrop")
    lab.run(0.95)
    assert link.quiet_s > 2.9
    lab.run(0.2)
    assert link.quiet_s < 0.2


def test_the_image_s_retransmission_does_not_hurry_ours() -> None:
    """What it sends in its own backoff is heard; what we have in ours waits for our rung."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image slow 0.1")
    link.evaluate("1")
    lab.run(0.05)
    lab.play("drop")
    lab.until(2)
    lab.play("undrop")
    link.evaluate("2")
    lab.until(3.3)
    assert link.quiet_s < 0.15
    assert lab.executed() == ["1"]
    lab.until(3.5)
    assert lab.executed() == ["1", "2"]


def test_a_lost_acknowledgement_leaves_the_image_sending() -> None:
    """The reply is here, and its sender does not know."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image slow 0.1")
    link.evaluate("1")
    lab.run(0.05)
    lab.play("drop out")
    lab.run(1)
    (connection,) = lab.network.images[0].connections
    assert len(link.messages) == 1
    assert connection.down.backlog == 1
    lab.play("undrop")
    lab.run(3)
    assert connection.down.backlog == 0
    assert len(link.messages) == 1


def test_a_closed_direction_sends_nothing_more() -> None:
    """An acknowledgement that comes after the end finds nothing to repeat."""
    lab = VirtualLab()
    carried: list[int] = []

    def lose(_size: int, number: int, _payload: object) -> bool:
        carried.append(number)
        return False

    universe = lab.universe
    stream = Stream(lose, lambda _: None, lambda: universe.now, universe.after)
    stream.push(10, "one")
    stream.close()
    stream.acknowledged(0, gap=True)
    stream.push(10, "two")
    lab.run(10)
    assert carried == [0]


def test_unacknowledged_for_twenty_seconds_ends_the_link() -> None:
    """TCP_USER_TIMEOUT."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("drop")
    lab.run(20)
    assert link.downs == []
    lab.run(1)
    assert link.causes == [Cause.CLOSED]


def test_loss_delays_and_loses_nothing() -> None:
    """Every request comes back once, in order, though a third of the packets is lost."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("loss 0.3")
    for number in range(20):
        link.evaluate(str(1000 + number))
    lab.run(30)
    assert lab.executed() == [str(1000 + number) for number in range(20)]
    assert [frames[0] for _, frames in link.messages] == [str(1000 + number).encode() for number in range(20)]


def test_loss_loses_packets() -> None:
    """Of bare connects at 30 %, which need one packet each way, about half."""
    lab = VirtualLab()
    lab.play("loss 0.3")
    silent = [lab.found() for _ in range(100)].count("silent")
    assert 35 < silent < 67
    lab.play("loss")
    assert {lab.found() for _ in range(20)} == {"open"}


def test_delay_counts_each_way_and_jitter_at_random() -> None:
    """And the kernel learns the round trip."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("delay 0.25", "jitter 0.1")
    lab.run(20)
    link.ping()
    sent = lab.now
    lab.run(2)
    assert sent + 0.5 < link.messages[0][0] < sent + 0.71
    vitals = link.link.vitals()
    assert vitals is not None
    assert 0.45 < vitals.rtt_s < 0.72
    took = []
    for _ in range(10):
        asked_at = lab.now
        assert answers(link, 1)
        took.append(link.messages[-1][0] - asked_at)
    assert max(took) - min(took) > 0.02
    lab.play("delay", "jitter")
    assert answers(link, 1)


def test_a_reset_does_not_overtake_what_it_follows() -> None:
    """Jitter holds packets back, and mixes up none of one connection."""
    for seed in range(20):
        lab = VirtualLab(f"jitter {seed}")
        link = lab.connect()
        lab.play("jitter 0.5")
        link.evaluate("1")
        link.link.abort()
        lab.run(2)
        assert lab.executed() == ["1"]


def test_a_slow_way_takes_its_time() -> None:
    """A ping and its answer are about 700 bytes; at 1,000 bytes a second each way that is seen."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("rate 1000")
    link.ping()
    sent = lab.now
    lab.run(5)
    assert sent + 0.5 < link.messages[0][0] < sent + 1.5


def test_a_stalled_way_keeps_everything() -> None:
    """Nothing moves for 3 s, then all of it arrives, each once."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("stall way 3")
    link.evaluate("1000017")
    half = lab.dial()
    lab.run(2.9)
    assert (link.messages, half.events) == ([], [])
    assert link.quiet_s > 2.5
    lab.run(0.5)
    assert lab.executed() == ["1000017"]
    assert len(link.messages) == 1
    assert half.names == ["Accepted", "Handshaken"]


def test_a_long_stall_is_a_dead_way_to_the_kernel() -> None:
    """What was not acknowledged for 20 s ends the connection, though it is all kept."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("stall way 30")
    lab.run(25)
    assert link.causes == [Cause.CLOSED]


def test_large_packets_fall_into_the_hole() -> None:
    """Heartbeats pass, so the link lives; a request does not."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("mtu hole 200")
    lab.run(1)
    assert link.quiet_s < 0.41
    assert not answers(link, 3)
    assert link.sending
    lab.play("mtu hole")
    lab.run(5)
    assert len(link.messages) == 1


def test_a_forgetful_nat_swallows_old_connections() -> None:
    """New ones pass."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("nat forgets")
    new = lab.connect()
    assert answers(new)
    lab.run(3)
    assert old.quiet_s > 2.5
    assert not answers(old, 1)


def test_a_resetting_nat_ends_old_connections() -> None:
    """With the next packet, which is a heartbeat at the latest."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("nat resets")
    lab.run(0.5)
    assert old.causes == [Cause.CLOSED]
    assert answers(lab.connect())


def test_a_portal_answers_whatever_is_dialled() -> None:
    """Scouts find it open, dials find no ZeroMQ, old links hear nothing until it is gone."""
    lab = VirtualLab()
    old = lab.connect()
    lab.play("portal on")
    dial = lab.dial()
    assert lab.found() == "open"
    assert dial.names == ["Accepted"]
    assert dial.causes == [Cause.PROTOCOL]
    assert not answers(old, 2)
    lab.play("portal off")
    lab.run(3)
    assert len(old.messages) == 1
    assert answers(lab.connect())


def test_a_step_may_touch_one_way_only() -> None:
    """The other image's is whole."""
    lab = VirtualLab(images=2)
    links = [lab.connect(0), lab.connect(1)]
    lab.play("drop #1")
    assert answers(links[0])
    assert not answers(links[1])


# -- our own interfaces --------------------------------------------------------------------------


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


# -- sleep ---------------------------------------------------------------------------------------


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


# -- names -----------------------------------------------------------------------------------------


def looked_up(lab: VirtualLab, name: str = "image0.test", for_s: float = 0.1) -> list[tuple[list[str], str]]:
    """What a lookup tells in this time."""
    told: list[tuple[list[str], str]] = []
    lab.network.look_up(name, 5555, lambda addresses, problem: told.append((addresses, problem)))
    lab.run(for_s)
    return told


def test_names_lead_to_addresses() -> None:
    """And to the new one after a move."""
    lab = VirtualLab(named=True)
    assert lab.network.endpoint(0) == "tcp://image0.test:5555"
    assert VirtualLab(images=2).network.endpoint(1) == "tcp://10.71.9.3:5555"
    assert looked_up(lab) == [([IMAGE], "")]
    lab.play("image move #0")
    assert looked_up(lab) == [(["10.71.9.100"], "")]
    assert [entry.data for entry in lab.traced(Kind.LOOKED_UP)] == [
        {"name": "image0.test", "addresses": IMAGE, "problem": ""},
        {"name": "image0.test", "addresses": "10.71.9.100", "problem": ""},
    ]


def test_names_fail_and_hang() -> None:
    """A refusal comes soon, silence ends after 5 s, and a name nobody has is none."""
    lab = VirtualLab(named=True)
    lab.play("name fails")
    assert looked_up(lab) == [([], "image0.test: Name or service not known")]
    lab.play("name hangs")
    assert looked_up(lab, for_s=4.9) == []
    lab.run(0.2)
    assert lab.traced(Kind.LOOKED_UP)[-1].data["problem"] == "no answer about image0.test within 5 s"
    lab.play("name works")
    assert looked_up(lab) == [([IMAGE], "")]
    assert looked_up(lab, "elsewhere.test") == [([], "elsewhere.test: Name or service not known")]


def test_names_need_the_network() -> None:
    """Without a route it is known at once that nobody can be asked; behind a drop it is not."""
    lab = VirtualLab(named=True)
    lab.play("lease lost")
    assert looked_up(lab) == [([], "image0.test: Temporary failure in name resolution")]
    lab.play("lease back", "drop")
    assert looked_up(lab, for_s=4) == []


# -- the whole ---------------------------------------------------------------------------------------

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
