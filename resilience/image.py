"""An image as its host sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

from machines import Ask, Reason, State
from machines.table import LIVE
from resilience.change import Change
from resilience.core import ImageCore
from resilience.errors import ResilienceError, UsageError
from resilience.exchange import Asked, Settle
from resilience.limits import DEFAULT_TIMEOUT_S, MAX_SUBSCRIBER_BACKLOG, MAX_TIMEOUT_S
from resilience.network.snapshot import Path
from resilience.sessions.face import SessionFace
from resilience.sessions.keeper import Keeper
from resilience.sessions.remembering import Record, evaluated, nothing
from resilience.wire import Kind, Reply
from store.documents import Edit


class Image:
    """One Smalltalk image: its state, and the requests one can make of it.

    Obtained from `Supervisor.connect`. Properties are plain looks and cost nothing.
    """

    def __init__(self, core: ImageCore, keeper: Keeper) -> None:
        self._core = core
        self._keeper = keeper
        self._session = SessionFace(core, keeper)
        self._state = State.FRESH
        self._subscribers: WeakKeyDictionary[asyncio.Queue[Change | None], None] = WeakKeyDictionary()
        """In the order they came; each lives as long as somebody reads it."""
        self._ended = False

    # -- looking -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """`host:port`, as in the journal."""
        return self._core.key

    @property
    def endpoint(self) -> str:
        """The endpoint, normalised."""
        return str(self._core.endpoint)

    @property
    def state(self) -> State:
        """Where the image stands, as far as it is journaled (law 14); after the end, where it stood."""
        return self._state

    @property
    def reason(self) -> Reason:
        """Why it stands there."""
        return self._core.shown[0]

    @property
    def detail(self) -> str:
        """More words to the reason, perhaps none."""
        return self._core.shown[1]

    @property
    def busy(self) -> bool:
        """Whether a request is outstanding."""
        return self._core.connection.busy

    @property
    def path(self) -> Path | None:
        """Local address, interface and gateway on the way there; None: no way."""
        return self._core.path

    @property
    def attempt(self) -> int:
        """Tries, dials and scouts alike, since the link was lost."""
        return self._core.connection.search.attempt

    @property
    def next_try_s(self) -> float | None:
        """Seconds until the next try; None while nothing is being tried."""
        at = self._core.connection.search.next_try_at
        return None if at is None else max(0.0, at - self._core.now)

    # -- asking --------------------------------------------------------------------------

    async def evaluate(self, code: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> Reply:  # noqa: ASYNC109 - part of the contract
        """Have the image evaluate `code`, at most once.

        While the image is not connected the request waits; `timeout` (seconds) covers
        waiting and running.

        Raises:
            EvaluationError: the image ran it and reports an error.
            UnsupportedRequest: it does not evaluate; not done.
            MalformedReply, ReplyTooLarge: it ran, and the reply cannot be used.
            Expired: never handed to the image; not done.
            OutcomeUnknown: handed over, and no reply came. Never sent again.
            QueueFull, RequestTooLarge: refused here; not done.
        """
        reply, _ = await self._ask(Kind.EVALUATE, code, timeout, evaluated)
        return reply

    async def ping(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> float:  # noqa: ASYNC109 - same
        """Seconds from sending a ping to the image's answer.

        Raises:
            Expired, LinkLost: no answer within `timeout` seconds; asking again is safe.
            QueueFull: too many requests wait already.
        """
        _, asked = await self._ask(Kind.PING, "", timeout)
        return (asked.answered_at or 0.0) - (asked.sent_at or 0.0)

    def submit_ping(self, timeout_s: float, settle: Settle) -> Asked:
        """Ask for a ping without waiting: `settle` is called once, with the reply or the error.

        What it raises goes to the loop's exception handler.

        Raises:
            QueueFull: too many requests wait already.
            UsageError: no such timeout, or the supervisor was closed.
        """
        _check_timeout(timeout_s)
        loop = asyncio.get_running_loop()

        def settled(outcome: Reply | ResilienceError, asked: Asked) -> None:
            try:
                settle(outcome, asked)
            except Exception as fault:  # noqa: BLE001 - the host's own: our bookkeeping goes on
                loop.call_exception_handler({"message": "a ping's callback raised", "exception": fault})

        return self._core.request(Kind.PING, "", timeout_s, settled)

    async def _ask(
        self, kind: Kind, code: str, timeout_s: float, record: Record = nothing
    ) -> tuple[Reply, Asked]:
        if not isinstance(code, str):
            raise UsageError(f"code is text, not {type(code).__name__}")
        _check_timeout(timeout_s)
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def settle(outcome: Reply | ResilienceError, asked: Asked) -> None:
            try:
                record(self._core, self._keeper, asked, outcome)
            finally:  # nobody waits in vain because of a fault in our books
                if done.done():
                    pass
                elif isinstance(outcome, ResilienceError):
                    done.set_exception(outcome)
                else:
                    done.set_result(outcome)

        asked = self._core.request(kind, code, timeout_s, settle)
        try:
            return await done, asked
        except asyncio.CancelledError:
            if asked.settle is not None:
                record(self._core, self._keeper, asked, None)
            self._core.withdraw(asked)
            raise

    # -- working -------------------------------------------------------------------------

    @property
    def session(self) -> SessionFace:
        """The session: what was edited and evaluated, and how durable that is."""
        return self._session

    def edit(self, *edits: Edit) -> int:
        """Change the session's document; returns its revision. Never waits.

        Edits survive a kill of this process after 250 ms, and a power cut after `save`. As long as they do
        not, a connected image is Modified.

        Raises:
            BadEdit: one of them fits no document; none was made.
            SessionError: the session may not be changed here (`Busy`, `TooNew`, or as it failed to open).
            UsageError: the supervisor was closed.
        """
        self._core.check_kept()
        return self._keeper.edit(self._core, edits)

    async def save(self) -> int:
        """Return when every edit so far is on the medium, with the revision that is.

        Raises:
            NotDurable: it is not, and says why. The edits are kept, and it is tried again.
            UsageError: the supervisor was closed.
        """
        self._core.check_kept()
        return await self._keeper.save(self._core)

    # -- waiting -------------------------------------------------------------------------

    async def wait_for(self, *states: State, timeout: float | None = None) -> State:  # noqa: ASYNC109 - part of the contract
        """Wait until the image stands in one of `states`; Modified counts as Connected.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
            UsageError: no such state or timeout, or the supervisor was closed.
        """
        wanted = _wanted(states)
        if timeout is not None and not (isinstance(timeout, int | float) and timeout >= 0):
            raise UsageError(f"a timeout is 0 or more seconds, or None for ever, not {timeout!r}")
        queue = self._subscribe()
        try:
            async with asyncio.timeout(timeout):
                state = self._state
                while self._ended or state not in wanted:
                    change = await queue.get()
                    if change is None:
                        self._core.check_kept()
                    else:
                        state = change.target
        except TimeoutError:
            names = " or ".join(states)
            why = f"{self.reason}: {self.detail}" if self.detail else self.reason
            raise TimeoutError(
                f"{self.name} is {self._state} ({why}), not {names}, after {timeout} s"
            ) from None
        return state

    def changes(self) -> AsyncGenerator[Change, None]:
        """Every transition from this call on, each after it is durable, until the supervisor is closed.

        A reader far behind loses the oldest.
        """
        return _told(self._subscribe())

    def _subscribe(self) -> asyncio.Queue[Change | None]:
        self._core.check_caller()
        queue: asyncio.Queue[Change | None] = asyncio.Queue(MAX_SUBSCRIBER_BACKLOG)
        self._subscribers[queue] = None
        if self._ended:
            queue.put_nowait(None)
        return queue

    def publish(self, change: Change) -> None:
        """Called by the supervisor: a transition is durable."""
        self._state = change.target
        self._tell(change)

    def end(self) -> None:
        """Called by the supervisor: all is told, and whoever waits for more waits in vain."""
        self._ended = True
        self._tell(None)

    def _tell(self, change: Change | None) -> None:
        for queue in list(self._subscribers):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(change)

    # -- deciding ------------------------------------------------------------------------

    def retry(self) -> None:
        """Try again now, whatever the schedule says; also the first way out of Failed and Orphaned.

        Raises:
            Refused: there is nothing to try again: it is connected.
        """
        self._core.ask(Ask.RETRY)

    def disconnect(self) -> None:
        """Drop the link and stop dialling; the session stays. A request in flight ends as `OutcomeUnknown`.

        Raises:
            Refused: there is nothing to disconnect (Failed, Orphaned).
        """
        self._core.ask(Ask.DISCONNECT)

    def reconnect(self) -> None:
        """Dial again after `disconnect`.

        Raises:
            Refused: the image is Failed or Orphaned; choose a way out instead.
        """
        self._core.ask(Ask.CONNECT)

    def adopt(self) -> None:
        """Orphaned: the image that answers now continues this session.

        Raises:
            Refused: the image is not Orphaned.
        """
        self._core.ask(Ask.ADOPT)

    def restore(self, generation: int | None = None) -> None:
        """Failed or Orphaned: read the session again, or an older generation of it.

        Raises:
            Refused: there is no need to.
        """
        self._core.check_kept()
        self._keeper.restore(self._core, generation)

    def archive(self) -> None:
        """Failed or Orphaned: archive the session and stay disconnected.

        Raises:
            Refused: there is no need to.
        """
        self._core.ask(Ask.ARCHIVE)

    def start_fresh(self) -> None:
        """Failed or Orphaned: archive the session and begin a new one.

        Raises:
            Refused: there is no need to.
        """
        self._core.ask(Ask.START_FRESH)


async def _told(queue: asyncio.Queue[Change | None]) -> AsyncGenerator[Change, None]:
    while (change := await queue.get()) is not None:
        yield change


def _check_timeout(timeout_s: float) -> None:
    if not (isinstance(timeout_s, int | float) and 0 < timeout_s <= MAX_TIMEOUT_S):
        raise UsageError(
            f"a timeout is more than 0 and at most {MAX_TIMEOUT_S:.0f} seconds, not {timeout_s!r}"
        )


def _wanted(states: tuple[State, ...]) -> set[State]:
    try:
        wanted = {State(each) for each in states}
    except ValueError:
        wanted = set()
    if not wanted:
        raise UsageError(f"wait for one or more of {', '.join(State)}, not for {states!r}")
    return wanted | LIVE if State.CONNECTED in wanted else wanted
