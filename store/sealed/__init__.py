"""Sealed files: authenticated, encrypted, and each saying whose it is.

`envelope` knows the bytes and no key; `sealing` opens them.
"""

from __future__ import annotations

from store.sealed.envelope import Expected, FileIdentity, Header, HeaderProblem, Kind, Wrap, read_header
from store.sealed.sealing import (
    Ending,
    LogRead,
    LogRecord,
    LogWriter,
    MasterKey,
    Opened,
    check_header,
    open_snapshot,
    peek,
    read_log,
    rewrap,
    seal_snapshot,
)

__all__ = [
    "Ending",
    "Expected",
    "FileIdentity",
    "Header",
    "HeaderProblem",
    "Kind",
    "LogRead",
    "LogRecord",
    "LogWriter",
    "MasterKey",
    "Opened",
    "Wrap",
    "check_header",
    "open_snapshot",
    "peek",
    "read_header",
    "read_log",
    "rewrap",
    "seal_snapshot",
]
