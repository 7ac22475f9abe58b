"""Sessions as a workload of the beds: each step types something, evaluates something, and saves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import MappingProxyType

from shelves import SID, begun, code, shelf
from store.directories import Directories
from store.disk import Disk
from store.documents import Append, Edit, Put, State, applied, new_document
from store.documents.budget import AT_MOST
from store.sessions import Session, SessionLimits, Sessions
from workloads import Wrong

LIMITS = SessionLimits(log_bytes=900, snapshot_bytes=60_000, kept=1)
"""So small that every third step begins a generation, and the one before is no net below it; after some six
hundred steps the oldest history goes, and again and again in a long run."""

KEPT = AT_MOST["evaluations"]
"""So much history stays whatever the budget."""

EDITS = 2
"""A step."""

CANARY = b"nobody may read this"
IMAGE, ENDPOINT = "10.0.0.2:5555", "tcp://10.0.0.2:5555"


def edits(number: int) -> tuple[Edit, ...]:
    """Return what step `number` does."""
    text = f"{number} {CANARY.decode()} {Random(number).randbytes(number * 37 % 150).hex()}"
    return (
        Put("workspaces", {"title": "w", "code": text}, f"w{number % 3}"),
        Append("evaluations", {"id": f"e{number}", "at": float(number), "code": text, "ok": True}),
    )


class SessionWork:
    """Edits, saves, and lets old generations go."""

    def __init__(self, sessions: Sessions, session: Session) -> None:
        self.sessions = sessions
        self.session = session
        self.done = self.begun = session.revision // EDITS

    def step(self) -> int:
        """Let go what the step before made superfluous, then make the next edits, and save them.

        A recovery and the first step after it remove nothing: whatever is gone then was destroyed.
        """
        if self.done > self.begun:
            self.sessions.prune(self.session)
        self.done += 1
        self.session.edit(*edits(self.done))
        self.session.save()
        return self.done

    def close(self) -> None:
        """Close the session, and leave its log for the next process to find."""
        self.session.close(compact=False)


class SessionWorkload:
    """One session's edits, with the keys beside it, and an upgrade of nothing."""

    name = "sessions"
    precious = frozenset({"sessions"})
    logs = ".edits"
    rests = True
    unsynced = frozenset({f"{SID}.lease", "keys.lease"})
    canaries: tuple[bytes, ...] = (CANARY,)
    gaps = False
    shared = False
    needless: Mapping[str, str] = MappingProxyType({})

    def __init__(self) -> None:
        self._expected: list[State] = [new_document(SID, IMAGE, ENDPOINT, 1000.0)]
        self._history: list[State] = []

    def _sessions(self, data_dir: Path, disk: Disk) -> Sessions:
        directories = Directories(disk, data_dir)
        directories.make(data_dir)
        directories.sync_names()
        return shelf(data_dir, disk, limits=LIMITS)

    def open(self, data_dir: Path, disk: Disk) -> SessionWork:
        """Open the session, or begin it."""
        sessions = self._sessions(data_dir, disk)
        there = any(each.session == SID for each in sessions.listing())
        return SessionWork(sessions, sessions.open(SID) if there else begun(sessions))

    def find(self, data_dir: Path, disk: Disk) -> int:
        """Compare the document with what was typed."""
        work = self.open(data_dir, disk)
        state, revision = work.session.state, work.session.revision
        receipt = work.session.receipt
        work.session.close()
        if revision % EDITS:
            raise Wrong(f"revision {revision} is in the middle of a step")
        steps = revision // EDITS
        history = state["evaluations"]
        whole = len(history) >= min(steps, KEPT)  # the budget may have taken what is older
        if not whole or {**state, "evaluations": history[::-1]} != self.expected(steps, len(history)):
            raise Wrong(f"not the state after {steps} steps: {code(state, f'w{steps % 3}')!r}")
        if receipt.missing or receipt.rolled_back:
            raise Wrong(f"something is missing: {receipt}")
        return steps

    def expected(self, steps: int, history: int) -> State:
        """Return the document after so many steps, with so much history, the newest first."""
        while len(self._expected) <= steps:
            state = self._expected[-1]
            for edit in edits(len(self._expected)):
                state = applied(state, edit)
            self._history += state["evaluations"]
            self._expected.append({**state, "evaluations": []})  # or each would be longer than the last
        newest = self._history[:steps][::-1][:history]
        return {**self._expected[steps], "evaluations": newest}
