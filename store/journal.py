"""The append-only journal: what `commit` returned for is on the medium.

One write and one sync carry everything that waits, however many images moved. A handle whose write
or sync failed is never used again, because a later sync on it may report success for bytes the
kernel has thrown away: what waits is written to a fresh segment, together with a checkpoint.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.disk import write_all
from store.errors import DiskError, RecordTooLarge, StoreClosed, StoreFull, StoreReadOnly, disk_error
from store.framing import (
    MAX_NUMBER,
    MAX_PAYLOAD_BYTES,
    RECORD_BYTES,
    Header,
    encode_header,
    encode_record,
    seed_of,
)
from store.limits import Limits
from store.reader import Known, Reader
from store.reserve import Reserve
from store.segments import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from store.disk import Disk


@dataclass(frozen=True, slots=True)
class Dropped:
    """What made room for newer records, since this journal was opened.

    Attributes:
        segments: how many were removed.
        records: how many records they held, checkpoints included.
        failed: removals the disk refused; tried again later.
    """

    segments: int = 0
    records: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Segment:
    """The segment being appended to; only the committing thread touches it."""

    generation: int
    handle: int
    acknowledged: int = 0  # bytes


class Journal:
    """One process's view of the journal in a data directory.

    `append` may be called from any thread while another is in `commit`; it waits only for `lock`,
    which is never held across I/O. Threads that commit at the same time share one sync.
    A forked child must open its own.

    Attributes:
        lost: records given up before they were durable, because too much waited.
        trouble: the newest refusal of the disk, even if a fresh segment then took the records.
        dropped: what was removed to make room.
        oldest_seq: the lowest sequence number that may still be on disk, None if there is none. Numbers
            start at 1 and go on over restarts, so anything above says that older records are gone.
        reader: what is known of the segments.
    """

    def __init__(
        self,
        data_dir: Path,
        disk: Disk,
        *,
        lock: threading.Lock,
        replay: Callable[[bytes], None],
        salvage: Callable[[bytes], None],
        checkpoint: Callable[[], Iterable[bytes]],
        read_only: bool = False,
        limits: Limits | None = None,
    ) -> None:
        """Read every segment, mending torn tails of dead writers unless `read_only`.

        Args:
            data_dir: holds ``journal`` and ``quarantine``; made unless `read_only`.
            disk: the calls to make.
            lock: guards the buffer, and whatever the caller keeps in step with it: `add` and
                `checkpoint` are called while it is held, so that a checkpoint stands for
                exactly what was replayed or added.
            replay: called for each record in order: at once, and later for what other processes wrote.
                The lock is not held.
            salvage: called for each valid record behind damage, likewise.
            checkpoint: returns payloads that stand for everything so far.
            read_only: change nothing on disk, ever.
            limits: sizes to keep to.

        Raises:
            StoreUnreadable: the directory cannot be read, or is none.
            StoreReadOnly: it cannot be written, and `read_only` is false.
        """
        self.lost = 0
        self.trouble: DiskError | None = None
        self.dropped = Dropped()
        self._lock = lock
        self._io = threading.Lock()  # one committer at a time; taken before `lock`, never after
        self._disk = disk
        self._limits = limits or Limits()
        self._read_only = read_only
        self._checkpoint = checkpoint
        self._shelf = Shelf(disk, data_dir)
        self._reserve = Reserve(disk, data_dir, self._limits.reserve_bytes)
        # Tells this writer's segments from those of others, and decides nothing else, so it may be random.
        self._writer = int.from_bytes(os.urandom(8), "little")
        self._segment: _Segment | None = None
        self._own: dict[int, Known] = {}
        self._pending: list[tuple[int, bytes]] = []
        self._pending_bytes = 0
        self._flying: list[tuple[int, bytes]] = []  # taken by a commit that has not ended
        self._suspect = False  # the last write was refused: start the next segment with a checkpoint
        self._full = False  # ... for want of space: start it without one
        self._closed = False
        self.reader = Reader(self._shelf, mend=not read_only, replay=replay, salvage=salvage)
        self.reader.catch_up(self._own)
        self._next_seq = self.reader.highest_seq + 1
        self.oldest_seq = self._oldest_seq()
        if not read_only:
            self._check_writable()
            with suppress(OSError):  # a full disk hinders no reading, and commits will name it
                self._shelf.make_dirs()
            self._reserve.fill()

    @property
    def pending(self) -> int:
        """How many records are not durable yet."""
        with self._lock:
            return len(self._flying) + len(self._pending)

    def append(self, payload: bytes) -> int:
        """Buffer one record and return its sequence number; no I/O.

        Raises:
            RecordTooLarge: nothing was buffered.
            StoreClosed, StoreReadOnly: as it says.
        """
        with self._lock:
            return self.add(payload)

    def add(self, payload: bytes) -> int:
        """As `append`, for a caller that holds the lock."""
        self._check_open()
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise RecordTooLarge(len(payload), MAX_PAYLOAD_BYTES)
        seq = self._number()
        self._pending.append((seq, payload))
        self._pending_bytes += len(payload) + RECORD_BYTES
        if self._pending_bytes > self._limits.pending_bytes:
            self._trim()
        return seq

    def commit(self) -> None:
        """Make everything appended before this call durable; return when it is.

        Raises:
            DiskError: it is not, not even in a fresh segment. The records still wait, and the next
                commit tries again.
            StoreClosed, StoreReadOnly: as it says.
        """
        with self._io:
            self._check_open()
            self._commit()

    def close(self) -> None:
        """Commit, then give the segment and its lock back; calling it again does nothing.

        Raises:
            DiskError: what still waited is lost. The journal is closed all the same.
        """
        with self._io:
            if self._closed:
                return
            try:
                self._commit()
            finally:
                with self._lock:
                    self._closed = True
                self._leave()

    def payloads(self) -> Iterator[bytes]:
        """Read all records of all segments from disk again, in order of segment, then position.

        Raises:
            StoreUnreadable: the directory cannot be read (any more).
        """
        return self.reader.payloads()

    def _commit(self) -> None:
        with self._lock:
            if not self._pending:  # another thread's commit took them along, or there were none
                return
        if self._attempt() is None:
            return
        # Once more: what refused was left behind, so this goes to a fresh segment.
        if trouble := self._attempt():
            raise trouble

    def _attempt(self) -> DiskError | None:
        """Write and sync what waits; return what the disk says against it."""
        try:
            crowded = self._write()
        except OSError as exc:
            trouble = disk_error("write the journal", self._shelf.journal, exc)
            trouble.__cause__ = exc
            return self._refused(trouble)
        except DiskError as exc:
            return self._refused(exc)
        except BaseException:  # interrupted between write and sync, say: how much was written is not known
            self._retreat(full=False)
            raise
        if crowded:
            self._make_room()
        return None

    def _refused(self, trouble: DiskError) -> DiskError:
        self._retreat(full=isinstance(trouble, StoreFull))
        self.trouble = trouble
        return trouble

    def _write(self) -> bool:
        """Put what waits on the medium; return whether a checkpoint went along to let old segments go."""
        if self._segment is not None and self._outgrown(self._segment):
            self._leave()
        fresh = self._segment is None
        # On a full disk a checkpoint might take the space that the news itself needs.
        crowded = fresh and not self._full and self._crowded()
        if crowded:
            self.reader.catch_up(self._own)
        if fresh:
            self._settle()
        segment = self._segment or self._start()
        records = self._take(checkpoint=crowded or self._suspect)
        seed = seed_of(segment.generation)
        data = b"".join([encode_record(seed, seq, payload) for seq, payload in records])
        if fresh:
            data = encode_header(Header(segment.generation, self._writer, records[0][0])) + data
        write_all(self._disk, segment.handle, data)
        self._disk.sync(segment.handle)
        if fresh:
            self._shelf.sync_names()
            self._disk.sync_dir(self._shelf.journal)
            self._own[segment.generation].first_seq = records[0][0]
            self.oldest_seq = self._oldest_seq()
        self._own[segment.generation].records += len(records)
        segment.acknowledged += len(data)
        with self._lock:
            self._flying = []
        self._full = self._suspect = False
        return crowded

    def _settle(self) -> None:
        """Make durable what was read of others' segments, before anything is built on it.

        A writer that was killed may not have synced what it wrote last: it is there until the next power cut,
        which would then leave our records behind a hole. Whoever began a segment above another's last
        number has seen to that one. Where the disk refuses, a checkpoint goes along with our records.
        """
        begun = max(
            (known.first_seq or 0 for known in (*self.reader.known.values(), *self._own.values())), default=0
        )
        for generation, known in self.reader.known.items():
            if generation in self._own or known.last_seq < begun:
                continue
            try:
                self._shelf.settle(generation)
            except FileNotFoundError:  # another process removed it, so a checkpoint stands for it
                continue
            except OSError:
                self._suspect = True

    def _start(self) -> _Segment:
        """Make a fresh segment."""
        generation, handle = self._shelf.create(max(self._own, default=0))
        self._own[generation] = Known()
        self._segment = _Segment(generation, handle)
        return self._segment

    def _take(self, *, checkpoint: bool) -> list[tuple[int, bytes]]:
        """Take all that waits, and what stands for everything so far behind it.

        Behind, so that on replay the checkpoint's counts are not added to once more, and in the same
        hold of the lock, so that it says nothing about records which are not in front of it.
        """
        with self._lock:
            self._flying, self._pending, self._pending_bytes = self._pending, [], 0
            extra = [(self._number(), payload) for payload in self._checkpoint()] if checkpoint else []
            return self._flying + extra

    def _retreat(self, *, full: bool) -> None:
        """Leave a segment that failed, for ever, and put what it did not take back in line."""
        segment, self._segment = self._segment, None
        if segment is not None:
            if segment.acknowledged:
                with suppress(OSError):
                    self._disk.close(segment.handle)
            elif self._shelf.discard(segment.generation, segment.handle):
                del self._own[segment.generation]
        with self._lock:
            self._pending = self._flying + self._pending
            self._flying = []
            self._pending_bytes = sum(len(payload) + RECORD_BYTES for _, payload in self._pending)
            self._trim()
        self._full = full
        self._suspect = self._suspect or not full
        if full:
            self._reserve.release()

    def _leave(self) -> None:
        """Close the segment; all of it is acknowledged."""
        segment, self._segment = self._segment, None
        if segment is not None:
            with suppress(OSError):
                self._disk.close(segment.handle)

    def _outgrown(self, segment: _Segment) -> bool:
        with self._lock:
            return segment.acknowledged + self._pending_bytes > self._limits.segment_bytes

    def _sizes(self) -> dict[int, int]:
        """Return the segments that may be removed some day."""
        kept = self.reader.kept
        return {
            generation: size for generation, size in self._shelf.sizes().items() if generation not in kept
        }

    def _crowded(self) -> bool:
        sizes = self._sizes()
        too_big = sum(sizes.values()) > self._limits.crowded_bytes
        return too_big or len(sizes) >= self._limits.crowded_segments

    def _make_room(self) -> None:
        """Remove the oldest segments; a durable checkpoint stands for all they say.

        What is refused here takes nothing back from what was acknowledged: the next time tries again.
        """
        segments = records = failed = 0
        with suppress(OSError):
            sizes = self._sizes()
            total, left = sum(sizes.values()), len(sizes)
            for generation, size in sizes.items():
                if total <= self._limits.relaxed_bytes and left <= self._limits.relaxed_segments:
                    break
                if segments:
                    # One removal on the medium before the next is asked for, and none if that is refused:
                    # a power cut must not bring back an older segment than one that stays removed.
                    self._disk.sync_dir(self._shelf.journal)
                try:
                    removed = self._remove(generation, size)
                except FileNotFoundError:  # another process was quicker
                    continue
                except OSError:
                    failed += 1
                    continue
                if removed is not None:
                    total, left = total - size, left - 1
                    segments, records = segments + 1, records + removed.records
        self.oldest_seq = self._oldest_seq()
        self.dropped = Dropped(
            self.dropped.segments + segments, self.dropped.records + records, self.dropped.failed + failed
        )

    def _remove(self, generation: int, size: int) -> Known | None:
        """Remove one segment if the checkpoint covers it; return what was known of it."""
        if self._segment is None or generation >= self._segment.generation:
            return None
        if generation not in self._own:
            known = self.reader.known.get(generation)
            if known is None or known.good != size:  # somebody's new records, or a torn tail nobody mended
                return None
        if not self._shelf.remove(generation, size):
            return None
        return self._own.pop(generation, None) or self.reader.known.pop(generation)

    def _oldest_seq(self) -> int | None:
        known = (*self.reader.known.values(), *self._own.values())
        return min((each.first_seq for each in known if each.first_seq is not None), default=None)

    def _number(self) -> int:
        if self._next_seq > MAX_NUMBER:
            raise DiskError("number a record", self._shelf.journal, errno.EOVERFLOW)
        self._next_seq += 1
        return self._next_seq - 1

    def _trim(self) -> None:
        """Give up the oldest of what waits, as far as it exceeds the limit; never the newest."""
        given_up = 0
        while self._pending_bytes > self._limits.pending_bytes and given_up < len(self._pending) - 1:
            self._pending_bytes -= len(self._pending[given_up][1]) + RECORD_BYTES
            given_up += 1
        del self._pending[:given_up]
        self.lost += given_up

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("use the journal", self._shelf.journal)
        if self._read_only:
            raise StoreReadOnly("write the journal", self._shelf.journal)

    def _check_writable(self) -> None:
        """Ask the nearest directory that exists whether it takes new entries."""
        for directory in (self._shelf.journal, *self._shelf.journal.parents):
            try:
                self._disk.check_writable(directory)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise disk_error("write the journal", directory, exc) from exc
            return
