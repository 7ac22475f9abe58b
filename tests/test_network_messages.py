"""Netlink bytes, read: what a dump says, and that no bytes whatever break the reader."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.network import messages as m
from resilience.network.snapshot import Interface, Route, Snapshot

UP = m.IFF_UP | m.IFF_LOWER_UP
FOREVER = 0x80


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def message(kind: int, body: bytes, flags: int = 2) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body + bytes(-len(body) % 4)


def link(index: int, name: str | bytes, flags: int = UP, state: int = m.IF_OPER_UP) -> bytes:
    raw = name.encode() if isinstance(name, str) else name
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0) + attribute(m.IFLA_IFNAME, raw + b"\0")
    return message(
        m.RTM_NEWLINK, body + attribute(13, u32(1000)) + attribute(m.IFLA_OPERSTATE, bytes([state]))
    )


def address(
    index: int, local: str, bits: int, *, peer: str = "", flags: int = FOREVER, scope: int = 0
) -> bytes:
    family = 10 if ":" in local else 2
    body = struct.pack("=BBBBI", family, bits, flags & 0xFF, scope, index)
    body += attribute(m.IFA_ADDRESS, packed(peer or local))
    body += attribute(m.IFA_LOCAL, packed(local)) if family == 2 or peer else b""
    return message(m.RTM_NEWADDR, body + attribute(m.IFA_FLAGS, u32(flags)) + attribute(6, bytes(16)))


def route(to: str, *attributes: bytes, kind: int = m.RTN_UNICAST, table: int = 254, **head: int) -> bytes:
    text, _, bits = to.partition("/")
    body = struct.pack(
        "=BBBBBBBBI",
        10 if ":" in text else 2,
        int(bits),
        head.get("source_bits", 0),
        head.get("service", 0),
        table & 0xFF,
        3,
        head.get("scope", 0),
        kind,
        head.get("flags", 0),
    )
    destination = attribute(m.RTA_DST, packed(text)) if int(bits) else b""
    return message(
        m.RTM_NEWROUTE, body + attribute(m.RTA_TABLE, u32(table)) + destination + b"".join(attributes)
    )


def oif(index: int) -> bytes:
    return attribute(m.RTA_OIF, u32(index))


def via(gateway: str) -> bytes:
    return attribute(m.RTA_GATEWAY, packed(gateway))


def read(*datagrams: bytes) -> Snapshot:
    return m.parse(message for datagram in datagrams for message in m.split(datagram))


def names(snapshot: Snapshot) -> dict[str, bool]:
    return {one.name: one.carrier for one in snapshot.interfaces}


def test_a_whole_network() -> None:
    """Links, addresses and routes come together, in whatever order and however many a datagram."""
    messages = [
        route("0.0.0.0/0", oif(2), via("10.0.0.1"), attribute(m.RTA_PRIORITY, u32(600))),
        route("10.0.0.0/24", oif(2), attribute(m.RTA_PREFSRC, packed("10.0.0.5")), scope=253),
        route("::/0", oif(2), via("fe80::1"), attribute(m.RTA_PRIORITY, u32(1024))),
        address(1, "127.0.0.1", 8, scope=254),
        address(2, "10.0.0.5", 24),
        address(2, "2001:db8::5", 64),
        link(2, "wlan0"),
        link(1, "lo", state=m.IF_OPER_UNKNOWN),
    ]
    expected = Snapshot(
        (
            Interface(1, "lo", up=True, carrier=True, addresses=("127.0.0.1",)),
            Interface(2, "wlan0", up=True, carrier=True, addresses=("10.0.0.5", "2001:db8::5")),
        ),
        (
            Route("0.0.0.0/0", "10.0.0.1", "wlan0", 600, "10.0.0.5"),
            Route("10.0.0.0/24", None, "wlan0", 0, "10.0.0.5"),
            Route("::/0", "fe80::1", "wlan0", 1024),
        ),
    )
    assert read(*messages) == expected
    assert read(b"".join(reversed(messages))) == expected


@pytest.mark.parametrize(
    ("flags", "state", "carrier"),
    [
        (UP, m.IF_OPER_UP, True),
        (UP, m.IF_OPER_UNKNOWN, True),  # loopback, tunnels: they have nothing to report
        (m.IFF_UP, m.IF_OPER_UP, False),  # just lost: the state follows up to a second later
        (UP, 2, False),  # just found: nothing is sent before the state follows
        (UP, 5, False),  # dormant: WiFi associated, not yet authenticated
        (m.IFF_LOWER_UP, m.IF_OPER_UP, False),  # switched off
    ],
)
def test_carrier(flags: int, state: int, *, carrier: bool) -> None:
    """Both the lower layer and the operational state must agree."""
    assert names(read(link(2, "wlan0", flags, state))) == {"wlan0": carrier}


def test_addresses_that_cannot_be_used_are_left_out() -> None:
    """Tentative until checked for duplicates, and for good if there is one; optimistic ones serve at once."""
    held = read(
        link(2, "wlan0"),
        address(2, "fd00::1", 64, flags=m.IFA_F_TENTATIVE),
        address(2, "fd00::2", 64, flags=m.IFA_F_DADFAILED | m.IFA_F_TENTATIVE),
        address(2, "fd00::3", 64, flags=m.IFA_F_TENTATIVE | m.IFA_F_OPTIMISTIC),
        address(7, "fd00::4", 64),
    )
    assert held.interfaces[0].addresses == ("fd00::3",)


def test_addresses_in_order_of_preference() -> None:
    """Privacy addresses first, deprecated ones last and marked; of a point-to-point link our own end."""
    held = read(
        link(2, "wlan0"),
        address(2, "fd00::1", 64, flags=m.IFA_F_DEPRECATED | m.IFA_F_TEMPORARY),
        address(2, "fd00::2", 64),
        address(2, "fd00::3", 64, flags=m.IFA_F_TEMPORARY),
        address(2, "10.8.0.6", 32, peer="10.8.0.5"),
    )
    assert held.interfaces[0].addresses == ("10.8.0.6", "fd00::3", "fd00::2", "fd00::1")
    assert held.interfaces[0].deprecated == ("fd00::1",)


@pytest.mark.parametrize(
    "ignored",
    [
        route("10.0.0.0/8", oif(2), table=255),
        route("10.0.0.0/8", oif(2), table=51820),
        route("10.0.0.0/8", oif(2), service=16),
        route("fd00::/8", oif(2), source_bits=64),
        route("fd00::/8", oif(2), flags=m.RTM_F_CLONED),
        route("10.0.0.0/8", oif(2), flags=m.RTNH_F_DEAD),
        route("10.0.0.0/8", oif(9)),
        route("10.0.0.255/32", oif(2), kind=3),
        message(m.RTM_NEWROUTE, struct.pack("=BBBBBBBBI", 28, 20, 0, 0, 254, 3, 0, 1, 0) + oif(2)),
        message(99, b"anything"),
    ],
)
def test_routes_that_no_plain_connection_takes_are_left_out(ignored: bytes) -> None:
    """Other tables, types of service, sources, caches, dead hops, unknown interfaces, broadcasts, MPLS."""
    assert read(link(2, "wlan0"), ignored).routes == ()


def test_every_living_hop_is_a_route() -> None:
    """Multipath, next hops of the other family, and routes into nothing."""
    hops = b"".join(
        struct.pack("=HBBi", 8 + len(gateway), flags, 0, index) + gateway
        for index, flags, gateway in (
            (2, 0, via("10.0.0.1")),
            (3, m.RTNH_F_DEAD, via("10.1.0.1")),
            (3, 0, b""),
        )
    )
    other = attribute(m.RTA_VIA, struct.pack("=H", 10) + packed("fe80::1"))
    seen = read(
        link(2, "a"),
        link(3, "b"),
        route("10.5.0.0/16", attribute(m.RTA_MULTIPATH, hops)),
        route("10.6.0.0/16", oif(2), other),
        route("10.7.0.0/16", kind=6),
    )
    assert seen.routes == (
        Route("10.5.0.0/16", "10.0.0.1", "a"),
        Route("10.5.0.0/16", None, "b"),
        Route("10.6.0.0/16", "fe80::1", "a"),
        Route("10.7.0.0/16", None, ""),
    )


def test_the_source_a_route_does_not_name() -> None:
    """In the gateway's subnet, else the first primary address, else borrowed from another interface."""
    seen = read(
        link(2, "a"),
        link(3, "tun"),
        address(2, "10.0.0.5", 24),
        address(2, "10.0.0.6", 24, flags=m.IFA_F_SECONDARY),
        address(2, "10.2.0.5", 24),
        route("10.5.0.0/16", oif(2), via("10.2.0.1")),
        route("10.6.0.0/16", oif(2), via("10.9.0.1")),
        route("10.7.0.0/16", oif(3)),
    )
    assert [one.source for one in seen.routes] == ["10.2.0.5", "10.0.0.5", "10.0.0.5"]


def test_names_are_fit_for_a_terminal() -> None:
    """The kernel takes escape sequences for names; we do not print them."""
    assert list(names(read(link(2, b"\x1b[2J"), link(3, b"w\xff"), link(4, "wläñ0"), link(5, b"")))) == [
        "\\x1b[2J",
        "w\\xff",
        "wläñ0",
        "#5",
    ]


def test_what_ends_a_dump() -> None:
    """Done is done; an error carries the kernel's words; an interrupted dump asks to be repeated."""

    def first(datagram: bytes) -> m.Message:
        return next(m.split(datagram))

    assert m.ends_dump(first(message(m.NLMSG_DONE, bytes(4))))
    assert not m.ends_dump(first(link(2, "wlan0")))
    assert not m.ends_dump(first(message(m.NLMSG_ERROR, bytes(4))))  # an acknowledgement
    with pytest.raises(m.NetlinkError, match="Operation not permitted"):
        m.ends_dump(first(message(m.NLMSG_ERROR, struct.pack("=i", -errno.EPERM))))
    with pytest.raises(m.NetlinkError, match="No such file"):
        m.ends_dump(first(message(m.NLMSG_DONE, struct.pack("=i", -errno.ENOENT))))
    for interrupted in (
        link(2, "wlan0")[:6] + b"\x10\0" + link(2, "wlan0")[8:],
        message(m.NLMSG_OVERRUN, b""),
    ):
        with pytest.raises(m.InterruptedDumpError):
            m.ends_dump(first(interrupted))


def test_more_than_can_be_handled_is_refused() -> None:
    """A full internet routing table on the event loop would be a stall of our own making."""
    flood = message(99, b"") * (m.MAX_OBJECTS + 1)
    with pytest.raises(m.NetlinkError, match="more than 16,384") as caught:
        read(flood)
    assert caught.value.doing == "reading the network"


@pytest.mark.parametrize(
    "broken",
    [
        b"\0",
        link(2, "wlan0")[:-1],
        link(2, "wlan0") + b"\0\0",
        struct.pack("=IHHII", 15, 99, 0, 0, 0),
        struct.pack("=IHHII", 0, 99, 0, 0, 0),
        message(m.RTM_NEWLINK, bytes(15)),
        message(m.RTM_NEWLINK, bytes(16) + struct.pack("=HH", 3, 3)),
        message(m.RTM_NEWLINK, bytes(16) + struct.pack("=HH", 9, 3)),
        message(m.RTM_NEWADDR, struct.pack("=BBBBI", 2, 24, 0, 0, 2) + attribute(m.IFA_LOCAL, bytes(3))),
        address(2, "10.0.0.5", 33),
        address(2, "fd00::5", 129),
        message(m.RTM_NEWROUTE, bytes(11)),
        route("10.0.0.0/33", oif(2)),
        route("10.0.0.0/8", attribute(m.RTA_OIF, bytes(2))),
        route("10.0.0.0/8", attribute(m.RTA_MULTIPATH, struct.pack("=HBBi", 7, 0, 0, 2))),
        route("10.0.0.0/8", oif(2), attribute(m.RTA_VIA, struct.pack("=H", 10) + bytes(4))),
    ],
)
def test_malformed(broken: bytes) -> None:
    """Lengths that make no sense are an error with words, never a guess."""
    with pytest.raises(m.NetlinkError, match="reading the kernel's answer"):
        read(broken)


# -- fuzzing -------------------------------------------------------------------------

_attributes = st.lists(
    st.builds(
        lambda kind, value, lie: (
            struct.pack("=HH", max(0, 4 + len(value) + lie), kind) + value + bytes(-len(value) % 4)
        ),
        st.integers(0, 33) | st.integers(0, 0xFFFF),
        st.binary(max_size=20) | st.sampled_from([bytes(4), u32(2), packed("10.0.0.1"), packed("fe80::1")]),
        st.just(0) | st.integers(-5, 5),
    ),
    max_size=6,
).map(b"".join)
_likely = st.builds(
    lambda kind, head, rest, flags: message(kind, head + rest, flags),
    st.sampled_from(
        [m.RTM_NEWLINK, m.RTM_NEWADDR, m.RTM_NEWROUTE, m.NLMSG_ERROR, m.NLMSG_DONE, m.NLMSG_OVERRUN, 99]
    ),
    st.sampled_from([8, 12, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
    | st.builds(
        lambda *head: struct.pack("=BBBBBBBBI", *head, 0), *([st.sampled_from([0, 1, 2, 10, 24, 254])] * 8)
    ),
    _attributes,
    st.sampled_from([0, 2, m.NLM_F_DUMP_INTR]),
)
_sound = [
    link(2, "wlan0"),
    address(2, "10.0.0.5", 24),
    address(2, "2001:db8::5", 64),
    route("10.0.0.0/8", oif(2), via("10.0.0.1"), attribute(m.RTA_PRIORITY, u32(1))),
    route("10.5.0.0/16", attribute(m.RTA_MULTIPATH, struct.pack("=HBBi", 16, 0, 0, 2) + via("10.0.0.1"))),
]


def swallow(datagrams: Iterable[bytes]) -> Snapshot | None:
    messages = []
    try:
        for datagram in datagrams:
            for one in m.split(datagram):
                if m.ends_dump(one):
                    break
                messages.append(one)
        return m.parse(messages)
    except m.NetlinkError:
        return None


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_garbage_is_refused_in_order(datagrams: list[bytes]) -> None:
    """Nothing but NetlinkError, and what is accepted can be asked for paths."""
    snapshot = swallow(datagrams)
    assert snapshot is None or snapshot.path_to("8.8.8.8") is None


@settings(max_examples=400)
@given(st.lists(_likely, max_size=5))
def test_likely_garbage_is_refused_in_order(datagrams: list[bytes]) -> None:
    """The same for messages with sound headers and anything inside."""
    snapshot = swallow([link(2, "wlan0"), *datagrams])
    if snapshot is not None:
        snapshot.path_to("8.8.8.8")
        snapshot.path_to("2001:db8::1")
        snapshot.has_address("10.0.0.5")


@settings(max_examples=400)
@given(st.permutations(_sound), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4))
def test_a_damaged_dump_is_refused_or_read(messages: list[bytes], damage: list[tuple[int, int]]) -> None:
    """The same for a real dump with a few bytes overwritten."""
    dump = bytearray(b"".join(messages))
    for position, value in damage:
        dump[position % len(dump)] = value
    snapshot = swallow([bytes(dump)])
    if not damage:
        assert snapshot is not None
        assert len(snapshot.routes) == 2
    if snapshot is not None:
        snapshot.path_to("10.5.1.1")
