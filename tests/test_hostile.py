"""The hostile peers do what their names say, seen by raw, REQ and DEALER clients."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import zmq

from resilience.standin.image import Image
from resilience.standin.serve import Bell, BindError, ImageServer, running
from simulations.hostile import (
    CRASH_STATUS,
    HUGE_REPLY_BYTES,
    SLOW_REPLY_BYTES,
    FramedPeer,
    Kind,
    ThrottledPeer,
    peer,
)

GENEROUS_MS = 5000
QUIET_MS = 150
TYPED_PING = b'{"id": "1", "payload": {"type": "Request", "data": {"request_type": "Ping"}}}'
COMMAND_PING = b'{"id": "1", "command": "ping"}'
EVALUATE = b'{"id": "2", "command": "evaluate", "parameters": {"code": "Counter increment"}}'

Dial = Callable[..., "zmq.Socket[bytes]"]


@pytest.fixture
def dial() -> Iterator[Dial]:
    clients = []
    with zmq.Context() as context:

        def connect(endpoint: str, kind: int = zmq.DEALER, **options: int) -> zmq.Socket[bytes]:
            client = context.socket(kind)
            clients.append(client)  # pyzmq warns of sockets that are collected unclosed
            client.linger = 0
            client.rcvtimeo = GENEROUS_MS
            for name, value in options.items():
                setattr(client, name, value)
            client.connect(endpoint)
            return client

        yield connect
        context.destroy(linger=0)


def ask(client: zmq.Socket[bytes], body: bytes) -> list[bytes]:
    """Send as a DEALER with a request-id frame; answer all frames of the reply."""
    client.send_multipart([b"mine", b"", body])
    return client.recv_multipart()


def result_of(frames: list[bytes]) -> dict[str, Any]:
    assert frames[:2] == [b"mine", b""]
    result = json.loads(frames[2])["result"]
    assert isinstance(result, dict)
    return result


@contextmanager
def raw(endpoint: str) -> Iterator[socket.socket]:
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port), GENEROUS_MS / 1000) as connected:
        yield connected


def everything_from(connected: socket.socket) -> bytes:
    heard = b""
    while piece := connected.recv(1000):
        heard += piece
    return heard


def exactly(connected: socket.socket, size: int) -> bytes:
    heard = b""
    while len(heard) < size:
        piece = connected.recv(size - len(heard))
        assert piece, f"only {heard!r}"
        heard += piece
    return heard


def says_nothing(connected: socket.socket) -> bool:
    connected.settimeout(QUIET_MS / 1000)
    try:
        connected.recv(1)
    except TimeoutError:
        return True
    return False


def handshake_succeeds(dial: Dial, endpoint: str) -> bool:
    """Look whether a ZeroMQ client gets that far in a while; loopback takes a millisecond."""
    client = dial(endpoint)
    with client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
        succeeded = bool(monitor.poll(QUIET_MS))
        client.disable_monitor()
    return succeeded


# -- Raw -----------------------------------------------------------------------------------------------------


def test_wrong_protocol_answers_like_another_program_and_hangs_up() -> None:
    """HTTP and SSH in turn, complete, then the end of the connection."""
    with running(peer(Kind.WRONG_PROTOCOL)) as endpoint:
        for opening in (b"HTTP/1.1 400 ", b"SSH-2.0-", b"HTTP/1.1 400 "):
            with raw(endpoint) as connected:
                connected.sendall(b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f")  # as libzmq begins
                assert everything_from(connected).startswith(opening)


def test_wrong_protocol_wedges_a_plain_client_for_good(dial: Dial) -> None:
    """The trap it is there for: libzmq gives the endpoint up and never finds the real image in its place."""
    server = peer(Kind.WRONG_PROTOCOL, once=True)
    with running(server) as endpoint:
        victim = dial(endpoint, zmq.REQ)
        victim.send(COMMAND_PING)
        with victim.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED
        ) as monitor:
            assert monitor.poll(GENEROUS_MS)
            victim.disable_monitor()
    bell = Bell()
    with running(ImageServer(Image(wait=bell.wait), endpoint, bell)):
        assert json.loads(dial_and_ask(dial, endpoint))["status"] == "success"
        assert not victim.poll(500), "libzmq retries every 100 ms, if it retries"


def dial_and_ask(dial: Dial, endpoint: str) -> bytes:
    client = dial(endpoint, zmq.REQ)
    client.send(COMMAND_PING)
    return client.recv()


def test_once_leaves_the_port_to_the_real_image(dial: Dial) -> None:
    """The program exits by itself after one connection, and a stand-in can take over at once."""
    with program(Kind.WRONG_PROTOCOL, "--once") as (process, endpoint):
        with raw(endpoint) as connected:
            assert everything_from(connected).startswith(b"HTTP/1.1 400 ")
        assert process.wait(10) == 0
        bell = Bell()
        with running(ImageServer(Image(wait=bell.wait), endpoint, bell)):
            assert json.loads(dial_and_ask(dial, endpoint))["status"] == "success"


def test_accept_silent_is_silent(dial: Dial) -> None:
    """A TCP connection, and nothing on it: neither bytes nor its end."""
    with running(peer(Kind.ACCEPT_SILENT)) as endpoint:
        with raw(endpoint) as connected:
            connected.sendall(b"hello?")
            assert says_nothing(connected)
        assert not handshake_succeeds(dial, endpoint)


def test_half_handshake_greets_and_falls_silent(dial: Dial) -> None:
    """All 64 bytes of a ZMTP 3 greeting, so that libzmq goes on, and then no READY."""
    with running(peer(Kind.HALF_HANDSHAKE)) as endpoint:
        with raw(endpoint) as connected:
            greeting = exactly(connected, 64)
            assert (greeting[0], greeting[9], greeting[10], greeting[12:16]) == (0xFF, 0x7F, 3, b"NULL")
            assert says_nothing(connected)
        with raw(endpoint) as client_side, socket.create_server(("127.0.0.1", 0)) as pretender:
            # What libzmq answers to this greeting: its own and its READY. So it believed it.
            dial(f"tcp://127.0.0.1:{pretender.getsockname()[1]}")
            victim, _ = pretender.accept()
            with victim:
                victim.settimeout(GENEROUS_MS / 1000)
                victim.sendall(exactly(client_side, 64))
                assert b"READY" in exactly(victim, 64 + 27)
        assert not handshake_succeeds(dial, endpoint)


def test_endless_handshake_drips(dial: Dial) -> None:
    """One byte at a time, to every connection alike, and never a handshake."""
    with running(peer(Kind.ENDLESS_HANDSHAKE)) as endpoint:
        with raw(endpoint) as one, raw(endpoint) as other:
            begun = time.monotonic()
            assert exactly(one, 10) == b"\xff" + bytes(8) + b"\x7f"
            assert time.monotonic() - begun > 0.2
            assert exactly(other, 10) == b"\xff" + bytes(8) + b"\x7f"
        assert not handshake_succeeds(dial, endpoint)


# -- Framed --------------------------------------------------------------------------------------------------


def test_garbage_json_is_never_a_reply(dial: Dial) -> None:
    """Not UTF-8, not JSON, not an object, or not shaped like any dialect's reply; framed properly."""
    with running(peer(Kind.GARBAGE_JSON)) as endpoint:
        client = dial(endpoint)
        seen = set()
        for _ in range(7):
            *envelope, body = ask(client, COMMAND_PING)
            assert envelope == [b"mine", b""]
            seen.add(body)
            try:
                message = json.loads(body)
            except ValueError:
                continue
            shaped = isinstance(message, dict) and (
                isinstance(message.get("payload"), dict) or isinstance(message.get("status"), str)
            )
            assert not shaped
        assert len(seen) == 7


def test_wrong_envelope_comes_in_four_kinds(dial: Dial) -> None:
    """Without the delimiter, with frames too many, with an empty reply, with none."""
    with running(peer(Kind.WRONG_ENVELOPE)) as endpoint:
        client = dial(endpoint)
        (bare,) = ask(client, COMMAND_PING)
        assert json.loads(bare)["status"] == "success"
        extra = ask(client, COMMAND_PING)
        assert (extra[:2], extra[3:]) == ([b"mine", b""], [b"extra", b""])
        assert ask(client, COMMAND_PING) == [b"mine", b"", b""]
        assert ask(client, COMMAND_PING) == [b"mine", b""]


def test_huge_reply_is_beyond_the_limit(dial: Dial) -> None:
    """12 MB of valid reply; a client that limits itself to 10 loses its connection instead."""
    with running(peer(Kind.HUGE_REPLY)) as endpoint:
        frames = ask(dial(endpoint), COMMAND_PING)
        assert len(frames[2]) == HUGE_REPLY_BYTES
        assert result_of(frames)["status"] == "ready"
        careful = dial(endpoint, maxmsgsize=10 * 1024 * 1024)
        with careful.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
            careful.send_multipart([b"mine", b"", COMMAND_PING])
            assert monitor.poll(GENEROUS_MS)
            careful.disable_monitor()


def test_deep_json_exhausts_a_recursive_parser(dial: Dial) -> None:
    """Well-formed, small, and too deep."""
    with running(peer(Kind.DEEP_JSON)) as endpoint:
        body = ask(dial(endpoint), COMMAND_PING)[2]
        assert len(body) < 1_000_000
        with pytest.raises(RecursionError):
            json.loads(body)


def test_foreign_id_answers_somebody_elses_request(dial: Dial) -> None:
    """A good reply behind a request-id frame that nobody sent."""
    with running(peer(Kind.FOREIGN_ID)) as endpoint:
        envelope, delimiter, body = ask(dial(endpoint), COMMAND_PING)
        assert (envelope, delimiter) == (b"not-yours", b"")
        assert json.loads(body)["status"] == "success"


def test_never_replies_but_its_heart_beats(dial: Dial) -> None:
    """The connection is healthy by every ZMTP heartbeat; only an application's ping can tell."""
    with running(peer(Kind.NEVER_REPLIES)) as endpoint:
        client = dial(endpoint, heartbeat_ivl=30, heartbeat_timeout=60)
        with client.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED) as monitor:
            assert monitor.poll(GENEROUS_MS)
            monitor.recv_multipart()
            client.send_multipart([b"mine", b"", COMMAND_PING])
            assert not client.poll(400)
            assert not monitor.poll(0), "it has been disconnected"
            client.disable_monitor()


def test_replaced_is_another_image(dial: Dial) -> None:
    """From the request after `after` on, with a counter of its own."""
    with running(peer(Kind.REPLACED, after=2)) as endpoint:
        client = dial(endpoint)
        assert result_of(ask(client, EVALUATE))["result"] == "1"
        first = result_of(ask(client, COMMAND_PING))
        second = result_of(ask(client, COMMAND_PING))
        assert first["image_id"] != second["image_id"]
        assert result_of(ask(client, EVALUATE))["result"] == "1"


def test_wrong_dialect_answers_a_in_b_and_b_in_a(dial: Dial) -> None:
    """Complete and correct, results and refusals alike, in the dialect that was not spoken."""
    with running(peer(Kind.WRONG_DIALECT)) as endpoint:
        client = dial(endpoint)
        assert json.loads(ask(client, TYPED_PING)[2])["status"] == "success"
        assert json.loads(ask(client, COMMAND_PING)[2])["payload"]["data"]["response_type"] == "Ping"
        refused = json.loads(ask(client, b'{"command": "no such"}')[2])
        assert refused["payload"]["data"]["response_type"] == "Error"


def test_two_replies_to_one_execution(dial: Dial) -> None:
    """The same reply twice; the request has run once."""
    with running(peer(Kind.TWO_REPLIES)) as endpoint:
        client = dial(endpoint)
        first = ask(client, EVALUATE)
        assert client.recv_multipart() == first
        assert result_of(first)["result"] == "1"
        assert result_of(ask(client, EVALUATE))["result"] == "2"


def test_slow_reply_moves_all_the_time(dial: Dial) -> None:
    """Pings are short; an evaluation's reply takes its six megabytes' time (a faster one here)."""
    rate_bytes_s = 10 * SLOW_REPLY_BYTES
    far = FramedPeer(Kind.SLOW_REPLY, "tcp://127.0.0.1:0")
    with running(ThrottledPeer(far, "tcp://127.0.0.1:0", rate_bytes_s)) as endpoint:
        client = dial(endpoint)
        begun = time.monotonic()
        assert len(ask(client, COMMAND_PING)[2]) < 1000
        ping_s = time.monotonic() - begun
        begun = time.monotonic()
        frames = ask(client, EVALUATE)
        assert len(frames[2]) == SLOW_REPLY_BYTES
        assert time.monotonic() - begun >= max(ping_s, 0.8 * SLOW_REPLY_BYTES / rate_bytes_s)
        assert result_of(frames)["result"] == "1"


@pytest.mark.parametrize("kind", [Kind.GARBAGE_JSON, Kind.NEVER_REPLIES, Kind.FOREIGN_ID, Kind.HUGE_REPLY])
def test_a_framed_peer_can_begin_well(dial: Dial, kind: Kind) -> None:
    """With `after`, a client first gets connected."""
    with running(peer(kind, after=2)) as endpoint:
        client = dial(endpoint)
        assert result_of(ask(client, COMMAND_PING))["status"] == "ready"
        assert len(ask(client, EVALUATE)[2]) < 1000


# -- As a program --------------------------------------------------------------------------------------------


@contextmanager
def program(kind: Kind, *arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "simulations.hostile", kind, "--bind", "tcp://127.0.0.1:*"]
    process = subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout
            ready, endpoint, shown = process.stdout.readline().split()
            assert (ready, shown) == ("ready", kind)
            yield process, endpoint
        finally:
            process.kill()


def test_crash_before_reply_has_executed(dial: Dial, tmp_path: Path) -> None:
    """The first request is answered, the second is on record and then the process is gone without a reply."""
    log = tmp_path / "log"
    with program(Kind.CRASH_BEFORE_REPLY, "--after", "1", "--log", log) as (process, endpoint):
        client = dial(endpoint)
        assert result_of(ask(client, EVALUATE))["result"] == "1"
        client.send_multipart([b"mine", b"", EVALUATE])
        assert process.wait(10) == CRASH_STATUS
        assert not client.poll(QUIET_MS)
    assert [json.loads(line)["count"] for line in log.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("kind", [Kind.ACCEPT_SILENT, Kind.NEVER_REPLIES, Kind.SLOW_REPLY])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_program(kind: Kind, number: int, status: int) -> None:
    """Raw, framed and throttled peers leave as a stand-in does."""
    with program(kind) as (process, endpoint), raw(endpoint):
        process.send_signal(number)
        assert process.wait(10) == status


@pytest.mark.parametrize("kind", [Kind.ACCEPT_SILENT, Kind.NEVER_REPLIES, Kind.SLOW_REPLY])
def test_what_cannot_be_listened_on_is_said(kind: Kind) -> None:
    """A taken port and a malformed endpoint, for raw, framed and throttled peers."""
    with running(peer(kind)) as taken:
        for endpoint, malformed in (
            (taken, False),
            ("tcp://127.0.0.1", True),
            ("tcp://127.0.0.1:99999", True),
        ):
            with pytest.raises(BindError) as caught, running(peer(kind, endpoint)):
                pytest.fail("it listens")
            assert caught.value.malformed is malformed


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_starts_and_stops(kind: Kind) -> None:
    """The table has a row for each name."""
    with running(peer(kind)) as endpoint:
        assert endpoint.startswith("tcp://127.0.0.1:")
        with raw(endpoint):
            pass
