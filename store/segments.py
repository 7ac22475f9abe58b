"""The journal's directory: finding, reading, mending and removing segments.

``<data_dir>/journal/NNNNNNNN.journal`` are the segments, numbered by generation. A segment belongs
to the one process that made it, which holds the kernel's lock on it for as long as it may append;
the lock is how others tell a writer that lives from one that died. Nobody ever appends to a segment
of somebody else.
"""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.directories import Directories
from store.framing import HEADER_BYTES, MAX_NUMBER, Decoded, Ending, decode, decode_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from store.disk import Disk
    from store.framing import Record

MAX_SEGMENT_BYTES = 8 * 1024 * 1024  # twice what the whole journal may take: anything longer is not ours
MAX_GENERATION = 10**12 - 1  # what the name's pattern admits; at one a second, 30,000 years
NAME = re.compile(r"(\d{8,12})\.journal")
# Losing this many races for a name in a row is no race any more.
CREATE_TRIES = 100


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A torn tail that was cut off, and the copy of its bytes made before that."""

    segment: Path
    offset: int
    size: int
    copy: Path


@dataclass(frozen=True, slots=True)
class Damage:
    """A segment that is not what was written; it is left as it is.

    Attributes:
        segment: the file.
        offset: bytes before the damage; what stands in these was replayed.
        later: how many valid records stand behind it. They are not replayed.
        why: what is wrong, in words.
    """

    segment: Path
    offset: int
    later: int
    why: str


@dataclass(frozen=True, slots=True)
class Place:
    """A segment before it is read.

    Attributes:
        generation: its number.
        size: bytes when the directory was listed.
        below: only records with a seq below this count; the rest was written again, by the same writer
            after a failed sync, into a later segment. None: all count.
    """

    generation: int
    size: int
    below: int | None

    def counted(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        """Return those of `records` that no later segment supersedes."""
        if self.below is None or not records or records[-1].seq < self.below:
            return records
        return tuple(record for record in records if record.seq < self.below)


class Shelf:
    """The segments in one data directory. Every method lets `OSError` through."""

    def __init__(self, disk: Disk, data_dir: Path) -> None:
        """Touch nothing yet."""
        self.disk = disk
        self.data_dir = data_dir
        self.journal = data_dir / "journal"
        self._directories = Directories(disk, data_dir)
        self.quarantine = self._directories.quarantine

    def path(self, generation: int) -> Path:
        """Return the file of a segment."""
        return self.journal / f"{generation:08d}.journal"

    def sizes(self) -> dict[int, int]:
        """Return every segment's size in bytes by generation, ascending; empty if there is no directory."""
        try:
            listing = self.disk.listing(self.journal)
        except FileNotFoundError:
            return {}
        found: dict[int, int] = {}
        for name, size in listing.items():
            match = NAME.fullmatch(name)
            if match and self.path(int(match[1])).name == name:
                found[int(match[1])] = size
        return dict(sorted(found.items()))

    def survey(self) -> Iterator[Place]:
        """List the segments in order, having seen all their headers first."""
        sizes = self.sizes()
        first_seqs: dict[int, int] = {}
        places: list[Place] = []
        for generation in reversed(sizes):
            try:
                header = decode_header(self.disk.read(self.path(generation), HEADER_BYTES))
            except OSError:  # reading the whole file will name the fault
                header = None
            below = None
            if header is not None and header.generation == generation:
                below = first_seqs.get(header.writer)
                first_seqs[header.writer] = min(header.first_seq, MAX_NUMBER if below is None else below)
            places.append(Place(generation, sizes[generation], below))
        return reversed(places)

    def load(self, generation: int) -> Decoded:
        """Read one segment; `FileNotFoundError` if it was removed meanwhile."""
        return self._load(generation)[0]

    def make_dirs(self) -> None:
        """Make what is missing of the journal's directory and the way to it."""
        self._directories.make(self.journal)

    def sync_names(self) -> None:
        """Make the names of the directories durable, once per process."""
        self._directories.sync_names()

    def create(self, above: int) -> tuple[int, int]:
        """Make the next segment and lock it.

        Args:
            above: a generation to stay above, even if its file is gone.

        Returns:
            Its generation and the open handle.
        """
        self.make_dirs()
        generation = max([above, *self.sizes()]) + 1
        for candidate in range(generation, generation + CREATE_TRIES):
            if candidate > MAX_GENERATION:
                raise OSError(errno.EOVERFLOW, "the segment numbers are used up")
            try:
                handle = self.disk.create(self.path(candidate))
            except FileExistsError:
                continue
            if self._claim(handle, candidate):
                return candidate, handle
        raise OSError(errno.EAGAIN, "other processes take every segment name first")

    def _claim(self, handle: int, generation: int) -> bool:
        """Lock a file just made; False if somebody was quicker, which costs no more than a name."""
        try:
            # Between making and locking it, another process may have probed the file, found a dead
            # writer, and removed it: then the lock is on a file without a name. Such a name is not
            # given again, because only segments older than somebody's own are ever removed.
            if self.disk.lock(handle) and generation in self.sizes():
                return True
        except OSError:
            self.discard(generation, handle)
            raise
        self.disk.close(handle)
        return False

    def discard(self, generation: int, handle: int) -> bool:
        """Give up a segment of our own in which nothing was ever acknowledged.

        Returns:
            Whether the file is gone. One that stays is superseded by its writer's next segment.
        """
        with suppress(OSError):
            self.disk.close(handle)  # first, because Windows removes closed files only
        try:
            self.disk.unlink(self.path(generation))
        except OSError:
            return False
        return True

    def mend(self, generation: int) -> Quarantined | None:
        """Cut a torn tail off, after copying it to the quarantine.

        Returns:
            What was done; None if the writer lives, or if on a second look nothing is torn.
        """
        handle = self.disk.open(self.path(generation))
        try:
            if not self.disk.lock(handle):
                return None
            # Read again: before the lock was ours, the writer may have been in the middle of a write.
            decoded, data = self._load(generation)
            if decoded.ending is not Ending.TORN:
                return None
            tail = data[decoded.good :]
            copy = self._directories.keep(f"{generation:08d}-{decoded.good}", tail)
            self.disk.truncate(handle, decoded.good)
            self.disk.sync(handle)
            return Quarantined(self.path(generation), decoded.good, len(tail), copy)
        finally:
            self.disk.close(handle)

    def settle(self, generation: int) -> None:
        """Make durable what stands in a segment, whoever wrote it."""
        handle = self.disk.open(self.path(generation))
        try:
            self.disk.sync(handle)
        finally:
            self.disk.close(handle)

    def remove(self, generation: int, size: int) -> bool:
        """Remove a segment if its writer is dead and it is still `size` bytes long."""
        handle = self.disk.open(self.path(generation))
        try:
            if not self.disk.lock(handle) or self.sizes().get(generation) != size:
                return False
            if size < HEADER_BYTES:
                # Its maker may stand between making and locking it; while the lock is ours it cannot
                # take this file for its own (see `_claim`).
                self.disk.unlink(self.path(generation))
                return True
        finally:
            self.disk.close(handle)
        # With a header and without a writer nobody will touch it again. Windows removes closed files only.
        self.disk.unlink(self.path(generation))
        return True

    def _load(self, generation: int) -> tuple[Decoded, bytes]:
        data = self.disk.read(self.path(generation), MAX_SEGMENT_BYTES + 1)
        if len(data) > MAX_SEGMENT_BYTES:
            return Decoded(Ending.DAMAGED), data
        return decode(data, generation), data
