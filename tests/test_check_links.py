"""Laws 1, 2, 12 and 13 on links: a run that keeps them, and runs that break each."""

from __future__ import annotations

from simulations.check import links
from simulations.trace import Kind
from traces import Tale, dropped

WORK = "1000001"


def tale() -> Tale:
    """One image, connected on generation 1 from the start, and one evaluation."""
    told = Tale().begin()
    told.evaluate(1.0, 1, WORK)
    return told


def test_a_correct_run_keeps_every_law_of_links() -> None:
    """Also across an outage, and with a second life that counts from one again."""
    told = tale()
    dropped(told, 5.0, 9.0)
    told.fault("12 kill")
    told.process(12.0, "kill")
    told.fault("13 start")
    told.process(13.0, "start")
    told.told(13.01, "Fresh session_found Restoring", "reading the session")
    told.told(13.02, "Restoring session_restored Restored", "session restored")
    told.connect(13.03, 1, source="Restored")
    told.close(15.0, 1)
    for check in (
        links.one_owner_of_retry,
        links.what_is_let_go_is_closed,
        links.what_is_lost_was_lost,
        links.stays_away,
        links.connected_needs_proof,
        links.nothing_waits_inside,
    ):
        assert told.by(check) == []


# -- law 1 ---------------------------------------------------------------------------------


def test_a_generation_is_never_used_again() -> None:
    """A dial with a number that was there before is somebody's reset counter."""
    told = tale()
    told.dial(2.0, 1)
    assert [v.law for v in told.by(links.one_owner_of_retry)] == [1]


def test_a_dial_beside_a_dial_is_one_too_many() -> None:
    """A new attempt aborts the old one."""
    told = tale()
    told.dial(2.0, 2)
    told.dial(2.5, 3)
    assert "[2, 3]" in told.by(links.one_owner_of_retry)[0].what


def test_four_links_are_one_too_many() -> None:
    """Living, draining, dialled: no more."""
    told = tale()
    for gen in (2, 3):
        told.shake(gen, gen)
    assert told.by(links.one_owner_of_retry) == []
    told.dial(4.0, 4)
    assert told.by(links.one_owner_of_retry)[0].what.startswith("4 links are open")


def test_nothing_is_sent_on_a_link_that_has_ended() -> None:
    """Neither on one that was aborted nor on one that ended by itself."""
    for end in (Kind.ABORTED, Kind.LINK_ENDED):
        told = tale()
        told.note(2.0, end, gen=1)
        told.note(2.1, Kind.SENT, gen=1, label="ping")
        assert [v.at for v in told.by(links.one_owner_of_retry)] == [2.1]


def test_a_link_that_connects_twice_has_a_second_owner() -> None:
    """The library must not reconnect by itself."""
    told = tale()
    told.note(2.0, Kind.ACCEPTED, gen=1)
    assert "twice" in told.by(links.one_owner_of_retry)[0].what


def test_the_end_of_an_older_link_is_not_that_of_the_one_in_use() -> None:
    """Events of older generations are dropped."""
    told = tale()
    told.exchange(told.shake(2.0, 2), 2, "ping")
    told.evaluate(2.1, 2, "1000002")
    told.note(3.0, Kind.LINK_ENDED, gen=1, cause="closed")
    told.told(3.001, "Connected link_lost Reconnecting", "link closed by the other side")
    assert "generation 2 is open" in told.by(links.what_is_lost_was_lost)[0].what
    told.note(2.9, Kind.LINK_ENDED, gen=2, cause="closed")
    assert told.by(links.what_is_lost_was_lost) == []


def test_a_good_end_leaves_no_link_open() -> None:
    """Its kernel would deliver what still waits in it; a kill cannot help it."""
    told = tale()
    told.close(3.0)
    assert [v.law for v in told.by(links.what_is_let_go_is_closed)] == [11]
    told.note(3.0, Kind.ABORTED, gen=1)
    assert told.by(links.what_is_let_go_is_closed) == []
    told = tale()
    told.process(3.0, "kill")
    assert told.by(links.what_is_let_go_is_closed) == []


def test_a_process_that_has_ended_dials_no_more() -> None:
    """A timer that outlives its supervisor."""
    told = tale()
    told.close(2.0)
    told.dial(3.0, 2)
    assert "had ended" in told.by(links.one_owner_of_retry)[0].what


def test_what_the_user_disconnected_stays_away() -> None:
    """Until a reconnect that was not refused, or another process."""
    told = tale()
    told.note(2.0, Kind.ACTION, action="disconnect", refused=False)
    told.note(2.0, Kind.ABORTED, gen=1)
    told.told(2.001, "Connected disconnect Restored", "as you asked")
    assert told.by(links.stays_away) == []
    told.note(3.0, Kind.ACTION, action="reconnect", refused=True)
    told.dial(3.5, 2)
    assert [v.at for v in told.by(links.stays_away)] == [3.5]
    told.note(3.2, Kind.ACTION, action="reconnect", refused=False)
    assert told.by(links.stays_away) == []


def test_a_connection_told_long_after_a_disconnect_is_a_lie() -> None:
    """The disk explains some lag, not a second."""
    told = tale()
    told.note(2.0, Kind.ACTION, action="disconnect", refused=False)
    told.told(2.05, "Reconnecting image_answered Connected", "image answered")
    assert told.by(links.stays_away) == []
    told.told(3.0, "Reconnecting image_answered Connected", "image answered")
    assert [v.at for v in told.by(links.stays_away)] == [3.0]


# -- law 2 ---------------------------------------------------------------------------------


def lost(told: Tale) -> None:
    """The far end closes generation 1."""
    told.note(2.0, Kind.LINK_ENDED, gen=1, cause="closed")
    told.told(2.001, "Connected link_lost Reconnecting", "link closed by the other side")


def test_a_handshake_is_no_proof() -> None:
    """That generation 1 was answered says nothing of generation 2."""
    told = tale()
    lost(told)
    told.shake(2.1, 2)
    told.told(2.2, "Reconnecting image_answered Connected", "image answered")
    assert [v.at for v in told.by(links.connected_needs_proof)] == [2.2]


def test_a_ping_on_its_way_is_no_proof() -> None:
    """The image must have answered."""
    told = tale()
    lost(told)
    told.note(told.shake(2.1, 2), Kind.SENT, gen=2, label="ping")
    told.told(2.2, "Reconnecting image_answered Connected", "image answered")
    assert [v.law for v in told.by(links.connected_needs_proof)] == [2]


def test_each_fresh_connection_needs_a_link_of_its_own() -> None:
    """The link that proved the last one proves no other."""
    told = tale()
    told.told(2.0, "Connected link_silent Reconnecting", "no sign of life")
    told.told(2.5, "Reconnecting image_answered Connected", "image answered")
    assert [v.at for v in told.by(links.connected_needs_proof)] == [2.5]


def test_a_link_that_survived_needs_no_second_proof() -> None:
    """It was answered once and is open still."""
    told = tale()
    told.told(2.0, "Connected link_silent Reconnecting", "no sign of life")
    told.told(2.5, "Reconnecting link_resumed Connected", "link survived")
    assert told.by(links.connected_needs_proof) == []


def test_a_closed_link_has_not_survived() -> None:
    """Who says so must hold one."""
    told = tale()
    lost(told)
    told.told(3.0, "Reconnecting link_resumed Connected", "link survived")
    assert [v.at for v in told.by(links.connected_needs_proof)] == [3.0]


def test_a_slow_disk_may_tell_of_a_link_that_is_gone_again() -> None:
    """Told in order, seconds late, and each was true."""
    told = tale()
    told.fault("1.5 disk slow 0.5")
    told.note(2.0, Kind.LINK_ENDED, gen=1, cause="closed")
    told.exchange(told.shake(2.01, 2), 2, "ping")
    told.note(2.1, Kind.LINK_ENDED, gen=2, cause="closed")
    told.exchange(told.shake(2.11, 3), 3, "ping")
    told.told(3.0, "Connected link_lost Reconnecting", "link closed by the other side")
    told.told(3.0, "Reconnecting image_answered Connected", "image answered")
    told.told(3.0, "Connected link_lost Reconnecting", "link closed by the other side")
    told.told(3.0, "Reconnecting image_answered Connected", "image answered")
    assert told.by(links.connected_needs_proof) == []


def test_work_is_sent_on_no_unproven_link() -> None:
    """Whose image is at the far end is known by its answer alone."""
    told = tale()
    told.note(told.shake(2.0, 2), Kind.SENT, gen=2, label="1000002")
    assert "proved" in told.by(links.connected_needs_proof)[0].what


# -- laws 12 and 13 ------------------------------------------------------------------------


def test_nothing_is_handed_over_before_the_handshake() -> None:
    """It would wait inside libzmq."""
    told = tale()
    told.dial(2.0, 2)
    told.note(2.001, Kind.SENT, gen=2, label="ping")
    assert [v.law for v in told.by(links.nothing_waits_inside)] == [12]


def test_one_request_is_out_on_a_link() -> None:
    """A second ping does not pile up behind the first."""
    told = tale()
    told.note(2.0, Kind.SENT, gen=1, label="ping")
    told.note(2.5, Kind.SENT, gen=1, label="ping")
    assert [v.law for v in told.by(links.nothing_waits_inside)] == [13]


def test_what_a_stranger_answers_is_not_in_the_trace() -> None:
    """So a second ping may follow the first there."""
    told = tale()
    told.fault("1.5 image hostile 'wrong' #0")
    told.note(2.0, Kind.SENT, gen=1, label="ping")
    told.note(2.5, Kind.SENT, gen=1, label="ping")
    assert told.by(links.nothing_waits_inside) == []


def test_one_evaluation_is_out_at_an_image() -> None:
    """A replaced link may still deliver the reply of the last one; once it is closed the next may go."""
    for closed, laws in ((False, [13]), (True, [])):
        told = tale()
        told.note(2.0, Kind.SENT, gen=1, label="1000002")
        told.exchange(told.shake(2.1, 2), 2, "ping")
        if closed:
            told.note(2.5, Kind.ABORTED, gen=1)
        told.note(3.0, Kind.SENT, gen=2, label="1000003")
        assert [v.law for v in told.by(links.nothing_waits_inside)] == laws


def test_what_an_earlier_life_left_with_the_image_is_not_this_ones() -> None:
    """A number is used again by every process: the request says whose it is."""
    told = tale()
    told.note(2.0, Kind.SENT, gen=1, label="1000002")
    told.process(2.1, "kill")
    told.process(3.0, "start")
    told.note(told.shake(3.0, 1), Kind.SENT, gen=1, label="ping")
    told.execute(3.01, 1, "1000002")
    told.note(3.02, Kind.ANSWERED, label="1000002", image_id="image-0")
    told.told(3.03, "Fresh image_answered Connected", "image answered")
    assert [v.at for v in told.by(links.connected_needs_proof)] == [3.03]
