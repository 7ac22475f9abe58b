"""A session in one file: what comes back, what is refused by name, and that nothing is ever written over."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commanding import CANARY, files, words_of, work
from shelves import ENDPOINT, IMAGE, OTHER, SID, begun, code, evaluated, shelf, typed
from store.documents import Drop, new_document
from store.keys.passphrase import Cost
from store.outcomes import Busy, SessionError
from store.sealed import FileIdentity, Kind, MasterKey, seal_snapshot
from store.sessions import Sessions
from store.sessions.portable import (
    MAX_EXPORT_BYTES,
    BadExport,
    Became,
    Export,
    ExportLocked,
    ExportTooNew,
    ExportWrongPassphrase,
    bring_in,
    fingerprint,
    gather,
    plain,
    sealed,
    unpack,
)

CHEAP = Cost(memory_kib=32, iterations=1, lanes=1)
SECRET = "correct horse"  # noqa: S105 -- the tests' own
FRESH = "f" * 32


def seal(export: Export) -> bytes:
    """Seal without the price of a real passphrase."""
    return sealed(export, SECRET, os.urandom, CHEAP)


@pytest.fixture
def here(tmp_path: Path) -> Sessions:
    """A shelf with one session that somebody worked on."""
    sessions = shelf(tmp_path / "here")
    work(sessions)
    return sessions


@pytest.fixture
def there(tmp_path: Path) -> Sessions:
    """Another machine: other keys, no sessions."""
    return shelf(tmp_path / "there", seed=1)


# -- there and back ------------------------------------------------------------------------


@pytest.mark.parametrize("how", [plain, seal])
def test_an_export_comes_back_as_it_was(here: Sessions, there: Sessions, how: Any) -> None:
    """The whole document, its revision and its id; and it can be gone on with."""
    export = gather(here, SID, 5.0)
    found = unpack(how(export), SECRET)
    assert replace(found, sealed=False) == export
    assert found.sealed is (how is seal)
    came = bring_in(there, found, fresh=FRESH)
    assert (came.session, came.became, came.revision) == (SID, Became.ITSELF, 4)
    opened = there.open(SID, acknowledged=4)
    assert opened.state == here.read(SID).state
    opened.edit(typed("more"))
    opened.close()


def test_a_sealed_export_tells_nothing(here: Sessions) -> None:
    """No code, no image, no endpoint, not even the session's id; and no two are alike."""
    export = gather(here, SID, 5.0)
    data = seal(export)
    for word in (CANARY, IMAGE, SID, "workspaces", SECRET):
        assert word.encode() not in data
        assert word.encode() in plain(export) or word == SECRET
    assert seal(export) != data


def test_an_archived_session_and_an_older_generation_are_exported_too(here: Sessions) -> None:
    """Without bringing anything back first."""
    here.archive(SID)
    assert gather(here, SID, 5.0).revision == 4
    assert code(gather(here, SID, 5.0, generation=1).document, "w2") is None


def test_exporting_changes_nothing(here: Sessions) -> None:
    """Not a byte."""
    before = files(here.places.data_dir)
    gather(here, SID, 5.0)
    assert files(here.places.data_dir) == before


# -- what is refused -----------------------------------------------------------------------


def test_passphrases_are_told_apart(here: Sessions) -> None:
    """None, an empty one, a wrong one, the right one written in another way."""
    export = gather(here, SID, 5.0)
    data = seal(export)
    for given_, kind in (
        (None, ExportLocked),
        ("", ExportLocked),
        ("wrong", ExportWrongPassphrase),
        (SECRET + "\n", ExportWrongPassphrase),
    ):
        with pytest.raises(kind) as caught:
            unpack(data, given_)
        assert "passphrase" in str(caught.value)
        assert not any(SECRET in words for words in words_of(caught.value))
    assert unpack(plain(export), "not needed").document == export.document
    with pytest.raises(ValueError, match="empty"):
        sealed(export, "", os.urandom, CHEAP)


def small() -> Export:
    """Return a session of a few hundred bytes."""
    return Export(new_document(SID, IMAGE, ENDPOINT, 1.0), 7, 5.0)


def test_every_bit_and_every_cut_of_a_sealed_export_is_named() -> None:
    """Damage, a wrong passphrase or a later version: never another document, never another error."""
    data = seal(small())
    for cut in range(len(data)):
        with pytest.raises(SessionError):
            unpack(data[:cut], SECRET)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((BadExport, ExportWrongPassphrase, ExportTooNew, ExportLocked)):
            unpack(bytes(flipped), SECRET)


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_no_export(data: bytes) -> None:
    """Whatever somebody gives us."""
    with pytest.raises((BadExport, ExportTooNew)):
        unpack(data, SECRET)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["format", "session", "image", "workspaces", "evaluations", "statistics", "connection", "merges", "x"]
)


@given(st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(NAMES, JSON, max_size=2))
@settings(max_examples=300)
def test_any_json_is_a_session_or_refused(document: dict[str, Any], beside: dict[str, Any]) -> None:
    """What is accepted is a document that can be written again; anything else has its name."""
    fields = {"resilience_export": 1, "revision": 3, "document": {**small().document, **document}, **beside}
    try:
        data = json.dumps(fields).encode()
    except ValueError:
        return
    try:
        found = unpack(data)
    except (BadExport, ExportTooNew):
        return
    assert unpack(plain(found)) == found


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"resilience_export": 2}, ExportTooNew),
        ({"resilience_export": True}, BadExport),
        ({"revision": -1}, BadExport),
        ({"revision": 2**63}, BadExport),
        ({"revision": None}, BadExport),
        ({"document": []}, BadExport),
        ({"document": {"format": 999}}, ExportTooNew),
        ({"document": {"format": 1}}, BadExport),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], kind: type[SessionError]) -> None:
    """A later version is told from nonsense, because what to do differs."""
    fields = {**json.loads(plain(small())), **change}
    with pytest.raises(kind) as caught:
        unpack(json.dumps(fields).encode())
    assert "sessions repair" not in caught.value.advice


def test_what_is_too_long_or_too_deep_is_not_read() -> None:
    """Before anything of it is looked at."""
    with pytest.raises(BadExport, match="longer"):
        unpack(b" " * (MAX_EXPORT_BYTES + 1))
    with pytest.raises(BadExport):
        unpack(b"[" * 100_000)


@pytest.mark.parametrize(
    "parameters",
    [
        {"memory_kib": 2**40},
        {"iterations": 10**9},
        {"lanes": 10**6},
        {"memory_kib": "64"},
        {"salt": "00"},
        {"salt": 7},
        {"lanes": True},
    ],
)
def test_parameters_beyond_reason_are_not_tried(parameters: dict[str, Any]) -> None:
    """A file must not make this machine work for hours, or take all of its memory."""
    salt = bytes(16)
    said = {"salt": salt.hex(), "memory_kib": 32, "iterations": 1, "lanes": 1, **parameters}
    key = MasterKey(salt.hex()[:16], bytes(32))
    identity = FileIdentity(Kind.EXPORT, "export", 1, "a" * 32)
    data = seal_snapshot(identity, {"argon2id": said}, b"{}", [key], os.urandom)
    with pytest.raises(BadExport):
        unpack(data, SECRET)


def test_no_snapshot_passes_for_an_export(here: Sessions) -> None:
    """Another kind of sealed file, whatever key it names."""
    newest = max(here.places.sessions.glob("*.session")).read_bytes()
    with pytest.raises(BadExport):
        unpack(newest, SECRET)


# -- coming in -----------------------------------------------------------------------------


def test_a_session_that_is_here_is_never_written_over(here: Sessions) -> None:
    """In its place or in the archive: the import is a session of its own."""
    export = gather(here, SID, 5.0)
    for fresh in (FRESH, "e" * 32):
        before = files(here.places.data_dir)
        came = bring_in(here, export, fresh=fresh)
        assert (came.session, came.became) == (fresh, Became.NEW)
        assert before.items() <= files(here.places.data_dir).items()
        assert here.read(fresh).state == {**export.document, "session": fresh}
        if fresh == FRESH:
            here.archive(SID)


def test_a_name_that_is_no_id_gets_one(there: Sessions) -> None:
    """An id is part of a file's name, and comes from outside here."""
    for name in ("../../etc/passwd", "x", "A" * 32):
        export = Export(new_document(name, IMAGE, ENDPOINT, 1.0))
        fresh = os.urandom(16).hex()
        assert bring_in(there, export, fresh=fresh).session == fresh


def test_an_import_under_its_own_id_is_no_rollback(here: Sessions, there: Sessions) -> None:
    """The journal may know a later revision: whoever imports wants this one."""
    export = gather(here, SID, 5.0)
    assert bring_in(there, export, fresh=FRESH, acknowledged=99).revision >= 99
    there.open(SID, acknowledged=99).close()


def test_both_sides_work_is_joined_from_what_they_had_in_common(here: Sessions, there: Sessions) -> None:
    """Ours and theirs; what one removed and the other left alone stays removed."""
    bring_in(there, gather(here, SID, 5.0), fresh=FRESH)
    theirs = there.open(SID)
    theirs.edit(typed("theirs", "theirs"), evaluated(2))
    theirs.close()
    ours = here.open(SID)
    ours.edit(typed("ours", "ours"), Drop("workspaces", "w2"), evaluated(3))
    ours.close()
    came = bring_in(here, gather(there, SID, 6.0), fresh=FRESH, merging=True, at=7.0)
    assert (came.became, came.common, came.decisions) == (Became.MERGED, True, ())
    state = here.read(SID).state
    assert set(state["workspaces"]) == {"w1", "w3", "ours", "theirs"}
    assert [each["id"] for each in state["evaluations"]] == ["e1", "e2", "e3"]
    again = bring_in(here, gather(there, SID, 6.0), fresh=FRESH, merging=True, at=8.0)
    assert "w2" not in here.read(SID).state["workspaces"]
    assert code(here.read(SID).state, "ours") == "ours"
    assert again.session == SID


def test_a_conflict_is_told_and_nothing_is_dropped(here: Sessions, there: Sessions) -> None:
    """Two texts of one workspace: both are there, and which is whose is recorded."""
    bring_in(there, gather(here, SID, 5.0), fresh=FRESH)
    for side, text in ((there, "theirs"), (here, "ours")):
        opened = side.open(SID)
        opened.edit(typed(text, "w2"))
        opened.close()
    came = bring_in(here, gather(there, SID, 6.0), fresh=FRESH, merging=True, at=7.0)
    codes = {each["code"] for each in here.read(SID).state["workspaces"].values()}
    assert {"ours", "theirs"} <= codes
    assert came.decisions
    assert here.read(SID).state["merges"]


def test_without_anything_in_common_nothing_is_dropped_either(here: Sessions) -> None:
    """An export whose lineage nobody knows: every difference is a conflict."""
    export = replace(gather(here, SID, 5.0), lineage=())
    export.document["workspaces"] = {"w9": {"title": "w9", "code": "nine"}}
    came = bring_in(here, export, fresh=FRESH, merging=True, at=7.0)
    assert came.common is False
    assert {"w1", "w2", "w3", "w9"} <= set(here.read(SID).state["workspaces"])


def test_an_old_export_brings_nothing_back(here: Sessions) -> None:
    """It is one of our own earlier states: merging it is no news."""
    export = gather(here, SID, 5.0)
    opened = here.open(SID)
    opened.edit(Drop("workspaces", "w3"))
    opened.close()
    came = bring_in(here, export, fresh=FRESH, merging=True, at=7.0)
    assert came.became is Became.NOTHING
    assert "w3" not in here.read(SID).state["workspaces"]


def test_a_session_that_is_open_elsewhere_is_not_merged_into(here: Sessions) -> None:
    """Busy; and without merging it becomes one of its own, as ever."""
    export = gather(here, SID, 5.0)
    opened = here.open(SID)
    with pytest.raises(Busy):
        bring_in(here, export, fresh=FRESH, merging=True)
    assert bring_in(here, export, fresh=FRESH).became is Became.NEW
    opened.close()


def test_a_fingerprint_leaves_out_the_id_alone() -> None:
    """A copy has another id, and is the same work."""
    document = small().document
    assert fingerprint({**document, "session": OTHER}) == fingerprint(document)
    assert fingerprint({**document, "unsent_input": "x"}) != fingerprint(document)


def test_begun_is_unused_by_imports_of_others(there: Sessions, here: Sessions) -> None:
    """An import of one session leaves another one's files alone."""
    begun(there, OTHER).close()
    before = files(there.places.data_dir)
    bring_in(there, gather(here, SID, 5.0), fresh=FRESH)
    assert before.items() <= files(there.places.data_dir).items()
