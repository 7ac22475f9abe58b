"""The network by polling: `netifaces`, and without it the bare socket interface.

Sees addresses and default gateways, on every platform. Sees no carrier, no interface going down
without losing its addresses, and no other routes than those to the neighbours.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple

from resilience.errors import ResilienceError
from resilience.network.addresses import BITS, V4, V6, Numeric, Prefix, numeric
from resilience.network.messages import printable
from resilience.network.snapshot import DEFAULT_ROUTES, Interface, Route, Snapshot

MAX_POLLED = 4_096
"""Addresses looked at. Reading so many takes some 50 ms; nobody without rtnetlink has them."""

UNNAMED = "?"
"""An interface of which only the address is known."""

FAR_AWAY = ("192.0.2.1", "2001:db8::1")
"""Documentation addresses (RFC 5737, RFC 3849): nobody's neighbours, and nothing is sent to them."""


class PollError(ResilienceError):
    """`netifaces` is not there, or is refused by the system.

    Attributes:
        problem: what it said.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"netifaces: {problem}; only the addresses that connections start from are watched. "
            "Allow this process AF_NETLINK sockets, or install netifaces-plus"
        )


class _Held(NamedTuple):
    interface: str
    address: Numeric
    neighbours: Prefix | None


def read() -> Snapshot:
    """Interfaces, addresses and default gateways, all taken to be up and to have a carrier.

    Raises:
        PollError: `netifaces` is missing or fails. On Linux it needs AF_NETLINK sockets itself.
    """
    try:
        import netifaces  # noqa: PLC0415 - imported when used: most Linux processes need it first after 5 s

        families = {V4: int(netifaces.AF_INET), V6: int(netifaces.AF_INET6)}
        return _snapshot(netifaces.allifaddresses(), netifaces.gateways(), families)
    except Exception as error:  # a C extension that is hardly maintained may do anything
        raise PollError(str(error) or type(error).__name__) from error


def read_sources() -> Snapshot:
    """The last resort: from which address would a packet into the world start? Its interface stays unnamed.

    Connecting a datagram socket sends nothing and needs no permission; it makes the kernel choose.
    """
    addresses: list[str] = []
    routes: list[Route] = []
    for family, far, everywhere in zip(
        (socket.AF_INET, socket.AF_INET6), FAR_AWAY, DEFAULT_ROUTES, strict=True
    ):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.connect((far, 9))
                source = str(numeric(asking.getsockname()[0]))
        except OSError:
            continue  # no such family here, or no route
        addresses.append(source)
        routes.append(Route(everywhere, None, UNNAMED, 0, source))
    loopback = Interface(0, "loopback", up=True, carrier=True, addresses=("127.0.0.1", "::1"))
    unnamed = Interface(0, UNNAMED, up=True, carrier=True, addresses=tuple(addresses))
    return Snapshot((loopback, unnamed) if addresses else (loopback,), tuple(routes))


def _snapshot(found: Any, gateways: Any, families: dict[int, int]) -> Snapshot:
    held = [one for one in _held(found, families) if one is not None][:MAX_POLLED]
    addresses: dict[str, list[str]] = {_name(raw): [] for raw in sorted(found)}
    for one in held:
        addresses[one.interface].append(str(one.address))
    indices = _indices()
    interfaces = tuple(
        Interface(indices.get(name, 0), name, up=True, carrier=True, addresses=tuple(dict.fromkeys(theirs)))
        for name, theirs in addresses.items()
    )
    return Snapshot(interfaces, tuple(_neighbours(held) + _defaults(gateways, families, held)))


def _held(found: Any, families: dict[int, int]) -> list[_Held | None]:
    return [
        _one_held(_name(raw), version, entry)
        for raw in sorted(found)
        for version, family in families.items()
        for entry in found[raw].get(family, ())
    ]


def _one_held(interface: str, version: int, entry: dict[str, str]) -> _Held | None:
    try:
        address = numeric(entry["addr"])
        if address.loopback or address.scoped or "netmask" not in entry:
            return _Held(interface, address, None)
        length = _prefix_length(entry["netmask"])
        first = numeric(entry.get("peer", entry["addr"])).value
    except (KeyError, ValueError):
        return None
    host_bits = BITS[version] - length
    return _Held(interface, address, Prefix(version, length, first >> host_bits << host_bits))


def _prefix_length(netmask: str) -> int:
    """From `255.255.255.0`, `ffff:ffff::` or, as some platforms write it, `ffff:ffff::/32`."""
    mask, _, length = netmask.partition("/")
    return int(length) if length else numeric(mask).value.bit_count()


def _neighbours(held: list[_Held]) -> list[Route]:
    return [
        Route(f"{Numeric(prefix.version, prefix.value)}/{prefix.length}", None, interface, 0, str(address))
        for interface, address, prefix in held
        if prefix is not None
    ]


def _defaults(gateways: Any, families: dict[int, int], held: list[_Held]) -> list[Route]:
    """Default routes; the one the system prefers first. It says no metrics, so the order stands for them."""
    routes: list[Route] = []
    for (version, family), everywhere in zip(families.items(), DEFAULT_ROUTES, strict=True):
        preferred = gateways.get("default", {}).get(family)
        known = ([preferred] if preferred else []) + list(gateways.get(family, ()))
        distinct = dict.fromkeys((str(one[0]), str(one[1])) for one in known[:MAX_POLLED])
        for metric, (gateway, raw) in enumerate(distinct):
            try:
                via = numeric(gateway)
            except ValueError:
                continue  # a link-layer address: the neighbour itself, on some platforms
            name = _name(raw)
            near = (
                str(one.address)
                for one in held
                if one.interface == name and one.neighbours is not None and via.within(one.neighbours)
            )
            routes.append(
                Route(everywhere, str(via), name, metric, next(near, None) if version == V4 else None)
            )
    return routes


def _name(raw: str) -> str:
    """Without the label that Linux appends to addresses of its interfaces, as in `eth0:1`."""
    return printable(os.fsencode(raw.partition(":")[0]))


def _indices() -> dict[str, int]:
    try:
        return {_name(raw): index for index, raw in socket.if_nameindex()}
    except OSError:
        return {}
