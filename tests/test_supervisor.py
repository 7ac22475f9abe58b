"""The supervisor and its images against real sockets on loopback: sessions, outages, neighbours, crowds."""

import asyncio
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import resilience
from machines.liveness import UPTIME_SLACK_S
from resilience import Image, Reason, Refused, State, Supervisor, Trigger
from resilience.change import Change
from resilience.demo.relay import DROP, PASS, RESET, Fault, Relay
from resilience.host import OwnHost
from resilience.limits import MAX_SUBSCRIBER_BACKLOG
from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, ImageServer, running
from simulations.hostile import Kind as Hostile
from simulations.hostile import peer
from store import History
from store.disk import Disk, RealDisk

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 10.0
RECOVERED_S = 10.0
"""The bar for every recovery (DESIGN section 6)."""
CROWD = 200


@contextmanager
def standin(endpoint: str = "tcp://127.0.0.1:0", state: Path | None = None) -> Iterator[str]:
    """A stand-in in a thread of this process."""
    bell = Bell()
    with running(ImageServer(Standin(state=state, wait=bell.wait), endpoint, bell)) as bound:
        yield bound


def free_endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def connected(data_dir: Path, endpoint: str) -> AsyncIterator[tuple[Supervisor, Image]]:
    """A supervisor with one image that has been reached."""
    async with Supervisor(data_dir) as supervisor:
        image = await supervisor.connect(endpoint)
        await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        yield supervisor, image


async def until(condition: Callable[[], bool], within_s: float = GENEROUS_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.005)


def journal(data_dir: Path) -> list[tuple[int, str, str, str]]:
    """What another process would read: number, source, trigger, target."""
    records = History.open(data_dir, read_only=True).transitions()
    return [(each.seq, each.source, each.trigger, each.target) for each in records]


def told(changes: list[Change]) -> list[tuple[int, str, str, str]]:
    return [(each.seq, each.source, each.trigger, each.target) for each in changes]


# -- the public face -----------------------------------------------------------------------------


def test_the_documented_use_works(tmp_path: Path) -> None:
    """Connect, evaluate, ping, look, follow the changes: the contract's own example."""

    async def main() -> None:
        with standin() as endpoint:
            async with resilience.Supervisor(data_dir=tmp_path) as supervisor:
                image = await supervisor.connect(endpoint)
                changes = image.changes()
                first = asyncio.ensure_future(anext(changes))
                assert await image.wait_for(State.CONNECTED, timeout=GENEROUS_S) is State.CONNECTED
                reply = await image.evaluate("3 + 4", timeout=5)
                assert reply.result == "7"
                assert 0 < await image.ping() < GENEROUS_S
                assert (image.state, image.reason, image.busy) == (State.CONNECTED, Reason.ANSWERED, False)
                assert image.path is not None
                assert image.path.local_address == "127.0.0.1"
                change = await asyncio.wait_for(first, GENEROUS_S)
                assert (change.source, change.target, change.seq) == (State.FRESH, State.CONNECTED, 1)
                assert change.durable
                await changes.aclose()

    asyncio.run(main())


def test_adding_an_image_does_not_wait_for_the_network(tmp_path: Path) -> None:
    """`connect` returns at once for an image nobody has started, and later calls give the same object."""

    async def main() -> None:
        endpoint = free_endpoint()
        async with Supervisor(tmp_path) as supervisor:
            image = await asyncio.wait_for(supervisor.connect(endpoint), GENEROUS_S)
            assert image.state is State.FRESH
            assert await supervisor.connect(endpoint.removeprefix("tcp://")) is image
            assert supervisor.images == (image,)
            with standin(endpoint):
                await image.wait_for(State.CONNECTED, timeout=RECOVERED_S)

    asyncio.run(main())


def test_wrong_use_is_refused_in_words(tmp_path: Path) -> None:
    """A bad endpoint, a supervisor that does not run, a timeout that is none."""

    async def main() -> None:
        with pytest.raises(resilience.UsageError, match="async with"):
            await Supervisor(tmp_path).connect("tcp://127.0.0.1:5555")
        with standin() as endpoint:
            async with connected(tmp_path, endpoint) as (supervisor, image):
                with pytest.raises(resilience.BadEndpoint):
                    await supervisor.connect("udp://127.0.0.1:5555")
                for timeout in (0, -1, math.nan, math.inf, 1e9):
                    with pytest.raises(resilience.UsageError, match="timeout"):
                        await image.evaluate("1", timeout=timeout)
                with pytest.raises(Refused):
                    image.adopt()
            with pytest.raises(resilience.UsageError):
                await supervisor.connect(endpoint)

    asyncio.run(main())


def test_waiting_in_vain_says_what_is_the_case(tmp_path: Path) -> None:
    """The TimeoutError names the state, the reason, and what was waited for."""

    async def main() -> None:
        async with Supervisor(tmp_path) as supervisor:
            image = await supervisor.connect(free_endpoint())
            with pytest.raises(TimeoutError, match=r"Reconnecting.*nothing listens.*Connected"):
                await image.wait_for(State.CONNECTED, timeout=0.5)

    asyncio.run(main())


def test_errors_of_the_image_reach_the_caller_and_the_next_request_works(tmp_path: Path) -> None:
    """Three concurrent callers, one of whom fails: each gets his own outcome."""

    async def main() -> None:
        with standin() as endpoint:
            async with connected(tmp_path, endpoint) as (_, image):
                outcomes = await asyncio.gather(
                    image.evaluate("1"),
                    image.evaluate("Smalltalk error: 'no'"),
                    image.evaluate("2"),
                    return_exceptions=True,
                )
                assert isinstance(outcomes[1], resilience.EvaluationError)
                assert "no" in outcomes[1].message
                results = [each.result for each in outcomes if isinstance(each, resilience.Reply)]
                assert results == ["1", "2"]

    asyncio.run(main())


def test_whoever_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    """A request whose caller was cancelled while it waited is not sent later."""

    async def main() -> None:
        with standin() as endpoint:
            async with connected(tmp_path, endpoint) as (_, image):
                slow = asyncio.ensure_future(image.evaluate("(Delay forMilliseconds: 300) wait"))
                await until(lambda: image.busy)
                waiting = asyncio.ensure_future(image.evaluate("Counter increment"))
                await asyncio.sleep(0)
                waiting.cancel()
                await slow
                assert (await image.evaluate("Counter value")).result == "0"

    asyncio.run(main())


def test_a_reader_far_behind_loses_the_oldest_changes_only(tmp_path: Path) -> None:
    """A bounded backlog (law 22); the newest are there, in order, and their numbers show the gap."""

    async def main() -> None:
        async with Supervisor(tmp_path) as supervisor:
            image = await supervisor.connect(free_endpoint())
            changes = image.changes()
            first = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)
            last = MAX_SUBSCRIBER_BACKLOG + 50
            for seq in range(1, last + 1):
                image.publish(made_up(seq))
            seen = [(await first).seq]
            while seen[-1] < last:
                seen.append((await asyncio.wait_for(anext(changes), GENEROUS_S)).seq)
            assert seen == list(range(51, last + 1))
            await changes.aclose()

    asyncio.run(main())


def made_up(seq: int) -> Change:
    return Change(
        "image:1",
        "tcp://image:1",
        seq,
        State.CONNECTED,
        Trigger.DISCONNECT,
        State.RESTORED,
        Reason.BY_USER,
        "",
        at=0.0,
        t=0.0,
    )


# -- what is told, and what is on disk -----------------------------------------------------------


def test_what_is_told_is_in_the_journal_already(tmp_path: Path) -> None:
    """Law 14, asked of the disk at the very moment a listener hears of a change."""

    async def main() -> None:
        missing: list[int] = []

        def listen(change: Change) -> None:
            if change.seq not in [seq for seq, *_ in journal(tmp_path)]:
                missing.append(change.seq)

        with standin() as endpoint:
            async with Supervisor(tmp_path) as supervisor:
                supervisor.on_change(listen)
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                image.disconnect()
                await image.wait_for(State.RESTORED, timeout=GENEROUS_S)
                image.reconnect()
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        assert not missing
        assert len(journal(tmp_path)) == 3

    asyncio.run(main())


def test_leaving_tells_and_saves_what_is_under_way(tmp_path: Path) -> None:
    """What happened before `close` is told and on disk after it, in one order; closing twice is once."""

    async def main() -> None:
        changes: list[Change] = []
        with ExitStack() as stack:
            endpoints = [stack.enter_context(standin()) for _ in range(5)]
            async with Supervisor(tmp_path) as supervisor:
                supervisor.on_change(changes.append)
                images = [await supervisor.connect(endpoint) for endpoint in endpoints]
                for image in images:
                    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                for image in images:
                    image.disconnect()
                    image.reconnect()
                await supervisor.close()
                await supervisor.close()
        assert len(changes) == 10
        assert told(changes) == journal(tmp_path)

    asyncio.run(main())


def test_leaving_settles_whoever_waits(tmp_path: Path) -> None:
    """What was sent is unknown, what was not is not done; nobody waits for ever."""

    async def main() -> None:
        with standin() as endpoint:
            async with connected(tmp_path, endpoint) as (supervisor, image):
                sent = asyncio.ensure_future(image.evaluate("(Delay forMilliseconds: 500) wait", timeout=60))
                queued = asyncio.ensure_future(image.evaluate("1", timeout=60))
                await until(lambda: image.busy)
                await supervisor.close()
                outcomes = await asyncio.gather(sent, queued, return_exceptions=True)
                assert isinstance(outcomes[0], resilience.OutcomeUnknown)
                assert isinstance(outcomes[1], resilience.Expired)

    asyncio.run(main())


@pytest.mark.parametrize("place", ["a-file", "a-file/below"])
def test_a_directory_that_cannot_be_used_stops_nothing(tmp_path: Path, place: str) -> None:
    """Law 14: the image is reached all the same, and it is said that nothing is durable."""
    (tmp_path / "a-file").write_text("in the way")

    async def main() -> None:
        notices: list[str] = []
        changes: list[Change] = []
        with standin() as endpoint:
            async with Supervisor(tmp_path / place, on_notice=notices.append) as supervisor:
                supervisor.on_change(changes.append)
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                assert (await image.evaluate("3 + 4")).result == "7"
                assert supervisor.trouble is not None
        assert len(notices) == 1
        assert notices[0].startswith("not durable")
        assert [change.durable for change in changes] == [False]

    asyncio.run(main())


# -- sessions ------------------------------------------------------------------------------------


class HangingDisk(RealDisk):
    """Answers nothing before it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def listing(self, path: Path) -> dict[str, int]:
        self.answers.wait(GENEROUS_S)
        return super().listing(path)


class HangingHost(OwnHost):
    """This machine, with such a disk."""

    hanging = HangingDisk()

    @property
    def disk(self) -> Disk:
        return self.hanging


def test_a_disk_that_hangs_at_the_start_keeps_nobody_from_dialling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 14: it is told, and the image is connected all the same; what opens late is let go."""
    monkeypatch.setattr("resilience.supervisor.OPEN_JOURNAL_S", 0.1)
    notices: list[str] = []

    async def main() -> None:
        async with Supervisor(tmp_path, on_notice=notices.append, host=HangingHost) as supervisor:
            with standin() as endpoint:
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                assert (await image.evaluate("3 + 4")).result == "7"
            HangingHost.hanging.answers.set()

    asyncio.run(main())
    assert "the disk has not answered" in notices[0]
    with History.open(tmp_path) as history:  # nobody holds it any more
        assert history.sessions() == []


def test_a_session_is_found_again_by_the_next_process(tmp_path: Path) -> None:
    """Restoring, Restored, Connected; same session, numbers going on."""

    async def once(endpoint: str) -> list[State]:
        changes: list[Change] = []
        async with Supervisor(tmp_path) as supervisor:
            supervisor.on_change(changes.append)
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        return [change.target for change in changes]

    with standin() as endpoint:
        assert asyncio.run(once(endpoint)) == [State.CONNECTED]
        assert asyncio.run(once(endpoint)) == [State.RESTORING, State.RESTORED, State.CONNECTED]
    history = History.open(tmp_path, read_only=True)
    assert [seq for seq, *_ in journal(tmp_path)] == [1, 2, 3, 4]
    assert len(history.sessions()) == 1


def test_an_image_restart_is_told_and_keeps_the_session(tmp_path: Path) -> None:
    """Law 17: same identity, uptime gone back; meanwhile the user reads that nothing listens there."""

    async def main() -> None:
        with ExitStack() as first_life:
            endpoint = first_life.enter_context(standin(state=tmp_path / "image.json"))
            async with connected(tmp_path / "data", endpoint) as (_, image):
                await asyncio.sleep(UPTIME_SLACK_S + 0.5)
                assert (await image.evaluate("Counter increment")).result == "1"
                await asyncio.to_thread(first_life.close)
                await image.wait_for(State.RECONNECTING, timeout=GENEROUS_S)
                await until(lambda: image.reason is Reason.REFUSED)
                with standin(endpoint, tmp_path / "image.json"):
                    await image.wait_for(State.CONNECTED, timeout=RECOVERED_S)
                    assert image.reason is Reason.RESTARTED
                    assert (await image.evaluate("Counter value")).result == "0"

    asyncio.run(main())
    assert len(History.open(tmp_path / "data", read_only=True).sessions()) == 1


def test_another_image_at_the_address_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """Law 17: Orphaned, requests are not served, and the user decides: `adopt` continues the session."""

    async def main() -> None:
        with ExitStack() as first_life:
            endpoint = first_life.enter_context(standin())
            async with connected(tmp_path, endpoint) as (_, image):
                await asyncio.to_thread(first_life.close)
                with standin(endpoint):
                    await image.wait_for(State.ORPHANED, timeout=RECOVERED_S)
                    assert image.reason is Reason.OTHER_IMAGE
                    with pytest.raises(resilience.Expired):
                        await image.evaluate("Counter increment", timeout=0.3)
                    image.adopt()
                    await image.wait_for(State.CONNECTED, timeout=RECOVERED_S)
                    assert (await image.evaluate("Counter value")).result == "0"
                    image.disconnect()
                    await image.wait_for(State.RESTORED, timeout=GENEROUS_S)
                    image.reconnect()
                    await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)

    asyncio.run(main())
    assert len(History.open(tmp_path, read_only=True).sessions()) == 1


def test_starting_fresh_begins_another_session_and_keeps_the_old_one(tmp_path: Path) -> None:
    """The other way out of Orphaned; law 16: nothing is deleted."""

    async def main() -> None:
        with ExitStack() as first_life:
            endpoint = first_life.enter_context(standin())
            async with connected(tmp_path, endpoint) as (_, image):
                await asyncio.to_thread(first_life.close)
                with standin(endpoint):
                    await image.wait_for(State.ORPHANED, timeout=RECOVERED_S)
                    image.start_fresh()
                    await image.wait_for(State.CONNECTED, timeout=RECOVERED_S)

    asyncio.run(main())
    assert len(History.open(tmp_path, read_only=True).sessions()) == 2


# -- outages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DROP, RESET], ids=["drop", "reset"])
def test_an_outage_is_noticed_named_and_recovered_from(tmp_path: Path, fault: Fault) -> None:
    """Reconnecting with a reason while the path is broken; Connected within the bar when it is back."""

    async def main() -> None:
        with standin() as target:
            async with Relay(target) as relay, connected(tmp_path, relay.endpoint) as (_, image):
                relay.set(fault)
                await image.wait_for(State.RECONNECTING, timeout=RECOVERED_S)
                expected = {Reason.SILENT, Reason.NO_ANSWER, Reason.FROZEN, Reason.MUTE}
                if fault.refuses:
                    expected = {Reason.CLOSED, Reason.REFUSED}
                assert image.reason in expected
                relay.set(PASS)
                await image.wait_for(State.CONNECTED, timeout=RECOVERED_S)
                assert (await image.evaluate("3 + 4")).result == "7"

    asyncio.run(main())


def test_requests_made_during_an_outage_are_done_after_it(tmp_path: Path) -> None:
    """They wait in our queue, in order, and each runs once."""

    async def main() -> None:
        with standin() as target:
            async with Relay(target) as relay, connected(tmp_path, relay.endpoint) as (_, image):
                relay.set(RESET)
                await image.wait_for(State.RECONNECTING, timeout=RECOVERED_S)
                waiting = [
                    asyncio.ensure_future(image.evaluate("Counter increment", timeout=30)) for _ in range(5)
                ]
                await asyncio.sleep(0.1)
                relay.set(PASS)
                replies = await asyncio.gather(*waiting)
                assert [reply.result for reply in replies] == ["1", "2", "3", "4", "5"]

    asyncio.run(main())


def test_a_host_that_blocks_the_loop_does_not_lose_its_connections(tmp_path: Path) -> None:
    """Law 6: a debugger or a long computation of the host is our own stall, not a silent network."""

    async def main() -> None:
        with standin() as endpoint:
            async with connected(tmp_path, endpoint) as (supervisor, image):
                changes: list[Change] = []
                supervisor.on_change(changes.append)
                time.sleep(2.5)  # noqa: ASYNC251 - the stall is the point
                await asyncio.sleep(1.5)
                assert not changes
                assert (await image.evaluate("3 + 4")).result == "7"

    asyncio.run(main())


def test_disconnecting_stops_dialling_until_asked_again(tmp_path: Path) -> None:
    """Restored, not connected; the image does not hear from us meanwhile."""

    async def main() -> None:
        with standin() as target:
            async with Relay(target) as relay, connected(tmp_path, relay.endpoint) as (_, image):
                image.disconnect()
                await image.wait_for(State.RESTORED, timeout=GENEROUS_S)
                await until(lambda: relay.connections == 0)
                await asyncio.sleep(0.5)
                assert relay.connections == 0
                with pytest.raises(resilience.Expired):
                    await image.evaluate("1", timeout=0.1)
                image.reconnect()
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)

    asyncio.run(main())


# -- many ----------------------------------------------------------------------------------------


def test_the_trouble_of_one_image_does_not_touch_another(tmp_path: Path) -> None:
    """Law 18: beside a dead, a hostile and a flapping one, the healthy image answers and does not move."""

    async def main() -> None:
        with standin() as healthy, standin() as target, running(peer(Hostile.GARBAGE_JSON)) as hostile:
            async with Relay(target) as relay, Supervisor(tmp_path) as supervisor:
                image = await supervisor.connect(healthy)
                others = [
                    await supervisor.connect(each) for each in (relay.endpoint, hostile, free_endpoint())
                ]
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                await others[0].wait_for(State.CONNECTED, timeout=GENEROUS_S)
                changes: list[Change] = []
                supervisor.on_change(changes.append)
                slowest = 0.0
                for number in range(100):
                    relay.set(RESET if number % 20 < 10 else PASS)
                    slowest = max(slowest, await image.ping(timeout=GENEROUS_S))
                    await asyncio.sleep(0.01)
                assert slowest < GENEROUS_S / 2
                assert {change.image for change in changes} >= {others[0].name}
                assert image.name not in {change.image for change in changes}

    asyncio.run(main())


def test_many_images_live_in_one_process(tmp_path: Path) -> None:
    """Two hundred connected, all lost at once, all back within the bar."""

    async def main() -> None:
        with ExitStack() as first_life:
            bound = first_life.enter_context(standin("tcp://0.0.0.0:0"))
            port = bound.rpartition(":")[2]
            async with Supervisor(tmp_path) as supervisor:
                for number in range(1, CROWD + 1):
                    await supervisor.connect(f"tcp://127.0.1.{number}:{port}")
                await everyone(supervisor, State.CONNECTED)
                await asyncio.to_thread(first_life.close)
                await everyone(supervisor, State.RECONNECTING)
                with standin(f"tcp://0.0.0.0:{port}"):
                    # It is another image with nothing but a new identity: nobody may take it for his own.
                    await everyone(supervisor, State.ORPHANED)
                    for image in supervisor.images:
                        image.adopt()
                    await everyone(supervisor, State.CONNECTED)
                    replies = await asyncio.gather(*(image.evaluate("3 + 4") for image in supervisor.images))
                    assert {reply.result for reply in replies} == {"7"}

    asyncio.run(main())


async def everyone(supervisor: Supervisor, state: State) -> None:
    await asyncio.gather(*(image.wait_for(state, timeout=RECOVERED_S) for image in supervisor.images))


FEW_DESCRIPTORS = """
import asyncio, resource, sys
import resilience

async def main(port, data_dir):
    async with resilience.Supervisor(data_dir) as supervisor:
        images = [await supervisor.connect(f"tcp://127.0.1.{n}:{port}") for n in range(1, 41)]
        await images[0].wait_for(resilience.State.CONNECTED, timeout=10)
        short = lambda: [i for i in images if i.reason is resilience.Reason.LOCAL_ERROR]
        for _ in range(500):
            if short():
                break
            await asyncio.sleep(0.02)
        print(short()[0].state, short()[0].detail)
        print((await images[0].evaluate("3 + 4")).result)

resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def test_a_shortage_of_descriptors_is_said_in_words(tmp_path: Path) -> None:
    """Else libzmq aborts the process. Those that are connected go on; the others say what to raise."""
    with standin("tcp://0.0.0.0:0") as bound:
        port = bound.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-c", FEW_DESCRIPTORS, port, str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "file descriptors" in done.stdout
    assert "ulimit -n" in done.stdout
    assert done.stdout.startswith("Reconnecting")
    assert done.stdout.endswith("\n7\n")
    assert not done.stderr
