"""Peers that do on purpose what breaks clients: `python -m simulations.hostile KIND --bind ENDPOINT`.

Each kind is one row of a table: what it says on a raw TCP connection, or what a ROUTER socket sends for a
request. A ROUTER, because a REP socket cannot be made to misbehave. Where a kind has something sensible to
say, a stand-in image says it, so that the peer is wrong in one respect and right in all others.

In a test: `with running(peer(Kind.TWO_REPLIES)) as endpoint`, with `running` from `resilience.standin.serve`.
"""

import argparse
import asyncio
import itertools
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from errno import EINVAL
from pathlib import Path
from urllib.parse import urlsplit

import zmq

from resilience.demo.relay import Fault, Relay
from resilience.standin.dialects import Dialect, RefusedError, Speaks, failure, parse, result
from resilience.standin.dialects import Kind as Asked
from resilience.standin.image import Image, Stopped
from resilience.standin.serve import Bell, BindError, Server, bind, run_until_signalled, running

HUGE_REPLY_BYTES = 12 * 1024 * 1024  # beyond the 10 MB of the protocol, however one counts them
SLOW_REPLY_BYTES = 6_000_000  # with the rate below, the healthy transfer that libzmq's heartbeats kill
SLOW_RATE_BYTES_S = 1_000_000
DEEP_LEVELS = 100_000
DRIP_IVL_S = 0.05  # a byte now and then keeps every "something arrived" timer alive
HELD_MAX = 200  # connections kept open at a time: the oldest gives way, descriptors are finite
FAREWELL_S = 0.2  # for the other side to read our bytes before an RST can overtake them
CRASH_STATUS = 70  # EX_SOFTWARE

Frames = list[bytes]


class Kind(StrEnum):
    """What is wrong with the peer."""

    WRONG_PROTOCOL = "wrong-protocol"
    ACCEPT_SILENT = "accept-silent"
    HALF_HANDSHAKE = "half-handshake"
    ENDLESS_HANDSHAKE = "endless-handshake"
    CRASH_BEFORE_REPLY = "crash-before-reply"
    GARBAGE_JSON = "garbage-json"
    WRONG_ENVELOPE = "wrong-envelope"
    HUGE_REPLY = "huge-reply"
    DEEP_JSON = "deep-json"
    FOREIGN_ID = "foreign-id"
    NEVER_REPLIES = "never-replies"
    REPLACED = "replaced"
    WRONG_DIALECT = "wrong-dialect"
    TWO_REPLIES = "two-replies"
    SLOW_REPLY = "slow-reply"


# -- On raw TCP ----------------------------------------------------------------------------------------------

# A ZMTP 3.0 greeting: signature, version, mechanism, as-server, filler. 64 bytes, all valid.
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
# The head of a READY command of a megabyte, which at the drip's pace takes half a day.
_READY_HEAD = b"\x06" + (1 << 20).to_bytes(8, "big") + b"\x05READY"


@dataclass(frozen=True, slots=True)
class Monologue:
    """What a raw peer says, whatever it hears.

    Args:
        openings: said at once, one after the other to successive connections.
        closes: whether the connection then ends.
        drips: said after that, byte by byte, and followed by x for ever; empty: silence.
    """

    openings: tuple[bytes, ...] = (b"",)
    closes: bool = False
    drips: bytes = b""


_MONOLOGUES = {
    Kind.WRONG_PROTOCOL: Monologue(
        openings=(
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2p1\r\nInvalid SSH identification string.\r\n",
        ),
        closes=True,
    ),
    Kind.ACCEPT_SILENT: Monologue(),
    Kind.HALF_HANDSHAKE: Monologue(openings=(_GREETING,)),
    Kind.ENDLESS_HANDSHAKE: Monologue(drips=_GREETING + _READY_HEAD),
}


class RawPeer:
    """A TCP listener with a monologue."""

    def __init__(self, monologue: Monologue, endpoint: str, *, once: bool = False) -> None:
        self._monologue = monologue
        self._endpoint = endpoint
        self._once = once
        self._held: deque[tuple[socket.socket, Iterator[int]]] = deque()
        self.bell = Bell()

    def run(self, ready: Callable[[str], None]) -> None:
        """Talk to whoever connects until the bell rings, or with `once` until the first has been talked to.

        Raises:
            BindError: the endpoint cannot be listened on.
        """
        address = _address(self._endpoint)
        try:
            listener = socket.create_server(address)
        except OSError as error:
            raise BindError(self._endpoint, error.errno or EINVAL) from error
        with listener:
            ready("tcp://{}:{}".format(*listener.getsockname()))
            self._talk(listener)
        for connection, _ in self._held:
            connection.close()

    def _talk(self, listener: socket.socket) -> None:
        poller = zmq.Poller()
        poller.register(listener, zmq.POLLIN)
        poller.register(self.bell.fileno(), zmq.POLLIN)
        ivl_ms = round(DRIP_IVL_S * 1000) if self._monologue.drips else None
        for opening in itertools.cycle(self._monologue.openings):
            while listener.fileno() not in dict(poller.poll(ivl_ms)):
                if self.bell.rung:
                    return
                self._drip()
            connection, _ = listener.accept()
            with suppress(OSError):
                connection.sendall(opening)
            self._keep(connection)
            if self._once:
                return

    def _keep(self, connection: socket.socket) -> None:
        if self._monologue.closes:
            _part(connection)
            return
        self._held.append((connection, itertools.chain(self._monologue.drips, itertools.repeat(ord("x")))))
        if len(self._held) > HELD_MAX:
            self._held.popleft()[0].close()

    def _drip(self) -> None:
        for held in list(self._held):
            connection, drops = held
            try:
                connection.send(bytes([next(drops)]), socket.MSG_DONTWAIT)
            except OSError:  # it has hung up
                connection.close()
                self._held.remove(held)


def _part(connection: socket.socket) -> None:
    """Close so that what was said arrives: closing with unread bytes sends an RST, which may overtake it."""
    deadline = time.monotonic() + FAREWELL_S
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65_536):
                return


# -- On ZeroMQ -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A request as a ROUTER sees it, with two images that could answer it."""

    number: int
    address: bytes
    envelope: tuple[bytes, ...]  # the client's request-id frames, if any, and the empty delimiter
    body: bytes
    image: Image
    impostor: Image

    def framed(self, *reply: bytes) -> Frames:
        """Address a reply properly."""
        return [self.address, *self.envelope, *reply]

    def well(self) -> Frames:
        """Do as an image should."""
        return self.framed(self.image.answer(self.body))


_GARBAGE = (b"\xff\xfe\x00garbage", b'{"id": ', b"[]", b"null", b"{}", b'{"payload": 7}', b'{"status": []}')


def _wrong_envelope(call: Call) -> list[Frames]:
    reply = call.image.answer(call.body)
    variants = (
        [call.address, reply],  # no delimiter
        call.framed(reply, b"extra", b""),
        call.framed(b""),
        [call.address, *call.envelope],  # nothing behind the delimiter
    )
    return [variants[call.number % len(variants)]]


def _wrong_dialect(call: Call) -> list[Frames]:
    try:
        request = parse(call.body, Speaks.BOTH)
        reply = result(replace(request, dialect=_other(request.dialect)), call.image.perform(request))
    except RefusedError as refused:
        other = RefusedError(_other(refused.dialect), refused.request_id, refused.code, refused.message)
        reply = failure(other)
    return [call.framed(reply)]


def _other(dialect: Dialect) -> Dialect:
    return Dialect.B if dialect is Dialect.A else Dialect.A


def _crash(call: Call) -> list[Frames]:
    call.image.answer(call.body)
    os._exit(CRASH_STATUS)


def _huge(call: Call) -> list[Frames]:
    return [call.framed(_padded(call.image.answer(call.body), HUGE_REPLY_BYTES))]


def _large_evaluation(call: Call) -> list[Frames]:
    reply = call.image.answer(call.body)
    with suppress(RefusedError):
        # Pings stay short: a client that never gets connected asks for nothing more.
        if parse(call.body, Speaks.BOTH).kind is Asked.EVALUATE:
            reply = _padded(reply, SLOW_REPLY_BYTES)
    return [call.framed(reply)]


def _padded(reply: bytes, size: int) -> bytes:
    head, tail = reply[:-1] + b', "padding": "', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


_SCRIPTS: dict[Kind, Callable[[Call], list[Frames]]] = {
    Kind.CRASH_BEFORE_REPLY: _crash,
    Kind.GARBAGE_JSON: lambda call: [call.framed(_GARBAGE[call.number % len(_GARBAGE)])],
    Kind.WRONG_ENVELOPE: _wrong_envelope,
    Kind.HUGE_REPLY: _huge,
    Kind.DEEP_JSON: lambda call: [
        call.framed(b'{"payload":' + b"[" * DEEP_LEVELS + b"]" * DEEP_LEVELS + b"}")
    ],
    Kind.FOREIGN_ID: lambda call: [[call.address, b"not-yours", b"", call.image.answer(call.body)]],
    Kind.NEVER_REPLIES: lambda _call: [],
    Kind.REPLACED: lambda call: [call.framed(call.impostor.answer(call.body))],
    Kind.WRONG_DIALECT: _wrong_dialect,
    Kind.TWO_REPLIES: lambda call: [call.well()] * 2,
    Kind.SLOW_REPLY: _large_evaluation,
}


class FramedPeer:
    """A ROUTER socket with a script; for the first `after` requests it behaves."""

    def __init__(self, kind: Kind, endpoint: str, *, after: int = 0, log: Path | None = None) -> None:
        self.bell = Bell()
        self._script = _SCRIPTS[kind]
        self._endpoint = endpoint
        self._after = after
        self._image = Image(log=log, wait=self.bell.wait)
        self._impostor = Image(wait=self.bell.wait)

    def run(self, ready: Callable[[str], None]) -> None:
        """Answer by the script until the bell rings.

        Raises:
            BindError: the endpoint cannot be listened on.
        """
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            ready(bind(router, self._endpoint))
            with suppress(Stopped):
                self._serve(router)
        self._image.close()

    def _serve(self, router: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(self.bell.fileno(), zmq.POLLIN)
        number = 0
        while not self.bell.rung:
            if router not in dict(poller.poll()):
                continue
            address, *envelope, body = router.recv_multipart()
            call = Call(number, address, tuple(envelope), body, self._image, self._impostor)
            for message in [call.well()] if number < self._after else self._script(call):
                router.send_multipart(message)
            number += 1


class ThrottledPeer:
    """A framed peer at the far end of a slow line."""

    def __init__(self, far: FramedPeer, endpoint: str, rate_bytes_s: int) -> None:
        self._far = far
        self._endpoint = endpoint
        self._fault = Fault(rate_bytes_s=rate_bytes_s)
        self.bell = Bell()

    def run(self, ready: Callable[[str], None]) -> None:
        """Carry bytes slowly until the bell rings.

        Raises:
            BindError: the endpoint cannot be listened on.
        """
        with running(self._far) as target:
            asyncio.run(self._relay(target, ready))

    async def _relay(self, target: str, ready: Callable[[str], None]) -> None:
        rung = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.bell.fileno(), rung.set)
        relay = Relay(target, "tcp://{}:{}".format(*_address(self._endpoint)))
        try:
            await relay.start()
        except OSError as error:
            raise BindError(self._endpoint, error.errno or EINVAL) from error
        relay.set(self._fault)
        ready(relay.endpoint)
        await rung.wait()
        await relay.stop()


# -- Choosing one --------------------------------------------------------------------------------------------


def peer(
    kind: Kind,
    endpoint: str = "tcp://127.0.0.1:0",
    *,
    after: int = 0,
    once: bool = False,
    log: Path | None = None,
) -> Server:
    """Make a peer that misbehaves once it runs.

    Args:
        kind: in which way.
        endpoint: where to listen; port 0 takes a free one.
        after: how many requests are answered well first; raw kinds never get as far as a request.
        once: end after one connection, so that something else can take the port; raw kinds only.
        log: as for a stand-in image; framed kinds only.
    """
    if kind in _MONOLOGUES:
        return RawPeer(_MONOLOGUES[kind], endpoint, once=once)
    if kind is Kind.SLOW_REPLY:
        far = FramedPeer(kind, "tcp://127.0.0.1:0", after=after, log=log)
        return ThrottledPeer(far, endpoint, SLOW_RATE_BYTES_S)
    return FramedPeer(kind, endpoint, after=after, log=log)


def _address(endpoint: str) -> tuple[str, int]:
    try:
        parts = urlsplit(endpoint.replace("//*:", "//0.0.0.0:").replace(":*", ":0"))
        if parts.scheme == "tcp" and parts.hostname and parts.port is not None:
            return socket.gethostbyname(parts.hostname), parts.port
    except (ValueError, socket.gaierror):  # a port that is not one, a name nobody knows
        pass
    raise BindError(endpoint, EINVAL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; exit statuses as for the stand-in image."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations.hostile", description="A peer that misbehaves."
    )
    parser.add_argument("kind", type=Kind, choices=list(Kind), metavar="KIND", help=", ".join(Kind))
    parser.add_argument("--bind", default="tcp://127.0.0.1:5555", metavar="ENDPOINT", help="where to listen")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="answer N requests well first")
    parser.add_argument("--once", action="store_true", help="end after one connection (raw kinds)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append one JSON line per executed request")
    options = parser.parse_args(arguments)
    try:
        chosen = peer(options.kind, options.bind, after=options.after, once=options.once, log=options.log)
        return run_until_signalled(
            chosen, lambda endpoint: print(f"ready {endpoint} {options.kind}", flush=True)
        )
    except BindError as error:
        if error.malformed:
            parser.error(str(error))
        trouble = str(error)
    except OSError as error:
        trouble = f"{error.filename}: {error.strerror}; choose another file for --log"
    print(trouble, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
