"""What a power cut leaves of a file system's tree: files and directories, as seen and as certain.

`LEFTOVERS` names the ways; each says which bytes of a file, and which names of a directory, are found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

BLOCK_BYTES = 4096
SECTOR_BYTES = 512
GARBAGE = b"\xa5"


@dataclass(eq=False)
class File:
    """Bytes, as seen and as certain."""

    mode: int
    seen: bytearray = field(default_factory=bytearray)
    certain: bytes = b""
    certain_mode: int | None = None


@dataclass(eq=False)
class Folder:
    """Names, as seen and as certain."""

    mode: int
    seen: dict[str, File | Folder] = field(default_factory=dict)
    certain: dict[str, File | Folder] = field(default_factory=dict)


# What a cut leaves

Leftover = tuple[Callable[[File], bytes], Callable[[Folder], "dict[str, File | Folder]"]]


def torn(size: int) -> Callable[[File], bytes]:
    """Return what is left if only whole blocks of `size` bytes reached the medium."""

    def left(file: File) -> bytes:
        seen, certain = bytes(file.seen), file.certain
        if not seen.startswith(certain):
            return certain
        return seen[: max(len(certain), len(seen) // size * size)]

    return left


def halved(file: File) -> bytes:
    """Return what is left if half of an append did."""
    seen, certain = bytes(file.seen), file.certain
    return seen[: (len(certain) + len(seen)) // 2] if seen.startswith(certain) else certain


def filled(filling: bytes) -> Callable[[File], bytes]:
    """Return what is left if the length did, and no block that belongs there."""

    def left(file: File) -> bytes:
        seen, certain = bytes(file.seen), file.certain
        return certain + filling * (len(seen) - len(certain)) if seen.startswith(certain) else certain

    return left


def certain_bytes(file: File) -> bytes:
    return file.certain


def seen_bytes(file: File) -> bytes:
    return bytes(file.seen)


def certain_names(folder: Folder) -> dict[str, File | Folder]:
    return folder.certain


def seen_names(folder: Folder) -> dict[str, File | Folder]:
    return folder.seen


def mixed(seed: int) -> Leftover:
    """Return a leftover that tosses for each file and each name."""
    dice = Random(seed)
    kinds = (certain_bytes, seen_bytes, halved, torn(SECTOR_BYTES), filled(b"\0"))

    def names(folder: Folder) -> dict[str, File | Folder]:
        left = dict(folder.certain)
        for name in sorted({*folder.seen, *folder.certain}):
            if folder.seen.get(name) is folder.certain.get(name) or dice.random() < 0.5:
                continue
            if name in folder.seen:
                left[name] = folder.seen[name]
            else:
                del left[name]
        return left

    def data(file: File) -> bytes:
        return dice.choice(kinds)(file)

    return data, names


def newest_removal(folder: Folder) -> dict[str, File | Folder]:
    """Return the names if all that were made arrived, and of those that went only the last one's going."""
    gone = sorted(folder.certain.keys() - folder.seen.keys())
    return folder.seen | {name: folder.certain[name] for name in gone[:-1]}


LEFTOVERS: dict[str, Leftover] = {
    "nothing unsynced": (certain_bytes, certain_names),
    "names, no bytes": (certain_bytes, seen_names),
    "bytes, no names": (seen_bytes, certain_names),
    "whole sectors": (torn(SECTOR_BYTES), seen_names),
    "whole blocks": (torn(BLOCK_BYTES), seen_names),
    "half of it": (halved, seen_names),
    "zeros": (filled(b"\0"), seen_names),
    "garbage": (filled(GARBAGE), seen_names),
    "newest removal": (seen_bytes, newest_removal),
}


def leftover(name: str) -> Leftover:
    """Return one of `LEFTOVERS`, or of ``mixed N`` the N-th."""
    return mixed(int(name.split()[1])) if name.startswith("mixed") else LEFTOVERS[name]


def left_of(root: Folder, how: Leftover) -> Folder:
    """Return what is found after a cut: everything in it is seen and certain."""
    file_bytes, folder_names = how
    made: dict[int, File | Folder] = {}

    def left(entry: File | Folder) -> File | Folder:
        if id(entry) in made:  # under two names, which a rename between them leaves
            return made[id(entry)]
        if isinstance(entry, File):
            data = file_bytes(entry)
            made[id(entry)] = file = File(entry.mode, bytearray(data), data)
            return file
        names = {name: left(below) for name, below in folder_names(entry).items()}
        made[id(entry)] = folder = Folder(entry.mode, names, dict(names))
        return folder

    found = left(root)
    assert isinstance(found, Folder)
    return found


def digest(folder: Folder) -> str:
    """Return a name for all that is seen below a folder."""
    found = hashlib.sha256()
    for name, entry in sorted(folder.seen.items()):
        inside = digest(entry) if isinstance(entry, Folder) else hashlib.sha256(entry.seen).hexdigest()
        found.update(f"{len(name)} {name} {type(entry).__name__} {inside};".encode())
    return found.hexdigest()
