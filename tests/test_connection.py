"""Scenarios of one connection: facts go in with a clock of our own, commands come out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from machines import Ask, Cause, Command, Connection, Event, Identity, Policy, Reason, Refused, State, Trigger
from machines.commands import (
    Abort,
    Announce,
    ArchiveSession,
    CallOffScouts,
    Dial,
    Inspect,
    Ping,
    ReadSession,
    Report,
    Scout,
    Serve,
)
from machines.events import (
    Abandoned,
    Accepted,
    AddressGone,
    Answered,
    Asked,
    Handshaken,
    InFlight,
    LinkDown,
    LookingUp,
    PathChanged,
    PathProven,
    Scouted,
    Scouting,
    SessionAbsent,
    SessionFound,
    SessionRestored,
    SessionUnreadable,
    Stalled,
    Tick,
    Vitals,
    Woke,
)
from machines.table import LIVE, TABLE, WAYS_OUT

OURS = Identity("ours", 100.0)
THEIRS = Identity("theirs", 5.0)


class Rig:
    """A connection, its clock, and everything it ever commanded."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.now = 0.0
        self.connection = Connection(Random(7), policy)
        self.commands: list[Command] = []

    def feed(self, *events: Event) -> list[Command]:
        """What the connection commands upon these facts, all of this very moment."""
        got = [command for event in events for command in self.connection.receive(event, self.now)]
        self.commands += got
        return got

    @property
    def state(self) -> State:
        return self.connection.state

    @property
    def reason(self) -> Reason:
        return self.connection.reason

    def ask(self, what: Ask) -> list[Command]:
        return self.feed(Asked(what))

    def wait(self, for_s: float) -> list[Command]:
        """Let time pass and nothing happen but the connection's own timers."""
        until, got = self.now + for_s, list[Command]()
        while (at := self.connection.deadline()) is not None and at <= until:
            self.now = max(self.now, at)
            got += self.feed(Tick())
        self.now = until
        return got

    @property
    def gen(self) -> int:
        """The newest link."""
        return max(command.gen for command in self.commands if isinstance(command, Dial))

    def answer(self, identity: Identity = OURS) -> list[Command]:
        """The newest link goes all the way to an answer."""
        return self.feed(Accepted(self.gen), Handshaken(self.gen), Answered(self.gen, identity))

    def snapshot(self) -> tuple[object, ...]:
        """All that a host or a shell can see."""
        c = self.connection
        public = (c.state, c.reason, c.detail, c.wanted, c.dirty, c.path_usable, c.identity, c.busy)
        return *public, c.deadline(), repr(c.live), repr(c.drain), repr(c.search.dial), c.search.rtt_s


def kinds(commands: list[Command]) -> list[type[Command]]:
    return [type(command) for command in commands]


def moves(commands: list[Command]) -> list[tuple[State, Trigger, State]]:
    return [(a.source, a.trigger, a.target) for a in commands if isinstance(a, Announce)]


def fresh() -> Rig:
    return Rig()


def restoring() -> Rig:
    rig = Rig()
    rig.feed(SessionFound())
    return rig


def restored() -> Rig:
    rig = restoring()
    rig.feed(SessionRestored(OURS))
    return rig


def connected() -> Rig:
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.answer()
    return rig


def modified() -> Rig:
    rig = connected()
    rig.ask(Ask.EDITED)
    return rig


def reconnecting() -> Rig:
    rig = connected()
    rig.feed(LinkDown(rig.gen, Cause.CLOSED))
    return rig


def failed() -> Rig:
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.feed(LinkDown(rig.gen, Cause.ACCESS))
    return rig


def orphaned() -> Rig:
    rig = reconnecting()
    rig.answer(THEIRS)
    return rig


AT: dict[State, Callable[[], Rig]] = {
    State.FRESH: fresh,
    State.RESTORING: restoring,
    State.RESTORED: restored,
    State.CONNECTED: connected,
    State.MODIFIED: modified,
    State.RECONNECTING: reconnecting,
    State.FAILED: failed,
    State.ORPHANED: orphaned,
}


@pytest.mark.parametrize("state", State)
def test_the_builders_of_this_file_lead_where_they_say(state: State) -> None:
    """Every state is reached by plain facts alone."""
    assert AT[state]().connection.state is state


# -- proof ---------------------------------------------------------------------------


def test_only_an_answer_connects() -> None:
    """An accept and a handshake prove nothing; the answered ping does (law 2)."""
    rig = Rig()
    assert rig.ask(Ask.CONNECT)[:2] == [Dial(1), Report(Reason.FIRST_DIAL)]
    assert rig.feed(Accepted(1)) == [CallOffScouts()]
    assert rig.feed(Handshaken(1)) == [Ping(1)]
    assert rig.state is State.FRESH
    got = rig.feed(Answered(1, OURS))
    assert moves(got) == [(State.FRESH, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert Serve(1) in got
    assert rig.connection.identity == OURS


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.REFUSED, Reason.REFUSED),
        (Cause.NO_ROUTE, Reason.NO_ROUTE),
        (Cause.NO_ANSWER, Reason.NO_ANSWER),
        (Cause.NAME, Reason.NAME),
        (Cause.PROTOCOL, Reason.OTHER_PROGRAM),
        (Cause.NO_HANDSHAKE, Reason.MUTE),
        (Cause.LOCAL, Reason.LOCAL_ERROR),
    ],
)
def test_a_first_dial_that_fails_is_named_and_goes_on(cause: Cause, reason: Reason) -> None:
    """Reconnecting with the cause as reason, and a next try on the clock."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    got = rig.feed(LinkDown(1, cause, "errno"))
    failure = Announce(State.FRESH, Trigger.DIAL_FAILED, State.RECONNECTING, reason, "errno")
    assert [command for command in got if isinstance(command, Announce)] == [failure]
    assert {Dial, Scout} & set(kinds(rig.wait(0.1)))


@pytest.mark.parametrize(
    ("cause", "trigger"), [(Cause.ACCESS, Trigger.ACCESS_REFUSED), (Cause.VERSION, Trigger.INCOMPATIBLE)]
)
@pytest.mark.parametrize("state", [State.FRESH, State.RESTORED, State.RECONNECTING])
def test_what_only_a_person_can_mend_fails_and_rests(state: State, cause: Cause, trigger: Trigger) -> None:
    """A wrong key or an incompatible image ends in Failed with no timer left running."""
    rig = AT[state]()
    rig.ask(Ask.CONNECT)
    assert moves(rig.feed(LinkDown(rig.gen, cause))) == [(state, trigger, State.FAILED)]
    assert rig.connection.deadline() is None
    assert not {Dial, Scout} & set(kinds(rig.wait(3600)))


def test_nobody_answers_then_a_scout_gets_through() -> None:
    """Only scouts go out, close together; the first that gets through is followed by a dial at once."""
    rig = reconnecting()
    rig.wait(1.5)
    scouts = [at for at in _times(rig, Scout, for_s=10) if at > 1.5]
    assert max(b - a for a, b in pairwise(scouts)) <= 0.11
    before = rig.gen
    assert rig.feed(Scouted(Scouting.OPEN))[-1] == Dial(before + 1)


def _times(rig: Rig, kind: type[Command], *, for_s: float) -> list[float]:
    """When commands of this kind are given while nothing happens."""
    until, times = rig.now + for_s, list[float]()
    while (at := rig.connection.deadline()) is not None and at <= until:
        times += [at for got in rig.wait(at - rig.now) if isinstance(got, kind)]
    return times


# -- losing and finding ----------------------------------------------------------------


@pytest.mark.parametrize("state", LIVE)
def test_a_lost_link_is_redialled_in_the_same_breath(state: State) -> None:
    """Requests stop, the host is told, the next link is dialled: one batch."""
    rig = AT[state]()
    got = rig.feed(LinkDown(1, Cause.CLOSED))
    assert moves(got) == [(state, Trigger.LINK_LOST, State.RECONNECTING)]
    assert Serve(None) in got
    assert got[-1] == Dial(2)
    assert rig.connection.live is None


def test_a_lost_path_keeps_the_link_and_does_not_storm() -> None:
    """No route: the link may outlive the flap, so it is kept and nothing is dialled at a wall."""
    rig = connected()
    got = rig.feed(PathChanged(usable=False, detail="wlan0 down"))
    assert moves(got) == [(State.CONNECTED, Trigger.PATH_LOST, State.RECONNECTING)]
    assert rig.reason is Reason.WAITING
    assert rig.connection.detail == "wlan0 down"
    assert _served(rig) is None  # a request handed over now could only end in doubt
    got = rig.wait(300)
    assert not {Dial, Abort} & set(kinds(got))
    assert rig.connection.live is not None
    assert 300 / 4 <= kinds(got).count(Scout) <= 700  # for machines whose monitor is wrong
    assert rig.reason is Reason.WAITING


def test_no_path_at_the_start_is_waited_for_without_dialling() -> None:
    """Connecting with no network says so at once and dials when there is one."""
    rig = Rig()
    rig.feed(PathChanged(usable=False))
    rig.ask(Ask.CONNECT)
    assert (rig.state, rig.reason) == (State.RECONNECTING, Reason.WAITING)
    assert Dial not in kinds(rig.wait(20))
    assert rig.feed(PathChanged(usable=True))[-1] == Dial(1)


def back() -> Rig:
    """The path has just come back after a flap: link 1 is asked, link 2 is dialled."""
    rig = connected()
    rig.wait(1)
    rig.feed(PathChanged(usable=False))
    rig.wait(0.5)
    got = rig.feed(PathChanged(usable=True))
    assert Ping(1) in got
    assert Dial(2) in got
    return rig


def test_path_back_and_the_old_link_answers_first() -> None:
    """The old link survived: it stays, the dial beside it is aborted."""
    rig = back()
    rig.feed(Accepted(2), Handshaken(2))
    got = rig.feed(Answered(1, OURS))
    assert Abort(2) in got
    assert moves(got) == [(State.RECONNECTING, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert rig.reason is Reason.SURVIVED
    assert _served(rig) == 1


def test_path_back_and_the_new_link_answers_first() -> None:
    """The new link wins: it serves, the old one is aborted."""
    rig = back()
    got = rig.answer()
    assert Abort(1) in got
    assert moves(got) == [(State.RECONNECTING, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert _served(rig) == 2


def test_path_back_and_the_old_link_is_heard() -> None:
    """Data that came after the suspicion ends the outage without any answer; older data does not."""
    rig = back()
    rig.now += 0.2
    assert not moves(rig.feed(Vitals(1, quiet_s=0.3, data_quiet_s=0.3)))
    assert not moves(rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.3)))
    got = rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.05))
    assert moves(got) == [(State.RECONNECTING, Trigger.LINK_RESUMED, State.CONNECTED)]
    assert Abort(2) in got
    assert _served(rig) == 1


def _served(rig: Rig) -> int | None:
    return [command.gen for command in rig.commands if isinstance(command, Serve)][-1]


@pytest.mark.parametrize("state", LIVE)
def test_a_hedge_in_use_changes_no_state(state: State) -> None:
    """The path merely changed: a dial beside the working link may win without the user noticing."""
    rig = AT[state]()
    rig.feed(PathChanged(usable=True))
    assert moves(rig.answer()) == []
    assert rig.state is state
    assert _served(rig) == 2


@pytest.mark.parametrize("state", LIVE)
def test_a_hedge_that_fails_changes_nothing_either(state: State) -> None:
    """The link still claimed decides by its own signs of life; nothing more is dialled beside it."""
    rig = AT[state]()
    rig.feed(PathChanged(usable=True))
    assert moves(rig.feed(LinkDown(2, Cause.REFUSED))) == []
    rig.feed(Answered(1, OURS))
    assert not {Dial, Scout} & set(kinds(rig.wait(60)))


@pytest.mark.parametrize("state", LIVE)
def test_an_address_that_is_gone_takes_its_link_at_once(state: State) -> None:
    """Nothing to probe on a dead 4-tuple: abort, tell, dial (law 8)."""
    rig = AT[state]()
    got = rig.feed(AddressGone(1, "10.0.0.7"))
    assert moves(got) == [(state, Trigger.LINK_LOST, State.RECONNECTING)]
    assert rig.reason is Reason.ADDRESS_GONE
    assert got.index(Abort(1)) < got.index(Dial(2))
    assert _served(rig) is None


def test_an_address_that_is_gone_under_a_dial_restarts_it() -> None:
    """The attempt is replaced within a moment, not after its patience."""
    rig = reconnecting()
    rig.feed(Accepted(2))
    got = [*rig.feed(AddressGone(2)), *rig.wait(0.2)]
    assert Abort(2) in got
    assert {Dial, Scout} & set(kinds(got))


def test_a_slow_name_costs_the_dial_none_of_its_time() -> None:
    """While the name is looked up the attempt cannot run out; then it has its full patience."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.feed(LookingUp(1, done=False))
    assert Abort(1) not in rig.wait(30)
    rig.feed(LookingUp(1, done=True))
    assert Abort(1) not in rig.wait(0.9)
    assert Abort(1) in rig.wait(0.2)


def test_another_image_on_the_path_answered() -> None:
    """What one image proves helps the others at once, unless they are further already."""
    rig = reconnecting()
    rig.wait(5)
    before = rig.gen
    assert rig.feed(PathProven())[-1] == Dial(before + 1)
    rig.feed(Accepted(rig.gen))
    assert rig.feed(PathProven()) == []


def test_every_dial_aborts_the_one_before() -> None:
    """However often the network changes, one attempt is under way."""
    rig = reconnecting()
    for gen in range(2, 12):
        rig.now += 2.0
        got = rig.feed(PathChanged(usable=True))
        assert got.index(Abort(gen)) < got.index(Dial(gen + 1))


# -- older generations -------------------------------------------------------------------

ABOUT: list[Callable[[int], Event]] = [
    Accepted,
    Handshaken,
    lambda gen: Answered(gen, THEIRS),
    lambda gen: LinkDown(gen, Cause.ACCESS),
    lambda gen: LinkDown(gen, Cause.CLOSED),
    lambda gen: InFlight(gen, busy=True),
    lambda gen: InFlight(gen, busy=False),
    lambda gen: LookingUp(gen, done=False),
    Abandoned,
    lambda gen: Vitals(gen, quiet_s=90, data_quiet_s=90, rtt_s=0.9),
    AddressGone,
]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("about", ABOUT)
def test_facts_about_bygone_links_are_dropped(state: State, about: Callable[[int], Event]) -> None:
    """Whatever is told of a link that is not ours any more changes nothing at all (law 1)."""
    rig = AT[state]()
    before = rig.snapshot()
    assert rig.feed(about(0)) == []
    assert rig.snapshot() == before


# -- the last reply of a replaced link -----------------------------------------------------


def replaced_while_busy() -> Rig:
    """Link 1 awaited a reply when link 2 took over."""
    rig = connected()
    rig.feed(InFlight(1, busy=True), PathChanged(usable=True))
    got = rig.answer()
    assert Abort(1) not in got
    assert _served(rig) == 2
    return rig


def test_a_replaced_link_may_deliver_its_last_reply() -> None:
    """Its request ran already: the reply is worth two seconds. Then the link has done its work."""
    rig = replaced_while_busy()
    rig.now += 1.9
    assert rig.feed(Answered(1, OURS)) == [Abort(1)]
    assert rig.connection.drain is None


def test_a_replaced_link_is_not_waited_for_for_ever() -> None:
    """After `drain_s` it is aborted by our own timer."""
    rig = replaced_while_busy()
    assert Abort(1) not in rig.wait(rig.connection.policy.drain_s - 0.01)
    assert Abort(1) in rig.wait(0.02)
    assert rig.connection.drain is None


def test_a_replaced_link_that_ends_by_itself_is_forgotten() -> None:
    """Nothing is aborted twice and the serving link is untouched."""
    rig = replaced_while_busy()
    assert rig.feed(LinkDown(1, Cause.CLOSED)) == []
    assert Abort(1) not in rig.wait(10)
    assert rig.state is State.CONNECTED


def test_only_one_replaced_link_is_kept() -> None:
    """The next replacement ends the former's wait."""
    rig = replaced_while_busy()
    rig.feed(InFlight(2, busy=True), PathChanged(usable=True))
    got = rig.answer()
    assert Abort(1) in got
    assert Abort(2) not in got


def test_a_reply_nobody_waits_for_is_not_waited_for() -> None:
    """A draining link is aborted, and so is one kept in doubt; the one that serves goes on (law 11)."""
    rig = replaced_while_busy()
    assert rig.feed(Abandoned(2)) == []
    assert rig.feed(Abandoned(1)) == [Abort(1)]
    rig.feed(InFlight(2, busy=True), PathChanged(usable=False))
    assert rig.feed(Abandoned(2)) == [Abort(2)]
    assert rig.connection.live is None


def test_the_reply_to_a_ping_is_not_worth_waiting_for() -> None:
    """A replaced link that owes us only a ping is aborted at once."""
    rig = connected()
    rig.feed(InFlight(1, busy=True, trivial=True), PathChanged(usable=True))
    assert Abort(1) in rig.answer()


def test_a_dead_address_ends_the_wait_for_its_reply() -> None:
    """Nothing can come any more over a 4-tuple that is gone."""
    assert replaced_while_busy().feed(AddressGone(1)) == [Abort(1)]


# -- who answers (law 17) ------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.RESTORED, State.RECONNECTING, State.CONNECTED, State.MODIFIED])
def test_another_image_orphans_the_session(state: State) -> None:
    """Nothing is mixed: no request is ever offered to the stranger, every link goes, nothing dials."""
    rig = AT[state]()
    rig.feed(Asked(Ask.CONNECT), PathChanged(usable=True))
    got = rig.answer(THEIRS)
    assert moves(got) == [(state, Trigger.IMAGE_REPLACED, State.ORPHANED)]
    assert Serve(rig.gen) not in got
    assert Abort(rig.gen) in got
    assert rig.connection.live is None
    assert rig.connection.identity == OURS
    assert "theirs" in rig.connection.detail
    assert "ours" in rig.connection.detail
    assert rig.connection.deadline() is None
    assert rig.connection.dirty is (state is State.MODIFIED)


def test_images_that_do_not_say_who_they_are_are_taken_at_their_word() -> None:
    """Stock images have no id: coming back nameless orphans nobody."""
    rig = reconnecting()
    assert moves(rig.answer(Identity())) == [(State.RECONNECTING, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert rig.connection.identity == OURS


def test_a_restarted_image_gets_its_session_again() -> None:
    """The uptime went back: the same session, and the user is told."""
    rig = reconnecting()
    rig.now += 60
    rig.feed(Scouted(Scouting.OPEN))
    rig.answer(Identity("ours", 12.0))
    assert (rig.state, rig.reason) == (State.CONNECTED, Reason.RESTARTED)


@pytest.mark.parametrize("uptime_s", [99.0, 101.0, 160.0, None])
def test_an_image_that_simply_ran_on_was_not_restarted(uptime_s: float | None) -> None:
    """Rounded uptimes and missing ones restart nothing."""
    rig = reconnecting()
    rig.answer(Identity("ours", uptime_s))
    assert (rig.state, rig.reason) == (State.CONNECTED, Reason.ANSWERED)


def test_an_answer_without_an_uptime_does_not_hide_a_restart() -> None:
    """What was known before stays known."""
    rig = connected()
    rig.now += 50
    rig.feed(Answered(1, Identity("ours")), LinkDown(1, Cause.CLOSED))
    rig.now += 50
    rig.feed(Scouted(Scouting.OPEN))
    rig.answer(Identity("ours", 120.0))
    assert rig.reason is Reason.RESTARTED


# -- sessions ------------------------------------------------------------------------------


def answered_while_restoring() -> Rig:
    """The disk is slower than the network."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    assert ReadSession() in rig.feed(SessionFound())
    got = rig.answer()
    assert rig.state is State.RESTORING
    assert Serve(1) not in got  # whose image this is cannot be said yet
    return rig


@pytest.mark.parametrize("dirty", [False, True])
def test_an_image_that_answered_early_waits_for_its_session(dirty: bool) -> None:  # noqa: FBT001 - parametrized
    """Reading ends: through Restored to where the edits say, with the link that is there."""
    rig = answered_while_restoring()
    got = rig.feed(SessionRestored(OURS, dirty=dirty))
    goal = State.MODIFIED if dirty else State.CONNECTED
    answered = Trigger.IMAGE_ANSWERED_DIRTY if dirty else Trigger.IMAGE_ANSWERED
    assert moves(got) == [
        (State.RESTORING, Trigger.SESSION_RESTORED, State.RESTORED),
        (State.RESTORED, answered, goal),
    ]
    assert Serve(1) in got
    assert Dial not in kinds(got)


def test_an_image_that_answered_early_may_be_the_wrong_one() -> None:
    """It is judged when the owner is known, and has never been offered a request."""
    rig = answered_while_restoring()
    got = rig.feed(SessionRestored(THEIRS))
    assert moves(got)[-1] == (State.RESTORED, Trigger.IMAGE_REPLACED, State.ORPHANED)
    assert Abort(1) in got
    assert Serve(1) not in rig.commands


def test_who_answered_early_is_judged_even_if_the_path_has_gone() -> None:
    """Liveness goes stale, an identity does not (law 17)."""
    rig = answered_while_restoring()
    rig.feed(Answered(1, THEIRS), PathChanged(usable=False))
    assert moves(rig.feed(SessionRestored(OURS)))[-1][1:] == (Trigger.IMAGE_REPLACED, State.ORPHANED)


def test_an_early_answer_is_no_proof_once_the_path_has_gone() -> None:
    """Connected needs a proof that still holds when it is claimed (law 2)."""
    rig = answered_while_restoring()
    rig.feed(PathChanged(usable=False))
    rig.now += 20
    rig.feed(SessionRestored(OURS))
    assert rig.state not in LIVE


def early_answer_in_doubt() -> Rig:
    """The path flapped after an early answer, and the session is read before anything else is heard."""
    rig = answered_while_restoring()
    rig.feed(PathChanged(usable=False), PathChanged(usable=True))
    got = rig.feed(SessionRestored(OURS))
    assert moves(got) == [(State.RESTORING, Trigger.SESSION_RESTORED, State.RESTORED)]
    assert Ping(1) in got
    assert Dial in kinds(got)
    return rig


def test_an_early_answer_in_doubt_is_asked_for_again() -> None:
    """The old link is asked, another dialled, and the first answer connects."""
    rig = early_answer_in_doubt()
    got = rig.feed(Answered(1, OURS))
    assert moves(got) == [(State.RESTORED, Trigger.IMAGE_ANSWERED, State.CONNECTED)]
    assert Abort(rig.gen) in got


def test_bytes_alone_connect_no_link_that_never_served() -> None:
    """Whose bytes they are has not been judged: only an answer counts, also after a failed dial."""
    rig = early_answer_in_doubt()
    rig.feed(LinkDown(rig.gen, Cause.REFUSED))
    rig.now += 1.0
    assert moves(rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.0))) == []
    assert moves(rig.feed(Answered(1, THEIRS)))[-1][1:] == (Trigger.IMAGE_REPLACED, State.ORPHANED)


def test_an_early_answer_heard_again_in_time_is_a_proof() -> None:
    """The link spoke after the flap and before the session was read."""
    rig = answered_while_restoring()
    rig.feed(PathChanged(usable=False), PathChanged(usable=True))
    rig.now += 1.0
    assert moves(rig.feed(Vitals(1, quiet_s=0.0, data_quiet_s=0.0))) == []
    assert moves(rig.feed(SessionRestored(OURS)))[-1][1:] == (Trigger.IMAGE_ANSWERED, State.CONNECTED)


def test_a_stranger_who_has_left_orphans_nobody() -> None:
    """An early answer goes with its link; what counts is who answers when the session is there."""
    rig = answered_while_restoring()
    rig.feed(Answered(1, THEIRS), LinkDown(1, Cause.CLOSED))
    rig.feed(SessionRestored(OURS))
    assert rig.state is State.RESTORED
    assert moves(rig.answer()) == [(State.RESTORED, Trigger.IMAGE_ANSWERED, State.CONNECTED)]


def test_nothing_usable_was_stored() -> None:
    """An early answer begins a session of its own."""
    rig = answered_while_restoring()
    got = rig.feed(SessionAbsent())
    assert [m[2] for m in moves(got)] == [State.FRESH, State.CONNECTED]


def test_a_session_nobody_can_read_is_a_decision_for_a_person() -> None:
    """Failed, and the early link goes."""
    rig = answered_while_restoring()
    got = rig.feed(SessionUnreadable("journal: bad key"))
    assert moves(got) == [(State.RESTORING, Trigger.SESSION_UNREADABLE, State.FAILED)]
    assert rig.connection.detail == "journal: bad key"
    assert Abort(1) in got
    assert rig.connection.deadline() is None


def test_dialling_does_not_wait_for_the_disk() -> None:
    """A wanted image is dialled while its session is read, also after a dial failed (law 14)."""
    rig = restoring()
    assert Dial(1) in rig.ask(Ask.CONNECT)
    rig.feed(LinkDown(1, Cause.REFUSED))
    assert rig.state is State.RESTORING
    assert {Dial, Scout} & set(kinds(rig.wait(5)))


def test_a_restart_restores_into_restored_only() -> None:
    """Without an answer there is no Connected, whatever the session says."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    rig.feed(SessionFound(), SessionRestored(OURS, dirty=True))
    assert rig.state is State.RESTORED
    assert rig.connection.dirty


# -- work ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.FRESH, State.RESTORED, State.RECONNECTING])
def test_edits_made_while_away_lead_to_modified(state: State) -> None:
    """Edits are kept while nobody answers, and coming back says so."""
    rig = AT[state]()
    assert moves(rig.ask(Ask.EDITED)) == []
    rig.ask(Ask.CONNECT)
    assert moves(rig.answer()) == [(state, Trigger.IMAGE_ANSWERED_DIRTY, State.MODIFIED)]
    assert moves(rig.ask(Ask.SAVED)) == [(State.MODIFIED, Trigger.SAVED, State.CONNECTED)]


@pytest.mark.parametrize("state", State)
def test_edits_are_accepted_everywhere_and_kept(state: State) -> None:
    """Whatever the network does, work is taken in and stays dirty until it is saved."""
    rig = AT[state]()
    rig.ask(Ask.EDITED)
    rig.feed(PathChanged(usable=False), PathChanged(usable=True), Woke(60), Stalled(3))
    rig.wait(120)
    assert rig.connection.dirty


def test_unsaved_edits_stay_the_reason_when_a_request_ends() -> None:
    """What Modified means to the user is not overwritten by a busy spell that is over."""
    rig = modified()
    rig.feed(InFlight(1, busy=True))
    rig.wait(2)
    assert (rig.state, rig.reason) == (State.MODIFIED, Reason.BUSY)
    rig.feed(InFlight(1, busy=False))
    assert (rig.state, rig.reason) == (State.MODIFIED, Reason.EDITED)


def test_work_on_a_busy_image_leaves_it_shown_as_busy() -> None:
    """An edit and a save are told with their own reasons; what is shown afterwards is the image's (law 3)."""
    rig = connected()
    rig.feed(InFlight(1, busy=True))
    rig.wait(2)
    for ask, state, reason in (
        (Ask.EDITED, State.MODIFIED, Reason.EDITED),
        (Ask.SAVED, State.CONNECTED, Reason.SAVED),
    ):
        told = [each for each in rig.ask(ask) if isinstance(each, Announce)]
        assert [(each.target, each.reason) for each in told] == [(state, reason)]
        assert (rig.state, rig.reason) == (state, Reason.BUSY)
    rig.feed(InFlight(1, busy=False))
    assert rig.reason is Reason.ANSWERED


# -- resting places and their ways out --------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "ask"),
    [(s, ask) for s, ways in WAYS_OUT.items() for ask in Ask if ask.value in ways],
)
def test_every_way_out_leads_where_the_table_says(state: State, ask: Ask) -> None:
    """Edits are dropped only into the archive, and only the archive stays disconnected."""
    rig = AT[state]()
    rig.ask(Ask.EDITED)
    target = next(r.target for r in TABLE if r.source is state and r.trigger.value == ask.value)
    got = rig.ask(ask)
    assert moves(got) == [(state, Trigger(ask.value), target)]
    archived = ask in (Ask.START_FRESH, Ask.ARCHIVE)
    assert (ArchiveSession() in got) is archived
    assert rig.connection.dirty is not archived
    assert (ReadSession() in got) is (ask is Ask.RESTORE)
    assert (Dial in kinds(got)) is (ask is not Ask.ARCHIVE)
    assert rig.connection.wanted is (ask is not Ask.ARCHIVE)


def test_adopting_accepts_the_image_that_is_there() -> None:
    """The user said so: the next answer owns the session. Merely retrying does not say so."""
    adopting, retrying = orphaned(), orphaned()
    adopting.ask(Ask.ADOPT)
    adopting.answer(THEIRS)
    assert adopting.connection.state is State.CONNECTED
    assert adopting.connection.identity == THEIRS
    retrying.ask(Ask.RETRY)
    retrying.answer(THEIRS)
    assert retrying.connection.state is State.ORPHANED


def test_a_limit_set_by_the_host_ends_in_failed_and_the_network_ends_that() -> None:
    """Failed when the time is up, everything put down; back by itself when the network changes."""
    rig = Rig(Policy(give_up_after_s=30))
    rig.ask(Ask.CONNECT)
    assert moves(rig.wait(1)) == [(State.FRESH, Trigger.DIAL_FAILED, State.RECONNECTING)]
    got = rig.wait(31)
    assert moves(got) == [(State.RECONNECTING, Trigger.GAVE_UP, State.FAILED)]
    assert rig.connection.deadline() is None
    assert moves(rig.feed(PathChanged(usable=False))) == []
    got = rig.feed(PathChanged(usable=True))
    assert moves(got) == [(State.FAILED, Trigger.NETWORK_CHANGED, State.RECONNECTING)]
    assert Dial in kinds(got)
    assert moves(rig.wait(29)) == []  # the limit counts from the change


def test_a_failure_the_network_did_not_cause_stays() -> None:
    """No network event mends a wrong key."""
    rig = failed()
    assert rig.feed(PathChanged(usable=True)) == []
    assert rig.state is State.FAILED


def test_a_failure_may_be_left_alone() -> None:
    """Disconnecting while Failed means: stay away, whatever the network does."""
    rig = Rig(Policy(give_up_after_s=30))
    rig.ask(Ask.CONNECT)
    rig.wait(40)
    assert rig.ask(Ask.DISCONNECT) == []
    assert rig.feed(PathChanged(usable=True)) == []
    assert rig.state is State.FAILED


def test_an_image_gone_for_a_month_is_orphaned_and_kept() -> None:
    """Unreachable beyond the retention: no more dialling, nothing deleted, edits still dirty."""
    rig = Rig(Policy(gone_after_s=100))
    rig.ask(Ask.CONNECT)
    rig.ask(Ask.EDITED)
    got = rig.wait(102)
    assert moves(got)[-1] == (State.RECONNECTING, Trigger.IMAGE_GONE, State.ORPHANED)
    assert rig.connection.deadline() is None
    assert rig.connection.dirty
    assert ArchiveSession() not in rig.commands


@pytest.mark.parametrize("state", sorted(set(State) - {State.FAILED, State.ORPHANED}))
def test_disconnecting_puts_everything_down(state: State) -> None:
    """No link, no timer, no dialling, until the host asks again; the session and its edits stay."""
    rig = AT[state]()
    if state not in LIVE:
        rig.ask(Ask.CONNECT)
    rig.ask(Ask.EDITED)
    got = rig.ask(Ask.DISCONNECT)
    assert Abort(rig.gen) in got
    assert rig.state in (State.RESTORED, State.RESTORING)
    assert rig.connection.live is None
    assert rig.connection.deadline() is None
    assert rig.feed(PathChanged(usable=True), Woke(5), PathProven(), Scouted(Scouting.OPEN)) == []
    assert rig.connection.dirty
    assert Dial in kinds(rig.ask(Ask.CONNECT))


def test_the_host_may_insist() -> None:
    """A retry while dialling dials now, whatever the schedule says; also after a disconnect."""
    rig = reconnecting()
    rig.wait(120)
    assert Dial in kinds(rig.ask(Ask.RETRY))
    rig.ask(Ask.DISCONNECT)
    assert Dial in kinds(rig.ask(Ask.RETRY))


def test_connecting_twice_dials_once() -> None:
    """Asking for what is under way or done already adds nothing."""
    rig = Rig()
    rig.ask(Ask.CONNECT)
    assert rig.ask(Ask.CONNECT) == []
    rig.answer()
    assert rig.ask(Ask.CONNECT) == []


SESSION_FACTS: dict[str, Event] = {
    Trigger.SESSION_FOUND: SessionFound(),
    Trigger.SESSION_RESTORED: SessionRestored(),
    Trigger.SESSION_ABSENT: SessionAbsent(),
    Trigger.SESSION_UNREADABLE: SessionUnreadable(),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", [*(Asked(ask) for ask in Ask), *SESSION_FACTS.values()])
def test_a_refusal_leaves_everything_untouched(state: State, event: Event) -> None:
    """Asking for the impossible raises, names the state, and changes nothing; nothing leaks out later."""
    rig = AT[state]()
    before = rig.snapshot()
    if event in _welcome(state):
        rig.feed(event)
        return
    with pytest.raises(Refused) as refused:
        rig.feed(event)
    assert refused.value.state is state
    assert str(state) in str(refused.value)
    assert rig.snapshot() == before
    assert not {Announce, ReadSession, ArchiveSession} & set(kinds(rig.feed(Stalled(0.0))))


def _welcome(state: State) -> list[Event]:
    """What a state takes in: by a rule of the table, or because it is said to be no refusal."""
    triggers = {rule.trigger.value for rule in TABLE if rule.source is state}
    asks = {ask for ask in Ask if ask.value in triggers} | {Ask.EDITED, Ask.SAVED, Ask.DISCONNECT}
    if state not in WAYS_OUT:
        asks.add(Ask.CONNECT)
    if state not in LIVE:
        asks.add(Ask.RETRY)
    return [
        *(Asked(ask) for ask in asks),
        *(fact for name, fact in SESSION_FACTS.items() if name in triggers),
    ]


def test_looking_is_all_that_time_does_to_an_idle_link() -> None:
    """A connected, idle image costs one look a second and a ping now and then."""
    rig = connected()
    got = rig.wait(60)
    assert set(kinds(got)) == {Inspect, Ping}
    assert 50 <= kinds(got).count(Inspect) <= 61
    assert 10 <= kinds(got).count(Ping) <= 13


def test_a_busy_link_is_not_asked() -> None:
    """Whatever is outstanding, an evaluation or the last ping: no second one piles up behind it (law 3)."""
    rig = connected()
    rig.feed(InFlight(1, busy=True))
    assert Ping not in kinds(rig.wait(60))
    rig.feed(InFlight(1, busy=False))
    assert Ping in kinds(rig.wait(6))


def test_a_busy_link_in_doubt_is_not_asked_either() -> None:
    """Its own reply will tell as well as a ping behind it would."""
    rig = connected()
    rig.feed(InFlight(1, busy=True))
    got = rig.feed(Woke(60), PathChanged(usable=False), PathChanged(usable=True))
    assert Ping not in kinds(got)


def test_an_answer_clears_what_was_held_against_the_search() -> None:
    """Three failures at an open port before an outage and three after it replace no context."""
    rig = reconnecting()
    for _ in range(2):
        for _ in range(3):
            rig.feed(Accepted(rig.gen), LinkDown(rig.gen, Cause.CLOSED), Scouted(Scouting.OPEN))
        rig.answer()
        rig.feed(LinkDown(rig.gen, Cause.CLOSED))
    assert rig.gen > 8
    assert not any(command.fresh_context for command in rig.commands if isinstance(command, Dial))


def test_an_image_that_does_not_answer_a_ping_is_not_called_busy() -> None:
    """A ping that stays unanswered says something else than a request that takes its time."""
    rig = connected()
    rig.feed(InFlight(1, busy=True, trivial=True))
    rig.wait(3)
    assert (rig.state, rig.reason) == (State.CONNECTED, Reason.NOT_ANSWERING)
    rig.feed(Answered(1, Identity("ours", 103.0)), InFlight(1, busy=False))
    assert rig.reason is Reason.ANSWERED


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.NOT_ANSWERING])
def test_an_edit_does_not_hide_that_the_image_is_busy(reason: Reason) -> None:
    """Law 3: Modified and Connected again, and busy all the while."""
    rig = connected()
    rig.connection.reason = reason
    rig.ask(Ask.EDITED)
    assert (rig.state, rig.reason) == (State.MODIFIED, reason)
    rig.ask(Ask.SAVED)
    assert (rig.state, rig.reason) == (State.CONNECTED, reason)
