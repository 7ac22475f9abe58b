"""The host's own code raises, where we call it: that is reported as what it is, and stops nothing of ours."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from desks import standin, until
from resilience import BlockingSupervisor, State, Supervisor, UsageError
from resilience.change import Change

GENEROUS_S = 10.0


class OwnError(Exception):
    """Raised by the host's code."""


def reports() -> list[dict[str, Any]]:
    """What the running loop is told of from now on."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    return reported


@pytest.mark.parametrize("fault", [OwnError, asyncio.CancelledError])
def test_a_listener_that_raises_keeps_no_change_from_anybody_else(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    """Not from other listeners, and not from the images whose change came to disk in the same write."""

    def faulty(_: Change) -> None:
        raise fault

    async def main() -> None:
        heard: list[Change] = []
        reported = reports()
        with ExitStack() as stack:
            endpoints = [stack.enter_context(standin()) for _ in range(3)]
            async with Supervisor(tmp_path) as supervisor:
                supervisor.on_change(faulty)
                supervisor.on_change(heard.append)
                images = [await supervisor.connect(each) for each in endpoints]
                for image in images:
                    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                for image in images:  # the first has a write of its own, the others share the next
                    image.disconnect()
                for image in images:
                    await image.wait_for(State.RESTORED, timeout=GENEROUS_S)
        assert len(heard) == len(reported) == 6
        assert {type(context["exception"]) for context in reported} == {fault}

    asyncio.run(main())


def test_a_notice_that_raises_breaks_nothing(tmp_path: Path) -> None:
    """Where the data directory cannot be used, which is told at once."""
    (tmp_path / "file").write_text("in the way")

    def faulty(_: str) -> None:
        raise OwnError

    async def main() -> None:
        reported = reports()
        with standin() as endpoint:
            async with Supervisor(tmp_path / "file", on_notice=faulty) as supervisor:
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                assert (await image.evaluate("3 + 4", timeout=GENEROUS_S)).result == "7"
        assert {type(context["exception"]) for context in reported} == {OwnError}

    asyncio.run(main())


def test_a_blocking_program_hears_every_change_too(tmp_path: Path) -> None:
    """Each before a call that waited for it returns."""
    heard: list[Change] = []
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        supervisor.on_change(heard.append)
        image = supervisor.connect(endpoint)
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        assert [change.target for change in heard] == [State.CONNECTED]


def test_a_pings_callback_that_raises_breaks_nothing(tmp_path: Path) -> None:
    """Neither the end of the supervisor nor another image."""

    def faulty(*_: object) -> None:
        raise OwnError

    async def main() -> None:
        reported = reports()
        with standin() as first, standin() as second:
            async with Supervisor(tmp_path) as supervisor:
                images = [await supervisor.connect(each) for each in (first, second)]
                for image in images:
                    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                images[0].submit_ping(GENEROUS_S, faulty)
                await until(lambda: bool(reported))
                assert not images[0].busy
                images[0].disconnect()
                images[0].submit_ping(GENEROUS_S, faulty)
            assert [type(context["exception"]) for context in reported] == [OwnError] * 2
        with pytest.raises(UsageError):
            await images[1].ping()

    asyncio.run(main())
