"""The stand-in image over real sockets and as a program."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilience.standin.image import Image
from resilience.standin.serve import TRANSPORT_MAX_BYTES, Bell, BindError, ImageServer, running

GENEROUS_MS = 5000


@contextmanager
def standin(
    endpoint: str = "tcp://127.0.0.1:0", state: Path | None = None, log: Path | None = None
) -> Iterator[str]:
    """A stand-in in a thread of this process."""
    bell = Bell()
    image = Image(state=state, log=log, wait=bell.wait)
    with running(ImageServer(image, endpoint, bell)) as bound:
        yield bound
    image.close()


def until_begun(log: Path, code: str) -> None:
    """Wait for the image to have begun an evaluation."""
    deadline = time.monotonic() + GENEROUS_MS / 1000
    while code[:100] not in log.read_text():
        assert time.monotonic() < deadline, "it was never begun"
        time.sleep(0.005)


class Dialler:
    """Makes clients and keeps hold of them: pyzmq warns of sockets that are collected unclosed."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self._clients: list[zmq.Socket[bytes]] = []

    def __call__(
        self, endpoint: str, kind: int = zmq.REQ, timeout_ms: int = GENEROUS_MS
    ) -> zmq.Socket[bytes]:
        client = self._context.socket(kind)
        client.linger = 0
        client.rcvtimeo = timeout_ms
        client.connect(endpoint)
        self._clients.append(client)
        return client

    def until_answered(self, endpoint: str) -> zmq.Socket[bytes]:
        """Try fresh clients until one has had a ping answered."""
        for _ in range(50):
            client = self(endpoint, timeout_ms=100)
            try:
                ask(client, "ping")
            except zmq.Again:
                continue
            client.rcvtimeo = GENEROUS_MS
            return client
        pytest.fail(f"no answer from {endpoint}")


@pytest.fixture
def dial() -> Iterator[Dialler]:
    with zmq.Context() as context:
        yield Dialler(context)
        context.destroy(linger=0)


def ask(
    client: zmq.Socket[bytes], name: str, request_id: str = "one", **parameters: object
) -> dict[str, Any]:
    client.send_json({"id": request_id, "command": name, "parameters": parameters})
    reply = client.recv_json()
    assert isinstance(reply, dict)
    return reply


def evaluate(client: zmq.Socket[bytes], code: str) -> str:
    result = ask(client, "evaluate", code=code)["result"]["result"]
    assert isinstance(result, str)
    return result


def test_req_gets_its_results(dial: Dialler) -> None:
    """A plain REQ client evaluates, again and again."""
    with standin() as endpoint:
        client = dial(endpoint)
        assert evaluate(client, "3 + 4") == "7"
        assert evaluate(client, "Counter increment") == "1"
        assert evaluate(client, "Counter increment") == "2"


def test_the_routing_envelope_comes_back(dial: Dialler) -> None:
    """A DEALER's own frames before the delimiter are echoed: what law 13 matches replies by."""
    with standin() as endpoint:
        client = dial(endpoint, zmq.DEALER)
        client.send_multipart([b"\x00\x01request", b"second", b"", b'{"command": "ping"}'])
        *envelope, reply = client.recv_multipart()
        assert envelope == [b"\x00\x01request", b"second", b""]
        assert json.loads(reply)["status"] == "success"


def test_every_malformed_message_is_answered_and_none_wedges(
    dial: Dialler,
) -> None:
    """Empty, several frames, not JSON, beyond the protocol's 10 MB: a reply each, then business as usual."""
    with standin() as endpoint:
        client = dial(endpoint, zmq.DEALER)
        for body in (
            [b""],
            [b'{"command": "ping"}', b"more"],
            [b"\xff" * 100],
            [b'{"command": "ping"}'.ljust(10_000_001)],
        ):
            client.send_multipart([b"", *body])
            error = json.loads(client.recv_multipart()[-1])["payload"]["data"]["data"]
            assert error["code"] == "InvalidRequest"
        client.send_multipart([b"no delimiter, so no request to a REP socket"])
        client.send_multipart([b"", b'{"command": "ping"}'])
        assert json.loads(client.recv_multipart()[-1])["status"] == "success"


def test_beyond_the_transport_limit_the_connection_ends(dial: Dialler) -> None:
    """The sender is cut off before the image has to hold the message; other clients do not notice."""
    with standin() as endpoint:
        flooder = dial(endpoint)
        with flooder.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            flooder.send(b" " * (TRANSPORT_MAX_BYTES + 1))
            assert monitor.poll(GENEROUS_MS)
            flooder.disable_monitor()
        assert evaluate(dial(endpoint), "3 + 4") == "7"


def test_a_client_that_dies_in_mid_request_harms_nobody(dial: Dialler, tmp_path: Path) -> None:
    """The request is executed, its reply goes nowhere, and the next client is answered."""
    log = tmp_path / "log"
    with standin(log=log) as endpoint:
        mortal, survivor = dial(endpoint), dial(endpoint)
        assert evaluate(mortal, "Counter value") == "0"
        code = "Counter increment. (Delay forMilliseconds: 300) wait"
        mortal.send_json({"command": "evaluate", "parameters": {"code": code}})
        until_begun(log, code)
        survivor.send_json({"command": "evaluate", "parameters": {"code": "Counter value"}})
        assert not survivor.poll(100), "the loop is busy with the first request"
        mortal.close(linger=0)
        reply = survivor.recv_json()
        assert isinstance(reply, dict)
        assert reply["result"]["result"] == "1"


def test_a_client_that_dies_in_mid_frame_harms_nobody(dial: Dialler) -> None:
    """Half a request, then the end: nothing is executed, and the next client is answered."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type" + (3).to_bytes(4, "big") + b"REQ"
    half = b"\x01\x00" + b"\x02" + (1000).to_bytes(8, "big") + b'{"command": "ping"'
    with standin() as endpoint:
        address = urlsplit(endpoint)
        with socket.create_connection((address.hostname, address.port), GENEROUS_MS / 1000) as raw:
            raw.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
            seen = b""
            while not seen.endswith(b"REP"):
                piece = raw.recv(1000)
                assert piece, "it hung up"
                seen += piece
            raw.sendall(half)
        assert ask(dial(endpoint), "executions")["result"]["total"] == 0


def test_one_thread_executes_one_request_at_a_time(dial: Dialler, tmp_path: Path) -> None:
    """A delay blocks every client, as in an image with one process; the time it took is reported."""
    log = tmp_path / "log"
    with standin(log=log) as endpoint:
        first, second = dial(endpoint), dial(endpoint)
        code = "(Delay forMilliseconds: 400) wait. Counter increment"
        first.send_json({"command": "evaluate", "parameters": {"code": code}})
        until_begun(log, code)
        assert evaluate(second, "Counter value") == "1"
        reply = first.recv_json()
        assert isinstance(reply, dict)
        assert reply["result"]["execution_time"] >= 400


def test_a_save_is_answered_then_interrupts_every_connection(dial: Dialler, tmp_path: Path) -> None:
    """The sockets go and come back; what others had in flight is lost, the image is not."""
    state = tmp_path / "image.json"
    with standin(state=state) as endpoint:
        saver, bystander = dial(endpoint), dial(endpoint)
        evaluate(saver, "Counter increment")
        before = ask(bystander, "ping")["result"]
        with bystander.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
            assert evaluate(saver, "(Delay forMilliseconds: 100) wait. Smalltalk snapshot") == "true"
            bystander.send_json({"id": "lost", "command": "ping"})
            assert monitor.poll(GENEROUS_MS)
            monitor.recv_multipart()
            assert monitor.poll(GENEROUS_MS), "libzmq found the endpoint again"
            bystander.disable_monitor()
        after = ask(dial(endpoint), "ping")["result"]
        assert (after["image_id"], after["saves"]) == (before["image_id"], before["saves"] + 1)
        assert after["uptime"] >= before["uptime"] + 0.3, "a save is not a restart"
        assert json.loads(state.read_bytes())["counter"] == 1


def test_an_endpoint_in_use_is_an_error_that_says_so() -> None:
    """In a thread as in the program."""
    with (
        standin() as endpoint,
        pytest.raises(BindError, match="stop the program that listens there"),
        standin(endpoint),
    ):
        pytest.fail("two images on one port")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4))
def test_any_frames_leave_the_image_answering(frames: list[bytes]) -> None:
    """Whatever a DEALER sends behind a delimiter has one reply."""
    with zmq.Context() as context:
        client = Dialler(context)(SHARED.endpoint, zmq.DEALER)
        client.send_multipart([b"", *frames])
        empty, reply = client.recv_multipart()
        client.close(linger=0)
    assert empty == b""
    assert isinstance(json.loads(reply), dict)


class _Shared:
    endpoint = ""


SHARED = _Shared()


@pytest.fixture(autouse=True, scope="module")
def _shared_image() -> Iterator[None]:
    with standin() as SHARED.endpoint:
        yield


# -- As a program --------------------------------------------------------------------------------------------


@contextmanager
def program(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Start the program; yield it with the endpoint and identity of its ready line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resilience.standin", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout
            ready, endpoint, image, image_id = process.stdout.readline().split()
            assert (ready, image) == ("ready", "image")
            yield process, endpoint, image_id
        finally:
            process.kill()


def finish(process: subprocess.Popen[str], number: int) -> int:
    begun = time.monotonic()
    process.send_signal(number)
    status = process.wait(10)
    assert time.monotonic() - begun < 4, "it must not wait for what is being evaluated"
    return status


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
@pytest.mark.parametrize("code", ["", "(Delay forSeconds: 300) wait", "3200 factorial. " * 4000])
def test_a_signal_ends_it_at_once(dial: Dialler, tmp_path: Path, number: int, status: int, code: str) -> None:
    """Idle, in a delay, or in a long computation: SIGTERM leaves with 0, SIGINT with 130, both quickly."""
    log = tmp_path / "log"
    with program("--bind", "tcp://127.0.0.1:0", "--log", log) as (process, endpoint, _):
        if code:
            dial(endpoint).send_json({"command": "evaluate", "parameters": {"code": code}})
            until_begun(log, code)
        assert finish(process, number) == status
        assert process.stderr
        assert not process.stderr.read()


SIGNAL_ELSEWHERE = """
import signal, sys, threading, time
from resilience.standin.image import Image
from resilience.standin.serve import Bell, ImageServer, run_until_signalled

elsewhere = threading.Thread(target=time.sleep, args=(60,), daemon=True)

def ready(endpoint):
    elsewhere.start()
    threading.Timer(0.2, lambda: signal.pthread_kill(elsewhere.ident, signal.SIGTERM)).start()

bell = Bell()
sys.exit(run_until_signalled(ImageServer(Image(wait=bell.wait), "tcp://127.0.0.1:0", bell), ready))
"""


def test_a_signal_that_interrupts_nothing_is_heard_all_the_same() -> None:
    """Taken by another thread, it looks to the loop as one that came just before it began to poll."""
    ended = subprocess.run([sys.executable, "-c", SIGNAL_ELSEWHERE], timeout=20, check=False)
    assert ended.returncode == 0


def test_a_message_without_delimiter_does_not_deafen_it(dial: Dialler) -> None:
    """REP drops it after reporting it readable: a blocking receive would then wait through any signal."""
    with program("--bind", "tcp://127.0.0.1:0") as (process, endpoint, _):
        client = dial(endpoint, zmq.DEALER)
        client.send_multipart([b"", b'{"command": "ping"}'])
        assert json.loads(client.recv_multipart()[-1])["status"] == "success"
        client.send(b"no delimiter")
        assert not client.poll(100)
        assert finish(process, signal.SIGTERM) == 0


def test_a_restart_is_recognisable(dial: Dialler, tmp_path: Path) -> None:
    """Same endpoint, same identity, uptime from zero, the counter as last saved, one log for both runs."""
    files = ("--state", tmp_path / "image.json", "--log", tmp_path / "log")
    with program("--bind", "tcp://127.0.0.1:0", *files) as (process, endpoint, first_id):
        client = dial(endpoint)
        assert evaluate(client, "Counter increment. Smalltalk snapshot") == "true"
        assert evaluate(dial.until_answered(endpoint), "Counter increment") == "2"
        process.kill()
        process.wait(10)
    with program("--bind", endpoint, *files) as (process, second_endpoint, second_id):
        assert (second_endpoint, second_id) == (endpoint, first_id)
        client = dial(endpoint)
        ping = ask(client, "ping")["result"]
        assert ping["image_id"] == first_id
        assert ping["uptime"] < GENEROUS_MS / 1000
        assert evaluate(client, "Counter value") == "1"
        assert finish(process, signal.SIGTERM) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["code"] for line in lines if line["kind"] == "Evaluate"] == [
        "Counter increment. Smalltalk snapshot",
        "Counter increment",
        "Counter value",
    ]
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)


@pytest.mark.parametrize(
    ("dialect", "typed"), [("a", [True, True]), ("b", [False, False]), ("both", [True, False])]
)
def test_the_dialect_option(dial: Dialler, dialect: str, *, typed: list[bool]) -> None:
    """An image limited to one dialect answers both in it."""
    with program("--bind", "tcp://127.0.0.1:0", "--dialect", dialect) as (_, endpoint, _id):
        client = dial(endpoint)
        shapes = []
        for request in (
            {"payload": {"type": "Request", "data": {"request_type": "Ping"}}},
            {"command": "ping"},
        ):
            client.send_json(request)
            shapes.append("payload" in client.recv_json())  # type: ignore[operator]  # an object, always
        assert shapes == typed


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "resilience.standin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_a_taken_port_ends_with_one_clear_line() -> None:
    """Exit 1, where it wanted to listen, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        ended = run("--bind", endpoint)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert endpoint in ended.stderr
    assert "choose another port" in ended.stderr


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "127.0.0.1:5555",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:x",
        "ipc://x",
        "tcp://no.such:0",
    ],
)
def test_a_malformed_endpoint_is_a_usage_error(endpoint: str) -> None:
    """Exit 2, as for any wrong call; port 99999 is not silently taken for another."""
    ended = run("--bind", endpoint)
    assert ended.returncode == 2
    assert "tcp://ADDRESS:PORT" in ended.stderr


def test_an_unusable_file_ends_with_one_clear_line(tmp_path: Path) -> None:
    """A foreign state file, a log in a missing folder: exit 1 and the name of the file."""
    state = tmp_path / "state"
    state.write_text("something else")
    for arguments in (("--state", state), ("--log", tmp_path / "missing" / "log")):
        ended = run("--bind", "tcp://127.0.0.1:0", *arguments)
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
        assert str(arguments[1]) in ended.stderr
