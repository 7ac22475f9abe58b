"""Durable histories: an append-only journal of transitions, and sessions restored from it.

Importing this is cheap: pydantic is loaded when the first record is parsed, not before.
"""

from store.disk import Disk, RealDisk
from store.errors import (
    DiskError,
    RecordTooLarge,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnreadable,
)
from store.history import History, Receipt, default_data_dir
from store.journal import Dropped
from store.limits import Limits
from store.records import SessionSummary, TransitionRecord
from store.segments import Damage, Quarantined

__all__ = [
    "Damage",
    "Disk",
    "DiskError",
    "Dropped",
    "History",
    "Limits",
    "Quarantined",
    "RealDisk",
    "Receipt",
    "RecordTooLarge",
    "SessionSummary",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnreadable",
    "TransitionRecord",
    "default_data_dir",
]
