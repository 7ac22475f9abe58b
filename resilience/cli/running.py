"""Runs a command's coroutine so that an interrupt saves and leaves with 130, and a termination with 143."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine

EXIT_TERMINATED = 128 + signal.SIGTERM


def run_until_done(body: Coroutine[None, None, int]) -> int:
    """Run `body`; on SIGTERM it is cancelled like on an interrupt, so whatever it guards is saved.

    Raises:
        KeyboardInterrupt: after everything was saved.
    """
    terminated = False

    async def guarded() -> int:
        nonlocal terminated
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers on its loop
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await body

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if terminated:
            return EXIT_TERMINATED
        raise
