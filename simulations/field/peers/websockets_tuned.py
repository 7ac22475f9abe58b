"""websockets with a fast keepalive, and the loop around it that dials again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from simulations.field.peers.asking import NOT_CONNECTED, Pending, beats
from simulations.field.probe import Probe, endpoint

TUNING: dict[str, Any] = {
    "ping_interval": 0.25,  # silence is seen after a second, as with the tuned DEALER
    "ping_timeout": 0.75,
    "open_timeout": 0.5,  # a fresh SYN each time
    "close_timeout": 0.1,  # what has been given up needs no farewell: the next dial waits for this
    "compression": None,  # costs time and saves nothing on 36 bytes
    "proxy": None,  # the lab is not reached through whatever proxy this machine uses
}
PAUSE_S = 0.1  # at most, between tries; random, so that many clients do not come all at once


class Client:
    """One connection at a time, dialled again for ever."""

    def __init__(self) -> None:
        self._pending = Pending()
        self._connection: ClientConnection | None = None

    async def stay_connected(self) -> None:
        """Dial, listen, and dial again."""
        while True:
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, InvalidMessage):
                async with connect(f"ws://{urlsplit(endpoint()).netloc}", **TUNING) as connection:
                    self._connection = connection
                    await self._listen(connection)
            await asyncio.sleep(random.uniform(0, PAUSE_S))

    async def _listen(self, connection: ClientConnection) -> None:
        try:
            async for message in connection:
                self._pending.answered(str(message))
        finally:
            self._connection = None

    async def ask(self) -> None:
        """Ask until terminated."""
        async for _ in beats():
            self._pending.expire()
            probe = Probe()
            if self._connection is None:
                probe.gave_up(NOT_CONNECTED)
                continue
            try:
                await self._connection.send(probe.id)
            except ConnectionClosed:
                probe.gave_up(NOT_CONNECTED)
            else:
                self._pending.add(probe)


async def _main() -> None:
    client = Client()
    await asyncio.gather(client.stay_connected(), client.ask())


if __name__ == "__main__":
    asyncio.run(_main())
