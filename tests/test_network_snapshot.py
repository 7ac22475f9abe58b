"""Paths and differences: pure, on tables."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.network.addresses import network, numeric
from resilience.network.snapshot import (
    MAX_PHRASES,
    Bound,
    Delta,
    Interface,
    Path,
    Route,
    Snapshot,
    diff,
    with_opened,
)

LO = Interface(1, "lo", up=True, carrier=True, addresses=("127.0.0.1", "::1"))
WLAN = Interface(
    2, "wlan0", up=True, carrier=True, addresses=("10.0.0.5", "10.0.0.6", "2001:db8:1::5", "fe80::5")
)
WIRE = Interface(3, "eth0", up=True, carrier=True, addresses=("192.168.7.2", "fd00::2", "fe80::5"))
PULLED = Interface(4, "eth1", up=True, carrier=False, addresses=("172.20.0.2",))
DOWN = Interface(5, "eth2", up=False, carrier=False, addresses=("172.21.0.2",))
BARE = Interface(6, "eth3", up=True, carrier=True, addresses=("fe80::6",))

HOME = Snapshot(
    (LO, WLAN, WIRE, PULLED, DOWN, BARE),
    (
        Route("0.0.0.0/0", "10.0.0.1", "wlan0", 600, "10.0.0.5"),
        Route("0.0.0.0/0", "192.168.7.1", "eth0", 700, "192.168.7.2"),
        Route("10.0.0.0/24", None, "wlan0", 0, "10.0.0.5"),
        Route("10.9.0.0/16", "192.168.7.9", "eth0"),
        Route("10.9.8.0/24", "10.0.0.9", "wlan0", 900, "10.0.0.6"),
        Route("172.20.0.0/16", None, "eth1", 0, "172.20.0.2"),
        Route("172.21.0.0/16", None, "eth2", 0, "172.21.0.2"),
        Route("172.22.0.0/16", None, "eth3"),
        Route("172.23.0.0/16", None, "wlan0", 0, "10.99.99.99"),
        Route("172.24.0.0/16", None, ""),
        Route("172.25.0.0/16", None, "gone0"),
        Route("::/0", "fe80::1", "wlan0", 1024),
        Route("fd00::/8", "fd00::1", "eth0", 1024),
        Route("2001:db8:77::/48", "fe80::1", "eth3", 1024),
    ),
)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("8.8.8.8", Path("10.0.0.5", "wlan0", "10.0.0.1")),  # of two default routes the lower metric
        ("10.0.0.77", Path("10.0.0.5", "wlan0", None)),  # a neighbour
        (
            "10.9.1.1",
            Path("192.168.7.2", "eth0", "192.168.7.9"),
        ),  # no source in the route: the interface's first
        ("10.9.8.1", Path("10.0.0.6", "wlan0", "10.0.0.9")),  # the longer prefix, whatever its metric
        ("::ffff:10.9.8.1", Path("10.0.0.6", "wlan0", "10.0.0.9")),  # as a dual-stack socket writes it
        ("2001:db8:2::1", Path("2001:db8:1::5", "wlan0", "fe80::1")),  # never from the link-local address
        ("fd00:1::1", Path("fd00::2", "eth0", "fd00::1")),
        ("fe80::99%eth0", Path("fe80::5", "eth0", None)),
        ("fe80::99%eth3", Path("fe80::6", "eth3", None)),
        ("127.0.0.1", Path("127.0.0.1", "lo", None)),
        ("127.1.2.3", Path("127.0.0.1", "lo", None)),
        ("0.0.0.0", Path("127.0.0.1", "lo", None)),  # noqa: S104 - nothing is bound: connect takes it for loopback
        ("::1", Path("::1", "lo", None)),
        ("10.0.0.6", Path("10.0.0.6", "lo", None)),  # our own
        ("2001:db8:1::5", Path("2001:db8:1::5", "lo", None)),
        ("172.20.0.2", Path("172.20.0.2", "lo", None)),  # our own needs no carrier
        ("fe80::5%wlan0", Path("fe80::5", "lo", None)),
        ("fe80::5%eth3", Path("fe80::6", "eth3", None)),  # ours on other links, a neighbour's on this one
    ],
)
def test_path(address: str, path: Path) -> None:
    """The way the kernel would send it."""
    assert HOME.path_to(address) == path


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("172.20.0.9", "its interface has no carrier, and the default route is no substitute"),
        ("172.21.0.9", "its interface is down"),
        ("172.22.0.9", "its interface has no address to start from"),
        ("172.23.0.9", "the route's own source address is not here any more"),
        ("172.24.0.9", "the route throws packets away"),
        ("172.25.0.9", "the route's interface is not here"),
        ("2001:db8:77::1", "its interface has only a link-local address"),
        ("fe80::99", "a link-local address without its zone"),
        ("fe80::99%gone0", "a zone that is not here"),
        ("224.0.0.1", "multicast"),
        ("ff02::1%wlan0", "multicast"),
        ("255.255.255.255", "broadcast"),
    ],
)
def test_no_path(address: str, why: str) -> None:
    """None, rather than a path that leads nowhere."""
    assert HOME.path_to(address) is None, why


def test_no_routes_no_path() -> None:
    """An empty network leads nowhere, not even to itself."""
    assert Snapshot().path_to("127.0.0.1") is None
    assert Snapshot((LO, WLAN)).path_to("8.8.8.8") is None
    assert Snapshot((replace(LO, up=False), WLAN)).path_to("10.0.0.5") is None


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0", "10.0.0.1/24", "1.2.3.4.5", "::g", "10.0.0.1\0", "\udc80"]
)
def test_not_an_address(text: str) -> None:
    """Names are for the resolver: asking with one is the caller's mistake."""
    with pytest.raises(ValueError, match=r"address|null|surrogates"):
        HOME.path_to(text)


def test_has_address() -> None:
    """Whether a link's own address still exists, in any spelling of it."""
    assert HOME.has_address("10.0.0.5")
    assert HOME.has_address("::ffff:10.0.0.5")
    assert HOME.has_address("2001:DB8:1:0::5")
    assert HOME.has_address("fe80::5")
    assert HOME.has_address("fe80::5%eth0")
    assert not HOME.has_address("fe80::5%eth3")
    assert not HOME.has_address("10.0.0.7")


def test_deprecated_addresses_serve_old_connections_only() -> None:
    """New connections start from another address, while the old one still counts as ours."""
    moved = replace(WLAN, addresses=("2001:db8:2::5", "2001:db8:1::5"), deprecated=("2001:db8:2::5",))
    network = Snapshot((LO, moved), HOME.routes)
    path = network.path_to("2001:db8:2::77")
    assert path is not None
    assert path.local_address == "2001:db8:1::5"
    assert network.has_address("2001:db8:2::5")


def test_equal_networks_are_equal_snapshots() -> None:
    """Whatever order the pieces came in, and however often."""
    shuffled = Snapshot((*HOME.interfaces[::-1], LO), (*HOME.routes[::-1], HOME.routes[0]))
    assert shuffled == HOME
    assert not diff(HOME, shuffled)
    assert [one.index for one in shuffled.interfaces] == [1, 2, 3, 4, 5, 6]
    HOME.path_to("8.8.8.8")
    assert hash(shuffled) == hash(HOME)  # what has been looked up does not count


def test_an_unrelated_interface_leaves_paths_alone() -> None:
    """Containers coming and going are a difference, but not to our path."""
    docker = Interface(9, "docker0", up=True, carrier=True, addresses=("172.17.0.1",))
    busier = Snapshot((*HOME.interfaces, docker), (*HOME.routes, Route("172.17.0.0/16", None, "docker0")))
    assert diff(HOME, busier)
    for address in ("8.8.8.8", "10.9.8.1", "2001:db8:2::1", "127.0.0.1", "10.0.0.5"):
        assert HOME.path_to(address) == busier.path_to(address)


def test_delta_tells_each_kind_apart() -> None:
    """Every way to differ has its own field."""
    plain = Snapshot((LO, WLAN, WIRE))
    assert diff(plain, Snapshot((LO, WLAN))) == Delta(
        interfaces_gone=("eth0",), addresses_gone=tuple(Bound(one, "eth0") for one in WIRE.addresses)
    )
    assert diff(Snapshot((LO,)), Snapshot((LO, BARE))) == Delta(
        interfaces_came=("eth3",), addresses_came=(Bound("fe80::6", "eth3"),)
    )
    dark = Snapshot((LO, replace(WLAN, carrier=False), WIRE))
    assert diff(plain, dark) == Delta(carrier_lost=("wlan0",))
    assert diff(dark, plain) == Delta(carrier_found=("wlan0",))
    off = Snapshot((LO, replace(WLAN, up=False, carrier=False), WIRE))
    assert diff(plain, off) == Delta(went_down=("wlan0",), carrier_lost=("wlan0",))
    assert diff(off, plain) == Delta(went_up=("wlan0",), carrier_found=("wlan0",))
    reordered = Snapshot((LO, replace(WLAN, addresses=WLAN.addresses[::-1]), WIRE))
    assert diff(plain, reordered) == Delta(preference_changed=("wlan0",))
    fading = Snapshot((LO, replace(WLAN, deprecated=("2001:db8:1::5",)), WIRE))
    assert diff(plain, fading) == Delta(preference_changed=("wlan0",))
    route = Route("10.1.0.0/16", "10.0.0.1", "wlan0")
    routed, dearer = (
        Snapshot(plain.interfaces, (route,)),
        Snapshot(plain.interfaces, (replace(route, metric=5),)),
    )
    assert diff(plain, routed) == Delta(routes_came=(route,))
    assert diff(routed, dearer) == Delta(routes_gone=(route,), routes_came=(replace(route, metric=5),))


def test_an_interface_just_opened_has_its_carrier_before_the_kernel_says_so() -> None:
    """Until the kernel agrees; but not if the lower layer came up later, or went away, or was never there."""
    closed = Snapshot((LO, replace(WLAN, up=False, carrier=False)))
    unsaid = Snapshot((LO, replace(WLAN, carrier=False, lower_up=True)))
    dark = Snapshot((LO, replace(WLAN, carrier=False)))
    opened = with_opened(closed, unsaid)
    assert opened == Snapshot((LO, WLAN))
    assert with_opened(opened, unsaid) == opened
    assert with_opened(opened, dark) == dark
    assert with_opened(dark, unsaid) == unsaid
    assert with_opened(Snapshot((LO,)), unsaid) == opened  # never seen before: nobody is told to wait
    assert with_opened(closed, dark) == dark


def test_a_replaced_interface_went_and_came() -> None:
    """A dongle pulled and plugged has the same name and another index: connections through it are gone."""
    delta = diff(Snapshot((LO, WLAN)), Snapshot((LO, replace(WLAN, index=77))))
    assert (delta.interfaces_gone, delta.interfaces_came) == (("wlan0",), ("wlan0",))


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (Delta(), "nothing changed"),
        (
            Delta(
                carrier_lost=("wlan0",),
                addresses_gone=(Bound("10.0.0.5", "wlan0"), Bound("fe80::5", "wlan0")),
            ),
            "wlan0 lost its carrier; 10.0.0.5 is gone",
        ),
        (Delta(went_down=("wlan0",), carrier_lost=("wlan0",)), "wlan0 went down"),
        (Delta(went_up=("wlan0",), carrier_found=("wlan0",)), "wlan0 has a carrier"),
        (Delta(went_up=("wlan0",)), "wlan0 went up"),
        (Delta(addresses_gone=(Bound("fe80::5", "wlan0"),)), "fe80::5 is gone from wlan0"),
        (
            Delta(
                addresses_came=(Bound("10.2.0.5", "wlan1"),),
                routes_came=(Route("0.0.0.0/0", "10.2.0.1", "wlan1"), Route("10.2.0.0/24", None, "wlan1")),
            ),
            "wlan1 has 10.2.0.5; the default route via 10.2.0.1 on wlan1 appeared",
        ),
        (
            Delta(routes_gone=(Route("10.9.0.0/16", None, ""),)),
            "the route to 10.9.0.0/16 into nothing is gone",
        ),
        (
            Delta(interfaces_came=tuple(f"veth{n}" for n in range(40))),
            "; ".join(f"veth{n} appeared" for n in range(MAX_PHRASES)) + "; and 34 changes more",
        ),
    ],
)
def test_describe(delta: Delta, words: str) -> None:
    """What people read: the cause first, its consequences left out, never longer than a line."""
    assert delta.describe() == words


# -- properties ----------------------------------------------------------------------

_v4 = st.integers(0, 3).map(lambda n: f"10.0.0.{n}")
_v6 = st.integers(0, 3).map(lambda n: f"fd00::{n:x}")
_addresses = st.lists(_v4 | _v6, max_size=3).map(tuple)
_interfaces = st.lists(
    st.builds(
        Interface,
        index=st.integers(1, 4),
        name=st.sampled_from(["a", "b", "c"]),
        up=st.booleans(),
        carrier=st.booleans(),
        addresses=_addresses,
        deprecated=st.lists(_v6, max_size=1).map(tuple),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
).map(tuple)
_destinations = st.builds(
    lambda value, bits: str(ipaddress.ip_network((value << 24, bits), strict=False)),
    st.integers(8, 11),
    st.integers(0, 32),
)
_routes = st.lists(
    st.builds(
        Route,
        destination=_destinations,
        gateway=st.none() | _v4,
        interface=st.sampled_from(["a", "b", "c", ""]),
        metric=st.integers(0, 2),
        source=st.none() | _v4,
    ),
    max_size=6,
).map(tuple)
_snapshots = st.builds(Snapshot, _interfaces, _routes)


@given(_snapshots, _snapshots)
def test_a_delta_is_true_exactly_when_something_differs(old: Snapshot, new: Snapshot) -> None:
    """Refreshed leases and repeated messages (tailscale#4282) are no change, and no change is missed."""
    assert bool(diff(old, new)) == (old != new)
    assert not diff(new, replace(new))
    assert diff(old, new).describe().count(";") <= MAX_PHRASES


@given(_snapshots, st.integers(0, 2**32 - 1))
def test_the_route_is_the_one_a_plain_search_finds(snapshot: Snapshot, value: int) -> None:
    """Longest prefix, then metric, against a search that takes its time."""
    address = ipaddress.IPv4Address(value)
    if address.is_loopback or address.is_multicast or not value or snapshot.has_address(str(address)):
        return
    matching = [one for one in snapshot.routes if address in ipaddress.ip_network(one.destination)]
    path = snapshot.path_to(str(address))
    if not matching:
        assert path is None
        return
    best = min(matching, key=lambda one: (-ipaddress.ip_network(one.destination).prefixlen, one.metric))
    usable = [one for one in snapshot.interfaces if one.name == best.interface and one.up and one.carrier]
    if path is not None:
        assert usable
        assert (path.interface, path.gateway) == (best.interface, best.gateway)
        assert path.local_address == best.source or best.source is None
        assert snapshot.has_address(path.local_address)
    elif usable:
        sources = [best.source] if best.source else [one for one in usable[0].addresses if "." in one]
        assert not any(snapshot.has_address(one) for one in sources)


@given(st.ip_addresses())
def test_addresses_are_read_and_written_as_usual(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Against the standard library, whose objects are too slow for a thousand images at once."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    expected = mapped or address
    read = numeric(str(address))
    assert (read.version, read.value) == (expected.version, int(expected))
    assert ipaddress.ip_address(str(read)) == expected
    assert read.link_local == expected.is_link_local
    assert read.loopback == (expected.is_loopback or expected.is_unspecified)


@pytest.mark.parametrize(
    "cidr", ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "fd00::/129", "x/8", "10.0.0.0/a"]
)
def test_not_a_network(cidr: str) -> None:
    """A malformed route is refused rather than matched by accident."""
    with pytest.raises(ValueError, match=r"network|address|literal"):
        network(cidr)
