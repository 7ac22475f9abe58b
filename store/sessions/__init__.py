"""Sessions on disk: snapshots and logs of edits, one writer each, found again after whatever happened."""

from store.sessions.info import SessionInfo
from store.sessions.lease import Lease, Owner, this_process
from store.sessions.limits import SessionLimits
from store.sessions.names import Places
from store.sessions.receipt import Finding, Receipt
from store.sessions.recovery import Recovered, Recovery
from store.sessions.session import Session
from store.sessions.shelf import Sessions

__all__ = [
    "Finding",
    "Lease",
    "Owner",
    "Places",
    "Receipt",
    "Recovered",
    "Recovery",
    "Session",
    "SessionInfo",
    "SessionLimits",
    "Sessions",
    "this_process",
]
