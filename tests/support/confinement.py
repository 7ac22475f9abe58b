"""Programs that mount, stop and kill things, started so that nothing of it can outlive them.

Each bed of tests is a child process. It dies with the test that started it, whatever kills that, and what it
mounts is mounted in a name space of its own: when its last process is gone the kernel unmounts everything in
there, and gives back loop devices that were set up for it. So there is nothing to sweep up after a crash.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
CLONE_NEWNS = 0x00020000  # <linux/sched.h>
PARENT = "RESILIENCE_TEST_PARENT"
"""Holds the id of the process that started a bed, so that one whose parent is gone already notices."""

LONG = bool(os.environ.get("RESILIENCE_LONG"))
"""Whether the beds take their time: everything that can be tried, which is minutes and not seconds."""

SUPPORT = Path(__file__).resolve().parent
TIMEOUT_S = 3600 if LONG else 120
PATIENCE_S = TIMEOUT_S - 10.0
"""A little less than what pytest gives a test, so that the bed's words are seen and not its end."""


def die_with_parent() -> None:
    """Have this process killed when the one that started it ends."""
    if sys.platform != "linux":
        return
    _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get(PARENT)
    if parent and os.getppid() != int(parent):  # it ended before that was asked for
        os._exit(1)


def own_mounts() -> None:
    """Give this process a view of the mounts that only it and its children have."""
    if _libc().unshare(CLONE_NEWNS):
        code = ctypes.get_errno()
        raise OSError(code, f"no mount name space of its own: {os.strerror(code)}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def environment() -> dict[str, str]:
    """Return what a child is started with that calls `die_with_parent`."""
    return os.environ | {PARENT: str(os.getpid())}


def report(program: str, *words: object, timeout_s: float = PATIENCE_S) -> Any:
    """Run one of the programs in this directory, and return what it reports in JSON on its last line."""
    done = subprocess.run(
        [sys.executable, str(SUPPORT / program), *map(str, words)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        pytest.fail(f"{program} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def require(*programs: str, device: str = "", package: str = "") -> None:
    """Skip the test unless this is root on Linux, may mount, and has these programs."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root on Linux")
    for program in programs:
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            pytest.skip(f"there is no {program} ({package or program})")
    if device and not Path(device).exists():
        pytest.skip(f"there is no {device}")
    if why := _no_mounts():
        pytest.skip(f"mount refused: {why}")


@cache
def _no_mounts() -> str:
    """Return why even root may not mount here (a container without the capability), or nothing."""
    words = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stderr.strip() or str(done.returncode) if done.returncode else ""


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
