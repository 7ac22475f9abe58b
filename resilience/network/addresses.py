"""Numeric addresses as plain integers: the arithmetic of prefixes, without building objects.

A thousand images ask for their paths after one flap; `ipaddress` objects would
cost more than everything else in that moment.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple

V4: Final = 4
V6: Final = 6
BITS: Final = {V4: 32, V6: 128}


class Prefix(NamedTuple):
    """A network: IP version, prefix length, and its first address."""

    version: int
    length: int
    value: int


class Numeric(NamedTuple):
    """An address: IP version, value, and the zone (interface) of a scoped IPv6 one, or ''."""

    version: int
    value: int
    zone: str = ""

    def within(self, *prefixes: Prefix) -> bool:
        """Whether one of `prefixes` holds this address."""
        return any(
            self.version == version and (self.value ^ value) >> (BITS[version] - length) == 0
            for version, length, value in prefixes
        )

    @property
    def link_local(self) -> bool:
        """Meaningful on one link only."""
        return self.within(*LINK_LOCAL)

    @property
    def loopback(self) -> bool:
        """Loopback, or the unspecified address, which `connect` takes for it."""
        return self.within(*LOOPBACK)

    @property
    def multicast(self) -> bool:
        """Multicast, or IPv4's limited broadcast: nowhere a connection could go."""
        return self.within(*MULTICAST)

    @property
    def scoped(self) -> bool:
        """IPv6 link-local: of no use without a zone."""
        return self.version == V6 and self.link_local

    def __str__(self) -> str:
        """The address as the kernel writes it, without the zone."""
        if self.version == V4:
            return socket.inet_ntop(socket.AF_INET, self.value.to_bytes(4))
        return socket.inet_ntop(socket.AF_INET6, self.value.to_bytes(16))


def numeric(text: str) -> Numeric:
    """Read an address. An IPv4 address mapped into IPv6, as dual-stack sockets write it, is IPv4.

    Raises:
        ValueError: not a numeric address.
    """
    bare, _, zone = text.partition("%")
    try:
        if ":" not in bare:
            return Numeric(V4, int.from_bytes(socket.inet_pton(socket.AF_INET, bare)))
        address = Numeric(V6, int.from_bytes(socket.inet_pton(socket.AF_INET6, bare)), zone)
    except OSError:
        raise ValueError(f"{text!r} is not a numeric address; resolve names first") from None
    return Numeric(V4, address.value ^ MAPPED.value) if address.within(MAPPED) else address


def network(cidr: str) -> Prefix:
    """Read a network such as `10.0.0.0/24`.

    Raises:
        ValueError: not a network.
    """
    bare, _, length = cidr.partition("/")
    version, value, _ = numeric(bare)
    bits = int(length)
    if not 0 <= bits <= BITS[version]:
        raise ValueError(f"{cidr!r} is not a network: its prefix has 0 to {BITS[version]} bits")
    host_bits = BITS[version] - bits
    return Prefix(version, bits, value >> host_bits << host_bits)


MAPPED: Final = Prefix(V6, 96, 0xFFFF << 32)
LINK_LOCAL: Final = network("169.254.0.0/16"), network("fe80::/10")
LOOPBACK: Final = network("127.0.0.0/8"), network("::1/128"), network("0.0.0.0/32"), network("::/128")
MULTICAST: Final = network("224.0.0.0/4"), network("ff00::/8"), network("255.255.255.255/32")
