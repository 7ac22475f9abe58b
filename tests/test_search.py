"""The search alone: one dial, scouts before it, patience that fits the path."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import Cause, Command, Policy
from machines.commands import Abort, CallOffScouts, Dial, Ping, Scout
from machines.policy import FIRST_GAP_S
from machines.search import Phase, Search

POLICY = Policy()


class Bench:
    """A search, its clock and its commands."""

    def __init__(self) -> None:
        self.now = 0.0
        self.out: list[Command] = []
        self.search = Search(Random(11), POLICY, self.out)

    def take(self) -> list[Command]:
        got = list(self.out)
        self.out.clear()
        return got

    def run(self, for_s: float) -> list[tuple[float, Command]]:
        """Only the schedule acts; dials time out as the connection lets them."""
        until, got = self.now + for_s, list[tuple[float, Command]]()
        while (due := self._due()) <= until:
            self.now = max(self.now, due)
            if cause := self.search.overdue(self.now):
                assert self.search.dial is not None
                self.out.append(Abort(self.search.dial.gen))
                self.search.fail_dial(cause, timed_out=True)
                self.search.set_next_try(self.now)
            if self.search.next_try_at is not None and self.search.next_try_at <= self.now:
                self.search.try_again(self.now)
            got += [(self.now, command) for command in self.take()]
        self.now = until
        return got

    def _due(self) -> float:
        return min((at for at in self.search.deadlines() if at is not None), default=float("inf"))

    def dial_life_s(self) -> float:
        """How long a dial that nobody accepts is waited for."""
        self.search.start_dial(self.now)
        assert self.search.dial is not None
        assert self.search.dial.deadline is not None
        return self.search.dial.deadline - self.now


def of(got: list[tuple[float, Command]], kind: type[Command]) -> list[Command]:
    return [command for _, command in got if isinstance(command, kind)]


def test_generations_are_never_used_twice() -> None:
    """Each dial has a number of its own, and the one before is aborted first."""
    bench = Bench()
    for gen in range(1, 20):
        bench.search.start_dial(bench.now)
        got = bench.take()
        assert got[-1] == Dial(gen)
        assert got[:-1] == ([Abort(gen - 1)] if gen > 1 else [])
    assert bench.search.attempt == 19


def test_scouts_go_out_beside_a_dial_nobody_accepts() -> None:
    """Fresh SYNs do not wait for the old one to time out (law 10); nothing is dialled on a hunch."""
    bench = Bench()
    bench.search.start_dial(0.0)
    got = bench.run(20)
    assert of(got, Dial) == [Dial(1)]
    assert len(of(got, Scout)) >= 20 / 0.1
    assert of(got, Abort) == [Abort(1)]


def test_no_scouts_once_somebody_accepted() -> None:
    """They are called off and none goes out while the handshake has its time."""
    bench = Bench()
    bench.search.start_dial(0.0)
    assert bench.search.dial is not None
    bench.take()
    bench.search.accepted(bench.search.dial, 0.001)
    assert bench.take() == [CallOffScouts()]
    assert not of(bench.run(1.9), Scout)


@pytest.mark.parametrize("cause", [Cause.PROTOCOL, Cause.NO_HANDSHAKE, Cause.FROZEN, Cause.LOCAL, Cause.NAME])
def test_where_a_scout_would_learn_nothing_a_dial_is_the_next_try(cause: Cause) -> None:
    """Somebody accepts and it comes to nothing, or there is no address to scout."""
    bench = Bench()
    bench.search.start_dial(0.0)
    bench.search.fail_dial(cause)
    bench.search.set_next_try(0.0)
    bench.take()
    got = bench.run(0.2)
    assert got
    assert isinstance(got[0][1], Dial)


def test_facts_of_a_dial_count_once() -> None:
    """A repeated accept or handshake neither extends the time nor asks twice (law 3)."""
    bench = Bench()
    bench.search.start_dial(0.0)
    dial = bench.search.dial
    assert dial is not None
    bench.take()
    bench.search.accepted(dial, 0.1)
    deadline = dial.deadline
    bench.search.accepted(dial, 1.0)
    assert dial.deadline == deadline
    bench.search.handshaken(dial, 1.1)
    bench.search.handshaken(dial, 1.2)
    bench.search.accepted(dial, 1.3)
    assert bench.take() == [CallOffScouts(), Ping(1)]
    assert dial.phase is Phase.PINGING
    assert bench.search.overdue(1e6) is None


# -- a scout gets through ----------------------------------------------------------------


@given(rtt_s=st.floats(0.0005, 1.5), seed=st.integers(0, 50))
def test_a_dial_on_its_way_is_not_restarted_by_later_scouts(rtt_s: float, seed: int) -> None:
    """Every scout gets through, more often than a round trip takes, and still a dial lives for one."""
    bench = Bench()
    bench.search = Search(Random(seed), POLICY, bench.out)
    bench.search.set_next_try(0.0)
    arrivals = [at + rtt_s for at, command in bench.run(3) if isinstance(command, Scout)]
    started: float | None = None
    for at in arrivals:
        if started is not None and at - started >= rtt_s:
            return
        bench.search.scouted_open(rtt_s, at)
        if any(isinstance(command, Dial) for command in bench.take()):
            started = at
    pytest.fail("no dial lived for a round trip")


def test_a_dial_from_before_the_path_came_back_is_replaced() -> None:
    """Its SYN is lost; the kernel would repeat it only after a second."""
    bench = Bench()
    bench.search.start_dial(0.0)
    bench.search.scouted_open(0.001, 0.5)
    assert bench.take() == [Dial(1), Abort(1), Dial(2)]


def test_what_others_proved_is_looked_at_once() -> None:
    """A dial starts where none is under way; one that may be half-way is left alone."""
    bench = Bench()
    bench.search.set_next_try(0.0)
    bench.search.path_proven(0.0)
    assert bench.take() == [Dial(1)]
    bench.search.path_proven(0.001)
    assert not [command for command in bench.take() if isinstance(command, Abort | Dial)]


def test_a_wave_of_proofs_is_no_storm() -> None:
    """A thousand images answer within a second: that costs the others a few scouts each, no more."""
    bench = Bench()
    bench.search.start_dial(0.0)
    for n in range(1_000):
        bench.search.path_proven(n / 1_000)
    scouts = [command for command in bench.take() if isinstance(command, Scout)]
    assert len(scouts) <= 150


def news(bench: Bench) -> None:
    """The network changed."""
    bench.search.begin_anew(bench.now)


def proof_before_a_dial(bench: Bench) -> None:
    """Another image answered, and nothing is under way here."""
    bench.search.dial = None
    bench.search.path_proven(bench.now)


def proof_during_a_dial(bench: Bench) -> None:
    """Another image answered, while a dial is out."""
    bench.search.start_dial(bench.now)
    bench.search.path_proven(bench.now)


@pytest.mark.parametrize("told", [news, proof_before_a_dial, proof_during_a_dial])
def test_what_tells_of_a_change_resets_the_backoff(told: Callable[[Bench], None]) -> None:
    """A minute into an outage tries are seconds apart; then it is news, and they are dense again."""
    bench = Bench()
    bench.search.set_next_try(bench.now)
    bench.run(90.0)

    def gaps_s() -> list[float]:
        found = []
        for _ in range(3):
            bench.search.set_next_try(bench.now)
            assert bench.search.next_try_at is not None
            found.append(bench.search.next_try_at - bench.now)
        return found

    assert max(gaps_s()) > 0.4
    told(bench)
    assert max(gaps_s()) <= FIRST_GAP_S * 8, "10, 20, 40 ms; a scout has taken a step before"


# -- patience --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rtt_s", "patience_s"), [(None, 1.0), (0.001, 0.5), (0.2, 0.8), (0.5, 2.0), (30.0, 4.0)]
)
def test_patience_is_four_round_trips(rtt_s: float | None, patience_s: float) -> None:
    """A slow path is not cut off, a fast one not waited for, and nobody waits for ever."""
    bench = Bench()
    bench.search.rtt_s = rtt_s
    assert bench.dial_life_s() == pytest.approx(patience_s)


def test_patience_grows_with_every_timeout_and_is_forgotten_with_the_path() -> None:
    """A path slower than expected is reached in the end; an answer or another path begins anew."""
    bench = Bench()
    bench.search.rtt_s = 0.001
    lives = []
    for _ in range(5):
        lives.append(bench.dial_life_s())
        bench.search.fail_dial(Cause.NO_ANSWER, timed_out=True)
    assert lives == pytest.approx([0.5, 1.0, 2.0, 4.0, 4.0])
    bench.search.fail_dial(Cause.REFUSED)
    bench.search.forget_failures()
    assert bench.dial_life_s() == pytest.approx(0.5)
    bench.search.fail_dial(Cause.NO_ANSWER, timed_out=True)
    bench.search.forget_path()
    assert bench.dial_life_s() == pytest.approx(1.0)  # the old path's round trip says nothing


def test_a_silent_peer_costs_its_time_and_is_named() -> None:
    """Accepted and never greeted: two seconds at first, then the cause that says so."""
    bench = Bench()
    bench.search.start_dial(0.0)
    assert bench.search.dial is not None
    bench.search.accepted(bench.search.dial, 0.5)
    assert bench.search.overdue(2.49) is None
    assert bench.search.overdue(2.5) is Cause.NO_HANDSHAKE


def test_a_scout_lives_as_long_as_a_dial_would() -> None:
    """Otherwise a path that only patient dials reach is never scouted open."""
    bench = Bench()
    for _ in range(4):
        bench.search.start_dial(0.0)
        bench.search.fail_dial(Cause.NO_ANSWER, timed_out=True)
    bench.take()
    bench.search.scout(0.0)
    assert bench.take() == [Scout(timeout_s=4.0)]


# -- the last step of the ladder ---------------------------------------------------------


def open_then_closed(bench: Bench) -> None:
    bench.search.start_dial(bench.now)
    assert bench.search.dial is not None
    bench.search.accepted(bench.search.dial, bench.now)
    bench.search.fail_dial(Cause.CLOSED)


def open_then_mute(bench: Bench) -> None:
    bench.search.start_dial(bench.now)
    assert bench.search.dial is not None
    bench.search.accepted(bench.search.dial, bench.now)
    bench.search.fail_dial(Cause.NO_HANDSHAKE, timed_out=True)


def scouted_then_never_accepted(bench: Bench) -> None:
    bench.now += 0.5
    bench.search.scouted_open(0.001, bench.now)
    bench.now += 0.1


@pytest.mark.parametrize("fail", [open_then_closed, open_then_mute, scouted_then_never_accepted])
def test_four_failures_at_an_open_port_replace_the_context(fail: Callable[[Bench], None]) -> None:
    """New sockets do not help, so the next dial gets a new context, and the counting begins anew."""
    bench = Bench()
    for _ in range(10):
        fail(bench)
    dials = [command for command in bench.take() if isinstance(command, Dial)]
    assert [dial.gen for dial in dials if dial.fresh_context] == [5, 9]


def test_dials_nobody_accepts_leave_the_context_alone() -> None:
    """Where nothing answers the context is not to blame, and an answer clears what was counted."""
    bench = Bench()
    for _ in range(20):
        bench.search.start_dial(0.0)
        bench.search.fail_dial(Cause.NO_ANSWER, timed_out=True)
    for _ in range(3):
        open_then_closed(bench)
    bench.search.forget_failures()
    for _ in range(4):
        open_then_closed(bench)
    assert not any(command.fresh_context for command in bench.take() if isinstance(command, Dial))


def test_stopping_leaves_nothing_behind() -> None:
    """The dial is aborted, the scouts are called off, no timer is left."""
    bench = Bench()
    bench.search.start_dial(0.0)
    bench.take()
    bench.search.stop()
    assert bench.take() == [Abort(1), CallOffScouts()]
    assert bench.run(100) == []
    bench.search.stop()
    assert bench.take() == []
