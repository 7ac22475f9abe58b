"""The master keys of one data directory: where they are kept, and when they may be used.

Opening reads the key file and nothing else, so that it can happen on the way to a first screen. Unlocking
may ask the user or the operating system, and happens when somebody needs a key.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from store.errors import DiskError, StoreError, StoreReadOnly, naming
from store.keys import entries, keyfile
from store.keys.keyfile import EntryState, KeyEntry, KeyFile, Protection, check_of
from store.keys.passphrase import (
    KEY_BYTES,
    SALT_BYTES,
    Cost,
    Stretch,
    Stretched,
    StretchError,
    stretched,
)
from store.keys.states import KeyChoiceRefused, KeyState
from store.keys.vault import Vault, VaultError
from store.outcomes import Busy, LockedKey, MissingKey, WrongKey
from store.sealed.sealing import MasterKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from store.disk import Disk

LOCK = "keys.lease"
"""Held while the key file is changed; never unlinked, or two might hold it."""

_UNLOCK = "unlock the keys"
_CHOOSE = "set up the keys"


class Keychain:
    """The keys of one data directory.

    Not for several threads at once. Several processes may have one each: changes are made under a lock,
    and `wraps_for_new_files` looks whether another process made one.

    Attributes:
        state: whether keys can be used.
        why: the state in words for the user.
        entropy: gives random bytes.
    """

    def __init__(
        self,
        data_dir: Path,
        disk: Disk,
        vault: Vault,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        read_only: bool = False,
        cost: Cost | None = None,
    ) -> None:
        """Read the key file, and only that; see `open`."""
        self._data_dir = data_dir
        self._disk = disk
        self._vault = vault
        self.entropy = entropy
        self._read_only = read_only
        self._cost = cost or Cost()
        self._secrets: dict[str, bytes] = {}
        self._stretched: dict[Stretch, Stretched] = {}
        self._file = keyfile.read(disk, data_dir)
        self._read_state()

    @classmethod
    def open(
        cls,
        data_dir: Path,
        disk: Disk,
        vault: Vault,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        read_only: bool = False,
        cost: Cost | None = None,
    ) -> Keychain:
        """Read the key file, and only that: no keyring is asked, and nothing is stretched.

        Args:
            data_dir: holds the key file, and exists.
            disk: the calls to make.
            vault: the operating system's keyring.
            entropy: gives random bytes.
            read_only: change nothing, here or in the vault.
            cost: what a new passphrase will cost.

        Raises:
            Corrupt: the key file is damaged; nothing is changed.
            TooNew: a later version wrote it.
            StoreUnreadable: the disk refused.
        """
        return cls(data_dir, disk, vault, entropy=entropy, read_only=read_only, cost=cost)

    def __repr__(self) -> str:
        """Say what may be said."""
        return f"<Keychain {self.state}, {self.protection}, active {self.active_id}>"

    @property
    def protection(self) -> Protection | None:
        """What the user chose; None while undecided."""
        return self._file.protection if self._file else None

    @property
    def active_id(self) -> str | None:
        """The id of the key that new files use."""
        return self._file.id_of(EntryState.ACTIVE) if self._file else None

    @property
    def incoming_id(self) -> str | None:
        """The id of the key that will be the active one, while keys are rotated."""
        return self._file.id_of(EntryState.INCOMING) if self._file else None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys the key file knows, whether they can be used or not."""
        return tuple(entry.id for entry in self._file.keys) if self._file else ()

    # -- using keys ------------------------------------------------------------------------

    def key(self, key_id: str) -> MasterKey | None:
        """Return a key; None if the key file does not know it, or its secret is gone.

        Raises:
            LockedKey: they are not unlocked.
        """
        if self.state is KeyState.LOCKED:
            raise LockedKey("use a key", self._path, self.why)
        secret = self._secrets.get(key_id)
        return None if secret is None else MasterKey(key_id, secret)

    def active(self) -> MasterKey:
        """Return the key that new files use.

        Raises:
            LockedKey: the keys are not unlocked, or there are none yet.
            MissingKey: the keyring no longer has it.
        """
        key = self.key(self.active_id) if self.active_id else None
        if key is None:
            kind = MissingKey if self.state is KeyState.MISSING else LockedKey
            raise kind("use a key", self._path, self.why)
        return key

    def wraps_for_new_files(self) -> tuple[MasterKey, ...]:
        """Return the keys a new file must name: the active one, and the incoming one while there is one.

        Looks at the key file again, because another process may be rotating the keys.

        Raises:
            SessionError: as `active`, or as `unlock` if there are new keys.
        """
        self.refresh()
        incoming = self.key(self.incoming_id) if self.incoming_id else None
        return (self.active(), incoming) if incoming else (self.active(),)

    def refresh(self) -> None:
        """Take over what another process did to the keys.

        Raises:
            SessionError: as `open`; or as `unlock` if keys were unlocked and there is a new active one.
        """
        file = keyfile.read(self._disk, self._data_dir)
        if file == self._file:
            return
        was_ready, self._file = self.state is KeyState.READY, file
        known = {entry.id: entry.check for entry in file.keys} if file else {}
        self._secrets = {each: secret for each, secret in self._secrets.items() if each in known}
        self._read_state()
        if was_ready and not known.keys() <= self._secrets.keys():
            try:
                self.unlock()
            except LockedKey:
                if self.state is not KeyState.READY:  # or else the active key is still good for everything
                    raise

    # -- unlocking -------------------------------------------------------------------------

    def unlock(self, passphrase: str | None = None) -> None:
        """Load the keys into memory.

        Raises:
            LockedKey: the keyring cannot be asked now, or a passphrase is needed, or nothing is set up.
            MissingKey: the keyring no longer has the active key.
            WrongKey: the passphrase is wrong, or the keyring's entry is another secret.
        """
        file = self._file
        if file is None or file.protection is Protection.VOLATILE:
            return
        if file.protection is Protection.KEYRING:
            self._unlocked_by_vault(file)
        elif file.protection is Protection.PASSPHRASE:
            self._unlocked_by_passphrase(file, passphrase)
        else:
            self._secrets = {entry.id: entry.secret for entry in file.keys if entry.secret is not None}
            self._read_state()
        if not self._read_only:
            keyfile.mend_copy(self._disk, self._data_dir, file)

    def lock(self) -> None:
        """Forget the keys; Python gives no promise about the memory they were in."""
        self._secrets = {}
        self._stretched = {}
        self._read_state()

    def _unlocked_by_vault(self, file: KeyFile) -> None:
        try:
            found = entries.find(self._vault, file.keys)
        except VaultError as exc:
            raise self._locked(str(exc)) from None
        self._secrets = found.secrets
        self._read_state()
        if self.active_id in found.gone:
            self.state, self.why = (
                KeyState.MISSING,
                f"the keyring has no {entries.entry_name(self.active_id)}",
            )
            raise MissingKey(_UNLOCK, self._path, self.why)
        if self.active_id in found.false:
            self.why = f"the keyring's {entries.entry_name(self.active_id)} is another secret"
            raise WrongKey(_UNLOCK, self._path, self.why)

    def _unlocked_by_passphrase(self, file: KeyFile, passphrase: str | None) -> None:
        stretch = file.stretch
        if stretch is None:  # the key file is checked for it
            raise self._locked("no passphrase was set")
        opener = self._stretched.get(stretch)
        if passphrase:
            try:
                opener = stretched(passphrase, stretch)
            except StretchError as exc:
                raise self._locked(str(exc)) from None
        if opener is None:
            raise self._locked("the passphrase is needed")
        found: dict[str, bytes] = {}
        for entry in file.keys:
            secret = opener.open(entry.id, entry.box or b"")
            if secret is None or check_of(entry.id, secret) != entry.check:
                raise WrongKey(_UNLOCK, self._path, f"the passphrase does not open key {entry.id}")
            found[entry.id] = secret
        self._secrets = found
        self._stretched = {stretch: opener}
        self._read_state()

    def _locked(self, why: str) -> LockedKey:
        self.why = why
        return LockedKey(_UNLOCK, self._path, why)

    # -- choosing --------------------------------------------------------------------------

    def choose(
        self, protection: Protection, passphrase: str | None = None, named_elsewhere: Collection[str] = ()
    ) -> None:
        """Set up the keys, or protect those there are in another way.

        Args:
            protection: how.
            passphrase: for `Protection.PASSPHRASE`.
            named_elsewhere: the ids of keys that sealed files name.

        Raises:
            MissingKey: files name keys that the key file does not know: it is not the one it was, and a new
                key now would bury them.
            LockedKey, WrongKey: there are keys, and they are not unlocked.
            KeyChoiceRefused: the keyring cannot be used, or files would lose their keys.
            Busy: another process changes the keys at this moment, or just did.
            ValueError: the passphrase is empty.
            DiskError: the disk refused; nothing has changed.
        """
        unknown = sorted(set(named_elsewhere) - set(self.key_ids))
        if unknown and protection is not Protection.VOLATILE:
            raise MissingKey(_CHOOSE, self._path, f"files name key {', '.join(unknown)}, which is not here")
        with self.changing() as file:
            if protection is Protection.VOLATILE:
                self._choose_volatile(file)
                return
            if file is not None and file.keys:
                self._unlock_all(file, named_elsewhere)
                keys, secrets = file.keys, self._secrets
            else:
                secret = self.entropy(KEY_BYTES)
                key_id = self.entropy(keyfile.ID_DIGITS // 2).hex()
                keys = (KeyEntry(key_id, EntryState.ACTIVE, check_of(key_id, secret)),)
                secrets = {key_id: secret}
            kept = tuple(entry for entry in keys if entry.id in secrets)
            self.store(self.protected(protection, kept, secrets, passphrase), secrets)

    def _choose_volatile(self, file: KeyFile | None) -> None:
        if file is not None and file.keys:
            raise KeyChoiceRefused(
                "files here are sealed with its keys",
                "Export what you need, then choose another data directory.",
            )
        self.store(KeyFile(Protection.VOLATILE), {})

    def _unlock_all(self, file: KeyFile, named: Collection[str]) -> None:
        if not self._secrets:
            self.unlock()
        lost = sorted({entry.id for entry in file.keys if entry.id not in self._secrets} & set(named))
        if lost:
            raise MissingKey(_CHOOSE, self._path, f"key {', '.join(lost)} cannot be carried over")

    def set_passphrase(self, old: str, new: str) -> None:
        """Protect the same keys with another passphrase; no file is touched.

        Raises:
            WrongKey: `old` is not the passphrase.
            KeyChoiceRefused: there is no passphrase to change.
            ValueError: `new` is empty.
            Busy, DiskError: as `choose`.
        """
        with self.changing() as file:
            if file is None or file.protection is not Protection.PASSPHRASE:
                raise KeyChoiceRefused("there is no passphrase", "Choose the protection `passphrase` first.")
            if not old:
                raise WrongKey(_UNLOCK, self._path, "the passphrase is empty")
            self.unlock(old)
            self.store(self.protected(file.protection, file.keys, self._secrets, new), self._secrets)

    # -- changing, for rotation too --------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[KeyFile | None]:
        """Hold the lock of the key file, and make sure that it is the one that was read.

        Raises:
            StoreReadOnly: nothing may be changed.
            Busy: somebody else holds the lock, or changed the keys since.
            DiskError: the disk refused.
        """
        if self._read_only:
            raise StoreReadOnly("change the keys", self._path)
        path = self._data_dir / LOCK
        with naming("lock the key file", path):
            handle = self._lock_handle(path)
        try:
            with naming("lock the key file", path):
                if not self._disk.lock(handle):
                    raise Busy("change the keys", path, "another process changes them")
            if keyfile.read(self._disk, self._data_dir) != self._file:
                self.refresh()
                raise Busy("change the keys", self._path, "another process has just changed them")
            yield self._file
        finally:
            self._disk.close(handle)

    def _lock_handle(self, path: Path) -> int:
        try:
            return self._disk.create(path)
        except FileExistsError:
            return self._disk.open(path)

    def protected(
        self,
        protection: Protection,
        keys: tuple[KeyEntry, ...],
        secrets: dict[str, bytes],
        passphrase: str | None = None,
    ) -> KeyFile:
        """Return a key file for these keys; their vault entries are made first, read back and compared.

        Raises:
            KeyChoiceRefused: the keyring cannot be used.
            LockedKey: the keyring cannot be asked now.
            ValueError: a passphrase is needed and empty.
        """
        more = self._file.more if self._file else {}
        bare = tuple(replace(entry, box=None, secret=None) for entry in keys)
        if protection is Protection.INSECURE:
            clear = tuple(replace(entry, secret=secrets[entry.id]) for entry in bare)
            return KeyFile(protection, clear, more=more)
        if protection is Protection.KEYRING:
            for entry in bare:
                if entry.id in secrets:  # one that the keyring lost stays on the list: it may come back
                    entries.keep(self._vault, entry.id, secrets[entry.id])
            return KeyFile(protection, bare, more=more)
        opener = self._stretched.get(self._file.stretch) if self._file and self._file.stretch else None
        if passphrase is not None or opener is None:
            try:
                opener = stretched(passphrase or "", self._cost.salted(self.entropy(SALT_BYTES)))
            except StretchError as exc:
                raise KeyChoiceRefused(str(exc)) from None
        boxes = {entry.id: opener.seal(entry.id, secrets[entry.id], self.entropy) for entry in bare}
        self._stretched[opener.how] = opener
        return KeyFile(protection, tuple(replace(e, box=boxes[e.id]) for e in bare), opener.how, more)

    def store(self, file: KeyFile, secrets: dict[str, bytes]) -> None:
        """Make the key file durable, then go by it; only under `changing`."""
        try:
            keyfile.write(self._disk, self._data_dir, file)
        except DiskError:
            # It is the old one or the new one, and in the new one's case its keys must not be forgotten.
            self._secrets = {**secrets, **self._secrets}
            with suppress(StoreError):
                self.refresh()
            raise
        self._file = file
        self._secrets = {entry.id: secrets[entry.id] for entry in file.keys if entry.id in secrets}
        self._read_state()

    def secrets(self) -> dict[str, bytes]:
        """Return the unlocked secrets by id: for a rotation, which has to store them again."""
        return dict(self._secrets)

    def vault_forgets(self, key_id: str) -> None:
        """Delete a forgotten key's entry, if there can be one."""
        if self.protection is Protection.KEYRING:
            entries.drop(self._vault, key_id)

    # -- inside ----------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self._data_dir / keyfile.NAME

    def _read_state(self) -> None:
        file = self._file
        if file is None:
            self.state, self.why = KeyState.UNDECIDED, "no protection was chosen yet"
        elif file.protection is Protection.VOLATILE:
            self.state, self.why = KeyState.VOLATILE, "nothing is kept, as you chose"
        elif self.active_id in self._secrets:
            self.state, self.why = KeyState.READY, "the keys are unlocked"
            if file.protection is Protection.INSECURE:
                self.why = "insecure: the keys stand in the key file, for whoever can read it"
        else:
            self.state = KeyState.LOCKED
            self.why = {
                Protection.PASSPHRASE: "the passphrase is needed",
                Protection.INSECURE: "insecure: the keys stand in the key file, and were not read yet",
            }.get(file.protection, "the keyring was not asked yet")
