"""An image's session as its host sees it: to be looked at, and to be fetched from whoever else has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resilience.errors import UsageError
from resilience.limits import MAX_TIMEOUT_S, TAKE_OVER_TIMEOUT_S
from resilience.sessions.kept import Kept, Standing
from store.documents import copied

if TYPE_CHECKING:
    from resilience.core import ImageCore
    from resilience.sessions.keeper import Keeper
    from store.documents import SessionDocument
    from store.sessions import Receipt


class SessionFace:
    """What is known of one session. Properties are plain looks; `document` checks the whole of it.

    Obtained from `Image.session`. Changes go through `Image.edit`.
    """

    def __init__(self, core: ImageCore, keeper: Keeper) -> None:
        self._core = core
        self._keeper = keeper

    def __repr__(self) -> str:
        """Say what may be said."""
        return f"<session {self.id} of {self._core.key}, {self.standing}, revision {self.revision}>"

    @property
    def _kept(self) -> Kept:
        return self._keeper.of(self._core)

    @property
    def id(self) -> str:
        """32 hexadecimal digits; a private copy has its own."""
        kept = self._kept
        return kept.session.id if kept.session is not None else kept.id

    @property
    def standing(self) -> Standing:
        """Where the document is: open, in memory only, read-only."""
        return self._kept.standing

    @property
    def state(self) -> dict[str, Any]:
        """The document as plain JSON values, to be read only."""
        return copied(self._kept.state)

    @property
    def document(self) -> SessionDocument:
        """The document with its types."""
        from store.documents.model import SessionDocument  # noqa: PLC0415 -- pydantic's models cost 40 ms

        return SessionDocument.model_validate(self._kept.state)

    @property
    def revision(self) -> int:
        """How many edits lead to the document."""
        return self._kept.revision

    @property
    def saved_revision(self) -> int:
        """How many of them survive a power cut."""
        return self._kept.saved

    @property
    def durable(self) -> bool:
        """Whether all of them do, evaluations we recorded included."""
        return self._kept.durable

    @property
    def why_not_durable(self) -> str | None:
        """Why edits do not reach the disk; None if they do, or will within seconds."""
        return self._kept.why_not_durable

    @property
    def receipt(self) -> Receipt | None:
        """How it came back from the disk; None while it has not."""
        return self._kept.receipt

    @property
    def read_only(self) -> bool:
        """Whether it may not be edited here."""
        return self._kept.standing in (Standing.READ_ONLY, Standing.UNREADABLE)

    @property
    def copy_of(self) -> str | None:
        """The session this is a private copy of."""
        return self._kept.copy_of

    @property
    def busy_owner(self) -> str | None:
        """Who else has it open, as far as they say."""
        return self._kept.busy_owner

    async def take_over(self, timeout: float = TAKE_OVER_TIMEOUT_S) -> None:  # noqa: ASYNC109 - as elsewhere
        """Ask whoever has the session open to save it and let it go, and go on with it here.

        Raises:
            Busy: it was not let go within `timeout` seconds.
            SessionError, DiskError: it cannot be used; says why.
            UsageError: the supervisor was closed.
        """
        self._core.check_kept()
        if not 0 <= timeout <= MAX_TIMEOUT_S:
            raise UsageError(
                f"a timeout is at least 0 and at most {MAX_TIMEOUT_S:.0f} seconds, not {timeout}"
            )
        await self._keeper.take_over(self._core, timeout)

    async def private_copy(self) -> None:
        """Go on with a copy of what somebody else has open; it is merged when the session is opened next.

        Raises:
            SessionError, DiskError: it cannot be read, or not be written; says why.
            UsageError: the supervisor was closed.
        """
        self._core.check_kept()
        await self._keeper.private_copy(self._core)
