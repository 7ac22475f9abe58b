"""The bytes of rtnetlink, read. Pure: whatever the bytes, the only error is `NetlinkError`.

Numbers are those of Linux `include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,if}.h`,
which never change, and not of the platform this runs on.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from resilience.errors import ResilienceError
from resilience.network.addresses import BITS, V4, V6, Numeric, Prefix
from resilience.network.snapshot import DISCARD, Interface, Route, Snapshot

NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 20, 24
RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE = 18, 22, 26
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x10, 0x300

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
IFLA_IFNAME, IFLA_OPERSTATE, IFLA_EXT_MASK = 3, 16, 29
IF_OPER_UNKNOWN, IF_OPER_UP = 0, 6

IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_SECONDARY, IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = (
    0x1,
    0x4,
    0x8,
    0x20,
    0x40,
)
IFA_F_TEMPORARY = IFA_F_SECONDARY  # one bit: a secondary in IPv4, a privacy address in IPv6

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH, RTA_TABLE, RTA_VIA = (
    1,
    4,
    5,
    6,
    7,
    9,
    15,
    18,
)
RT_TABLE_MAIN, RTM_F_CLONED, RTNH_F_DEAD, RT_SCOPE_LINK, RT_SCOPE_HOST = 254, 0x200, 1, 253, 254
RTN_UNICAST = 1
RTN_DISCARDING = range(
    6, 10
)  # blackhole, unreachable, prohibit, and throw: after main nothing is left to try

VERSIONS = {2: V4, 10: V6}  # AF_INET, AF_INET6

MAX_OBJECTS = 16_384
"""Parsing takes about 5 µs each and happens on the event loop. A machine with more routes is polled."""

MAX_ERRNO = 4_095
"""include/linux/err.h."""

NLA_TYPE_MASK = 0x3FFF  # the other two bits are flags

_OF_LINKS = frozenset({IFLA_IFNAME, IFLA_OPERSTATE})
_OF_ADDRESSES = frozenset({IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS})
_OF_HOPS = frozenset({RTA_GATEWAY, RTA_VIA})
_OF_ROUTES = _OF_HOPS | {RTA_DST, RTA_OIF, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH, RTA_TABLE}

_MESSAGE = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")
_U32 = struct.Struct("=I")


class NetlinkError(ResilienceError):
    """The kernel's view of the network could not be read through netlink.

    Attributes:
        doing: what was tried.
        problem: what went wrong.
    """

    def __init__(self, doing: str, problem: str) -> None:
        self.doing = doing
        self.problem = problem
        super().__init__(f"netlink: {doing}: {problem}; polling does the same, slower and without carrier")


class InterruptedDumpError(NetlinkError):
    """The network changed while it was being read: read again."""


class Message(NamedTuple):
    """One netlink message without its header."""

    kind: int
    flags: int
    body: bytes


def split(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram.

    Raises:
        NetlinkError: it is truncated, or its lengths make no sense.
    """
    offset = 0
    while len(datagram) - offset >= _MESSAGE.size:
        length, kind, flags, _, _ = _MESSAGE.unpack_from(datagram, offset)
        if not _MESSAGE.size <= length <= len(datagram) - offset:
            raise _malformed(f"a message of {length} bytes where {len(datagram) - offset} are left")
        yield Message(kind, flags, datagram[offset + _MESSAGE.size : offset + length])
        offset += _aligned(length)
    if offset < len(datagram):
        raise _malformed(f"{len(datagram) - offset} bytes where a header was expected")


def ends_dump(message: Message) -> bool:
    """Whether `message` is the end of a dump.

    Raises:
        InterruptedDumpError: what was dumped does not fit together.
        NetlinkError: the kernel reports an error.
    """
    if message.flags & NLM_F_DUMP_INTR or message.kind == NLMSG_OVERRUN:
        raise InterruptedDumpError("reading the network", "it changed meanwhile")
    if message.kind not in {NLMSG_ERROR, NLMSG_DONE}:
        return False
    code = -int.from_bytes(message.body[:4], sys.byteorder, signed=True)
    if code:
        raise NetlinkError(
            "asking the kernel", os.strerror(code) if 0 < code <= MAX_ERRNO else f"error {code}"
        )
    return message.kind == NLMSG_DONE


def parse(messages: Iterable[Message]) -> Snapshot:
    """What a complete dump of links, addresses and routes says. Other messages are ignored.

    Left out: addresses still being checked for duplicates or found to be some, routes
    outside the main table, of a type of service or from a source prefix, dead next
    hops, and whatever belongs to an interface that the dump does not have.

    Raises:
        NetlinkError: malformed, or more than `MAX_OBJECTS`.
    """
    links: dict[int, Interface] = {}
    addresses: dict[int, list[_Address]] = {}
    routes: list[_Route] = []
    try:
        for count, message in enumerate(messages):
            if count >= MAX_OBJECTS:
                raise NetlinkError(
                    "reading the network", f"more than {MAX_OBJECTS:,} interfaces, addresses and routes"
                )
            if message.kind == RTM_NEWLINK:
                link = _link(message.body)
                links[link.index] = link
            elif message.kind == RTM_NEWADDR:
                if (address := _address(message.body)) is not None:
                    addresses.setdefault(address.link, []).append(address)
            elif message.kind == RTM_NEWROUTE:
                routes.extend(_routes(message.body))
    except struct.error as error:
        raise _malformed(str(error)) from None
    held = {index: sorted(addresses.get(index, ()), key=_Address.preference) for index in sorted(links)}
    choose = _SourceV4(held)
    return Snapshot(
        tuple(
            Interface(
                index,
                link.name,
                link.up,
                link.carrier,
                tuple(str(one.local) for one in held[index]),
                tuple(str(one.local) for one in held[index] if one.deprecated),
                link.lower_up,
            )
            for index, link in links.items()
        ),
        tuple(
            Route(
                route.destination,
                None if route.gateway is None else str(route.gateway),
                links[route.link].name if route.link else DISCARD,
                route.metric,
                route.source or (choose(route) if route.version == V4 and route.link else None),
            )
            for route in routes
            if route.link in links or not route.link
        ),
    )


# -- links ---------------------------------------------------------------------------


def _link(body: bytes) -> Interface:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = _attributes(body, _LINK.size, _OF_LINKS)
    up = bool(flags & IFF_UP)
    # The kernel sets LOWER_UP at once and the operational state up to a second later, in both directions
    # (net/core/link_watch.c): going down the first is right, coming up the second.
    lower_up = bool(flags & IFF_LOWER_UP)
    state = found.get(IFLA_OPERSTATE, b"\0")
    carrier = up and lower_up and state[:1] in {bytes([IF_OPER_UNKNOWN]), bytes([IF_OPER_UP])}
    name = printable(found.get(IFLA_IFNAME, b"").rstrip(b"\0")) or f"#{index}"
    return Interface(index, name, up, carrier, lower_up=lower_up)


def printable(name: bytes) -> str:
    """An interface's name, fit for a terminal: the kernel allows any byte but `/` and white space."""
    text = name.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


# -- addresses -----------------------------------------------------------------------


class _Address(NamedTuple):
    link: int
    local: Numeric
    subnet: Prefix
    flags: int
    scope: int

    @property
    def deprecated(self) -> bool:
        return bool(self.flags & IFA_F_DEPRECATED)

    @property
    def secondary(self) -> bool:
        return bool(self.flags & IFA_F_SECONDARY)

    def preference(self) -> tuple[int, bool, bool]:
        """Sort key: the kernel's own order, but for deprecated and privacy addresses of IPv6.

        The former go last, the latter first: systems that make them (RFC 8981) want them used.
        """
        if self.local.version == V4:
            return V4, False, False
        return V6, self.deprecated, not self.flags & IFA_F_TEMPORARY


def _address(body: bytes) -> _Address | None:
    family, length, flags, scope, index = _ADDRESS.unpack_from(body)
    version = VERSIONS.get(family)
    found = _attributes(body, _ADDRESS.size, _OF_ADDRESSES)
    address = found.get(IFA_ADDRESS)
    local = found.get(IFA_LOCAL, address)
    if version is None or local is None:
        return None
    if IFA_FLAGS in found:
        flags = _u32(found[IFA_FLAGS])
    checking = flags & IFA_F_TENTATIVE and not flags & IFA_F_OPTIMISTIC
    if checking or flags & IFA_F_DADFAILED:
        return None
    peer = _value(version, address or local)
    return _Address(
        index, Numeric(version, _value(version, local)), _prefix(version, length, peer), flags, scope
    )


# -- routes --------------------------------------------------------------------------


class _Route(NamedTuple):
    version: int
    destination: str
    link: int
    gateway: Numeric | None
    metric: int
    source: str | None
    scope: int


def _routes(body: bytes) -> Iterator[_Route]:
    """One for each next hop that is alive."""
    family, length, source_length, service, table, _, scope, kind, flags = _ROUTE.unpack_from(body)
    version = VERSIONS.get(family)
    discarding = kind in RTN_DISCARDING
    if (
        version is None
        or source_length
        or service
        or flags & RTM_F_CLONED
        or not (kind == RTN_UNICAST or discarding)
    ):
        return
    found = _attributes(body, _ROUTE.size, _OF_ROUTES)
    if (_u32(found[RTA_TABLE]) if RTA_TABLE in found else table) != RT_TABLE_MAIN:
        return
    first = _value(version, found[RTA_DST]) if RTA_DST in found else 0
    prefix = _prefix(version, length, first)
    destination = f"{Numeric(version, prefix.value)}/{length}"
    metric = _u32(found[RTA_PRIORITY]) if RTA_PRIORITY in found else 0
    source = str(Numeric(version, _value(version, found[RTA_PREFSRC]))) if RTA_PREFSRC in found else None
    if discarding:
        yield _Route(version, destination, 0, None, metric, None, scope)
        return
    for index, hop_flags, attributes in _hops(found, flags):
        if not hop_flags & RTNH_F_DEAD and index > 0:
            yield _Route(version, destination, index, _gateway(version, attributes), metric, source, scope)


def _hops(found: dict[int, bytes], flags: int) -> Iterator[tuple[int, int, dict[int, bytes]]]:
    hops = found.get(RTA_MULTIPATH)
    if hops is None:
        yield (_u32(found[RTA_OIF]) if RTA_OIF in found else 0), flags, found
        return
    offset = 0
    while len(hops) - offset >= _HOP.size:
        length, hop_flags, _, index = _HOP.unpack_from(hops, offset)
        if not _HOP.size <= length <= len(hops) - offset:
            raise _malformed(f"a next hop of {length} bytes")
        yield index, hop_flags, _attributes(hops[offset : offset + length], _HOP.size, _OF_HOPS)
        offset += _aligned(length)


def _gateway(version: int, found: dict[int, bytes]) -> Numeric | None:
    if RTA_GATEWAY in found:
        return Numeric(version, _value(version, found[RTA_GATEWAY]))
    if RTA_VIA in found:  # an IPv4 route through an IPv6 neighbour (RFC 5549)
        via = found[RTA_VIA]
        version = VERSIONS.get(int.from_bytes(via[:2], sys.byteorder), 0)
        return Numeric(version, _value(version, via[2:])) if version else None
    return None


class _SourceV4:
    """The source address an IPv4 route gives to connections when it names none.

    The kernel fixes it when the route is made (`inet_select_addr`, net/ipv4/devinet.c): the interface's
    first primary address in the gateway's subnet, else its first, else one borrowed from elsewhere.
    """

    def __init__(self, held: dict[int, list[_Address]]) -> None:
        self._primary = {
            index: [one for one in addresses if one.local.version == V4 and not one.secondary]
            for index, addresses in held.items()
        }
        self._known: dict[tuple[int, Numeric | None, int], str | None] = {}

    def __call__(self, route: _Route) -> str | None:
        key = route.link, route.gateway, route.scope
        if key not in self._known:
            chosen = self._own(*key) or self._borrowed(route.scope)
            self._known[key] = None if chosen is None else str(chosen)
        return self._known[key]

    def _own(self, index: int, gateway: Numeric | None, scope: int) -> Numeric | None:
        fit = [one for one in self._primary[index] if min(one.scope, RT_SCOPE_HOST) <= scope]
        near = (one.local for one in fit if gateway is not None and gateway.within(one.subnet))
        return next(near, fit[0].local if fit else None)

    def _borrowed(self, scope: int) -> Numeric | None:
        for addresses in self._primary.values():
            for one in addresses:
                if one.scope != RT_SCOPE_LINK and one.scope <= scope:
                    return one.local
        return None


# -- attributes ----------------------------------------------------------------------


def _attributes(body: bytes, offset: int, wanted: frozenset[int]) -> dict[int, bytes]:
    """The wanted attributes. A link has some 45 and the kernel writes the two that matter here first."""
    found: dict[int, bytes] = {}
    while len(body) - offset >= _ATTRIBUTE.size and len(found) < len(wanted):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _ATTRIBUTE.size <= length <= len(body) - offset:
            raise _malformed(f"an attribute of {length} bytes where {len(body) - offset} are left")
        if (kind := kind & NLA_TYPE_MASK) in wanted:
            found[kind] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)
    return found


def _value(version: int, address: bytes) -> int:
    if len(address) * 8 != BITS[version]:
        raise _malformed(f"an IPv{version} address of {len(address)} bytes")
    return int.from_bytes(address)


def _prefix(version: int, length: int, address: int) -> Prefix:
    if length > BITS[version]:
        raise _malformed(f"an IPv{version} prefix of {length} bits")
    host_bits = BITS[version] - length
    return Prefix(version, length, address >> host_bits << host_bits)


def _u32(value: bytes) -> int:
    number: int = _U32.unpack(value)[0]
    return number


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _malformed(problem: str) -> NetlinkError:
    return NetlinkError("reading the kernel's answer", problem)
