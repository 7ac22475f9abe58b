"""Names to addresses, off the loop: few threads, one lookup per name at a time, and always an end.

Not an executor: its threads are joined at exit, and a lookup may hang for half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import Callable

from resilience.limits import MAX_LOOKUPS, RESOLVE_TIMEOUT_S

Tell = Callable[[list[str], str], None]


class Names:
    """Looks names up for every image of one supervisor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[tuple[str, int], tuple[list[Tell], asyncio.TimerHandle]] = {}
        self._asked: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._workers = 0

    def look_up(self, host: str, port: int, tell: Tell) -> None:
        """Call `tell` on the loop with the addresses, or with none and the reason."""
        key = (host, port)
        if key in self._waiting:
            self._waiting[key][0].append(tell)
            return
        slow = f"no answer about {host} within {RESOLVE_TIMEOUT_S:.0f} s"
        limit = self._loop.call_later(RESOLVE_TIMEOUT_S, self._settle, key, [], slow)
        self._waiting[key] = ([tell], limit)
        self._asked.put(key)
        if self._workers < MAX_LOOKUPS:
            self._workers += 1
            threading.Thread(target=self._work, name="resilience-names", daemon=True).start()

    def close(self) -> None:
        """Nobody is told anything any more."""
        for _, limit in self._waiting.values():
            limit.cancel()
        self._waiting.clear()

    def _settle(self, key: tuple[str, int], addresses: list[str], problem: str) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return  # its time was over before the answer came
        tells, limit = waiting
        limit.cancel()
        for tell in tells:
            tell(addresses, problem)

    def _work(self) -> None:
        """One thread: as long as there are names to look up."""
        # RuntimeError: the loop is closed and nobody waits any more.
        with contextlib.suppress(queue.Empty, RuntimeError):
            while True:
                key = self._asked.get_nowait()
                self._loop.call_soon_threadsafe(self._settle, key, *resolve(*key))
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        self._workers -= 1
        if not self._asked.empty() and self._workers < MAX_LOOKUPS:
            self._workers += 1  # a name was asked for just as the last thread left
            threading.Thread(target=self._work, name="resilience-names", daemon=True).start()


def resolve(host: str, port: int) -> tuple[list[str], str]:
    """Every address of a name, in the system's order of preference; or none, and why. Blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        return [], f"{host}: {words}"
    return list(dict.fromkeys(str(entry[4][0]) for entry in found)), ""
