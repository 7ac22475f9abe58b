"""What opening a session found, used, replayed, and set aside: told to the user, word for word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from store.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Finding:
    """One file that is not as it should be.

    Attributes:
        file: its name.
        outcome: what is wrong.
        detail: more words.
        kept: where it, or a copy of what was cut off, stands now; None: untouched.
    """

    file: str
    outcome: Outcome
    detail: str = ""
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a session came back.

    Attributes:
        session: its id.
        generation: the snapshot that was used; None: the session is new.
        newest: the highest generation of which anything is there.
        base_revision: the revision of that snapshot.
        revision: after replay.
        replayed: edits that were replayed from logs.
        findings: files that were not as they should be.
        missing: acknowledged revisions that could not be found again; 0 unless files were damaged.
        rolled_back: the user accepted an older state than was acknowledged.
        merged: private copies whose work is in here now.
        from_format: the document's format before it was migrated; None: it was the present one.
    """

    session: str
    generation: int | None = None
    newest: int | None = None
    base_revision: int = 0
    revision: int = 0
    replayed: int = 0
    findings: tuple[Finding, ...] = ()
    missing: int = 0
    rolled_back: bool = False
    merged: tuple[str, ...] = ()
    from_format: int | None = None

    @property
    def clean(self) -> bool:
        """Whether there is nothing a user must know."""
        return not (self.findings or self.missing or self.rolled_back or self.merged)

    def __str__(self) -> str:
        """Say it in one line."""
        if self.generation is None:
            return "a new session"
        words = [f"revision {self.revision}, from generation {self.generation}"]
        if self.replayed:
            words.append(f"{self.replayed} edits replayed")
        words += [
            f"{each.file} is {each.outcome}" + (f", kept as {each.kept.name}" if each.kept else "")
            for each in self.findings
        ]
        if self.missing:
            words.append(f"{self.missing} acknowledged edits are missing")
        if self.rolled_back:
            words.append("an older state was accepted")
        if self.merged:
            words.append(f"{len(self.merged)} private copies merged")
        return "; ".join(words)
