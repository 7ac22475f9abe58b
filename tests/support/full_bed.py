"""A file system in memory, really full: work until it is, go on while it is, and after there is room again.

``python full_bed.py NAME PLACE`` reports in JSON on its last line.
"""

from __future__ import annotations

import argparse
import errno
import json
import shutil
import subprocess
from pathlib import Path

from confinement import die_with_parent, own_mounts
from judging import judge
from store import RealDisk, StoreError
from workloads import WORKLOADS, Work

SIZE = "512k"
EARLY_STEPS = 7
TRIES = 400
REFUSALS = 10
BLOCK_BYTES = 4096


def refusal(work: Work) -> str:
    """Take one step; return what was said against it."""
    try:
        work.step()
    except StoreError as exc:
        return "" if exc.errno in (errno.ENOSPC, errno.EDQUOT) and exc.advice in str(exc) else repr(exc)
    except OSError as exc:
        return "" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else repr(exc)
    return "acknowledged"


def fill(path: Path) -> None:
    """Take all the space there is, to the last block."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * BLOCK_BYTES)
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise


def elsewhere(mount: Path, place: Path, name: str, acked: int, tried: int) -> str:
    """Judge a copy: what a process finds that has room."""
    shutil.copytree(mount / "user", place)
    return judge(WORKLOADS[name](), place / "data", acked, tried)


def main() -> None:
    """Run what the command line says."""
    die_with_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("place", type=Path)
    options = parser.parse_args()
    own_mounts()
    mount = options.place / "full"
    mount.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(mount)]
    subprocess.run(words, check=True)
    workload = WORKLOADS[options.workload]()
    work = workload.open(mount / "user" / "data", RealDisk())
    acked = sum(refusal(work) == "acknowledged" for _ in range(EARLY_STEPS))
    report: dict[str, object] = {"early": acked}
    tried, refused, said = acked, 0, set()
    fill(mount / "filler")
    while refused < REFUSALS and tried < TRIES:
        tried += 1
        answer = refusal(work)
        if answer == "acknowledged":
            acked = tried
        else:
            refused += 1
            said.add(answer)
    report |= {"refused": refused, "said": sorted(said - {""}), "acked": acked, "tried": tried}
    report["while full"] = elsewhere(mount, options.place / "while-full", options.workload, acked, tried)
    (mount / "filler").unlink()
    report["with room"] = refusal(work)
    work.close()
    report["after"] = judge(workload, mount / "user" / "data", tried + 1, tried + 1)
    # Full once more, and a process that finds it so.
    fill(mount / "filler")
    try:
        late = workload.open(mount / "user" / "data", RealDisk())
        report["late"] = refusal(late)
    except (StoreError, OSError) as exc:
        report["late"] = str(exc)
    report["copy"] = elsewhere(mount, options.place / "late", options.workload, tried + 1, tried + 2)
    print(json.dumps(report))  # noqa: T201 -- the report


if __name__ == "__main__":
    main()
