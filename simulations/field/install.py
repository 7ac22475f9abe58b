"""`python -m simulations.field.install`: what the peers of the race and its picture need, and no more.

Python packages go into the environment that runs this. Debian packages are installed where that is possible,
as root; anywhere else they are named. Exits with 0 either way: what is missing is left out of the race.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from simulations.field.peers import PEERS

APT_GET = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
INSTALL = [*APT_GET, "install", "-y", "-qq", "--no-install-recommends"]
SERVICES = (
    "mosquitto",
    "nats-server",
)  # installed, Debian starts them for the whole machine; the race does not want that


def lacking() -> tuple[list[str], list[str]]:
    """List what all peers and the picture lack, as PyPI calls it and as Debian does."""
    python, debian = set[str](), set[str]()
    for peer in PEERS.values():
        packages, programs = peer.lacking()
        python.update(packages)
        debian.update(programs)
    if importlib.util.find_spec("matplotlib") is None:
        python.add("matplotlib")
    return sorted(python), sorted(debian)


def main() -> None:
    """Install what is lacking, or say how."""
    python, debian = lacking()
    if python:
        print(f"Installing {' '.join(python)} with pip.", flush=True)
        _tried(sys.executable, "-m", "pip", "install", "--quiet", *python)
    if debian and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {' '.join(debian)} with apt-get.", flush=True)
        # A bare machine has no package lists, hence the second try.
        if not _tried(*INSTALL, *debian):
            _tried(*APT_GET, "update", "-qq")
            _tried(*INSTALL, *debian)
        _keep_quiet(debian)
    elif debian:
        print(f"As root on Debian: apt-get install {' '.join(debian)}")
    for name in [name for names in lacking() for name in names]:
        print(f"There is no {name}: what needs it is left out of the race.")


def _keep_quiet(installed: list[str]) -> None:
    """Stop the services that came with the packages and keep them from starting with the machine."""
    services = [name for name in SERVICES if name in installed]
    if services and shutil.which("systemctl"):
        running = Path("/run/systemd/system").is_dir()  # systemd itself; in a container it often does not
        _tried("systemctl", "disable", "--quiet", *(["--now"] if running else []), *services)


def _tried(*argv: str) -> bool:
    """Run it, showing what it said only if it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    main()
