"""The fault-injecting relay, between real sockets on loopback."""

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
import zmq
import zmq.asyncio

from resilience.demo.relay import DROP, PASS, RESET, Fault, Relay
from resilience.standin.image import Image
from resilience.standin.serve import Bell, ImageServer, running

GENEROUS_S = 5.0
QUIET_S = 0.15  # loopback answers in well under a millisecond: silence this long is not slowness

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="discarded SYNs need Linux's accept queue")


class Peer:
    """One end of a TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, text: bytes) -> None:
        self.writer.write(text)

    async def hears(self, text: bytes) -> None:
        assert await asyncio.wait_for(self.reader.readexactly(len(text)), GENEROUS_S) == text

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), QUIET_S)

    async def is_reset(self) -> None:
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), GENEROUS_S)

    def abort(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Bench:
    """A relay, a server behind it, and clients before it."""

    def __init__(self, relay: Relay, arrivals: asyncio.Queue[Peer]) -> None:
        self.relay = relay
        self.arrivals = arrivals
        self.peers: list[Peer] = []

    async def dial(self) -> Peer:
        address = urlsplit(self.relay.endpoint)
        client = Peer(*await asyncio.open_connection(address.hostname, address.port))
        self.peers.append(client)
        return client

    async def pair(self) -> tuple[Peer, Peer]:
        """Connect a client and answer both ends."""
        client = await self.dial()
        return client, await self.arrival()

    async def arrival(self) -> Peer:
        return await asyncio.wait_for(self.arrivals.get(), GENEROUS_S)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    arrivals: asyncio.Queue[Peer] = asyncio.Queue()
    accepted: list[Peer] = []

    async def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(Peer(reader, writer))
        await arrivals.put(accepted[-1])

    server = await asyncio.start_server(arrive, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Relay(f"tcp://127.0.0.1:{port}") as relay:
        made = Bench(relay, arrivals)
        try:
            yield made
        finally:
            for peer in made.peers + accepted:
                peer.writer.close()
                with suppress(OSError):
                    await peer.writer.wait_closed()
            server.close()
            await server.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Look once per turn of the loop: what happens in a single turn must not be slept through."""
    deadline = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def on_bench(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bench() as made:
            await story(made)

    asyncio.run(main())


def test_a_sound_path_carries_both_ways_and_ends() -> None:
    """Bytes arrive unchanged and in order, however many; a half-close passes and the other half lives on."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        text = bytes(range(256)) * 20_000
        client.say(text)
        await server.hears(text)
        server.say(text)
        await client.hears(text)
        client.writer.write_eof()
        assert await asyncio.wait_for(server.reader.read(), GENEROUS_S) == b""
        server.say(b"still here")
        await client.hears(b"still here")
        server.writer.close()
        assert await asyncio.wait_for(client.reader.read(), GENEROUS_S) == b""
        await until(lambda: not on.relay.connections)

    on_bench(story)


def test_a_drop_is_silent_and_what_was_sent_arrives_late() -> None:
    """Neither side hears or is told anything; after mending both get what was meant for them, in order."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        client.say(b"before")
        await server.hears(b"before")
        on.relay.set(DROP)
        client.say(b"one")
        server.say(b"uno")
        await asyncio.gather(client.hears_nothing(), server.hears_nothing())
        client.say(b"two")
        on.relay.set(PASS)
        await server.hears(b"onetwo")
        await client.hears(b"uno")

    on_bench(story)


@pytest.mark.parametrize("to_server", [True, False])
def test_a_one_way_drop_holds_back_one_way(*, to_server: bool) -> None:
    """The other direction goes on."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        sender, receiver = (client, server) if to_server else (server, client)
        on.relay.set(Fault(drops_to_server=to_server, drops_to_client=not to_server))
        sender.say(b"held")
        receiver.say(b"passes")
        await sender.hears(b"passes")
        await receiver.hears_nothing()
        on.relay.set(PASS)
        await receiver.hears(b"held")

    on_bench(story)


def test_ends_are_held_back_too() -> None:
    """A peer that closes behind a drop is gone only when the path is back."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        other_client, other_server = await on.pair()
        on.relay.set(DROP)
        server.say(b"goodbye")
        server.writer.close()
        other_server.writer.close()
        await asyncio.gather(client.hears_nothing(), other_client.hears_nothing())
        on.relay.set(PASS)
        await client.hears(b"goodbye")
        for told in (client, other_client):
            assert await asyncio.wait_for(told.reader.read(), GENEROUS_S) == b""

    on_bench(story)


def test_what_an_aborted_connection_sent_into_a_drop_is_gone() -> None:
    """Closing delivers late, the ghost of law 11; aborting does not. The server hears of it with the path."""

    async def story(on: Bench) -> None:
        closing, server_of_closing = await on.pair()
        aborting, server_of_aborting = await on.pair()
        on.relay.set(DROP)
        for client in (closing, aborting):
            client.say(b"evaluate me")
        await server_of_aborting.hears_nothing()
        closing.writer.close()
        aborting.abort()
        await server_of_aborting.hears_nothing()
        on.relay.set(PASS)
        await server_of_closing.hears(b"evaluate me")
        await server_of_aborting.is_reset()

    on_bench(story)


@linux_only
@pytest.mark.parametrize(
    "fault", [DROP, Fault(drops_to_server=True), Fault(drops_to_client=True)], ids=["both", "up", "down"]
)
def test_new_connections_hang_in_a_drop(fault: Fault) -> None:
    """The SYN is discarded: no connection, no refusal. After mending the kernel's own retry gets through."""

    async def story(on: Bench) -> None:
        on.relay.set(fault)
        dialling = [asyncio.ensure_future(on.dial()) for _ in range(3)]
        done, _ = await asyncio.wait(dialling, timeout=QUIET_S)
        assert not done
        on.relay.set(PASS)
        fresh, server = await on.pair()
        fresh.say(b"a fresh SYN does not wait for the kernel's ladder")
        await server.hears(b"a fresh SYN does not wait for the kernel's ladder")
        for old in await asyncio.wait_for(asyncio.gather(*dialling), GENEROUS_S):
            old.say(b"late")
        for _ in dialling:
            await (await on.arrival()).hears(b"late")

    on_bench(story)


@linux_only
def test_drops_can_follow_each_other() -> None:
    """Setting a drop twice, or mending and dropping again, blocks newcomers every time."""

    async def story(on: Bench) -> None:
        for fault in (DROP, DROP, PASS, DROP, RESET, DROP):
            on.relay.set(fault)
            if fault is DROP:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(on.dial(), QUIET_S)
        on.relay.set(PASS)
        client, server = await on.pair()
        client.say(b"through")
        await server.hears(b"through")

    on_bench(story)


def test_a_reset_ends_everything_and_refuses() -> None:
    """Both ends get an RST at once, dialling is refused, and the same port works again after mending."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        endpoint = on.relay.endpoint
        on.relay.set(RESET)
        await asyncio.gather(client.is_reset(), server.is_reset())
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await on.dial()
        on.relay.set(PASS)
        assert on.relay.endpoint == endpoint
        client, server = await on.pair()
        client.say(b"again")
        await server.hears(b"again")

    on_bench(story)


@linux_only
def test_the_port_stays_reserved_while_it_refuses() -> None:
    """Neither another program nor a dialling client's own source port can take it meanwhile."""

    async def story(on: Bench) -> None:
        on.relay.set(RESET)
        address = urlsplit(on.relay.endpoint)
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind((address.hostname, address.port))

    on_bench(story)


def test_a_reset_reaches_connections_that_have_only_just_begun() -> None:
    """Accepted and reset within one turn of the loop, before a byte or a dial."""

    async def story(on: Bench) -> None:
        address = urlsplit(on.relay.endpoint)
        with socket.socket() as raw:
            raw.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            raw.connect_ex((address.hostname, address.port))
            await until(lambda: on.relay.connections)
            on.relay.set(RESET)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(raw, 1), GENEROUS_S)

    on_bench(story)


def test_a_missing_server_resets_the_client() -> None:
    """The nearest to a refusal that is left once the kernel has accepted."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        async with Relay(f"tcp://127.0.0.1:{port}") as relay:
            address = urlsplit(relay.endpoint)
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), GENEROUS_S)
            writer.close()

    asyncio.run(main())


def test_a_delay_is_latency_not_a_bottleneck() -> None:
    """Each way takes that much longer, and a stream of many chunks hardly more than a single one."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        on.relay.set(Fault(delay_ms=100))
        begun = time.monotonic()
        client.say(b"there")
        await server.hears(b"there")
        server.say(b"and back")
        await client.hears(b"and back")
        assert time.monotonic() - begun >= 0.2
        begun = time.monotonic()
        for _ in range(20):
            client.say(b"x")
            await asyncio.sleep(0.005)
        await server.hears(b"x" * 20)
        assert 0.1 <= time.monotonic() - begun < 1.9, (
            "twenty delays one after the other would take two seconds"
        )

    on_bench(story)


def test_a_throttle_is_a_rate() -> None:
    """So many bytes take so much time, arrive a bit at a time, and the rest at once when it is lifted."""

    async def story(on: Bench) -> None:
        client, server = await on.pair()
        on.relay.set(Fault(rate_bytes_s=200_000))
        begun = time.monotonic()
        client.say(b"x" * 100_000)
        await server.hears(b"x" * 10_000)
        first = time.monotonic()
        await server.hears(b"x" * 90_000)
        assert time.monotonic() - begun >= 0.4
        assert time.monotonic() - first > first - begun, "a tenth came long before the rest"
        client.say(b"y" * 2_000_000)
        await server.hears(b"y")
        on.relay.set(PASS)
        await server.hears(b"y" * 1_999_999)
        assert time.monotonic() - begun < GENEROUS_S

    on_bench(story)


@pytest.mark.parametrize("wrong", [{"delay_ms": -1.0}, {"rate_bytes_s": 0}])
def test_an_impossible_fault_is_refused(wrong: dict[str, int]) -> None:
    """Negative delays; a rate of nothing, which is a drop."""
    with pytest.raises(ValueError, match=r"delay of -1|rate of 0"):
        Fault(**wrong)  # type: ignore[arg-type]  # one of the two names above


@pytest.mark.parametrize("target", ["127.0.0.1:5555", "ipc://x", "tcp://127.0.0.1", "tcp://127.0.0.1:x"])
def test_a_malformed_target_is_refused(target: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match=r"tcp://HOST:PORT|[Pp]ort"):
        Relay(target)


def test_an_image_behind_it_is_lost_and_found() -> None:
    """The whole of it: a ZeroMQ client through the relay, in a drop, and on a fresh socket after mending."""

    async def main(target: str) -> None:
        async with Relay(target) as relay:
            with zmq.asyncio.Context() as context:
                before, after = context.socket(zmq.REQ), context.socket(zmq.REQ)
                before.linger = after.linger = 0
                before.connect(relay.endpoint)
                await before.send(b'{"command": "ping"}')
                assert json.loads(await before.recv())["status"] == "success"
                relay.set(DROP)
                await before.send(b'{"command": "ping"}')
                assert not await before.poll(int(QUIET_S * 1000))
                relay.set(PASS)
                after.connect(relay.endpoint)
                await after.send(b'{"command": "evaluate", "parameters": {"code": "3 + 4"}}')
                assert json.loads(await after.recv())["result"]["result"] == "7"
                assert json.loads(await before.recv())["status"] == "success"
                before.close()
                after.close()

    bell = Bell()
    with running(ImageServer(Image(wait=bell.wait), "tcp://127.0.0.1:0", bell)) as target:
        asyncio.run(main(target))
