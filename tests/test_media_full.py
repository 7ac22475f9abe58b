"""A file system that is really full: every workload says so, goes on, and catches up when there is room.

What the journal alone does there, with its reserve, is in test_store_mounts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from confinement import report, require
from workloads import WORKLOADS

pytestmark = pytest.mark.media


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_full_disk_costs_nothing_that_was_acknowledged(tmp_path: Path, name: str) -> None:
    """Refused honestly and often; what a process with room finds meanwhile is right; then all is saved."""
    require("mount")
    found = report("full_bed.py", name, tmp_path)
    assert found["early"] == 7
    assert found["refused"] == 10
    assert found["said"] == []  # nothing but "no space"
    assert found["while full"] == ""
    assert found["with room"] == "acknowledged"
    assert found["after"] == ""
    assert found["late"] == "acknowledged" or "space" in found["late"] or not found["late"]
    assert found["copy"] == ""
