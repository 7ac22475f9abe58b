"""One link: a fresh DEALER socket of one generation, its monitor, and a look into its TCP connection.

The REP at the far end echoes what stands before the empty delimiter, so our
request id travels there. libzmq never reconnects by itself (`RECONNECT_IVL=-1`):
a link that ends stays ended, and a new one has a new number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable

import zmq
from zmq.utils.monitor import parse_monitor_message

from machines import Cause
from machines.events import Accepted, Handshaken, Vitals
from machines.policy import HEARTBEAT_IVL_S
from resilience.limits import (
    CONNECT_TIMEOUT_MS,
    HANDSHAKE_IVL_MS,
    HAS_TCP_INFO,
    HEARTBEAT_TIMEOUT_MS,
    MAX_FRAMES_PER_WAKE,
    MAX_MESSAGE_BYTES,
    RECV_HWM,
    SEND_HWM,
    TCP_USER_TIMEOUT_MS,
    TRANSPORT_SLACK_BYTES,
)
from resilience.seams import LinkCallbacks

_EVENTS = (
    zmq.Event.CONNECTED
    | zmq.Event.CLOSED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)

_FAILED = {
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: Cause.NO_HANDSHAKE,
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: Cause.PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_AUTH: Cause.ACCESS,
}

_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: close sends RST and drops unsent bytes, so an abandoned request is not delivered
seconds later (measured: with a plain close it ran 3.4 s after the path came back; with this, never)."""

_TCP_INFO = struct.Struct("=8B24I4Q4I")
"""linux/tcp.h up to tcpi_min_rtt; the kernel fills in what it knows of it."""
_UNACKED, _LAST_DATA_RECV, _LAST_ACK_RECV, _RTT = 8 + 4, 8 + 11, 8 + 12, 8 + 15
_BYTES_RECEIVED, _NOTSENT = 8 + 24 + 3, 8 + 24 + 4 + 2
"""Places of the fields in it: after eight bytes, twenty-four words and four double words."""


class ZmqLink:
    """One generation. After `abort` nothing is reported any more; `on_closed` is called then, once."""

    def __init__(
        self,
        gen: int,
        endpoint: str,
        context: zmq.Context[zmq.Socket[bytes]],
        loop: asyncio.AbstractEventLoop,
        callbacks: LinkCallbacks,
        *,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self.gen = gen
        self.local_address: str | None = None
        self._loop = loop
        self._callbacks = callbacks
        self._on_closed = on_closed
        self._open = True
        self._shaken = False
        self._carrier: socket.socket | None = None
        self._socket = context.socket(zmq.DEALER)
        _configure(self._socket)
        self._monitor = self._socket.get_monitor_socket(_EVENTS)
        self._fds = (int(self._socket.getsockopt(zmq.FD)), int(self._monitor.getsockopt(zmq.FD)))
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError:
            self._close_sockets()
            raise
        loop.add_reader(self._fds[0], self._drain_messages)
        loop.add_reader(self._fds[1], self._drain_monitor)
        # The descriptors are edge-triggered: what came before add_reader would never be told.
        loop.call_soon(self._drain_monitor)

    # -- out ---------------------------------------------------------------------------

    def send(self, request_id: str, frame: bytes) -> None:
        """Hand one request over; only after the handshake, so nothing waits inside libzmq."""
        if not self._open:
            return
        # libzmq counts what the far end of its pipe has taken only now and then, at the latest when asked for
        # events: without that the fifth request within a millisecond finds a pipe that seems full.
        self._socket.get(zmq.EVENTS)
        try:
            self._socket.send_multipart([request_id.encode(), b"", frame], zmq.NOBLOCK)
        except zmq.ZMQError as problem:
            self._loop.call_soon(self._end, Cause.LOCAL, str(problem))
            return
        # Sending consumes the edge that would have told of a message.
        self._loop.call_soon(self._drain_messages)

    def abort(self) -> None:
        """Close at once; nothing unsent is delivered."""
        if not self._open:
            return
        self._open = False
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._close_sockets()
        if self._carrier is not None:
            self._carrier.close()
            self._carrier = None
        self._on_closed()

    def _close_sockets(self) -> None:
        # In this order: pyzmq#1554, libzmq#3575 hang or leak in others.
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    # -- in ----------------------------------------------------------------------------

    def _drain_messages(self) -> None:
        for _ in range(MAX_FRAMES_PER_WAKE):
            if not self._open:
                return
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._callbacks.message(self.gen, frames)
        self._loop.call_soon(self._drain_messages)

    def _drain_monitor(self) -> None:
        while self._open:
            try:
                message = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            seen = parse_monitor_message(message)
            self._told(zmq.Event(seen["event"]), seen["value"])

    def _told(self, event: zmq.Event, value: int) -> None:
        if event is zmq.Event.CONNECTED:
            self._adopt_carrier(value)
            self._callbacks.event(Accepted(self.gen))
        elif event is zmq.Event.HANDSHAKE_SUCCEEDED:
            self._shaken = True
            self._callbacks.event(Handshaken(self.gen))
        elif event in _FAILED:
            self._end(_FAILED[event], "")
        elif event is zmq.Event.DISCONNECTED:
            self._end(Cause.CLOSED if self._shaken else Cause.NO_HANDSHAKE, "")
        elif event is zmq.Event.CLOSED:
            self._end(Cause.NO_ANSWER, "")

    def _end(self, cause: Cause, detail: str) -> None:
        if not self._open:
            return
        if cause is Cause.NO_ANSWER and self._carrier is not None:
            return
        if cause is Cause.NO_HANDSHAKE and (info := self._tcp_info()) and info[_BYTES_RECEIVED]:
            cause = Cause.PROTOCOL  # it did say something, and it was no handshake
        # The last reply and the end of the link may be told in one wake-up, the end first.
        self._drain_messages()
        self.abort()
        self._callbacks.down(self.gen, cause, detail)

    def _adopt_carrier(self, fd: int) -> None:
        """Keep a duplicate of the connection's descriptor: to abort it, and to see whether it is alive.

        libzmq may have closed the descriptor since and the number may belong to
        something else, so it is only kept if it is a connected TCP socket.
        """
        try:
            carrier = socket.socket(fileno=os.dup(fd))
        except OSError:
            return
        try:
            carrier.getpeername()
            if carrier.type == socket.SOCK_STREAM and carrier.family in (socket.AF_INET, socket.AF_INET6):
                carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                self.local_address = str(carrier.getsockname()[0]).partition("%")[0].removeprefix("::ffff:")
                self._carrier = carrier
                return
        except OSError:
            pass
        carrier.close()

    # -- vitals ------------------------------------------------------------------------

    def vitals(self) -> Vitals | None:
        """How long the far end has been quiet, as the kernel sees it; None where it does not tell."""
        info = self._tcp_info()
        if info is None:
            return None
        data_quiet_s = info[_LAST_DATA_RECV] / 1e3
        return Vitals(
            self.gen,
            quiet_s=min(data_quiet_s, info[_LAST_ACK_RECV] / 1e3),
            data_quiet_s=data_quiet_s,
            rtt_s=info[_RTT] / 1e6,
            sending=info[_NOTSENT] > 0 or info[_UNACKED] > 0,
        )

    def _tcp_info(self) -> tuple[int, ...] | None:
        if self._carrier is None or not HAS_TCP_INFO:
            return None
        with contextlib.suppress(OSError, struct.error):
            raw = self._carrier.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            return _TCP_INFO.unpack(raw.ljust(_TCP_INFO.size, b"\0"))
        return None


def _configure(dealer: zmq.Socket[bytes]) -> None:
    """Every option before connect: later ones apply to later connections only."""
    options = {
        zmq.LINGER: 0,
        # Not 1: on a lost connection libzmq then drops what it received and we have not read yet, so a reply
        # that comes together with the end of its link would be lost (4.3.5; tests/test_link_last_words.py).
        # What 1 is for, nothing queued without a connection, holds all the same: `send` follows the
        # handshake, and a connection that ends is never made again.
        zmq.IMMEDIATE: 0,
        zmq.RECONNECT_IVL: -1,
        zmq.HEARTBEAT_IVL: int(HEARTBEAT_IVL_S * 1000),
        zmq.HEARTBEAT_TIMEOUT: HEARTBEAT_TIMEOUT_MS,
        zmq.HANDSHAKE_IVL: HANDSHAKE_IVL_MS,
        zmq.CONNECT_TIMEOUT: CONNECT_TIMEOUT_MS,
        zmq.TCP_MAXRT: TCP_USER_TIMEOUT_MS,
        zmq.MAXMSGSIZE: MAX_MESSAGE_BYTES + TRANSPORT_SLACK_BYTES,
        zmq.SNDHWM: SEND_HWM,
        zmq.RCVHWM: RECV_HWM,
        zmq.IPV6: 1,
    }
    for option, value in options.items():
        dealer.setsockopt(option, value)
