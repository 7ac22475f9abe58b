"""The kernel as a referee: what strace saw is what our disk logged, and its order keeps what was promised.

Everything that is proved on recorded or simulated disks rests on the log of the disk seam. Here the real
program runs under strace: each call on its directory is in that log, in that order, and none is beside it.
The trace is then judged by the rules alone (what must be synced at an acknowledgement), also with faults that
strace injects into the program.

RESILIENCE_LONG=1 injects at every call instead of some.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from confinement import LONG, TIMEOUT_S
from judging import judge
from tracing import broken_promises, require_strace, traced
from workloads import WORKLOADS

pytestmark = pytest.mark.timeout(TIMEOUT_S)

STEPS = 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory that is not there yet, in a directory that is not either."""
    require_strace()
    return tmp_path / "user" / "data"


def acked(calls: list[tuple[str, ...]]) -> list[int]:
    """Return what was acknowledged."""
    return [int(call[1]) for call in calls if call[0] == "ack"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_kernel_saw_what_the_disk_logged(data: Path, tmp_path: Path, name: str) -> None:
    """From the first directory on, and again when a second process finds a torn tail."""
    for life in (1, 2):
        found = traced(name, data, tmp_path, STEPS)
        assert [call for call in found.calls if call[0] != "ack"] == found.logged
        assert len(found.logged) > 2 * STEPS
        assert acked(found.calls) == list(range(STEPS * (life - 1) + 1, STEPS * life + 1))
        assert broken_promises(found.calls, WORKLOADS[name]()) == []
        workload = WORKLOADS[name]()
        logs = [each for each in data.rglob(f"*{workload.logs}") if each.parent.name in workload.precious]
        assert logs or not workload.precious
        for path in logs:
            with path.open("ab") as file:
                file.write(b"torn")
    assert judge(WORKLOADS[name](), data, 2 * STEPS, 2 * STEPS) == ""


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_sync_that_fails_once_is_never_believed(tmp_path: Path, name: str, call: str) -> None:
    """The kernel says yes when asked again, although the pages are gone: so nobody may ask."""
    require_strace()
    for n in count(1) if LONG else (1, 3):
        place = tmp_path / f"{n}"
        place.mkdir()
        found = traced(name, place / "user" / "data", place, STEPS, inject=f"{call}:error=EIO:when={n}")
        assert broken_promises(found.calls, WORKLOADS[name]()) == []
        told = found.words.count("refused: ")
        assert len(acked(found.calls)) + told == STEPS
        assert (
            judge(WORKLOADS[name](), place / "user" / "data", max(acked(found.calls), default=0), STEPS) == ""
        )
        if not found.injected:
            break
    assert LONG or found.injected


@pytest.mark.parametrize(
    ("left_out", "word"), [("sync", "part is renamed before"), ("sync_dir data", "the name")]
)
def test_a_program_that_leaves_out_a_sync_is_caught(
    data: Path, tmp_path: Path, left_out: str, word: str
) -> None:
    """By the order of its calls alone; and its log says what it claims, not what it did."""
    found = traced("replacement", data, tmp_path, 3, "--leave-out", left_out)
    assert any(word in each for each in broken_promises(found.calls, WORKLOADS["replacement"]()))
    assert [call for call in found.calls if call[0] != "ack"] != found.logged
