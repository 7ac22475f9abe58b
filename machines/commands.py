"""What a connection wants done; returned by `Connection.receive`, executed in order by the shell."""

from __future__ import annotations

from dataclasses import dataclass

from machines.reasons import Reason
from machines.table import State, Trigger


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a fresh link numbered `gen`; on `fresh_context`, in a fresh ZeroMQ context too."""

    gen: int
    fresh_context: bool = False


@dataclass(frozen=True, slots=True)
class Abort:
    """Close link `gen` so that nothing unsent is ever delivered (RST, not FIN; law 11)."""

    gen: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask the image for an answer on link `gen`, unless a request is outstanding there already."""

    gen: int


@dataclass(frozen=True, slots=True)
class Inspect:
    """Report `Vitals` of link `gen`."""

    gen: int


@dataclass(frozen=True, slots=True)
class Scout:
    """Try a bare TCP connect; report `Scouted` when it comes back or is given up."""

    timeout_s: float


@dataclass(frozen=True, slots=True)
class CallOffScouts:
    """Close every scout still under way."""


@dataclass(frozen=True, slots=True)
class Serve:
    """User requests go to link `gen` from now on; None: they wait in the queue."""

    gen: int | None


@dataclass(frozen=True, slots=True)
class ReadSession:
    """Read the stored session and report what came of it."""


@dataclass(frozen=True, slots=True)
class ArchiveSession:
    """Put the present session away, unsaved edits included, before a new one begins."""


@dataclass(frozen=True, slots=True)
class Announce:
    """A transition: append it to the journal, then tell the host."""

    source: State
    trigger: Trigger
    target: State
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The reason changed and the state did not."""

    reason: Reason
    detail: str = ""


Command = (
    Dial
    | Abort
    | Ping
    | Inspect
    | Scout
    | CallOffScouts
    | Serve
    | ReadSession
    | ArchiveSession
    | Announce
    | Report
)
