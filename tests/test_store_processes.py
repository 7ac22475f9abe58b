"""Real processes: killed while writing, and writing side by side.

This file is also the program those tests start: it forks its writers itself, so that they start in
no time and from a process that has no threads.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store import History, TransitionRecord

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r")


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Run `work` in a child, with the writing end of a pipe; return its id and the reading end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(writing)
        finally:
            os._exit(0)
    os.close(writing)
    return child, reading


def killed_rounds(data_dir: Path, rounds: int) -> None:
    """Kill a writer in each round at a random moment; see that nothing it acknowledged is missing."""
    chance = random.Random(20260101)
    acked = 0

    def write(pipe: int) -> None:
        history = History.open(data_dir)
        while True:
            for _ in range(3):
                history.record(replace(BASE, seq=history.next_seq("a"), detail="x" * chance.randrange(300)))
            history.commit()
            os.write(pipe, b"%d\n" % (history.next_seq("a") - 1))

    for _ in range(rounds):
        child, pipe = forked(write)
        text = b""
        wanted = chance.randrange(12)
        while text.count(b"\n") < wanted:
            text += os.read(pipe, 4096)
        time.sleep(chance.random() * 0.003)  # into the middle of whatever it does next
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(pipe, 4096):
            text += more
        os.close(pipe)
        acked = max([acked, *(int(line) for line in text.split())])
        with History.open(data_dir, read_only=True) as history:
            found = [record.seq for record in history.transitions()]
            assert found == list(range(1, len(found) + 1)), found
            assert len(found) >= acked, (len(found), acked)
            assert history.receipt.damaged == ()
    sys.stdout.write(f"survived {rounds} {acked > rounds}")


def side_by_side(data_dir: Path, commits: int) -> None:
    """Let two processes write the same image, while a third keeps opening the history to write."""

    def write(pipe: int) -> None:
        history = History.open(data_dir)
        os.write(pipe, b"ready")
        for seq in range(1, commits + 1):
            history.record(replace(BASE, session=str(os.getpid()), seq=seq))
            history.commit()
        os._exit(7)  # without closing: what counts is what commit returned for

    writers = [forked(write) for _ in range(2)]
    for _, pipe in writers:
        assert os.read(pipe, 5) == b"ready"
    for n in range(10):
        with History.open(data_dir) as short:
            short.record(replace(BASE, session="short", seq=n + 1))
            assert short.receipt.quarantined == ()
    for child, _ in writers:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with History.open(data_dir) as history:
        for session in [str(child) for child, _ in writers]:
            seqs = [record.seq for record in history.transitions("a") if record.session == session]
            assert seqs == list(range(1, commits + 1)), seqs
        assert len(history.sessions()) == 3
        assert history.receipt.damaged == ()
        assert history.receipt.quarantined == ()
    sys.stdout.write(f"both kept {commits}")


def started(name: str, data_dir: Path, number: int) -> str:
    """Run this file as a program; return what it says."""
    root = Path(__file__).resolve().parent.parent
    program = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program, name, str(data_dir), str(number)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Thirty times SIGKILL at a random moment; acknowledgements are read from a pipe."""
    assert started("killed_rounds", tmp_path / "data", 30) == "survived 30 True"


def test_processes_side_by_side_corrupt_nothing(tmp_path: Path) -> None:
    """Each one's transitions are all there, in its order, and nobody mends what a living one writes."""
    assert started("side_by_side", tmp_path / "data", 100) == "both kept 100"


if __name__ == "__main__":
    {"killed_rounds": killed_rounds, "side_by_side": side_by_side}[sys.argv[1]](
        Path(sys.argv[2]), int(sys.argv[3])
    )
