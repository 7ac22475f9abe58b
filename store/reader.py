"""Reading all segments, each record once, and keeping account of what could not be read."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import disk_error, naming
from store.framing import Decoded, Ending
from store.segments import Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from pathlib import Path

    from store.segments import Place, Quarantined, Shelf

# What can be wrong with one file while the rest of the disk and this process are well. Anything else
# (no descriptors left, say) is raised: it must not make a full journal look like an empty one.
ONE_FILE_ERRORS = frozenset({errno.EIO, errno.EACCES, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ELOOP})
CLOSED_TO_US = frozenset({errno.EACCES, errno.EPERM})
"""Of these: whoever owns the file can open it to us, and nothing is wrong with its bytes."""


@dataclass(slots=True)
class Known:
    """What was read of one segment: bytes, records, and the lowest and highest number it may hold."""

    good: int = 0
    records: int = 0
    first_seq: int | None = None
    last_seq: int = 0


class Reader:
    """Hands on every record of every segment, in order of segment, then position.

    A segment is read up to its last whole record. Where damage has valid records behind it, these are
    not replayed: they were found by searching, so what stood between is unknown, and an order with
    holes is no history. They are offered to `salvage`, so that their numbers are not given twice. The
    next segment is replayed again: its own header says where it begins. A commit of many records whose
    later blocks reached the disk before a power cut, and whose earlier ones did not, looks the same and
    is treated the same, although nothing of it was acknowledged.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        mend: bool,
        replay: Callable[[bytes], None],
        salvage: Callable[[bytes], None],
    ) -> None:
        """Touch nothing yet; `mend` allows cutting off the torn tails of dead writers."""
        self.known: dict[int, Known] = {}
        self.quarantined: list[Quarantined] = []
        self.damaged: dict[int, Damage] = {}
        self.too_new: dict[int, Path] = {}
        self.torn: dict[int, Path] = {}
        self.highest_seq = 0
        self._shelf = shelf
        self._mend = mend
        self._replay = replay
        self._salvage = salvage

    @property
    def kept(self) -> set[int]:
        """Segments that are never removed, because they may be all that is left of something."""
        return {*self.damaged, *self.too_new}

    def catch_up(self, skip: Container[int]) -> None:
        """Replay what was not replayed before, except from the segments in `skip`.

        Raises:
            StoreUnreadable: the directory, or this process, is in no state to read.
        """
        for place in self._places():
            known = self.known.get(place.generation)
            if place.generation in skip or (known and known.good == place.size):
                continue
            decoded = self._inspect(place)
            if decoded is not None:
                self._hand_on(place, decoded, known)

    def payloads(self) -> Iterator[bytes]:
        """Read everything from disk again.

        Raises:
            StoreUnreadable: as for `catch_up`.
        """
        for place in self._places():
            decoded = self._load(place.generation)
            for record in place.counted(decoded.records) if decoded else ():
                yield record.payload

    def _places(self) -> list[Place]:
        with naming("read the journal", self._shelf.journal, reading=True):
            return list(self._shelf.survey())

    def _hand_on(self, place: Place, decoded: Decoded, known: Known | None) -> None:
        start = known.good if known else 0
        counted = place.counted(decoded.records)
        for record in counted:
            if record.offset >= start:
                self._replay(record.payload)
        for record in decoded.later:
            self._salvage(record.payload)
        for records in (decoded.records, decoded.later):
            if records:
                self.highest_seq = max(self.highest_seq, records[-1].seq)
        first_seq = decoded.header.first_seq if decoded.header else None
        last_seq = counted[-1].seq if counted else 0
        self.known[place.generation] = Known(decoded.good, len(counted), first_seq, last_seq)

    def _inspect(self, place: Place) -> Decoded | None:
        """Load one segment, mend it if need be, and note what is wrong with it."""
        generation, path = place.generation, self._shelf.path(place.generation)
        decoded = self._load(generation)
        if decoded is not None and decoded.ending is Ending.TORN and self._mend:
            try:
                if mended := self._shelf.mend(generation):
                    self.quarantined.append(mended)
            except OSError:  # no copy, no cut: the tail harms nobody where it is
                pass
            decoded = self._load(generation)
        self.torn.pop(generation, None)
        if decoded is None:
            return None
        if decoded.ending is Ending.TORN:
            self.torn[generation] = path
        elif decoded.ending is Ending.TOO_NEW:
            self.too_new[generation] = path
        elif decoded.ending is Ending.DAMAGED and generation not in self.damaged:
            why = (
                "not what was written here" if decoded.header else "not a segment, or not under its own name"
            )
            self.damaged[generation] = Damage(path, decoded.good, len(decoded.later), why)
        return decoded

    def _load(self, generation: int) -> Decoded | None:
        """Read one segment; None if it is gone, nothing but a note if it alone cannot be read."""
        path = self._shelf.path(generation)
        try:
            return self._shelf.load(generation)
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno not in ONE_FILE_ERRORS:
                raise disk_error("read the journal", path, exc, reading=True) from exc
            why = disk_error("read a segment", path, exc, reading=True)
            self.damaged[generation] = Damage(path, 0, 0, str(why))
            return Decoded(Ending.DAMAGED)
