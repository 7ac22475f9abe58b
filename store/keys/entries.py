"""The master keys' entries in a vault: made once, read back, compared, and never written over.

What an entry is called follows from the key's id alone, which every sealed file names: so the keys are found
again even if the key file is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.keys.keyfile import check_of
from store.keys.passphrase import KEY_BYTES
from store.keys.states import KeyChoiceRefused
from store.keys.vault import VaultDenied, VaultError, VaultLocked
from store.outcomes import LockedKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.keys.keyfile import KeyEntry
    from store.keys.vault import Vault


class Found(NamedTuple):
    """What a vault had.

    Attributes:
        secrets: the keys that are there and true, by id.
        gone: the ids of entries that are not there.
        false: the ids of entries that hold something else.
    """

    secrets: dict[str, bytes]
    gone: tuple[str, ...]
    false: tuple[str, ...]


def entry_name(key_id: str) -> str:
    """Return what a key's entry is called."""
    return f"session-key-{key_id}"


def secret_of(text: str | None) -> bytes | None:
    """Return the secret an entry holds; None if it is none."""
    try:
        secret = bytes.fromhex(text or "")
    except ValueError:
        return None
    return secret if len(secret) == KEY_BYTES else None


def find(vault: Vault, entries: Iterable[KeyEntry]) -> Found:
    """Ask for every key.

    Raises:
        VaultError: one could not be asked for, or nobody may ask.
    """
    if refusal := vault.usable():
        # Not asked at all: what stores nothing answers as if it had lost everything.
        raise VaultError(refusal)
    secrets: dict[str, bytes] = {}
    gone: list[str] = []
    false: list[str] = []
    for entry in entries:
        text = vault.get(entry_name(entry.id))
        secret = secret_of(text)
        if text is None:
            gone.append(entry.id)
        elif secret is None or check_of(entry.id, secret) != entry.check:
            false.append(entry.id)
        else:
            secrets[entry.id] = secret
    return Found(secrets, tuple(gone), tuple(false))


def keep(vault: Vault, key_id: str, secret: bytes) -> None:
    """Make an entry unless it is there already, read it back, and compare.

    Raises:
        LockedKey: the vault waits for somebody, or somebody said no.
        KeyChoiceRefused: it cannot be used, or gives back something else.
    """
    name = entry_name(key_id)
    try:
        if refusal := vault.usable():
            raise KeyChoiceRefused(refusal)
        there = vault.get(name)
        if there is None:
            vault.set(name, secret.hex())
            there = vault.get(name)
    except (VaultLocked, VaultDenied) as exc:
        raise LockedKey("put a key into the keyring", None, str(exc)) from None
    except VaultError as exc:
        raise KeyChoiceRefused(str(exc)) from None
    if secret_of(there) != secret:
        raise KeyChoiceRefused("the keyring does not give back what it was given")


def drop(vault: Vault, key_id: str) -> bool:
    """Delete an entry that nothing names any more; return whether it is gone. One that stays does no harm."""
    try:
        if vault.usable():
            return False
        vault.delete(entry_name(key_id))
    except VaultError:
        return False
    return True
