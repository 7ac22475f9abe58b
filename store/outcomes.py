"""What may have become of a session's files: named outcomes, each with the one thing to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from store.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


class Outcome(StrEnum):
    """Why a session, or a file of it, cannot be used as it is."""

    CORRUPT = "corrupt"
    ROLLED_BACK = "rolled back"
    REORDERED = "swapped or reordered"
    WRONG_KEY = "wrong key"
    LOCKED_KEY = "locked key"
    MISSING_KEY = "missing key"
    TOO_NEW = "too new"
    BUSY = "busy"
    DISK_FULL = "disk full"
    READ_ONLY = "read-only"


ACTIONS: dict[Outcome, str] = {
    Outcome.CORRUPT: "Run `resilience sessions repair`: damaged files are moved to quarantine, and an older "
    "generation is used.",
    Outcome.ROLLED_BACK: "An older copy was put back: restore the newer files if you have them, or accept "
    "the older state with `resilience sessions repair --accept-rollback`.",
    Outcome.REORDERED: "A file stands under another's name: put the files back under their own names, or run "
    "`resilience sessions repair`, which sets them aside.",
    Outcome.WRONG_KEY: "Give the right passphrase, or put the right key back into the keyring; "
    "`resilience keys status` names it.",
    Outcome.LOCKED_KEY: "Unlock the keyring or give the passphrase; nothing is lost meanwhile.",
    Outcome.MISSING_KEY: "Put the key's entry back into the keyring (from a backup, or the other machine); "
    "`resilience keys status` names it. Nothing is deleted.",
    Outcome.TOO_NEW: "A later version wrote this: install that version. It is left untouched, and "
    "`resilience sessions show` reads it.",
    Outcome.BUSY: "Another process has it open: close that one, open this read-only, or work on a private "
    "copy.",
    Outcome.DISK_FULL: "Free some space there; what is waiting is saved as soon as there is room.",
    Outcome.READ_ONLY: "Make the directory writable, or choose another data directory.",
}
"""The one action for each."""


class SessionError(StoreError):
    """Something about one session, or the keys of all of them.

    Attributes:
        outcome: which of the named outcomes.
        detail: more words, for whoever looks closely; never a secret.
    """

    outcome: ClassVar[Outcome]

    def __init__(self, what: str, path: Path | None = None, detail: str = "") -> None:
        """Keep the data; the prose is derived from it."""
        super().__init__(what, path)
        self.args = (what, path, detail)
        self.detail = detail

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return ACTIONS[self.outcome]

    def __str__(self) -> str:
        """Say what failed, where, why, and what to do."""
        where = f" ({self.path})" if self.path else ""
        detail = f": {self.detail}" if self.detail else ""
        return f"Cannot {self.what}{where}: {self.outcome}{detail}. {self.advice}"


class Corrupt(SessionError):  # noqa: N818 -- outcomes are conditions the user sees, named as such
    """The bytes are not what was written."""

    outcome = Outcome.CORRUPT


class FilesGone(Corrupt):
    """It was saved, and no file of it is there."""

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return (
            "Put its files back (from the quarantine or a backup), import an export of it, or begin a new "
            "one: `Image.start_fresh()`, or `--start-fresh` with `resilience eval` and `watch`."
        )


class RolledBack(SessionError):  # noqa: N818 -- as above
    """Whole and true, but older than what was acknowledged."""

    outcome = Outcome.ROLLED_BACK


class Reordered(SessionError):  # noqa: N818 -- as above
    """Whole and true, but another file's, or in another order."""

    outcome = Outcome.REORDERED


class WrongKey(SessionError):  # noqa: N818 -- as above
    """A key of this name is there and does not fit."""

    outcome = Outcome.WRONG_KEY


class LockedKey(SessionError):  # noqa: N818 -- as above
    """The key is there and may not be used yet."""

    outcome = Outcome.LOCKED_KEY


class MissingKey(SessionError):  # noqa: N818 -- as above
    """The key these files name is nowhere to be found."""

    outcome = Outcome.MISSING_KEY


class TooNew(SessionError):  # noqa: N818 -- as above
    """Written by a later version."""

    outcome = Outcome.TOO_NEW


class Busy(SessionError):  # noqa: N818 -- as above
    """Another process writes it.

    `detail` says who, as far as it told.
    """

    outcome = Outcome.BUSY
