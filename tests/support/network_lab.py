"""What tests of the virtual network have in common."""

from __future__ import annotations

from virtual_lab import VirtualLab, Watched

IMAGE = "10.71.9.2"
WAY_S = 0.0014
"""One way takes less."""


def path(lab: VirtualLab) -> tuple[str, str] | None:
    """Address and interface by which the product thinks the first image is reached."""
    found = lab.network.snapshot().path_to(IMAGE)
    return None if found is None else (found.local_address, found.interface)


def answers(link: Watched, within_s: float = 0.1) -> bool:
    """Whether a ping on this link is answered in time."""
    before = len(link.messages)
    link.ping()
    link.lab.run(within_s)
    return len(link.messages) > before


def looked_up(lab: VirtualLab, name: str = "image0.test", for_s: float = 0.1) -> list[tuple[list[str], str]]:
    """What a lookup tells in this time."""
    told: list[tuple[list[str], str]] = []
    lab.network.look_up(name, 5555, lambda addresses, problem: told.append((addresses, problem)))
    lab.run(for_s)
    return told
