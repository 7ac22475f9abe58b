"""What a session holds, as pydantic models. Import this late: pydantic is heavy (see `store.codec`).

Everything is optional and every unknown field is kept, so that programs of several versions can share
one document. Scalars are strict: a number written as text is a mistake worth hearing of at once.
Times are seconds since 1970.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from store.documents.bounds import MAX_EDIT_BYTES, MAX_INTEGER, MAX_NAME_LETTERS

Text = Annotated[str, StringConstraints(strict=True, max_length=MAX_EDIT_BYTES)]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_NAME_LETTERS)]
Line = Annotated[str, StringConstraints(strict=True, max_length=4096)]
Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, lt=MAX_INTEGER)]


class _Part(BaseModel):
    # What later versions, and hosts, add is kept in `model_extra` and goes back to disk unchanged.
    model_config = ConfigDict(extra="allow", strict=True)


class Image(_Part):
    """Which image this session belongs to; `key` is what the host calls it."""

    key: Line = ""
    endpoint: Line = ""
    identity: Line | None = None
    dialect: Line | None = None
    name: Line | None = None


class RecentConnection(_Part):
    """One earlier connection, for a list to choose from."""

    at: Seconds = 0.0
    endpoint: Line = ""
    state: Line = ""
    reason: Line = ""


class Connection(_Part):
    """How the image is reached, and how that went last."""

    endpoint: Line = ""
    parameters: dict[Name, Any] = {}
    last_state: Line = ""
    last_reason: Line = ""
    connected_at: Seconds | None = None
    recent: list[RecentConnection] = []


class Position(_Part):
    """A place in a text; both count from 0."""

    line: Count = 0
    column: Count = 0


class Selection(_Part):
    """A stretch of a text, from where it was begun to where the cursor went."""

    start: Position = Position()
    end: Position = Position()


class Workspace(_Part):
    """Code being worked on, and where in it. `unsent` is what stands there and was not evaluated yet."""

    title: Line = ""
    code: Text = ""
    cursor: Position = Position()
    selection: Selection | None = None
    unsent: Text = ""
    last_used_at: Seconds | None = None


class Inspector(_Part):
    """A look into one object: an expression or a registered id, and what of it is unfolded."""

    kind: Line = ""
    target: Text = ""
    visible: bool = True
    expanded: list[Line] = []


class Browser(_Part):
    """A look at one class."""

    class_name: Line = ""
    view: Line = ""
    filter: Line = ""
    method: Line | None = None


class KnownObject(_Part):
    """An object of the image as it described itself. After a restart of the image its id may mean nothing."""

    description: Text = ""
    class_name: Line = ""
    seen_at: Seconds | None = None


class Record(_Part):
    """One entry of a history; the id makes adding it twice the same as adding it once."""

    id: Name
    at: Seconds


class Input(Record):
    """Something that was typed and sent."""

    text: Text = ""


class Evaluation(Record):
    """Code that was sent to the image, and what came of it.

    `ok` is None as long as no answer came. `shortened` says that `result` lost its end to make room.
    """

    code: Text = ""
    result: Text | None = None
    ok: bool | None = None
    mode: Line = ""
    tool_id: Line | None = None
    shortened: bool = False


class Inspection(Record):
    """An object that was looked into."""

    target: Text = ""
    class_name: Line = ""
    summary: Text = ""
    shortened: bool = False


class Decision(Record):
    """What became of one place where two histories of this session disagreed. Nothing in it was dropped.

    `path` leads to the place from the document's root; a value that is absent was not there. `action` is
    what was done, and `copy` the entry or record that keeps the other text, if one was made.
    """

    path: list[Text] = []
    base: Any = None
    ours: Any = None
    theirs: Any = None
    action: Line = ""
    copy_id: Name | None = None


class Statistics(_Part):
    """How much happened. Counters only grow, so those of two histories can be added."""

    connected_s: Seconds = 0.0
    evaluations: Count = 0
    edits: Count = 0
    sessions: Count = 0


class Layout(_Part):
    """Where the host's panels are; what they are is the host's affair."""

    panels: dict[Name, Any] = {}
    focus: Line | None = None


class SessionDocument(_Part):
    """A whole session, to be read. Changes go through `store.documents.edits`.

    Made with ``SessionDocument.model_validate(state)`` from what `load` or `new_document` returned.
    """

    format: Count
    session: Name
    created_at: Seconds = 0.0
    image: Image = Image()
    connection: Connection = Connection()
    preferences: dict[Name, Any] = {}
    layout: Layout = Layout()
    unsent_input: Text = ""
    workspaces: dict[Name, Workspace] = {}
    inspectors: dict[Name, Inspector] = {}
    browsers: dict[Name, Browser] = {}
    objects: dict[Name, KnownObject] = {}
    inputs: list[Input] = []
    evaluations: list[Evaluation] = []
    inspections: list[Inspection] = []
    merges: list[Decision] = []
    statistics: Statistics = Statistics()


_ENTRIES: dict[str, Any] = {
    "image": Image,
    "connection": Connection,
    "preferences": dict[Name, Any],
    "layout": Layout,
    "unsent_input": Text,
    "statistics": Statistics,
    "workspaces": Workspace,
    "inspectors": Inspector,
    "browsers": Browser,
    "objects": KnownObject,
    "inputs": Input,
    "evaluations": Evaluation,
    "inspections": Inspection,
    "merges": Decision,
}


@cache
def entry_adapter(section: str) -> TypeAdapter[Any]:
    """Return what validates one value, entry or record of a section."""
    return TypeAdapter(_ENTRIES[section])
