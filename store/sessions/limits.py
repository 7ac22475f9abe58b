"""What a session may take on disk, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Sizes in bytes, and counts.

    Three generations and an upgrade backup stay below 1,000,000 bytes:
    3 x (220,000 + 36,000) + 220,000 = 988,000.

    Attributes:
        snapshot_bytes: a sealed snapshot; beyond, the oldest history goes.
        log_bytes: after so much a new generation begins. A single edit may be longer: work is never
            refused for its size.
        kept: generations that are kept, each seen to be true.
    """

    snapshot_bytes: int = 220_000
    log_bytes: int = 36_000
    kept: int = 3
