"""What a worker does: play one run after the other, and make a result of whatever goes wrong."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import Self

from simulations.campaign.journal import ROOT, fingerprint
from simulations.campaign.plan import Job
from simulations.results import Run, Violation
from simulations.scenarios import Scenario

Player = Callable[[Scenario, int], Run]
Chunk = tuple[Job, ...]

RUN_LIMIT_S = 60.0
"""Of the clock on the wall: a run takes a twentieth of a second, and some seconds on a machine that swaps."""

HARNESS = 0
"""Stands for the law in violations that are none: the run raised, hung, or ended its process."""

GARBAGE_AFTER = 50_000
"""So many new objects before Python looks for circles among them: a run makes some hundred thousand, most of
them gone by then. Measured: 4 % of a run's time."""

_turn = threading.Lock()  # a cluster's worker may have several threads; a run has the process to itself
_stop: Event | None = None


class OtherCodeError(RuntimeError):
    """A worker has other code than the campaign; what it plays proves nothing about ours."""


class TooLongError(KeyboardInterrupt):
    """A run takes too long. Of this kind because an event loop lets hardly any other pass."""


def virtual_world() -> Player:
    """Import the virtual world, which takes a while."""
    from simulations.virtual.play import play  # noqa: PLC0415 - see above

    return play


def begin_worker(stop: Event) -> None:
    """Prepare a process of this machine: it stops early when told to, and never outlives its parent."""
    global _stop  # noqa: PLW0603 - a worker process is told once, before it plays
    _stop = stop
    gc.set_threshold(GARBAGE_AFTER)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the campaign decides
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def play_chunk(chunk: Chunk, player: Player | None, limit_s: float, code: str) -> list[Run]:
    """Play some jobs; fewer if the campaign is to stop meanwhile. `player` None: the virtual world.

    Raises:
        OtherCodeError: this worker's checkout is not that of the campaign.
    """
    if code != fingerprint():
        raise OtherCodeError(f"a worker on {platform.node()} has code {fingerprint()}, the campaign {code}")
    played: list[Run] = []
    with _turn:
        for job in chunk:
            if _stop is not None and _stop.is_set():
                break
            played.append(play_one(job, player or virtual_world(), limit_s, expendable=True))
    return played


def play_one(job: Job, player: Player, limit_s: float = RUN_LIMIT_S, *, expendable: bool = False) -> Run:
    """Play one run, under the name the plan has for it; to raise or to hang is a violation.

    `expendable`: this process may be ended if a run takes twice the limit and cannot be interrupted.
    `took_s` is the processor's time: how long a run takes must not depend on what else the machine does.
    """
    began = time.thread_time()
    guard = _Guard(limit_s, expendable=expendable)
    try:
        with guard:
            run = player(job.the_scenario(), job.seed)
    except TooLongError:
        return failed(job, f"took more than {limit_s:g} s; was {guard.where}", time.thread_time() - began)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a result, and the next run goes on
        where = _place(traceback.extract_tb(error.__traceback__))
        return failed(job, f"{type(error).__name__}: {error}; {where}", time.thread_time() - began)
    finally:
        if expendable:
            faulthandler.cancel_dump_traceback_later()
    return replace(run, scenario=job.label, took_s=round(time.thread_time() - began, 6))


def failed(job: Job, what: str, took_s: float = 0.0) -> Run:
    """Give the result of a run that has none."""
    violation = Violation(HARNESS, 0.0, -1, what)
    return Run(job.label, job.seed, "", 0.0, (violation,), took_s=round(took_s, 6))


class _Guard:
    """Interrupts the thread that plays when a run takes too long; where that is no use, ends the process.

    An alarm would do the same, but reaches main threads only, and a cluster plays in others.
    """

    def __init__(self, limit_s: float, *, expendable: bool) -> None:
        self._limit_s = limit_s
        self._expendable = expendable
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._over = False
        self._timer = threading.Timer(limit_s, self._interrupt)
        self._timer.daemon = True
        self.where = ""
        """Where it was when it was interrupted."""

    def __enter__(self) -> Self:
        if self._expendable:
            with contextlib.suppress(
                ValueError, RuntimeError
            ):  # where stderr is no file there is no hard limit
                faulthandler.dump_traceback_later(2 * self._limit_s, exit=True)
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
        self._timer.cancel()
        self._timer.join()

    def _interrupt(self) -> None:
        with self._lock:
            if self._over:
                return
            frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - documented; the only way to ask
            self.where = _place(traceback.extract_stack(frame))
            thread, interruption = ctypes.c_ulong(self._thread), ctypes.py_object(TooLongError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, interruption)


def _place(frames: traceback.StackSummary) -> str:
    """Name the innermost place in this project's code."""
    for frame in reversed(frames):
        file = Path(frame.filename)
        if file.is_relative_to(ROOT) and ".venv" not in file.parts:
            return f"at {file.relative_to(ROOT).as_posix()}:{frame.lineno} in {frame.name}"
    return "nowhere in this project"
