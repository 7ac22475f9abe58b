"""Power cuts on a real ext4: the file system most users have, with its own idea of what is certain when.

It lies in a file behind a loop device, and is cut off by the kernel itself: before each call of a workload,
and at random moments of a process that works. Then its journal is replayed, and the store recovers.

It forgives more than its promises say (a new file's fsync brings the file's name along), so not every sync
that is needed is missed here; the forgetful file system of test_media_fuse misses each.

What is acknowledged after a cut began does not count: the kernel lives on, unlike a machine without power,
and now and then tells an fdatasync under way that it succeeded.

RESILIENCE_LONG=1 cuts before every call instead of every second one, and at five hundred random moments
instead of twenty.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from confinement import LONG, TIMEOUT_S, report, require
from workloads import WORKLOADS

pytestmark = [pytest.mark.media, pytest.mark.timeout(TIMEOUT_S)]

ROUNDS, STRIDE = (500, 1) if LONG else (20, 2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory for the file and the mount, if both can be made here."""
    require("mkfs.ext4", device="/dev/loop-control", package="e2fsprogs")
    return tmp_path


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_acknowledged_step_survives_a_cut_before_each_call(place: Path, name: str) -> None:
    """In turn, from the first to the last."""
    found = report("ext4_bed.py", name, "calls", place, "--stride", STRIDE)
    assert found["faults"] == {}
    assert found["cuts"] > 25
    assert found["acked"] > 100


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_acknowledged_step_survives_a_cut_at_any_moment(place: Path, name: str) -> None:
    """While a process is at it, which goes on after each restart with what it finds."""
    found = report("ext4_bed.py", name, "moments", place, "--rounds", ROUNDS)
    assert found["faults"] == {}
    assert found["cuts"] == ROUNDS
    assert found["acked"] > ROUNDS


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("history", "sync"), ("replacement", "sync"), ("replacement", "sync_dir data")],
)
def test_a_missing_sync_is_caught(place: Path, name: str, left_out: str) -> None:
    """Where this file system does not forgive it."""
    found = report("ext4_bed.py", name, "calls", place, "--leave-out", left_out, "--until-caught")
    assert any("were acknowledged" in fault or "no document" in fault for fault in found["faults"])


def test_a_missing_sync_is_caught_at_random_moments(place: Path) -> None:
    """Some time before the rounds are over: how soon depends on when the kernel writes by itself."""
    words = ("--rounds", 400, "--leave-out", "sync", "--until-caught")
    found = report("ext4_bed.py", "replacement", "moments", place, *words)
    assert found["faults"]
    assert found["cuts"] < 400
