"""Names to addresses, off the loop: asked again while there is no answer, and always with an end.

A resolver that lost its question to a network that was gone repeats it only after
seconds (resolv.conf(5): 5 s), so a fresh question goes out every second, and at once
when the network has changed. The first answer serves everybody who waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from resilience.limits import MAX_LOOKUPS, MAX_LOOKUPS_A_NAME, RESOLVE_AGAIN_S, RESOLVE_TIMEOUT_S

Tell = Callable[[list[str], str], object]
Begin = Callable[[str, int, Tell], None]


@dataclass(slots=True)
class _Question:
    """One name under way."""

    limit: asyncio.TimerHandle
    tells: list[Tell] = field(default_factory=list)
    again: asyncio.TimerHandle | None = None
    under_way: int = 0


class Names:
    """Looks names up for every image of one supervisor; `begin` starts one lookup that tells on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Begin) -> None:
        self._loop = loop
        self._begin = begin
        self._questions: dict[tuple[str, int], _Question] = {}

    def look_up(self, host: str, port: int, tell: Tell) -> None:
        """Call `tell` with the addresses, or with none and the reason."""
        key = (host, port)
        question = self._questions.get(key)
        if question is None:
            slow = f"no answer about {host} within {RESOLVE_TIMEOUT_S:.0f} s"
            limit = self._loop.call_later(RESOLVE_TIMEOUT_S, self._settle, key, [], slow)
            question = self._questions[key] = _Question(limit)
            self._ask(key, question)
        question.tells.append(tell)

    def ask_again(self) -> None:
        """The network has changed: what was asked on the old one may never be answered."""
        for key, question in list(self._questions.items()):
            self._ask(key, question)

    def close(self) -> None:
        """Nobody is told anything any more."""
        for question in self._questions.values():
            self._stop(question)
        self._questions.clear()

    def _ask(self, key: tuple[str, int], question: _Question) -> None:
        if question.again is not None:
            question.again.cancel()
        question.again = self._loop.call_later(RESOLVE_AGAIN_S, self._ask, key, question)
        if question.under_way < MAX_LOOKUPS_A_NAME:
            question.under_way += 1
            self._begin(*key, lambda addresses, problem: self._answered(key, question, addresses, problem))

    def _answered(
        self, key: tuple[str, int], question: _Question, addresses: list[str], problem: str
    ) -> None:
        question.under_way -= 1
        # A failure counts when no fresher question is out that may still succeed.
        if self._questions.get(key) is question and (addresses or not question.under_way):
            self._settle(key, addresses, problem)

    def _settle(self, key: tuple[str, int], addresses: list[str], problem: str) -> None:
        question = self._questions.pop(key)
        self._stop(question)
        for tell in question.tells:
            tell(addresses, problem)

    @staticmethod
    def _stop(question: _Question) -> None:
        question.limit.cancel()
        if question.again is not None:
            question.again.cancel()


class Lookups:
    """The system's resolver, in a few threads.

    Not an executor: its threads are joined at exit, and a lookup may hang for half a minute.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: queue.SimpleQueue[tuple[str, int, Tell]] = queue.SimpleQueue()
        self._workers = 0

    def begin(self, host: str, port: int, tell: Tell) -> None:
        """Call `tell` on the loop with what the system says, whenever it does."""
        self._asked.put((host, port, tell))
        self._hire()

    def _hire(self) -> None:
        if self._workers < MAX_LOOKUPS:
            self._workers += 1
            threading.Thread(target=self._work, name="resilience-names", daemon=True).start()

    def _work(self) -> None:
        """One thread: as long as there are names to look up."""
        # RuntimeError: the loop is closed and nobody waits any more.
        with contextlib.suppress(queue.Empty, RuntimeError):
            while True:
                host, port, tell = self._asked.get_nowait()
                self._loop.call_soon_threadsafe(tell, *resolve(host, port))
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended)

    def _ended(self) -> None:
        self._workers -= 1
        if not self._asked.empty():
            self._hire()  # a name was asked for just as the last thread left


def resolve(host: str, port: int) -> tuple[list[str], str]:
    """Every address of a name, in the system's order of preference; or none, and why. Blocks."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        return [], f"{host}: {words}"
    return list(dict.fromkeys(str(entry[4][0]) for entry in found)), ""
