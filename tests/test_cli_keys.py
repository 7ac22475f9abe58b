"""`resilience keys …` from outside: choosing, changing, rotating; and no secret wherever one looks."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from commanding import (
    CANARY,
    DONE,
    FAILED,
    USAGE,
    Ran,
    at,
    files,
    flip,
    keyring,
    loose_modes,
    resilience,
    snapshots,
    work,
)
from shelves import SID, shelf
from store.credentials import Credentials, Token
from store.disk import RealDisk
from store.keys import Keychain, KeyringVault
from store.keys import keychain as keychain_module
from store.keys.passphrase import Cost
from store.sessions import Sessions, portable, this_process
from vaults import MemoryVault

__all__ = ["keyring"]

ROOT = Path(__file__).resolve().parent.parent
OLD, NEW = "old secret of mine", "näw secret of mine"
GENEROUS_S = 20.0


pytestmark = pytest.mark.usefixtures("keyring", "cheap_passphrases")


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real passphrase takes 64 MiB and a tenth of a second to try; these commands try many."""
    for module in (keychain_module, portable):
        monkeypatch.setattr(module, "Cost", lambda: Cost(memory_kib=64, iterations=1, lanes=1))


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, Path]:
    """Files that hold passphrases."""
    found = {}
    for name, text in (("old", OLD + "\n"), ("new", NEW), ("wrong", "wrong\r\n"), ("empty", "\n")):
        found[name] = tmp_path / name
        found[name].write_text(text, encoding="utf-8")
    return found


@pytest.fixture
def data_dir(tmp_path: Path, secrets: dict[str, Path]) -> Path:
    """Protected by a passphrase, with a session in it."""
    where = tmp_path / "data"
    done = at(where)("keys", "protect", "passphrase", "--new-passphrase-file", secrets["old"])
    assert done.code == DONE, done.err
    work(unlocked(where, OLD))
    return where


def unlocked(data_dir: Path, passphrase: str) -> Sessions:
    """Open it as a host would."""
    disk = RealDisk()
    keychain = Keychain.open(data_dir, disk, KeyringVault())
    keychain.unlock(passphrase)
    return Sessions(data_dir, disk, keychain, owner=this_process(), wall=lambda: 1000.0, entropy=os.urandom)


def shown(data_dir: Path, secret: Path | None) -> Ran:
    """Look at the session with that passphrase."""
    given = ["--passphrase-file", str(secret)] if secret else []
    return at(data_dir)("sessions", "show", SID, "--document", "--json", *given)


# -- status --------------------------------------------------------------------------------


def test_status_before_anything_was_chosen(tmp_path: Path) -> None:
    """Says so, and how to choose; makes nothing."""
    done = at(tmp_path / "new")("keys", "status")
    assert done.code == DONE
    assert "keys protect" in done.out
    line = at(tmp_path / "new")("keys", "status", "--json").line
    assert (line["protection"], line["state"], line["keys"]) == (None, "undecided", [])
    assert not (tmp_path / "new").exists()


def test_status_names_keys_and_never_what_they_are(data_dir: Path, secrets: dict[str, Path]) -> None:
    """Locked without the passphrase, ready with it, wrong with another."""
    line = at(data_dir)("keys", "status", "--json").line
    assert (line["protection"], line["state"]) == ("passphrase", "locked")
    (key,) = line["keys"]
    assert (key["state"], key["files"] > 0) == ("active", True)
    good = at(data_dir)("keys", "status", "--unlock", "--json", "--passphrase-file", secrets["old"])
    assert (good.code, good.line["state"]) == (DONE, "ready")
    bad = at(data_dir)("keys", "status", "--unlock", "--json", "--passphrase-file", secrets["wrong"])
    assert bad.code == FAILED
    assert "wrong key" in bad.line["error"]


def test_status_says_which_keys_are_missing(data_dir: Path) -> None:
    """Files name one, and the key file is gone: exit 1, and never a new key over it."""
    named = at(data_dir)("keys", "status", "--json").line["keys"][0]["id"]
    for name in ("keys", "keys.bak"):
        (data_dir / name).unlink()
    done = at(data_dir)("keys", "status", "--json")
    assert (done.code, done.line["unknown"]) == (FAILED, [named])
    for protection in (["insecure", "--yes-insecure"], ["keyring"]):
        refused = at(data_dir)("keys", "protect", *protection, "--json")
        assert (refused.code, refused.line["outcome"]) == (FAILED, "missing key")
        assert named in refused.line["error"]
    assert not (data_dir / "keys").exists()


def test_a_damaged_key_file_says_what_helps(data_dir: Path) -> None:
    """Every keys command: corrupt, and the command that mends it."""
    flip(data_dir / "keys")
    for command in (["status"], ["rotate"], ["set-passphrase"], ["protect", "keyring"]):
        done = at(data_dir)("keys", *command, "--json")
        assert (done.code, done.line["outcome"]) == (FAILED, "corrupt")
        assert "sessions repair" in done.line["advice"]


# -- choosing ------------------------------------------------------------------------------


def test_insecure_has_to_be_meant(tmp_path: Path) -> None:
    """A usage error that says what it means; then with a warning."""
    run = at(tmp_path / "data")
    done = run("keys", "protect", "insecure")
    assert done.code == USAGE
    assert "whoever can read" in done.err
    assert "--yes-insecure" in done.err
    assert not (tmp_path / "data").exists()
    done = run("keys", "protect", "insecure", "--yes-insecure")
    assert done.code == DONE
    assert "INSECURE" in done.err
    assert loose_modes(tmp_path / "data") == []
    assert run("keys", "protect", "keyring", "--yes-insecure").code == USAGE


def test_volatile_keeps_nothing(tmp_path: Path) -> None:
    """And an import says so."""
    run = at(tmp_path / "data")
    assert run("keys", "protect", "volatile").code == DONE
    (tmp_path / "file").write_text("{}")
    assert run("sessions", "import", tmp_path / "file", "--json").line["outcome"] == "volatile"


def test_a_machine_without_a_keyring_says_so(
    data_dir: Path, secrets: dict[str, Path], keyring: MemoryVault
) -> None:
    """Refused with the choices there are; the passphrase goes on working."""
    keyring.refuses = "there is none on this machine"
    done = at(data_dir)("keys", "protect", "keyring", "--json", "--passphrase-file", secrets["old"])
    assert (done.code, done.line["outcome"]) == (FAILED, "refused")
    assert "passphrase" in done.line["advice"]
    assert shown(data_dir, secrets["old"]).code == DONE


def test_into_the_keyring_and_out_again(
    data_dir: Path, secrets: dict[str, Path], keyring: MemoryVault
) -> None:
    """No passphrase is needed any more; an entry that is lost is a missing key, and none is made for it."""
    run = at(data_dir)
    assert run("keys", "protect", "keyring", "--passphrase-file", secrets["old"]).code == DONE
    assert shown(data_dir, None).code == DONE
    assert run("keys", "rotate", "--json").line["finished"] is True
    kept = dict(keyring.entries)
    keyring.entries.clear()
    assert shown(data_dir, None).line["outcome"] == "missing key"
    assert run("keys", "rotate", "--json").line["outcome"] == "missing key"
    assert keyring.entries == {}
    keyring.entries.update(kept)
    new = ["--new-passphrase-file", secrets["new"]]
    assert run("keys", "protect", "passphrase", *new).code == DONE
    assert shown(data_dir, secrets["new"]).code == DONE


def test_a_lost_key_file_is_found_again_in_the_keyring(data_dir: Path, secrets: dict[str, Path]) -> None:
    """By what the files name."""
    run = at(data_dir)
    assert run("keys", "protect", "keyring", "--passphrase-file", secrets["old"]).code == DONE
    for name in ("keys", "keys.bak"):
        (data_dir / name).unlink()
    assert run("sessions", "show", SID).code == FAILED
    assert run("sessions", "repair", "--check").code == FAILED
    assert run("sessions", "repair").code == DONE
    assert shown(data_dir, None).code == DONE


def test_from_insecure_to_a_passphrase_and_to_a_new_key(tmp_path: Path, secrets: dict[str, Path]) -> None:
    """The same keys, better kept; and the hint that the old key was seen."""
    where = tmp_path / "data"
    work(shelf(where))
    keychain = Keychain.open(where, RealDisk(), KeyringVault())
    keychain.unlock()
    secret = keychain.active().secret
    done = at(where)("keys", "protect", "passphrase", "--new-passphrase-file", secrets["new"])
    assert "keys rotate" in done.out
    assert not any(secret.hex().encode() in data or secret in data for data in files(where).values())
    assert shown(where, secrets["new"]).code == DONE
    again = at(where)("keys", "protect", "passphrase")
    assert (again.code, "set-passphrase" in again.out) == (DONE, True)
    rotated = at(where)("keys", "rotate", "--json", "--passphrase-file", secrets["new"]).line
    assert (rotated["finished"], len(rotated["forgotten"])) == (True, 1)
    assert shown(where, secrets["new"]).code == DONE


# -- changing ------------------------------------------------------------------------------


def test_a_new_passphrase_opens_and_the_old_one_does_not(data_dir: Path, secrets: dict[str, Path]) -> None:
    """No session file is touched."""
    before = {name: data for name, data in files(data_dir).items() if name.startswith("sessions/")}
    done = at(data_dir)(
        "keys",
        "set-passphrase",
        "--passphrase-file",
        secrets["old"],
        "--new-passphrase-file",
        secrets["new"],
    )
    assert done.code == DONE, done.err
    assert shown(data_dir, secrets["new"]).code == DONE
    assert shown(data_dir, secrets["old"]).line["outcome"] == "wrong key"
    after = {name: data for name, data in files(data_dir).items() if name.startswith("sessions/")}
    assert after == before


@pytest.mark.parametrize(
    ("old", "new"), [("wrong", "new"), ("empty", "new"), ("old", "empty"), ("gone", "new")]
)
def test_what_cannot_be_changed_stays_as_it_was(
    data_dir: Path, secrets: dict[str, Path], tmp_path: Path, old: str, new: str
) -> None:
    """A wrong old one, an empty new one, a file that is not there."""
    before = files(data_dir)
    given = ["--passphrase-file", secrets.get(old, tmp_path / old), "--new-passphrase-file", secrets[new]]
    done = at(data_dir)("keys", "set-passphrase", *given, "--json")
    assert done.code == FAILED
    assert done.line["advice"]
    assert files(data_dir) == before


def test_rotation_goes_on_after_what_was_open(data_dir: Path, secrets: dict[str, Path]) -> None:
    """Exit 1 and what to do; then finished."""
    opened = unlocked(data_dir, OLD).open(SID)
    run = at(data_dir)
    done = run("keys", "rotate", "--passphrase-file", secrets["old"])
    assert done.code == FAILED
    assert "again" in done.out
    opened.close()
    line = run("keys", "rotate", "--json", "--passphrase-file", secrets["old"]).line
    assert line["finished"] is True
    assert shown(data_dir, secrets["old"]).code == DONE


# -- where passphrases come from -----------------------------------------------------------


def test_a_passphrase_comes_from_a_file_stdin_or_the_environment(
    data_dir: Path, secrets: dict[str, Path]
) -> None:
    """And without any of them it is said how to give one; nobody waits for an answer."""
    run = at(data_dir)
    command = ("sessions", "show", SID, "--json")
    assert run(*command, "--passphrase-file", secrets["old"]).code == DONE
    assert run(*command, "--passphrase-file", "-", stdin=OLD + "\n").code == DONE
    assert run(*command, environment={"RESILIENCE_PASSPHRASE": OLD}).code == DONE
    done = run(*command)
    assert (done.code, done.line["outcome"]) == (FAILED, "locked key")
    assert "--passphrase-file" in done.line["advice"]
    assert "RESILIENCE_PASSPHRASE" in done.line["advice"]


def test_no_command_takes_a_passphrase_as_an_argument() -> None:
    """It would stand in the list of processes and in the shell's history."""
    for command in (["protect"], ["rotate"], ["set-passphrase"], ["status"]):
        text = resilience("keys", *command, "--help").out
        assert "--passphrase " not in text
        assert "--passphrase=" not in text
    assert at(Path("unused"))("keys", "rotate", "--passphrase", "x").code == USAGE


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_at_a_terminal_it_is_asked_for_and_not_shown(data_dir: Path) -> None:
    """The prompt, an answer that is not echoed, and the document on stdout alone."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "resilience",
            "sessions",
            "show",
            SID,
            "--document",
            "--data-dir",
            str(data_dir),
        ],
        cwd=ROOT,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        said = b""
        while b"passphrase" not in said:
            said += os.read(master, 1000)
        os.write(master, OLD.encode() + b"\n")
        out, _ = process.communicate(timeout=GENEROUS_S)
        assert process.returncode == DONE
        assert CANARY.encode() in out
        said += os.read(master, 1000)
    os.close(master)
    assert OLD.encode() not in said + out


# -- the canary ----------------------------------------------------------------------------


def test_no_secret_in_anything_that_is_written_or_said(
    data_dir: Path, tmp_path: Path, secrets: dict[str, Path]
) -> None:
    """All commands, well and wrong, and then every byte of the directory, of exports and of both outputs."""
    token = "Zebra-token-canary-0815"  # noqa: S105 -- the tests' own
    sessions = unlocked(data_dir, OLD)
    Credentials(data_dir, RealDisk(), sessions.keychain).set("lab", Token(token))
    keys = [sessions.keychain.active().secret]
    (tmp_path / "out").mkdir()
    old: list[str | Path] = ["--passphrase-file", secrets["old"]]
    new: list[str | Path] = ["--new-passphrase-file", secrets["new"]]
    wrong: list[str | Path] = ["--passphrase-file", secrets["wrong"]]
    export: list[str | Path] = ["--export-passphrase-file", secrets["new"]]
    file = tmp_path / "out" / "session.export"
    flip(snapshots(data_dir)[0])
    commands: list[list[str | Path]] = [
        ["sessions", "list"],
        ["sessions", "history"],
        ["sessions", "show", SID, *wrong],
        ["sessions", "repair", *old],
        ["sessions", "export", SID, file, *export, *old],
        ["sessions", "import", file, *export, *old],
        ["sessions", "import", file, *export, *wrong],
        ["sessions", "restore", SID, "--generation", "2", *old],
        ["sessions", "archive", SID],
        ["sessions", "clean", "--days", "0", "--purge"],
        ["sessions", "restore", SID],
        ["keys", "status", "--unlock", *old],
        ["keys", "rotate", *old],
        ["keys", "set-passphrase", *wrong, *new],
        ["keys", "set-passphrase", *old, *new],
        ["keys", "protect", "keyring", *old],
        ["doctor", "--passphrase-file", secrets["new"]],
        ["doctor", *wrong],
    ]
    said: list[str] = []
    for command in commands:
        for json in ([], ["--json"]):
            done = at(data_dir)(*command, *json)
            assert done.code in (DONE, FAILED, USAGE), done.err
            said += [done.out, done.err]
    keys.append(unlocked(data_dir, NEW).keychain.active().secret)
    written = files(data_dir) | {"export": file.read_bytes()}
    assert len(written) > 10
    for secret in (OLD, NEW, token, CANARY, *(key.hex() for key in keys)):
        assert not any(secret.encode() in data for data in written.values()), secret
        assert not any(secret in words for words in said), secret
        assert not any(secret in name for name in written), secret
    for key in keys:
        assert not any(key in data for data in written.values())
    assert loose_modes(data_dir) == []
    # And the search can find something: the same in plain is full of it.
    at(data_dir)(
        "sessions", "export", SID, tmp_path / "plain", "--plain", "--passphrase-file", secrets["new"]
    )
    assert CANARY.encode() in (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ["protect"],
        ["protect", "nonsense"],
        ["rotate", "now"],
        ["set-passphrase", "--new-passphrase-file"],
        ["nonsense"],
        ["set-passphrase", "--passphrase-file", "-", "--new-passphrase-file", "-"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_two(data_dir: Path, arguments: list[str]) -> None:
    """One complaint, nothing on stdout, nothing touched."""
    before = files(data_dir)
    done = at(data_dir)("keys", *arguments)
    assert (done.code, done.out) == (USAGE, "")
    assert "Error: " in done.err
    assert files(data_dir) == before
