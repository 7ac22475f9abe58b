"""Power cuts on a file system that the kernel really calls, and that forgets whatever was not synced.

The enumeration in test_store_crash believes our own model of a disk, and our own log of calls. Here both are
replaced: the kernel's calls arrive at a FUSE file system, which knows only what fsync has made certain. The
power goes before each of them, in turn, and once more in the midst of the recovery.

A checker is only worth what it can catch: each sync of the store is left out in turn, found by the place in
the source that asks for it, and has to be missed.

RESILIENCE_LONG=1 cuts each recovery instead of some, of longer lives, and tosses for more mixtures of what
is left.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from confinement import LONG, TIMEOUT_S, report, require
from workloads import WORKLOADS

pytestmark = [pytest.mark.media, pytest.mark.timeout(TIMEOUT_S)]

RECOVERIES, MIXES = (1, 20) if LONG else (40, 1)
STEPS = {} if LONG else {"sessions": 9}
"""Where twelve would take too long: nine of a session's see three generations, and two of them go."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return where to mount it, if that can be done here."""
    require("fusermount3", device="/dev/fuse", package="fuse3")
    pytest.importorskip("mfusepy", exc_type=ImportError)
    return tmp_path / "forgetful"


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_acknowledged_step_survives_a_cut_at_every_call(place: Path, name: str) -> None:
    """Whatever the cut leaves: what was acknowledged is there, nothing is mixed, destroyed, or done twice."""
    words = ("--recoveries", RECOVERIES, "--mixes", MIXES, "--steps", STEPS.get(name, 12))
    found = report("fuse_bed.py", name, "cuts", place, *words)
    assert found["faults"] == {}
    assert found["cuts"] > 100
    assert found["media"] > 50


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_sync_in_the_source_is_needed(place: Path, name: str) -> None:
    """Leaving out any one of them, and nothing else, loses something."""
    found = report("fuse_bed.py", name, "sites", place)
    needless = WORKLOADS[name]().needless
    assert {site.rpartition(" ")[0] for site in found if found[site] == "needless"} == set(needless)
    assert [site for site, fault in found.items() if not fault] == []
    assert len(found) >= 2


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_disk_that_never_syncs_is_caught(place: Path, name: str) -> None:
    """The judge sees the lost acknowledgements themselves, where there is a store to be opened at all."""
    for left_out in sorted({"sync", f"sync {WORKLOADS[name]().logs}".strip()}):
        found = report("fuse_bed.py", name, "cuts", place, "--leave-out", left_out, "--until-caught")
        assert found["faults"]
    assert any("were acknowledged" in fault or "no document" in fault for fault in found["faults"])
