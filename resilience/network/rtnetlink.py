"""The kernel's network, read and watched through the standard library's AF_NETLINK. Linux only.

Two sockets: one asks, the other is told. What it is told is thrown away: a message, or the loss of
messages, means only that it is time to ask again.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from typing import Self

from resilience.network.messages import (
    IFLA_EXT_MASK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    RT_TABLE_MAIN,
    RTA_TABLE,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETROUTE,
    InterruptedDumpError,
    Message,
    NetlinkError,
    ends_dump,
    parse,
    split,
)
from resilience.network.snapshot import Interface, Snapshot

SOL_NETLINK, NETLINK_GET_STRICT_CHK, SO_RCVBUFFORCE = 270, 12, 33
RTEXT_FILTER_SKIP_STATS = 8

GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE."""

EVENT_BUFFER_BYTES = 1 << 20
"""Some 800 messages at the kernel's accounting. An overflow costs nothing but the certainty of a re-read."""

MAX_DRAINED = 1_024
"""Messages thrown away in one go, about 1 ms; the rest keeps the socket readable."""

ANSWER_BYTES = 1 << 18
"""The kernel fills 32 KiB at most, except for one message that is longer by itself."""

ANSWER_S = 1
"""A dump is made while we ask for it. A second without an answer: there will be none."""

TRIES = 4
"""Of a reading during which the network changed. What changed has also sent an event: the next is near."""

_LINKS = RTM_GETLINK, struct.pack("=BxHiIIHHI", 0, 0, 0, 0, 0, 8, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
_ADDRESSES = RTM_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0)
_ROUTES = (
    RTM_GETROUTE,
    struct.pack("=BBBBBBBBIHHI", 0, 0, 0, 0, RT_TABLE_MAIN, 0, 0, 0, 0, 8, RTA_TABLE, RT_TABLE_MAIN),
)


class EventSocket:
    """Readable when something about links, addresses or routes changed.

    Raises:
        NetlinkError: the kernel, or a container's policy, refuses.
    """

    def __init__(self, buffer_bytes: int = EVENT_BUFFER_BYTES) -> None:
        self._socket = _open()
        try:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
            except PermissionError:  # needs CAP_NET_ADMIN; without it net.core.rmem_max is the limit
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self._socket.settimeout(0)
            self._socket.bind((0, GROUPS))
        except OSError as error:
            self._socket.close()
            raise NetlinkError("subscribing to changes", str(error)) from error
        self._rest = bytearray(1)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Throw away what has arrived. Returns whether messages were lost before they could be read.

        Raises:
            NetlinkError: the socket is broken.
        """
        lost = False
        for _ in range(MAX_DRAINED):
            try:
                self._socket.recv_into(self._rest)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise NetlinkError("waiting for changes", str(error)) from error
                lost = True
        return lost

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class Reader:
    """Asks the kernel. The socket is opened when needed, after an error anew: half an answer may be in it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(ANSWER_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_all(self) -> Snapshot:
        """Links, addresses and the main routing table, as they are now.

        Raises:
            InterruptedDumpError: the network changed during every try; ask again a little later.
            NetlinkError: the kernel refuses, or its answer makes no sense.
        """
        return self._read(_LINKS, _ADDRESSES, _ROUTES)

    def read_interfaces(self) -> tuple[Interface, ...]:
        """The interfaces alone, without their addresses: shows a carrier before the kernel announces it.

        Raises:
            InterruptedDumpError, NetlinkError: as `read_all`.
        """
        return self._read(_LINKS).interfaces

    def close(self) -> None:
        """Close the socket; the next reading opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read(self, *requests: tuple[int, bytes]) -> Snapshot:
        for tries_left in reversed(range(TRIES)):
            try:
                return parse([message for request in requests for message in self._dump(*request)])
            except InterruptedDumpError:
                self.close()
                if not tries_left:
                    raise
            except OSError as error:
                self.close()
                raise NetlinkError("asking the kernel", str(error)) from error
            except BaseException:
                self.close()
                raise
        raise AssertionError  # the last try returns or raises

    def _dump(self, kind: int, body: bytes) -> list[Message]:
        asking = self._socket = self._socket or _open_for_questions()
        asking.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, 0, 0) + body)
        messages: list[Message] = []
        while True:
            size, (sender, _) = asking.recvfrom_into(self._buffer, 0, socket.MSG_TRUNC)
            if sender:
                continue  # from another process: the kernel is number 0
            if size > len(self._buffer):
                raise NetlinkError("reading the network", f"one answer has {size:,} bytes")
            for message in split(bytes(self._buffer[:size])):
                if ends_dump(message):
                    return messages
                messages.append(message)


def _open() -> socket.socket:
    if sys.platform != "linux":
        raise NetlinkError("opening a socket", f"{sys.platform} has no rtnetlink")
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    except OSError as error:
        raise NetlinkError("opening a socket", str(error)) from error


def _open_for_questions() -> socket.socket:
    asking = _open()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", ANSWER_S, 0))
    with contextlib.suppress(OSError):  # before Linux 4.20: all tables come, and `parse` sorts them out
        asking.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    return asking
