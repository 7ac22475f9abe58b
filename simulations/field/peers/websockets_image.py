"""The image's part over WebSocket: every message is answered with itself."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, serve

from simulations.field.peers.serving import Executions, Place, place


async def answer(where: Place) -> None:
    """Answer until killed."""
    executions = Executions(where.log)

    async def talk(connection: ServerConnection) -> None:
        async for message in connection:
            executions.note(str(message))
            await connection.send(message)

    async with serve(talk, where.host, where.port, compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(answer(place()))
