"""What can be wrong with an edit, and with a document."""

from __future__ import annotations

from store.errors import StoreError
from store.outcomes import Corrupt


class BadEdit(StoreError):  # noqa: N818 -- named by what the caller holds
    """An edit that no document can take: the caller's mistake, and nothing was changed.

    Attributes:
        section: which section it names; None if it could not even be read.
        key: which entry of that section, if it names one.
        problem: what is wrong with it, in words. Never shows the text that was edited.
    """

    def __init__(self, section: str | None, key: str | None, problem: str) -> None:
        """Keep the data; the prose is derived from it."""
        super().__init__("record an edit")
        self.args = (section, key, problem)
        self.section = section
        self.key = key
        self.problem = problem

    @property
    def advice(self) -> str:
        """One sentence saying what to do next."""
        return "Correct the edit; the document is as it was."

    def __str__(self) -> str:
        """Say what was to be edited, what is wrong, and what to do."""
        where = "" if self.section is None else f" of {self.section!r}"
        which = "" if self.key is None else f" entry {self.key!r}"
        return f"Cannot record an edit{where}{which}: {self.problem}. {self.advice}"


class BadDocument(Corrupt):
    """Bytes that hold no session document, though whoever sealed them held the key.

    `detail` names the place and what is wrong with it, and never shows what stands there.
    """

    def __init__(self, detail: str) -> None:
        """Keep the data; the prose is derived from it."""
        super().__init__("read the session document", None, detail)
        self.args = (detail,)
