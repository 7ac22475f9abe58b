"""The keychain against gnome-keyring over D-Bus: unlocked, locked, absent, gone, and killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import keyring_session

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = ("dbus-run-session", "gnome-keyring-daemon")
LACKING = [program for program in NEEDED if not shutil.which(program)]

pytestmark = [
    pytest.mark.keyring,
    pytest.mark.skipif(sys.platform != "linux", reason="the Secret Service is Linux's keyring"),
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: sockets are made in it."""
    with tempfile.TemporaryDirectory(prefix="keyring-") as path:
        yield Path(path)


def command(scene: str, folder: Path, *, bus: bool) -> list[str]:
    """Return the program that plays a scene, in a session of its own or without any."""
    outer = ["outer"] if bus else []
    return [sys.executable, keyring_session.__file__, *outer, scene, str(folder)]


@contextmanager
def playing(scene: str, folder: Path, *, bus: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Start a scene; at the end of the block its whole process group is gone."""
    environment = keyring_session.environment(folder)
    root = str(Path(__file__).resolve().parent.parent)
    with subprocess.Popen(
        command(scene, folder, bus=bus),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**environment, "PYTHONPATH": root},
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it leads the group, and has not been waited for


def play(scene: str, folder: Path, *, bus: bool = True) -> dict[str, object]:
    """Return what a scene saw."""
    with playing(scene, folder, bus=bus) as process:
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    seen: dict[str, object] = json.loads(out.splitlines()[-1])
    return seen


def test_unlocked(folder: Path) -> None:
    """Keys are made, found again by another process, rotated and forgotten; none is on the disk."""
    seen = play("unlocked", folder)
    assert float(str(seen.pop("took_s"))) < keyring_session.PATIENCE_S / 2
    assert seen == {"before": "locked", "same": True, "rotated": True, "secret on disk": False}


def test_locked(folder: Path) -> None:
    """Locked is said, at once; nothing is made anew; and unlocked it has the same key."""
    seen = play("locked", folder)
    assert str(seen["unlock"]).startswith("LockedKey:")
    assert "KeyringLocked" in str(seen["unlock"])
    assert str(seen["active"]).startswith("LockedKey:")
    assert str(seen["choose"]).startswith("LockedKey:")
    assert (seen["state"], seen["ids"]) == ("locked", True)
    assert (seen["after"], seen["same"]) == ("fine", True)


@pytest.mark.parametrize("bus", [True, False])
def test_absent(folder: Path, *, bus: bool) -> None:
    """Without a keyring on the bus, or without a bus: another choice is asked for, and nothing is written."""
    seen = play("absent", folder, bus=bus)
    assert str(seen["choose"]).startswith("KeyChoiceRefused:")
    assert "no keyring on this machine" in str(seen["choose"])
    assert "passphrase" in str(seen["choose"])
    assert (seen["state"], seen["files"]) == ("undecided", [])


def test_gone_and_back(folder: Path) -> None:
    """A keyring that is not there is not one that lost the key; a process need not be restarted."""
    seen = play("gone", folder)
    assert str(seen["unlock"]).startswith("LockedKey:")
    assert (seen["state"], seen["after"], seen["same"]) == ("locked", "fine", True)


def test_killed_in_the_middle(folder: Path) -> None:
    """A call that hangs ends in time; one whose keyring dies is named; the key is there afterwards."""
    seen = play("killed", folder)
    for step in ("stopped", "stopped again"):
        assert str(seen[step]).startswith("LockedKey:")
        assert "no answer within 1 s" in str(seen[step])
    assert seen["goes on"] == "fine"
    assert str(seen["killed"]).startswith("LockedKey:")
    assert (seen["state"], seen["after"], seen["same"]) == ("locked", "fine", True)


def test_nothing_outlives_a_test_that_is_killed(folder: Path) -> None:
    """Bus, keyring and scene die with whoever started them, even by SIGKILL."""
    starter = [
        sys.executable,
        "-c",
        "import subprocess, sys; subprocess.run(sys.argv[1:], start_new_session=True)",
        *command("waits", folder, bus=True),
    ]
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**keyring_session.environment(folder), "PYTHONPATH": root}
    with subprocess.Popen(starter, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        pids = json.loads(process.stdout.readline())["pids"]
        group = os.getpgid(pids[0])
        try:
            assert group not in (os.getpgrp(), process.pid)
            assert all(running(pid) for pid in pids)
            process.kill()
            until = time.monotonic() + 20
            while time.monotonic() < until and group_runs(group):
                time.sleep(0.05)
            assert not group_runs(group)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def running(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def group_runs(group: int) -> bool:
    """Tell whether any process of a group is there and no zombie."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.getpgid(int(entry.name)) == group and running(int(entry.name)):
                    return True
    return False
