"""CURVE keys and tokens: one sealed file under the same keys as the sessions, replaced as a whole.

There is an equal copy beside it, sealed on its own, so that one damaged sector does not lock anybody out of
every image. Equal and not older: what was removed must not live on in it.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from store.directories import Directories
from store.errors import StoreError, naming
from store.outcomes import Busy, Corrupt, SessionError
from store.replace import replace_file
from store.sealed import Expected, FileIdentity, Kind, open_snapshot, peek, seal_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from store.disk import Disk
    from store.keys import Keychain

NAME = "credentials"
COPY = "credentials.bak"
LOCK = "credentials.lease"
FORMAT = 1
MAX_BYTES = 1024 * 1024
MAX_NAME_LETTERS = 256
MAX_SECRET_LETTERS = 64 * 1024
"""Of one value: a long JSON web token is a few kilobytes."""

_OPEN = "open the credentials"


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """A client's CURVE key pair, and the public key of the image it talks to; 40 letters of Z85 each.

    Attributes:
        server: the image's public key.
        public: ours.
        secret: ours, shown nowhere.
    """

    server: str
    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """Something an image wants to be told."""

    value: str = field(repr=False)


Credential: TypeAlias = CurveKeys | Token


class BadCredential(StoreError):  # noqa: N818 -- a mistake of the caller, named by what is bad
    """A name or a value that cannot be kept; says which, and never what it was."""

    def __init__(self, why: str) -> None:
        """Keep the reason."""
        super().__init__("keep the credential")
        self.args = (why,)
        self.why = why

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return f"It is {self.why}: give another."

    def __str__(self) -> str:
        """Say what is wrong."""
        return f"Cannot {self.what}: {self.why}."


class Credentials:
    """The credentials of one data directory, by name. Several processes may change them, one at a time."""

    def __init__(self, data_dir: Path, disk: Disk, keychain: Keychain) -> None:
        """Touch nothing yet."""
        self._data_dir = data_dir
        self._disk = disk
        self._keychain = keychain

    def __repr__(self) -> str:
        """Say where, and nothing of what."""
        return f"<Credentials in {self._data_dir}>"

    def names(self) -> list[str]:
        """Return what there is, sorted; raises as `get`."""
        return sorted(self._read())

    def get(self, name: str) -> Credential | None:
        """Return one; None if there is none of that name, or it is of a kind that only later versions know.

        Raises:
            Corrupt: the file and its copy are damaged.
            SessionError: there is no key that opens them; says why.
            StoreUnreadable: the disk does not let us read.
        """
        return _credential(self._read().get(name))

    def set(self, name: str, credential: Credential) -> None:
        """Keep one, in the place of any other of that name; it is on the medium when this returns.

        Raises:
            BadCredential: it cannot be kept.
            Busy: another process changes them at this moment.
            SessionError: as `get`, or there is no key to seal with.
            DiskError: the disk refused; the old ones are still there.
        """
        entry = _fields(name, credential)
        with self.locked():
            entries = self._read_to_change()
            self._write({**entries, name: entry})

    def remove(self, name: str) -> bool:
        """Forget one; return whether it was there. Raises as `set`."""
        with self.locked():
            entries = self._read_to_change()
            there = entries.pop(name, None) is not None
            if there:
                self._write(entries)
            return there

    # -- files -----------------------------------------------------------------------------

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who changes the files.

        Raises:
            Busy: another process does.
            DiskError: the disk refused.
        """
        path = self._data_dir / LOCK
        with naming("lock the credentials", path):
            try:
                handle = self._disk.create(path)
            except FileExistsError:
                handle = self._disk.open(path)
        try:
            with naming("lock the credentials", path):
                ours = self._disk.lock(handle)
            if not ours:
                raise Busy("change the credentials", path, "another process changes them")
            yield
        finally:
            self._disk.close(handle)

    def paths(self) -> list[Path]:
        """Return the files that are there."""
        with naming(_OPEN, self._data_dir, reading=True):
            there = self._disk.listing(self._data_dir)
        return [self._data_dir / name for name in (NAME, COPY) if name in there]

    def _write(self, entries: dict[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, "entries": entries}, ensure_ascii=False).encode()
        if len(text) > MAX_BYTES:
            raise BadCredential("too much together with the others")
        for name in (COPY, NAME):  # so that a removal that was acknowledged is in both
            entropy: Callable[[int], bytes] = self._keychain.entropy
            identity = FileIdentity(Kind.CREDENTIALS, NAME, FORMAT, entropy(16).hex())
            data = seal_snapshot(identity, {}, text, self._keychain.wraps_for_new_files(), entropy)
            with naming("save the credentials", self._data_dir / name):
                replace_file(self._disk, self._data_dir / name, data)

    def _read(self) -> dict[str, Any]:
        try:
            return self._opened(NAME)
        except (FileNotFoundError, Corrupt) as problem:
            try:
                return self._opened(COPY)
            except FileNotFoundError:
                if isinstance(problem, FileNotFoundError):
                    return {}
                raise problem from None

    def _read_to_change(self) -> dict[str, Any]:
        """Read them, and put a damaged file aside before the other takes its place."""
        entries = self._read()
        for path in self.paths():
            try:
                self._opened(path.name)
            except Corrupt:
                with naming("set damaged credentials aside", path):
                    Directories(self._disk, self._data_dir).set_aside(path)
        return entries

    def _opened(self, name: str) -> dict[str, Any]:
        path = self._data_dir / name
        try:
            data = self._disk.read(path, 2 * MAX_BYTES)
        except FileNotFoundError:
            raise
        except OSError as problem:
            with naming(_OPEN, path, reading=True):
                raise problem from None
        plaintext = open_snapshot(
            data, Expected(Kind.CREDENTIALS, NAME, FORMAT), self._keychain.key, path=path
        ).plaintext
        entries: Any = None
        with suppress(ValueError, RecursionError, AttributeError):
            entries = json.loads(plaintext).get("entries")
        if not isinstance(entries, dict):
            raise Corrupt(_OPEN, path, "it holds something else")
        return entries


def is_there(disk: Disk, data_dir: Path) -> bool:
    """Whether any credentials are kept there; needs no key."""
    with suppress(OSError, SessionError):
        return peek(disk.read(data_dir / NAME, 20 * 1024)) is not None
    return False


def _fields(name: str, credential: Credential) -> dict[str, str]:
    if not 0 < len(name) <= MAX_NAME_LETTERS:
        raise BadCredential(f"a name of {len(name)} letters, of {MAX_NAME_LETTERS} at most")
    if isinstance(credential, Token):
        fields = {"kind": "token", "value": credential.value}
    else:
        fields = {
            "kind": "curve",
            "server": credential.server,
            "public": credential.public,
            "secret": credential.secret,
        }
    if any(not 0 < len(value) <= MAX_SECRET_LETTERS for value in fields.values()):
        raise BadCredential(f"a value that is empty or longer than {MAX_SECRET_LETTERS} letters")
    return fields


def _credential(fields: Any) -> Credential | None:
    try:
        if fields["kind"] == "token":
            return Token(str(fields["value"]))
        if fields["kind"] == "curve":
            return CurveKeys(str(fields["server"]), str(fields["public"]), str(fields["secret"]))
    except (KeyError, TypeError):
        pass
    return None
