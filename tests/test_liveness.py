"""Is it alive? The judgement itself, and what a connection makes of a link that is played to it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import Ask, Command, Connection, Identity, Policy, Reason, State
from machines.commands import Abort, Announce, Dial, Inspect, Ping, Report
from machines.events import (
    Accepted,
    Answered,
    Asked,
    Event,
    Handshaken,
    InFlight,
    PathChanged,
    Stalled,
    Tick,
    Vitals,
    Woke,
)
from machines.liveness import UPTIME_SLACK_S, Verdict, judge, restarted
from machines.policy import HEARTBEAT_IVL_S

POLICY = Policy()
RTT_S = 0.02

# -- the judgement -------------------------------------------------------------------


def seen(quiet_s: float, data_quiet_s: float | None = None, *, sending: bool = False) -> Vitals:
    return Vitals(1, quiet_s, quiet_s if data_quiet_s is None else data_quiet_s, RTT_S, sending)


@pytest.mark.parametrize(
    ("vitals", "busy", "verdict"),
    [
        (seen(0.7), True, Verdict.WELL),
        (seen(0.8), True, Verdict.SILENT),
        (seen(0.8), False, Verdict.WELL),
        (seen(1.5), False, Verdict.SILENT),
        (seen(0.1, 2.9), True, Verdict.WELL),
        (seen(0.1, 3.1), True, Verdict.FROZEN),
        (seen(0.1, 3.1), False, Verdict.FROZEN),
        (seen(0.1, 600.0, sending=True), True, Verdict.WELL),
        (seen(9.0, 9.0, sending=True), True, Verdict.SILENT),
    ],
)
def test_silence_acknowledgements_and_data_are_told_apart(
    vitals: Vitals,
    busy: bool,  # noqa: FBT001 - parametrized
    verdict: Verdict,
) -> None:
    """A dead path, a stopped process, a quiet link and a long transfer each get their name."""
    assert judge(vitals, clean_since=-1e6, now=0.0, policy=POLICY, busy=busy) is verdict


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.booleans(), st.booleans(), st.floats(0, 0.7))
def test_silence_from_before_is_never_held_against_a_link(
    quiet_s: float,
    data_quiet_s: float,
    busy: bool,  # noqa: FBT001 - drawn
    sending: bool,  # noqa: FBT001 - drawn
    clean_s: float,
) -> None:
    """Right after a stall, a sleep or its birth, every link is well whatever the kernel counts."""
    vitals = Vitals(1, quiet_s, data_quiet_s, 0.0, sending)
    assert judge(vitals, clean_since=100.0, now=100.0 + clean_s, policy=POLICY, busy=busy) is Verdict.WELL


@given(st.floats(0, 5), st.floats(0, 60), st.booleans())
def test_a_slow_path_gets_its_round_trip(rtt_s: float, age_s: float, busy: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever would be well on a fast path is well on a slow one, and a round trip more of it."""
    fast = judge(Vitals(1, age_s, 0.0), -1e6, 0.0, POLICY, busy=busy)
    slow = judge(Vitals(1, age_s + 0.999 * rtt_s, 0.0, rtt_s), -1e6, 0.0, POLICY, busy=busy)
    assert slow is Verdict.WELL or fast is Verdict.SILENT


def test_one_lost_heartbeat_is_no_silence() -> None:
    """The limits leave room for a heartbeat and the retransmission of a lost one."""
    assert POLICY.quiet_busy_s >= HEARTBEAT_IVL_S + 0.2
    assert POLICY.quiet_idle_s >= 2 * HEARTBEAT_IVL_S + 0.2


@pytest.mark.parametrize(
    ("known_s", "elapsed_s", "met_s", "again"),
    [
        (100.0, 0.0, 100.0, False),
        (100.0, 60.0, 160.0, False),
        (100.0, 60.0, 158.5, False),  # both rounded
        (100.0, 60.0, 157.0, True),
        (100.0, 60.0, 12.0, True),
        (1.0, 0.5, 0.0, False),
        (100.0, -5.0, 99.0, False),  # read a moment before it was stored
        (None, 60.0, 12.0, False),
        (100.0, 60.0, None, False),
    ],
)
def test_an_uptime_that_went_back_is_a_restart(
    known_s: float | None,
    elapsed_s: float,
    met_s: float | None,
    again: bool,  # noqa: FBT001 - parametrized
) -> None:
    """Less than it would be had the image simply run on, beyond rounding."""
    assert UPTIME_SLACK_S == 2.0
    known, met = Identity(uptime_s=known_s), Identity(uptime_s=met_s)
    assert restarted(known, 1_000.0, met, 1_000.0 + elapsed_s) is again


# -- a link played to a connection ---------------------------------------------------


@dataclass
class Wire:
    """The far end of every link: what its kernel and its process do now."""

    network: bool = True
    process: bool = True
    sending: bool = False
    """Our bytes are on their way and the image has nothing to say yet."""


class Play:
    """A connected connection whose links carry heartbeats, seen through honest vitals."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wire = Wire()
        self.connection = Connection(Random(1))
        self.heard = self.spoken = 0.0
        self.commands: list[tuple[float, Command]] = []
        self.feed(Asked(Ask.CONNECT), Accepted(1), Handshaken(1), Answered(1))
        assert self.connection.state is State.CONNECTED

    def feed(self, *events: Event) -> None:
        for event in events:
            for command in self.connection.receive(event, self.now):
                self.commands.append((self.now, command))
                if isinstance(command, Inspect) and command.gen == 1:
                    self.feed(self._vitals())
                if isinstance(command, Dial) and self.wire.network and command.gen > 1:
                    self.feed(Accepted(command.gen))  # by the far kernel; nobody greets

    def _vitals(self) -> Vitals:
        return Vitals(1, self.now - self.heard, self.now - self.spoken, RTT_S, self.wire.sending)

    def run(self, for_s: float, *, until: State | None = None) -> float:
        """Play on, heartbeats and timers together; how long it took."""
        start = self.now
        while self.now < start + for_s and self.connection.state is not until:
            beat = self.heard + HEARTBEAT_IVL_S if self.wire.network else float("inf")
            due = self.connection.deadline()
            self.now = min(max(self.now, beat), start + for_s if due is None else max(self.now, due))
            if self.wire.network and self.now >= beat:
                self.heard = self.now
                if self.wire.process and not self.wire.sending:
                    self.spoken = self.now
            if due is not None and self.now >= due:
                self.feed(Tick())
        return self.now - start

    @property
    def reason(self) -> Reason:
        return self.connection.reason

    def cut(self) -> None:
        self.wire.network = False

    def of(self, kind: type[Command]) -> list[Command]:
        return [command for _, command in self.commands if isinstance(command, kind)]


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.37, 0.8])
def test_silence_with_a_request_in_flight_is_noticed_within_a_second(phase_s: float) -> None:
    """From the cut, wherever it falls between two heartbeats (DESIGN section 6)."""
    play = Play()
    play.run(20)
    play.feed(InFlight(1, busy=True))
    play.run(5 + phase_s)
    play.cut()
    assert play.run(60, until=State.RECONNECTING) <= 1.0
    assert play.reason is Reason.SILENT


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.37, 0.8])
def test_silence_right_before_a_request_is_noticed_within_a_second_of_it(phase_s: float) -> None:
    """The path died while idle; the request finds out, not the idle timer."""
    play = Play()
    play.run(20 + phase_s)
    play.cut()
    play.feed(InFlight(1, busy=True))
    assert play.run(60, until=State.RECONNECTING) <= 1.0


@pytest.mark.parametrize("phase_s", [0.0, 0.2, 0.51, 0.77, 0.999])
def test_silence_on_an_idle_link_is_noticed_within_three_seconds(phase_s: float) -> None:
    """Calm, but not asleep."""
    play = Play()
    play.run(20 + phase_s)
    play.cut()
    assert play.run(60, until=State.RECONNECTING) <= 3.0
    assert play.reason is Reason.SILENT
    assert play.of(Dial)[-1] == Dial(2)


def test_what_was_thought_silent_is_kept_and_may_speak_again() -> None:
    """The link is asked and kept beside the dial; its first new byte ends the outage."""
    play = Play()
    play.run(20)
    play.cut()
    play.run(60, until=State.RECONNECTING)
    assert Ping(1) in play.of(Ping)
    assert Abort(1) not in play.of(Abort)
    play.wire.network = True
    assert play.run(60, until=State.CONNECTED) <= HEARTBEAT_IVL_S + 0.3
    assert play.reason is Reason.SURVIVED
    assert Abort(2) in play.of(Abort)


def test_a_busy_image_is_left_alone() -> None:
    """While heartbeats go on the state stays, the reason says busy, nothing is dialled or asked (law 3)."""
    play = Play()
    play.run(10)
    play.commands.clear()
    play.feed(InFlight(1, busy=True))
    play.run(0.9)
    assert play.reason is not Reason.BUSY
    play.run(7.1)
    assert (play.connection.state, play.reason) == (State.CONNECTED, Reason.BUSY)
    assert play.connection.busy
    assert not play.of(Dial) + play.of(Ping) + play.of(Announce)
    play.feed(Answered(1), InFlight(1, busy=False))
    assert (play.reason, play.connection.busy) == (Reason.ANSWERED, False)


def test_a_busy_spell_ends_with_the_link_that_was_busy() -> None:
    """What serves now is idle, and the reason does not say otherwise."""
    play = Play()
    play.feed(InFlight(1, busy=True))
    play.run(3)
    assert (play.reason, play.connection.busy) == (Reason.BUSY, True)
    play.feed(PathChanged(usable=True), Handshaken(2), Answered(2))
    assert (play.reason, play.connection.busy) == (Reason.ANSWERED, False)


def test_a_long_upload_is_never_suspected() -> None:
    """Only acknowledgements come back for a minute, and that is life (law 4)."""
    play = Play()
    play.run(10)
    play.feed(InFlight(1, busy=True))
    play.wire.sending = True
    play.run(60)
    assert play.connection.state is State.CONNECTED
    assert not [command for command in play.of(Dial) if command != Dial(1)]


def test_a_stuck_upload_is_noticed_like_any_silence() -> None:
    """Bytes of ours are out and their acknowledgements stop."""
    play = Play()
    play.run(10)
    play.feed(InFlight(1, busy=True))
    play.wire.sending = True
    play.run(10)
    play.cut()
    assert play.run(60, until=State.RECONNECTING) <= 1.0


def test_a_frozen_process_on_a_healthy_network_is_named_as_that() -> None:
    """Neither the network nor another program is blamed, also not by dials nobody greets (law 3)."""
    play = Play()
    play.run(10)
    play.commands.clear()
    play.wire.process = False
    assert play.run(60, until=State.RECONNECTING) <= POLICY.frozen_s + POLICY.check_idle_s + 0.5
    assert (play.connection.state, play.reason) == (State.RECONNECTING, Reason.FROZEN)
    play.run(60)
    assert len(play.of(Dial)) > 5
    assert {command.reason for _, command in play.commands if isinstance(command, Report)} <= {Reason.FROZEN}
    play.wire.process = True
    play.run(60, until=State.CONNECTED)
    assert (play.connection.state, play.reason) == (State.CONNECTED, Reason.SURVIVED)


def test_our_own_stall_is_not_blamed_on_the_network() -> None:
    """We did not run for ten seconds: the silence was ours, for a link and for a dial alike (law 6)."""
    play = Play()
    play.run(10)
    play.now += 10
    play.feed(Stalled(10), Tick())
    assert play.connection.state is State.CONNECTED
    play.heard = play.spoken = play.now
    play.run(30)
    assert not [command for command in play.of(Dial) if command != Dial(1)]


@pytest.mark.parametrize("events", [[], [Accepted(1)], [Accepted(1), Handshaken(1)]])
def test_a_dial_survives_our_own_stall(events: list[Event]) -> None:
    """However far it had come, it gets its time again instead of the blame."""
    connection = Connection(Random(1))
    connection.receive(Asked(Ask.CONNECT), 0.0)
    for event in events:
        connection.receive(event, 0.01)
    got = [*connection.receive(Stalled(10), 10.0), *connection.receive(Tick(), 10.0)]
    got += connection.receive(Vitals(1, 10.0, 10.0), 10.0)
    assert Abort(1) not in got
    assert connection.state is State.FRESH


def test_a_stall_hides_a_dead_link_only_for_a_moment() -> None:
    """What is really dead is noticed in its usual time afterwards."""
    play = Play()
    play.run(10)
    play.cut()
    play.now += 10
    play.feed(Stalled(10))
    assert play.run(60, until=State.RECONNECTING) <= 3.0


def test_after_waking_the_old_link_is_asked_first() -> None:
    """A ping, a word to the user, a moment of grace; no dial when it answers (law 6)."""
    play = Play()
    play.run(10)
    play.commands.clear()
    play.feed(Woke(3_600))
    assert play.of(Ping) == [Ping(1)]
    assert (play.connection.state, play.reason) == (State.CONNECTED, Reason.WOKE)
    assert play.connection.detail == "slept 3600 s"
    play.run(0.2)
    assert not play.of(Dial)
    play.feed(Answered(1))
    play.run(30)
    assert not play.of(Dial)
    assert play.reason is Reason.SURVIVED


def test_after_waking_a_mute_link_is_searched_beside() -> None:
    """The grace is over: the search goes out while the link is still claimed, then its silence tells."""
    play = Play()
    play.run(10)
    play.cut()
    play.feed(Woke(3_600))
    play.run(0.3)
    assert any(type(command).__name__ in {"Dial", "Scout"} for at, command in play.commands if at > 10)
    assert play.run(60, until=State.RECONNECTING) <= 3.0


def test_a_dial_waits_for_a_busy_image_and_says_so() -> None:
    """Handshake done, ping unanswered, heartbeats fine: the image works for somebody else."""
    connection, now = Connection(Random(1)), 0.0
    connection.receive(Asked(Ask.CONNECT), now)
    connection.receive(Accepted(1), now)
    connection.receive(Handshaken(1), now)
    pings = 0
    while now < 60:
        now = connection.deadline() or now
        for command in connection.receive(Tick(), now):
            assert not isinstance(command, Abort | Dial)
            pings += isinstance(command, Ping)
            if isinstance(command, Inspect):
                connection.receive(Vitals(1, 0.1, 0.1, RTT_S), now)
    assert connection.reason is Reason.NOT_ANSWERING
    assert pings == 0


@pytest.mark.parametrize(("vitals", "reason"), [(seen(4.0), Reason.SILENT), (seen(0.1, 4.0), Reason.FROZEN)])
def test_a_dial_whose_carrier_dies_is_given_up(vitals: Vitals, reason: Reason) -> None:
    """Before any answer came: the attempt ends by the carrier's silence and is named by it."""
    connection = Connection(Random(1))
    connection.receive(Asked(Ask.CONNECT), 0.0)
    connection.receive(Handshaken(1), 0.0)
    assert Abort(1) in connection.receive(vitals, 4.0)
    assert (connection.state, connection.reason) == (State.RECONNECTING, reason)
