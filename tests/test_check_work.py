"""Laws 14 and 16: what is told is legal, in order, on disk, and found again after any end."""

from __future__ import annotations

from simulations.check import work
from simulations.trace import Kind
from traces import Tale, dropped

LOST = "Connected link_lost Reconnecting"
BACK = "Reconnecting image_answered Connected"


def tale() -> Tale:
    """One image, connected (seq 1) from the start."""
    return Tale().begin()


def restarted(told: Tale, at: float, how: str = "kill", **found: str | int) -> None:
    """Our process ends, and another finds `found` and begins anew."""
    told.process(at, how)
    told.process(at + 1, "start")
    if found:
        told.note(at + 1, Kind.RESTORED, 0, **found)


def test_a_correct_run_keeps_every_law_of_work() -> None:
    """An outage, a kill, a failing disk that is told of, and an end in good order."""
    told = tale()
    dropped(told, 5.0, 9.0)
    told.stands(10.0, "Connected", "image answered")
    restarted(told, 11.0, state="Connected", seq=3, session="a")
    told.told(12.01, "Fresh session_found Restoring", "reading the session")
    told.told(12.02, "Restoring session_restored Restored", "session restored")
    told.told(12.1, "Restored image_answered Connected", "image answered")
    told.fault("13 disk fails")
    told.note(14.0, Kind.NOTICE, -1, text="not durable: EIO")
    told.told(14.0, LOST, "link closed by the other side", durable=False)
    told.told(14.1, BACK, "image answered", durable=False)
    told.fault("16 disk works")
    told.note(16.2, Kind.NOTICE, -1, text="durable again: the disk works")
    told.note(16.1, Kind.SYNCED, first=7, last=8)
    told.told(20.0, LOST, "link closed by the other side")
    told.close(21.0)
    for check in (
        work.transitions_are_legal,
        work.told_is_kept,
        work.told_without_delay,
        work.trouble_is_shown,
        work.trouble_is_taken_back,
    ):
        assert told.by(check) == []


# -- the table -----------------------------------------------------------------------------


def test_every_transition_is_a_rule() -> None:
    """The right trigger to the wrong state is none."""
    told = tale()
    told.told(2.0, "Connected link_lost Failed", "wrong key")
    assert "no rule" in told.by(work.transitions_are_legal)[0].what


def test_a_transition_begins_where_the_last_one_ended() -> None:
    """A lost announcement shows by the next one."""
    told = tale()
    told.told(2.0, BACK, "image answered")
    assert [v.at for v in told.by(work.transitions_are_legal)] == [2.0]


def test_every_life_begins_as_fresh() -> None:
    """Never restored into Connected."""
    told = tale()
    restarted(told, 2.0)
    told.told(3.1, LOST, "link closed by the other side")
    assert "Fresh was told last" in told.by(work.transitions_are_legal)[0].what


def test_the_state_one_looks_at_is_the_one_last_told() -> None:
    """Not the machine's own, which the journal does not know yet."""
    told = tale()
    told.stands(2.0, "Connected", "image answered")
    assert told.by(work.transitions_are_legal) == []
    told.stands(3.0, "Reconnecting", "no sign of life")
    assert "stands as Reconnecting" in told.by(work.transitions_are_legal)[0].what


# -- the journal ---------------------------------------------------------------------------


def test_durable_is_told_after_the_sync() -> None:
    """Swapped, a crash between the two forgets what the host was told."""
    told = tale()
    told.told(2.0, LOST, "link closed by the other side", durable=False)
    told.without(Kind.TOLD, seq=2)
    told.seqs[0] = 1
    told.told(3.0, LOST, "link closed by the other side")
    told.without(Kind.SYNCED, first=2)
    assert "before any sync" in told.by(work.told_is_kept)[0].what
    told.note(3.5, Kind.SYNCED, first=2, last=2)
    assert len(told.by(work.told_is_kept)) == 1, "afterwards is too late"
    told.note(2.5, Kind.SYNCED, first=2, last=2)
    assert told.by(work.told_is_kept) == []


def test_who_never_syncs_has_nothing_durable() -> None:
    """However much else is right."""
    told = tale()
    told.without(Kind.SYNCED)
    assert {violation.law for violation in told.by(work.told_is_kept)} == {14}


def test_no_number_is_skipped_or_told_twice() -> None:
    """Within one life they are consecutive."""
    for seq in (1, 3):
        told = tale()
        told.told(2.0, LOST, "link closed by the other side", seq=seq)
        assert [v.law for v in told.by(work.told_is_kept)] == [14]


def test_numbers_go_on_in_the_next_life() -> None:
    """What was durable is never numbered again; what was not may be."""
    told = tale()
    restarted(told, 2.0)
    told.told(3.1, "Fresh dial_failed Reconnecting", "no answer from the address", seq=1)
    assert "life before" in told.by(work.told_is_kept)[0].what
    told = tale()
    told.note(1.9, Kind.NOTICE, -1, text="not durable: EIO")
    told.told(2.0, LOST, "link closed by the other side", durable=False)
    restarted(told, 2.5, state="Connected", seq=1, session="a")
    told.told(3.6, "Fresh session_found Restoring", "reading the session", seq=2)
    assert told.by(work.told_is_kept) == []


def test_no_end_makes_us_forget_what_was_durable() -> None:
    """Not even a power cut."""
    told = tale()
    told.told(2.0, LOST, "link closed by the other side")
    restarted(told, 2.5, "power cut", state="Connected", seq=1, session="a")
    assert "knows seq 1 only" in told.by(work.told_is_kept)[0].what


def test_what_is_found_is_what_was_told() -> None:
    """The right number with the wrong state is another's record."""
    told = tale()
    restarted(told, 2.0, state="Reconnecting", seq=1, session="a")
    assert "had led to Connected" in told.by(work.told_is_kept)[0].what


def test_what_only_the_page_cache_knew_must_be_synced_again() -> None:
    """A sync whose job was cut short by the kill never happened."""
    told = tale()
    told.note(2.0, Kind.SYNCED, first=2, last=2)
    restarted(told, 2.5, state="Connected", seq=1, session="a")
    told.told(3.6, "Fresh session_found Restoring", "reading the session", seq=2)
    told.without(Kind.SYNCED, first=2)
    told.note(2.0, Kind.SYNCED, first=2, last=2)
    assert "before any sync" in told.by(work.told_is_kept)[0].what


def test_a_session_that_was_found_stays() -> None:
    """Another one in its place means that work was thrown away (law 16)."""
    told = tale()
    restarted(told, 2.0, state="Connected", seq=1, session="a")
    restarted(told, 4.0, state="Connected", seq=1, session="a")
    assert told.by(work.told_is_kept) == []
    restarted(told, 6.0, state="Connected", seq=1, session="b")
    assert [(v.law, v.at) for v in told.by(work.told_is_kept)] == [(16, 7.0)]


# -- promptness, and the disk's trouble ------------------------------------------------------


def test_who_is_given_work_is_told_as_connected() -> None:
    """At once, or as late as a slow disk explains, but no later."""
    for told_at, slow, late in ((5.001, False, 0), (5.5, False, 1), (6.5, True, 0), (9.5, True, 1)):
        told = tale()
        if slow:
            told.fault("1.5 disk slow 1")
        told.told(2.0, LOST, "link closed by the other side")
        told.exchange(told.shake(4.9, 2), 2, "ping")
        told.evaluate(5.0, 2, "1000002")
        told.told(told_at, BACK, "image answered")
        told.note(20.0, Kind.HEALED, -1)
        assert len(told.by(work.told_without_delay)) == late, (told_at, slow)


def test_what_is_not_durable_is_shown() -> None:
    """In this life, and not taken back meanwhile; once is enough to say so."""
    told = tale()
    told.note(1.5, Kind.NOTICE, -1, text="not durable: EIO")
    told.note(1.6, Kind.NOTICE, -1, text="durable again: the disk works")
    told.told(2.0, LOST, "link closed by the other side", durable=False)
    told.told(2.5, BACK, "image answered", durable=False)
    assert [v.at for v in told.by(work.trouble_is_shown)] == [2.0]


def test_a_disk_that_works_again_is_found_out() -> None:
    """Without waiting for the next transition."""
    told = tale()
    told.fault("5 disk fails", "9 disk works")
    told.note(6.0, Kind.NOTICE, -1, text="not durable: EIO")
    told.note(11.3, Kind.HEALED, -1)
    assert told.by(work.trouble_is_taken_back) == []
    told.note(20.0, Kind.HEALED, -1)
    assert [v.law for v in told.by(work.trouble_is_taken_back)] == [14]
    told.note(11.2, Kind.NOTICE, -1, text="durable again: the disk works")
    assert told.by(work.trouble_is_taken_back) == []


def test_a_journal_that_could_not_be_opened_stays_closed() -> None:
    """For that life; and a disk that fails again was not well for long enough."""
    for faults in (("0 disk fails", "9 disk works"), ("5 disk full", "9 disk works", "10 disk full")):
        told = tale()
        told.fault(*faults)
        told.note(6.0, Kind.NOTICE, -1, text="not durable: ENOSPC")
        told.note(20.0, Kind.HEALED, -1)
        assert told.by(work.trouble_is_taken_back) == []


def test_an_end_in_good_order_begins_no_new_life() -> None:
    """Between "close" and "closed" transitions are still told, in the same order."""
    told = tale()
    told.process(2.0, "close")
    told.told(2.001, LOST, "link closed by the other side")
    told.process(2.01, "closed")
    assert told.by(work.transitions_are_legal) == []
    assert told.by(work.told_is_kept) == []
    told = tale()
    told.process(2.0, "close")
    told.told(2.001, LOST, "link closed by the other side", seq=5)
    assert len(told.by(work.told_is_kept)) == 1


def test_a_notice_of_an_earlier_life_says_nothing_of_this_one() -> None:
    """Who starts anew looks anew."""
    told = tale()
    told.note(2.0, Kind.NOTICE, -1, text="not durable: EIO")
    restarted(told, 3.0)
    told.told(4.1, "Fresh dial_failed Reconnecting", "no answer from the address", durable=False)
    assert [v.at for v in told.by(work.trouble_is_shown)] == [4.1]
    told = tale()
    told.note(2.0, Kind.NOTICE, -1, text="not durable: EIO")
    told.process(3.0, "close")
    told.told(3.1, LOST, "link closed by the other side", durable=False)
    assert told.by(work.trouble_is_shown) == []


def test_who_sends_a_ping_claims_nothing() -> None:
    """Only work is for the connected."""
    told = tale()
    told.told(2.0, LOST, "link closed by the other side")
    told.note(told.shake(4.9, 2), Kind.SENT, gen=2, label="ping")
    told.note(20.0, Kind.HEALED, -1)
    assert told.by(work.told_without_delay) == []
