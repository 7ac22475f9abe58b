"""Session documents: what a session holds, the edits that change it, merging, budgets and migrations.

Pure: no disk, no clock, no randomness. Importing this is cheap; pydantic is loaded with the first check.
"""

from typing import TYPE_CHECKING, Any

from store.documents.document import FORMAT, State, dump, load, new_document
from store.documents.edits import Append, Drop, Edit, Patch, Put, applied, apply, check, decode, encode
from store.documents.errors import BadDocument, BadEdit

if TYPE_CHECKING:
    from store.documents.model import SessionDocument

__all__ = [
    "FORMAT",
    "Append",
    "BadDocument",
    "BadEdit",
    "Drop",
    "Edit",
    "Patch",
    "Put",
    "SessionDocument",
    "State",
    "applied",
    "apply",
    "check",
    "decode",
    "dump",
    "encode",
    "load",
    "new_document",
]


def __getattr__(name: str) -> Any:
    if name == "SessionDocument":
        from store.documents.model import SessionDocument  # noqa: PLC0415 -- pydantic, only when asked for

        return SessionDocument
    raise AttributeError(name)
