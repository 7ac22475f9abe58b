"""The beds of tests themselves: killed with whoever started them, they leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from confinement import SUPPORT, require

PATIENCE_S = 20.0

STARTER = """
import sys
sys.path.insert(0, sys.argv[1])
from confinement import report
report(*sys.argv[2:])
"""


def alive(mark: str) -> list[int]:
    """Return the processes that have these words in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def loops(mark: str) -> list[str]:
    """Return the loop devices whose file is below a path."""
    said = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if mark in line]


@pytest.mark.media
@pytest.mark.parametrize(
    "words",
    [
        ("fuse_bed.py", "history", "cuts", "PLACE", "--recoveries", "1"),
        ("ext4_bed.py", "history", "moments", "PLACE", "--rounds", "100000"),
        ("kill_bed.py", "history", "PLACE", "--rounds", "100000"),
    ],
    ids=lambda words: words[0],
)
def test_a_killed_bed_leaves_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    """No process, no mount that anybody sees, no loop device."""
    require("mkfs.ext4", "fusermount3", device="/dev/fuse")
    place = tmp_path / "place"
    place.mkdir()
    command = [str(place) if word == "PLACE" else word for word in words]
    mark = str(place)
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(SUPPORT), *command])
    try:
        deadline = time.monotonic() + PATIENCE_S
        # The starter, the bed, and in each of them one process more or a device.
        while len(alive(mark)) + len(loops(mark)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert mark not in Path("/proc/self/mounts").read_text()
    finally:
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait()
    deadline = time.monotonic() + PATIENCE_S
    while left := [*alive(mark), *loops(mark)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
