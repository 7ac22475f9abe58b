"""Laws 5 and 17: a session belongs to one image, and strangers are named."""

from __future__ import annotations

import pytest

from simulations.check import identity
from simulations.trace import Kind
from traces import Tale

CLOSED = "Connected link_lost Reconnecting"


def tale(*faults: str, images: int = 1) -> Tale:
    """Connected from the start; these faults; seen until 40 s."""
    told = Tale(images=images).begin()
    told.fault(*faults)
    told._pass(40.0)
    told.note(40.0, Kind.HEALED, -1)
    return told


# -- law 17: whose work -----------------------------------------------------------------------


def test_work_runs_where_it_was_meant_to() -> None:
    """Each label says whose it is."""
    told = tale(images=2)
    told.evaluate(1.0, 1, "1000001", image=0)
    told.evaluate(1.0, 1, "(Delay forSeconds: 2) wait. 2000001", image=1, takes_s=2.0)
    assert told.by(identity.work_goes_to_its_own_image) == []
    told.execute(5.0, 1, "2000002", image=0)
    assert [(v.law, v.image) for v in told.by(identity.work_goes_to_its_own_image)] == [(17, 0)]


def test_another_image_gets_no_work() -> None:
    """The ping that finds out is allowed; an evaluation is not."""
    told = tale("10 image other #0")
    told.execute(10.1, 2, "ping", image_id="other-0")
    assert told.by(identity.work_goes_to_its_own_image) == []
    told.execute(10.2, 2, "1000001", image_id="other-0")
    assert "the session is image-0's" in told.by(identity.work_goes_to_its_own_image)[0].what


def test_an_adopted_image_gets_work() -> None:
    """If the adoption was not refused."""
    for refused, wrong in ((False, 0), (True, 1)):
        told = tale("10 image other #0")
        told.execute(10.1, 2, "ping", image_id="other-0")
        told.note(11.0, Kind.ACTION, action="adopt", refused=refused)
        told.execute(11.1, 3, "ping", image_id="other-0")
        told.told(11.2, "Reconnecting image_answered Connected", "image answered")
        told.execute(11.3, 3, "1000001", image_id="other-0")
        assert len(told.by(identity.work_goes_to_its_own_image)) == wrong


@pytest.mark.parametrize(("seq", "wrong"), [(1, 1), (0, 0), (None, 0)])
def test_a_new_process_knows_whose_the_session_is(seq: int | None, wrong: int) -> None:
    """If it finds the transition that says so."""
    told = tale("10 kill", "10.5 image other #0", "11 start")
    told.process(10.0, "kill")
    told.process(11.0, "start")
    if seq is not None:
        told.note(11.0, Kind.RESTORED, state="Connected", seq=seq, session="a")
    told.execute(11.1, 1, "ping", image_id="other-0")
    told.told(11.2, "Fresh image_answered Connected", "image answered")
    told.execute(11.3, 1, "1000001", image_id="other-0")
    assert len(told.by(identity.work_goes_to_its_own_image)) == wrong


GONE = "Reconnecting image_replaced Orphaned"


def test_a_restarted_image_is_no_other_one() -> None:
    """Orphaned is told only after another image has answered, and each time anew."""
    told = tale("10 image kill #0", "12 image start #0")
    told.told(10.1, CLOSED, "link closed by the other side")
    told.execute(12.1, 2, "ping")
    told.told(12.2, GONE, "another image answers here")
    assert [(v.law, v.at) for v in told.by(identity.only_another_is_another)] == [(17, 12.2)]
    told = tale("10 image other #0", "20 image back #0")
    told.execute(10.1, 2, "ping", image_id="other-0")
    told.told(10.2, GONE, "another image answers here")
    assert told.by(identity.only_another_is_another) == []
    told.execute(20.1, 3, "ping")
    told.told(20.2, "Reconnecting image_answered Connected", "image answered")
    told.told(21.0, CLOSED, "link closed by the other side")
    told.execute(21.1, 4, "ping")
    told.told(21.2, GONE, "another image answers here")
    assert [v.at for v in told.by(identity.only_another_is_another)] == [21.2]


def test_who_answered_while_the_disk_was_slow_is_not_guessed() -> None:
    """Told a second later, Connected may speak of either; nobody is accused."""
    told = Tale()
    told.process(0.0, "start")
    told.fault("0 disk slow 2")
    told.execute(0.01, 1, "ping")
    told.execute(1.01, 2, "ping", image_id="other-0")
    told.told(1.02, "Fresh image_answered Connected", "image answered")
    told.told(1.03, "Connected image_replaced Orphaned", "another image answers here")
    told.execute(5.0, 3, "1000001")
    assert told.by(identity.only_another_is_another) == told.by(identity.work_goes_to_its_own_image) == []


# -- laws 5 and 17: strangers -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason", "law"),
    [
        ("10 image other #0", "another image answers here", 17),
        ("10 image version #0", "incompatible version", 5),
        ("10 image hostile 'http' #0", "another program answers here", 5),
        ("10 image hostile 'silence' #0", "accepts, but speaks no ZeroMQ: frozen, or another program", 5),
        ("10 portal on", "another program answers here", 5),
    ],
)
def test_a_stranger_is_named(fault: str, reason: str, law: int) -> None:
    """Within six seconds, and never told as connected."""
    told = tale(fault)
    told.told(10.1, CLOSED, "link closed by the other side")
    told.stood(10.2, 30.0, "Reconnecting", reason)
    assert told.by(identity.strangers_are_named) == []
    told = tale(fault)
    told.told(10.1, CLOSED, "link closed by the other side")
    told.stood(10.2, 30.0, "Reconnecting", "no answer from the address")
    assert [v.law for v in told.by(identity.strangers_are_named)] == [law]
    told = tale(fault)
    told.told(10.1, CLOSED, "link closed by the other side")
    told.told(12.0, "Reconnecting image_answered Connected", "image answered")
    assert [v.law for v in told.by(identity.strangers_are_named)] == [law]


def test_another_image_is_named_by_its_own_name() -> None:
    """To say that another program answers would be wrong."""
    told = tale("10 image other #0")
    told.told(10.1, CLOSED, "link closed by the other side")
    told.stood(10.2, 30.0, "Reconnecting", "another program answers here")
    assert [v.law for v in told.by(identity.strangers_are_named)] == [17]


def test_a_stranger_that_goes_soon_need_not_be_named() -> None:
    """Nor one that comes with other trouble, or that was there before we knew better."""
    for faults in (
        ("10 image other #0", "14 image back #0"),
        ("10 image other #0", "11 drop"),
        ("10 image hostile 'http' #0", "12 image hostile 'silence' #0"),
    ):
        told = tale(*faults)
        told.told(10.1, CLOSED, "link closed by the other side")
        told.stood(10.2, 30.0, "Reconnecting", "no answer from the address")
        assert told.by(identity.strangers_are_named) == []
    told = Tale()
    told.process(0.0, "start")
    told.fault("0.1 image other #0")
    told.stood(1.0, 30.0, "Reconnecting", "no answer from the address")
    assert told.by(identity.strangers_are_named) == []


def test_a_portal_hides_whoever_comes_behind_it() -> None:
    """What answers is the portal, whatever the image has become."""
    told = tale("9 portal on", "9.5 image kill #0", "10 image version #0")
    told.told(9.1, CLOSED, "link closed by the other side")
    told.stood(9.2, 30.0, "Reconnecting", "another program answers here")
    assert told.by(identity.strangers_are_named) == []


REST = "Reconnecting image_replaced Orphaned"


def test_nobody_is_made_to_decide_what_is_nobodys_decision() -> None:
    """A portal, a squatter and a dead image pass; another image, or another version, does not."""
    for fault, wrong in (
        ("10 image other #0", 0),
        ("10 image version #0", 0),
        ("10 portal on", 1),
        ("10 image hostile 'http' #0", 1),
        ("10 image kill #0", 1),
    ):
        told = tale(fault)
        told.told(10.1, CLOSED, "link closed by the other side")
        told.told(12.0, REST, "another image answers here")
        assert [v.law for v in told.by(identity.only_verdicts_rest)] == [5] * wrong, fault
