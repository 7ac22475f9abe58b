"""Changing to a new master key, so that a crash at any step leaves every file openable.

The order carries the promise: the new key is safe before anything names it; files name both before the old
one retires; and the old one is forgotten when no file names it any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from store.keys import keyfile
from store.keys.keychain import KeyChoiceRefused
from store.keys.keyfile import EntryState, KeyEntry, KeyFile, check_of
from store.keys.passphrase import KEY_BYTES
from store.outcomes import LockedKey

if TYPE_CHECKING:
    from collections.abc import Collection

    from store.keys.keychain import Keychain


def begin(keychain: Keychain) -> str:
    """Make a new key and list it as incoming; return its id. Goes on with one that is there already.

    Raises:
        LockedKey: the keys are not unlocked, or there are none.
        KeyChoiceRefused, Busy, DiskError: as `Keychain.choose`.
    """
    keychain.active()
    with keychain.changing() as file:
        known = _known(keychain, file)
        if keychain.incoming_id:
            return keychain.incoming_id
        secret = keychain.entropy(KEY_BYTES)
        key_id = keychain.entropy(keyfile.ID_DIGITS // 2).hex()
        keys = (*known.keys, KeyEntry(key_id, EntryState.INCOMING, check_of(key_id, secret)))
        secrets = {**keychain.secrets(), key_id: secret}
        keychain.store(keychain.protected(known.protection, keys, secrets), secrets)
        return key_id


def finish(keychain: Keychain) -> str | None:
    """Make the incoming key the active one; return the id of the one that retires, None if there is none.

    To be called when every file names the incoming key.
    """
    with keychain.changing() as file:
        known = _known(keychain, file)
        if not keychain.incoming_id:
            return None
        old = keychain.active_id
        becomes = {EntryState.INCOMING: EntryState.ACTIVE, EntryState.ACTIVE: EntryState.RETIRED}
        keys = tuple(replace(entry, state=becomes.get(entry.state, entry.state)) for entry in known.keys)
        keychain.store(replace(known, keys=keys), keychain.secrets())
        return old


def forget(keychain: Keychain, key_id: str, named_elsewhere: Collection[str]) -> None:
    """Remove a retired key, from the key file first and from the vault after.

    Raises:
        KeyChoiceRefused: it is in use, or a file names it.
    """
    with keychain.changing() as file:
        known = _known(keychain, file)
        entry = known.entry(key_id)
        if entry is None:
            return
        if entry.state is not EntryState.RETIRED or key_id in named_elsewhere:
            raise KeyChoiceRefused(f"key {key_id} is in use", "Finish the rotation first.")
        keys = tuple(each for each in known.keys if each.id != key_id)
        keychain.store(replace(known, keys=keys), keychain.secrets())
    keychain.vault_forgets(key_id)


def _known(keychain: Keychain, file: KeyFile | None) -> KeyFile:
    if file is None:
        raise LockedKey("rotate the keys", None, keychain.why)
    return file
