"""Links, dials and scouts of the virtual network: what libzmq and the kernel would do, and when."""

from __future__ import annotations

import pytest

from machines import Cause
from network_lab import IMAGE, WAY_S
from simulations.trace import Kind
from virtual_lab import VirtualLab

# -- links -----------------------------------------------------------------------------------------


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


# -- dials and scouts ------------------------------------------------------------------------------


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


def test_a_stopped_process_says_nothing_and_answers_nothing() -> None:
    """All its threads stand still: no heartbeat leaves, nothing that arrives is read before it goes on."""
    lab = VirtualLab()
    watched = lab.connect()
    lab.network.stop(lab.now + 5.0)
    lab.run(4.9)
    assert watched.quiet_s > 4.0, "its own kernel hears nothing, for nobody is asked anything"
    watched.ping()
    lab.run(0.05)
    assert not watched.messages, "the answer is in the kernel's buffer"
    lab.run(0.1)
    assert watched.messages
    lab.run(1.0)
    assert watched.quiet_s < 0.5, "heartbeats go on"


def test_long_code_is_acknowledged_segment_by_segment() -> None:
    """On a narrow line the sender hears something all the time, and is never quiet for long."""
    lab = VirtualLab()
    lab.play("rate 10000")
    watched = lab.connect()
    watched.evaluate("1" + " " * 40_000)
    quiet = []
    for _ in range(30):
        lab.run(0.1)
        quiet.append(watched.quiet_s)
    assert watched.sending
    assert max(quiet) < 0.5
    assert watched.data_quiet_s > 2.0
