"""One link over real sockets: what it reports, that it ends once, and that an abort delivers nothing."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from machines import Cause
from machines.events import Accepted, Event, Handshaken
from resilience.demo.relay import DROP, PASS, Relay
from resilience.limits import MAX_MESSAGE_BYTES, TRANSPORT_SLACK_BYTES
from resilience.link import ZmqLink
from resilience.seams import LinkCallbacks
from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, ImageServer, running
from resilience.wire import Dialect, Kind, Request, encode
from simulations.hostile import Kind as Hostile
from simulations.hostile import peer

GENEROUS_S = 5.0
SETTLE_S = 0.2
"""For bytes, or the reset, to reach the relay: libzmq writes and closes in a thread of its own."""
PATH_BACK_S = 0.4
"""For a ghost to be delivered in: the relay hands over what it holds as soon as the path is back."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a connection's segments")


class Watcher:
    """Makes links and remembers what they report."""

    def __init__(self) -> None:
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.events: list[Event] = []
        self.ends: list[tuple[int, Cause]] = []
        self.messages: list[list[bytes]] = []
        self.links: list[ZmqLink] = []

    def dial(self, endpoint: str) -> ZmqLink:
        callbacks = LinkCallbacks(
            self.events.append,
            lambda gen, cause, _: self.ends.append((gen, cause)),
            lambda _, frames: self.messages.append(frames),
        )
        gen = len(self.links) + 1
        link = ZmqLink(gen, endpoint, self.context, asyncio.get_running_loop(), callbacks)
        self.links.append(link)
        return link

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(GENEROUS_S):
            while not condition():  # noqa: ASYNC110 - any condition, not one event
                await asyncio.sleep(0.001)

    async def shaken(self, endpoint: str) -> ZmqLink:
        """A link after its handshake."""
        link = self.dial(endpoint)
        await self.until(lambda: Handshaken(link.gen) in self.events)
        return link

    async def ended(self) -> Cause:
        """How the only link ended."""
        await self.until(lambda: bool(self.ends))
        assert len(self.ends) == 1
        return self.ends[0][1]


Body = Callable[[Watcher], Coroutine[Any, Any, None]]


def watch(body: Body) -> None:
    """Run a coroutine with a watcher whose links are all aborted in the end."""

    async def main() -> None:
        watcher = Watcher()
        try:
            await body(watcher)
        finally:
            for link in watcher.links:
                link.abort()
            watcher.context.term()

    asyncio.run(main())


@contextmanager
def standin(endpoint: str = "tcp://127.0.0.1:0", log: Path | None = None) -> Iterator[str]:
    bell = Bell()
    image = Standin(wait=bell.wait, log=log)
    with running(ImageServer(image, endpoint, bell)) as bound:
        yield bound
    image.close()


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, "asyncio.Queue[socket.socket]"]]:
    """A raw TCP listener and the connections it got."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Queue[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        loop.add_reader(server, lambda: arrived.put_nowait(server.accept()[0]))
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", arrived
        loop.remove_reader(server)
    while not arrived.empty():
        arrived.get_nowait().close()


def increment() -> Request:
    return Request(Kind.EVALUATE, "Counter increment")


def read_to_the_end(connection: socket.socket) -> None:
    while connection.recv(1_000):
        pass


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a count, not paths


# -- a link that works ---------------------------------------------------------------------------


def test_a_link_tells_what_it_reached_in_order() -> None:
    """Accepted by the far kernel, then the handshake; neither before it happened, each once."""

    async def body(watcher: Watcher) -> None:
        with standin() as endpoint:
            link = await watcher.shaken(endpoint)
            assert watcher.events == [Accepted(1), Handshaken(1)]
            assert link.local_address == "127.0.0.1"

    watch(body)


def test_a_request_comes_back_with_its_id_before_the_delimiter() -> None:
    """What law 13 matches replies by."""

    async def body(watcher: Watcher) -> None:
        with standin() as endpoint:
            link = await watcher.shaken(endpoint)
            for number in range(3):
                request = increment()
                link.send(request.id, encode(request, Dialect.COMMAND))
                await watcher.until(lambda number=number: len(watcher.messages) > number)  # type: ignore[misc]  # mypy infers no type for a default
                wire_id, delimiter, payload = watcher.messages[number]
                assert (wire_id, delimiter) == (request.id.encode(), b"")
                assert json.loads(payload)["result"]["result"] == str(number + 1)

    watch(body)


def test_what_is_sent_right_after_the_handshake_is_not_lost() -> None:
    """The event may overtake the pipe it announces."""

    async def body(watcher: Watcher) -> None:
        with standin() as endpoint:
            for number in range(30):
                link = await watcher.shaken(endpoint)
                link.send("an-id", encode(Request(Kind.PING), None))
                await watcher.until(lambda number=number: len(watcher.messages) > number)  # type: ignore[misc]  # mypy infers no type for a default
                link.abort()

    watch(body)


def test_a_flood_does_not_starve_the_loop() -> None:
    """Law 22: thousands of messages at once, and timers still run in between."""

    async def body(watcher: Watcher) -> None:
        router = watcher.context.socket(zmq.ROUTER)
        router.linger = 0
        router.sndhwm = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        link = await watcher.shaken(f"tcp://127.0.0.1:{port}")
        link.send("an-id", b"{}")
        address = (await asyncio.to_thread(router.recv_multipart))[0]
        for _ in range(5_000):
            router.send_multipart([address, b"an-id", b"", b"{}"])
        seen: list[int] = []
        while len(watcher.messages) < 5_000:
            await asyncio.sleep(0)
            seen.append(len(watcher.messages))
        steps = [later - earlier for earlier, later in zip([0, *seen], seen, strict=False)]
        assert max(steps) <= 64 * 2
        router.close(0)

    watch(body)


@linux_only
def test_the_kernel_tells_how_the_connection_is() -> None:
    """When it was last heard, what a round trip takes; and its silence grows when nothing comes."""

    async def body(watcher: Watcher) -> None:
        async with relay_before_standin() as relay:
            link = await watcher.shaken(relay.endpoint)
            link.send("an-id", encode(Request(Kind.PING), None))
            await watcher.until(lambda: bool(watcher.messages))
            seen = link.vitals()
            assert seen is not None
            assert seen.gen == link.gen
            assert seen.quiet_s < GENEROUS_S
            assert 0 < seen.rtt_s < GENEROUS_S
            relay.set(DROP)
            await watcher.until(lambda: (now := link.vitals()) is not None and now.data_quiet_s > 0.6)
            relay.set(PASS)
            await watcher.until(lambda: (now := link.vitals()) is not None and now.data_quiet_s < 0.3)

    watch(body)


@asynccontextmanager
async def relay_before_standin(log: Path | None = None) -> AsyncIterator[Relay]:
    with standin(log=log) as target:
        async with Relay(target) as relay:
            yield relay


# -- how links end -------------------------------------------------------------------------------


def test_a_port_nobody_listens_on_ends_the_link() -> None:
    """Why is not said by libzmq; the world asks a scout."""

    async def body(watcher: Watcher) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        watcher.dial(f"tcp://127.0.0.1:{port}")
        assert await watcher.ended() is Cause.NO_ANSWER
        assert not watcher.events

    watch(body)


def test_a_peer_that_hangs_up_before_the_handshake_is_told_apart() -> None:
    """It accepted and it is no image."""

    async def body(watcher: Watcher) -> None:
        async with listener() as (endpoint, arrived):
            watcher.dial(endpoint)
            (await arrived.get()).close()
            assert await watcher.ended() is Cause.NO_HANDSHAKE
            assert watcher.events == [Accepted(1)]

    watch(body)


def test_another_protocol_is_told_apart() -> None:
    """HTTP or SSH instead of ZMTP."""

    async def body(watcher: Watcher) -> None:
        with running(peer(Hostile.WRONG_PROTOCOL)) as endpoint:
            watcher.dial(endpoint)
            assert await watcher.ended() in (Cause.PROTOCOL, Cause.NO_HANDSHAKE)
            assert Handshaken(1) not in watcher.events

    watch(body)


def test_a_peer_that_goes_ends_the_link_once() -> None:
    """Closed after the handshake; libzmq's further events about it are not reported."""

    async def body(watcher: Watcher) -> None:
        with standin() as endpoint:
            await watcher.shaken(endpoint)
        assert await watcher.ended() is Cause.CLOSED
        await asyncio.sleep(0.1)
        assert len(watcher.ends) == 1

    watch(body)


def test_a_message_beyond_every_limit_ends_the_link() -> None:
    """It is not even received; the protocol's limit lies below, so that slightly larger ones are named."""

    async def body(watcher: Watcher) -> None:
        router = watcher.context.socket(zmq.ROUTER)
        router.linger = 0
        port = router.bind_to_random_port("tcp://127.0.0.1")
        link = await watcher.shaken(f"tcp://127.0.0.1:{port}")
        link.send("an-id", b"{}")
        address = (await asyncio.to_thread(router.recv_multipart))[0]
        router.send_multipart([address, b"an-id", b"", bytes(MAX_MESSAGE_BYTES + 1)])
        await watcher.until(lambda: bool(watcher.messages))
        assert len(watcher.messages[0][2]) == MAX_MESSAGE_BYTES + 1
        router.send_multipart([address, b"an-id", b"", bytes(MAX_MESSAGE_BYTES + TRANSPORT_SLACK_BYTES + 1)])
        assert await watcher.ended() is Cause.CLOSED
        router.close(0)

    watch(body)


def test_a_link_never_reconnects_by_itself() -> None:
    """Law 1: one owner of retry. Not even while the loop stands still and cannot put an end to it."""

    async def body(watcher: Watcher) -> None:
        async with listener() as (endpoint, arrived):
            watcher.dial(endpoint)
            (await arrived.get()).close()
            time.sleep(0.3)  # noqa: ASYNC251 - the stall is the point
            await watcher.ended()
            await asyncio.sleep(0.3)
            assert arrived.empty()

    watch(body)


def test_an_aborted_link_reports_nothing_any_more() -> None:
    """Law 1: events of older numbers are dropped, here already."""

    async def body(watcher: Watcher) -> None:
        with standin() as endpoint:
            link = await watcher.shaken(endpoint)
            link.send("an-id", encode(Request(Kind.PING), None))
            link.abort()
            link.abort()
            link.send("another", encode(Request(Kind.PING), None))
            known = list(watcher.events)
        await asyncio.sleep(0.1)
        assert watcher.events == known
        assert not watcher.messages
        assert not watcher.ends
        assert link.vitals() is None

    watch(body)


# -- aborting ------------------------------------------------------------------------------------


def test_an_abort_resets_the_connection() -> None:
    """Law 11: RST, which makes the far kernel forget, and not FIN, before which all is still delivered."""

    async def body(watcher: Watcher) -> None:
        async with listener() as (endpoint, arrived):
            link = watcher.dial(endpoint)
            await watcher.until(lambda: watcher.events == [Accepted(1)])
            with await arrived.get() as connection:
                link.abort()
                connection.settimeout(GENEROUS_S)
                with pytest.raises(ConnectionResetError):
                    await asyncio.to_thread(read_to_the_end, connection)

    watch(body)


def test_a_request_aborted_during_a_drop_is_never_executed(tmp_path: Path) -> None:
    """It left us, it was under way when the link was given up, and the returning path does not deliver it."""
    log = tmp_path / "executions"

    async def body(watcher: Watcher) -> None:
        async with relay_before_standin(log) as relay:
            link = await watcher.shaken(relay.endpoint)
            relay.set(DROP)
            request = increment()
            link.send(request.id, encode(request, Dialect.COMMAND))
            await asyncio.sleep(SETTLE_S)
            link.abort()
            await asyncio.sleep(SETTLE_S)
            relay.set(PASS)
            await asyncio.sleep(PATH_BACK_S)
            again = await watcher.shaken(relay.endpoint)
            again.send("an-id", encode(Request(Kind.PING), None))
            await watcher.until(lambda: bool(watcher.messages))
        executed = [json.loads(line)["kind"] for line in log.read_text().splitlines()]
        assert executed == ["Ping"]

    watch(body)


def test_links_leave_no_descriptors_behind() -> None:
    """A hundred attempts later as many are open as before."""

    async def body(watcher: Watcher) -> None:
        with standin() as endpoint:
            first = await watcher.shaken(endpoint)
            first.abort()
            await asyncio.sleep(0.05)
            before = descriptors()
            for _ in range(50):
                link = await watcher.shaken(endpoint)
                link.abort()
            # libzmq closes in its own thread, soon; the stand-in's ends are in this process, too
            await watcher.until(lambda: descriptors() <= before + 1)

    watch(body)
