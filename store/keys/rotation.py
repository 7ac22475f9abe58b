"""Changing to a new master key, so that a crash at any step leaves every file openable.

The order carries the promise: the new key is safe before anything names it; files name both before the old
one retires; and the old one is forgotten when no file names it any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from store.keys import keyfile
from store.keys.keyfile import EntryState, KeyEntry, KeyFile, check_of
from store.keys.passphrase import KEY_BYTES
from store.keys.states import KeyChoiceRefused
from store.outcomes import LockedKey, MissingKey

if TYPE_CHECKING:
    from collections.abc import Collection

    from store.keys.keychain import Keychain

_ROTATE = "rotate the keys"


def begin(keychain: Keychain) -> str:
    """Make a new key and list it as incoming; return its id. Goes on with one that is there already.

    Raises:
        LockedKey: the keys are not unlocked, or there are none.
        KeyChoiceRefused, Busy, DiskError: as `Keychain.choose`.
    """
    keychain.active()
    with keychain.changing() as file:
        known, secrets = _known(keychain, file), keychain.secrets()
        keys = known.keys
        if incoming := known.id_of(EntryState.INCOMING):
            if incoming in secrets:
                return incoming
            # The keyring lost it. Files may name it, beside one that is there: it stays on the list.
            keys = _moved(keys, {EntryState.INCOMING: EntryState.RETIRED})
        if len(keys) >= keyfile.MAX_KEYS:
            raise KeyChoiceRefused(f"there are {len(keys)} keys already", "Forget keys that no file names.")
        secret = keychain.entropy(KEY_BYTES)
        key_id = keychain.entropy(keyfile.ID_DIGITS // 2).hex()
        if known.entry(key_id):  # one in 2**64, or entropy that is none
            raise KeyChoiceRefused(
                "the source of randomness repeats itself", "Repair it before anything else."
            )
        keys = (*keys, KeyEntry(key_id, EntryState.INCOMING, check_of(key_id, secret)))
        secrets[key_id] = secret
        keychain.store(keychain.protected(known.protection, keys, secrets), secrets)
        return key_id


def finish(keychain: Keychain) -> str | None:
    """Make the incoming key the active one; return the id of the one that retires, None if there is none.

    To be called when every file names the incoming key.

    Raises:
        LockedKey: the keys are not unlocked.
        MissingKey: the keyring lost the incoming key; `begin` makes another.
        Busy, DiskError: as `Keychain.choose`.
    """
    with keychain.changing() as file:
        known = _known(keychain, file)
        incoming, old = known.id_of(EntryState.INCOMING), known.id_of(EntryState.ACTIVE)
        if incoming is None:
            return None
        if keychain.key(incoming) is None:
            raise MissingKey(_ROTATE, None, f"key {incoming} is not in the keyring")
        becomes = {EntryState.INCOMING: EntryState.ACTIVE, EntryState.ACTIVE: EntryState.RETIRED}
        keychain.store(replace(known, keys=_moved(known.keys, becomes)), keychain.secrets())
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
        raise LockedKey(_ROTATE, None, keychain.why)
    return file


def _moved(keys: tuple[KeyEntry, ...], becomes: dict[EntryState, EntryState]) -> tuple[KeyEntry, ...]:
    return tuple(replace(entry, state=becomes.get(entry.state, entry.state)) for entry in keys)
