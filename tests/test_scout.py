"""Scouts: what a bare connect finds, and that none of them is left behind."""

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable

import pytest

from machines.events import Scouted, Scouting
from resilience.demo.relay import DROP, Relay
from resilience.scout import MAX_SCOUTS, Scouts

GENEROUS_S = 5.0
LOOPBACK = "127.0.0.1"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="discarded SYNs need Linux's accept queue")


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a count, not paths


class Lookout:
    """Scouts, and what they told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Scouted]] = []
        self.scouts = Scouts(
            asyncio.get_running_loop(), lambda address, found: self.told.append((address, found))
        )

    async def until_told(self, count: int) -> list[Scouting]:
        async with asyncio.timeout(GENEROUS_S):
            while len(self.told) < count:  # noqa: ASYNC110 - told by callbacks
                await asyncio.sleep(0.001)
        return [found.found for _, found in self.told]


def look(body: Callable[[Lookout], Awaitable[None]]) -> None:
    """Run a coroutine with scouts; afterwards as many descriptors are open as before."""

    async def main() -> None:
        before = descriptors()
        lookout = Lookout()
        await body(lookout)
        lookout.scouts.call_off()
        assert descriptors() == before

    asyncio.run(main())


def free_port() -> int:
    """A port that refuses: bound a moment ago, by nobody now."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


async def silent_relay() -> Relay:
    """A port whose kernel discards SYNs."""
    relay = Relay("tcp://127.0.0.1:1")
    await relay.start()
    relay.set(DROP)
    return relay


def port_of(relay: Relay) -> int:
    return int(relay.endpoint.rpartition(":")[2])


def test_an_open_port_is_found_and_left_at_once() -> None:
    """With the time it took; the connection is closed, nothing is said on it."""

    async def body(lookout: Lookout) -> None:
        with socket.create_server((LOOPBACK, 0)) as listener:
            lookout.scouts.send(LOOPBACK, listener.getsockname()[1], 1.0)
            assert await lookout.until_told(1) == [Scouting.OPEN]
            address, found = lookout.told[0]
            assert address == LOOPBACK
            assert 0 <= found.took_s < GENEROUS_S
            listener.settimeout(GENEROUS_S)
            with listener.accept()[0] as connection:
                connection.settimeout(GENEROUS_S)
                assert connection.recv(1) == b""

    look(body)


def test_a_port_nobody_listens_on_is_refused() -> None:
    """The host is there, the image is not."""

    async def body(lookout: Lookout) -> None:
        lookout.scouts.send(LOOPBACK, free_port(), 1.0)
        assert await lookout.until_told(1) == [Scouting.REFUSED]

    look(body)


@pytest.mark.parametrize("address", ["224.0.0.1", "fe80::1%no-such-nic"])
def test_where_no_route_leads_is_told_as_that(address: str) -> None:
    """Also where the operating system does not even understand the address: an interface that is gone."""

    async def body(lookout: Lookout) -> None:
        lookout.scouts.send(address, 5555, 1.0)
        assert await lookout.until_told(1) == [Scouting.NO_ROUTE]

    look(body)


@linux_only
def test_silence_is_told_when_the_patience_is_over() -> None:
    """A dropped SYN says nothing; the scout is given up and closed."""

    async def body(lookout: Lookout) -> None:
        relay = await silent_relay()
        lookout.scouts.send(LOOPBACK, port_of(relay), 0.05)
        assert await lookout.until_told(1) == [Scouting.SILENT]
        await relay.stop()

    look(body)


@linux_only
def test_the_oldest_scout_gives_way_at_the_limit() -> None:
    """However many are sent, so many are out."""

    async def body(lookout: Lookout) -> None:
        relay = await silent_relay()
        before = descriptors()
        for _ in range(3 * MAX_SCOUTS):
            lookout.scouts.send(LOOPBACK, port_of(relay), 60.0)
        assert descriptors() - before == MAX_SCOUTS
        lookout.scouts.call_off()
        assert descriptors() == before
        await relay.stop()

    look(body)


@linux_only
def test_scouts_that_were_called_off_tell_nothing() -> None:
    """Neither what they would have found nor that they gave up."""

    async def body(lookout: Lookout) -> None:
        relay = await silent_relay()
        for _ in range(5):
            lookout.scouts.send(LOOPBACK, port_of(relay), 0.02)
        lookout.scouts.call_off()
        lookout.scouts.send(LOOPBACK, port_of(relay), 0.1)
        assert await lookout.until_told(1) == [Scouting.SILENT]
        await relay.stop()

    look(body)


def test_without_descriptors_no_scout_is_sent_and_nothing_breaks() -> None:
    """The dial says in words what is missing."""

    async def body(lookout: Lookout) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.create_server((LOOPBACK, 0)) as listener:
            resource.setrlimit(resource.RLIMIT_NOFILE, (listener.fileno() + 1, hard))
            try:
                fillers = []
                while True:
                    try:
                        fillers.append(os.dup(listener.fileno()))
                    except OSError:
                        break
                lookout.scouts.send(LOOPBACK, listener.getsockname()[1], 1.0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for filler in fillers:
                    os.close(filler)
            lookout.scouts.send(LOOPBACK, listener.getsockname()[1], 1.0)
            assert await lookout.until_told(1) == [Scouting.OPEN]

    look(body)
