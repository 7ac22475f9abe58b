"""`resilience doctor`: each thing it looks at can be wrong, is named then, and comes with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from commanding import DONE, FAILED, at, files, flip, furnished, keyring, snapshots
from resilience.cli import doctor_store
from resilience.network.kernel import OwnKernel
from resilience.network.messages import NetlinkError
from shelves import SID
from store.disk import RealDisk
from vaults import MemoryVault

__all__ = ["keyring"]

CHECKS = [
    "data directory",
    "permissions",
    "durability",
    "locks",
    "keyring",
    "keys",
    "sessions",
    "journal",
    "network",
    "silence",
    "libzmq",
    "limits",
]


pytestmark = pytest.mark.usefixtures("keyring")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Two sessions, a journal, insecure keys."""
    return furnished(tmp_path / "data").places.data_dir


def findings(data_dir: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """Every line by its check; the worst, where a check has several."""
    order = {"ok": 0, "warn": 1, "fail": 2}
    found: dict[str, dict[str, Any]] = {}
    for line in at(data_dir)("doctor", "--json", **options).lines:
        assert line["event"] == "check"
        assert line["verdict"] == "ok" or line["advice"] or "Run" in line["words"] or "." in line["words"]
        if order[line["verdict"]] >= order[found.get(line["check"], line)["verdict"]]:
            found[line["check"]] = line
    return found


def test_every_check_is_made_and_told(data_dir: Path) -> None:
    """For programs and for people; nothing in the directory changes."""
    before = files(data_dir)
    found = findings(data_dir)
    assert list(found) == CHECKS
    assert {each["verdict"] for each in found.values()} <= {"ok", "warn"}
    assert found["sessions"]["words"].startswith("2 sessions")
    assert found["libzmq"]["words"].startswith(f"libzmq {zmq.zmq_version()}")
    done = at(data_dir)("doctor")
    assert done.code == DONE
    for check in CHECKS:
        assert check in done.out
    assert "wrong" in done.out
    assert files(data_dir) == before
    assert [path.name for path in data_dir.iterdir() if path.name.startswith(".doctor")] == []


def test_a_directory_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    """And is not made."""
    done = at(tmp_path / "new")("doctor")
    assert done.code == DONE, done.out
    assert list(tmp_path.iterdir()) == []


def test_insecure_keys_are_warned_of(data_dir: Path) -> None:
    """With the way out."""
    line = findings(data_dir)["keys"]
    assert line["verdict"] == "warn"
    assert "keys protect" in line["advice"]


def test_a_keyring_is_told_as_it_is(data_dir: Path, keyring: MemoryVault) -> None:
    """Usable; unusable, which is only known of; unusable with our keys in it, which is a failure."""
    assert findings(data_dir)["keyring"]["verdict"] == "ok"
    keyring.refuses = "it is asleep"
    line = findings(data_dir)["keyring"]
    assert (line["verdict"], line["words"]) == ("warn", "it is asleep")
    keyring.refuses = None
    assert at(data_dir)("keys", "protect", "keyring").code == DONE
    assert findings(data_dir)["keys"]["verdict"] == "ok"
    keyring.refuses = "it is asleep"
    found = findings(data_dir)
    assert found["keyring"]["verdict"] == "fail"
    assert "locked key" in found["keys"]["words"]


def test_a_missing_key_is_a_failure(data_dir: Path) -> None:
    """Files name it, the key file is gone: exit 1."""
    for name in ("keys", "keys.bak"):
        (data_dir / name).unlink()
    assert findings(data_dir)["keys"]["verdict"] == "fail"
    assert at(data_dir)("doctor").code == FAILED


def test_a_damaged_key_file_does_not_hide_the_rest(data_dir: Path) -> None:
    """The other checks are made all the same."""
    flip(data_dir / "keys")
    found = findings(data_dir)
    assert found["keys"]["verdict"] == "fail"
    assert list(found) == CHECKS


def test_a_damaged_session_is_named_with_what_to_do(data_dir: Path) -> None:
    """By its id, with the file and the command; an older copy too."""
    flip(snapshots(data_dir)[-1])
    line = findings(data_dir)["sessions"]
    assert line["verdict"] == "fail"
    assert SID[:8] in line["words"]
    assert snapshots(data_dir)[-1].name in line["words"]
    assert "sessions repair" in line["advice"]
    for path in (data_dir / "sessions").glob(f"{SID}-*[23].*"):
        path.unlink()
    for path in (data_dir / "sessions").glob(f"{SID}-*.edits"):
        path.unlink()
    assert "rolled back" in findings(data_dir)["sessions"]["words"]
    assert at(data_dir)("doctor").code == FAILED


def test_a_damaged_journal_is_warned_of(data_dir: Path) -> None:
    """It is kept and worked around."""
    segment = next((data_dir / "journal").iterdir())
    flip(segment, 0)
    assert findings(data_dir)["journal"]["verdict"] == "warn"


@pytest.mark.skipif(sys.platform == "win32", reason="modes mean little there")
def test_files_that_others_can_read_are_warned_of(data_dir: Path) -> None:
    """With the command that closes them."""
    (data_dir / "keys").chmod(0o644)
    line = findings(data_dir)["permissions"]
    assert line["verdict"] == "warn"
    assert "keys" in line["words"]
    assert "chmod" in line["advice"]


def test_a_disk_without_locks_or_with_careless_ones_fails(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are told apart from one that works."""

    def refused(*_: object) -> bool:
        raise OSError(38, "Function not implemented")

    for lock, words in ((refused, "cannot be locked"), (lambda *_: True, "keep nobody out")):
        monkeypatch.setattr(RealDisk, "lock", lock)
        line = findings(data_dir)["locks"]
        assert line["verdict"] == "fail"
        assert words in line["words"]


def test_a_disk_that_cannot_sync_fails(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried for real, in a directory of its own."""

    def refused(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(RealDisk, "sync", refused)
    line = findings(data_dir)["durability"]
    assert (line["verdict"], "Input/output" in line["words"]) == ("fail", True)
    assert line["advice"]


@pytest.mark.parametrize(
    ("kind", "options", "verdict"),
    [
        ("ext4", set(), "ok"),
        ("tmpfs", set(), "fail"),
        ("ext4", {"nobarrier"}, "fail"),
        ("ext4", {"barrier=0"}, "fail"),
        ("nfs4", set(), "warn"),
    ],
)
def test_file_systems_are_told_apart(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: set[str], verdict: str
) -> None:
    """Those that forget, those that lie, those that are somebody else's."""
    monkeypatch.setattr(doctor_store, "_mount", lambda _: (kind, options))
    line = findings(data_dir)["durability"]
    assert (line["verdict"], kind in line["words"]) == (verdict, True)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A real file system in memory."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux, for a tmpfs of its own")
    where = tmp_path / "with space"
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("needs a tmpfs of its own")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_a_real_file_system_in_memory_is_recognised(tmpfs: Path) -> None:
    """Also below a name that the kernel writes with escapes."""
    found = findings(tmpfs / "data")
    assert found["durability"]["verdict"] == "fail"
    assert "tmpfs" in found["durability"]["words"]
    assert found["data directory"]["verdict"] == "warn"


def test_without_rtnetlink_it_says_what_is_done_instead(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning, not a failure: it polls."""

    def refused(_: object) -> None:
        raise NetlinkError("listening to the kernel", "refused here")

    monkeypatch.setattr(OwnKernel, "announcements", refused)
    line = findings(data_dir)["network"]
    assert line["verdict"] == "warn"
    assert "refused here" in line["words"]


def test_an_old_libzmq_fails(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It drops connections while an image works."""
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 4))
    line = findings(data_dir)["libzmq"]
    assert (line["verdict"], "pyzmq" in line["advice"]) == ("fail", True)


def test_few_open_files_are_warned_of(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to have more."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 4096))
    line = findings(data_dir)["limits"]
    assert line["verdict"] == "warn"
    assert "ulimit" in line["advice"]


def test_a_check_that_breaks_is_told_and_hides_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is."""

    def broken(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(doctor_store, "_permissions", broken)
    found = findings(data_dir)
    assert found["permissions"]["verdict"] == "fail"
    assert list(found) == CHECKS
