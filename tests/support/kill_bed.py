"""Processes that are killed at random moments, stopped, and woken; each goes on where the last one ended.

``python kill_bed.py NAME PLACE --rounds N`` reports in JSON on its last line. The processes are forked from
this one, which has everything loaded and no threads: a round is a few milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

from confinement import PARENT, die_with_parent
from judging import judge
from store import RealDisk
from workloads import WORKLOADS, Workload
from wrapped_disks import LeavingOut

ACKS_MAX = 12
LATE_S = 0.003
"""Up to so long after an acknowledgement: the middle of what it does next."""
STOPPED = 0.2
"""This share of the processes is stopped first, looked at, and often woken before it is killed."""
EARLY = 0.1
"""This share is killed without waiting for anything: while it opens and recovers."""
ENDED = "it ended by itself: "


class Process:
    """A forked process at work; what it acknowledges comes through a pipe.

    Attributes:
        fault: how it ended, if nobody killed it.
    """

    def __init__(self, workload: Workload, data_dir: Path, leave_out: str) -> None:
        self.reading, writing = os.pipe()
        self.text = b""
        self.fault = ""
        self._status: int | None = None
        self.id = os.fork()
        if self.id == 0:
            os.environ[PARENT] = str(os.getppid())
            die_with_parent()
            os.close(self.reading)
            try:
                work = workload.open(data_dir, LeavingOut(leave_out).seam())
                while True:
                    os.write(writing, b"%d\n" % work.step())
            except BaseException as exc:  # noqa: BLE001 -- whatever it is, it must not return into the bed
                os.write(writing, f"{ENDED}{exc!r}\n".encode())
                os._exit(1)
        os.close(writing)

    def await_acks(self, wanted: int) -> None:
        """Read until there are so many, or it is dead."""
        while self.text.count(b"\n") < wanted and (more := os.read(self.reading, 4096)):
            self.text += more

    def stop(self) -> int:
        """Stop it, and return what it had acknowledged by then."""
        os.kill(self.id, signal.SIGSTOP)
        status = os.waitpid(self.id, os.WUNTRACED)[1]
        if not os.WIFSTOPPED(status):
            self._status = status
        os.set_blocking(self.reading, False)
        try:
            while more := os.read(self.reading, 4096):
                self.text += more
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self.reading, True)
        return self.acked

    def wake(self) -> None:
        """Let it go on, and wait until it has."""
        if self._status is None:
            os.kill(self.id, signal.SIGCONT)
        self.await_acks(self.text.count(b"\n") + 2)

    def end(self) -> int:
        """Kill it, and return what it had acknowledged."""
        if self._status is None:
            os.kill(self.id, signal.SIGKILL)
            self._status = os.waitpid(self.id, 0)[1]
        while more := os.read(self.reading, 4096):
            self.text += more
        os.close(self.reading)
        words = self.text.decode().partition(ENDED)[2].strip()
        if words or not os.WIFSIGNALED(self._status):
            self.fault = f"{ENDED}{words or os.waitstatus_to_exitcode(self._status)}"
        return self.acked

    @property
    def acked(self) -> int:
        """The number of the last step it is known to have acknowledged; 0: none."""
        return max([0, *(int(line) for line in self.text.split(b"\n") if line.isdigit())])


def main() -> None:
    """Run what the command line says."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("place", type=Path)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="", help="see wrapped_disks.LeavingOut")
    options = parser.parse_args()
    dice, faults, counts = Random(options.seed), Counter[str](), Counter[str]()
    data, acked = options.place / "user" / "data", 0
    workload = WORKLOADS[options.workload]()
    for _ in range(options.rounds):
        process = Process(workload, data, options.leave_out)
        try:
            if dice.random() > EARLY:
                process.await_acks(dice.randrange(1, ACKS_MAX))
            time.sleep(dice.uniform(0, LATE_S))
            if dice.random() < STOPPED:
                acked = max(acked, process.stop())
                counts["stopped"] += 1
                # Another process while this one holds its locks: it may look, and must see what is there.
                if workload.shared and (seen := workload.find(data, RealDisk())) < acked:
                    faults[f"{acked} were acknowledged by one that stands still, and {seen} are there"] += 1
                if dice.random() < STOPPED:
                    process.wake()
                    counts["woken"] += 1
        finally:
            before, acked = acked, max(acked, process.end())
        counts["killed"] += 1
        counts["killed before any"] += acked == before
        if found := {process.fault, judge(workload, data, acked)} - {""}:
            faults.update(found)
            break
        counts["killed in the middle"] += workload.find(data, RealDisk()) > acked
    report = {**counts, "acked": acked, "faults": dict(faults.most_common(5))}
    print(json.dumps(report))  # noqa: T201 -- the report


if __name__ == "__main__":
    main()
