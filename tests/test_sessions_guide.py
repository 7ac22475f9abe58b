"""docs/sessions.md tells every section and field there is, and its example works as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from store.documents import apply, check, new_document
from store.documents.model import SessionDocument
from store.documents.sections import HISTORIES, MAPS, SECTIONS, SINGLES

GUIDE = (Path(__file__).parent.parent / "docs" / "sessions.md").read_text(encoding="utf-8")
ROWS = {
    name: (kind, set(re.findall(r"`(\w+)`", fields)))
    for name, kind, fields in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", GUIDE, re.MULTILINE)
}
KINDS = {"single": SINGLES, "map": MAPS, "history": HISTORIES}


def fields(section: str) -> set[str]:
    """Those of the section's model; of a map's entries, or a history's records."""
    annotation: Any = SessionDocument.model_fields[section].annotation
    model = annotation if section in SINGLES else get_args(annotation)[-1]
    return set(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else set()


def test_every_section_is_told() -> None:
    """And no other."""
    assert set(ROWS) == SECTIONS


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_a_section_is_told_as_it_is(section: str) -> None:
    """Its kind, which says how it can be edited, and its fields."""
    kind, told = ROWS[section]
    assert section in KINDS[kind]
    assert told == fields(section)


def test_the_example_works() -> None:
    """As somebody types it who has an image at hand."""
    state = new_document("0" * 32, "10.0.0.2:5555", "tcp://10.0.0.2:5555", 0.0)

    def edit(*edits: Any) -> None:
        for each in edits:
            apply(state, check(each))

    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(example, {"image": SimpleNamespace(edit=edit)})  # noqa: S102 - our own page
    assert state["workspaces"] == {}
    assert state["layout"]["focus"] == "w1"
    assert [record["text"] for record in state["inputs"]] == ["3 + 4"]
