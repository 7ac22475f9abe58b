"""The monitor on an event loop: what it tells and when, and that nothing stops it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from resilience.network import monitor as monitor_module
from resilience.network.clocks import SleepClock, sleep_clock
from resilience.network.messages import InterruptedDumpError, NetlinkError
from resilience.network.monitor import Mode, NetworkMonitor
from resilience.network.poll import PollError
from resilience.network.snapshot import Delta, Interface, Route, Snapshot
from resilience.network.subscription import BURST_HOLD_S, HOLD_S, LONG_BURST, MAX_INTERRUPTED, Subscription

SOON_S = 5.0
LO = Interface(1, "lo", up=True, carrier=True, addresses=("127.0.0.1",))
WLAN = Interface(2, "wlan0", up=True, carrier=True, addresses=("10.0.0.5",))
HOME = Snapshot((LO, WLAN), (Route("0.0.0.0/0", "10.0.0.1", "wlan0"),))
AWAY = Snapshot((LO, replace(WLAN, carrier=False)), HOME.routes)


class World:
    """A network that tests arrange, behind the two sockets of netlink and behind polling."""

    def __init__(self) -> None:
        self.now = HOME
        self.announced, self._announcing = socket.socketpair()
        self.refusal: Exception | None = None
        self.spoilt: list[Exception] = []
        self.read_at: list[float] = []

    def announce(self) -> None:
        self._announcing.send(b"!")

    def close(self) -> None:
        self.announced.close()
        self._announcing.close()

    # The seam of the monitor.

    def sleep_clock(self) -> SleepClock:
        return sleep_clock()

    def announcements(self) -> Announcements:
        return Announcements(self)

    def readings(self) -> Readings:
        return Readings(self)

    def poll(self) -> Snapshot:
        return self.now

    def poll_sources(self) -> Snapshot:
        return self.now


class Announcements:
    def __init__(self, world: World) -> None:
        if world.refusal is not None:
            raise world.refusal
        self._socket = world.announced.dup()
        self._socket.settimeout(0)

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self._socket.recv(4096)
        return False

    def close(self) -> None:
        self._socket.close()


class Readings:
    def __init__(self, world: World) -> None:
        self._world = world

    def read_all(self) -> Snapshot:
        self._world.read_at.append(time.monotonic())
        if self._world.spoilt:
            raise self._world.spoilt.pop()
        return self._world.now

    def read_interfaces(self) -> tuple[Interface, ...]:
        return self._world.now.interfaces

    def close(self) -> None:
        pass


class Diary:
    """A monitor and what it told, in order."""

    def __init__(self, world: World) -> None:
        self.told: list[tuple[str, Any]] = []
        self.seen: list[Snapshot] = []
        self.monitor = NetworkMonitor(self._changed, self._note("slept"), self._note("stalled"), world)

    def _changed(self, snapshot: Snapshot, delta: Delta) -> None:
        assert snapshot is self.monitor.snapshot
        self.seen.append(snapshot)
        self.told.append(("changed", delta.describe()))

    def _note(self, what: str) -> Callable[[float], None]:
        return lambda seconds: self.told.append((what, seconds))


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_S):
        while not happened():  # noqa: ASYNC110 - the condition is ours, not an event's
            await asyncio.sleep(0.002)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def run(story: Callable[[Diary], Any], world: World) -> Diary:
    async def told() -> Diary:
        diary = Diary(world)
        diary.monitor.start(asyncio.get_running_loop())
        try:
            await story(diary)
        finally:
            diary.monitor.stop()
        return diary

    return asyncio.run(told())


def test_the_first_snapshot_is_there_at_once_and_is_no_change(world: World) -> None:
    """`start` returns knowing the network; only what differs from then on is told."""

    async def story(diary: Diary) -> None:
        assert diary.monitor.snapshot is HOME
        assert str(diary.monitor.mode) == "rtnetlink"
        assert diary.monitor.trouble is None
        world.announce()
        await until(lambda: len(world.read_at) > 1)

    assert run(story, world).told == []


def test_the_first_message_is_acted_on_at_once_and_the_rest_together(world: World) -> None:
    """A burst of a hundred costs two readings, the second no sooner than 10 ms later, of the last state."""

    async def story(diary: Diary) -> None:
        world.now = AWAY
        world.announce()
        await until(lambda: len(world.read_at) == 2)
        assert diary.seen == [AWAY]
        for _ in range(100):
            world.announce()
        world.now = HOME
        await until(lambda: len(diary.seen) == 2)
        await asyncio.sleep(0.1)

    diary = run(story, world)
    assert diary.told == [("changed", "wlan0 lost its carrier"), ("changed", "wlan0 has a carrier")]
    assert len(world.read_at) == 3
    assert world.read_at[2] - world.read_at[1] >= HOLD_S * 0.9


def test_a_long_burst_is_read_fifty_times_a_second(world: World) -> None:
    """However many messages: the loop stays free, and the last change is seen."""

    async def story(diary: Diary) -> None:
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            world.announce()
            await asyncio.sleep(0.001)
        world.now = AWAY
        world.announce()
        await until(lambda: diary.seen)
        assert len(world.read_at) <= 2 + LONG_BURST + (time.monotonic() - began) / BURST_HOLD_S

    assert run(story, world).seen == [AWAY]
    assert len(world.read_at) > LONG_BURST


def test_a_reading_spoilt_by_changes_is_repeated_without_being_asked(world: World) -> None:
    """Nothing half-read is published, and no further message is needed to read again."""

    async def story(diary: Diary) -> None:
        world.now = AWAY
        world.spoilt = [InterruptedDumpError("reading", "changed") for _ in range(3)]
        world.announce()
        await until(lambda: diary.seen)
        assert diary.monitor.mode is Mode.RTNETLINK

    assert run(story, world).seen == [AWAY]


def test_readings_spoilt_for_ever_give_way_to_polling(world: World) -> None:
    """After about a second of trying."""

    async def story(diary: Diary) -> None:
        world.spoilt = [InterruptedDumpError("reading", "it changed") for _ in range(MAX_INTERRUPTED + 1)]
        world.announce()
        await until(lambda: diary.monitor.mode is Mode.POLL)
        assert "it changed" in (diary.monitor.trouble or "")

    run(story, world)


@pytest.mark.parametrize(
    "error", [NetlinkError("asking", "no buffer"), RuntimeError("a bug of ours"), OSError("gone")]
)
def test_a_failed_reading_leads_to_polling_and_back(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The change is seen all the same, the reason is told, and netlink is tried again later."""
    monkeypatch.setattr(monitor_module, "CROSS_CHECK_S", 0.1)

    async def story(diary: Diary) -> None:
        world.now = AWAY
        world.spoilt = [error]
        world.announce()
        await until(lambda: diary.monitor.mode is Mode.POLL)
        assert diary.seen == [AWAY]  # with the failure, not at the next tick
        assert str(error) in (diary.monitor.trouble or "")
        await until(lambda: diary.monitor.mode is Mode.RTNETLINK)
        assert diary.monitor.trouble is None
        world.now = HOME
        world.announce()
        await until(lambda: len(diary.seen) == 2)

    assert run(story, world).seen == [AWAY, HOME]


@pytest.mark.parametrize(
    "refusal", [NetlinkError("opening a socket", "not permitted"), NotImplementedError("this loop")]
)
def test_where_netlink_is_refused_the_network_is_polled(world: World, refusal: Exception) -> None:
    """A container's policy, or a loop that cannot wait for descriptors: `mode` and `trouble` say so."""
    world.refusal = refusal

    async def story(diary: Diary) -> None:
        assert diary.monitor.snapshot is HOME
        assert str(diary.monitor.mode) == "poll"
        assert str(refusal) in (diary.monitor.trouble or "")
        world.now = AWAY
        await until(lambda: diary.seen)

    assert run(story, world).told == [("changed", "wlan0 lost its carrier")]


def test_without_netifaces_the_addresses_that_connections_start_from_are_watched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort is no blindness: losing the address is seen, and both reasons are told."""
    world.refusal = NetlinkError("opening a socket", "not permitted")
    sources = [HOME]

    def refuse() -> Snapshot:
        raise PollError("no module")

    monkeypatch.setattr(world, "poll", refuse)
    monkeypatch.setattr(world, "poll_sources", lambda: sources[-1])

    async def story(diary: Diary) -> None:
        trouble = diary.monitor.trouble or ""
        assert "not permitted" in trouble
        assert "no module" in trouble
        sources.append(Snapshot((LO,)))
        await until(lambda: diary.seen)

    assert run(story, world).seen == [Snapshot((LO,))]


def test_what_was_never_announced_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carriers are looked at every tick, addresses compared with another source every few seconds."""
    monkeypatch.setattr(monitor_module, "CROSS_CHECK_S", 0.3)
    moved = Snapshot((LO, replace(WLAN, addresses=("10.0.0.9",))), HOME.routes)

    async def story(diary: Diary) -> None:
        world.now = AWAY
        await until(lambda: len(diary.seen) == 1)
        world.now = HOME
        await until(lambda: len(diary.seen) == 2)
        world.now = moved
        await until(lambda: len(diary.seen) == 3)

    assert run(story, world).seen == [AWAY, HOME, moved]


def test_an_interface_that_is_opened_is_used_at_once(world: World) -> None:
    """The kernel confirms the carrier later, and that is no second change."""
    world.now = Snapshot((LO, replace(WLAN, up=False, carrier=False)), HOME.routes)

    async def story(diary: Diary) -> None:
        world.now = Snapshot((LO, replace(WLAN, carrier=False, lower_up=True)), HOME.routes)
        world.announce()
        await until(lambda: diary.seen)
        assert diary.monitor.snapshot.path_to("8.8.8.8") is not None
        world.now = HOME
        world.announce()
        readings = len(world.read_at)
        await until(lambda: len(world.read_at) > readings)

    assert run(story, world).told == [("changed", "wlan0 has a carrier")]


@pytest.mark.parametrize("announced", [True, False])
def test_sleep_is_told_once_and_before_what_waking_brought(world: World, *, announced: bool) -> None:
    """Whether the network or the tick notices first."""
    offset_s = 0.0

    async def story(diary: Diary) -> None:
        nonlocal offset_s
        diary.monitor._clock = SleepClock("test", lambda: offset_s)
        diary.monitor._sleeps.observe(time.monotonic(), 0.0)
        offset_s, world.now = 42.0, AWAY
        if announced:
            world.announce()
        await until(lambda: diary.seen)
        await asyncio.sleep(0.3)

    told = [one for one in run(story, world).told if one[0] != "stalled"]
    assert told == [("slept", 42.0), ("changed", "wlan0 lost its carrier")]


def test_sleep_that_changed_nothing_is_told_too(world: World) -> None:
    """A laptop opened where it was closed has slept all the same."""

    async def story(diary: Diary) -> None:
        diary.monitor._clock = SleepClock("test", lambda: 42.0)
        diary.monitor._sleeps.observe(time.monotonic(), 0.0)
        await until(lambda: diary.told)

    assert ("slept", 42.0) in run(story, world).told
    assert world.now is HOME


def test_a_stall_of_our_own_is_told(world: World) -> None:
    """A callback that blocks the loop is nobody else's fault."""
    assert world.now is HOME

    async def story(diary: Diary) -> None:
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - blocking the loop is the point
        await until(lambda: diary.told)

    told = run(story, world).told
    assert [what for what, _ in told] == ["stalled"]
    assert 0.3 <= told[0][1] < SOON_S


def test_a_host_that_raises_is_told_on_its_own_loop_and_the_watch_goes_on(world: World) -> None:
    """A broken callback costs one notice, never the monitor."""
    complaints: list[dict[str, Any]] = []

    async def story(diary: Diary) -> None:
        def clumsy(*_: object) -> None:
            diary.monitor._on_change = diary._changed
            raise ZeroDivisionError

        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        diary.monitor._on_change = clumsy
        world.now = AWAY
        world.announce()
        await until(lambda: complaints)
        assert diary.monitor.mode is Mode.RTNETLINK
        world.now = HOME
        world.announce()
        await until(lambda: diary.seen)

    assert run(story, world).seen == [HOME]
    assert [type(one["exception"]) for one in complaints] == [ZeroDivisionError]


def test_stopped_is_silent(world: World) -> None:
    """From inside a callback too; and a stopped monitor can be started again, a running one cannot."""

    async def story(diary: Diary) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="already"):
            diary.monitor.start(loop)

        def stop(*_: object) -> None:
            diary.told.append(("stopped", None))
            diary.monitor.stop()

        diary.monitor._on_change = stop
        world.now = AWAY
        world.announce()
        await until(lambda: diary.told)
        world.now = HOME
        world.announce()
        await asyncio.sleep(0.4)
        assert diary.told == [("stopped", None)]
        diary.monitor._on_change = diary._changed
        diary.monitor.start(loop)
        assert diary.monitor.snapshot is HOME
        world.now = AWAY
        world.announce()
        await until(lambda: diary.seen)

    run(story, world)


def test_asked_twice_it_reads_now_and_once_more_later(world: World) -> None:
    """The tick may ask in the middle of a hold: not at once again, and not never."""

    async def story() -> None:
        read: list[Snapshot] = []
        failed: list[Exception] = []
        watching = Subscription(asyncio.get_running_loop(), world, read.append, failed.append)
        for _ in range(5):
            watching.read_again()
        assert len(read) == 1
        await until(lambda: len(read) == 2)
        assert world.read_at[-1] - world.read_at[-2] >= HOLD_S * 0.9
        watching.close()
        assert failed == []

    asyncio.run(story())


def test_a_closed_subscription_leaves_nothing_behind(world: World) -> None:
    """No reader, no timer, no descriptor: in a hold, out of it, and twice."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        read: list[Snapshot] = []
        failed: list[Exception] = []
        watching = Subscription(loop, world, read.append, failed.append)
        watching.close()
        watching.close()
        watching = Subscription(loop, world, read.append, failed.append)
        watching.read_again()
        assert len(read) == 1
        watching.close()
        world.announce()
        await asyncio.sleep(0.05)
        assert len(read) == 1
        assert failed == []
        assert watching._events.fileno() == -1

    complaints: list[dict[str, Any]] = []
    asyncio.run(story())
    assert complaints == []
