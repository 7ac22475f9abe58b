"""When the key file and its copy are lost and the keyring is not: the keys are found by what files name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.keys import entries, keyfile
from store.keys.keyfile import EntryState, KeyEntry, KeyFile, Protection, check_of
from store.keys.vault import VaultError
from store.outcomes import LockedKey, MissingKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from store.keys.keychain import Keychain
    from store.keys.vault import Vault

_WHAT = "find the keys again"


def adopt(keychain: Keychain, vault: Vault, named_elsewhere: Sequence[str]) -> tuple[str, ...]:
    """Write a new key file for the keys that sealed files name and the keyring has; return their ids.

    Args:
        keychain: has no key file.
        vault: the operating system's keyring.
        named_elsewhere: the ids that files name, that of the newest file first: it becomes the active one.

    Raises:
        LockedKey: the keyring cannot be asked now.
        MissingKey: it has none of them.
        Busy, DiskError: as `Keychain.choose`.
    """
    with keychain.changing() as file:
        if file is not None:
            return tuple(entry.id for entry in file.keys)
        secrets: dict[str, bytes] = {}
        try:
            if refusal := vault.usable():
                raise VaultError(refusal)  # noqa: TRY301 -- the same end as any other refusal of a vault
            for key_id in filter(keyfile.is_id, dict.fromkeys(named_elsewhere)):
                secret = entries.secret_of(vault.get(entries.entry_name(key_id)))
                if secret is not None:
                    secrets[key_id] = secret
        except VaultError as exc:
            raise LockedKey(_WHAT, None, str(exc)) from None
        if not secrets:
            raise MissingKey(_WHAT, None, f"the keyring has none of {', '.join(named_elsewhere)}")
        states = [EntryState.ACTIVE, *([EntryState.RETIRED] * (len(secrets) - 1))]
        keys = tuple(
            KeyEntry(key_id, state, check_of(key_id, secret))
            for (key_id, secret), state in zip(secrets.items(), states, strict=True)
        )
        keychain.store(KeyFile(Protection.KEYRING, keys), secrets)
        return tuple(secrets)
