"""The image's part behind NATS: the broker, and a responder beside it that lives and dies with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats

from simulations.field.peers.serving import Executions, Place, broker, place

if TYPE_CHECKING:
    from nats.aio.msg import Msg

SUBJECT = "image.ping"


async def respond(where: Place) -> None:
    """Answer until killed."""
    executions = Executions(where.log)
    port = str(where.port)
    server = broker(where.port, "nats-server", "--addr", where.host, "--port", port)

    async def answer(message: Msg) -> None:
        executions.note(message.data.decode())
        await message.respond(message.data)

    client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, error_cb=quietly)
    await client.subscribe(SUBJECT, cb=answer)
    raise SystemExit(await asyncio.to_thread(server.wait))


async def quietly(_: Exception) -> None:
    """Say nothing about a lost connection: the requests say it."""


if __name__ == "__main__":
    asyncio.run(respond(place()))
