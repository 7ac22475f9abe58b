"""The history of all connections: what the runtime records transitions in, and asks after a restart."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from store.codec import MAX_RECORD_BYTES, decode, encode_summary, encode_transition
from store.disk import RealDisk
from store.errors import RecordTooLarge
from store.framing import RECORD_BYTES
from store.journal import Dropped, Journal
from store.ledger import Ledger
from store.limits import Limits
from store.records import SessionSummary, TransitionRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from store.disk import Disk
    from store.errors import DiskError
    from store.segments import Damage, Quarantined


@dataclass(frozen=True, slots=True)
class Receipt:
    """What opening the history found, and what became of its older parts since.

    Attributes:
        segments: segments that count.
        records: records replayed.
        skipped: of these, how many could not be understood; they stay on disk.
        quarantined: torn tails cut off dead writers' segments, with the copies of their bytes.
        damaged: segments with damage before their end, left whole; what stands in front of it was replayed.
        too_new: segments of a later version, left alone and not read.
        torn: segments with a torn tail left in place: being written just now, or opened read-only, or no
            copy could be made.
        dropped: what was removed to keep the journal small.
        oldest_seq: the journal's lowest sequence number still on disk, None if it is empty. Numbers start
            at 1, so anything above says that older records are gone.
        forgotten: sessions, the oldest, that found no room in memory or in the last checkpoint.
    """

    segments: int
    records: int
    skipped: int
    quarantined: tuple[Quarantined, ...]
    damaged: tuple[Damage, ...]
    too_new: tuple[Path, ...]
    torn: tuple[Path, ...]
    dropped: Dropped
    oldest_seq: int | None
    forgotten: int


class History:
    """Transitions, durable; and per session what they amount to, in memory.

    All methods may be called from any thread. `record` never waits for the disk, not even for a
    `commit` under way in another thread: a transition recorded meanwhile is in the next one. Several
    processes may use one directory at the same time.
    """

    def __init__(self, data_dir: Path, disk: Disk, *, read_only: bool, limits: Limits) -> None:
        """Use `open`."""
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._limits = limits
        self._replayed = 0
        self._skipped = 0
        self._left_out = 0  # of the last checkpoint
        self._journal = Journal(
            data_dir,
            disk,
            lock=self._lock,
            replay=self._replay,
            salvage=self._salvage,
            checkpoint=self._checkpoint,
            read_only=read_only,
            limits=limits,
        )

    @classmethod
    def open(
        cls,
        data_dir: Path,
        *,
        disk: Disk | None = None,
        read_only: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Read all that is there; torn tails of dead writers are put in quarantine on the way.

        Args:
            data_dir: made if it is not there and `read_only` is false.
            disk: the calls to make; None for the operating system's.
            read_only: change nothing on disk; `record` then raises.
            limits: sizes to keep to; None for the usual ones.

        Raises:
            StoreUnreadable: the directory cannot be read, or is none.
            StoreReadOnly: it cannot be written; open it with `read_only` to look at it.
        """
        return cls(data_dir, disk or RealDisk(), read_only=read_only, limits=limits or Limits())

    @property
    def receipt(self) -> Receipt:
        """What was found at opening, and what was dropped since."""
        reader = self._journal.reader
        return Receipt(
            segments=sum(known.good > 0 for known in tuple(reader.known.values())),
            records=self._replayed,
            skipped=self._skipped,
            quarantined=tuple(reader.quarantined),
            damaged=tuple(reader.damaged.values()),
            too_new=tuple(reader.too_new.values()),
            torn=tuple(reader.torn.values()),
            dropped=self._journal.dropped,
            oldest_seq=self._journal.oldest_seq,
            forgotten=self._ledger.forgotten + self._left_out,
        )

    @property
    def pending(self) -> int:
        """How many transitions are recorded but not durable."""
        return self._journal.pending

    @property
    def lost(self) -> int:
        """How many transitions were given up before they were durable, because too many waited.

        Their sessions' summaries know them all the same.
        """
        return self._journal.lost

    @property
    def trouble(self) -> DiskError | None:
        """The newest refusal of the disk, even where `commit` then succeeded in a fresh segment."""
        return self._journal.trouble

    def sessions(self) -> list[SessionSummary]:
        """Return a summary of every session, the newest first."""
        with self._lock:
            return self._ledger.sessions()

    def last(self, image: str) -> SessionSummary | None:
        """Return the summary of the image's last session, None if it has none."""
        with self._lock:
            return self._ledger.last(image)

    def next_seq(self, image: str) -> int:
        """Return the number to record the image's next transition under; the first is 1."""
        with self._lock:
            return self._ledger.next_seq(image)

    def transitions(self, image: str | None = None) -> Iterator[TransitionRecord]:
        """Read transitions from disk again, in the order in which they were made durable.

        Order is by segment, then position: within one process exact; of processes writing at the same
        time, the one that started to write first comes first. What was not committed is not included.

        Args:
            image: only this image's.

        Raises:
            StoreUnreadable: the directory cannot be read (any more).
        """
        for payload in self._journal.payloads():
            record = decode(payload)
            if isinstance(record, TransitionRecord) and image in (None, record.image):
                yield record

    def record(self, record: TransitionRecord) -> None:
        """Take a transition; it is durable after the next `commit` that returns. No I/O.

        Raises:
            ValueError: its `at` or `seq` is no number that can be kept.
            RecordTooLarge: its texts are too long together.
            StoreClosed, StoreReadOnly: as it says.
        """
        payload = encode_transition(record)
        if len(payload) > MAX_RECORD_BYTES:
            raise RecordTooLarge(len(payload), MAX_RECORD_BYTES)
        with self._lock:
            self._journal.add(payload)
            self._ledger.fold(record)

    def commit(self) -> None:
        """Make durable what was recorded before this call; return when it is: one write, one sync.

        Raises:
            DiskError: it is not. Everything recorded still waits, and the next commit tries again.
            StoreClosed, StoreReadOnly: as it says.
        """
        self._journal.commit()

    def close(self) -> None:
        """Commit, and let go of the directory; reading what is in memory stays possible.

        Raises:
            DiskError: what still waited is lost. The history is closed all the same.
        """
        self._journal.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _replay(self, payload: bytes) -> None:
        found = decode(payload)
        with self._lock:
            self._replayed += 1
            if found is None:
                self._skipped += 1
            elif isinstance(found, TransitionRecord):
                self._ledger.fold(found)
            else:
                self._ledger.merge(found)

    def _salvage(self, payload: bytes) -> None:
        found = decode(payload)
        if found is not None:
            with self._lock:
                self._ledger.avoid(found.image, found.seq)

    def _checkpoint(self) -> list[bytes]:
        """Return what stands for everything so far, as far as there is room; the lock is held."""
        payloads: list[bytes] = []
        room = self._limits.checkpoint_bytes
        summaries = self._ledger.by_weight()
        for summary in summaries:
            payload = encode_summary(summary)
            room -= len(payload) + RECORD_BYTES
            if room < 0:
                break
            payloads.append(payload)
        self._left_out = len(summaries) - len(payloads)
        return payloads


def default_data_dir() -> Path:
    """Return the platform's directory for this user's data of this program."""
    # Here and not above: a host that names its own directory never needs it.
    import platformdirs  # noqa: PLC0415 -- the reason is above

    return Path(platformdirs.user_data_dir("resilience"))
