"""The socket side: one REP loop in one thread, stopped by a bell, parked for a moment by a save."""

import math
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from errno import EADDRINUSE, EINVAL, ENODEV
from types import FrameType
from typing import Any, Protocol

import zmq

from resilience.standin.image import Image, Stopped

# Beyond this libzmq hangs up on the sender; what is beyond REQUEST_MAX_BYTES only still gets a reply.
TRANSPORT_MAX_BYTES = 10 * 1024 * 1024
PARKED_S = 0.3  # bindings in the field close their sockets, save a small image, and re-create them
FLUSH_MS = 200  # the reply to the save itself leaves before its socket is gone; loopback needs a few
REBIND_TRIES = 50  # libzmq closes a listener in the background: normally the first try succeeds
REBIND_IVL_S = 0.05
PORT_MAX = 65_535
THREAD_JOIN_S = 10.0  # far beyond what stopping takes; a thread that hangs must fail a test, not freeze it

_MALFORMED = {EINVAL, ENODEV}  # not an endpoint; a host that is no address of an interface


class BindError(Exception):
    """The endpoint cannot be listened on."""

    def __init__(self, endpoint: str, errno: int) -> None:
        self.endpoint = endpoint
        self.errno = errno
        super().__init__(f"cannot listen on {endpoint}: {os.strerror(errno).lower()}; {self._way_out}")

    @property
    def malformed(self) -> bool:
        """Whether the endpoint itself is at fault, on this machine and on any other."""
        return self.errno in _MALFORMED

    @property
    def _way_out(self) -> str:
        if self.malformed:
            return "write it as tcp://ADDRESS:PORT, a numeric address of this machine (port 0: any free one)"
        if self.errno == EADDRINUSE:
            return "stop the program that listens there, or choose another port (port 0: any free one)"
        return "choose an address of this machine and a port above 1023 (port 0: any free one)"


class Bell:
    """Asks a loop to stop, from a signal handler or from another thread.

    A pair of sockets and not a `threading.Event`: the loop can poll it beside its ZeroMQ socket, and ringing
    takes no lock, which a signal handler would wait for in vain if it had interrupted the holder.
    """

    def __init__(self) -> None:
        self._ear, self._button = socket.socketpair()
        self._button.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._poller = zmq.Poller()
        self._poller.register(self._ear, zmq.POLLIN)
        self._rung = False

    @property
    def rung(self) -> bool:
        """Whether somebody rang."""
        return self._rung

    def ring(self) -> None:
        """Ask to stop; ringing again changes nothing."""
        self._rung = True
        with suppress(OSError):  # full, so it has been rung; or closed, so nobody listens any more
            self._button.send(b"!")

    def ring_on_signals(self) -> None:
        """Let a signal wake the loop by itself; the handler, which has to ring too, runs after that.

        Python runs handlers between two of its instructions. A signal that arrives just before a blocking
        call, or in another thread, would otherwise wait until that call returns, which may be never.
        """
        signal.set_wakeup_fd(self._button.fileno(), warn_on_full_buffer=False)

    def wait(self, seconds: float) -> bool:
        """Let time pass, at most until somebody rings; answer whether somebody did."""
        deadline = time.monotonic() + seconds
        while not self._rung and (left := deadline - time.monotonic()) > 0:
            self._poller.poll(math.ceil(left * 1000))
        return self._rung

    def fileno(self) -> int:
        """Answer a descriptor that becomes readable when somebody rings."""
        return self._ear.fileno()

    def close(self) -> None:
        """Release the descriptors."""
        self._ear.close()
        self._button.close()


class Server(Protocol):
    """Something that listens until its bell rings."""

    @property
    def bell(self) -> Bell:
        """Stops it."""

    def run(self, ready: Callable[[str], None]) -> None:
        """Listen, tell the endpoint to `ready`, and serve in this thread until the bell rings.

        Raises:
            BindError: it cannot listen.
        """


class ImageServer:
    """The image behind one REP socket."""

    def __init__(self, image: Image, endpoint: str, bell: Bell) -> None:
        self._image = image
        self._endpoint = endpoint
        self._bell = bell
        self._context = zmq.Context()

    @property
    def bell(self) -> Bell:
        """Stops the server, and whatever the image is executing."""
        return self._bell

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve until the bell rings, parking after every save.

        Raises:
            BindError: the endpoint cannot be listened on.
        """
        try:
            rep = self._open()
            ready(self._endpoint)
            while self._serve(rep) and not self._bell.wait(PARKED_S):
                rep = self._reopen()
        finally:
            self._context.destroy(linger=0)

    def _open(self) -> zmq.Socket[bytes]:
        rep = self._context.socket(zmq.REP)
        rep.linger = 0
        rep.maxmsgsize = TRANSPORT_MAX_BYTES
        self._endpoint = bind(rep, self._endpoint)
        return rep

    def _reopen(self) -> zmq.Socket[bytes]:
        for _ in range(REBIND_TRIES):
            try:
                return self._open()
            except BindError as error:
                if error.errno != EADDRINUSE or self._bell.wait(REBIND_IVL_S):
                    raise
        return self._open()

    def _serve(self, rep: zmq.Socket[bytes]) -> bool:
        """Answer requests; leave with True to park, with False to stop."""
        poller = zmq.Poller()
        poller.register(rep, zmq.POLLIN)
        poller.register(self._bell.fileno(), zmq.POLLIN)
        linger_ms = 0
        try:
            while not self._bell.rung:
                request = self._request(rep) if rep in dict(poller.poll()) else None
                if request is not None:
                    rep.send(self._image.answer(request))
                    if self._image.take_save():
                        linger_ms = FLUSH_MS
                        return True
        except Stopped:
            pass
        finally:
            rep.close(linger=linger_ms)
        return False

    def _request(self, rep: zmq.Socket[bytes]) -> bytes | None:
        try:
            raw, more = rep.recv(zmq.NOBLOCK), rep.rcvmore
        except zmq.Again:  # what made it readable had no delimiter: REP has dropped it, and would block now
            return None
        while rep.rcvmore:
            rep.recv()
        # A request is one frame. Several are answered like any other text that is not JSON.
        return b"" if more else raw


def bind(listener: zmq.Socket[Any], endpoint: str) -> str:
    """Bind a ZeroMQ socket and answer the endpoint with its real port; close the socket if that fails.

    Raises:
        BindError: it cannot be bound there.
    """
    try:
        if not _well_formed(endpoint):
            raise zmq.ZMQError(EINVAL)  # noqa: TRY301 - libzmq would take port 99999 for 34463
        listener.ipv6 = endpoint.startswith("tcp://[")
        listener.bind(endpoint)
    except zmq.ZMQError as error:
        listener.close(linger=0)
        raise BindError(endpoint, error.errno or EINVAL) from error
    return listener.getsockopt_string(zmq.LAST_ENDPOINT)


def _well_formed(endpoint: str) -> bool:
    found = re.fullmatch(r"tcp://.+:(?:\*|([0-9]{1,5}))", endpoint)
    return found is not None and int(found.group(1) or 0) <= PORT_MAX


@contextmanager
def running(server: Server) -> Iterator[str]:
    """Run a server in a thread of its own for as long as the block lasts, and yield its endpoint.

    Raises:
        BindError: it cannot listen.
    """
    bound: Future[str] = Future()

    def body() -> None:
        try:
            server.run(bound.set_result)
        except BaseException as error:
            if bound.done():
                raise
            bound.set_exception(error)

    thread = threading.Thread(target=body, name="server", daemon=True)
    thread.start()
    try:
        yield bound.result(THREAD_JOIN_S)
    finally:
        server.bell.ring()
        thread.join(THREAD_JOIN_S)
        server.bell.close()
    if thread.is_alive():
        raise TimeoutError(f"the server did not stop within {THREAD_JOIN_S:.0f} s")


def run_until_signalled(server: Server, ready: Callable[[str], None]) -> int:
    """Run a server in the main thread; answer the exit status: 0 after SIGTERM, 130 after SIGINT.

    Raises:
        BindError: it cannot listen.
    """
    status = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal status
        status = 130 if number == signal.SIGINT else 0
        server.bell.ring()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.bell.ring_on_signals()
    server.run(ready)
    return status
