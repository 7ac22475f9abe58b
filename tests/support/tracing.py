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
            yield from _call(call, words, subject, paths, outcome, match["result"])


def _call(call: str, words: str, subject: Path, paths: list[Path], outcome: str, result: str) -> Iterator[Call]:
    """Yield one call as the disk logs it; what it does not know by another name, so that it is missed."""
    if call == "openat":
        if "O_CREAT" in words:
            yield "create", str(subject), outcome
        elif "O_RDWR" in words or "O_WRONLY" in words:
            yield "open", str(subject), outcome
    elif call == "write":
        yield "write", str(subject), outcome or result
    elif call == "fdatasync":
        yield "sync", str(subject), outcome
    elif call == "fsync":
        yield ("sync_dir" if subject.is_dir() else "fsync of a file"), str(subject), outcome
    elif call == "ftruncate":
        yield "truncate", str(subject), words.rpartition(", ")[2], outcome
    elif call == "rename":
        yield "rename", str(subject), str(paths[1]), outcome
    elif call == "flock":
        yield "lock", str(subject), "" if outcome == f"errno {errno.EAGAIN}" else outcome
    elif call != "fcntl" or "F_SETLK" in words:
        yield call, str(subject), outcome


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


def broken_promises(calls: list[Call], workload: Workload) -> list[str]:
    """Judge an order of calls by the rules alone: what is owed at each acknowledgement, and what is forbidden.

    Owed: a sync of each file that was written to, after its last write, and of each directory that was given
    a name. A file whose write or sync was refused is owed nothing any more, and must not be used again.
    """
    bytes_owed: set[str] = set()
    names_owed: dict[str, set[str]] = {}  # by directory
    refused: set[str] = set()
    found: list[str] = []
    for name, path, *more in calls:
        failed = bool(more) and more[-1].startswith("errno")
        if name == "ack":
            found += [f"at {path}: {each} is not synced" for each in sorted(bytes_owed)]
            found += [f"at {path}: the names in {each} are not" for each, names in names_owed.items() if names]
            continue
        if Path(path).name in workload.unsynced and name != "rename":
            continue
        folder = str(Path(path).parent)
        if path in refused and name in ("write", "sync", "truncate"):
            found += [f"{name} of {path}, which was refused before"]
        elif failed and name in ("write", "sync"):
            refused.add(path)
            bytes_owed.discard(path)
        elif failed:
            continue
        elif name in ("create", "mkdir"):
            refused.discard(path)
            names_owed.setdefault(folder, set()).add(path)
        elif name in ("write", "truncate"):
            bytes_owed.add(path)
        elif name == "sync":
            bytes_owed.discard(path)
        elif name == "sync_dir":
            names_owed.pop(path, None)
        elif name == "rename":
            names_owed.setdefault(str(Path(more[0]).parent), set()).add(more[0])
            names_owed.get(folder, set()).discard(path)
            if path in bytes_owed:
                found += [f"{path} is renamed before it is synced"]
        elif name == "unlink":
            bytes_owed.discard(path)
            names_owed.get(folder, set()).discard(path)
    return found
