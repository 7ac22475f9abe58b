"""Host names: looked up in time, tried in turn, and kept while they serve."""

from __future__ import annotations

import pytest

from core_bench import ADDRESS, WIFI, Bench, FakeWorld
from machines import Reason, State
from machines.events import Ask, Scouted, Scouting
from machines.reasons import Cause
from resilience.limits import RESOLVE_FRESH_S

NAMED = "tcp://image.example:5555"


def test_a_name_is_looked_up_before_it_is_dialled() -> None:
    """Once, and then its address is dialled."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    assert (bench.world.lookups, bench.world.dialled) == (1, [])
    bench.core.resolved([ADDRESS])
    assert bench.world.dialled == [(1, ADDRESS)]
    assert bench.core.path == WIFI
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED


def test_a_name_nobody_knows_is_said_and_asked_again() -> None:
    """The reason names it; the next try is a lookup, and success ends the matter."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved([], "image.example: Name or service not known")
    assert (bench.state, bench.reason) == (State.RECONNECTING, Reason.NAME)
    assert "not known" in bench.core.connection.detail
    bench.advance(0.5)
    assert bench.world.lookups == 2
    bench.core.resolved([ADDRESS])
    assert bench.world.dialled[-1][1] == ADDRESS


def test_a_name_that_is_slow_to_fail_is_said_and_asked_again() -> None:
    """Resolvers without a network take seconds; the reason is the name, never an address nobody has."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    for lookups in range(1, 4):
        assert bench.world.lookups == lookups
        bench.advance(5.0)
        assert bench.reason in (Reason.FIRST_DIAL, Reason.NAME)
        bench.core.resolved([], "no answer about image.example within 5 s")
        assert (bench.state, bench.reason) == (State.RECONNECTING, Reason.NAME)
        bench.advance(10.0)
    bench.core.resolved([ADDRESS])
    bench.advance(1.0)
    assert ADDRESS in [dialled for _, dialled in bench.world.dialled] + bench.world.scouted


def test_a_name_that_moves_is_followed() -> None:
    """The image comes back at another address after a while; nothing else tells of it."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved([ADDRESS])
    gen = bench.shake()
    bench.reply(bench.last_sent())
    bench.advance(60.0)
    bench.core.link_down(gen, Cause.CLOSED)
    before = bench.world.lookups
    bench.core.resolved([ADDRESS])
    bench.advance(30.0)
    assert bench.world.lookups > before
    bench.core.resolved(["10.0.0.3"])
    bench.advance(10.0)
    assert bench.world.scouted[-1] == "10.0.0.3"


def test_only_one_lookup_is_under_way() -> None:
    """A name server that hangs gets one question, however often we would dial."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.advance(30.0)
    bench.core.ask(Ask.RETRY)
    assert bench.world.lookups == 1


def test_a_known_address_is_dialled_while_the_name_is_looked_up_again() -> None:
    """A slow name server delays nothing, and a new address is taken up at the next dial."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved([ADDRESS])
    gen = bench.shake()
    bench.reply(bench.last_sent())
    bench.world.time += RESOLVE_FRESH_S + 1
    bench.core.link_down(gen, Cause.CLOSED)
    assert bench.world.lookups == 2
    assert bench.world.dialled[-1] == (gen + 1, ADDRESS)
    bench.core.resolved(["10.0.0.3"])
    bench.core.link_down(gen + 1, Cause.NO_ANSWER)
    bench.core.ask(Ask.RETRY)
    assert bench.world.dialled[-1][1] == "10.0.0.3"


def only_reachable(bench: Bench, address: str, why: Scouting) -> None:
    """For half a minute every try at any other address comes to nothing, as the kernel would tell it."""
    cause = Cause.REFUSED if why is Scouting.REFUSED else Cause.NO_ANSWER
    handled = scouted = 0
    until = bench.world.time + 30.0
    while bench.world.time < until and bench.state is not State.CONNECTED:
        for gen, dialled in bench.world.dialled[handled:]:
            handled += 1
            if dialled == address:
                bench.shake(gen)
                bench.reply(bench.last_sent())
            elif why is Scouting.REFUSED:
                bench.world.links.pop(gen, None)
                bench.core.link_down(gen, cause)
        for dialled in bench.world.scouted[scouted:]:
            scouted += 1
            bench.core.scouted(dialled, Scouted(Scouting.OPEN if dialled == address else why, 0.01))
        bench.advance(0.05)


@pytest.mark.parametrize("why", [Scouting.REFUSED, Scouting.SILENT])
def test_every_address_of_a_name_is_tried(why: Scouting) -> None:
    """The image listens on one of two; which one the name server says first must not matter."""
    bench = Bench(endpoint=NAMED)
    bench.core.start()
    bench.core.resolved(["2001:db8::2", ADDRESS])
    only_reachable(bench, ADDRESS, why)
    assert bench.state is State.CONNECTED


def test_an_address_without_a_path_does_not_hide_the_other() -> None:
    """IPv6 first in the answer, and no IPv6 here."""
    bench = Bench(endpoint=NAMED, world=FakeWorld(paths={"2001:db8::2": None}))
    bench.core.start()
    bench.core.resolved(["2001:db8::2", ADDRESS])
    only_reachable(bench, ADDRESS, Scouting.NO_ROUTE)
    assert bench.state is State.CONNECTED
    assert bench.core.path == WIFI
