"""Law 3: busy is not dead, and frozen is not gone; each is told as what it is."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from machines import Policy
from resilience import Image, Reason, State, Supervisor
from resilience.change import Change

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 15.0
OUR_STALL_S = 4.0
BUSY_MS = 8_000
"""Longer than every patience there is: heartbeats, frozen processes, hedges, drains."""


@dataclass
class Seen:
    """What a user would have seen of one image."""

    changes: list[Change] = field(default_factory=list)
    reasons: list[tuple[State, Reason]] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    after_a_while: tuple[State, Reason] | None = None


@contextmanager
def child() -> Iterator[tuple[str, int]]:
    """An image in a process of its own, which can be stopped: its endpoint and its process id."""
    command = [sys.executable, "-m", "resilience.standin", "--bind", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1], process.pid
        finally:
            process.kill()


@asynccontextmanager
async def observed(supervisor: Supervisor, endpoint: str) -> AsyncIterator[tuple[Image, Seen]]:
    """A connected image, and a record of everything shown of it from then on."""
    image = await supervisor.connect(endpoint)
    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
    seen = Seen()

    def note(change: Change) -> None:
        if change.image == image.name:
            seen.changes.append(change)

    async def look() -> None:
        while True:
            shown = (image.state, image.reason)
            if not seen.reasons or seen.reasons[-1] != shown:
                seen.reasons.append(shown)
            await asyncio.sleep(0.005)

    supervisor.on_change(note)
    looking = asyncio.ensure_future(look())
    try:
        yield image, seen
    finally:
        looking.cancel()


Cases = dict[str, Seen | list[str] | BaseException]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GENEROUS_S):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.005)


async def work_for_long(supervisor: Supervisor, endpoint: str) -> Seen:
    """One long evaluation, with a second request waiting behind it."""
    async with observed(supervisor, endpoint) as (image, seen):
        code = f"(Delay forMilliseconds: {BUSY_MS}) wait. Counter increment"
        long = asyncio.ensure_future(image.evaluate(code, timeout=60))
        await asyncio.sleep(0)
        behind = asyncio.ensure_future(image.evaluate("Counter value", timeout=60))
        await until(lambda: image.reason is Reason.BUSY)
        assert image.busy
        seen.results += [(await long).result, (await behind).result]
        await until(lambda: not image.busy)
        seen.reasons.append((image.state, image.reason))
    return seen


async def freeze(supervisor: Supervisor, endpoint: str, pid: int) -> Seen:
    """The image's process is stopped while it is idle, and goes on when the user has been told."""
    async with observed(supervisor, endpoint) as (image, seen):
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: image.reason is Reason.FROZEN and image.state is State.RECONNECTING)
            await asyncio.sleep(Policy().handshake_s + 0.5)
            seen.after_a_while = (image.state, image.reason)
            waiting = asyncio.ensure_future(image.evaluate("Counter increment", timeout=60))
        finally:
            os.kill(pid, signal.SIGCONT)
        seen.results.append((await waiting).result)
        await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        seen.reasons.append((image.state, image.reason))
    return seen


async def freeze_ourselves(endpoint: str, data_dir: Path) -> list[str]:
    """A watching process of ours is stopped and goes on; the states it has printed a while after that."""
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "resilience", "watch", endpoint, "--json", "--data-dir", data_dir),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert watcher.stdout is not None
    try:
        first = await asyncio.wait_for(watcher.stdout.readline(), GENEROUS_S)
        watcher.send_signal(signal.SIGSTOP)
        await asyncio.sleep(OUR_STALL_S)
        watcher.send_signal(signal.SIGCONT)
        await asyncio.sleep(Policy().quiet_idle_s + Policy().check_idle_s)
        watcher.send_signal(signal.SIGINT)
        rest = await asyncio.wait_for(watcher.stdout.read(), GENEROUS_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            watcher.kill()
        await watcher.wait()
    return [json.loads(line)["target"] for line in [first, *rest.splitlines()]]


async def freeze_at_work(supervisor: Supervisor, endpoint: str, pid: int) -> Seen:
    """The same with a request in flight: it is neither lost nor repeated when the process goes on."""
    async with observed(supervisor, endpoint) as (image, seen):
        waiting = asyncio.ensure_future(
            image.evaluate("(Delay forMilliseconds: 300) wait. Counter increment", timeout=60)
        )
        await until(lambda: image.busy)
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: image.reason is Reason.FROZEN)
        finally:
            os.kill(pid, signal.SIGCONT)
        seen.results.append((await waiting).result)
        seen.results.append((await image.evaluate("Counter value", timeout=60)).result)
        seen.reasons.append((image.state, image.reason))
    return seen


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """All at the same time: each takes seconds of waiting and no work."""

    async def main() -> list[Seen | list[str] | BaseException]:
        with contextlib.ExitStack() as stack:
            images = [stack.enter_context(child()) for _ in range(4)]
            async with Supervisor(tmp_path_factory.mktemp("busy")) as supervisor:
                return list(
                    await asyncio.gather(
                        work_for_long(supervisor, images[0][0]),
                        freeze(supervisor, *images[1]),
                        freeze_at_work(supervisor, *images[2]),
                        freeze_ourselves(images[3][0], tmp_path_factory.mktemp("frozen-watch")),
                        return_exceptions=True,
                    )
                )

    return dict(zip(["busy", "frozen", "frozen at work", "ourselves"], asyncio.run(main()), strict=True))


def case(cases: Cases, name: str) -> Seen:
    seen = cases[name]
    if isinstance(seen, BaseException):
        raise seen
    assert isinstance(seen, Seen)
    return seen


def test_a_busy_image_stays_connected(cases: Cases) -> None:
    """Eight seconds without an answer, and not one transition; nothing is redialled."""
    seen = case(cases, "busy")
    assert not seen.changes
    assert {state for state, _ in seen.reasons} == {State.CONNECTED}


def test_a_busy_image_is_called_busy_while_it_is(cases: Cases) -> None:
    """And no longer."""
    seen = case(cases, "busy")
    assert (State.CONNECTED, Reason.BUSY) in seen.reasons
    assert seen.reasons[-1] == (State.CONNECTED, Reason.ANSWERED)
    assert Reason.FROZEN not in {reason for _, reason in seen.reasons}


def test_a_long_evaluation_runs_once_and_the_next_one_follows(
    cases: Cases,
) -> None:
    """One at a time, in order."""
    assert case(cases, "busy").results == ["1", "1"]


def test_a_frozen_image_is_told_as_frozen_with_a_healthy_network(
    cases: Cases,
) -> None:
    """Not as an unreachable one, and it stays that way while we dial beside it."""
    seen = case(cases, "frozen")
    assert (State.RECONNECTING, Reason.FROZEN) in seen.reasons
    assert "network fine" in Reason.FROZEN
    blamed = {Reason.NO_ANSWER, Reason.NO_ROUTE, Reason.WAITING, Reason.REFUSED, Reason.CLOSED}
    assert not blamed & {reason for _, reason in seen.reasons}
    assert seen.after_a_while == (State.RECONNECTING, Reason.FROZEN)


def test_a_frozen_image_that_goes_on_is_connected_again(cases: Cases) -> None:
    """And what was asked meanwhile is done, once."""
    seen = case(cases, "frozen")
    assert seen.results == ["1"]
    assert seen.reasons[-1][0] is State.CONNECTED


def test_freezing_at_work_loses_and_repeats_nothing(cases: Cases) -> None:
    """The reply comes over the link that was kept for it."""
    assert case(cases, "frozen at work").results == ["1", "1"]


def test_our_own_stall_is_not_blamed_on_the_network(cases: Cases) -> None:
    """Law 6: we were stopped for seconds and heard nothing meanwhile; the link is as good as it was."""
    assert cases["ourselves"] == ["Connected"]
