"""Giving a file another master key: read, sealed anew in its header, checked, and put in its own place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.errors import naming
from store.outcomes import Corrupt, MissingKey
from store.replace import replace_file
from store.sealed import check_header, peek, rewrap
from store.sealed.envelope import MAX_BOX_BYTES, MAX_HEADER_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from store.disk import Disk
    from store.keys.keychain import Keychain
    from store.sealed import MasterKey

MAX_FILE_BYTES = 2 * (MAX_BOX_BYTES + MAX_HEADER_BYTES)
"""The largest snapshot fits with room to spare, and no log comes near."""

_WHAT = "give a file another key"


def rewrap_file(
    disk: Disk, path: Path, keychain: Keychain, *, add: str | None = None, drop: str | None = None
) -> bool:
    """Add a key to a file nobody is writing, or drop one, or both; return whether anything had to be done.

    A crash leaves the old file or the new one. Nothing is done to a file that is not whole and true in its
    header, or of a later version; the keys it names must then be kept.

    Args:
        disk: the calls to make.
        path: the file.
        keychain: unlocked.
        add: the id of a key it has.
        drop: the id of another.

    Raises:
        SessionError: why the file cannot be opened, or the key that is to be added.
        DiskError: the disk refused.
        ValueError: no key would be left.
    """
    with naming(_WHAT, path, reading=True):
        data = disk.read(path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise Corrupt(_WHAT, path, "it is too large")
    added = None if add is None else keychain.key(add)
    if add is not None and added is None:
        raise MissingKey(_WHAT, path, f"key {add}")
    header = check_header(data, keychain.key, path=path)
    named = {wrap.key for wrap in header.wraps}
    if (add is None or add in named) and drop not in named:
        return False
    new = rewrap(data, added, drop, keychain.key, keychain.entropy, path=path)
    if added is not None:
        _check(new, added, path)
    else:
        check_header(new, keychain.key, path=path)
    with naming(_WHAT, path):
        replace_file(disk, path, new)
    return True


def _check(data: bytes, added: MasterKey, path: Path) -> None:
    """Raise unless the added key opens it, alone: that is what the file will depend on."""
    check_header(data, {added.id: added}.get, path=path)


def named_by(disk: Disk, path: Path) -> tuple[str, ...]:
    """Return the ids of the keys a file names; nothing if it cannot be told.

    Raises:
        DiskError: the disk refused.
    """
    with naming("read which keys a file names", path, reading=True):
        header = peek(disk.read(path, 2 * MAX_HEADER_BYTES))
    return tuple(wrap.key for wrap in header.wraps) if header else ()
