"""How large anything in a document may be, and the one look at every value that makes sure."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

MAX_DOCUMENT_BYTES: Final = 8 * 1024 * 1024
"""As JSON in memory. On disk a session is far smaller; this only stops what is no session at all."""

MAX_EDIT_BYTES: Final = 1024 * 1024
"""One edit as JSON: a workspace as large as a whole session is meant to be."""

MAX_DEPTH: Final = 32
"""Containers within containers, the document itself being the first."""

MAX_NAME_LETTERS: Final = 256
"""Of a field, an entry or a record's id."""

MAX_INTEGER: Final = 2**63
"""Beyond this other programs lose digits, and Python itself refuses to print very long ones."""


def problem_with(value: Any, depth: int = MAX_DEPTH) -> str | None:
    """Return what makes this JSON value exceed the bounds, None if nothing does.

    Args:
        value: dictionaries, lists, texts, numbers, booleans and None.
        depth: how many levels of containers it may have.
    """
    # Level by level and not by recursion: what is nested too deeply is what this is to find.
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:  # nearly all of them: not worth a call
                continue
            if kind is dict:
                if item and max(map(len, item)) > MAX_NAME_LETTERS:
                    return f"a name longer than {MAX_NAME_LETTERS} letters"
                below.extend(item.values())
            elif kind is list:
                below.extend(item)
            elif problem := _problem_with_number(item):
                return problem
        if below and depth == 0:
            return f"more than {MAX_DEPTH} levels"
        level = below
        depth -= 1
    return None


def _problem_with_number(item: Any) -> str | None:
    if type(item) is int and not -MAX_INTEGER <= item < MAX_INTEGER:
        return "an integer of more than 64 bits"
    if type(item) is float and not isfinite(item):
        return "a number that is not finite"
    return None
