"""The keys of one supervisor: opened, unlocked and chosen beside the loop, told on it.

Nothing on the way of a connection waits for any of this. What the keyring has not said yet counts as locked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path as FilePath

from resilience.limits import KEYS_RETRY_S, SESSION_RETRY_S
from resilience.seams import Host
from resilience.sessions.turns import Turn, Turns
from store.disk import Disk, RealDisk
from store.errors import DiskError, StoreError, disk_error
from store.keys import Keychain, KeyChoiceRefused, KeyState, Protection, VaultError
from store.outcomes import Busy, LockedKey
from store.sessions import Sessions
from store.sessions.inventory import key_ids
from store.sessions.names import parse

CHOICES = (
    "choose how your work shall be protected: a passphrase "
    "(`await supervisor.protect(Protection.PASSPHRASE, passphrase=...)`), nothing kept "
    "(Protection.VOLATILE), or keys in a file beside it (Protection.INSECURE)"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Whether sessions can be read and written, and how they are protected.

    Attributes:
        state: whether the keys can be used.
        protection: what was chosen; None while nothing was.
        why: the state in words.
    """

    state: KeyState
    protection: Protection | None
    why: str


class Keyholder:
    """Owns the keychain and the shelf of sessions.

    Attributes:
        sessions: None until the key file was read, or if it cannot be.
        keys: as they stood when the last job ended.
        stored: the ids of all sessions that files were found of.
        archived: ... and of those that somebody put away.
        busy: whether the keys are being read, asked for or chosen.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: Host,
        turns: Turns,
        data_dir: FilePath,
        changed: Callable[[], None],
        *,
        protection: Protection | None,
        passphrase: str | None,
        read_only: bool,
    ) -> None:
        self.sessions: Sessions | None = None
        self.keys = Keys(KeyState.LOCKED, None, "the key file was not read yet")
        self.stored: set[str] = set()
        self.archived: set[str] = set()
        self.busy = True
        self.problem: StoreError | None = None
        """Why the key file, or the keyring's entry, cannot be used as it is."""
        self._loop = loop
        self._host = host
        self._turns = turns
        self._data_dir = data_dir
        self._changed = changed
        self._wanted = protection
        self._passphrase = passphrase
        self._read_only = read_only
        self._chain: Keychain | None = None
        self._jobs = 0
        self._asked = False
        self._later: float | None = None
        """What hindered the choosing passes (no keyring yet, a prompt that stands, a full disk, another
        program that chooses just now): so many seconds later it is tried again."""
        self._retry: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether it can be told of every stored session now whether it opens."""
        return self.sessions is not None and self.keys.state not in (KeyState.LOCKED, KeyState.VOLATILE)

    @property
    def can_write(self) -> bool:
        """Whether there is a key that new files can be sealed with."""
        return self.sessions is not None and self.keys.state is KeyState.READY

    @property
    def _undone(self) -> bool:
        return self._later is not None and self.keys.protection is None

    # -- what is asked of it -----------------------------------------------------------------

    def start(self) -> None:
        """Read the key file; then unlock what there is, or set up what was asked for."""
        self._begin(self._open, Turn.OPEN)
        self._begin(lambda: self._prepare(at_start=True), Turn.KEYS)

    def need(self) -> None:
        """There is work to keep: if nothing was chosen yet and this machine has a keyring, choose that."""
        if not self._asked and self.keys.protection is None:
            self._asked = True
            self._begin(lambda: self._prepare(at_start=False), Turn.KEYS)

    def try_again(self) -> None:
        """Ask the keyring again, if that may help."""
        if self.busy:
            return
        if self._undone or self.keys.state in (KeyState.LOCKED, KeyState.MISSING):
            at_start = not self._asked
            self._begin(lambda: self._prepare(at_start=at_start), Turn.KEYS)

    def look_again(self) -> None:
        """A key was refused: another process may have changed the keys while nobody could unlock them."""
        chain = self._chain
        if chain is not None and self.can_write and chain.state is not KeyState.READY and not self.busy:
            self.keys = Keys(chain.state, chain.protection, chain.why)
            self._ask_later()

    async def unlock(self, passphrase: str | None) -> None:
        """Raises as `Keychain.unlock`."""
        await self._begin(lambda: self._chosen().unlock(passphrase), Turn.KEYS)

    async def protect(self, protection: Protection, passphrase: str | None) -> None:
        """Raises as `Keychain.choose`."""

        def choose() -> None:
            chain = self._opened()
            chain.choose(protection, passphrase, self._named())

        await self._begin(choose, Turn.KEYS)

    def close(self) -> None:
        """Ask for nothing more."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()

    # -- on the loop -------------------------------------------------------------------------

    def _begin(self, job: Callable[[], object], turn: Turn) -> asyncio.Future[None]:
        self._jobs += 1
        self.busy = True
        told: asyncio.Future[None] = self._loop.create_future()
        self._turns.submit(job, turn).add_done_callback(lambda done: self._ended(done, told))
        return told

    def _ended(self, done: asyncio.Future[object], told: asyncio.Future[None]) -> None:
        self._jobs -= 1
        self.busy = self._jobs > 0
        problem = done.exception()
        self.problem = problem if isinstance(problem, StoreError) else None
        chain = self._chain
        if chain is not None:
            self.keys = Keys(chain.state, chain.protection, chain.why)
        elif problem is not None:
            self.keys = Keys(KeyState.LOCKED, None, str(problem))
        if not told.cancelled():
            if problem is None:
                told.set_result(None)
            else:
                told.set_exception(problem)
                told.exception()  # whoever only began it reads `problem`
        if not self._closed:
            self._ask_later()
            self._changed()

    def _ask_later(self) -> None:
        """A keyring that is locked now may be opened by a person; a passphrase has to be given to us."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        asks = self.keys.state is KeyState.LOCKED and self.keys.protection is Protection.KEYRING
        if not self.busy and (asks or self._undone or self._chain is None):
            delay_s = self._later if self._undone and self._later else KEYS_RETRY_S
            self._retry = self._loop.call_later(delay_s, self.try_again)

    # -- beside the loop ---------------------------------------------------------------------

    def _open(self) -> Keychain:
        host = self._host
        disk = host.disk or RealDisk()
        chain = Keychain.open(
            self._data_dir, disk, host.vault, entropy=host.entropy, read_only=self._read_only
        )
        sessions = Sessions(
            self._data_dir, disk, chain, owner=host.owner, wall=host.wall, entropy=host.entropy
        )
        self.stored.update(_ids(disk, sessions.places.sessions))
        self.archived.update(_ids(disk, sessions.places.archive))
        self._chain, self.sessions = chain, sessions
        return chain

    def _opened(self) -> Keychain:
        if self._chain is None:
            self._chain = self._open()
        return self._chain

    def _chosen(self) -> Keychain:
        """The keys, with what another program, or its user, has chosen since."""
        chain = self._opened()
        if chain.protection is None:
            chain.refresh()
        return chain

    def _named(self) -> set[str]:
        return key_ids(self.sessions) if self.sessions is not None else set()

    def _prepare(self, *, at_start: bool) -> None:
        """Unlock the keys there are, or choose a protection if that was asked for or goes without asking."""
        chain = self._chosen()
        self._later = None
        passphrase = self._passphrase
        if chain.protection is not None:
            self._passphrase = None
            chain.unlock(passphrase)
            return
        wanted = self._wanted
        if wanted is None:
            if at_start:
                return  # nobody has anything to keep yet: a keyring is asked when somebody has
            try:
                refusal = self._host.vault.usable()
            except VaultError as problem:
                refusal = str(problem)
            if refusal is not None:
                self._later, chain.why = KEYS_RETRY_S, refusal
                return
            wanted = Protection.KEYRING
        if not self._read_only:
            self._choose(chain, wanted, passphrase)

    def _choose(self, chain: Keychain, wanted: Protection, passphrase: str | None) -> None:
        try:
            chain.choose(wanted, passphrase, self._named())
        except Busy:  # another process chooses at this moment: what it chose holds
            chain.refresh()
            if chain.protection is None:  # it has not written it yet
                self._later, chain.why = SESSION_RETRY_S, "another program sets the keys up at this moment"
                raise
            chain.unlock(passphrase)
        except LockedKey as problem:
            self._later = KEYS_RETRY_S
            chain.why = f"the keyring took no key ({problem.detail}); it is asked again"
            raise
        except DiskError as problem:
            self._later, chain.why = SESSION_RETRY_S, str(problem)
            raise
        except (KeyChoiceRefused, ValueError) as problem:  # only its user can do something about it
            chain.why = f"the protection {wanted!s} cannot be set up: {problem}"
            raise
        self._passphrase = None


def _ids(disk: Disk, directory: FilePath) -> set[str]:
    """Return whose files stand there; their names are enough, none is opened."""
    try:
        names = disk.listing(directory)
    except FileNotFoundError:
        return set()
    except OSError as problem:
        raise disk_error("read the sessions", directory, problem, reading=True) from problem
    return {found.session for name in names if (found := parse(name)) is not None}
