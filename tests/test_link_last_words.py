"""A reply that arrives together with the end of its link is a reply, not an unknown outcome."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest
import zmq

import resilience

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 12


def answer(result: str, **more: object) -> bytes:
    """A reply of the typed dialect."""
    data = {"response_type": "Answer", "data": {"result": result, "message": result, **more}}
    return json.dumps({"id": "x", "version": "1.0.0", "payload": {"type": "Response", "data": data}}).encode()


def serve_one_evaluation(port: list[int], bound: threading.Event) -> None:
    """Answer pings; answer one evaluation and be gone at once."""
    context = zmq.Context()
    server = context.socket(zmq.REP)
    server.setsockopt(zmq.RCVTIMEO, 20_000)
    server.bind(f"tcp://127.0.0.1:{port[0] if port else 0}")
    if not port:
        port.append(int(server.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2]))
    bound.set()
    while b'"Evaluate"' not in server.recv():
        server.send(answer("ready"))
    server.send(answer("7"))
    time.sleep(0.05)  # long enough for the kernel to have it, far too short for a stalled client to read it
    server.close(0)
    context.term()


@pytest.mark.timeout(30)
def test_a_reply_just_before_the_end_is_delivered(tmp_path: Path) -> None:
    """Our loop is held up while the image answers and leaves; the caller still gets its result."""
    port: list[int] = []

    async def rounds() -> None:
        async with resilience.Supervisor(tmp_path) as supervisor:
            for _ in range(ROUNDS):
                bound = threading.Event()
                server = threading.Thread(target=serve_one_evaluation, args=(port, bound))
                server.start()
                await asyncio.to_thread(bound.wait)
                image = await supervisor.connect(f"tcp://127.0.0.1:{port[0]}")
                await image.wait_for(resilience.State.CONNECTED, timeout=10)
                evaluation = asyncio.ensure_future(image.evaluate("3 + 4", timeout=10))
                await asyncio.sleep(0)  # it is sent
                time.sleep(0.15)  # noqa: ASYNC251 - the stall is the point: reply and end are read in one wake-up
                assert (await evaluation).result == "7"
                await asyncio.to_thread(server.join)
                await image.wait_for(resilience.State.RECONNECTING, timeout=5)

    asyncio.run(rounds())
