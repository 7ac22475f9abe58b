"""A TCP relay on loopback whose network can be broken, and mended, while it runs.

It stands between a client and an image where real interfaces are out of reach (no root, not Linux). What it
does is as close to a broken path as user space on loopback gets, and it is not the same:

- **drop**: bytes are held back, nothing is answered, every connection stays open. When the path returns they
  are delivered late, as TCP's retransmissions would, unless the sender has aborted its connection meanwhile:
  then they are gone, and the other side learns of it only now. Not imitated: the sender's kernel still gets
  acknowledgements from the relay's, so it does not retransmit, back off, or trip a TCP user timeout before a
  megabyte and the socket buffers are full.
- **drop, new connections**: on Linux the listener's accept queue is kept full, and the kernel then discards
  SYNs without a word. A connect hangs, and its retransmissions (after 1 s, 3 s, 7 s) find the mended path as
  they would outside. Elsewhere the kernel may complete the handshake; the connection is then only silent.
- **one-way drop**: bytes of one direction are held back. New connections hang as above, because a handshake
  needs both directions; acknowledgements are not dropped.
- **reset**: every connection gets an RST on both sides, and new ones are refused.
- An image that is *down* behind a passing relay: the relay can dial it only after it has accepted the client,
  so a client sees its connection made and reset at once, where it would have been refused.
"""

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

BACKLOG = 128  # connections the kernel completes before the relay has looked at them
FULL_BACKLOG = 1  # Linux discards SYNs once *more* than this many wait; with 0 it would log a SYN flood
FILLERS = 2  # connections of our own that wait there
CHUNK_BYTES = 65_536
CHUNKS_MAX = 16  # under way per direction: a megabyte, enough for a delayed stream to stay a stream
SLICES_PER_S = 50  # a throttled stream moves every 20 ms rather than in bursts

_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST and forgets what was not delivered


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the path. Without arguments: nothing.

    Args:
        drops_to_server: hold back what the client sends.
        drops_to_client: hold back what the server sends.
        refuses: reset what is connected and refuse what connects.
        delay_ms: added in each direction.
        rate_bytes_s: the most that passes per second in each direction of each connection; None: no limit.

    Raises:
        ValueError: a negative delay, or a rate that lets nothing pass.
    """

    drops_to_server: bool = False
    drops_to_client: bool = False
    refuses: bool = False
    delay_ms: float = 0.0
    rate_bytes_s: int | None = None

    def __post_init__(self) -> None:
        if self.delay_ms < 0:
            raise ValueError(f"a delay of {self.delay_ms} ms")
        if self.rate_bytes_s is not None and self.rate_bytes_s < 1:
            raise ValueError(f"a rate of {self.rate_bytes_s} bytes/s; to let nothing pass, drop")


PASS = Fault()
DROP = Fault(drops_to_server=True, drops_to_client=True)
RESET = Fault(refuses=True)


class _Path:
    """The fault of the moment, and a way to wait for another."""

    def __init__(self) -> None:
        self.fault = PASS
        self._changed = asyncio.Event()

    def change(self, fault: Fault) -> None:
        self.fault = fault
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_passing(self, *, to_server: bool) -> bool:
        """Wait while one direction is dropped; answer whether it was."""
        waited = False
        while self.fault.drops_to_server if to_server else self.fault.drops_to_client:
            waited = True
            await self._changed.wait()
        return waited


class Relay:
    """Listens on loopback and passes every connection on to a target, through the fault set at the moment.

    Use it as an async context manager, or call `start` and, in the end, `stop`.

    Args:
        target: the endpoint of the real server, as tcp://HOST:PORT.
        bind: where to listen; port 0 takes a free one.
    """

    def __init__(self, target: str, bind: str = "tcp://127.0.0.1:0") -> None:
        self._target = _address(target)
        self._bind = _address(bind)
        self._path = _Path()
        self._reserved: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._links: dict[asyncio.Task[None], _Link] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def endpoint(self) -> str:
        """Where it listens, with the real port once started."""
        return f"tcp://{self._bind[0]}:{self._bind[1]}"

    @property
    def fault(self) -> Fault:
        """What is wrong at the moment."""
        return self._path.fault

    @property
    def connections(self) -> int:
        """How many connections it carries."""
        return len(self._links)

    async def start(self) -> str:
        """Begin to listen and answer the endpoint.

        Raises:
            OSError: the address cannot be listened on.
        """
        reserved = _bound(self._bind)
        self._bind = reserved.getsockname()[:2]
        if sys.platform == "linux":
            # Bound, never listening: while connections are refused nobody else is given the port, not even a
            # dialling client as its own source port, which would connect it to itself.
            self._reserved = reserved
        else:
            reserved.close()
        self.set(self.fault)
        return self.endpoint

    def set(self, fault: Fault) -> None:
        """Break or mend the path, at once and for every connection. Call it from the event loop's thread."""
        if fault.refuses:
            self._close_listener()
            for task, link in self._links.items():
                link.abort_on_close()
                task.cancel()
        elif fault.drops_to_server or fault.drops_to_client:
            self._ignore_newcomers()
        else:
            self._admit_newcomers()
        self._path.change(fault)

    async def stop(self) -> None:
        """Close everything."""
        self._close_listener()
        if self._reserved:
            self._reserved.close()
            self._reserved = None
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _listening(self) -> socket.socket:
        if self._listener is None:
            self._listener = _bound(self._bind)
            self._listener.listen(BACKLOG)
        return self._listener

    def _ignore_newcomers(self) -> None:
        listener = self._listening()
        asyncio.get_running_loop().remove_reader(listener)
        listener.listen(FULL_BACKLOG)
        while len(self._fillers) < FILLERS:
            filler = socket.socket(listener.family)
            filler.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            filler.connect_ex(self._bind)
            self._fillers.append(filler)

    def _admit_newcomers(self) -> None:
        listener = self._listening()
        listener.listen(BACKLOG)
        ours = {filler.getsockname() for filler in self._fillers}
        self._close_fillers()
        with suppress(BlockingIOError):
            while True:
                client, peer = listener.accept()
                if peer in ours:
                    client.close()
                else:
                    self._carry(client)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(
            OSError
        ):  # it may have left the queue again; a shortage of descriptors shows at the client
            self._carry(listener.accept()[0])

    def _carry(self, client: socket.socket) -> None:
        link = _Link(self._path, client)
        task = asyncio.get_running_loop().create_task(link.run(self._target))
        self._links[task] = link
        # Not in the task itself: one that is cancelled before its first step runs none of its code.
        task.add_done_callback(lambda done: self._links.pop(done).close())

    def _close_listener(self) -> None:
        self._close_fillers()
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _close_fillers(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()


class _Link:
    """One client's connection and the one made for it to the target."""

    def __init__(self, path: _Path, client: socket.socket) -> None:
        self._path = path
        self._client = client
        self._server = socket.socket(client.family)
        for end in (self._client, self._server):
            end.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self, target: tuple[str, int]) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(self._server, target)
            async with asyncio.TaskGroup() as both:
                both.create_task(_Stream(self._path, self._client, self._server, to_server=True).run())
                both.create_task(_Stream(self._path, self._server, self._client, to_server=False).run())
        except* OSError:
            self.abort_on_close()

    def close(self) -> None:
        self._client.close()
        self._server.close()

    def abort_on_close(self) -> None:
        for end in (self._client, self._server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)


class _Stream:
    """One direction of a link: read as it comes, write as the fault allows."""

    def __init__(self, path: _Path, source: socket.socket, sink: socket.socket, *, to_server: bool) -> None:
        self._path = path
        self._source = source
        self._sink = sink
        self._to_server = to_server
        self._under_way: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue(CHUNKS_MAX)
        self._aborted = False
        self._free_at = 0.0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read())
            both.create_task(self._write())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        chunk: bytes | OSError = b"unread"
        while isinstance(chunk, bytes) and chunk:
            await self._gate()
            try:
                chunk = await loop.sock_recv(self._source, CHUNK_BYTES)
            except OSError as error:  # travels behind the bytes before it, and is dropped when they are
                self._aborted, chunk = True, error
            await self._under_way.put((loop.time(), chunk))

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrived, chunk = await self._under_way.get()
            await asyncio.sleep(arrived + self._path.fault.delay_ms / 1000 - loop.time())
            if isinstance(chunk, OSError):
                await self._gate()
                raise chunk
            if not chunk:
                await self._gate()
                self._sink.shutdown(socket.SHUT_WR)
                return
            while chunk:
                await self._gate()
                size = await self._allowance(len(chunk))
                await loop.sock_sendall(self._sink, chunk[:size])
                chunk = chunk[size:]

    async def _gate(self) -> None:
        """Wait out a drop; what its sender has aborted meanwhile is not delivered.

        Raises:
            ConnectionResetError: the sender has aborted the connection.
        """
        if await self._path.until_passing(to_server=self._to_server):
            # Reading the error clears it, and both ends of the stream pass here: the first keeps it.
            if self._source.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._aborted = True
            if self._aborted:
                raise ConnectionResetError

    async def _allowance(self, wanted: int) -> int:
        """Wait until the throttle lets the next slice pass; answer its size in bytes."""
        rate = self._path.fault.rate_bytes_s
        if rate is None:
            return wanted
        loop = asyncio.get_running_loop()
        size = min(wanted, max(1, rate // SLICES_PER_S))
        await asyncio.sleep(self._free_at - loop.time())
        self._free_at = max(self._free_at, loop.time()) + size / rate
        return size


def _address(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    if parts.scheme != "tcp" or not parts.hostname or parts.port is None:
        raise ValueError(f"{endpoint!r} is not tcp://HOST:PORT")
    return parts.hostname, parts.port


def _bound(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(socket.AF_INET)
    try:
        bound.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
