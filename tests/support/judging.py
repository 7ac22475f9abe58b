"""The judge of every bed: the invariants that hold whatever happened to the disk or the process.

I1 every acknowledged step is there; I2 what is there is some prefix of the steps, never a mix; I3 opening
never raises; I4 no bytes are gone without a copy in the quarantine; I5 a second recovery changes nothing;
I6 no secret stands in any file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from store.disk import RealDisk
from workloads import Workload, Wrong
from wrapped_disks import Wrapped

QUARANTINE = "quarantine"

PASSING = (".part", ".lease")
"""What was never whole, and words about who holds a lock: nobody's work."""

Tree = dict[Path, bytes]


def tree(data_dir: Path) -> Tree:
    """Return every file with its bytes."""
    found: Tree = {}
    for folder, _, names in os.walk(data_dir):  # half the calls of `rglob`, and there are thousands of trees
        for name in names:
            path = Path(folder, name)
            found[path.relative_to(data_dir)] = path.read_bytes()
    return found


def destroyed(before: Tree, after: Tree, precious: frozenset[str]) -> str:
    """Say which bytes of a precious file are neither in it nor in the quarantine any more."""
    kept = [data for path, data in after.items() if path.parts[0] == QUARANTINE]
    for path, data in before.items():
        if path.suffix in PASSING:
            continue
        left = after.get(path, b"")
        whole = data.startswith(left) and (left == data or data[len(left) :] in kept)
        if precious.intersection(path.parts) and not (whole or data in kept or left.startswith(data)):
            return f"bytes of {path} are gone"
    return ""


@dataclass(frozen=True)
class SetAside:
    """What a recovery that nothing disturbs puts into the quarantine: any other one owes the same.

    Attributes:
        bytes: the contents of files there.
        moved: those of them that stand nowhere else any more, by where they stood.
    """

    bytes: frozenset[bytes]
    moved: Tree

    @classmethod
    def between(cls, before: Tree, after: Tree) -> Self:
        """Compare what was there before a recovery with what is there after it."""
        kept = {data for path, data in after.items() if path.parts[0] == QUARANTINE}
        moved = {path: data for path, data in before.items() if path not in after and data in kept}
        return cls(frozenset(kept), moved)

    def lost(self, now: Tree, *, opened: bool) -> str:
        """Say what of it is neither in the quarantine nor where it was found, or is there again.

        Args:
            now: what a cut left.
            opened: whether the recovery had said before that it was over.
        """
        if any(data and all(data not in other for other in now.values()) for data in self.bytes):
            return "bytes that were set aside are gone"
        back = [path for path, data in self.moved.items() if now.get(path) == data]
        return f"{back[0]} was set aside, and is there again" if opened and back else ""


def judge(workload: Workload, data_dir: Path, acked: int, tried: int | None = None) -> str:
    """Recover, twice, and return the first fault, or nothing.

    Args:
        workload: what worked there.
        data_dir: may be missing.
        acked: how many steps were acknowledged.
        tried: how many were begun at most; None: not known.
    """
    before = tree(data_dir)
    disk = Wrapped(RealDisk())
    try:
        found = workload.find(data_dir, disk.seam())
        after = tree(data_dir)
        again = workload.find(data_dir, disk.seam())
    except Wrong as exc:
        return str(exc)
    except Exception as exc:  # noqa: BLE001 -- whatever it is: that is the finding
        return f"opening raised {exc!r}"
    finally:
        disk.let_go()
    different = again != found or (workload.rests and tree(data_dir) != after)
    told = any(canary in data for data in after.values() for canary in workload.canaries)
    verdicts = {
        f"{acked} were acknowledged, and {found} are there": found < acked,
        f"{tried} were begun, and {found} are there": tried is not None and found > tried,
        "a second opening differs": different,
        "a secret stands in a file": told,
    }
    wrong = next((words for words, holds in verdicts.items() if holds), "")
    return wrong or destroyed(before, after, workload.precious)
