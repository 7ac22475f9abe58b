"""Waiting for an image, following it, and the end of both: nobody waits for what can never come."""

from __future__ import annotations

import asyncio
import gc
import math
import re
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import resilience.blocking
from desks import standin, until
from resilience import BadEndpoint, BlockingSupervisor, Image, Protection, State, Supervisor, UsageError

GENEROUS_S = 10.0


def with_image(data_dir: Path, trial: Callable[[Supervisor, Image], Coroutine[Any, Any, None]]) -> None:
    """Have an image that is connected, and try something with it."""

    async def main() -> None:
        with standin() as endpoint:
            async with asyncio.timeout(2 * GENEROUS_S), Supervisor(data_dir) as supervisor:
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                await trial(supervisor, image)

    asyncio.run(main())


@pytest.mark.parametrize("states", [(), ("Gone",), (None,), (State.FAILED, "Gone"), ([],)], ids=repr)
def test_waiting_for_no_state_there_is_is_refused(tmp_path: Path, states: tuple[Any, ...]) -> None:
    """Instead of waiting for ever; the refusal names those there are."""

    async def trial(_: Supervisor, image: Image) -> None:
        with pytest.raises(UsageError, match="Reconnecting"):
            await image.wait_for(*states)

    with_image(tmp_path, trial)


@pytest.mark.parametrize("timeout", [math.nan, -1, "5", [5]], ids=repr)
def test_waiting_for_no_time_there_is_is_refused(tmp_path: Path, timeout: Any) -> None:
    """Nothing ever is later than "not a number"."""

    async def trial(_: Supervisor, image: Image) -> None:
        with pytest.raises(UsageError, match="0 or more seconds"):
            await image.wait_for(State.FAILED, timeout=timeout)

    with_image(tmp_path, trial)


def test_a_states_name_will_do(tmp_path: Path) -> None:
    """It is what JSON lines and the journal have."""

    async def trial(_: Supervisor, image: Image) -> None:
        name: Any = "Connected"
        assert await image.wait_for(name, timeout=0) is State.CONNECTED

    with_image(tmp_path, trial)


def test_the_end_of_the_supervisor_ends_waiting(tmp_path: Path) -> None:
    """Whoever waits without a timeout is told, and so is who comes later, whatever the state was."""

    async def trial(supervisor: Supervisor, image: Image) -> None:
        waiting = asyncio.ensure_future(image.wait_for(State.FAILED))
        await asyncio.sleep(0)
        await supervisor.close()
        with pytest.raises(UsageError, match="was closed"):
            await waiting
        with pytest.raises(UsageError, match="was closed"):
            await image.wait_for(State.CONNECTED)

    with_image(tmp_path, trial)


def test_the_end_of_the_supervisor_ends_what_is_followed(tmp_path: Path) -> None:
    """After the last change, and at once for who comes later."""

    async def trial(supervisor: Supervisor, image: Image) -> None:
        async def follow() -> list[State]:
            return [change.target async for change in image.changes()]

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(0)
        image.disconnect()
        await supervisor.close()
        assert await following == [State.RESTORED]
        assert await follow() == []

    with_image(tmp_path, trial)


def test_what_happened_since_the_call_is_followed(tmp_path: Path) -> None:
    """Also before anybody has read the first of it."""

    async def trial(_: Supervisor, image: Image) -> None:
        changes = image.changes()
        image.disconnect()
        await image.wait_for(State.RESTORED, timeout=GENEROUS_S)
        assert (await anext(changes)).target is State.RESTORED

    with_image(tmp_path, trial)


def test_whom_nobody_reads_any_more_is_forgotten(tmp_path: Path) -> None:
    """Read or not, finished or not."""

    async def trial(_: Supervisor, image: Image) -> None:
        for _i in range(3):
            image.changes()
        half = image.changes()
        image.disconnect()
        await anext(half)
        del half
        gc.collect()
        await until(lambda: not image._subscribers)

    with_image(tmp_path, trial)


def test_a_state_that_was_told_is_not_missed(tmp_path: Path) -> None:
    """Though the next one was told in the same moment."""

    async def trial(_: Supervisor, image: Image) -> None:
        waiting = asyncio.ensure_future(image.wait_for(State.RESTORED, timeout=GENEROUS_S))
        await asyncio.sleep(0)
        told = image.changes()
        image.disconnect()
        change = await anext(told)
        image.publish(change)
        image.publish(replace(change, source=State.RESTORED, target=State.CONNECTED))
        assert await waiting is State.RESTORED

    with_image(tmp_path, trial)


def test_a_running_supervisor_is_not_entered_again(tmp_path: Path) -> None:
    """Its images would be another's; after its end it can be."""

    async def trial(supervisor: Supervisor, image: Image) -> None:
        with pytest.raises(UsageError, match="running already"):
            await supervisor.__aenter__()
        assert (await image.evaluate("3 + 4", timeout=GENEROUS_S)).result == "7"
        await supervisor.close()
        async with supervisor:
            again = await supervisor.connect(image.endpoint)
            await again.wait_for(State.CONNECTED, timeout=GENEROUS_S)

    with_image(tmp_path, trial)


@pytest.mark.parametrize("endpoint", [None, 5555, b"tcp://10.0.0.2:5555"], ids=repr)
def test_an_endpoint_that_is_no_text_is_a_bad_endpoint(tmp_path: Path, endpoint: Any) -> None:
    """Told as any other."""

    async def trial(supervisor: Supervisor, _: Image) -> None:
        with pytest.raises(BadEndpoint, match="an endpoint is text"):
            await supervisor.connect(endpoint)

    with_image(tmp_path, trial)


def test_who_reads_nothing_of_what_is_followed_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocking program's backlog is full when the supervisor closes; the oldest go."""
    monkeypatch.setattr(resilience.blocking, "MAX_SUBSCRIBER_BACKLOG", 2)
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor, ThreadPoolExecutor(1) as thread:
        image = supervisor.connect(endpoint)
        followed = image.changes()
        first = thread.submit(next, followed)
        rounds = 0
        while not first.done() or rounds < 3:
            rounds += 1 if first.done() else 0
            image.disconnect()
            image.wait_for(State.RESTORED, timeout=GENEROUS_S)
            image.reconnect()
            image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        supervisor.close()
        assert len(list(followed)) < 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"data_dir": 5},
        {"data_dir": ""},
        {"data_dir": "a\0b"},
        {"policy": {"check_idle_s": 1}},
        {"protection": "none"},
        {"protection": 5},
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    """And the refusal shows it."""
    with pytest.raises(UsageError, match=re.escape(repr(next(iter(wrong.values()))).strip("{}")[:4])):
        Supervisor(**wrong)


def test_a_protections_name_will_do(tmp_path: Path) -> None:
    """As on the command line; nothing is left undecided in silence."""
    name: Any = "volatile"

    async def main() -> None:
        async with Supervisor(tmp_path, protection=name) as supervisor:
            await until(lambda: supervisor.keys.protection is not None)
            assert supervisor.keys.protection is Protection.VOLATILE

    asyncio.run(main())
