"""The operating system's keyring, kept at arm's length: one thread asks it, and nobody waits for long.

A keyring may hang for minutes while a prompt stands on another screen, and a back end that stores nothing
answers like one that has not got the key yet. So every call has a timeout, and only back ends known to keep
secrets are asked at all.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring.backend import KeyringBackend

SERVICE = "resilience"
VAULT_TIMEOUT_S = 5.0
"""A read takes milliseconds when the keyring is open; longer means that somebody is asked something."""

MAX_SECRET_CHARS = 1280
"""What Windows takes: 2,560 bytes of UTF-16."""

TRUSTED = frozenset(
    {
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.kwallet.DBusKeyringKWallet4",
        "keyring.backends.macOS.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
    }
)
"""Back ends known to encrypt what they keep. Any other, however it got here, is refused."""


class VaultError(Exception):
    """A keyring said no. Never carries what was asked to be kept."""


class VaultLocked(VaultError):  # noqa: N818 -- a condition the user sees and clears, named as one
    """It is there, and waits for somebody to unlock it."""


class VaultUnavailable(VaultError):  # noqa: N818 -- as above
    """There is none, or it is broken."""


class VaultDenied(VaultError):  # noqa: N818 -- as above
    """Somebody, or a rule, said no."""


class Vault(Protocol):
    """Keeps short secrets by name."""

    def usable(self) -> str | None:
        """Return None, or why it must not be used, in words.

        Raises:
            VaultError: that cannot be told now.
        """

    def get(self, name: str) -> str | None:
        """Return a secret, None if there is none of that name.

        Raises:
            VaultError: it could not be asked.
        """

    def set(self, name: str, secret: str) -> None:
        """Keep a secret under a name that is not in use.

        Raises:
            VaultError: it is not certain to be kept.
        """

    def delete(self, name: str) -> None:
        """Forget a secret, if it is there.

        Raises:
            VaultError: it is not certain to be gone.
        """


class _Job:
    """One call, which may outlive whoever asked for it."""

    def __init__(self, what: str, call: Callable[[], str | None]) -> None:
        self.what = what
        self.call = call
        self.done = threading.Event()
        self.answer: str | None = None
        self.refused: VaultError | None = None


class KeyringVault:
    """The `keyring` package, asked by one daemon thread at a time.

    A call that takes too long goes on in the background, and the next equal one waits for the same answer:
    so a prompt that is answered late is not lost, and is not shown again.

    Attributes:
        timeout_s: how long a caller waits.
    """

    def __init__(self, timeout_s: float = VAULT_TIMEOUT_S, trusted: frozenset[str] = TRUSTED) -> None:
        """Ask nothing yet.

        Args:
            timeout_s: how long a caller waits.
            trusted: the back ends to use, as module and class.
        """
        self.timeout_s = timeout_s
        self._trusted = trusted
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._thread: threading.Thread | None = None
        self._under_way: dict[str, _Job] = {}  # those whose answer several callers may share
        self._backend: KeyringBackend | None = None

    def usable(self) -> str | None:
        """Return None, or why this machine's keyring must not be used."""
        return self._asked("look for the keyring", self._refusal, shared="usable")

    def get(self, name: str) -> str | None:
        """Return a secret."""
        return self._asked("read from the keyring", lambda: self._get(name), shared=f"get {name}")

    def set(self, name: str, secret: str) -> None:
        """Keep a secret."""
        if len(secret) > MAX_SECRET_CHARS:
            raise VaultUnavailable(f"{len(secret)} characters do not fit into every keyring")
        self._asked("write to the keyring", lambda: self._set(name, secret))

    def delete(self, name: str) -> None:
        """Forget a secret."""
        self._asked("delete from the keyring", lambda: self._delete(name))

    # -- the caller's side -----------------------------------------------------------------

    def _asked(self, what: str, call: Callable[[], str | None], shared: str | None = None) -> str | None:
        with self._lock:
            job = self._under_way.get(shared or "")
            if self._thread is not None and not self._thread.is_alive():
                # This is a forked child, which has only its caller.
                self._thread, job = None, None
                self._jobs.clear()
            if job is None or job.done.is_set():  # an answer that nobody waited for may be an old one
                job = _Job(what, call)
                self._jobs.append(job)
                if shared:
                    self._under_way[shared] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="keyring", daemon=True)
                self._thread.start()
        if not job.done.wait(self.timeout_s):
            raise VaultLocked(f"no answer within {self.timeout_s:g} s; it may be asking you something")
        if job.refused is not None:
            # A new one each time: a raised exception collects tracebacks, and they the locals.
            raise type(job.refused)(*job.refused.args)
        return job.answer

    def _work(self) -> None:
        """Do what was asked, in order, and end when there is nothing more."""
        while job := self._next():
            try:
                job.answer = job.call()
            except VaultError as exc:
                job.refused = type(exc)(*exc.args)
            except Exception as exc:  # noqa: BLE001 -- a plugin of somebody else may raise anything
                job.refused = refusal_of(job.what, exc)
            job.done.set()

    def _next(self) -> _Job | None:
        with self._lock:
            for shared in [name for name, job in self._under_way.items() if job.done.is_set()]:
                del self._under_way[shared]
            if self._jobs:
                return self._jobs.popleft()
            self._thread = None
            return None

    # -- the worker's side -----------------------------------------------------------------

    def _refusal(self) -> str | None:
        try:
            self._chosen()
        except VaultUnavailable as exc:
            return str(exc)
        return None

    def _chosen(self) -> KeyringBackend:
        if self._backend is None:
            self._backend = choose_backend(self._trusted)
        return self._backend

    def _get(self, name: str) -> str | None:
        return self._chosen().get_password(SERVICE, name)

    def _set(self, name: str, secret: str) -> None:
        self._chosen().set_password(SERVICE, name, secret)

    def _delete(self, name: str) -> None:
        from keyring.errors import PasswordDeleteError  # noqa: PLC0415 -- 54 ms, and only this thread pays

        backend = self._chosen()
        try:
            backend.delete_password(SERVICE, name)
        except PasswordDeleteError:
            if backend.get_password(SERVICE, name) is not None:
                raise


def choose_backend(trusted: frozenset[str] = TRUSTED) -> KeyringBackend:
    """Return the back end to use: what is configured, if it is trusted.

    Raises:
        VaultUnavailable: it is not, or there is none.
    """
    import keyring  # noqa: PLC0415 -- 54 ms and 13 MiB, on the worker's thread only
    from keyring import core  # noqa: PLC0415 -- as above
    from keyring.backend import KeyringBackend as AnyBackend  # noqa: PLC0415 -- as above

    found = keyring.get_keyring()
    members = [found]
    if name_of(found) == "keyring.backends.chainer.ChainerBackend":
        members = list(getattr(found, "backends", ()))  # it would fall through to any of them
    elif name_of(found) == "keyring.backends.fail.Keyring" and not (core.load_env() or core.load_config()):
        # It found nothing and remembers that; a keyring may have been started since.
        viable = sorted(AnyBackend.get_viable_backends(), key=lambda each: each.priority, reverse=True)
        members = [
            backend() for backend in viable if f"{backend.__module__}.{backend.__qualname__}" in trusted
        ]
    for member in members:
        if name_of(member) in trusted:
            return member
    if name_of(found) == "keyring.backends.null.Keyring":
        raise VaultUnavailable("the keyring is switched off")
    if name_of(found) == "keyring.backends.fail.Keyring":
        raise VaultUnavailable("there is no keyring on this machine, or no session it belongs to")
    names = ", ".join(name_of(member) for member in members) or name_of(found)
    raise VaultUnavailable(f"it is not known to encrypt what it keeps ({names})")


def name_of(backend: object) -> str:
    """Return where a back end comes from."""
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def refusal_of(what: str, exc: Exception) -> VaultError:
    """Return what an exception of a back end means. Its text is left out: it may hold the secret."""
    names = {kind.__name__ for kind in type(exc).__mro__}
    said = f"{what}: {type(exc).__name__}"
    if names & {"KeyringLocked", "LockedException"}:
        return VaultLocked(said)
    if names & {"PromptDismissedException", "KeychainDenied", "SecAuthFailure"}:
        return VaultDenied(said)
    cause = exc.__cause__ or exc.__context__
    if isinstance(cause, Exception) and isinstance(
        refusal := refusal_of(what, cause), VaultDenied | VaultLocked
    ):
        return refusal
    return VaultUnavailable(said)
