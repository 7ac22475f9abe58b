"""Session documents: what a session holds, the edits that change it, merging, budgets and migrations.

Pure: no disk, no clock, no randomness. Importing this is cheap; pydantic is loaded with the first check.
"""

from typing import TYPE_CHECKING, Any

from store.documents.budget import Trimmed, fit
from store.documents.document import Loaded, copied, dump, load, new_document, read
from store.documents.edits import (
    Append,
    Drop,
    Edit,
    Patch,
    Put,
    applied,
    apply,
    check,
    decode,
    decode_known,
    encode,
)
from store.documents.errors import BadDocument, BadEdit
from store.documents.merge import Merged, merge
from store.documents.migrations import FORMAT, MIGRATIONS, migrate, readable_newer
from store.documents.sections import State

if TYPE_CHECKING:
    from store.documents.model import SessionDocument

__all__ = [
    "FORMAT",
    "MIGRATIONS",
    "Append",
    "BadDocument",
    "BadEdit",
    "Drop",
    "Edit",
    "Loaded",
    "Merged",
    "Patch",
    "Put",
    "SessionDocument",
    "State",
    "Trimmed",
    "applied",
    "apply",
    "check",
    "copied",
    "decode",
    "decode_known",
    "dump",
    "encode",
    "fit",
    "load",
    "merge",
    "migrate",
    "new_document",
    "read",
    "readable_newer",
]


def __getattr__(name: str) -> Any:
    if name == "SessionDocument":
        from store.documents.model import SessionDocument  # noqa: PLC0415 -- pydantic, only when asked for

        return SessionDocument
    raise AttributeError(name)
