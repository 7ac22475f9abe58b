"""What the lane of sessions does with one session: open it, close it, put it away. Beside the loop."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import StoreError
from store.outcomes import Busy, FilesGone, LockedKey, SessionError, TooNew

if TYPE_CHECKING:
    from store.documents import State
    from store.sessions import Session, Sessions


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which session, and how far it is known to have come.

    Attributes:
        session: its id.
        image, endpoint: whose it is, if it has to be begun.
        generation: go back to this one; None is the newest state.
        acknowledged: the revision that the journal knows to have been saved.
        begin: whether there is none yet.
    """

    session: str
    image: str
    endpoint: str
    generation: int | None = None
    acknowledged: int = 0
    begin: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What became of opening it.

    Attributes:
        session: open for writing; None: not.
        state: its document, where it can be read all the same.
        refusal: why it is not open.
    """

    session: Session | None = None
    state: State | None = None
    refusal: StoreError | None = None

    @property
    def readable(self) -> bool:
        """Whether it can be shown, and must not be changed."""
        return self.state is not None and isinstance(self.refusal, Busy | TooNew)

    @property
    def unreadable(self) -> bool:
        """Whether a person has to decide; everything else passes, or is tried again."""
        return isinstance(self.refusal, SessionError) and not isinstance(
            self.refusal, Busy | TooNew | LockedKey
        )


def open_session(sessions: Sessions, wanted: Wanted) -> Found:
    """Open it, or say why not. Never raises what the store raises on purpose."""
    try:
        if wanted.begin:
            session = sessions.create(wanted.session, wanted.image, wanted.endpoint)
        else:
            session = sessions.open(
                wanted.session, generation=wanted.generation, acknowledged=wanted.acknowledged
            )
    except StoreError as refusal:
        return Found(state=_read(sessions, wanted.session), refusal=refusal)
    if wanted.generation is not None:
        session.skip_to(wanted.acknowledged)  # or the next opening takes what was wanted for a roll-back
    if session.receipt.generation is not None and session.dirty:
        with suppress(StoreError):  # it stays dirty, and is tried again in its time
            session.save()
            sessions.prune(session)
    return Found(session)


def _read(sessions: Sessions, session: str) -> State | None:
    try:
        return sessions.read(session).state
    except StoreError:
        return None


def close_session(sessions: Sessions, session: Session) -> None:
    """Save it, leave one snapshot that says all and no more generations than are kept, and let it go.

    Raises:
        StoreError: what was not saved is lost; it is let go all the same.
    """
    with suppress(StoreError):  # closing says the same again, and then it counts
        session.compact()
        sessions.prune(session)
    session.close(compact=True)


def give_away(sessions: Sessions, session: Session) -> None:
    """As `close_session`, and only if everything could be saved first; then it is let go in any case."""
    session.save()
    with suppress(StoreError):  # the one snapshot that says all, without which the next opening replays
        close_session(sessions, session)


def put_away(sessions: Sessions, session_id: str, session: Session | None) -> None:
    """Save what is open of it, and put its files into the archive; raises `StoreError`."""
    if session is not None:
        close_session(sessions, session)
    sessions.archive(session_id)


def take(sessions: Sessions, wanted: Wanted) -> Found:
    """Open a session that its owner was asked for; the wish is taken back as soon as we have it."""
    found = open_session(sessions, wanted)
    if found.session is not None:
        sessions.stop_asking(wanted.session)
    return found


def tended(sessions: list[Session]) -> list[Session]:
    """Let idle documents rest, and return the sessions that another process asks for."""
    for session in sessions:
        session.tend()
    return [each for each in sessions if each.wanted_elsewhere()]


def missing(wanted: Wanted, sessions: Sessions | None) -> StoreError:
    """Return what is wrong if the journal knows of saved work and there is no file of it."""
    place = sessions.places.sessions if sessions is not None else None
    return FilesGone(
        "open the session", place, f"{wanted.acknowledged} edits were saved, and no file is there"
    )


def in_words(refusal: StoreError) -> str:
    """Return outcome and action in one line that fits a transition's detail: no path, and action first."""
    if isinstance(refusal, SessionError):
        detail = f" ({refusal.detail})" if refusal.detail else ""
        return f"{refusal.outcome}: {refusal.advice}{detail}"
    return str(refusal)
