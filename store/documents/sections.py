"""The parts a session document has, by the way they change."""

from __future__ import annotations

from typing import Any, Final

State = dict[str, Any]
"""A document in memory: the JSON object, with all it came with."""

SINGLES: Final = frozenset({"image", "connection", "preferences", "layout", "unsent_input", "statistics"})
"""Sections with one value each."""

MAPS: Final = frozenset({"workspaces", "inspectors", "browsers", "objects"})
"""Sections with named entries."""

HISTORIES: Final = frozenset({"inputs", "evaluations", "inspections", "merges"})
"""Sections that only grow at the end, and are shortened at the beginning: records with an id and a time."""

SECTIONS: Final = SINGLES | MAPS | HISTORIES
