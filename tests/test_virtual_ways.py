"""The virtual way between: loss, delay, holes, NAT and names, as packets meet them."""

from __future__ import annotations

import pytest

from machines import Cause
from network_lab import IMAGE, answers, looked_up
from simulations.trace import Kind
from simulations.virtual.stream import Stream
from virtual_lab import VirtualLab

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


# -- names -----------------------------------------------------------------------------------------


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
