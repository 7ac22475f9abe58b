"""What holds for every test: it leaves nothing running, and what could not run here is told at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Hypothesis gives an example 200 ms; that is a timing assertion, and fails when the machine is busy.
settings.register_profile("patient", parent=settings.default, deadline=None)
settings.load_profile("patient")

# No test, and no program that one starts, may write into the keyring of whoever runs it. Those that are
# about a keyring bring their own.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

PATIENCE_S = 2.0
"""For threads and processes that are on their way out when their test ends."""

WANTS = {
    "needs root": "root",
    "root may": "an ordinary user",
    "iproute2": "iproute2",
    "nftables": "nftables",
    "namespace": "network namespaces",
    "tmpfs": "tmpfs",
    "mount refused": "the right to mount",
    "strace": "strace",
    "e2fsprogs": "e2fsprogs",
    "fuse3": "FUSE",
    "/dev/fuse": "FUSE",
    "/dev/loop": "loop devices",
    "make race": "the race's peers",
}
"""A word of a skip's reason, and what the machine lacks; the first that fits counts."""


def children() -> dict[int, str]:
    """Every child process of this one, with its command line; nothing where there is no /proc to ask."""
    found = {}
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended meanwhile
            for pid in map(int, task.read_text().split()):
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    found[pid] = (
                        b" ".join(words).decode(errors="replace").strip() or "a zombie: never waited for"
                    )
    # multiprocessing keeps one for the life of the process, whoever asks it first.
    return {
        pid: command for pid, command in found.items() if "multiprocessing.resource_tracker" not in command
    }


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Fail a test that leaves threads or child processes behind, and end those processes."""
    threads_before, children_before = set(threading.enumerate()), children().keys()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while True:
        threads = [thread.name for thread in threading.enumerate() if thread not in threads_before]
        processes = {pid: command for pid, command in children().items() if pid not in children_before}
        if not (threads or processes):
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    for pid in processes:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    left = [f"thread {name}" for name in threads] + [f"process {pid} ({processes[pid]})" for pid in processes]
    pytest.fail("left running: " + ", ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that the line comes after pytest's own list of skips
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say in one line how many tests wait for another machine, and for what it must have."""
    yield
    lacking: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        lacking.update([next((want for word, want in WANTS.items() if word in reason), "another machine")])
    if lacking:
        counts = ", ".join(f"{want} ({number})" for want, number in lacking.most_common())
        terminalreporter.write_line(f"not run here, for want of: {counts}", yellow=True)
