"""Reasons: what the user must be able to tell apart inside one state."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a connection stands where it stands; shown and journaled as it is written here."""

    NEW = "new"
    FIRST_DIAL = "first dial"
    RESTORING = "reading the session"
    RESTORED = "session restored"
    NO_SESSION = "no usable session stored"
    UNREADABLE = "session cannot be read"
    ANSWERED = "image answered"
    RESTARTED = "image restarted"
    SURVIVED = "link survived"
    DIALLING = "dialling"
    WAITING = "waiting for network"
    ADDRESS_GONE = "our address is gone"
    SILENT = "no sign of life"
    FROZEN = "image process frozen, network fine"
    BUSY = "image busy"
    NOT_ANSWERING = "image not answering, network fine"
    CLOSED = "link closed by the other side"
    REFUSED = "refused: nothing listens there"
    NO_ROUTE = "no route"
    NO_ANSWER = "no answer from the address"
    NAME = "name not resolved"
    OTHER_PROGRAM = "another program answers here"
    MUTE = "accepts, but speaks no ZeroMQ: frozen, or another program"
    OTHER_IMAGE = "another image answers here"
    WRONG_KEY = "wrong key"
    INCOMPATIBLE = "incompatible version"
    WOKE = "woke from sleep"
    NETWORK_CHANGED = "network changed"
    GAVE_UP = "gave up after the time you set"
    GONE = "image gone beyond the retention time"
    EDITED = "unsaved edits"
    SAVED = "all saved"
    BY_USER = "as you asked"
    LOCAL_ERROR = "could not open a link here"


class Cause(StrEnum):
    """How a dial or a link ended, as far as the carrier can tell."""

    CLOSED = "closed"
    REFUSED = "refused"
    NO_ROUTE = "no route"
    NO_ANSWER = "no answer"
    NAME = "name"
    NO_HANDSHAKE = "no handshake"
    PROTOCOL = "protocol"
    ACCESS = "access"
    VERSION = "version"
    SILENT = "silent"
    FROZEN = "frozen"
    LOCAL = "local"


REASON_OF: dict[Cause, Reason] = {
    Cause.CLOSED: Reason.CLOSED,
    Cause.REFUSED: Reason.REFUSED,
    Cause.NO_ROUTE: Reason.NO_ROUTE,
    Cause.NO_ANSWER: Reason.NO_ANSWER,
    Cause.NAME: Reason.NAME,
    Cause.NO_HANDSHAKE: Reason.MUTE,
    Cause.PROTOCOL: Reason.OTHER_PROGRAM,
    Cause.ACCESS: Reason.WRONG_KEY,
    Cause.VERSION: Reason.INCOMPATIBLE,
    Cause.SILENT: Reason.SILENT,
    Cause.FROZEN: Reason.FROZEN,
    Cause.LOCAL: Reason.LOCAL_ERROR,
}
