"""The supervisor: the asyncio shell around all images. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path as FilePath
from types import TracebackType
from typing import Self, TypeVar

from machines import Policy
from resilience import shapes  # noqa: F401 - pydantic is imported now, not when the first reply waits
from resilience.change import Change
from resilience.core import ImageCore
from resilience.endpoint import parse_endpoint
from resilience.errors import UsageError
from resilience.image import Image
from resilience.limits import OPEN_JOURNAL_S
from resilience.recorder import Recorder
from resilience.seams import Host
from resilience.sessions.keeper import Keeper
from resilience.sessions.keyholder import Keys
from resilience.world import SharedWorld
from store import History, StoreError, default_data_dir
from store.documents import parsing  # noqa: F401 - as `shapes`: not when descriptors are short and an edit waits
from store.keys import Protection


def _own_host(loop: asyncio.AbstractEventLoop) -> Host:
    from resilience.host import OwnHost  # noqa: PLC0415 - pyzmq costs 30 ms, and a simulation has no use for it

    return OwnHost(loop)


_NOT_RUNNING = "the supervisor is not running; use it as `async with resilience.Supervisor() as s:`"

_Told = TypeVar("_Told")


def _guarded(listener: Callable[[_Told], None]) -> Callable[[_Told], None]:
    """The host's own fault is the loop's to report: our bookkeeping goes on, whoever listens."""

    def tell(told: _Told) -> None:
        try:
            listener(told)
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - whatever the host's code raises
            context = {"message": "a listener of resilience raised", "exception": fault}
            asyncio.get_running_loop().call_exception_handler(context)

    return tell


def _directory(given: FilePath | str) -> FilePath:
    if not isinstance(given, FilePath | str) or str(given) == "" or "\0" in str(given):
        raise UsageError(f"a data directory is a path, not {given!r}")
    return FilePath(given)


def _protection(given: Protection) -> Protection:
    try:
        return Protection(given)
    except ValueError:
        raise UsageError(f"a protection is one of {', '.join(Protection)}, not {given!r}") from None


def _phrase(given: str | None) -> str | None:
    if not isinstance(given, str | None):
        raise UsageError(f"a passphrase is a text, not {type(given).__name__}")  # itself it is never shown
    return given


class Supervisor:
    """Keeps the connections of any number of images; an async context manager.

    Args:
        data_dir: where the journal lives; None is the platform's user-data directory.
        policy: how patient to be; the defaults keep the promises of the documentation.
        on_notice: called with one line whenever something the user should know happens
            that is no transition (the disk fails, the disk works again).
        protection: how sessions are protected, if nothing was chosen in this directory yet; None is
            the keyring of this machine, if it has one that encrypts.
        passphrase: unlocks them, if they are protected by one.
        host: makes the machine to run on; None is this one. Simulations pass theirs.

    Leaving the context aborts every link, settles every waiting request and returns
    once journal and sessions are on disk.
    """

    def __init__(
        self,
        data_dir: FilePath | str | None = None,
        *,
        policy: Policy | None = None,
        on_notice: Callable[[str], None] | None = None,
        protection: Protection | None = None,
        passphrase: str | None = None,
        host: Callable[[asyncio.AbstractEventLoop], Host] | None = None,
    ) -> None:
        self._data_dir = _directory(data_dir) if data_dir is not None else default_data_dir()
        if not isinstance(policy, Policy | None):
            raise UsageError(f"a policy is a resilience.Policy, not {policy!r}")
        self._policy = policy or Policy()
        if on_notice is not None and not callable(on_notice):
            raise UsageError(f"on_notice can be called; {type(on_notice).__name__} cannot")
        self._on_notice: Callable[[str], None] = _guarded(on_notice or (lambda _: None))
        self._make_host = host or _own_host
        self._images: dict[str, Image] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._history: History | None = None
        self._recorder: Recorder | None = None
        self._host: Host | None = None
        self._world: SharedWorld | None = None
        self._keeper: Keeper | None = None
        self._ending: asyncio.Task[None] | None = None
        self._protection = None if protection is None else _protection(protection)
        self._passphrase = _phrase(passphrase)

    async def __aenter__(self) -> Self:
        if self._host is not None:
            raise UsageError("this supervisor is running already; make another one, or close it first")
        self._ending = None
        self._images, self._history = {}, None  # those of an earlier time here have come to their end
        loop = asyncio.get_running_loop()
        host = self._host = self._make_host(loop)
        try:
            trouble, late = await self._open_history(host)
        except BaseException:
            host.close()
            self._host = None
            raise
        if trouble is not None:
            self._on_notice(f"not durable: {trouble}")
        writable = self._history if trouble is None else None
        self._recorder = Recorder(writable, loop, host, self._trouble_changed, trouble)
        self._keeper = Keeper(
            loop,
            host,
            self._data_dir,
            self._on_notice,
            protection=self._protection,
            passphrase=self._passphrase,
            read_only=trouble is not None and late is None,
            journal_unread=late is not None,
        )
        self._passphrase = None
        self._keeper.start()
        self._world = SharedWorld(loop, host, self._recorder, self._keeper)
        self._world.start()
        if late is not None:
            late.add_done_callback(lambda opened: self._opened_late(host, opened))
        return self

    async def _open_history(self, host: Host) -> tuple[str | None, asyncio.Future[History] | None]:
        """Read the journal; return why it cannot be written, and what may still come of it.

        A disk that hangs keeps nobody from dialling.
        """
        opening = host.off_loop(lambda: History.open(self._data_dir, disk=host.disk))
        await asyncio.wait({opening}, timeout=OPEN_JOURNAL_S)
        if not opening.done():
            return f"the disk has not answered for {OPEN_JOURNAL_S:g} s", opening
        try:
            self._history = opening.result()
        except StoreError as problem:
            self._history = await host.off_loop(lambda: self._read_only(host))
            return str(problem), None
        return None, None

    def _opened_late(self, host: Host, opened: asyncio.Future[History]) -> None:
        """The disk has answered at last: go on with the sessions it knows, joined with what came since."""
        if opened.cancelled():
            return
        problem, keeper, recorder = opened.exception(), self._keeper, self._recorder
        if self._world is None or keeper is None or recorder is None:  # nobody is left to use it
            if problem is None:
                host.off_loop(opened.result().close)
            return
        if problem is None:
            history = self._history = opened.result()
            recorder.take(history)
            for key, core in self._world.cores.items():
                core.journal_read(history.last(key), history.next_seq(key))
        else:
            recorder.take(None, str(problem) or type(problem).__name__)
        keeper.journal_read()

    def _read_only(self, host: Host) -> History | None:
        """What cannot be written may still be read: the last sessions are found all the same."""
        try:
            return History.open(self._data_dir, disk=host.disk, read_only=True)
        except StoreError:
            return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let every image go and return when journal and sessions are on disk, whoever else closes it."""
        if self._ending is None:
            world = self._world
            if world is None:
                return
            world.check_caller()
            self._world = None
            world.close()
            self._ending = asyncio.ensure_future(self._end())
        # Shielded: an impatient interrupt must not cut the last sync short.
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            if self._keeper is not None:
                await self._keeper.close()
            if self._recorder is not None:
                await self._recorder.close()
        finally:  # whatever goes wrong, nobody is left waiting
            for image in self._images.values():
                image.end()
            if self._host is not None:
                self._host.close()
                self._host = None

    # -- images --------------------------------------------------------------------------

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image, in the order they were added."""
        return tuple(self._images.values())

    @property
    def trouble(self) -> str | None:
        """Why transitions are not durable; None while they are."""
        return self._recorder.trouble if self._recorder is not None else None

    @property
    def keys(self) -> Keys:
        """Whether sessions can be read and written, how they are protected, and why.

        Raises:
            UsageError: the supervisor is not running.
        """
        return self._running().keyholder.keys

    async def unlock(self, passphrase: str | None = None) -> None:
        """Unlock the keys; sessions that waited for them are opened, and joined with what was edited.

        Args:
            passphrase: if they are protected by one; None asks the keyring.

        Raises:
            SessionError: they stay locked (`LockedKey`, `WrongKey`, `MissingKey`).
            UsageError: no such passphrase; the supervisor is not running, or on another event loop.
        """
        await self._here().keyholder.unlock(_phrase(passphrase))

    async def protect(self, protection: Protection, passphrase: str | None = None) -> None:
        """Choose how sessions are protected, or change it; what is in memory becomes durable.

        Args:
            protection: how.
            passphrase: for `Protection.PASSPHRASE`.

        Raises:
            KeyChoiceRefused: the keyring cannot be used, or files would lose their keys.
            SessionError: the present keys are locked or gone.
            DiskError: the disk refused; nothing has changed.
            ValueError: a passphrase is needed and empty.
            UsageError: no such protection or passphrase; the supervisor is not running, or elsewhere.
        """
        await self._here().keyholder.protect(_protection(protection), _phrase(passphrase))

    def _running(self) -> Keeper:
        if self._keeper is None or self._world is None:
            raise UsageError(_NOT_RUNNING)
        return self._keeper

    def _here(self) -> Keeper:
        keeper = self._running()
        if self._world is not None:
            self._world.check_caller()
        return keeper

    async def connect(self, endpoint: str) -> Image:
        """Add the image at `endpoint` and begin to dial it; does not wait for the network.

        Adding an endpoint twice gives the same image.

        Raises:
            BadEndpoint: it is not `tcp://host:port`.
            UsageError: the supervisor is not running.
        """
        where = parse_endpoint(endpoint)
        world, host, keeper = self._world, self._host, self._here()
        if world is None or host is None:
            raise UsageError(_NOT_RUNNING)
        if where.key in self._images:
            return self._images[where.key]
        stored = self._history.last(where.key) if self._history is not None else None
        seq = self._history.next_seq(where.key) if self._history is not None else 1
        core = ImageCore(
            endpoint=where,
            world=world,
            random=host.random,
            policy=self._policy,
            stored=stored,
            next_seq=seq,
            on_change=self._published,
        )
        keeper.keep(core)
        image = self._images[where.key] = Image(core, keeper)
        world.cores[where.key] = core
        core.start()
        return image

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` for every change of every image, on the loop, after it is durable.

        What it raises goes to the loop's exception handler, and keeps nothing from anybody else.
        """
        if not callable(listener):
            raise UsageError(f"a listener can be called; {type(listener).__name__} cannot")
        self._listeners.append(_guarded(listener))

    def _published(self, change: Change) -> None:
        self._images[change.image].publish(change)
        for listener in self._listeners:
            listener(change)

    def _trouble_changed(self, trouble: str | None) -> None:
        self._on_notice("durable again: the disk works" if trouble is None else f"not durable: {trouble}")
