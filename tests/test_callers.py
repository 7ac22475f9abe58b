"""Who may call: an image belongs to the event loop of its supervisor, and says so to everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from desks import standin
from resilience import Append, Image, Protection, State, Supervisor, UsageError

GENEROUS_S = 10.0
ASKED: dict[str, Callable[[Supervisor, Image], Awaitable[object]]] = {
    "evaluate": lambda _, image: image.evaluate("3 + 4"),
    "ping": lambda _, image: image.ping(),
    "save": lambda _, image: image.save(),
    "wait_for": lambda _, image: image.wait_for(State.CONNECTED),
    "take_over": lambda _, image: image.session.take_over(),
    "private_copy": lambda _, image: image.session.private_copy(),
    "connect": lambda supervisor, _: supervisor.connect("tcp://127.0.0.1:9"),
    "unlock": lambda supervisor, _: supervisor.unlock(),
    "protect": lambda supervisor, _: supervisor.protect(Protection.INSECURE),
    "close": lambda supervisor, _: supervisor.close(),
}
DONE: dict[str, Callable[[Image], object]] = {
    "edit": lambda image: image.edit(Append("evaluations", {"id": "1", "at": 0.0, "code": "1"})),
    "changes": lambda image: image.changes(),
    "retry": lambda image: image.retry(),
    "disconnect": lambda image: image.disconnect(),
    "reconnect": lambda image: image.reconnect(),
    "adopt": lambda image: image.adopt(),
    "restore": lambda image: image.restore(),
    "archive": lambda image: image.archive(),
    "start_fresh": lambda image: image.start_fresh(),
    "submit_ping": lambda image: image.submit_ping(1.0, lambda *_: None),
}


async def refused_elsewhere(call: Callable[[], object]) -> None:
    """In a thread with a loop of its own, and in one without."""

    def with_a_loop() -> object:
        async def main() -> object:
            outcome = call()
            return await outcome if isinstance(outcome, Awaitable) else outcome

        return asyncio.run(main())

    with pytest.raises(UsageError, match="belong to the event loop of their supervisor"):
        await asyncio.wait_for(asyncio.to_thread(with_a_loop), GENEROUS_S)


def test_another_event_loop_is_refused_at_once(tmp_path: Path) -> None:
    """Its futures would never be told; and whoever was refused has changed nothing."""

    async def main() -> None:
        with standin() as endpoint:
            async with Supervisor(tmp_path, protection=Protection.INSECURE) as supervisor:
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                for ask in ASKED.values():
                    await refused_elsewhere(lambda ask=ask: ask(supervisor, image))  # type: ignore[misc]  # as in test_host
                for do in DONE.values():
                    await refused_elsewhere(lambda do=do: do(image))  # type: ignore[misc]  # as above
                assert (await image.evaluate("3 + 4")).result == "7"
                assert supervisor.images == (image,)
                assert [each["code"] for each in image.session.state["evaluations"]] == ["3 + 4"]

    asyncio.run(main())


def test_a_thread_without_a_loop_is_refused_and_may_look(tmp_path: Path) -> None:
    """Changing anything from there would race with the loop; looking costs nothing and stays possible."""

    async def main() -> None:
        with standin() as endpoint:
            async with Supervisor(tmp_path, protection=Protection.INSECURE) as supervisor:
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                for name in ("edit", "retry", "disconnect", "submit_ping"):
                    with pytest.raises((UsageError, RuntimeError)):
                        await asyncio.to_thread(DONE[name], image)
                looks: tuple[Callable[[], object], ...] = (
                    lambda: image.state,
                    lambda: image.reason,
                    lambda: supervisor.keys.why,
                )
                assert [await asyncio.to_thread(look) for look in looks] == [look() for look in looks]
                assert image.state is State.CONNECTED

    asyncio.run(main())


def test_the_next_run_of_the_same_loop_goes_on(tmp_path: Path) -> None:
    """A host may stop its loop and start it again; between, nothing runs and nobody is in the way."""
    with asyncio.Runner() as runner, standin() as endpoint:
        supervisor = runner.run(Supervisor(tmp_path).__aenter__())
        image = runner.run(supervisor.connect(endpoint))
        image.retry()
        runner.run(image.wait_for(State.CONNECTED, timeout=GENEROUS_S))
        assert runner.run(image.evaluate("3 + 4")).result == "7"
        runner.run(supervisor.close())
