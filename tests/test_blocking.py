"""The façade for programs without an event loop: same names, same errors, nothing left running."""

import asyncio
import gc
import inspect
import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import resilience
from resilience import BlockingImage, BlockingSupervisor, Image, Reason, State, Supervisor
from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, ImageServer, running
from store import History

GENEROUS_S = 10.0


@contextmanager
def standin() -> Iterator[str]:
    """A stand-in in a thread of this process."""
    bell = Bell()
    with running(ImageServer(Standin(wait=bell.wait), "tcp://127.0.0.1:0", bell)) as endpoint:
        yield endpoint


def free_endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def test_it_is_used_like_the_asyncio_one(tmp_path: Path) -> None:
    """Connect, wait, evaluate, ping, look."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        assert image.wait_for(State.CONNECTED, timeout=GENEROUS_S) is State.CONNECTED
        assert image.evaluate("3 + 4", timeout=5).result == "7"
        assert 0 < image.ping() < GENEROUS_S
        assert (image.state, image.reason, image.busy) == (State.CONNECTED, Reason.ANSWERED, False)
        assert image.path is not None
        assert image.endpoint == endpoint
        assert [each.name for each in supervisor.images] == [image.name]
        assert supervisor.trouble is None
    assert [each.target for each in History.open(tmp_path, read_only=True).transitions()] == ["Connected"]


@pytest.mark.parametrize(
    ("blocking", "asynchronous"), [(BlockingSupervisor, Supervisor), (BlockingImage, Image)]
)
def test_every_public_name_has_its_counterpart(blocking: type, asynchronous: type) -> None:
    """Whoever knows one knows the other; what only makes sense on a loop is named here."""
    on_the_loop = {"publish", "end", "submit_ping"}
    missing = {name for name in vars(asynchronous) if not name.startswith("_")} - set(vars(blocking))
    assert missing <= on_the_loop
    for name in ("evaluate", "ping", "wait_for", "connect"):
        if hasattr(blocking, name):
            ours, theirs = (
                inspect.signature(getattr(each, name)).parameters for each in (blocking, asynchronous)
            )
            assert list(ours) == list(theirs)
            assert [each.default for each in ours.values()] == [each.default for each in theirs.values()]


def test_errors_are_the_same(tmp_path: Path) -> None:
    """Of the image, of the network, of the caller; raised in the caller's thread."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        with pytest.raises(resilience.EvaluationError):
            image.evaluate("3 foo")
        with pytest.raises(resilience.BadEndpoint):
            supervisor.connect("nonsense")
        with pytest.raises(resilience.Expired):
            supervisor.connect(free_endpoint()).evaluate("1", timeout=0.2)
        with pytest.raises(TimeoutError):
            image.wait_for(State.FAILED, timeout=0.05)
        with pytest.raises(resilience.Refused):
            image.adopt()


def test_many_threads_may_ask_at_once(tmp_path: Path) -> None:
    """Each gets its own result."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        with ThreadPoolExecutor(8) as threads:
            replies = threads.map(lambda number: image.evaluate(f"{number} * 2").result, range(64))
            assert list(replies) == [str(2 * number) for number in range(64)]


def test_changes_can_be_followed_and_end_after_a_quiet_time(tmp_path: Path) -> None:
    """In order, each once."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        following = threading.Event()
        seen: list[State] = []

        def follow() -> None:
            changes = image.changes(timeout=0.5)
            following.set()
            seen.extend(change.target for change in changes)

        thread = threading.Thread(target=follow)
        thread.start()
        assert following.wait(GENEROUS_S)
        deadline = threading.Event()
        deadline.wait(0.1)
        image.disconnect()
        image.wait_for(State.RESTORED, timeout=GENEROUS_S)
        image.reconnect()
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        thread.join(GENEROUS_S)
        assert not thread.is_alive()
        assert seen == [State.RESTORED, State.CONNECTED]


def test_a_blocking_call_on_the_loop_itself_is_refused(tmp_path: Path) -> None:
    """It would wait for itself for ever."""
    with (
        BlockingSupervisor(tmp_path) as supervisor,
        pytest.raises(resilience.UsageError, match="other threads"),
    ):
        supervisor.look(lambda: supervisor.connect("tcp://127.0.0.1:5555"))


def test_it_can_be_used_beside_a_running_loop(tmp_path: Path) -> None:
    """From a worker thread of an asyncio program."""

    def work(endpoint: str) -> str:
        with BlockingSupervisor(tmp_path) as supervisor:
            return supervisor.connect(endpoint).evaluate("3 + 4").result

    with standin() as endpoint:
        assert asyncio.run(asyncio.to_thread(work, endpoint)) == "7"


def test_closing_settles_whoever_waits_and_ends_the_thread(tmp_path: Path) -> None:
    """A caller in another thread gets its error, and closing twice is closing once."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor, ThreadPoolExecutor(1) as threads:
        image = supervisor.connect(endpoint)
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
        waiting = threads.submit(image.evaluate, "(Delay forMilliseconds: 500) wait", timeout=60)
        while not image.busy:
            pass
        supervisor.close()
        supervisor.close()
        assert isinstance(waiting.exception(GENEROUS_S), resilience.OutcomeUnknown)
        assert not [thread for thread in threading.enumerate() if thread.name == "resilience-loop"]


def test_closing_lets_go_of_whoever_waits_for_a_state(tmp_path: Path) -> None:
    """Or follows the changes: nobody is left in a call that can never return."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
        image.wait_for(State.CONNECTED, timeout=GENEROUS_S)

        def wait() -> None:
            with suppress(resilience.UsageError, CancelledError):
                image.wait_for(State.FAILED)

        def follow() -> None:
            with suppress(resilience.UsageError, CancelledError):
                list(image.changes())

        waiting = [threading.Thread(target=each, daemon=True) for each in (wait, follow)]
        for thread in waiting:
            thread.start()
        waiting[0].join(0.2)
        supervisor.close()
        for thread in waiting:
            thread.join(GENEROUS_S / 2)
        assert not [thread for thread in waiting if thread.is_alive()]


def test_a_call_after_closing_is_refused_at_once(tmp_path: Path) -> None:
    """Instead of waiting for a loop that has ended."""
    with standin() as endpoint, BlockingSupervisor(tmp_path) as supervisor:
        image = supervisor.connect(endpoint)
    with pytest.raises(resilience.UsageError):
        image.evaluate("1")
    with pytest.raises(resilience.UsageError):
        supervisor.connect(endpoint)


@pytest.mark.timeout(20)
def test_a_supervisor_that_was_never_entered_is_refused_and_closes(tmp_path: Path) -> None:
    """The mistake is named, and nothing hangs."""
    supervisor = BlockingSupervisor(tmp_path)
    with pytest.raises(resilience.UsageError):
        supervisor.connect("tcp://127.0.0.1:5555")
    supervisor.close()
    with warnings.catch_warnings(record=True) as leaks:
        warnings.simplefilter("always")
        del supervisor
        gc.collect()
    assert not leaks
