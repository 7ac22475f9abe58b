"""In which states the keys of a data directory can be, and what it looks like when a choice is refused."""

from __future__ import annotations

from enum import StrEnum

from store.errors import StoreError

ELSEWISE = "Choose `passphrase`, `volatile` or `insecure`."


class KeyState(StrEnum):
    """Whether keys can be used."""

    READY = "ready"
    LOCKED = "locked"
    """They exist, and nobody has unlocked them yet."""
    UNDECIDED = "undecided"
    """There are none: the user has to choose how they shall be protected."""
    VOLATILE = "volatile"
    """The user chose that nothing is kept."""
    MISSING = "missing"
    """The keyring no longer has the entry."""


class KeyChoiceRefused(StoreError):  # noqa: N818 -- a condition the user sees and clears, named as one
    """The keyring cannot be used, or another protection would give up keys that files need."""

    def __init__(self, why: str, advice: str = ELSEWISE) -> None:
        """Keep the reason and what to do."""
        super().__init__("set up the keys")
        self.args = (why, advice)
        self.why = why
        self._advice = advice

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return self._advice

    def __str__(self) -> str:
        """Say what failed, why, and what to do."""
        return f"Cannot {self.what}: {self.why}. {self.advice}"
