"""Names are looked up off the loop, by few threads, once at a time each, and there is always an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from resilience import names
from resilience.limits import MAX_LOOKUPS
from resilience.names import Names, resolve


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a plain fact that nothing announces."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - as it says
            await asyncio.sleep(0.001)


def test_a_name_is_resolved_and_a_wrong_one_is_explained() -> None:
    """`localhost` has an address; an invalid name has a reason that names it."""
    addresses, problem = resolve("localhost", 5555)
    assert addresses
    assert not problem
    addresses, problem = resolve("no-such-host.invalid", 5555)
    assert not addresses
    assert "no-such-host.invalid" in problem


def test_many_ask_few_threads_and_each_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred images of fifty names: at most eight threads, one lookup a name, everybody told."""
    calls: list[str] = []
    release = threading.Event()

    def slow(host: str, _: int) -> tuple[list[str], str]:
        calls.append(host)
        release.wait(5)
        return [host], ""

    monkeypatch.setattr(names, "resolve", slow)
    told: list[str] = []

    async def ask() -> None:
        book = Names(asyncio.get_running_loop())
        for n in range(100):
            book.look_up(f"h{n % 50}", 1, lambda addresses, _: told.append(addresses[0]))
        await until(lambda: len(calls) >= MAX_LOOKUPS)
        mine = [each for each in threading.enumerate() if each.name == "resilience-names"]
        assert len(mine) == MAX_LOOKUPS
        release.set()
        await until(lambda: len(told) >= 100)

    asyncio.run(ask())
    assert sorted(calls) == sorted({f"h{n}" for n in range(50)})
    assert len(told) == 100


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told in time, the late answer tells nobody, and asking again works."""
    monkeypatch.setattr(names, "RESOLVE_TIMEOUT_S", 0.05)
    release = threading.Event()

    def hangs(_: str, __: int) -> tuple[list[str], str]:
        release.wait(5)
        return ["192.0.2.1"], ""

    monkeypatch.setattr(names, "resolve", hangs)
    told: list[tuple[list[str], str]] = []

    async def ask() -> None:
        book = Names(asyncio.get_running_loop())
        book.look_up("slow.example", 1, lambda *answer: told.append(answer))
        await until(lambda: bool(told))
        assert told[0][0] == []
        assert "slow.example" in told[0][1]
        release.set()
        book.look_up("slow.example", 1, lambda *answer: told.append(answer))
        await until(lambda: len(told) >= 2)
        await asyncio.sleep(0.02)

    asyncio.run(ask())
    assert told[1:] == [(["192.0.2.1"], "")]
