"""What clients of other stacks share: the beat in asyncio, and requests waiting for their answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from simulations.field.probe import Metronome, Probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXPIRY_S = 1.0  # as long as the tuned DEALER waits
NOT_CONNECTED = "not connected"


async def beats() -> AsyncIterator[None]:
    """Tick as the metronome of all clients does."""
    metronome = Metronome()
    while True:
        await asyncio.sleep(metronome.due_in_s())
        metronome.advance()
        yield


class Pending:
    """Requests on their way, in order of age."""

    def __init__(self) -> None:
        self._probes: dict[str, Probe] = {}

    def add(self, probe: Probe) -> None:
        """Wait for its answer from now on."""
        self._probes[probe.id] = probe

    def answered(self, name: str) -> None:
        """Take note of an answer; one to a request that was given up already is nothing."""
        if probe := self._probes.pop(name, None):
            probe.answered()

    def expire(self) -> None:
        """Give up what has waited for too long."""
        now = time.monotonic()
        for name, probe in list(self._probes.items()):
            if now - probe.t0 < EXPIRY_S:
                break
            del self._probes[name]
            probe.gave_up("expired")
