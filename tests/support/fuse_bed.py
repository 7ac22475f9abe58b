"""Power cuts at every call that reaches a file system which forgets what was not synced.

``python fuse_bed.py NAME cuts|sites PLACE`` runs one workload on it and reports in JSON on the last line.

*cuts* lets the power go before the n-th change, for every n, and judges everything that may be left of
each; of every `--recoveries`-th also what is left if it goes once more in the midst of the recovery. And it
kills the process there instead, lets another one go on, and cuts the power then. *sites* leaves out one sync
at a time, by the place in the store's source that asks for it, and says by which fault that shows.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice
from pathlib import Path

from confinement import die_with_parent, own_mounts
from forgetful import Forgetful
from judging import SetAside, Tree, destroyed, judge, tree
from leftovers import LEFTOVERS
from store import RealDisk, StoreError
from workloads import WORKLOADS, Work, Workload, lives
from wrapped_disks import LeavingOut, Sites, Wrapped

STEPS = 12
LATER_STEPS = 3
FEW = ("nothing unsynced", "names, no bytes", "bytes, no names", "half of it", "newest removal")
"""These suffice to see that a sync is missing."""


class Bed:
    """One workload on one forgetful file system.

    Attributes:
        steps: how many a life has before the first cut.
        cuts: how often the power went.
        media: how many different media were judged.
    """

    def __init__(self, disk: Forgetful, name: str, leave_out: str = "", *, kills: bool = True) -> None:
        self.disk = disk
        self.name = name
        self.leave_out = leave_out
        self.home = disk.mount / "home"
        self.data = self.home / "user" / "data"  # neither is there when the work begins
        self.kills = kills
        self.steps = STEPS
        self.cuts = 0
        self.media = 0
        self._judged: set[tuple[int, str]] = set()
        self._trees: dict[str, Tree] = {}
        self.workload: Workload = WORKLOADS[name]()

    def seam(self) -> Wrapped:
        """Return a disk as a process has one."""
        return LeavingOut(self.leave_out)

    def begin(self) -> None:
        """Empty the medium; what is there durably is where the data directory will be made."""
        self.disk.empty()
        self.home.mkdir()
        RealDisk().sync_dir(self.disk.mount)

    def live(self, steps: int) -> tuple[int, int]:
        """Work until the end or until the power is gone; return what was acknowledged, and what was begun."""
        seam = self.seam()
        acked = tried = 0
        work: Work | None = None
        try:
            work = self.workload.open(self.data, seam.seam())
            for acked in lives(work, steps):
                tried = acked
            tried = max(tried, acked) + steps
        except (StoreError, OSError):
            pass
        finally:
            seam.let_go()
        return acked, tried

    def faults(
        self, leftovers: list[str], again: list[str], stride: int = 0, since: int = 0
    ) -> Iterator[str]:
        """Cut everywhere, and yield every fault.

        Args:
            leftovers: what to try of what each cut may leave.
            again: the same for cuts of the recovery.
            stride: of each so many media the recovery is cut as well; 0: of none.
            since: begin with the cut before this call.
        """
        self._judged.clear()  # what was judged in another search had no recoveries cut, perhaps
        for calls in count(since):
            self.begin()
            self.disk.arm(calls)
            acked, tried = self.live(self.steps)
            over = self.disk.calls < calls
            if self.kills:
                yield from self._killed(acked, tried)
            self.disk.cut()
            self.cuts += 1
            for left in leftovers:
                key = acked, self.disk.leave(left)
                if key in self._judged:
                    continue
                self._judged.add(key)
                if stride and len(self._judged) % stride == 0:
                    self.disk.hold()
                    yield from self._recoveries(acked, tried, again)
                    self.disk.unhold()
                yield from self._verdict(acked, tried)
            if over:
                return

    def _killed(self, acked: int, tried: int) -> Iterator[str]:
        """Let another process go on where the one before was killed, and then cut the power."""
        self.disk.hold()
        self.disk.arm(None)
        acked_again, tried_again = self.live(LATER_STEPS)
        self.disk.cut()
        self.cuts += 1
        for left in ("nothing unsynced", "names, no bytes"):
            key = max(acked, acked_again), self.disk.leave(left)
            if key not in self._judged:
                self._judged.add(key)
                yield from self._verdict(max(acked, acked_again), max(tried, tried_again))
        self.disk.unhold()

    def _verdict(self, acked: int, tried: int) -> Iterator[str]:
        self.media += 1
        if fault := judge(self.workload, self.data, acked, tried):
            yield fault

    def _set_aside(self, before: Tree) -> SetAside:
        """Recover undisturbed, and return what that sets aside."""
        self.disk.back()
        seam = self.seam()
        with suppress(StoreError, OSError):
            self.workload.open(self.data, seam.seam())
        seam.let_go()
        return SetAside.between(before, tree(self.data))

    def _recoveries(self, acked: int, tried: int, leftovers: list[str]) -> Iterator[str]:
        """Cut the power during the recovery of what is there, and the first steps after it."""
        before = tree(self.data)
        aside = self._set_aside(before)
        for calls in count():
            self.disk.back()
            self.disk.arm(calls)
            acked_again, tried_again = self.live(LATER_STEPS)
            over = self.disk.calls < calls
            self.disk.arm(None)
            self.disk.cut()
            self.cuts += 1
            for left in leftovers:
                digest = self.disk.leave(left)
                # Whatever else led to the same medium: of this recovery other things may be asked.
                if digest not in self._trees:
                    self._trees[digest] = tree(self.data)
                now = self._trees[digest]
                if lost := aside.lost(now, opened=tried_again > 0):
                    yield lost
                if not acked_again and (gone := destroyed(before, now, self.workload.precious)):
                    yield gone
                key = max(acked, acked_again), digest
                if key in self._judged:
                    continue
                self._judged.add(key)
                yield from self._verdict(max(acked, acked_again), max(tried, tried_again))
            if over:
                return


TORN = "half of it"


def sites_of(bed: Bed) -> dict[str, int | None]:
    """Return every place that asks for a sync: in a life, or in the recovery after a cut, and which."""
    sites: dict[str, int | None] = {}
    found = Sites()

    class Listening(Bed):
        def seam(self) -> Wrapped:
            return found

    listening = Listening(bed.disk, bed.name)
    over = False
    for calls in count():
        if over:
            break
        listening.begin()
        bed.disk.arm(calls)
        listening.live(STEPS)
        sites |= dict.fromkeys(found.found, None)
        over = bed.disk.calls < calls
        bed.disk.cut()
        bed.disk.leave(TORN)
        listening.live(LATER_STEPS)
        for site in found.found:
            sites.setdefault(site, calls)
        found.found.clear()
    return sites


def caught(bed: Bed, torn_at: int | None) -> str:
    """Return the first fault, the cheap ways to see one first.

    Args:
        bed: leaves out a sync.
        torn_at: which cut leads to the recovery that asks for it; None: it is asked for without any.
    """
    again = ["nothing unsynced", "names, no bytes"]
    return (
        (next(bed.faults([TORN], again, 1, torn_at), "") if torn_at is not None else "")
        or next(bed.faults(list(FEW), []), "")
        or next(bed.faults([TORN], again, 1), "")
        or next(bed.faults(list(FEW), list(FEW), 1), "")
    )


def main() -> None:
    """Run what the command line says."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("what", choices=["cuts", "sites"])
    parser.add_argument("place", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS, help="before a cut; not for sites")
    parser.add_argument("--mixes", type=int, default=2, help="leftovers with a toss for each file and name")
    parser.add_argument("--recoveries", type=int, default=0, help="of which media; 1: all, 0: none")
    parser.add_argument("--leave-out", default="", help="see wrapped_disks.LeavingOut")
    parser.add_argument("--until-caught", action="store_true", help="stop at the first fault")
    options = parser.parse_args()
    own_mounts()
    with Forgetful(options.place) as disk:
        bed = Bed(disk, options.workload, options.leave_out)
        bed.steps = options.steps
        if options.what == "sites":
            found = {}
            for site, torn_at in sites_of(bed).items():
                needless = site.rpartition(" ")[0] in bed.workload.needless
                without = Bed(disk, options.workload, site)
                found[site] = "needless" if needless else caught(without, torn_at)
            print(json.dumps(found))  # noqa: T201 -- the report
            return
        leftovers = [*LEFTOVERS, *(f"mixed {seed}" for seed in range(options.mixes))]
        again = ["nothing unsynced", "half of it"]
        told = bed.faults(leftovers, again, options.recoveries)
        faults = Counter(islice(told, 1) if options.until_caught else told)
        report = {"cuts": bed.cuts, "media": bed.media, "faults": dict(faults.most_common(5))}
        print(json.dumps(report))  # noqa: T201 -- the report


if __name__ == "__main__":
    main()
