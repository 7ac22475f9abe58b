"""Small sealed files whose every byte follows from a seed, and the keys to open them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from store.sealed import Expected, FileIdentity, Kind, LogWriter, MasterKey, seal_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SESSION = "5e" * 16
SNAPSHOT = Expected(Kind.SNAPSHOT, SESSION, 3)
EDITS = Expected(Kind.EDITS, SESSION, 3)
TEXT = b'{"format": 1, "unsent_input": "3 + 4"}'
FIRST = 812


def entropy(seed: int = 1) -> Callable[[int], bytes]:
    """Return a source of bytes that can be had again."""
    return Random(seed).randbytes


def master_key(seed: int = 0) -> MasterKey:
    """Return a master key."""
    return MasterKey(f"{seed:016x}", Random(f"key {seed}").randbytes(32))


def among(*keys: MasterKey) -> Callable[[str], MasterKey | None]:
    """Return a look-up of these keys."""
    known = {key.id: key for key in keys}
    return known.get


def identity(expected: Expected, file: int = 0xF1) -> FileIdentity:
    """Return the identity of a file that is what is expected."""
    return FileIdentity(expected.kind, expected.session, expected.generation, f"{file:032x}")


def snapshot(
    text: bytes = TEXT,
    *,
    expected: Expected = SNAPSHOT,
    keys: Sequence[MasterKey] | None = None,
    seed: int = 1,
) -> bytes:
    """Return a whole snapshot."""
    return seal_snapshot(identity(expected), {"title": "Zähler"}, text, keys or [master_key()], entropy(seed))


def log_parts(texts: Sequence[bytes], *, expected: Expected = EDITS, seed: int = 2) -> list[bytes]:
    """Return the head of a log, and each of its records."""
    writer = LogWriter(identity(expected), {"first": FIRST}, [master_key()], entropy(seed))
    return [writer.header, *(writer.seal(FIRST + place, text) for place, text in enumerate(texts))]


def log(texts: Sequence[bytes]) -> bytes:
    """Return a whole log."""
    return b"".join(log_parts(texts))
