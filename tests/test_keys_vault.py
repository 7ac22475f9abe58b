"""The real vault's manners: whom it trusts, how long it waits, and what it makes of a refusal."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring import core, errors
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from store.keys import KeyringVault, VaultDenied, VaultError, VaultLocked, VaultUnavailable
from store.keys.vault import TRUSTED, choose_backend, name_of, refusal_of

SHORT_S = 0.1
ROOT = Path(__file__).resolve().parent.parent


class Backend(KeyringBackend):
    """A back end in a dict, which does first what it is told to."""

    priority = -1.0  # never found by itself

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring's own
        self.kept: dict[tuple[str, str], str] = {}
        self.first: Callable[[str], object] = lambda _: None
        self.threads: set[str] = set()
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        """Return an entry."""
        self.do_first("get")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Make an entry."""
        self.do_first("set")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Remove an entry."""
        self.do_first("delete")
        if self.kept.pop((service, username), None) is None:
            raise errors.PasswordDeleteError("none")

    def do_first(self, call: str) -> None:
        """Take note, then do what was asked for."""
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        self.first(call)


class Plaintext(Backend):
    """Stands for `keyrings.alt` and everything else nobody vouched for."""


def made(kind: Callable[[], Any]) -> Any:
    """Return a back end; `keyring` has no types for making one."""
    return kind()


HERE = f"{Backend.__module__}.Backend"


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    """Leave the process with the back end it had."""
    before = core._keyring_backend
    yield
    core._keyring_backend = before


def use(backend: object) -> None:
    """Make this the configured back end."""
    core._keyring_backend = backend  # type: ignore[assignment]  # set_keyring would insist on its own classes


def vault(backend: Backend, timeout_s: float = 5.0) -> KeyringVault:
    """Return a vault that trusts this test's back end."""
    use(backend)
    return KeyringVault(timeout_s, TRUSTED | {HERE})


# -- whom to trust ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "words"),
    [(made(null.Keyring), "switched off"), (Plaintext(), "Plaintext"), (Backend(), "not known to encrypt")],
)
def test_untrusted_back_ends_are_refused(backend: KeyringBackend, words: str) -> None:
    """One that keeps nothing, one that keeps it in plain sight, and any nobody has heard of."""
    use(backend)
    refusal = KeyringVault().usable()
    assert refusal
    assert words in refusal
    calls: list[Callable[[], object]] = [
        lambda: KeyringVault().get("x"),
        lambda: KeyringVault().set("x", "y"),
    ]
    for call in calls:
        with pytest.raises(VaultUnavailable, match=words):
            call()
    assert getattr(backend, "asked", 0) == 0


def test_no_back_end_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or one that was switched off by naming the one that fails."""
    use(made(fail.Keyring))
    monkeypatch.setattr(KeyringBackend, "get_viable_backends", classmethod(lambda _: iter(())))
    assert "no keyring on this machine" in str(KeyringVault().usable())
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setattr(KeyringBackend, "get_viable_backends", None)  # what was chosen is not gone around
    assert "no keyring on this machine" in str(KeyringVault().usable())


def test_a_keyring_started_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """`keyring` remembers that it found none; we look again, and take the best that is trusted."""
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")  # a choice would not be gone around
    use(made(fail.Keyring))
    monkeypatch.setattr(
        KeyringBackend, "get_viable_backends", classmethod(lambda _: iter([Plaintext, Backend]))
    )
    assert name_of(choose_backend(frozenset({HERE}))) == HERE


def test_a_chain_is_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fall through to any of them, so a trusted one is asked directly."""
    trusted, other = Backend(), Plaintext()
    chain = made(chainer.ChainerBackend)
    use(chain)
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [other, made(null.Keyring), trusted])
    assert choose_backend(frozenset({HERE})) is trusted
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [other, made(null.Keyring)])
    with pytest.raises(VaultUnavailable, match="Plaintext"):
        choose_backend(frozenset({HERE}))
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [])
    with pytest.raises(VaultUnavailable, match="Chainer"):
        choose_backend(frozenset({HERE}))


def test_the_trusted_names_are_those_of_the_package() -> None:
    """A back end that was renamed would otherwise be refused without anybody noticing."""
    names = {f"{each.__module__}.{each.__qualname__}" for each in KeyringBackend._classes}
    import keyring.backends.kwallet  # noqa: PLC0415 -- they register themselves by being imported
    import keyring.backends.libsecret  # noqa: PLC0415 -- as above
    import keyring.backends.macOS  # noqa: PLC0415 -- as above
    import keyring.backends.SecretService  # noqa: PLC0415 -- as above
    import keyring.backends.Windows  # noqa: PLC0415, F401 -- as above

    names |= {f"{each.__module__}.{each.__qualname__}" for each in KeyringBackend._classes}
    assert names >= TRUSTED


@pytest.mark.parametrize("name", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"])
def test_the_environment_can_switch_it_off_but_not_make_us_trust(name: str) -> None:
    """As a real process sees it."""
    program = "from store.keys import KeyringVault; print(KeyringVault().usable())"
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": name, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() not in ("", "None")


# -- as it should be -------------------------------------------------------------------


def test_what_is_kept_is_given_back() -> None:
    """By a thread that is not ours."""
    backend = Backend()
    asked = vault(backend)
    assert asked.usable() is None
    assert asked.get("name") is None
    asked.set("name", "secret")
    assert asked.get("name") == "secret"
    assert backend.kept == {("resilience", "name"): "secret"}
    asked.delete("name")
    asked.delete("name")
    assert asked.get("name") is None
    assert backend.threads == {"keyring"}


def test_a_deletion_that_failed_is_told() -> None:
    """Unless there was nothing to delete."""
    backend = Backend()
    asked = vault(backend)
    asked.set("name", "secret")

    def refuse(call: str) -> None:
        if call == "delete":
            raise errors.PasswordDeleteError("secret")

    backend.first = refuse
    with pytest.raises(VaultUnavailable):
        asked.delete("name")


def test_too_long_a_secret_is_refused_before_it_is_cut() -> None:
    """Windows takes 2,560 bytes, two for a character."""
    backend = Backend()
    with pytest.raises(VaultUnavailable, match="1281 characters"):
        vault(backend).set("name", "x" * 1281)
    assert backend.asked == 0
    vault(backend).set("name", "x" * 1280)


# -- hanging ---------------------------------------------------------------------------


def test_a_call_that_hangs_is_locked_and_its_answer_is_not_lost() -> None:
    """The prompt is shown once, and whoever asks again gets what it was answered."""
    backend, answered = Backend(), threading.Event()
    backend.kept["resilience", "name"] = "secret"
    backend.first = lambda _: answered.wait(30)
    asked = vault(backend, SHORT_S)
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(VaultLocked, match=r"0.1 s"):
            asked.get("name")
        assert time.monotonic() - began < 5
    with pytest.raises(VaultLocked):  # everything else waits behind it
        asked.set("other", "secret")
    asked.timeout_s = 30
    threading.Timer(SHORT_S, answered.set).start()
    assert asked.get("name") == "secret"
    assert backend.asked <= 2  # the one that hung, and the one behind it


def test_an_answer_that_came_too_late_is_not_taken_for_a_new_one() -> None:
    """What was true when the call began may not be any more."""
    backend, answered = Backend(), threading.Event()
    backend.first = lambda _: answered.wait(30)
    asked = vault(backend, SHORT_S)
    with pytest.raises(VaultLocked):
        asked.get("name")
    late = asked._under_way["get name"]
    answered.set()
    assert late.done.wait(10)
    assert late.answer is None
    backend.kept["resilience", "name"] = "secret"
    asked.timeout_s = 10
    assert asked.get("name") == "secret"


def test_a_keyring_that_hangs_while_being_found_is_locked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing and finding one has taken minutes on some machines."""
    let_go = threading.Event()
    monkeypatch.setattr(keyring, "get_keyring", lambda: let_go.wait(30) and Backend())
    asked = KeyringVault(SHORT_S, frozenset({HERE}))
    with pytest.raises(VaultLocked):
        asked.usable()
    let_go.set()
    asked.timeout_s = 10
    assert asked.usable() is None


def test_many_threads_share_one_question() -> None:
    """All get the answer, and the user sees one prompt."""
    backend = Backend()
    backend.kept["resilience", "name"] = "secret"
    all_ask = threading.Event()
    backend.first = lambda _: all_ask.wait(30)
    asked = vault(backend, 30)
    answers: list[str | None] = []
    threads = [threading.Thread(target=lambda: answers.append(asked.get("name"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while waiting(asked) < len(threads) and time.monotonic() < until:
        time.sleep(0.01)
    all_ask.set()
    for thread in threads:
        thread.join(30)
    assert answers == ["secret"] * 8
    assert backend.asked == 1


def waiting(asked: KeyringVault) -> int:
    """Return how many threads wait for the one answer."""
    job: Any = asked._under_way.get("get name")
    return len(job.done._cond._waiters) if job else 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_asks_with_a_thread_of_its_own() -> None:
    """The parent's does not live on in it, nor does what it is waiting for."""
    program = """
import os, threading, warnings
warnings.simplefilter("ignore")
import test_keys_vault as here
backend = here.Backend()
backend.kept["resilience", "name"] = "secret"
backend.first = lambda _: threading.Event().wait(30)
asked = here.vault(backend, 0.2)
try:
    asked.get("name")
except here.VaultLocked:
    backend.first = lambda _: None
asked.timeout_s = 10
child = os.fork()
if not child:
    os._exit(0 if asked.get("name") == "secret" else 1)
print(os.waitpid(child, 0)[1])
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "support")])
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "0"


# -- refusals --------------------------------------------------------------------------


class PromptDismissedException(Exception):  # noqa: N818 -- as it is called there
    """Named as SecretStorage's."""


class KeychainDenied(Exception):  # noqa: N818 -- as it is called there
    """Named as macOS'."""


def caused(outer: Exception, inner: Exception) -> Exception:
    """Return an exception raised because of another."""
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("raised", "meant"),
    [
        (errors.KeyringLocked("secret"), VaultLocked),
        (errors.InitError("secret"), VaultUnavailable),
        (errors.NoKeyringError("secret"), VaultUnavailable),
        (errors.PasswordSetError("secret"), VaultUnavailable),
        (OSError(1783, "secret"), VaultUnavailable),
        (ValueError("secret"), VaultUnavailable),
        (PromptDismissedException("secret"), VaultDenied),
        (caused(errors.InitError("secret"), PromptDismissedException("secret")), VaultDenied),
        (caused(errors.PasswordSetError("secret"), KeychainDenied("secret")), VaultDenied),
        (caused(errors.InitError("secret"), errors.KeyringLocked("secret")), VaultLocked),
        (VaultDenied("no"), VaultDenied),
    ],
)
def test_refusals_are_told_apart_and_say_no_secret(raised: Exception, meant: type[VaultError]) -> None:
    """A back end's own words may hold what it was given, so they are left out."""
    backend = Backend()
    asked = vault(backend)

    def refuse(_: str) -> None:
        raise raised

    backend.first = refuse
    calls: list[Callable[[], object]] = [
        lambda: asked.get("name"),
        lambda: asked.set("name", "secret"),
        lambda: asked.delete("name"),
    ]
    for call in calls:
        with pytest.raises(VaultError) as caught:
            call()
        assert type(caught.value) is meant
        assert "secret" not in f"{caught.value} {caught.value!r}"
        assert caught.value.__cause__ is caught.value.__context__ is None
    backend.first = lambda _: None
    asked.set("name", "other")
    assert asked.get("name") == "other"


def test_a_refusal_names_what_was_done_and_by_which_class() -> None:
    """Enough to search for."""
    assert (
        str(refusal_of("read from the keyring", errors.InitError("x"))) == "read from the keyring: InitError"
    )


def test_importing_the_store_imports_no_keyring() -> None:
    """Nor cryptography: both are paid for when they are used."""
    program = "import sys, store.keys, store.sealed; print([m for m in sys.modules if m.partition('.')[0] in "
    program += "('keyring', 'cryptography', 'pydantic')])"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "[]"
