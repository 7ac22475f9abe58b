"""Runs a command's coroutine so that an interrupt saves and leaves with 130, and a termination with 143."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine

from resilience.cli.options import EXIT_INTERRUPTED

EXIT_TERMINATED = 128 + signal.SIGTERM
_TERMINATED = "terminated"


def exit_of(interrupt: asyncio.CancelledError) -> int:
    """With what a command leaves that was cut short like this."""
    return EXIT_TERMINATED if _TERMINATED in interrupt.args else EXIT_INTERRUPTED


def run_until_done(body: Coroutine[None, None, int]) -> int:
    """Run `body`; on SIGTERM it is cancelled like on an interrupt, so whatever it guards is saved.

    Raises:
        KeyboardInterrupt: after everything was saved.
    """

    async def guarded() -> int:
        task = asyncio.current_task()

        def terminate() -> None:
            if task is not None:
                task.cancel(_TERMINATED)

        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers on its loop
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await body

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError as interrupt:
        if exit_of(interrupt) == EXIT_TERMINATED:
            return EXIT_TERMINATED
        raise
