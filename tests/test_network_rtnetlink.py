"""The two netlink sockets on this machine, without privileges."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from resilience.network import rtnetlink
from resilience.network.messages import NLMSG_DONE, InterruptedDumpError, Message, NetlinkError, parse
from resilience.network.rtnetlink import TRIES, EventSocket, Reader
from resilience.network.snapshot import Snapshot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rtnetlink is Linux")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_this_machine_is_read() -> None:
    """Loopback at least; interfaces alone are the same interfaces without their addresses."""
    with Reader() as reader:
        seen = reader.read_all()
        alone = reader.read_interfaces()
    assert seen.interfaces
    assert [one.name for one in alone] == [one.name for one in seen.interfaces]
    assert [one.name for one in seen.interfaces] == [name for _, name in sorted(socket.if_nameindex())]
    assert all(one.addresses == () for one in alone)


def test_kernels_without_strict_checking_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """They send every table; ours is sorted out here."""
    with Reader() as reader:
        strict = reader.read_all()
    monkeypatch.setattr(rtnetlink, "NETLINK_GET_STRICT_CHK", 9_999)
    with Reader() as reader:
        assert reader.read_all() == strict


def test_after_an_error_the_next_reading_starts_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer left in the socket would be taken for the next one."""
    errors: list[BaseException] = [KeyboardInterrupt(), NetlinkError("parsing", "nonsense"), OSError("gone")]

    def failing(messages: Iterable[Message]) -> Snapshot:
        if errors:
            raise errors.pop()
        return parse(messages)

    with Reader() as reader:
        expected = reader.read_all()
        before = descriptors()
        monkeypatch.setattr(rtnetlink, "parse", failing)
        for kind in (NetlinkError, NetlinkError, KeyboardInterrupt):
            with pytest.raises(kind):
                reader.read_all()
            assert descriptors() == before - 1
        assert reader.read_all() == expected
        assert descriptors() == before


def test_a_reader_repeats_a_spoilt_dump_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are sound the second time. Then it says so, rather than go on for ever."""
    spoilt = 0

    def dump(*_: object) -> list[object]:
        nonlocal spoilt
        spoilt -= 1
        if spoilt >= 0:
            raise InterruptedDumpError("reading", "changed")
        return []

    monkeypatch.setattr(Reader, "_dump", dump)
    spoilt = TRIES - 1
    assert Reader().read_all() == Snapshot()
    spoilt = TRIES
    with pytest.raises(InterruptedDumpError):
        Reader().read_all()


def test_only_the_kernel_is_listened_to() -> None:
    """Another process may send to our socket (root may); it cannot end our dump."""
    end = struct.pack("=IHHIIi", 20, NLMSG_DONE, 0, 0, 0, 0)
    with (
        Reader() as reader,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as stranger,
    ):
        expected = reader.read_all()
        assert reader._socket is not None
        try:
            stranger.sendto(end, (reader._socket.getsockname()[0], 0))
        except PermissionError:
            pytest.skip("only root can play the stranger")
        assert reader.read_all() == expected


def test_an_answer_larger_than_the_buffer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a reading that silently lacks its end."""
    monkeypatch.setattr(rtnetlink, "ANSWER_BYTES", 64)
    with Reader() as reader, pytest.raises(NetlinkError, match="one answer has"):
        reader.read_all()


def test_no_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop does not wait for ever for a kernel that keeps silent."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.settimeout(0)
    monkeypatch.setattr(rtnetlink, "_open_for_questions", lambda: left)
    with right, Reader() as reader, pytest.raises(NetlinkError, match="temporarily unavailable"):
        reader.read_all()


def test_questions_have_a_time_limit() -> None:
    """Set on the real socket."""
    with rtnetlink._open_for_questions() as asking:
        seconds, _ = struct.unpack("ll", asking.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    assert seconds == rtnetlink.ANSWER_S


def test_the_event_socket_waits_without_blocking() -> None:
    """Nothing announced, nothing lost; closed, it leaves no descriptor."""
    before = descriptors()
    events = EventSocket()
    assert events.drain() is False
    assert os.fstat(events.fileno())
    events.close()
    assert descriptors() == before


def test_a_refusal_is_a_netlink_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the socket call or by bind, with the system's words, and no descriptor left."""
    before = descriptors()

    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(1, f"not to {address}")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(NetlinkError, match=r"subscribing to changes: .*not to"):
        EventSocket()
    assert descriptors() == before
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(NetlinkError, match="plan9 has no rtnetlink"):
        EventSocket()
