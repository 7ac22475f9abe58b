"""The far end on its raw API: an image's kernel, its process, and whoever takes its place."""

from __future__ import annotations

import json

import pytest

from machines import Cause
from resilience.errors import EvaluationError, MalformedReply, ReplyTooLarge
from resilience.wire import Reply, UnsupportedVersion, decode
from simulations.trace import Kind
from virtual_lab import VirtualLab, Watched


def reply_to_ping(link: Watched, within_s: float = 0.1) -> Reply:
    """What the image says of itself."""
    before = len(link.replies)
    link.ping()
    link.lab.run(within_s)
    return decode(link.replies[before])


# -- a well image ----------------------------------------------------------------------------------


def test_it_evaluates_and_counts_what_it_began() -> None:
    """The real stand-in does; the trace has who asked on which link, and when the reply left."""
    lab = VirtualLab()
    link = lab.connect()
    link.evaluate("3 + 4")
    link.ping()
    lab.run(0.1)
    assert decode(link.replies[0]).result == "7"
    assert [(label, image_id) for _, label, image_id in lab.network.images[0].executed] == [
        ("3 + 4", "image-0"),
        ("ping", "image-0"),
    ]
    begun, answered = lab.traced(Kind.EXECUTED)[0], lab.traced(Kind.ANSWERED)[0]
    assert begun.data == {"label": "3 + 4", "image_id": "image-0", "conn": 1}
    assert answered.data == {"label": "3 + 4", "image_id": "image-0"}


def test_a_request_in_the_other_dialect_has_its_code_for_a_label() -> None:
    """Command style, and both shapes at once."""
    lab = VirtualLab()
    link = lab.connect()
    link.link.send("b", json.dumps({"command": "evaluate", "parameters": {"code": "12"}}).encode())
    lab.run(0.1)
    assert lab.executed() == ["12"]


def test_a_delay_in_the_code_takes_its_time() -> None:
    """Begun at once, answered when it is over, the image's own clock agreeing."""
    lab = VirtualLab()
    link = lab.connect()
    asked_at = lab.now
    link.evaluate("(Delay forSeconds: 2) wait. 5")
    link.ping()
    lab.run(3)
    (begun, ping), (done, _) = lab.traced(Kind.EXECUTED), lab.traced(Kind.ANSWERED)
    assert begun.t == pytest.approx(asked_at, abs=0.01)
    assert done.t == pytest.approx(begun.t + 2)
    assert ping.t == done.t
    assert decode(link.replies[0]).result == "5"


def test_an_error_is_a_reply() -> None:
    """Whatever arrives, there is one."""
    lab = VirtualLab()
    link = lab.connect()
    link.evaluate("nonsense here :=")
    lab.run(0.1)
    with pytest.raises(EvaluationError):
        decode(link.replies[0])


def test_callers_take_turns() -> None:
    """One request at a time, one of each connection in turn; replies go where their requests came from."""
    lab = VirtualLab()
    links = [lab.connect(), lab.connect()]
    lab.play("image busy 1")
    for number in range(3):
        links[0].evaluate(str(10 + number))
    lab.run(0.1)
    links[1].evaluate("20")
    lab.run(2)
    assert lab.executed() == ["10", "20", "11", "12"]
    assert [frames[0] for _, frames in links[1].messages] == [b"20"]
    assert len(links[0].messages) == 3


def test_a_reply_to_somebody_gone_is_dropped() -> None:
    """The request runs to its end all the same, and the next caller is served."""
    lab = VirtualLab()
    link, other = lab.connect(), lab.connect()
    link.evaluate("(Delay forSeconds: 1) wait. 1")
    lab.run(0.1)
    link.link.abort()
    other.evaluate("2")
    lab.run(2)
    assert lab.executed() == ["(Delay forSeconds: 1) wait. 1", "2"]
    assert [entry.data["label"] for entry in lab.traced(Kind.ANSWERED)] == ["2"]
    assert len(other.messages) == 1


def test_what_was_read_before_a_reset_is_still_carried_out() -> None:
    """Libzmq's pipe keeps it: a ghost that no abort can reach."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image busy 1")
    link.evaluate("1000017")
    lab.run(0.1)
    link.link.abort()
    lab.run(2)
    assert lab.executed() == ["1000017"]


# -- its process -------------------------------------------------------------------------------------


def test_a_killed_image_hangs_up_and_refuses() -> None:
    """Started again it is itself, with nothing remembered and no uptime."""
    lab = VirtualLab()
    link = lab.connect()
    link.evaluate("Counter increment")
    lab.run(1)
    lab.play("image kill")
    assert not lab.network.images[0].listening
    lab.run(0.1)
    assert link.causes == [Cause.CLOSED]
    assert lab.found() == "refused"
    lab.play("image start")
    started_at = lab.now
    link = lab.connect()
    identity = reply_to_ping(link).identity
    assert identity.image_id == lab.network.images[0].image_id == "image-0"
    assert identity.uptime_s == pytest.approx(lab.now - started_at, abs=0.15)
    link.evaluate("Counter value")
    lab.run(0.1)
    assert decode(link.replies[-1]).result == "0"
    assert [entry.data["listening"] for entry in lab.traced(Kind.LISTENING)] == [True, False, True]


def test_starting_what_runs_changes_nothing() -> None:
    """Nor does killing what does not."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image start", "image thaw", "image back")
    assert reply_to_ping(link).identity.image_id == "image-0"
    lab.play("image kill", "image kill", "image save 1", "image busy 1", "image freeze", "image thaw")
    lab.run(2)
    assert not lab.network.images[0].listening


def test_requests_not_begun_die_with_the_image() -> None:
    """What it had read, and what was under way."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image busy 1")
    link.evaluate("1")
    lab.run(0.1)
    link.evaluate("2")
    lab.play("image kill", "image start")
    lab.run(5)
    assert lab.executed() == []


def test_a_connection_waiting_to_be_accepted_dies_with_its_listener() -> None:
    """A new listener does not know it: reset, before any handshake."""
    lab = VirtualLab()
    lab.play("delay 0.2")
    link = lab.dial()
    lab.run(0.3)
    lab.play("image kill", "image start")
    lab.run(1)
    assert link.names == ["Accepted"]
    assert link.causes == [Cause.NO_HANDSHAKE]


def test_a_handshake_that_breaks_off_is_another_program() -> None:
    """As `resilience.link` judges it: bytes came, and they were no whole handshake."""
    lab = VirtualLab()
    lab.play("delay 0.2")
    link = lab.dial()
    lab.run(0.7)
    lab.play("image kill")
    lab.run(1)
    assert link.names == ["Accepted"]
    assert link.causes == [Cause.PROTOCOL]


def test_a_save_closes_the_sockets_and_the_image_goes_on() -> None:
    """Refused meanwhile, the same uptime after."""
    lab = VirtualLab()
    link = lab.connect()
    lab.run(3)
    lab.play("image busy 1")
    link.evaluate("1")
    lab.run(0.1)
    lab.play("image save 2")
    lab.run(0.1)
    assert link.causes == [Cause.CLOSED]
    assert lab.found() == "refused"
    lab.run(2)
    uptime_s = reply_to_ping(lab.connect()).identity.uptime_s
    assert uptime_s is not None
    assert uptime_s > 5
    assert lab.executed() == []


def test_a_frozen_image_is_all_kernel() -> None:
    """It accepts and acknowledges, and says nothing; what came is done after the thaw, in order."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image freeze")
    link.evaluate("1")
    new = lab.dial()
    lab.run(3)
    assert link.quiet_s < 0.41
    assert link.data_quiet_s > 2.9
    assert not link.sending
    assert new.names == ["Accepted"]
    assert lab.found() == "open"
    lab.run(1.1)
    assert new.causes == [Cause.NO_HANDSHAKE]
    assert lab.executed() == []
    lab.play("image thaw")
    lab.run(0.5)
    assert lab.executed() == ["1"]
    assert len(link.messages) == 1
    assert link.data_quiet_s < 0.41


def test_frozen_for_long_ends_the_link() -> None:
    """The heartbeat timeout of libzmq, a backstop of 30 s."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image freeze")
    lab.run(30)
    assert link.downs == []
    lab.run(1.5)
    assert link.causes == [Cause.CLOSED]


def test_what_was_being_done_when_frozen_is_answered_after_the_thaw() -> None:
    """A delay that has passed meanwhile is over at once."""
    lab = VirtualLab()
    link = lab.connect()
    link.evaluate("(Delay forSeconds: 1) wait. 1")
    lab.run(0.1)
    lab.play("image freeze")
    lab.run(5)
    assert link.messages == []
    lab.play("image thaw")
    lab.run(0.01)
    assert len(link.messages) == 1


def test_killed_while_frozen_it_hangs_up() -> None:
    """What it had not read is never carried out."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image freeze")
    link.evaluate("1")
    lab.run(0.1)
    lab.play("image kill", "image start")
    lab.run(0.1)
    assert link.causes == [Cause.CLOSED]
    assert lab.executed() == []
    assert reply_to_ping(lab.connect()).identity.image_id == "image-0"


def test_a_save_while_frozen_happens_after_the_thaw_if_there_is_time_left() -> None:
    """A stopped process cannot close its sockets."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image freeze", "image save 2")
    lab.run(1)
    assert link.downs == []
    lab.play("image thaw")
    lab.run(0.1)
    assert link.causes == [Cause.CLOSED]
    lab.run(1)
    assert lab.found() == "open"
    link = lab.connect()
    lab.play("image freeze", "image save 1")
    lab.run(2)
    lab.play("image thaw")
    lab.run(1)
    assert link.downs == []


def test_a_busy_image_goes_on_beating() -> None:
    """Somebody else's work: requests wait, libzmq's thread does not."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image busy 4")
    link.ping()
    lab.run(3.9)
    assert link.messages == []
    assert link.data_quiet_s < 0.41
    lab.run(0.2)
    assert len(link.messages) == 1


def test_a_slow_image_takes_so_long_for_each() -> None:
    """And no longer."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("image slow 0.5")
    link.ping()
    lab.run(0.49)
    assert link.messages == []
    lab.run(0.02)
    assert len(link.messages) == 1
    lab.play("image slow")
    assert reply_to_ping(link, 0.01).identity.image_id == "image-0"


# -- its place ---------------------------------------------------------------------------------------


def test_another_image_may_take_its_place() -> None:
    """With an identity of its own; the right one is back with its own, started again."""
    lab = VirtualLab(images=2)
    link = lab.connect()
    lab.run(5)
    lab.play("image other #0")
    lab.run(0.1)
    assert link.causes == [Cause.CLOSED]
    assert reply_to_ping(lab.connect()).identity.image_id == "other-0"
    assert lab.network.images[0].executed[-1][2] == "other-0"
    assert reply_to_ping(lab.connect(1)).identity.image_id == "image-1"
    lab.play("image back #0")
    identity = reply_to_ping(lab.connect()).identity
    assert identity.image_id == "image-0"
    assert identity.uptime_s is not None
    assert identity.uptime_s < 1


def test_another_version_is_refused_by_its_name() -> None:
    """The same image, started with a protocol nobody else speaks."""
    lab = VirtualLab()
    lab.play("image version")
    link = lab.connect()
    with pytest.raises(UnsupportedVersion, match=r"2\.0\.0"):
        reply_to_ping(link)
    assert lab.network.images[0].image_id == "image-0"
    lab.play("image back")
    assert reply_to_ping(lab.connect()).identity.image_id == "image-0"


def test_a_place_taken_while_nobody_runs_stays_empty() -> None:
    """Who takes it listens when it is started, as the right one does when it is back."""
    lab = VirtualLab()
    lab.play("image kill", "image other")
    assert lab.found() == "refused"
    lab.play("image start")
    assert reply_to_ping(lab.connect()).identity.image_id == "other-0"
    lab.play("image kill", "image back")
    assert lab.found() == "refused"
    lab.play("image start")
    assert reply_to_ping(lab.connect()).identity.image_id == "image-0"


@pytest.mark.parametrize("kind", ["garbage", "http"])
def test_another_protocol_is_told_apart(kind: str) -> None:
    """It says something, and it is no handshake."""
    lab = VirtualLab()
    lab.play(f"image hostile '{kind}'")
    assert lab.found() == "open"
    link = lab.dial()
    lab.run(0.1)
    assert link.names == ["Accepted"]
    assert link.causes == [Cause.PROTOCOL]


def test_a_mute_squatter_costs_the_handshake_timeout() -> None:
    """It accepts and says nothing."""
    lab = VirtualLab()
    lab.play("image hostile 'silence'")
    link = lab.dial()
    lab.run(3.9)
    assert link.names == ["Accepted"]
    assert link.downs == []
    lab.run(0.2)
    assert link.causes == [Cause.NO_HANDSHAKE]


def test_a_flood_is_endless_and_ends_with_the_link() -> None:
    """Junk of one frame, a thousand a second; no faster than the connection takes it."""
    lab = VirtualLab()
    lab.play("image hostile 'flood'")
    link = lab.connect()
    lab.run(1)
    assert 900 < len(link.messages) < 1200
    assert {len(frames) for _, frames in link.messages} == {1}
    lab.play("drop")
    lab.run(3)
    assert lab.network.images[0].connections[0].down.backlog <= 110
    lab.play("undrop")
    lab.run(5)
    link.link.abort()
    lab.run(0.1)
    assert lab.events_in(1) == 0


def test_a_huge_reply_is_read_and_refused() -> None:
    """Twelve megabytes, in order, in chunks."""
    lab = VirtualLab()
    lab.play("image hostile 'huge'")
    link = lab.connect()
    with pytest.raises(ReplyTooLarge):
        reply_to_ping(link, 5)


def test_a_wrong_reply_has_the_right_envelope() -> None:
    """Only what is in it makes no sense."""
    lab = VirtualLab()
    lab.play("image hostile 'wrong'")
    link = lab.connect()
    with pytest.raises(MalformedReply):
        reply_to_ping(link)
    assert link.messages[0][1][:2] == [b"ping", b""]


def test_an_unknown_squatter_is_a_mistake() -> None:
    """Of whoever wrote the step."""
    with pytest.raises(ValueError, match="there are garbage, http"):
        VirtualLab().play("image hostile 'polite'")


def test_a_moved_image_goes_on_elsewhere() -> None:
    """The old address is silent, for old connections too; uptime goes on; moved again it is back."""
    lab = VirtualLab()
    link = lab.connect()
    lab.run(5)
    lab.play("image move")
    assert lab.network.images[0].address == "10.71.9.100"
    uptime_s = reply_to_ping(lab.connect()).identity.uptime_s
    assert uptime_s is not None
    assert uptime_s > 5
    lab.scout(address="10.71.9.2")
    lab.run(1)
    assert lab.scouted[-1][2].found == "silent"
    assert link.quiet_s > 1
    lab.play("image move")
    lab.run(3)
    assert link.causes == [Cause.CLOSED]


# -- its machine -------------------------------------------------------------------------------------


def test_a_crashed_machine_answers_nothing_and_then_knows_nobody() -> None:
    """Silence, not refusal; after the boot, a reset for what it does not know."""
    lab = VirtualLab()
    link = lab.connect()
    link.evaluate("(Delay forSeconds: 9) wait. 1")
    lab.run(0.1)
    lab.play("host crash")
    assert lab.found() == "silent"
    lab.run(2)
    assert link.quiet_s > 2
    assert link.downs == []
    lab.play("image start")
    assert lab.found() == "silent"
    lab.play("host boot")
    assert reply_to_ping(lab.connect()).identity.uptime_s == pytest.approx(0.1, abs=0.01)
    lab.run(5)
    assert link.causes == [Cause.CLOSED]
    assert lab.executed() == ["(Delay forSeconds: 9) wait. 1"]
    assert [entry.data["listening"] for entry in lab.traced(Kind.LISTENING)] == [True, False, True]


def test_a_reset_that_is_lost_leaves_us_sending() -> None:
    """To a machine that does not know us, over a way that does not let it say so: 20 s, as in any silence."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("drop in", "host boot")
    lab.run(20)
    assert link.sending
    lab.run(1)
    assert link.causes == [Cause.CLOSED]


def test_a_boot_of_a_running_machine_is_a_reboot() -> None:
    """It forgets its connections all the same."""
    lab = VirtualLab()
    link = lab.connect()
    lab.play("host boot")
    lab.run(1)
    assert link.causes == [Cause.CLOSED]


def test_one_image_is_not_another() -> None:
    """Each has a machine of its own."""
    lab = VirtualLab(images=3)
    links = [lab.connect(number) for number in range(3)]
    lab.play("image kill #1")
    lab.run(1)
    assert [len(link.downs) for link in links] == [0, 1, 0]
