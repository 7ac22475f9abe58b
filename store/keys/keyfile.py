"""The key file: which keys there are, how they are protected, and no secret unless the user wanted that.

It is JSON, replaced as a whole, with an equal copy beside it. The copy is equal and not older on purpose:
an older one would keep a passphrase alive that was changed because somebody knew it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeGuard

from store.errors import naming
from store.keys.passphrase import KEY_BYTES, Stretch
from store.outcomes import Corrupt, TooNew
from store.replace import replace_file
from store.sealed.envelope import HEX, Json, canonical

if TYPE_CHECKING:
    from pathlib import Path

    from store.disk import Disk

NAME = "keys"
COPY = "keys.bak"
FORMAT = 1
MAX_BYTES = 64 * 1024
MAX_KEYS = 64
ID_DIGITS = 16

_WHAT = "read the key file"


class Protection(StrEnum):
    """What stands between the master keys and somebody who has the disk."""

    KEYRING = "keyring"
    PASSPHRASE = "passphrase"  # noqa: S105 -- a word for the choice, not one of them
    INSECURE = "insecure"
    """The keys stand in the key file, for whoever can read it."""
    VOLATILE = "volatile"
    """There are no keys, and nothing is written."""


class EntryState(StrEnum):
    """What a key is used for."""

    ACTIVE = "active"
    INCOMING = "incoming"
    """New files name it beside the active one; it will be the next active one."""
    RETIRED = "retired"
    """Opens old files only."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key, as the file knows it.

    Attributes:
        id: 16 hex digits.
        state: what it is used for.
        check: recognises the secret, and says nothing about it.
        box: the secret, sealed under the passphrase.
        secret: the secret itself; only in an insecure file.
        more: what a later version wrote besides.
    """

    id: str
    state: EntryState
    check: str
    box: bytes | None = field(default=None, repr=False)
    secret: bytes | None = field(default=None, repr=False)
    more: dict[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What the key file says.

    Attributes:
        protection: what the user chose.
        keys: every key that any file may name.
        stretch: how the passphrase is stretched, if there is one.
        more: what a later version wrote besides.
    """

    protection: Protection
    keys: tuple[KeyEntry, ...] = ()
    stretch: Stretch | None = None
    more: dict[str, Json] = field(default_factory=dict, repr=False)

    def entry(self, key_id: str) -> KeyEntry | None:
        """Return what is known of a key."""
        return next((entry for entry in self.keys if entry.id == key_id), None)

    def id_of(self, state: EntryState) -> str | None:
        """Return the key in that state; there is at most one active and one incoming."""
        return next((entry.id for entry in self.keys if entry.state is state), None)


def check_of(key_id: str, secret: bytes) -> str:
    """Return what recognises a secret. Secrets are random, so nobody can guess their way back."""
    return hmac.digest(secret, f"check of {key_id}".encode(), hashlib.sha256)[:16].hex()


def is_id(text: str) -> bool:
    """Tell whether this can be a key's id; what a file's header names may be anything."""
    return len(text) == ID_DIGITS and HEX.issuperset(text)


# -- text ------------------------------------------------------------------------------


def encode(file: KeyFile) -> bytes:
    """Return the file's bytes."""
    fields: dict[str, Json] = {**file.more, "format": FORMAT, "protection": file.protection.value}
    fields["active"] = file.id_of(EntryState.ACTIVE)
    fields["keys"] = [_entry_fields(entry) for entry in file.keys]
    if file.stretch:
        fields["argon2id"] = {
            "salt": _text(file.stretch.salt),
            "memory_kib": file.stretch.memory_kib,
            "iterations": file.stretch.iterations,
            "lanes": file.stretch.lanes,
        }
    return _whole(fields)


def decode(data: bytes, path: Path | None = None) -> KeyFile:
    """Return what the file says.

    Raises:
        TooNew: a later version wrote it.
        Corrupt: it is not what was written.
    """
    # Not raised while an exception with a part of the file is being handled: that would be carried along.
    read = _parsed(data)
    if isinstance(read, int):
        raise TooNew(_WHAT, path, f"format {read}; this version reads up to {FORMAT}")
    if read is None:
        raise Corrupt(_WHAT, path, "it is damaged")
    return read


def _parsed(data: bytes) -> KeyFile | int | None:
    """Return the file, the number of a later format, or None for anything else."""
    if len(data) > MAX_BYTES:
        return None
    try:
        fields = json.loads(data.decode())
        if not isinstance(fields, dict):
            return None
        said, checksum = fields.get("format"), fields.pop("check", None)
        if checksum == _checksum(fields) and data == _whole(fields):
            return said if _is_later(said) else _file(fields)
        if _is_later(said) and checksum != _checksum({**fields, "format": FORMAT}):
            return said  # or else only that number is damaged
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return None


def _is_later(said: Json) -> TypeGuard[int]:
    return isinstance(said, int) and not isinstance(said, bool) and said > FORMAT


def _file(fields: dict[str, Json]) -> KeyFile:
    """Return a file from its JSON object; raises whatever comes."""
    rest = dict(fields)
    said, active, entries = rest.pop("format"), rest.pop("active"), rest.pop("keys")
    protection = Protection(str(rest.pop("protection")))
    argon2id = rest.pop("argon2id", None)
    if said is True or said != FORMAT or not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("shape")
    keys = tuple(_entry(entry) for entry in entries)
    file = KeyFile(protection, keys, None if argon2id is None else _stretch(argon2id), rest)
    states = [entry.state for entry in keys]
    told_apart = len({entry.id for entry in keys}) == len(keys) and states.count(EntryState.INCOMING) <= 1
    if not told_apart or states.count(EntryState.ACTIVE) != (protection is not Protection.VOLATILE):
        raise ValueError("keys")
    if active != file.id_of(EntryState.ACTIVE) or not all(_fits(entry, protection) for entry in keys):
        raise ValueError("keys")
    if (file.stretch is not None) != (protection is Protection.PASSPHRASE):
        raise ValueError("passphrase")
    return file


def _fits(entry: KeyEntry, protection: Protection) -> bool:
    return (entry.secret is not None) == (protection is Protection.INSECURE) and (entry.box is not None) == (
        protection is Protection.PASSPHRASE
    )


def _entry_fields(entry: KeyEntry) -> dict[str, Json]:
    fields: dict[str, Json] = {**entry.more, "id": entry.id, "state": entry.state.value, "check": entry.check}
    if entry.box is not None:
        fields["box"] = _text(entry.box)
    if entry.secret is not None:
        fields["secret"] = _text(entry.secret)
    return fields


def _entry(value: Json) -> KeyEntry:
    if not isinstance(value, dict):
        raise TypeError(value)
    rest = dict(value)
    key_id, check = rest.pop("id"), rest.pop("check")
    state = EntryState(str(rest.pop("state")))
    box, secret = rest.pop("box", None), rest.pop("secret", None)
    if not isinstance(key_id, str) or not is_id(key_id):
        raise ValueError("id")
    if not isinstance(check, str):
        raise TypeError("check")
    clear = None if secret is None else _bytes(secret)
    if clear is not None and (len(clear) != KEY_BYTES or check_of(key_id, clear) != check):
        raise ValueError("secret")
    return KeyEntry(key_id, state, check, None if box is None else _bytes(box), clear, rest)


def _stretch(value: Json) -> Stretch:
    if not isinstance(value, dict):
        raise TypeError(value)
    numbers = [value[name] for name in ("memory_kib", "iterations", "lanes")]
    memory_kib, iterations, lanes = (n for n in numbers if isinstance(n, int) and not isinstance(n, bool))
    stretch = Stretch(_bytes(value["salt"]), memory_kib, iterations, lanes)
    if problem := stretch.problem():
        raise ValueError(problem)
    return stretch


def _checksum(fields: dict[str, Json]) -> str:
    """Return what finds damage. It needs no key and stops nobody who means harm."""
    return hashlib.sha256(canonical(fields)).hexdigest()[:32]


def _whole(fields: dict[str, Json]) -> bytes:
    return canonical({**fields, "check": _checksum(fields)}) + b"\n"


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(value: Json) -> bytes:
    if not isinstance(value, str):
        raise TypeError(value)
    return b64decode(value, validate=True)


# -- disk ------------------------------------------------------------------------------


def read(disk: Disk, data_dir: Path) -> KeyFile | None:
    """Return what the key file says; None if there never was one.

    Raises:
        Corrupt: it is damaged, or gone while its copy is there.
        TooNew: a later version wrote it.
        StoreUnreadable: the disk refused.
    """
    path = data_dir / NAME
    data = _bytes_of(disk, path)
    if data is not None:
        return decode(data, path)
    if _bytes_of(disk, data_dir / COPY) is not None:
        raise Corrupt(_WHAT, path, f"it is gone, and its copy {COPY} is there")
    return None


def write(disk: Disk, data_dir: Path, file: KeyFile) -> None:
    """Replace the key file, then its copy, both durably.

    Raises:
        DiskError: the disk refused; the file is the old one or the new one.
    """
    data = encode(file)
    with naming("write the key file", data_dir / NAME):
        replace_file(disk, data_dir / NAME, data)
        replace_file(disk, data_dir / COPY, data)


def mend_copy(disk: Disk, data_dir: Path, file: KeyFile) -> None:
    """Make the copy equal again if its writer died in between; a disk that refuses is asked another time."""
    with suppress(OSError):
        data = encode(file)
        if _bytes_of(disk, data_dir / COPY) != data:
            replace_file(disk, data_dir / COPY, data)


def restore_copy(disk: Disk, data_dir: Path, aside: Path) -> KeyFile | None:
    """Put the copy in the place of a key file that is damaged or gone; for a repair that was asked for.

    Args:
        disk: the calls to make.
        data_dir: holds both.
        aside: a new name for the damaged file, on the same file system.

    Returns:
        What the copy says; None, and nothing is changed, if there is no true copy.

    Raises:
        DiskError: the disk refused. Ask again: nothing is lost.
    """
    path = data_dir / NAME
    copied = _bytes_of(disk, data_dir / COPY)
    file = _parsed(copied) if copied is not None else None
    if not isinstance(file, KeyFile):
        return None
    with naming("restore the key file", path):
        if _bytes_of(disk, path) is not None:
            disk.rename(path, aside)
            disk.sync_dir(aside.parent)
        replace_file(disk, path, encode(file))
    return file


def _bytes_of(disk: Disk, path: Path) -> bytes | None:
    with naming(_WHAT, path, reading=True):
        try:
            return disk.read(path, MAX_BYTES + 1)
        except FileNotFoundError:
            return None
