"""Law 11 through every fault we can make: done, not done, or unknown, and never run twice."""

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from resilience import EvaluationError, Expired, Image, OutcomeUnknown, State, Supervisor
from resilience.change import Change
from resilience.demo.relay import DROP, PASS, RESET, Fault, Relay
from simulations.hostile import Kind

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 15.0
TROUBLE_S = 6.0
"""How long each image's path is broken and mended."""
LONG_S = 3.6
"""A drop that is noticed: the relay's kernel acknowledges what it drops, so only mute heartbeats tell."""
CALLERS = 3
DROP_TO_SERVER = Fault(drops_to_server=True)
DROP_TO_CLIENT = Fault(drops_to_client=True)


class Child:
    """An image in a process of its own, which can be killed and started again."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._endpoint = "tcp://127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None
        self.lives = 0

    def start(self) -> str:
        """Begin a life, at the endpoint of the one before."""
        command = [*self._command, "--bind", self._endpoint]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self._endpoint = self._process.stdout.readline().split()[1]
        self.lives += 1
        return self._endpoint

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(GENEROUS_S)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@dataclass
class Tally:
    """What the callers were told, and what the image did."""

    done: int = 0
    failed: int = 0
    not_done: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    executed: list[str] = field(default_factory=list)
    outages: int = 0


async def call(image: Image, tally: Tally, random: Random, ends: float) -> None:
    """Increment, again and again, with deadlines short and long."""
    loop = asyncio.get_running_loop()
    while loop.time() < ends:
        try:
            await image.evaluate("Counter increment", timeout=random.choice([0.2, 0.6, 2.0]))
            tally.done += 1
        except EvaluationError:
            tally.failed += 1
        except Expired as told:
            tally.not_done.add(told.request_id)
        except OutcomeUnknown as told:
            tally.unknown.add(told.request_id)
        await asyncio.sleep(random.uniform(0.0, 0.03))


def executed_ids(log: Path, code: str | None = None) -> list[str]:
    """The ids of the evaluations that the image has run, as often as it has run them."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["id"] for line in lines if line["kind"] == "Evaluate" and code in (None, line["code"])]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GENEROUS_S):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.005)


Trouble = Callable[[Random, float], Awaitable[None]]


async def endure(directory: Path, name: str, endpoint: str, trouble: Trouble) -> Tally:
    """Call through trouble, then mend, and count."""
    tally, random = Tally(), Random(name)
    async with Supervisor(directory / f"data-{name}") as supervisor:
        image = await supervisor.connect(endpoint)

        def follow(change: Change) -> None:
            tally.outages += change.target is State.RECONNECTING
            if change.target is State.ORPHANED:
                image.adopt()

        supervisor.on_change(follow)
        await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        ends = asyncio.get_running_loop().time() + TROUBLE_S
        await asyncio.gather(
            trouble(random, ends), *(call(image, tally, random, ends) for _ in range(CALLERS))
        )
        async with asyncio.timeout(GENEROUS_S):
            while True:  # the last one to be done shows that nothing older is still under way
                with contextlib.suppress(Expired, OutcomeUnknown):
                    await image.evaluate("Counter value", timeout=1.0)
                    break
    tally.executed = executed_ids(directory / f"{name}.log", "Counter increment")
    return tally


async def through_a_relay(directory: Path, name: str, faults: list[Fault]) -> Tally:
    """A path that breaks in the same ways over and over, before an image that runs on."""
    image = Child("resilience.standin", "--log", str(directory / f"{name}.log"))
    try:
        async with Relay(image.start()) as relay:

            async def trouble(random: Random, ends: float) -> None:
                for broken_s in itertools.cycle([0.3, LONG_S, 0.05, 1.0]):
                    await asyncio.sleep(random.uniform(0.05, 0.4))
                    relay.set(random.choice(faults))
                    await asyncio.sleep(broken_s)
                    relay.set(PASS)
                    if asyncio.get_running_loop().time() >= ends:
                        return

            return await endure(directory, name, relay.endpoint, trouble)
    finally:
        image.kill()


async def with_an_image_that_dies(directory: Path, name: str) -> Tally:
    """Killed in the middle of things, started again."""
    image = Child(
        "resilience.standin",
        "--log",
        str(directory / f"{name}.log"),
        "--state",
        str(directory / f"{name}.json"),
    )

    async def trouble(random: Random, ends: float) -> None:
        while asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(random.uniform(0.1, 0.8))
            image.kill()
            await asyncio.sleep(random.uniform(0.0, 0.5))
            await asyncio.to_thread(image.start)

    try:
        return await endure(directory, name, image.start(), trouble)
    finally:
        image.kill()


async def with_an_image_that_crashes_before_it_replies(directory: Path, name: str) -> Tally:
    """It executes, and dies with the reply in its hands; its next life is another image, and is adopted."""
    image = Child(
        "simulations.hostile",
        Kind.CRASH_BEFORE_REPLY,
        "--after",
        "7",
        "--log",
        str(directory / f"{name}.log"),
    )

    async def trouble(_: Random, ends: float) -> None:
        while asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.02)
            if not image.running:
                image.kill()
                await asyncio.to_thread(image.start)

    async def keep_alive() -> None:
        while True:
            await trouble(Random(), asyncio.get_running_loop().time() + 1.0)

    try:
        endpoint = image.start()
        keeper = asyncio.ensure_future(keep_alive())
        try:
            return await endure(directory, name, endpoint, lambda _, __: asyncio.sleep(TROUBLE_S))
        finally:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
    finally:
        image.kill()


FAULTS: dict[str, list[Fault]] = {
    "drop": [DROP],
    "reset": [RESET],
    "replies-lost": [DROP_TO_CLIENT],
    "requests-lost": [DROP_TO_SERVER],
    "everything": [DROP, RESET, DROP_TO_CLIENT, DROP_TO_SERVER],
}
DEATHS = {
    "image-killed": with_an_image_that_dies,
    "crash-before-reply": with_an_image_that_crashes_before_it_replies,
}


@pytest.fixture(scope="module")
def tallies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tally | BaseException]:
    """All faults at the same time, each on an image of its own."""
    directory = tmp_path_factory.mktemp("never-twice")

    async def main() -> list[Tally | BaseException]:
        return await asyncio.gather(
            *(through_a_relay(directory, name, faults) for name, faults in FAULTS.items()),
            *(death(directory, name) for name, death in DEATHS.items()),
            return_exceptions=True,
        )

    return dict(zip([*FAULTS, *DEATHS], asyncio.run(main()), strict=True))


def tally_of(tallies: dict[str, Tally | BaseException], name: str) -> Tally:
    tally = tallies[name]
    if isinstance(tally, BaseException):
        raise tally
    return tally


every_fault = pytest.mark.parametrize("name", [*FAULTS, *DEATHS])


@every_fault
def test_no_request_is_executed_twice(tallies: dict[str, Tally | BaseException], name: str) -> None:
    """The image's own log, over all its lives: every id once at most."""
    executed = tally_of(tallies, name).executed
    assert len(executed) == len(set(executed))


@every_fault
def test_what_was_told_is_what_happened(tallies: dict[str, Tally | BaseException], name: str) -> None:
    """Done was done; not done was not; and whatever else ran was called unknown."""
    tally = tally_of(tallies, name)
    executed = set(tally.executed)
    assert not tally.not_done & executed
    assert len(executed - tally.unknown) == tally.done
    assert tally.done <= len(executed) <= tally.done + len(tally.unknown)
    assert tally.failed == 0


@every_fault
def test_the_faults_were_felt(tallies: dict[str, Tally | BaseException], name: str) -> None:
    """Otherwise the two tests above would show nothing."""
    tally = tally_of(tallies, name)
    assert tally.done > 10
    assert tally.outages
    assert tally.unknown or tally.not_done


def test_some_outcomes_stayed_unknown(tallies: dict[str, Tally | BaseException]) -> None:
    """Whether one fault catches a call on its way is chance; that none of them all does is not."""
    assert any(tally_of(tallies, name).unknown for name in tallies)


# -- abandoned requests --------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Child]:
    """An image with a log."""
    child = Child("resilience.standin", "--log", str(tmp_path / "log"))
    yield child
    child.kill()


@pytest.mark.parametrize("timeout_s", [0.3, 1.5])
def test_a_request_given_up_during_a_drop_never_runs_afterwards(
    tmp_path: Path, image: Child, timeout_s: float
) -> None:
    """It was handed over and its caller has left: the returning path must not bring it to the image (RST)."""

    async def main() -> None:
        async with Relay(image.start()) as relay, Supervisor(tmp_path / "data") as supervisor:
            client = await supervisor.connect(relay.endpoint)
            await client.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            relay.set(DROP)
            with pytest.raises(OutcomeUnknown) as told:
                await client.evaluate("Counter increment", timeout=timeout_s)
            await client.wait_for(State.RECONNECTING, timeout=GENEROUS_S)
            await asyncio.sleep(0.5)
            relay.set(PASS)
            await client.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            assert (await client.evaluate("Counter value", timeout=GENEROUS_S)).result == "0"
        assert told.value.request_id not in executed_ids(tmp_path / "log")

    asyncio.run(main())


def test_a_request_outlives_a_drop_shorter_than_its_patience(tmp_path: Path, image: Child) -> None:
    """Somebody still waits: the link that carries it is kept, and its reply is delivered."""

    async def main() -> None:
        async with Relay(image.start()) as relay, Supervisor(tmp_path / "data") as supervisor:
            client = await supervisor.connect(relay.endpoint)
            await client.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            waiting = asyncio.ensure_future(client.evaluate("(Delay forMilliseconds: 200) wait", timeout=30))
            await until(lambda: client.busy)
            relay.set(DROP)
            await asyncio.sleep(0.5)
            relay.set(PASS)
            assert (await waiting).result
        assert len(executed_ids(tmp_path / "log")) == 1

    asyncio.run(main())


def test_an_image_killed_during_an_evaluation_is_an_unknown_outcome(tmp_path: Path, image: Child) -> None:
    """Told at once, with the id, the moment and the cause; and its next life does not see the request."""

    async def main() -> None:
        endpoint = image.start()
        async with Supervisor(tmp_path / "data") as supervisor:
            client = await supervisor.connect(endpoint)
            await client.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            waiting = asyncio.ensure_future(client.evaluate("(Delay forSeconds: 30) wait", timeout=60))
            await until(lambda: bool(executed_ids(tmp_path / "log")))
            image.kill()
            with pytest.raises(OutcomeUnknown) as told:
                await asyncio.wait_for(waiting, GENEROUS_S)
            assert told.value.request_id in executed_ids(tmp_path / "log")
            assert told.value.sent_at > 1_700_000_000
            await asyncio.to_thread(image.start)
            await client.wait_for(State.ORPHANED, timeout=GENEROUS_S)
            client.adopt()
            await client.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            await client.evaluate("1", timeout=GENEROUS_S)
        executed = executed_ids(tmp_path / "log")
        assert executed.count(told.value.request_id) == 1
        assert len(executed) == 2

    asyncio.run(main())
