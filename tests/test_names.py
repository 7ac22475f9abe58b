"""Names are looked up off the loop, by few threads, once at a time each, and there is always an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from resilience import names
from resilience.limits import MAX_LOOKUPS, MAX_LOOKUPS_A_NAME
from resilience.names import Lookups, Names, resolve


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
        loop = asyncio.get_running_loop()
        book = Names(loop, Lookups(loop).begin)
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
        loop = asyncio.get_running_loop()
        book = Names(loop, Lookups(loop).begin)
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


class Questions:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Callable[[list[str], str], object]] = []

    def begin(self, _: str, __: int, tell: Callable[[list[str], str], object]) -> None:
        self.asked.append(tell)


def test_a_name_without_an_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question lost with the old network is repeated; the first answer serves everybody who waits."""
    monkeypatch.setattr(names, "RESOLVE_AGAIN_S", 0.02)
    told: list[tuple[list[str], str]] = []

    async def ask() -> None:
        resolver = Questions()
        book = Names(asyncio.get_running_loop(), resolver.begin)
        book.look_up("slow.example", 1, lambda *answer: told.append(answer))
        book.look_up("slow.example", 1, lambda *answer: told.append(answer))
        assert len(resolver.asked) == 1
        await until(lambda: len(resolver.asked) == 2)
        resolver.asked[1](["192.0.2.1"], "")
        resolver.asked[0](["192.0.2.9"], "")
        book.close()

    asyncio.run(ask())
    assert told == [(["192.0.2.1"], "")] * 2


def test_a_changed_network_asks_at_once_and_an_old_failure_waits_for_the_fresh_answer() -> None:
    """Bounded: a name server that never answers does not take every thread."""
    told: list[tuple[list[str], str]] = []

    async def ask() -> None:
        resolver = Questions()
        book = Names(asyncio.get_running_loop(), resolver.begin)
        book.look_up("slow.example", 1, lambda *answer: told.append(answer))
        for _ in range(10):
            book.ask_again()
        assert len(resolver.asked) == MAX_LOOKUPS_A_NAME
        resolver.asked[0]([], "no network")
        assert told == []
        resolver.asked[-1](["192.0.2.1"], "")
        assert told == [(["192.0.2.1"], "")]
        book.look_up("slow.example", 1, lambda *answer: told.append(answer))
        resolver.asked[1]([], "of the question before")
        resolver.asked[-1]([], "no such name")
        assert told[1:] == [([], "no such name")]
        book.close()

    asyncio.run(ask())
