"""Any order of recording, committing, crashing and reopening: what was acknowledged comes back, in order."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from store import History, Limits, RealDisk, TransitionRecord

BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r")
# Segments rotate soon; none is ever dropped, so that all of the history can be compared.
LIMITS = Limits(segment_bytes=700, crowded_bytes=10**9, crowded_segments=10**6, reserve_bytes=0)


class PowerCut(BaseException):
    """The process is gone in the middle of a call."""


class Mortal(RealDisk):
    """Stops working for good at a chosen call, and can be buried: its locks end with it."""

    def __init__(self) -> None:
        self.calls_left = 10**9
        self.handles: dict[int, Path] = {}
        self.own: set[Path] = set()  # files it made; others it only syncs, or cuts where they are torn

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("create", "open", "write", "sync", "sync_dir", "close", "unlink", "lock"):
            return found

        def called(*args: Any) -> Any:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise PowerCut
            # Not synced for real: processes die here, the machine does not.
            result: Any = None if name in ("sync", "sync_dir") else found(*args)
            if name in ("create", "open"):
                self.handles[result] = args[0]
                self.own.update(args[:1] if name == "create" else ())
            elif name == "close":
                del self.handles[args[0]]
            return result

        return called

    def bury(self) -> None:
        """Do what the kernel does when a process is dead."""
        self.calls_left = 0
        for handle in self.handles:
            os.close(handle)
        self.handles.clear()


@dataclass
class Process:
    """A history in use, and what it was told."""

    history: History
    disk: Mortal
    session: str
    recorded: list[TransitionRecord] = field(default_factory=list)
    acked: int = 0


class Store(RuleBasedStateMachine):
    """Several processes on one directory, each of which may crash at any call."""

    processes = Bundle("processes")

    @initialize()
    def begin(self) -> None:
        """Start with nothing on disk."""
        memory = Path("/dev/shm")  # noqa: S108 -- only as the parent of a directory with a random name
        parent = memory if memory.is_dir() else None
        self.place = Path(tempfile.mkdtemp(prefix="store-model-", dir=parent))
        self.alive: list[Process] = []
        # What each session must be found to hold: all of `must`, then any number of the first of `may`.
        self.must: dict[str, list[TransitionRecord]] = {}
        self.may: dict[str, list[TransitionRecord]] = {}
        self.floor: dict[Path, int] = {}  # bytes of each segment when it last acknowledged something

    def teardown(self) -> None:
        """Bury all and remove the directory."""
        for process in getattr(self, "alive", []):
            process.disk.bury()
        shutil.rmtree(getattr(self, "place", "nowhere"), ignore_errors=True)

    @rule(target=processes)
    def start(self) -> Process:
        """Open the history as a new process does, and compare all that is found."""
        disk = Mortal()
        history = History.open(self.place / "data", disk=disk, limits=LIMITS)
        self.compare(history)
        process = Process(history, disk, f"s{len(self.must)}")
        self.alive.append(process)
        self.must[process.session], self.may[process.session] = [], []
        return process

    @rule(process=processes, image=st.sampled_from("abc"), detail=st.text(max_size=40))
    def record(self, process: Process, image: str, detail: str) -> None:
        """Record one transition."""
        seq = process.history.next_seq(image)
        record = replace(BASE, image=image, session=process.session, seq=seq, detail=detail)
        process.history.record(record)
        process.recorded.append(record)

    @rule(process=processes)
    def commit(self, process: Process) -> None:
        """Commit; from now on all of it must be found."""
        process.history.commit()
        self.acknowledged(process)

    @rule(process=consumes(processes))
    def close(self, process: Process) -> None:
        """End in order."""
        process.history.close()
        self.acknowledged(process)
        self.alive.remove(process)
        process.disk.bury()

    @rule(
        process=consumes(processes),
        calls=st.integers(0, 7),
        cut=st.integers(0, 400),
        garbage=st.binary(max_size=50),
    )
    def crash_while_committing(self, process: Process, calls: int, cut: int, garbage: bytes) -> None:
        """Die at any call; the segment then ends anywhere behind what was acknowledged, in anything."""
        process.disk.calls_left = calls
        try:
            process.history.commit()
        except PowerCut:
            pass
        else:
            self.acknowledged(process)
        unclosed = [path for path in process.disk.handles.values() if path in process.disk.own]
        process.disk.bury()
        self.alive.remove(process)
        self.may[process.session] = process.recorded[process.acked :]
        for path in unclosed:
            if path.exists():
                size = max(self.floor.get(path, 0), path.stat().st_size - cut)
                path.write_bytes(path.read_bytes()[:size] + garbage)

    def acknowledged(self, process: Process) -> None:
        """Note what must be found from now on."""
        process.acked = len(process.recorded)
        self.must[process.session] = list(process.recorded)
        for path in process.disk.handles.values():
            self.floor[path] = path.stat().st_size

    def compare(self, history: History) -> None:
        """Hold what a history found against what was acknowledged."""
        found: dict[str, list[TransitionRecord]] = {session: [] for session in self.must}
        for record in history.transitions():
            found[record.session].append(record)
        assert history.receipt.damaged == ()
        for session, records in found.items():
            must, may = self.must[session], self.may[session]
            assert records == must + may[: len(records) - len(must)]
            # What survived once is history: it may not disappear later.
            self.must[session], self.may[session] = records, []
        for summary in history.sessions():
            mine = [record for record in found[summary.session] if record.image == summary.image]
            assert (summary.transitions, summary.seq) == (len(mine), mine[-1].seq)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
