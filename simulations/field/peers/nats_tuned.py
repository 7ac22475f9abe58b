"""NATS with a fast ping and a short wait between dials; requests as its own request and reply."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.errors import Error

from simulations.field.peers.asking import EXPIRY_S, NOT_CONNECTED, beats
from simulations.field.peers.nats_image import SUBJECT, quietly
from simulations.field.probe import Probe, endpoint

TUNING: dict[str, Any] = {
    "ping_interval": 0.25,  # with two pings outstanding at most, silence is seen after 0.75 s
    "max_outstanding_pings": 2,
    "connect_timeout": 0.5,  # a fresh SYN each time
    "reconnect_time_wait": 0.1,
    "max_reconnect_attempts": -1,  # for ever; 60 by default
    "pending_size": 0,  # what is published without a connection fails at once, rather than run much later
    "error_cb": quietly,
}


async def ask() -> None:
    """Ask until terminated."""
    client = await nats.connect(f"nats://{urlsplit(endpoint()).netloc}", **TUNING)
    under_way = set[asyncio.Task[None]]()
    async for _ in beats():
        task = asyncio.create_task(_ask_once(client))
        under_way.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(under_way.discard)


async def _ask_once(client: Client) -> None:
    probe = Probe()
    if not client.is_connected:
        probe.gave_up(NOT_CONNECTED)
        return
    try:
        await client.request(SUBJECT, probe.id.encode(), timeout=EXPIRY_S)
    except (Error, OSError) as error:
        probe.gave_up(type(error).__name__)
    else:
        probe.answered()


if __name__ == "__main__":
    asyncio.run(ask())
