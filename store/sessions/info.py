"""What can be told of a session without any key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.sealed import peek

if TYPE_CHECKING:
    from store.sessions.names import SessionFile


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What can be told of a session without any key; written there by whoever had one.

    Attributes:
        session: its id.
        image: the image's key, such as ``"10.0.0.2:5555"``.
        endpoint: where it was dialled.
        generation: its newest snapshot's.
        revision: that snapshot's; a log may lead further.
        at: wall clock of that snapshot, seconds since 1970.
        size: bytes of all its files.
        fork_of: the session this is a private copy of.
        archived: whether somebody put it away.
        readable: whether the newest snapshot's header can be read.
    """

    session: str
    image: str = ""
    endpoint: str = ""
    generation: int = 0
    revision: int = 0
    at: float = 0.0
    size: int = 0
    fork_of: str | None = None
    archived: bool = False
    readable: bool = False


def described(file: SessionFile, head: bytes) -> SessionInfo:
    """Return what the beginning of a snapshot says."""
    header = peek(head)
    if header is None:
        return SessionInfo(file.session, generation=file.generation)
    about = header.about
    fork_of = about.get("fork_of")
    revision, at = about.get("revision"), about.get("at")
    return SessionInfo(
        file.session,
        str(about.get("image", "")),
        str(about.get("endpoint", "")),
        file.generation,
        revision if isinstance(revision, int) else 0,
        float(at) if isinstance(at, int | float) else 0.0,
        fork_of=fork_of if isinstance(fork_of, str) else None,
        readable=True,
    )
