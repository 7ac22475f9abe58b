"""Interfaces and addresses: which change concerns which image."""

from __future__ import annotations

import pytest

from core_bench import ADDRESS, CABLE, WIFI, Bench, FakeWorld
from machines import Reason, State
from machines.events import AddressGone, Stalled, Vitals, Woke
from resilience.errors import OutcomeUnknown


def test_without_a_path_nothing_is_dialled_until_there_is_one() -> None:
    """The user sees that it waits for a network, and the first event dials at once."""
    bench = Bench(world=FakeWorld(usual_path=None))
    bench.core.start()
    assert bench.reason is Reason.WAITING
    assert not bench.world.dialled
    bench.world.usual_path = WIFI
    bench.core.look_at_path()
    assert bench.world.dialled == [(1, ADDRESS)]
    bench.shake()
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED


def test_a_network_event_that_leaves_the_path_alone_leaves_the_image_alone() -> None:
    """Law 8: docker, a VPN, another card."""
    bench = Bench()
    bench.connect()
    before = (len(bench.world.dialled), len(bench.world.sent), len(bench.world.journal))
    bench.core.look_at_path()
    assert (len(bench.world.dialled), len(bench.world.sent), len(bench.world.journal)) == before


def test_a_changed_path_is_hedged() -> None:
    """Law 8: the old link is probed, a new one is dialled beside it, and the one in use is kept meanwhile."""
    bench = Bench()
    gen = bench.connect()
    bench.world.usual_path = CABLE
    bench.core.look_at_path()
    assert bench.core.path == CABLE
    assert gen in bench.world.links
    assert bench.world.dialled[-1] == (gen + 1, ADDRESS)
    assert bench.last_sent().gen == gen
    bench.shake(gen + 1)
    bench.reply(bench.last_sent())
    assert list(bench.world.links) == [gen + 1]
    assert bench.state is State.CONNECTED


def test_a_lost_path_is_told_with_the_interface() -> None:
    """Reconnecting, waiting for network, and which interface it was."""
    bench = Bench()
    bench.connect()
    bench.world.usual_path = None
    bench.core.look_at_path()
    bench.sync()
    change = bench.changes[-1]
    assert (change.target, change.reason) == (State.RECONNECTING, Reason.WAITING)
    assert "wlan0" in change.detail


def test_a_link_whose_own_address_is_gone_is_replaced_at_once() -> None:
    """Law 8: there is nothing to probe."""
    bench = Bench()
    gen = bench.connect()
    evaluation = bench.evaluate()
    bench.core.feed(AddressGone(gen, "10.0.0.7 is gone"))
    assert gen not in bench.world.links
    assert bench.world.dialled[-1][0] == gen + 1
    assert isinstance(evaluation.outcome, OutcomeUnknown)


def test_after_waking_the_link_is_probed_before_anything_is_redialled() -> None:
    """Law 6."""
    bench = Bench()
    gen = bench.connect()
    bench.core.feed(Woke(3600.0))
    assert bench.last_sent().gen == gen
    assert len(bench.world.dialled) == 1
    bench.reply(bench.last_sent())
    assert bench.state is State.CONNECTED
    bench.advance(5.0)
    assert len(bench.world.dialled) == 1


@pytest.mark.parametrize("noticed", [True, False])
def test_a_stall_of_our_own_is_not_held_against_the_network(*, noticed: bool) -> None:
    """Law 6: excused, also where our own timer comes before whoever notices stalls."""
    bench = Bench()
    gen = bench.connect()
    bench.world.time += 4.0
    bench.world.seen = Vitals(gen, quiet_s=4.0, data_quiet_s=4.0)
    if noticed:
        bench.core.feed(Stalled(4.0))
    bench.core.wake()
    assert bench.state is State.CONNECTED


def test_the_same_quiet_without_a_stall_is_the_networks() -> None:
    """Every timer came when it was due."""
    bench = Bench()
    gen = bench.connect()
    bench.world.seen = Vitals(gen, quiet_s=4.0, data_quiet_s=4.0)
    bench.advance(4.0)
    assert bench.stands(State.RECONNECTING)
