"""Interfaces, addresses and routes at one moment, where they lead, and how two moments differ. Pure.

Limits, all on purpose: only the main routing table is known (a VPN that steers by
rules and marks is invisible, the interface beneath it is not), routes of equal prefix
and metric are tried in the order of their interfaces' names, and IPv6 router
preferences are not weighed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

from resilience.network.addresses import BITS, V6, Numeric, network, numeric

DISCARD = ""
"""In place of an interface: the route throws packets away (blackhole, unreachable, prohibit)."""

DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")

MAX_PHRASES = 6
"""So much of a change fits into one line for people; a container host restarting has hundreds."""

SUBNET_BITS = 64
"""A host's IPv6 prefix (RFC 4291, 2.5.1): agreement beyond it says nothing about closeness."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface.

    `carrier` means that packets can leave: the lower layer is up and nothing, such
    as a WiFi authentication, holds it back. `addresses` come in order of preference.
    `deprecated` are those among them that serve existing connections only (RFC 4862, 5.5.4).
    """

    index: int
    name: str
    up: bool
    carrier: bool
    addresses: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()
    lower_up: bool = field(default=False, compare=False)
    """The lower layer is up, whether or not the kernel has got round to saying that packets can leave."""
    opened: bool = field(default=False, compare=False)
    """`carrier` is known from having seen the interface opened; see `with_opened`."""


@dataclass(frozen=True, slots=True)
class Route:
    """Packets to `destination` (CIDR) leave by `interface`, to `gateway` or straight to the neighbour.

    Among equal destinations the lowest `metric` wins. `source` is the local address
    that new connections get, where the route knows it.
    """

    destination: str
    gateway: str | None
    interface: str
    metric: int = 0
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """How packets to some address leave this machine."""

    local_address: str
    interface: str
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one reading found. Sorted, so that equal networks are equal snapshots."""

    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    _table: _Table | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        interfaces = sorted(dict.fromkeys(self.interfaces), key=lambda i: (i.index, i.name))
        object.__setattr__(self, "interfaces", tuple(interfaces))
        object.__setattr__(self, "routes", tuple(sorted(dict.fromkeys(self.routes), key=_route_order)))

    def path_to(self, address: str) -> Path | None:
        """The longest matching prefix, then the lowest metric, decides.

        None when nothing leads there: no route, an interface that is down or without
        carrier, no source address to use, a multicast address, or an IPv6 link-local
        one without its zone (`fe80::1%wlan0`), which `connect` refuses too.
        Loopback and the machine's own addresses are reached through the loopback interface.

        Raises:
            ValueError: `address` is not numeric, or a route of this snapshot is malformed.
        """
        return self._index().path_to(numeric(address))

    def has_address(self, address: str) -> bool:
        """Whether the machine holds `address`; with a zone, whether that interface does.

        Raises:
            ValueError: `address` is not numeric.
        """
        wanted = numeric(address)
        holders = self._index().own.get(wanted[:2], ())
        return any(holder.name == wanted.zone for holder in holders) if wanted.zone else bool(holders)

    def _index(self) -> _Table:
        table = self._table
        if table is None:
            table = _Table(self)
            object.__setattr__(self, "_table", table)
        return table


def with_opened(old: Snapshot, new: Snapshot) -> Snapshot:
    """`new`, where an interface that was just opened with its lower layer up has a carrier.

    The kernel lets packets out at once when an interface is opened (dev_activate in net/sched/sch_generic.c),
    but says so up to a second later. A lower layer that comes up under an open interface is different: there
    packets, and the neighbour discovery they cause, are lost until the kernel says so. Of an interface never
    seen before it is not known which it was; it is taken as opened, so that nobody is told to wait for a
    network that works.
    """
    before = {one.index: one for one in old.interfaces}
    interfaces = []
    for one in new.interfaces:
        was = before.get(one.index)
        just_opened = was is None or not was.up or was.opened
        if one.up and one.lower_up and not one.carrier and just_opened:
            interfaces.append(replace(one, carrier=True, opened=True))
        else:
            interfaces.append(one)
    changed = any(one.opened for one in interfaces)
    return Snapshot(tuple(interfaces), new.routes) if changed else new


def _route_order(route: Route) -> tuple[bool, str, int, str, str, str]:
    six = ":" in route.destination
    return six, route.destination, route.metric, route.interface, route.gateway or "", route.source or ""


class _Table:
    """A snapshot arranged for looking up: built at the first question, then a few dictionary probes each."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.own: dict[tuple[int, int], list[Interface]] = {}
        self._by_name = {interface.name: interface for interface in snapshot.interfaces}
        self._loopback: dict[int, tuple[Interface, str]] = {}
        self._candidates: dict[str, list[tuple[Numeric, bool]]] = {}
        for interface in snapshot.interfaces:
            candidates = self._candidates.setdefault(interface.name, [])
            for text in interface.addresses:
                address = numeric(text)
                self.own.setdefault(address[:2], []).append(interface)
                candidates.append((address, text in interface.deprecated))
                if address.loopback:
                    self._loopback.setdefault(address.version, (interface, str(address)))
        prefixes: dict[tuple[int, int], dict[int, Route]] = {}
        for route in snapshot.routes:
            version, length, value = network(route.destination)
            best = prefixes.setdefault((version, length), {})
            if value not in best or route.metric < best[value].metric:
                best[value] = route
        self._longest_first = [
            (version, BITS[version] - length, best)
            for (version, length), best in sorted(prefixes.items(), key=lambda item: -item[0][1])
        ]

    def path_to(self, to: Numeric) -> Path | None:
        if to.multicast or (to.scoped and not to.zone):
            return None
        holders = self.own.get(to[:2], ())
        if to.loopback or any(one.up for one in holders if not to.scoped or one.name == to.zone):
            return self._to_ourselves(to)
        if to.scoped:
            return self._path_by(self._by_name.get(to.zone), to, None, None)
        for version, host_bits, best in self._longest_first:
            if version == to.version and (route := best.get(to.value >> host_bits << host_bits)) is not None:
                return self._path_by(self._by_name.get(route.interface), to, route.gateway, route.source)
        return None

    def _to_ourselves(self, to: Numeric) -> Path | None:
        interface, address = self._loopback.get(to.version, (None, ""))
        if interface is None or not interface.up:
            return None
        return Path(address if to.loopback else str(to), interface.name)

    def _path_by(
        self, interface: Interface | None, to: Numeric, gateway: str | None, source: str | None
    ) -> Path | None:
        if interface is None or not interface.up or not interface.carrier:
            return None
        if source is not None:
            return Path(source, interface.name, gateway) if numeric(source)[:2] in self.own else None
        chosen = _source(self._candidates[interface.name], to)
        return None if chosen is None else Path(str(chosen), interface.name, gateway)


def _source(candidates: list[tuple[Numeric, bool]], to: Numeric) -> Numeric | None:
    """RFC 6724, section 5, as far as one interface goes: scope, not deprecated, closest, first.

    An interface whose only IPv6 address is link-local has no source for the world.
    The kernel would use that one, or borrow from another interface, and no answer would come back.
    """
    best: Numeric | None = None
    best_rank: tuple[bool, bool, int] | None = None
    for address, deprecated in candidates:
        if address.version != to.version or address.loopback:
            continue
        same_scope = address.link_local == to.link_local
        closeness = 0
        if to.version == V6:
            if not same_scope:
                continue
            closeness = min(SUBNET_BITS, BITS[V6] - (address.value ^ to.value).bit_length())
        rank = (same_scope, not deprecated, closeness)
        if best_rank is None or rank > best_rank:
            best, best_rank = address, rank
    return best


class Bound(NamedTuple):
    """An address on an interface."""

    address: str
    interface: str


@dataclass(frozen=True, slots=True)
class Delta:
    """What came, went and changed. True when the two snapshots differ at all.

    An interface is known by name *and* index: one that was replaced under the same
    name (a dongle pulled and plugged) both went and came.
    """

    interfaces_gone: tuple[str, ...] = ()
    interfaces_came: tuple[str, ...] = ()
    went_down: tuple[str, ...] = ()
    went_up: tuple[str, ...] = ()
    carrier_lost: tuple[str, ...] = ()
    carrier_found: tuple[str, ...] = ()
    addresses_gone: tuple[Bound, ...] = ()
    addresses_came: tuple[Bound, ...] = ()
    preference_changed: tuple[str, ...] = ()
    """Interfaces whose addresses are the same but preferred in another order, or deprecated now."""
    routes_gone: tuple[Route, ...] = ()
    routes_came: tuple[Route, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return any(getattr(self, one.name) for one in fields(self))

    def describe(self) -> str:
        """One line for people, most telling first: `wlan0 lost its carrier; 10.0.0.5 is gone`."""
        phrases = self._main_phrases() or self._side_phrases()
        if len(phrases) > MAX_PHRASES:
            phrases[MAX_PHRASES:] = [f"and {len(phrases) - MAX_PHRASES} changes more"]
        return "; ".join(phrases) or "nothing changed"

    def _main_phrases(self) -> list[str]:
        phrases = [f"{name} is gone" for name in self.interfaces_gone]
        phrases += [f"{name} appeared" for name in self.interfaces_came]
        phrases += [f"{name} went down" for name in self.went_down]
        phrases += [f"{name} lost its carrier" for name in self.carrier_lost if name not in self.went_down]
        phrases += [f"{name} went up" for name in self.went_up if name not in self.carrier_found]
        phrases += [f"{name} has a carrier" for name in self.carrier_found]
        phrases += [f"{one.address} is gone" for one in self.addresses_gone if not _link_local(one)]
        phrases += [
            f"{one.interface} has {one.address}" for one in self.addresses_came if not _link_local(one)
        ]
        phrases += [
            f"{_phrase(one)} is gone" for one in self.routes_gone if one.destination in DEFAULT_ROUTES
        ]
        phrases += [
            f"{_phrase(one)} appeared" for one in self.routes_came if one.destination in DEFAULT_ROUTES
        ]
        return phrases

    def _side_phrases(self) -> list[str]:
        """What follows from the rest most of the time, and is told only when it comes alone."""
        phrases = [f"{one.address} is gone from {one.interface}" for one in self.addresses_gone]
        phrases += [f"{one.interface} has {one.address}" for one in self.addresses_came]
        phrases += [f"{name} prefers its addresses differently" for name in self.preference_changed]
        phrases += [f"{_phrase(one)} is gone" for one in self.routes_gone]
        phrases += [f"{_phrase(one)} appeared" for one in self.routes_came]
        return phrases


def diff(old: Snapshot, new: Snapshot) -> Delta:
    """What happened between two snapshots: true exactly when they are not equal."""
    before = {(one.index, one.name): one for one in old.interfaces}
    after = {(one.index, one.name): one for one in new.interfaces}
    stayed = [(before[key], after[key]) for key in before if key in after]
    had, has = _bound(old), _bound(new)
    return Delta(
        interfaces_gone=tuple(one.name for key, one in before.items() if key not in after),
        interfaces_came=tuple(one.name for key, one in after.items() if key not in before),
        went_down=tuple(was.name for was, now in stayed if was.up and not now.up),
        went_up=tuple(was.name for was, now in stayed if now.up and not was.up),
        carrier_lost=tuple(was.name for was, now in stayed if was.carrier and not now.carrier),
        carrier_found=tuple(was.name for was, now in stayed if now.carrier and not was.carrier),
        addresses_gone=tuple(one for one in had if one not in has),
        addresses_came=tuple(one for one in has if one not in had),
        preference_changed=tuple(was.name for was, now in stayed if _other_preference(was, now)),
        routes_gone=_missing(old.routes, new.routes),
        routes_came=_missing(new.routes, old.routes),
    )


def _bound(snapshot: Snapshot) -> dict[Bound, None]:
    return {Bound(address, one.name): None for one in snapshot.interfaces for address in one.addresses}


def _missing(these: tuple[Route, ...], those: tuple[Route, ...]) -> tuple[Route, ...]:
    if these == those:
        return ()
    present = set(those)
    return tuple(route for route in these if route not in present)


def _other_preference(was: Interface, now: Interface) -> bool:
    if was.addresses != now.addresses and set(was.addresses) == set(now.addresses):
        return True
    return was.deprecated != now.deprecated


def _link_local(bound: Bound) -> bool:
    return numeric(bound.address).scoped


def _phrase(route: Route) -> str:
    what = "the default route" if route.destination in DEFAULT_ROUTES else f"the route to {route.destination}"
    via = f" via {route.gateway}" if route.gateway else ""
    return f"{what}{via} on {route.interface}" if route.interface != DISCARD else f"{what} into nothing"


def describe_change(old: Path | None, new: Path | None) -> str:
    """Say in words how the way to an image changed."""
    if new is None:
        return f"{old.interface} no longer leads there" if old else "no interface leads there"
    if old is None:
        return f"{new.interface} leads there now"
    if old.interface != new.interface:
        return f"{old.interface} gave way to {new.interface}"
    return f"{new.interface} changed its address or gateway"
