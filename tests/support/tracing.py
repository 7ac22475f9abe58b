"""What the kernel was really asked: a workload's program under strace, and its calls on our directory.

The calls come in the shape of `workloads.Log`, so that the two can be compared, and with what the program
acknowledged between them, so that the order can be judged by somebody who knows nothing of the store.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from confinement import SUPPORT, environment
from workloads import Workload

TIMEOUT_S = 60.0
TRACED = (
    "openat,open,creat,mkdir,mkdirat,write,pwrite64,writev,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,unlink,unlinkat,truncate,ftruncate,flock,fcntl"
)
LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<words>.*)\) += (?P<result>-?\d+)(?P<more>.*)")
UNFINISHED = re.compile(r"(?P<begin>(?P<pid>\d+) .*) <unfinished \.\.\.>")
RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
OF_HANDLE = re.compile(r"\d+<([^>]*)>")

Call = tuple[str, ...]


@dataclass(frozen=True)
class Traced:
    """One life of a program.

    Attributes:
        calls: what it asked for on our directory, and ``("ack", N)``.
        logged: what its own disk logged.
        injected: whether a fault was.
        words: what it wrote to stderr.
    """

    calls: list[Call]
    logged: list[Call]
    injected: bool
    words: str


def require_strace() -> None:
    """Skip the test where nothing can be traced."""
    if why := _no_strace():
        pytest.skip(f"there is no strace: {why}")


@cache
def _no_strace() -> str:
    if sys.platform != "linux" or not shutil.which("strace"):
        return "not installed"
    done = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False)
    return done.stderr.decode().strip() or "it fails" if done.returncode else ""


def traced(name: str, data_dir: Path, place: Path, steps: int, *words: str, inject: str = "") -> Traced:
    """Run a workload's program under strace.

    Args:
        name: of the workload.
        data_dir: where it works.
        place: for the trace and the log.
        steps: how many.
        words: more for the program.
        inject: what strace is to inject, if anything.
    """
    trace, log = place / "trace", place / "log"  # beside the data directory, never in it
    faults = ["-e", f"inject={inject}"] if inject else []
    command = ["strace", "-f", "-qq", "-y", "-s", "64", "-e", "signal=none", "-o", str(trace)]
    program = [sys.executable, str(SUPPORT / "workloads.py"), name, str(data_dir), "--steps", str(steps)]
    done = subprocess.run(
        [*command, "-e", f"trace={TRACED}", *faults, *program, "--log", str(log), *words],
        env={key: value for key, value in environment().items() if key != "RESILIENCE_TEST_PARENT"},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode not in (0, 1):
        pytest.fail(f"the program ended with {done.returncode}: {done.stderr[-3000:]}")
    text = trace.read_text(errors="replace")
    logged = [tuple(call) for call in json.loads(log.read_text())]
    return Traced(list(calls_on(data_dir, text)), logged, "(INJECTED)" in text, done.stderr)


def calls_on(data_dir: Path, trace: str) -> Iterator[Call]:
    """Yield the calls of a trace that concern the directory and the way to it, and the acknowledgements."""
    for line in joined(trace):
        match = LINE.fullmatch(line)
        if match is None:
            continue
        call, words = match["call"], match["words"]
        handle = OF_HANDLE.match(words)
        paths = [Path(each) for each in QUOTED.findall(words)]
        outcome = ""
        if match["result"] == "-1":
            outcome = f"errno {getattr(errno, match['more'].split()[0])}"
        if call == "write" and words.startswith("1<"):
            if not outcome and (acked := re.search(r'"ack (\d+)', words)):
                yield "ack", acked[1]
            continue
        subject = Path(handle[1].removesuffix(" (deleted)")) if handle else (paths or [Path()])[0]
        if subject in data_dir.parents or data_dir in (subject, *subject.parents):
            name = named(call, words, subject)
            if name == "write":
                outcome = outcome or match["result"]
            elif name == "lock" and outcome == f"errno {errno.EAGAIN}":
                outcome = ""  # somebody has it, which is an answer
            more = [str(paths[1])] if name == "rename" else []
            more = [words.rpartition(", ")[2]] if name == "truncate" else more
            if name:
                yield (name, str(subject), *more, outcome)


def named(call: str, words: str, subject: Path) -> str:
    """Return what the disk calls it; what the disk does not do keeps its name, so that it is noticed."""
    if call == "openat":
        writing = "open" if "O_RDWR" in words or "O_WRONLY" in words else ""
        return "create" if "O_CREAT" in words else writing
    if call == "fsync":
        return "sync_dir" if subject.is_dir() else "fsync of a file"
    if call == "fcntl":
        return call if "F_SETLK" in words else ""
    return {"fdatasync": "sync", "ftruncate": "truncate", "flock": "lock"}.get(call, call)


def joined(trace: str) -> Iterator[str]:
    """Yield whole lines: a call during which another thread made one is written in two parts."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        if match := UNFINISHED.fullmatch(line):
            begun[match["pid"]] = match["begin"]
        elif match := RESUMED.fullmatch(line):
            yield begun.pop(match["pid"], "") + match["rest"]
        else:
            yield line


class Promises:
    """Judges an order of calls by the rules alone: what is owed at an acknowledgement, and what is forbidden.

    Owed: a sync of each file that was written to, after its last write, and of each directory that was given
    a name. A file whose write or sync was refused is owed nothing any more, and must not be used again.

    Attributes:
        broken: what was, in words.
    """

    def __init__(self, unsynced: frozenset[str]) -> None:
        self.broken: list[str] = []
        self._unsynced = unsynced
        self._bytes: set[str] = set()
        self._names: set[str] = set()
        self._refused: set[str] = set()

    def take(self, name: str, path: str, *more: str) -> None:
        """Judge the next call."""
        if name == "ack":
            self._acknowledge(path)
        elif Path(path).name in self._unsynced and name != "rename":
            return
        elif name in ("write", "sync", "truncate") and path in self._refused:
            self.broken += [f"{name} of {path}, which was refused before"]
        elif more[-1].startswith("errno"):
            if name in ("write", "sync"):
                self._refused.add(path)
                self._bytes.discard(path)
        elif name in ("create", "mkdir", "rename", "unlink", "sync_dir"):
            self._change_names(name, path, more[0])
        else:
            self._change_bytes(name, path)

    def _acknowledge(self, number: str) -> None:
        owed = sorted(self._bytes) + [f"the name {path}" for path in sorted(self._names)]
        self.broken += [f"at {number}: {each} is not synced" for each in owed]

    def _change_names(self, name: str, path: str, new: str) -> None:
        if name == "sync_dir":
            self._names = {each for each in self._names if str(Path(each).parent) != path}
        elif name in ("create", "mkdir"):
            self._refused.discard(path)
            self._names.add(path)
        else:
            if name == "rename":
                self._names.add(new)
                self.broken += [f"{path} is renamed before it is synced"] if path in self._bytes else []
            self._names.discard(path)
            self._bytes.discard(path)

    def _change_bytes(self, name: str, path: str) -> None:
        if name in ("write", "truncate"):
            self._bytes.add(path)
        elif name == "sync":
            self._bytes.discard(path)


def broken_promises(calls: list[Call], workload: Workload) -> list[str]:
    """Return what is wrong with the order of these calls."""
    promises = Promises(workload.unsynced)
    for call in calls:
        promises.take(*call)
    return promises.broken
