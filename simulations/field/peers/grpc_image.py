"""The image's part in gRPC: one method that answers with what it was sent."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from simulations.field.peers.serving import Executions, Place, place

SERVICE, NAME = "resilience.Image", "Ping"
METHOD = f"/{SERVICE}/{NAME}"
TUNING = [
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),  # or it hangs up on whoever pings often
    ("grpc.http2.max_ping_strikes", 0),
]


async def serve(where: Place) -> None:
    """Answer until killed."""
    executions = Executions(where.log)

    async def ping(request: bytes, _: Any) -> bytes:  # Any: the call's context, which grpc does not type
        executions.note(request.decode())
        return request

    server = grpc.aio.server(options=TUNING)
    handlers = {NAME: grpc.unary_unary_rpc_method_handler(ping)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    server.add_insecure_port(f"{where.host}:{where.port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(place()))
