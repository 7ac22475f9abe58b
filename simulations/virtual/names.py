"""The name server: it answers, refuses, or says nothing, and lies beyond the same way as the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from resilience.limits import RESOLVE_TIMEOUT_S
from simulations.virtual.way import BASE_S

if TYPE_CHECKING:
    from simulations.virtual.transit import Transit

ANSWER_S = (0.002, 0.02)
"""A resolver of the same building, its cache warm or cold."""


class Server(Enum):
    """How the name server is."""

    WORKS = "works"
    FAILS = "fails"
    HANGS = "hangs"


class VirtualNames:
    """Looks the images' names up; `servers` says how each name's server is."""

    def __init__(self, names: Sequence[str], address: Callable[[int], str], transit: Transit) -> None:
        self.servers = [Server.WORKS for _ in names]
        self._numbers = {name: number for number, name in enumerate(names)}
        self._address = address
        self._transit = transit
        self._dice = transit.universe.dice("names")

    def look_up(self, name: str, told: Callable[[list[str], str], object]) -> None:
        """Call `told` in the end, with addresses or with the reason why there are none."""
        transit = self._transit
        image = self._numbers.get(name, -1)
        way_out = transit.interfaces.way_out()
        if way_out is None:
            transit.clock.after(BASE_S, told, [], f"{name}: Temporary failure in name resolution")
            return
        way = transit.ways[image] if image >= 0 else None
        server = self.servers[image] if image >= 0 else Server.FAILS
        silent = way_out.nic is None or not way_out.nic.sends or (way is not None and any(way.dropped))
        if silent or server is Server.HANGS:
            slow = f"no answer about {name} within {RESOLVE_TIMEOUT_S:.0f} s"
            transit.clock.after(RESOLVE_TIMEOUT_S, told, [], slow)
        elif server is Server.FAILS:
            transit.clock.after(self._dice.uniform(*ANSWER_S), told, [], f"{name}: Name or service not known")
        else:
            delay_s = self._dice.uniform(*ANSWER_S) + (0.0 if way is None else 2 * way.delay_s)
            transit.clock.after(delay_s, self._answer, image, told)

    def _answer(self, image: int, told: Callable[[list[str], str], object]) -> None:
        told([self._address(image)], "")
