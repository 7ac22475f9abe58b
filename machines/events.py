"""What can happen to a connection: plain facts, fed with `now` to `Connection.receive`.

Facts about a link carry its generation; a fact of an older generation is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from machines.reasons import Cause


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answered, as far as the image says. Stock images give an uptime at most."""

    image_id: str | None = None
    uptime_s: float | None = None


# -- what the host asks ------------------------------------------------------------


class Ask(StrEnum):
    """Requests of the host that need no further data."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    RETRY = "retry"
    RESTORE = "restore"
    START_FRESH = "start_fresh"
    ADOPT = "adopt"
    ARCHIVE = "archive"
    EDITED = "edited"
    SAVED = "saved"


@dataclass(frozen=True, slots=True)
class Asked:
    """The host asks for something; asking for what the state forbids raises `Refused`."""

    what: Ask


# -- the stored session ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionFound:
    """A stored session of this image exists and is about to be read."""


@dataclass(frozen=True, slots=True)
class SessionRestored:
    """The session is in memory; `identity` is the image it belongs to, if known."""

    identity: Identity = Identity()
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class SessionAbsent:
    """What was found holds no usable session."""


@dataclass(frozen=True, slots=True)
class SessionUnreadable:
    """No generation of the session can be read."""

    detail: str = ""


# -- links ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LookingUp:
    """The dial's host name is being looked up, or has been (`done`): only then does the dial's time run.

    The shell promises an end to every lookup.
    """

    gen: int
    done: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The kernel at the far end accepted the TCP connection. Proves nothing yet."""

    gen: int


@dataclass(frozen=True, slots=True)
class Handshaken:
    """The ZMTP handshake is done."""

    gen: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The image answered a request of ours on this link."""

    gen: int
    identity: Identity = Identity()


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link ended, or never came up."""

    gen: int
    cause: Cause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class InFlight:
    """A request was handed to the link (`busy`), or its slot is free again."""

    gen: int
    busy: bool
    trivial: bool = False
    """An image that is well answers this at once: it was a ping."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody waits any more for what is outstanding on this link, and doing it later would be wrong."""

    gen: int


@dataclass(frozen=True, slots=True)
class Vitals:
    """How an open link looks from the kernel's side.

    `quiet_s` is the age of the last segment of any kind, `data_quiet_s` that of the
    last data: acknowledgements without data mean the network is fine and the
    process at the far end is not.
    """

    gen: int
    quiet_s: float
    data_quiet_s: float
    rtt_s: float = 0.0
    sending: bool = False
    """Bytes of ours are still on their way; the far end may have nothing to say yet."""


class Scouting(StrEnum):
    """What a scout (a bare TCP connect) found."""

    OPEN = "open"
    REFUSED = "refused"
    NO_ROUTE = "no route"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Scouted:
    """A scout came back after `took_s`, or was given up."""

    found: Scouting
    took_s: float = 0.0


# -- the machine we run on -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PathChanged:
    """The way to this image changed: interface, local address, gateway, carrier."""

    usable: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AddressGone:
    """The local address that link `gen` is bound to no longer exists."""

    gen: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PathProven:
    """Another image on the same path was just reached: look now. Told at most twice a second."""


@dataclass(frozen=True, slots=True)
class Woke:
    """This machine was suspended for `slept_s`."""

    slept_s: float


@dataclass(frozen=True, slots=True)
class Stalled:
    """Our own process did not run for `lag_s`; silence during that time means nothing."""

    lag_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """`deadline()` has come."""


Event = (
    Asked
    | SessionFound
    | SessionRestored
    | SessionAbsent
    | SessionUnreadable
    | LookingUp
    | Accepted
    | Handshaken
    | Answered
    | LinkDown
    | InFlight
    | Abandoned
    | Vitals
    | Scouted
    | PathChanged
    | AddressGone
    | PathProven
    | Woke
    | Stalled
    | Tick
)
