"""`resilience sessions …` from outside: what each says, does, leaves alone, and answers to nonsense."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from commanding import (
    CANARY,
    DONE,
    FAILED,
    USAGE,
    WALL_S,
    at,
    files,
    flip,
    furnished,
    journaled,
    loose_modes,
    resilience,
    snapshots,
)
from shelves import OTHER, SID, begun, shelf, typed
from store.disk import RealDisk
from store.documents import Append
from store.sessions import Sessions

IMAGE = "10.0.0.2:5555"
NEW = "9f" * 16


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """Two sessions in a directory of their own."""
    return furnished(tmp_path / "data")


@pytest.fixture
def data_dir(sessions: Sessions) -> Path:
    """Where they are."""
    return sessions.places.data_dir


def one_line(text: str) -> str:
    """A complaint that a person can read."""
    (line,) = text.strip().splitlines()
    assert line.startswith("Error: ")
    return line


# -- list ----------------------------------------------------------------------------------


def test_a_list_joins_journal_and_files(data_dir: Path) -> None:
    """The state of the last transition, and revision, size and age of the document."""
    lines = at(data_dir)("sessions", "list", "--json").lines
    assert {line["session"] for line in lines} == {SID, OTHER}
    line = next(line for line in lines if line["session"] == SID)
    assert (line["image"], line["state"], line["transitions"]) == (IMAGE, "Connected", 1)
    assert (line["revision"], line["generation"], line["saved_at"]) == (4, 3, WALL_S)
    assert (line["archived"], line["copy_of"], line["readable"]) == (False, None, True)
    on_disk = sum(path.stat().st_size for path in (data_dir / "sessions").glob(f"{SID}-*"))
    assert line["size_bytes"] == on_disk


def test_a_list_needs_no_key_and_no_sound_key_file(data_dir: Path) -> None:
    """What is locked, or damaged, is still found."""
    for name in ("keys", "keys.bak"):
        flip(data_dir / name)
    assert len(at(data_dir)("sessions", "list", "--json").lines) == 2
    (data_dir / "keys").unlink()
    assert IMAGE in at(data_dir)("sessions", "list").out


def test_a_list_shows_what_only_one_side_knows(data_dir: Path, sessions: Sessions) -> None:
    """A session without a transition, one without a document, one whose header cannot be read."""
    begun(sessions, "c" * 32).close()
    for path in (data_dir / "sessions").glob(f"{OTHER}-*"):
        path.unlink()
    flip(snapshots(data_dir)[-1], 40)
    lines = {line["session"]: line for line in at(data_dir)("sessions", "list", "--json").lines}
    assert lines["c" * 32]["state"] is None
    assert lines[OTHER]["revision"] is None
    assert lines[SID]["readable"] is False
    assert "unreadable" in at(data_dir)("sessions", "list").out


def test_a_hundred_sessions_are_listed_without_opening_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no keys to open them with, and each file is looked at once."""
    many = shelf(tmp_path)
    for number in range(100):
        opened = many.create(f"{number:032x}", f"10.0.1.{number}:5555", "tcp://10.0.1.1:5555")
        opened.edit(typed("x" * 2000))
        opened.close()
    (tmp_path / "keys").unlink()
    (tmp_path / "keys.bak").unlink()
    looked_at: Counter[str] = Counter()
    really = RealDisk.read

    def look(disk: RealDisk, path: Path, limit: int) -> bytes:
        looked_at[path.name] += 1
        return really(disk, path, limit)

    monkeypatch.setattr(RealDisk, "read", look)
    assert len(at(tmp_path)("sessions", "list", "--json").lines) == 100
    assert len(looked_at) >= 100
    assert set(looked_at.values()) == {1}


# -- finding -------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", [SID, SID[:4], SID.upper()[:6], IMAGE, f"tcp://{IMAGE}"])
def test_a_session_is_found_by_id_beginning_or_image(data_dir: Path, argument: str) -> None:
    """However somebody has it at hand."""
    assert at(data_dir)("sessions", "show", argument, "--json").line["session"] == SID


@pytest.mark.parametrize(
    "command", [["show"], ["archive"], ["restore"], ["export", "SESSION", "FILE"], ["repair"], ["history"]]
)
def test_a_session_that_is_not_there_is_told_with_those_that_are(
    data_dir: Path, tmp_path: Path, command: list[str]
) -> None:
    """Exit 1, in one line, and as an object for programs; nothing is written."""
    before = files(data_dir)
    named = [str(tmp_path / "file") if word == "FILE" else word for word in command]
    named = [word.replace("SESSION", "dddd") for word in named]
    arguments = named if "dddd" in named else [*named, "dddd"]
    done = at(data_dir)("sessions", *arguments)
    assert done.code == FAILED
    assert not done.out
    complaint = one_line(done.err)
    assert SID[:8] in complaint
    assert IMAGE in complaint
    line = at(data_dir)("sessions", *arguments, "--json").line
    assert (line["event"], line["outcome"]) == ("error", "no such session")
    assert line["advice"]
    assert files(data_dir) == before


def test_too_few_letters_and_too_many_answers(data_dir: Path, sessions: Sessions) -> None:
    """Fewer than 4 letters name nothing; an ambiguous beginning says which there are."""
    begun(sessions, SID[:8] + "0" * 24).close()
    assert "4 or more letters" in one_line(at(data_dir)("sessions", "show", SID[:3]).err)
    done = at(data_dir)("sessions", "show", SID[:6], "--json")
    assert done.line["outcome"] == "ambiguous"
    assert SID[:10] in done.line["error"]


def test_an_images_name_means_the_session_in_use_and_to_restore_the_archived(
    data_dir: Path, sessions: Sessions
) -> None:
    """The archived one was used last, and is not picked for it; of two of a kind none is picked."""
    run = at(data_dir)
    run("sessions", "archive", SID)
    begun(sessions, NEW).close()
    journaled(data_dir, SID, IMAGE, 50)
    assert run("sessions", "show", IMAGE, "--json").line["session"] == NEW
    assert run("sessions", "restore", IMAGE, "--json").line["session"] == SID
    before = files(data_dir)
    done = run("sessions", "archive", IMAGE, "--json")
    assert (done.code, done.line["outcome"]) == (FAILED, "ambiguous")
    assert NEW[:8] in done.line["error"]
    assert SID[:8] in done.line["error"]
    assert files(data_dir) == before


# -- show ----------------------------------------------------------------------------------


def test_a_session_is_shown_for_people_and_for_programs(data_dir: Path) -> None:
    """Workspaces with lines and cursor, evaluations, generations; and nothing changes on disk."""
    before = files(data_dir)
    line = at(data_dir)("sessions", "show", SID, "--json").line
    workspace = line["workspaces"][0]
    assert (workspace["id"], workspace["lines"]) == ("w1", 4)
    assert line["evaluations"][0]["result"] == "7"
    assert {each["generation"] for each in line["files"]} == {1, 2, 3}
    assert line["receipt"]["revision"] == 4
    assert line["receipt"]["findings"] == []
    shown = at(data_dir)("sessions", "show", SID)
    assert shown.code == DONE
    for words in (SID, IMAGE, "w1", "size", "revision 4, from generation 3"):
        assert words in shown.out
    assert files(data_dir) == before


def test_the_document_and_an_older_one(data_dir: Path) -> None:
    """As JSON, on one line for programs; of any generation that is there."""
    newest = json.loads(at(data_dir)("sessions", "show", SID, "--document").out)
    assert set(newest["workspaces"]) == {"w1", "w2", "w3"}
    first = at(data_dir)("sessions", "show", SID, "--document", "--json", "--generation", "1").line
    assert set(first["workspaces"]) == {"w1"}
    done = at(data_dir)("sessions", "show", SID, "--generation", "9")
    assert done.code == FAILED
    assert "there are: 1, 2, 3" in one_line(done.err)


def test_what_a_terminal_would_obey_is_shown_and_not_sent(data_dir: Path, sessions: Sessions) -> None:
    """Code, titles and results come from anywhere."""
    opened = sessions.open(SID)
    record = {"id": "e7", "at": 7.0, "code": "\x1b[2J", "result": "\x1b]0;owned\x07", "ok": True}
    opened.edit(typed("one", "\x1b]0;owned\x07"), Append("evaluations", record))
    opened.close()
    assert "\x1b" not in at(data_dir)("sessions", "show", SID).out


def test_a_damaged_newest_generation_is_shown_from_the_one_before(data_dir: Path) -> None:
    """Nothing is lost, and what is wrong is named with what to do."""
    flip(snapshots(data_dir)[-1])
    done = at(data_dir)("sessions", "show", SID)
    assert done.code == DONE
    assert "w3" in done.out
    assert "sessions repair" in done.out
    line = at(data_dir)("sessions", "show", SID, "--json").line
    assert line["receipt"]["findings"][0]["outcome"] == "corrupt"


def test_nothing_usable_is_an_error_with_its_name(data_dir: Path) -> None:
    """Exit 1: corrupt, and the command that helps."""
    for path in (data_dir / "sessions").glob(f"{SID}-*"):
        flip(path)
    done = at(data_dir)("sessions", "show", SID, "--json")
    assert (done.code, done.line["outcome"]) == (FAILED, "corrupt")
    assert "sessions repair" in done.line["advice"]
    assert "Traceback" not in done.err


def test_an_older_copy_that_was_put_back_is_noticed(data_dir: Path) -> None:
    """The journal knows what was saved."""
    for path in (data_dir / "sessions").glob(f"{SID}-00000003*"):
        path.unlink()
    for path in (data_dir / "sessions").glob(f"{SID}-*.edits"):
        path.unlink()
    assert "older copy" in at(data_dir)("sessions", "show", SID).out
    done = at(data_dir)("sessions", "repair", SID, "--json")
    assert (done.code, done.line["outcome"]) == (FAILED, "rolled back")
    accepted = at(data_dir)("sessions", "repair", SID, "--accept-rollback", "--json")
    assert (accepted.code, accepted.line["repaired"]) == (DONE, True)
    assert at(data_dir)("sessions", "repair", SID, "--json").line["sound"] is True


# -- archive, restore ----------------------------------------------------------------------


def test_archiving_and_bringing_back_lose_nothing(data_dir: Path) -> None:
    """The same bytes; while it is away it is only listed when asked for, and can be looked at."""
    before = files(data_dir)
    run = at(data_dir)
    assert run("sessions", "archive", SID[:8], "--json").line == {"event": "archived", "session": SID}
    assert [line["session"] for line in run("sessions", "list", "--json").lines] == [OTHER]
    assert "1 more in the archive" in run("sessions", "list").out
    lines = run("sessions", "list", "--archived", "--json").lines
    assert {line["session"]: line["archived"] for line in lines} == {SID: True, OTHER: False}
    assert run("sessions", "show", SID, "--json").line["revision"] == 4
    assert run("sessions", "archive", SID, "--json").line["outcome"] == "archived"
    assert run("sessions", "restore", SID, "--json").line["from_archive"] is True
    assert files(data_dir) == before


def test_an_older_generation_becomes_the_newest_and_the_newer_stays(data_dir: Path) -> None:
    """And the journal's memory of a later revision does not make it look rolled back."""
    before = files(data_dir)
    run = at(data_dir)
    line = run("sessions", "restore", SID, "--generation", "1", "--json").line
    assert (line["newest"], line["revision"]) == (4, 5)
    document = run("sessions", "show", SID, "--document", "--json").line
    assert set(document["workspaces"]) == {"w1"}
    assert before.items() <= files(data_dir).items()
    assert run("sessions", "repair", "--check").code == DONE
    assert run("sessions", "restore", SID, "--generation", "3", "--json").line["newest"] == 5
    document = run("sessions", "show", SID, "--document", "--json").line
    assert set(document["workspaces"]) == {"w1", "w2", "w3"}


def test_restoring_goes_on_behind_what_the_journal_knows(data_dir: Path) -> None:
    """Also if the files of those revisions are gone."""
    journaled(data_dir, SID, IMAGE, 50)
    assert at(data_dir)("sessions", "restore", SID, "--generation", "1", "--json").line["revision"] == 51
    assert at(data_dir)("sessions", "repair", SID, "--json").line["sound"] is True


def test_restoring_wants_to_know_what(data_dir: Path) -> None:
    """Not archived and no generation: a usage error that names them."""
    done = at(data_dir)("sessions", "restore", SID)
    assert done.code == USAGE
    assert "1, 2, 3" in done.err


def test_what_is_open_elsewhere_is_left_alone(data_dir: Path, sessions: Sessions) -> None:
    """Busy, with who has it; looking and exporting still work."""
    opened = sessions.open(SID)
    try:
        run = at(data_dir)
        done = run("sessions", "archive", SID, "--json")
        assert (done.code, done.line["outcome"]) == (FAILED, "busy")
        assert "4711" in done.err
        assert run("sessions", "restore", SID, "--generation", "1", "--json").line["outcome"] == "busy"
        assert run("sessions", "repair", SID, "--json").line["open_in"]
        assert run("sessions", "clean", "--days", "0", "--json").lines[0]["subject"] == OTHER
        assert run("sessions", "show", SID).code == DONE
        assert run("sessions", "export", SID, data_dir.parent / "file", "--plain").code == DONE
    finally:
        opened.close()


# -- export, import ------------------------------------------------------------------------

SECRET = {"RESILIENCE_EXPORT_PASSPHRASE": "correct horse"}


def test_a_sealed_export_travels(data_dir: Path, tmp_path: Path) -> None:
    """To another machine with other keys; 0600, and nothing of it in plain sight."""
    file = tmp_path / "session.export"
    done = at(data_dir)("sessions", "export", SID, file, "--json", environment=SECRET)
    assert (done.code, done.line["sealed"], done.line["revision"]) == (DONE, True, 4)
    assert file.stat().st_mode & 0o777 == 0o600
    for word in (CANARY, IMAGE, SID, "workspaces", "correct horse"):
        assert word.encode() not in file.read_bytes()
    there = at(tmp_path / "there")
    assert there("keys", "protect", "insecure", "--yes-insecure").code == DONE
    line = there("sessions", "import", file, "--json", environment=SECRET).line
    assert (line["session"], line["became"], line["revision"]) == (SID, "itself", 4)
    shown = there("sessions", "show", SID, "--document", "--json").line
    assert shown == at(data_dir)("sessions", "show", SID, "--document", "--json").line
    assert loose_modes(tmp_path / "there") == []


def test_a_plain_export_has_to_be_asked_for_and_says_so(data_dir: Path, tmp_path: Path) -> None:
    """Readable JSON; through pipes too."""
    done = at(data_dir)("sessions", "export", SID, tmp_path / "plain.json", "--plain")
    assert "whoever has the file can read it" in done.out
    text = (tmp_path / "plain.json").read_text(encoding="utf-8")
    assert CANARY in text
    piped = at(data_dir)("sessions", "export", SID, "-", "--plain").out
    line = at(data_dir)("sessions", "import", "-", "--json", stdin=piped).line
    assert line["became"] == "new"
    assert line["session"] not in (SID, OTHER)


def test_an_import_never_writes_over_a_session(data_dir: Path, tmp_path: Path, sessions: Sessions) -> None:
    """A session of its own; or with --merge both one's and the other's work."""
    file = tmp_path / "file"
    run = at(data_dir)
    run("sessions", "export", SID, file, "--plain")
    opened = sessions.open(SID)
    opened.edit(typed("ours", "ours"))
    opened.close()
    before = files(data_dir)
    assert run("sessions", "import", file, "--json").line["became"] == "new"
    assert before.items() <= files(data_dir).items()
    text = json.loads(file.read_text(encoding="utf-8"))
    text["document"]["workspaces"]["theirs"] = {"title": "theirs", "code": "theirs"}
    file.write_text(json.dumps(text), encoding="utf-8")
    line = run("sessions", "import", file, "--merge", "--json").line
    assert (line["became"], line["session"], line["common"]) == ("merged", SID, True)
    document = run("sessions", "show", SID, "--document", "--json").line
    assert {"w1", "ours", "theirs"} <= set(document["workspaces"])
    assert run("sessions", "import", file, "--merge", "--json").line["became"] == "nothing"


def test_imports_that_cannot_be_say_why(data_dir: Path, tmp_path: Path) -> None:
    """No file, no export, a wrong passphrase, none at all, nowhere to keep it: exit 1 and a name each."""
    run, file = at(data_dir), tmp_path / "file"
    run("sessions", "export", SID, file, environment=SECRET)
    (tmp_path / "nonsense").write_bytes(b"nonsense")
    wrong = {"RESILIENCE_EXPORT_PASSPHRASE": "wrong"}
    cases = [
        (run("sessions", "import", tmp_path / "none", "--json"), "no such file"),
        (run("sessions", "import", tmp_path / "nonsense", "--json"), "corrupt"),
        (run("sessions", "import", file, "--json", environment=wrong), "wrong key"),
        (run("sessions", "import", file, "--json"), "locked key"),
        (at(tmp_path / "new")("sessions", "import", file, "--json", environment=SECRET), "locked key"),
    ]
    for done, outcome in cases:
        assert (done.code, done.line["outcome"]) == (FAILED, outcome)
        assert done.line["advice"]
        assert "correct horse" not in done.out + done.err


def test_an_export_replaces_nothing_by_itself(data_dir: Path, tmp_path: Path) -> None:
    """Only with --force; and --plain has no passphrase."""
    file = tmp_path / "file"
    file.write_text("precious")
    run = at(data_dir)
    assert run("sessions", "export", SID, file, "--plain", "--json").line["outcome"] == "exists"
    assert file.read_text() == "precious"
    assert run("sessions", "export", SID, file, "--plain", "--force").code == DONE
    assert run("sessions", "export", SID, file, "--plain", "--export-passphrase-file", file).code == USAGE
    missing = run("sessions", "export", SID, tmp_path / "no" / "file", "--plain")
    assert missing.code == FAILED
    assert "Error" in one_line(missing.err)


# -- repair, clean -------------------------------------------------------------------------


def test_repair_sets_damage_aside_and_deletes_nothing(data_dir: Path) -> None:
    """First looked at, then mended, then sound; the damaged bytes are in quarantine."""
    run = at(data_dir)
    damaged = snapshots(data_dir)[-1]
    flip(damaged)
    bytes_then = damaged.read_bytes()
    before = files(data_dir)
    looked = run("sessions", "repair", "--check")
    assert looked.code == FAILED
    assert damaged.name in looked.out
    assert files(data_dir) == before
    lines = {line["session"]: line for line in run("sessions", "repair", "--json").lines}
    assert lines[OTHER]["sound"] is True
    assert lines[SID]["repaired"] is True
    assert Path(lines[SID]["findings"][0]["kept"]).read_bytes() == bytes_then
    assert run("sessions", "repair", "--check").code == DONE
    assert set(run("sessions", "show", SID, "--document", "--json").line["workspaces"]) == {"w1", "w2", "w3"}


def test_repair_puts_a_key_files_copy_in_its_place(data_dir: Path) -> None:
    """Nothing can be opened before, and everything after."""
    run = at(data_dir)
    flip(data_dir / "keys")
    assert run("sessions", "show", SID, "--json").line["outcome"] == "corrupt"
    assert run("sessions", "repair", "--check").code == FAILED
    assert "copy is in its place" in run("sessions", "repair").out
    assert run("sessions", "show", SID).code == DONE


def test_cleaning_shows_first_and_does_what_it_showed(data_dir: Path) -> None:
    """Two sessions last used long ago go to the archive, when told to."""
    run = at(data_dir)
    before = files(data_dir)
    shown = run("sessions", "clean", "--json").lines
    assert {line["subject"] for line in shown} == {SID, OTHER}
    assert not any(line["done"] for line in shown)
    assert "Nothing was done yet" in run("sessions", "clean").out
    assert files(data_dir) == before
    done = run("sessions", "clean", "--yes", "--json").lines
    assert [{**line, "done": False} for line in done] == shown
    assert all(line["done"] for line in done)
    assert sorted(files(data_dir).values()) == sorted(before.values())
    assert "Nothing to tidy up" in run("sessions", "clean").out


def test_purging_has_to_be_asked_for(data_dir: Path) -> None:
    """And touches nothing young."""
    run = at(data_dir)
    run("sessions", "archive", SID)
    old = time.time() - 40 * 86_400
    for path in (data_dir / "archive").iterdir():
        os.utime(path, (old, old))
    assert {line["deed"] for line in run("sessions", "clean", "--json").lines} == {"archive"}
    # Moving a file counts as touching it, so what was archived just now is young whatever its bytes' age.
    assert {line["deed"] for line in run("sessions", "clean", "--purge", "--json").lines} == {"archive"}
    purged = run("sessions", "clean", "--purge", "--days", "0", "--yes", "--json").lines
    assert any(line["deed"] == "remove for good" and line["subject"] == SID for line in purged)
    assert not list((data_dir / "archive").glob(f"{SID}*"))
    assert list((data_dir / "archive").glob(f"{OTHER}*"))


# -- history and usage ---------------------------------------------------------------------


def test_a_history_is_asked_for_by_id_too(data_dir: Path) -> None:
    """Of that session alone."""
    lines = at(data_dir)("sessions", "history", SID[:6], "--json").lines
    assert [line["session"] for line in lines] == [SID]


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", SID, "--generation", "-1"],
        ["restore"],
        ["export", SID],
        ["import"],
        ["clean", "--days", "soon"],
        ["clean", "--days", "-1"],
        ["repair", "--check", "--accept-rollback"],
        ["archive", SID, OTHER],
        ["import", "-", "--passphrase-file", "-"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_two(data_dir: Path, arguments: list[str]) -> None:
    """Usage, one complaint, nothing on stdout, nothing touched."""
    before = files(data_dir)
    done = at(data_dir)("sessions", *arguments)
    assert (done.code, done.out) == (USAGE, "")
    assert "Error: " in done.err
    assert files(data_dir) == before


COMMANDS = ("list", "show", "history", "restore", "export", "import", "archive", "repair", "clean")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """With what it takes."""
    done = resilience("sessions", command, "--help")
    assert done.code == DONE
    for option in ("--json", "--data-dir"):
        assert option in done.out


def test_nothing_stored_is_no_error_and_makes_nothing(tmp_path: Path) -> None:
    """Looking at a directory that is not there."""
    run = at(tmp_path / "new")
    for command in (["list"], ["repair"], ["clean"], ["clean", "--purge"], ["history"]):
        assert run("sessions", *command).code == DONE
    assert run("sessions", "show", SID).code == FAILED
    assert not (tmp_path / "new").exists()
