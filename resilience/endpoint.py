"""Endpoints: `tcp://host:port`, checked before anything is dialled."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from resilience.errors import BadEndpoint
from resilience.limits import MAX_HOST_CHARS

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""An interface's name; 15 characters is Linux' limit (IFNAMSIZ)."""
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an image listens. `host` is a name or an address without brackets."""

    host: str
    port: int
    numeric: bool

    @property
    def key(self) -> str:
        """The image's short name: `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"tcp://{self.key}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `tcp://host:port`, or STUI's `host:port` without the scheme.

    Raises:
        BadEndpoint: it is neither; the error says what is wrong.
    """
    if not isinstance(text, str):
        raise BadEndpoint(repr(text), f"an endpoint is text, not {type(text).__name__}")
    given = text.strip()
    scheme, found, rest = given.partition("://")
    if not found:
        scheme, rest = "tcp", given
    if scheme.lower() != "tcp":
        raise BadEndpoint(text, f"only tcp is spoken here, not {scheme[:20]!r}")
    if any(mark in rest for mark in "/?#@ \t\n;"):
        raise BadEndpoint(
            text, "nothing may follow the port, and no user or source address may stand before the host"
        )
    host, colon, port_text = rest.rpartition(":")
    if not colon or not port_text:
        raise BadEndpoint(text, "the port is missing")
    if not (_PORT.fullmatch(port_text) and 0 < int(port_text) <= _MAX_PORT):
        raise BadEndpoint(text, f"{port_text[:20]!r} is not a port from 1 to {_MAX_PORT}")
    return _with_host(text, host, int(port_text))


def _with_host(text: str, host: str, port: int) -> Endpoint:
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare:
        raise BadEndpoint(text, "the host is missing")
    if bare == "*":
        raise BadEndpoint(text, "'*' is for listening; name the host to connect to")
    if ":" in bare and not bracketed:
        raise BadEndpoint(text, "an IPv6 address stands in brackets, as in tcp://[::1]:5555")
    zone = bare.partition("%")[2]
    if zone and not _ZONE.fullmatch(zone):
        raise BadEndpoint(text, "what follows the % is not the name of an interface")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if bracketed or len(bare) > MAX_HOST_CHARS or not _NAME.fullmatch(bare):
            raise BadEndpoint(text, f"{bare[:60]!r} is neither a host name nor an address") from None
        if re.fullmatch(r"[\d.]+", bare):
            raise BadEndpoint(text, f"{bare!r} is not a complete IPv4 address") from None
        return Endpoint(bare.lower().rstrip("."), port, numeric=False)
    if address.is_unspecified or address.is_multicast:
        raise BadEndpoint(text, f"{bare} is no address of one host")
    return Endpoint(str(address), port, numeric=True)
