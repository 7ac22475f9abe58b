"""The end of a supervisor, asked for by whom and how often ever: it returns when everything is on disk."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from desks import DeskHost, desk, reached, standin
from resilience import BlockingSupervisor, Protection, Put, State, Supervisor, UsageError
from resilience.blocking import BlockingImage
from vaults import MemoryVault

GENEROUS_S = 10.0
IMAGES = 6
NOBODY = [f"tcp://127.0.0.1:{port}" for port in range(20_001, 20_001 + IMAGES)]
"""Sessions need no image that answers."""


def typed(text: str) -> Put:
    """What somebody typed."""
    return Put("workspaces", {"title": "w", "code": text}, key="w1")


async def _impatiently(supervisor: Supervisor) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(supervisor.close(), 0.002)


async def _beside(supervisor: Supervisor) -> None:
    asyncio.ensure_future(supervisor.close())  # noqa: RUF006 - that it is forgotten is the point
    await asyncio.sleep(0)


@pytest.mark.parametrize("first", [_impatiently, _beside])
def test_who_closes_again_waits_for_the_end_as_well(
    tmp_path: Path, first: Callable[[Supervisor], asyncio.Future[None]]
) -> None:
    """An end that somebody gave up waiting for goes on; whoever leaves the context waits for all of it."""
    vault = MemoryVault()

    async def write() -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            images = [await supervisor.connect(each) for each in NOBODY]
            for image in images:
                image.edit(typed("first"))
                await image.save()
            for image in images:
                image.edit(typed("y" * 20_000))
            await first(supervisor)

    async def read() -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            for each in NOBODY:
                image = await supervisor.connect(each)
                await image.wait_for(State.RESTORED, timeout=GENEROUS_S)
                assert image.session.document.workspaces["w1"].code == "y" * 20_000

    asyncio.run(write())
    asyncio.run(read())


def test_a_save_under_way_at_the_end_is_told_the_truth(tmp_path: Path) -> None:
    """What the end has put on the medium was not lost."""

    async def main() -> None:
        with standin() as endpoint:
            async with desk(tmp_path) as supervisor:
                image = await reached(supervisor, endpoint)
                image.edit(typed("a"))
                await image.save()
                revision = image.edit(typed("b"))
                saving = asyncio.ensure_future(image.save())
                await asyncio.sleep(0)
            assert await saving == revision

    asyncio.run(main())


def test_two_threads_may_close_at_once(tmp_path: Path) -> None:
    """Both return, and the loop is gone."""
    with ThreadPoolExecutor(4) as threads, BlockingSupervisor(tmp_path) as supervisor:
        for each in NOBODY:
            supervisor.connect(each)
        for done in [threads.submit(supervisor.close) for _ in range(4)]:
            done.result(GENEROUS_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "resilience-loop"]


def test_a_call_during_the_end_returns(tmp_path: Path) -> None:
    """Done or refused, from however many threads."""
    for _ in range(5):
        with (
            ThreadPoolExecutor(20) as threads,
            BlockingSupervisor(tmp_path, protection=Protection.VOLATILE) as supervisor,
        ):
            image = supervisor.connect(NOBODY[0])

            def call(image: BlockingImage = image) -> None:
                with suppress(UsageError):
                    for _ in range(20):
                        _ = image.session.document

            calls = [threads.submit(call) for _ in range(20)]
            supervisor.close()
            for each in calls:
                each.result(GENEROUS_S)


def test_an_interrupted_end_can_be_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while the first call waits; the second one waits for the same end, and returns."""
    supervisor = BlockingSupervisor(tmp_path, protection=Protection.INSECURE)
    with supervisor:
        supervisor.connect(NOBODY[0]).edit(typed("a"))
        with monkeypatch.context() as patched:

            def interrupted(*_: object) -> None:
                raise KeyboardInterrupt

            patched.setattr("concurrent.futures.Future.result", interrupted)
            with pytest.raises(KeyboardInterrupt):
                supervisor.close()
        supervisor.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "resilience-loop"]


def test_a_running_blocking_supervisor_is_not_entered_again(tmp_path: Path) -> None:
    """And goes on as if nobody had tried."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        with pytest.raises(UsageError, match="running already"):
            supervisor.__enter__()
        assert image.evaluate("3 + 4", timeout=GENEROUS_S).result == "7"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_refused_and_hangs_nowhere(tmp_path: Path) -> None:
    """It has none of the threads; the parent goes on."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        child = os.fork()
        if child == 0:
            try:
                image.ping(timeout=1)
            except UsageError:
                supervisor.close()
                os._exit(42)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        assert image.ping() > 0


def test_what_nobody_waits_for_any_more_is_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while an evaluation waits for a connection: it must not run when there is one."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        image.disconnect()
        image.wait_for(State.RESTORED, timeout=GENEROUS_S)
        with monkeypatch.context() as patched:

            def interrupted(*_: object) -> None:
                raise KeyboardInterrupt

            patched.setattr("concurrent.futures.Future.result", interrupted)
            with pytest.raises(KeyboardInterrupt):
                image.evaluate("'ghost'")
        image.reconnect()
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        assert image.evaluate("3 + 4", timeout=GENEROUS_S).result == "7"
        answered = [each.code for each in image.session.document.evaluations if each.ok]
    assert answered == ["3 + 4"]


def test_nothing_is_left_of_an_entry_that_was_cancelled(tmp_path: Path) -> None:
    """It can be entered again."""

    async def main() -> None:
        supervisor = Supervisor(tmp_path, host=lambda loop: DeskHost(loop, MemoryVault(), None))
        entering = asyncio.ensure_future(supervisor.__aenter__())
        await asyncio.sleep(0)
        entering.cancel()
        with suppress(asyncio.CancelledError):
            await entering
        async with supervisor:
            await supervisor.connect(NOBODY[0])

    asyncio.run(main())
