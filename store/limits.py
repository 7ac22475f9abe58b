"""The sizes that keep the journal small, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, or counts, that keep the journal small.

    A segment starts with at most `pending_bytes` and `checkpoint_bytes`, and one is only started after
    room was made down to `crowded_bytes`: together below 4 MiB on disk. Segments of living processes
    cannot be removed, so several writers at once may go beyond.
    """

    segment_bytes: int = 256 * 1024
    crowded_bytes: int = 2048 * 1024  # from here on a new segment takes a checkpoint, and old ones go,
    relaxed_bytes: int = 1536 * 1024  # down to here, so that checkpoints stay rare
    crowded_segments: int = 256  # every process that writes leaves one, and opening reads them all
    relaxed_segments: int = 192
    pending_bytes: int = 1024 * 1024  # about 3,000 transitions, three for each of 1,000 images
    checkpoint_bytes: int = 768 * 1024  # about 2,000 summaries
    reserve_bytes: int = 64 * 1024  # about 200 transitions after the disk is full
