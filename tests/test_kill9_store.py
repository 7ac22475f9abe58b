"""`kill -9`, SIGSTOP and SIGCONT at random moments: no workload's acknowledgement is ever taken back.

A process works until it is killed, somewhere between two calls or in the middle of one; what it acknowledged
is compared with what is there; the next one recovers and goes on. Some are stopped first, with their locks in
hand, and looked at by another process. Power cuts are other tests' business: here the kernel lives on.

RESILIENCE_KILL_ROUNDS=1000 kills each workload's processes as many times instead of sixty.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from confinement import report
from workloads import WORKLOADS

ROUNDS = int(os.environ.get("RESILIENCE_KILL_ROUNDS", "60"))
TIMEOUT_S = 100 + ROUNDS

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.timeout(TIMEOUT_S + 10),
]


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_acknowledgement_is_taken_back_by_a_kill(tmp_path: Path, name: str) -> None:
    """Round after round on one directory."""
    found = report("kill_bed.py", name, tmp_path, "--rounds", ROUNDS, timeout_s=TIMEOUT_S)
    assert found["faults"] == {}
    assert found["killed"] == ROUNDS
    assert found["acked"] > 2 * ROUNDS
    if ROUNDS >= 60:  # the moments were well chosen
        assert found["stopped"] > found["woken"] > 0
        assert found["killed in the middle"] > 0


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_program_that_only_says_it_wrote_is_caught(tmp_path: Path, name: str) -> None:
    """It cannot go on, or the judge sees that nothing is there; the latter, if only its logs are empty."""
    for left_out in sorted({"write", f"write {WORKLOADS[name]().logs}".strip()}):
        place = tmp_path / left_out
        place.mkdir()
        found = report("kill_bed.py", name, place, "--rounds", 3, "--leave-out", left_out)
        assert any("damaged" in fault or known(fault) for fault in found["faults"])
    assert any(known(fault) for fault in found["faults"])


def known(fault: str) -> bool:
    """Whether a fault says that bytes are missing which were acknowledged."""
    return "were acknowledged" in fault or "no document" in fault
