"""Clients of other stacks, each with a server of its own in the image's place; every one is optional.

A client is a program like the others of the race: a request every 20 ms, a line of JSON about each. Its
server takes the options of the stand-in image, answers every request with its id, and logs it when it does.
Settings stand in the client's file, with their reasons: where a stack has options, they are set to recover
as fast as they allow; `grpc_default` alone shows what comes without asking.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata

VERSION_S = 5.0  # a program that does not name its version within this time is not going to

MODULES = {"grpc": "grpcio", "websockets": "websockets", "nats": "nats-py", "paho": "paho-mqtt"}
"""What is imported, and what PyPI calls it."""

PROGRAMS = {"nats-server": "nats-server", "mosquitto": "mosquitto", "mosh-server": "mosh"}
"""What is run, and what Debian calls it."""

_VERSION = {"nats-server": "--version", "mosquitto": "-h", "mosh-server": "--version"}


@dataclass(frozen=True, slots=True)
class Peer:
    """One client: the module that is the client, the one in the image's place, and what both need."""

    client: str
    image: str
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def lacking(self) -> tuple[list[str], list[str]]:
        """List what must be installed first, as PyPI calls it and as Debian does."""
        return (
            [MODULES[name] for name in self.modules if importlib.util.find_spec(name) is None],
            [PROGRAMS[name] for name in self.programs if shutil.which(name) is None],
        )


PEERS: dict[str, Peer] = {
    "grpc_default": Peer("grpc_default", "grpc_image", ("grpc",)),
    "grpc_tuned": Peer("grpc_tuned", "grpc_image", ("grpc",)),
    "websockets_tuned": Peer("websockets_tuned", "websockets_image", ("websockets",)),
    "nats_tuned": Peer("nats_tuned", "nats_image", ("nats",), ("nats-server",)),
    "mqtt_tuned": Peer("mqtt_tuned", "mqtt_image", ("paho",), ("mosquitto",)),
    "mosh": Peer("mosh_client", "mosh_image", (), ("mosh-server",)),
}


def obstacle(client: str) -> str | None:
    """Say why a client of the race cannot run here, or None; those that are no peers always can."""
    python, debian = PEERS[client].lacking() if client in PEERS else ([], [])
    parts = [f"the Python package {name}" for name in python] + [
        f"the Debian package {name}" for name in debian
    ]
    return f"it needs {' and '.join(parts)}; `make race` installs what is missing" if parts else None


def versions(client: str) -> dict[str, str]:
    """Give the versions of what a client of the race is made of; nothing for those that are no peers."""
    if client not in PEERS:
        return {}
    peer = PEERS[client]
    found = {MODULES[name]: metadata.version(MODULES[name]) for name in peer.modules}
    return found | {PROGRAMS[name]: _version_of(name) for name in peer.programs}


def _version_of(program: str) -> str:
    """Ask a program; each says it somewhere in the first line, after its own name."""
    try:
        done = subprocess.run(
            [program, _VERSION[program]], capture_output=True, text=True, timeout=VERSION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    words = (done.stdout + done.stderr).split("\n", 1)[0].split()
    return next((word.strip("v,:)") for word in words if any(map(str.isdigit, word))), "unknown")
