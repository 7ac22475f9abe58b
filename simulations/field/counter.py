"""A client that has the image's counter incremented, again and again, and says what became of each call.

Run as a program in the client's namespace; prints the transitions as `watch` does and one line a call:
`{"event":"call","t0":…,"t":…,"id":…,"outcome":"done"|"not done"|"unknown","value":…}`.
"""

from __future__ import annotations

import asyncio
import sys
import time

import resilience
from resilience.cli.lines import of_change, write

PAUSE_S = 0.02
TIMEOUT_S = 1.5


async def count(endpoint: str, data_dir: str) -> None:
    """Increment until terminated."""
    async with resilience.Supervisor(data_dir) as supervisor:
        supervisor.on_change(lambda change: write(of_change(change)))
        image = await supervisor.connect(endpoint)
        while True:
            t0 = time.monotonic()
            call: dict[str, object] = {"event": "call", "t0": t0, "id": None, "value": None}
            try:
                reply = await image.evaluate("Counter increment", timeout=TIMEOUT_S)
                call |= {"outcome": "done", "value": int(reply.result)}
            except resilience.Expired as expired:
                call |= {"outcome": "not done", "id": expired.request_id}
            except resilience.OutcomeUnknown as unknown:
                call |= {"outcome": "unknown", "id": unknown.request_id}
            write(call | {"t": time.monotonic()})
            await asyncio.sleep(PAUSE_S)


def main() -> None:
    """Read the arguments and count."""
    asyncio.run(count(*sys.argv[1:3]))


if __name__ == "__main__":
    main()
