"""The same names for programs without an event loop: every call blocks until it is done.

One thread runs the loop; calls may come from any other thread.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from machines import Policy, Reason, State
from resilience.change import Change
from resilience.errors import UsageError
from resilience.image import Image
from resilience.limits import DEFAULT_TIMEOUT_S, MAX_SUBSCRIBER_BACKLOG, TAKE_OVER_TIMEOUT_S
from resilience.network.snapshot import Path
from resilience.sessions.face import SessionFace
from resilience.sessions.kept import Standing
from resilience.sessions.keyholder import Keys
from resilience.supervisor import Supervisor
from resilience.wire import Reply
from store.documents import Edit
from store.keys import Protection
from store.sessions import Receipt

if TYPE_CHECKING:
    from store.documents import SessionDocument

_Result = TypeVar("_Result")

_NOT_RUNNING = "it is not running; use it as `with resilience.BlockingSupervisor() as s:`"


class BlockingSupervisor:
    """`Supervisor` for blocking programs; a context manager. Arguments as there."""

    def __init__(
        self,
        data_dir: FilePath | str | None = None,
        *,
        policy: Policy | None = None,
        on_notice: Callable[[str], None] | None = None,
        protection: Protection | None = None,
        passphrase: str | None = None,
    ) -> None:
        self._supervisor = Supervisor(
            data_dir, policy=policy, on_notice=on_notice, protection=protection, passphrase=passphrase
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._opening = threading.RLock()
        """Held while it begins or ends: whoever comes second waits for the first."""
        self._gate = threading.Lock()
        """Held for a moment: no call slips in between the last one and the end of the loop."""
        self._shut = False
        self._enders: set[asyncio.Task[Any] | None] = set()

    def __enter__(self) -> Self:
        with self._opening:
            if self._loop is not None:
                raise UsageError("this supervisor is running already; make another one, or close it first")
            self._loop, self._shut, self._process = asyncio.new_event_loop(), False, os.getpid()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="resilience-loop", daemon=True
            )
            self._thread.start()
            try:
                self.run(self._supervisor.__aenter__())
            except BaseException:
                self._stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let every image go and return when journal and sessions are on disk, whoever else closes it."""
        with self._opening:
            if self._loop is None or self._process != os.getpid():
                return  # a child that was forked off has no part in it
            self._check_thread()
            with self._gate:
                self._shut = True  # what was called before is ended by `_let_go`, and nothing is called after
                ending = asyncio.run_coroutine_threadsafe(self._let_go(), self._loop)
            try:
                ending.result()
            except Exception:
                self._stop()
                raise
            self._stop()

    def _stop(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None
        self._enders.clear()

    async def _let_go(self) -> None:
        """Nobody is left in a call that can never return; an earlier end that was interrupted goes on."""
        self._enders.add(asyncio.current_task())
        await self._supervisor.close()
        waiting = asyncio.all_tasks() - self._enders
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def run(self, job: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine on the supervisor's loop and wait for it.

        Raises:
            UsageError: called on the loop's own thread, where waiting would never end, or not while it runs.
        """
        waiting = self.submit(job)
        try:
            return waiting.result()
        except CancelledError:
            raise UsageError("the supervisor was closed while this call waited") from None
        except BaseException:
            waiting.cancel()  # interrupted: nobody waits any more, and what was not sent is withdrawn
            raise

    def submit(self, job: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Start a coroutine on the supervisor's loop; raises as `run`."""
        with ExitStack() as refused:
            refused.callback(job.close)
            self._check_thread()
            with self._gate:
                if self._loop is None or self._shut:
                    raise UsageError(_NOT_RUNNING)
                refused.pop_all()
                return asyncio.run_coroutine_threadsafe(job, self._loop)

    def _check_thread(self) -> None:
        if self._process != os.getpid():
            raise UsageError("a forked process has none of this one's threads; make a supervisor of its own")
        if threading.current_thread() is self._thread:
            raise UsageError("blocking calls are for other threads; on the loop use resilience.Supervisor")

    def look(self, at: Callable[[], _Result]) -> _Result:
        """Call something quick on the loop's thread and return what it returns."""

        async def looked() -> _Result:
            return at()

        return self.run(looked())

    @property
    def trouble(self) -> str | None:
        """Why transitions are not durable; None while they are."""
        return self._supervisor.trouble

    @property
    def images(self) -> tuple[BlockingImage, ...]:
        """Every image, in the order they were added."""
        return tuple(BlockingImage(self, image) for image in self._supervisor.images)

    @property
    def keys(self) -> Keys:
        """Whether sessions can be read and written, how they are protected, and why."""
        return self.look(lambda: self._supervisor.keys)

    def unlock(self, passphrase: str | None = None) -> None:
        """See `Supervisor.unlock`."""
        self.run(self._supervisor.unlock(passphrase))

    def protect(self, protection: Protection, passphrase: str | None = None) -> None:
        """See `Supervisor.protect`."""
        self.run(self._supervisor.protect(protection, passphrase))

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` for every change of every image, on the loop's thread; see `Supervisor`."""
        self._supervisor.on_change(listener)

    def connect(self, endpoint: str) -> BlockingImage:
        """Add the image at `endpoint`; raises as `Supervisor.connect` does."""
        return BlockingImage(self, self.run(self._supervisor.connect(endpoint)))


class BlockingImage:
    """`Image` for blocking programs. Same names, same errors."""

    def __init__(self, supervisor: BlockingSupervisor, image: Image) -> None:
        self._supervisor = supervisor
        self._image = image

    @property
    def name(self) -> str:
        """`host:port`."""
        return self._image.name

    @property
    def endpoint(self) -> str:
        """The endpoint, normalised."""
        return self._image.endpoint

    @property
    def state(self) -> State:
        """Where the image stands."""
        return self._image.state

    @property
    def reason(self) -> Reason:
        """Why it stands there."""
        return self._image.reason

    @property
    def detail(self) -> str:
        """More words to the reason, perhaps none."""
        return self._image.detail

    @property
    def attempt(self) -> int:
        """Tries since the link was lost."""
        return self._image.attempt

    @property
    def next_try_s(self) -> float | None:
        """Seconds until the next try; None while nothing is being tried."""
        return self._image.next_try_s

    @property
    def busy(self) -> bool:
        """Whether a request is outstanding."""
        return self._image.busy

    @property
    def path(self) -> Path | None:
        """Local address, interface and gateway on the way there."""
        return self._image.path

    def evaluate(self, code: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> Reply:
        """See `Image.evaluate`."""
        return self._supervisor.run(self._image.evaluate(code, timeout=timeout))

    def ping(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> float:
        """See `Image.ping`."""
        return self._supervisor.run(self._image.ping(timeout=timeout))

    @property
    def session(self) -> BlockingSession:
        """The session: what was edited and evaluated, and how durable that is."""
        return BlockingSession(self._supervisor, self._image.session)

    def edit(self, *edits: Edit) -> int:
        """See `Image.edit`."""
        return self._supervisor.look(lambda: self._image.edit(*edits))

    def save(self) -> int:
        """See `Image.save`."""
        return self._supervisor.run(self._image.save())

    def restore(self, generation: int | None = None) -> None:
        """See `Image.restore`."""
        self._supervisor.look(lambda: self._image.restore(generation))

    def archive(self) -> None:
        """See `Image.archive`."""
        self._supervisor.look(self._image.archive)

    def wait_for(self, *states: State, timeout: float | None = None) -> State:
        """See `Image.wait_for`."""
        return self._supervisor.run(self._image.wait_for(*states, timeout=timeout))

    def changes(self, *, timeout: float | None = None) -> Iterator[Change]:
        """Every transition from this call on; ends after `timeout` s without one, and with the supervisor."""
        waiting: queue.Queue[Change | None] = queue.Queue(MAX_SUBSCRIBER_BACKLOG)

        def tell(change: Change | None) -> None:
            if waiting.full():  # whoever reads is far behind, and must not hold up the loop
                waiting.get_nowait()
            waiting.put_nowait(change)

        async def forward() -> None:
            try:
                async for change in self._image.changes():
                    tell(change)
            finally:
                tell(None)

        job = self._supervisor.submit(forward())

        def followed() -> Iterator[Change]:
            try:
                while (change := waiting.get(timeout=timeout)) is not None:
                    yield change
            except queue.Empty:
                return
            finally:
                job.cancel()

        return followed()

    def retry(self) -> None:
        """See `Image.retry`."""
        self._supervisor.look(self._image.retry)

    def disconnect(self) -> None:
        """See `Image.disconnect`."""
        self._supervisor.look(self._image.disconnect)

    def reconnect(self) -> None:
        """See `Image.reconnect`."""
        self._supervisor.look(self._image.reconnect)

    def adopt(self) -> None:
        """See `Image.adopt`."""
        self._supervisor.look(self._image.adopt)

    def start_fresh(self) -> None:
        """See `Image.start_fresh`."""
        self._supervisor.look(self._image.start_fresh)


class BlockingSession:
    """`SessionFace` for blocking programs. Same names, same errors."""

    def __init__(self, supervisor: BlockingSupervisor, session: SessionFace) -> None:
        self._supervisor = supervisor
        self._session = session

    @property
    def id(self) -> str:
        """32 hexadecimal digits."""
        return self._session.id

    @property
    def standing(self) -> Standing:
        """Where the document is."""
        return self._session.standing

    @property
    def state(self) -> dict[str, Any]:
        """The document as plain JSON values, to be read only."""
        return self._supervisor.look(lambda: self._session.state)

    @property
    def document(self) -> SessionDocument:
        """The document with its types."""
        return self._supervisor.look(lambda: self._session.document)

    @property
    def revision(self) -> int:
        """How many edits lead to the document."""
        return self._session.revision

    @property
    def saved_revision(self) -> int:
        """How many of them survive a power cut."""
        return self._session.saved_revision

    @property
    def durable(self) -> bool:
        """Whether all of them do."""
        return self._session.durable

    @property
    def why_not_durable(self) -> str | None:
        """Why edits do not reach the disk; None if they do, or will within seconds."""
        return self._session.why_not_durable

    @property
    def receipt(self) -> Receipt | None:
        """How it came back from the disk; None while it has not."""
        return self._session.receipt

    @property
    def read_only(self) -> bool:
        """Whether it may not be edited here."""
        return self._session.read_only

    @property
    def copy_of(self) -> str | None:
        """The session this is a private copy of."""
        return self._session.copy_of

    @property
    def busy_owner(self) -> str | None:
        """Who else has it open, as far as they say."""
        return self._session.busy_owner

    def take_over(self, timeout: float = TAKE_OVER_TIMEOUT_S) -> None:
        """See `SessionFace.take_over`."""
        self._supervisor.run(self._session.take_over(timeout))

    def private_copy(self) -> None:
        """See `SessionFace.private_copy`."""
        self._supervisor.run(self._session.private_copy())
