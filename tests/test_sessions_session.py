"""One session: edits in memory, handed to the system, on the medium; generations, budget, pruning."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random

import pytest

from shelves import ENDPOINT, IMAGE, OTHER, SID, begun, code, evaluated, shelf, typed
from simulations.sample_session import full_document
from store.disk import RealDisk
from store.documents import BadEdit, Put
from store.errors import StoreClosed
from store.outcomes import Busy
from store.sessions import SessionLimits
from store.sessions.session import REST_AFTER

LOG_BYTES = SessionLimits().log_bytes


def names(data_dir: Path) -> list[str]:
    """Return what stands in the directory of sessions, without the lease."""
    return sorted(p.name.removeprefix(SID) for p in (data_dir / "sessions").iterdir() if p.suffix != ".lease")


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    """Every edit, its revision, and what the session is about."""
    session = begun(shelf(tmp_path))
    assert session.edit(typed("Object new"), evaluated(1)) == 2
    assert (session.revision, session.saved, session.dirty) == (2, 0, True)
    assert session.save() == 2
    assert not session.dirty
    session.close()
    found = shelf(tmp_path)
    assert [(each.session, each.image, each.endpoint, each.revision) for each in found.listing()] == [
        (SID, IMAGE, ENDPOINT, 2)
    ]
    again = found.open(SID)
    assert code(again.state) == "Object new"
    assert [each["id"] for each in again.state["evaluations"]] == ["e1"]
    assert (again.revision, again.saved, again.dirty, again.receipt.clean) == (2, 2, False, True)
    again.close()


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    """No close, no save: another process finds it, and knows that it may not be on the medium."""
    session = begun(shelf(tmp_path))
    session.edit(typed("one"))
    session.save()
    session.edit(typed("two"))
    session.write()
    session._lease.release()
    again = shelf(tmp_path).open(SID)
    assert code(again.state) == "two"
    assert (again.revision, again.saved, again.dirty, again.receipt.replayed) == (2, 1, True, 1)
    again.save()
    assert (again.saved, again.dirty) == (2, False)
    assert names(tmp_path) == ["-00000001.edits", "-00000001.session", "-00000002.session"]


def test_opening_changes_nothing(tmp_path: Path) -> None:
    """Neither once nor twice, nor for a reader, whatever was found."""
    session = begun(shelf(tmp_path))
    session.edit(typed("one"))
    session.save()
    session.edit(typed("two"))
    session.write()
    session._lease.release()
    before = {p.name: p.read_bytes() for p in (tmp_path / "sessions").iterdir() if p.suffix != ".lease"}
    for _ in range(2):
        again = shelf(tmp_path).open(SID)
        assert code(again.state) == "two"
        again._lease.release()
    assert code(shelf(tmp_path).read(SID).state) == "two"
    after = {p.name: p.read_bytes() for p in (tmp_path / "sessions").iterdir() if p.suffix != ".lease"}
    assert before == after


def test_a_bad_edit_changes_nothing(tmp_path: Path) -> None:
    """Not even the good ones beside it."""
    session = begun(shelf(tmp_path))
    with pytest.raises(BadEdit, match="no such section"):
        session.edit(typed("one"), Put("wokspaces", {}, "w"))
    assert (session.revision, code(session.state)) == (0, None)


def test_a_long_log_begins_a_generation_and_old_ones_go(tmp_path: Path) -> None:
    """Three are kept, each with the log that leads to the next."""
    sessions = shelf(tmp_path)
    session = begun(sessions)
    dice = Random(1)
    for _ in range(6):
        session.edit(typed(dice.randbytes(LOG_BYTES).hex()))
        session.save()
        sessions.prune(session)
    last = code(session.state)
    kept = sorted({name[1:9] for name in names(tmp_path)})
    assert len([name for name in names(tmp_path) if name.endswith(".session")]) == 3
    assert len(kept) == 3
    session.close()
    assert code(shelf(tmp_path).read(SID).state) == last


def test_any_single_damaged_file_costs_nothing(tmp_path: Path) -> None:
    """The newest snapshot is what its predecessor and that one's log lead to."""
    sessions = shelf(tmp_path)
    session = begun(sessions)
    dice = Random(1)
    for number in range(4):
        session.edit(typed(dice.randbytes(LOG_BYTES).hex(), f"w{number}"))
        session.save()
    session.edit(typed("last"))
    session.save()
    state = session.state
    session._lease.release()
    files = [p for p in (tmp_path / "sessions").iterdir() if p.suffix in (".session", ".edits")]
    newest = max(p for p in files if p.suffix == ".edits")
    for file in files:
        if file == newest:  # the only one that says what came last
            continue
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2] + b"\x00" + data[len(data) // 2 + 1 :])
        found = shelf(tmp_path).read(SID)
        assert found.state == state, file.name
        assert found.receipt.revision == session.revision
        file.write_bytes(data)


def test_one_writer(tmp_path: Path) -> None:
    """The second is told who the first is; when that one closes it may."""
    session = begun(shelf(tmp_path))
    session.edit(typed("mine"))
    session.save()
    with pytest.raises(Busy, match="process 4711 of ann on desk"):
        shelf(tmp_path).open(SID)
    session.close()
    with pytest.raises(StoreClosed):
        session.edit(typed("late"))
    shelf(tmp_path).open(SID).close()


def test_beginning_what_another_process_began_opens_it(tmp_path: Path) -> None:
    """Its first generation is not written over by a second first one."""
    first = begun(shelf(tmp_path))
    first.edit(typed("theirs"))
    first.close()
    again = begun(shelf(tmp_path))
    assert code(again.state) == "theirs"
    again.edit(typed("both", "w2"))
    again.close()
    found = shelf(tmp_path).read(SID).state
    assert (code(found), code(found, "w2")) == ("theirs", "both")


def test_opening_one_session_opens_no_file_of_another(tmp_path: Path) -> None:
    """Two hundred images are opened at once, and each must not look into the files of all."""
    asked: list[str] = []

    class Listening(RealDisk):
        def read(self, path: Path, limit: int) -> bytes:
            asked.append(path.name)
            return super().read(path, limit)

    for session in (SID, OTHER):
        one = begun(shelf(tmp_path), session)
        one.edit(typed("one"))
        one.close()
    found = shelf(tmp_path, Listening())
    asked.clear()
    found.open(SID).close()
    assert not [name for name in asked if name.startswith(OTHER)]


def test_a_document_replaced_while_it_is_saved_is_saved_too(tmp_path: Path) -> None:
    """The snapshot under way does not speak for what came after it."""
    sessions = shelf(tmp_path)
    session = begun(sessions)
    session.edit(typed("one"))
    replaced = iter([True])

    def wall() -> float:
        if next(replaced, False):
            session.become({**session.state, "unsent_input": "two"})
        return 1000.0

    session._tools = dataclasses.replace(session._tools, wall=wall)
    session.save()
    assert session.dirty
    session.save()
    assert not session.dirty
    session.close()
    assert shelf(tmp_path).read(SID).state["unsent_input"] == "two"


def test_nothing_to_save_is_nothing_done(tmp_path: Path) -> None:
    """Not even a resting document is woken."""
    session = begun(shelf(tmp_path))
    session.edit(typed("one"))
    assert not session.rest()
    session.save()
    assert session.rest()
    assert session.save() == 1
    assert session._awake is None
    assert code(session.state) == "one"
    session.close()


def test_generations_whose_key_is_not_here_are_left_alone(tmp_path: Path) -> None:
    """They are neither counted among the good ones nor called damaged."""
    sessions = shelf(tmp_path, limits=SessionLimits(log_bytes=100))
    session = begun(sessions)
    for number in range(3):
        session.edit(typed(f"{number}" * 400))
        session.save()
    session.close()
    again = sessions.open(SID)
    key_of = sessions.keychain.key
    asked = iter(range(100))
    sessions.keychain.key = lambda key_id: None if next(asked) else key_of(key_id)  # type: ignore[method-assign] # where the disk is at work
    before = names(tmp_path)
    sessions.prune(again)
    assert names(tmp_path) == before
    assert not (tmp_path / "quarantine").exists()


def test_the_oldest_history_goes_first_and_work_stays(tmp_path: Path) -> None:
    """A session beyond its budget gives up records, says so, and forgets them in memory too."""
    sessions = shelf(tmp_path, limits=SessionLimits(snapshot_bytes=30_000))
    session = begun(sessions)
    dice = Random(1)
    work = dice.randbytes(4_000).hex()
    session.edit(typed(work))
    for number in range(200):
        session.edit(evaluated(number, dice.randbytes(120).hex()))
    session.save()
    kept = [each["id"] for each in session.state["evaluations"]]
    assert 50 <= len(kept) < 200
    assert kept[-1] == "e199"
    assert session.dropped["evaluations"] == 200 - len(kept)
    session.close()
    found = shelf(tmp_path).read(SID).state
    assert [each["id"] for each in found["evaluations"]] == kept
    assert code(found) == work
    assert max(p.stat().st_size for p in (tmp_path / "sessions").iterdir()) <= 30_000


def test_compacting_leaves_nothing_to_replay_and_the_session_open(tmp_path: Path) -> None:
    """So that what it made superfluous can be removed while it is still ours to remove."""
    sessions = shelf(tmp_path)
    session = begun(sessions)
    for number in range(6):
        session.edit(typed(f"edit {number}"))
        session.save()
        session.edit(typed(f"and {number}"))
        assert session.compact() == session.revision
    sessions.prune(session)
    assert len([name for name in names(tmp_path) if name.endswith(".session")]) == SessionLimits().kept
    session.edit(typed("last"))
    session.close(compact=False)
    found = shelf(tmp_path).read(SID)
    assert (code(found.state), found.receipt.replayed) == ("last", 1)


def test_a_session_takes_less_than_a_megabyte_whatever_happens_to_it(tmp_path: Path) -> None:
    """A document of 1 MB gives up history until its generations, their logs and a backup fit; code stays."""
    sessions = shelf(tmp_path)
    session = begun(sessions)
    document = {**full_document(1_000_000, 3), "session": SID}
    session.become(document)
    dice = Random(5)
    for number in range(12):
        session.edit(evaluated(number, dice.randbytes(20_000).hex()))
        session.save()
        sessions.prune(session)
    assert session.dropped
    assert session.state["workspaces"] == document["workspaces"]
    session.close()
    sessions.prune(sessions.open(SID))
    files = [path for path in (tmp_path / "sessions").iterdir() if path.suffix in (".session", ".edits")]
    assert len([path for path in files if path.suffix == ".session"]) == SessionLimits().kept
    newest = max(path.stat().st_size for path in files)  # what an upgrade would keep beside them
    assert sum(path.stat().st_size for path in files) + newest < 1_000_000


def test_a_document_nobody_looks_at_goes_to_rest(tmp_path: Path) -> None:
    """After half a minute, if it is saved; a look wakes it, and nothing is lost on the way."""
    session = begun(shelf(tmp_path))
    session.edit(typed("one"))
    for _ in range(REST_AFTER + 1):
        session.tend()
    assert session._awake is not None  # not saved yet
    session.save()
    for _ in range(REST_AFTER):
        session.tend()
    assert session._awake is None
    assert code(session.state) == "one"
    session.tend()
    assert session._awake is not None
    session.close()
