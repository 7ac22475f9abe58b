"""gRPC as it comes: no keepalive, backoff up to 120 s, and at least 20 s for a connect to fail.

Only each request's deadline is ours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc.aio

from simulations.field.peers.asking import EXPIRY_S, beats
from simulations.field.peers.grpc_image import METHOD
from simulations.field.probe import Probe, endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_PROXY = ("grpc.enable_http_proxy", 0)  # the lab is not reached through whatever proxy this machine uses


async def ask(options: Sequence[tuple[str, int]], *, wait_for_ready: bool) -> None:
    """Ask until terminated."""
    async with grpc.aio.insecure_channel(urlsplit(endpoint()).netloc, options=options) as channel:
        ping = channel.unary_unary(METHOD)
        under_way = set[asyncio.Task[None]]()
        async for _ in beats():
            task = asyncio.create_task(_ask_once(ping, wait_for_ready=wait_for_ready))
            under_way.add(task)  # the loop itself holds tasks only weakly
            task.add_done_callback(under_way.discard)


async def _ask_once(ping: Any, *, wait_for_ready: bool) -> None:  # Any: grpc is not typed
    probe = Probe()
    try:
        await ping(probe.id.encode(), timeout=EXPIRY_S, wait_for_ready=wait_for_ready)
    except grpc.aio.AioRpcError as error:
        probe.gave_up(str(error.code().name))
    else:
        probe.answered()


if __name__ == "__main__":
    asyncio.run(ask([NO_PROXY], wait_for_ready=False))
