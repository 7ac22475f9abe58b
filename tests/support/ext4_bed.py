"""Power cuts of a real ext4: before each call of a workload in turn, and at random moments of a process.

``python ext4_bed.py NAME calls|moments PLACE`` runs one workload on it and reports in JSON on the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from confinement import PARENT, die_with_parent, own_mounts
from judging import judge
from loopdisk import LoopDisk
from store import RealDisk, StoreError
from workloads import WORKLOADS, Workload, lives
from wrapped_disks import CHANGES, LeavingOut

STEPS = 12
MOMENT_S = 0.06
"""The longest a process works before the power goes: dozens of steps."""


class CutBefore(LeavingOut):
    """Cuts the power before the n-th change."""

    def __init__(self, cut: Callable[[], None], changes: int, leave_out: str) -> None:
        super().__init__(leave_out)
        self.cut = cut
        self.changes = changes
        self.seen = 0

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        if name in CHANGES:
            self.seen += 1
            if self.seen - 1 == self.changes:
                self.cut()
        return super().called(name, call, path, words)


class Bed:
    """One workload on one ext4."""

    def __init__(self, disk: LoopDisk, name: str, leave_out: str) -> None:
        self.disk = disk
        self.workload: Workload = WORKLOADS[name]()
        self.leave_out = leave_out
        self.cuts = 0
        self.acked = 0
        self.belied = 0
        self.data = disk.mount / "user" / "data"

    def calls(self, stride: int) -> Iterator[str]:
        """Cut before each `stride`-th change; yield what is wrong after each."""
        for changes in count(0, stride):
            self.data = self.disk.mount / f"user-{changes}" / "data"  # removing the last one could be undone
            seam = CutBefore(self.disk.cut, changes, self.leave_out)
            acked = 0
            with suppress(StoreError, OSError):
                acked = max([0, *lives(self.workload.open(self.data, seam.seam()), STEPS)])
            seam.let_go()
            over = seam.seen <= changes
            if over:
                self.disk.cut()
            yield self._after(acked, STEPS)
            if over:
                return

    def moments(self, rounds: int, seed: int) -> Iterator[str]:
        """Cut while another process works, which goes on where it was, round after round.

        Only what it acknowledged before the cut began counts. A machine without power tells nobody anything,
        but this process lives on, and a sync under way in that moment may be told that it succeeded although
        the journal was stopped under it: such words are counted as `belied` if they turn out false.
        """
        dice = Random(seed)
        acked = 0
        for _ in range(rounds):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                self._work(reading, writing)
            os.close(writing)
            text = b""
            wanted = dice.randrange(4)
            while text.count(b"\n") < wanted and (more := os.read(reading, 4096)):
                text += more
            time.sleep(dice.uniform(0, MOMENT_S) ** 2 / MOMENT_S)  # rather early
            text += drained(reading)
            self.disk.cut()
            late = b""
            while more := os.read(reading, 4096):
                late += more
            os.close(reading)
            os.kill(child, signal.SIGKILL)  # one that is refused everything may go on trying
            os.waitpid(child, 0)
            acked = max([acked, *map(int, text.split())])
            fault = self._after(acked, None)
            if not fault and late.strip():
                self.belied += self.workload.find(self.data, RealDisk()) < max(map(int, late.split()))
            yield fault

    def _after(self, acked: int, tried: int | None) -> str:
        self.disk.restart()
        self.cuts += 1
        self.acked += acked
        return judge(self.workload, self.data, acked, tried)

    def _work(self, reading: int, writing: int) -> None:
        """Be the process that works until it is refused something."""
        os.environ[PARENT] = str(os.getppid())
        die_with_parent()
        os.close(reading)
        try:
            work = self.workload.open(self.data, LeavingOut(self.leave_out).seam())
            while True:
                os.write(writing, b"%d\n" % work.step())
        except BaseException:  # noqa: BLE001 -- whatever it is, this process must not return into the bed
            os._exit(1)


def drained(reading: int) -> bytes:
    """Return what stands in a pipe now."""
    os.set_blocking(reading, False)
    text = b""
    try:
        while more := os.read(reading, 4096):
            text += more
    except BlockingIOError:
        pass
    finally:
        os.set_blocking(reading, True)
    return text


def main() -> None:
    """Run what the command line says."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("what", choices=["calls", "moments"])
    parser.add_argument("place", type=Path)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="", help="see wrapped_disks.LeavingOut")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first fault")
    options = parser.parse_args()
    own_mounts()
    with LoopDisk(options.place) as disk:
        bed = Bed(disk, options.workload, options.leave_out)
        told = (
            bed.calls(options.stride)
            if options.what == "calls"
            else bed.moments(options.rounds, options.seed)
        )
        faults: Counter[str] = Counter()
        for fault in told:
            faults.update([fault] if fault else [])
            if fault and options.until_caught:
                break
        report = {
            "cuts": bed.cuts,
            "acked": bed.acked,
            "belied": bed.belied,
            "faults": dict(faults.most_common(5)),
        }
    print(json.dumps(report))  # noqa: T201 -- the report


if __name__ == "__main__":
    main()
