"""Every error at every call: never a false acknowledgement, old data intact, honest words, and on it goes.

For each kind of fault, the n-th call that it concerns is refused, for every n, or all from the n-th on. What
is certain is told by a disk in memory, by the strictest reading: what no successful sync covers is lost. At
each acknowledgement, and at the end, a new process looks at exactly that.

What the journal's own promises add to this (what waits, what was lost) is in test_store_faults; the same
errors from the kernel's hand are in test_strace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from failing_disk import FAULTS, FailingDisk, Fault
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Medium
from store import StoreError
from workloads import WORKLOADS, Workload, Wrong
from wrapped_disks import Wrapped

HOME = Path("/disk/user")
DATA = HOME / "data"
EMPTY = Medium(dirs=frozenset({HOME}))
APPENDED = (".journal", ".edits")
"""Files that a killed writer may leave with half a record; others are replaced as a whole."""

BEFORE = 4
STEPS = 9
MORE = 3


@dataclass
class Outcome:
    """What one run showed."""

    happened: bool = False
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def begun(workload: Workload) -> Medium:
    """Let an earlier process leave something, and be killed in the middle of a write."""
    disk = FailingDisk(EMPTY, Fault((), 0), 0)
    work = workload.open(DATA, disk.seam())
    for _ in range(BEFORE):
        work.step()
    disk.memory.kill()
    medium = disk.certain()
    torn = {path: data + b"torn" for path, data in medium.files.items() if path.suffix in APPENDED}
    return Medium({**medium.files, **torn}, medium.dirs)


def found(workload: Workload, medium: Medium) -> int:
    """Return what a new process finds on a medium; nothing of use counts as less than nothing."""
    try:
        return workload.find(DATA, VirtualDisk(medium))
    except (Wrong, StoreError):
        return -1


def honest(exc: Exception, fault: Fault) -> str:
    """Return what is wrong with the words, or nothing."""
    if not isinstance(exc, StoreError | OSError):
        return f"raised {exc!r}"
    if exc.errno != fault.code:
        return f"{exc!r} does not name errno {fault.code}"
    if isinstance(exc, StoreError) and exc.advice not in str(exc):
        return f"{exc!r} says not what to do"
    return ""


def run(
    workload: Workload, medium: Medium, fault: Fault, n: int, kind: type[FailingDisk] = FailingDisk
) -> Outcome:
    """Live with a fault at the n-th call, and after it is gone."""
    disk, outcome = kind(medium, fault, n), Outcome()
    acked = BEFORE
    try:
        work = workload.open(DATA, disk.seam())
    except Exception as exc:  # noqa: BLE001 -- `honest` judges it
        outcome.happened = True
        outcome.faults += [honest(exc, fault)]
        disk.heal()
        disk.let_go()
        work = workload.open(DATA, disk.seam())
    tried = acked
    for step in range(STEPS + MORE):
        if step == STEPS:
            outcome.happened |= disk.happened
            disk.heal()
        tried += 1
        try:
            number = work.step()
        except Exception as exc:  # noqa: BLE001 -- as above
            outcome.refused += 1
            outcome.faults += [honest(exc, fault)] if step < STEPS else [f"healed, and still: {exc!r}"]
            continue
        acked = number
        if (there := found(workload, disk.certain())) < acked:
            outcome.faults += [f"{acked} acknowledged, {there} certain"]
    work.close()
    disk.memory.kill()
    if (there := found(workload, disk.certain())) != acked or acked < BEFORE + MORE:
        outcome.faults += [f"{acked} acknowledged, {there} certain in the end"]
    outcome.faults = [each for each in outcome.faults if each]
    return outcome


@pytest.mark.parametrize("case", FAULTS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_whichever_call_is_refused(name: str, case: str) -> None:
    """For every n."""
    workload = WORKLOADS[name]()
    workload.gaps = bool({"open", "lock", "unlink"}.intersection(FAULTS[case].calls))
    medium, wrong, happened = begun(workload), {}, 0
    for n in count():
        outcome = run(workload, medium, FAULTS[case], n)
        if outcome.faults:
            wrong[n] = outcome.faults[0]
        if not outcome.happened:
            break
        happened += 1
    assert wrong == {}
    kinds = set(FAULTS[case].calls)
    assert happened or not kinds & calls_of(workload, medium)


def calls_of(workload: Workload, medium: Medium) -> set[str]:
    """Return the kinds of calls that a run makes at all."""
    seen: set[str] = set()

    class Listening(Wrapped):
        def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
            seen.add(name)
            return super().called(name, call, path, words)

    work = workload.open(DATA, Listening(VirtualDisk(medium)).seam())
    for _ in range(STEPS):
        work.step()
    work.close()
    return seen


class HidesFailures(FailingDisk):
    """Tells nobody that a sync failed."""

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        try:
            return super().called(name, call, path, words)
        except OSError:
            if name == "sync":
                return None
            raise


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_failed_sync_that_is_passed_over_is_caught(name: str) -> None:
    """The same run, on a disk that hides the failure, acknowledges falsely."""
    workload = WORKLOADS[name]()
    medium, fault = begun(workload), FAULTS["EIO at one sync"]
    faults = [each for n in range(12) for each in run(workload, medium, fault, n, HidesFailures).faults]
    assert any("acknowledged" in fault for fault in faults)
