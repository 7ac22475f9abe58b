"""What the history keeps: transitions, and per session what they amount to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransitionRecord:
    """One transition of one image's connection.

    Attributes:
        image: the image's key, such as ``"10.0.0.2:5555"``.
        endpoint: where it was dialled, such as ``"tcp://10.0.0.2:5555"``.
        session: the session's id, a UUID in hexadecimal.
        seq: number of the transition, per image, growing over restarts; start from `History.next_seq`.
        at: wall clock in seconds since 1970. Shown to people; it decides nothing.
        source: the state left.
        trigger: what happened.
        target: the state entered.
        reason: why, as the user is told.
        detail: more, for whoever looks closely.
        identity: the image's own id, if it gave one.
        dialect: the wire dialect spoken, if one was agreed.
        revision: of the session's document, as far as it was on the medium; 0 if it has none. It stands
            here, outside the document's files, so that an older copy of those is recognised.
    """

    image: str
    endpoint: str
    session: str
    seq: int
    at: float
    source: str
    trigger: str
    target: str
    reason: str
    detail: str = ""
    identity: str | None = None
    dialect: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What the transitions of one session of one image amount to.

    Attributes:
        image, endpoint, session, identity, dialect: as in the last transition; an identity or dialect
            once known is kept until another is.
        seq: of the last transition.
        state: the last state entered.
        reason: of the last transition.
        first_at, last_at: wall clock of the first and last transition seen, in seconds since 1970.
        transitions: how many were seen.
        connected_at: wall clock when a connection last came up, None if none ever did.
        revision: the highest revision of the session's document that was known to be on the medium.
    """

    image: str
    endpoint: str
    session: str
    seq: int
    state: str
    reason: str
    identity: str | None
    dialect: str | None
    first_at: float
    last_at: float
    transitions: int
    connected_at: float | None
    revision: int = 0
