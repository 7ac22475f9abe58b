"""What the module costs beside what it is made of: its import, and the durability of a transition."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from simulations.field.report import Bar, shown
from simulations.field.seat import ROOT
from store import History, TransitionRecord

if TYPE_CHECKING:
    from collections.abc import Callable

IMPORTS = {"nothing": "pass", "pyzmq": "import zmq", "resilience": "import resilience"}
IMPORT_ROUNDS = 9
JOURNAL_PAIRS = 400
JOURNAL_WARM_UP = 20  # the first commits also make directories and the segment
IMPORT_BAR_MS = 150.0
JOURNAL_BAR = 1.5  # times a bare append and fdatasync of the same bytes


@dataclass(frozen=True, slots=True)
class Costs:
    """Medians, in milliseconds; imports are whole interpreter runs, to be compared with ``nothing``."""

    import_ms: dict[str, float]
    journal_ms: float
    bare_append_ms: float
    journal_bytes: int

    @property
    def import_added_ms(self) -> float:
        return self.import_ms["resilience"] - self.import_ms["nothing"]

    @property
    def journal_ratio(self) -> float:
        return self.journal_ms / self.bare_append_ms


def measure() -> Costs:
    """Measure all of it, what is compared always alternating."""
    journal_ms, bare_ms, size = _journal()
    return Costs(_imports(), journal_ms, bare_ms, size)


def cost_rows(costs: Costs) -> tuple[list[str], list[list[str]]]:
    """Lay the costs out as (header, rows)."""
    rows = [
        [f"a fresh interpreter importing {what}", f"{value:.1f} ms"]
        for what, value in costs.import_ms.items()
    ]
    rows.append([f"append and fdatasync, {costs.journal_bytes} bytes", f"{costs.bare_append_ms:.3f} ms"])
    rows.append(["the same bytes as a durable transition", f"{costs.journal_ms:.3f} ms"])
    rows.append(["… as a ratio", shown(costs.journal_ratio)])
    return ["cost", "median"], rows


def cost_bars(costs: Costs) -> list[Bar]:
    """Hold the costs against the bars of DESIGN §6."""
    return [
        Bar("import resilience, over an empty interpreter", IMPORT_BAR_MS, costs.import_added_ms),
        Bar("durable transition, over append and fdatasync", JOURNAL_BAR, costs.journal_ratio, "times"),
    ]


def _imports() -> dict[str, float]:
    samples: dict[str, list[float]] = {what: [] for what in IMPORTS}
    for round_ in range(IMPORT_ROUNDS + 1):
        for what, code in IMPORTS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
            if round_:  # the first round fills the file cache and writes the bytecode
                samples[what].append(_since_ms(began))
    return {what: round(median(values), 3) for what, values in samples.items()}


def _journal() -> tuple[float, float, int]:
    durable, bare, sizes = [], [], []
    with TemporaryDirectory(prefix="resilience-bench-") as directory:
        data_dir, twin = Path(directory) / "data", Path(directory) / "bare"
        descriptor = os.open(twin, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            with History.open(data_dir) as history:
                for number in range(JOURNAL_WARM_UP + JOURNAL_PAIRS):
                    before = _sizes(data_dir)
                    durable.append(_timed_ms(partial(_make_durable, history, number + 1)))
                    written = _added(data_dir, before)
                    bare.append(_timed_ms(partial(_append, descriptor, written)))
                    sizes.append(len(written))
        finally:
            os.close(descriptor)
    skip = JOURNAL_WARM_UP
    return round(median(durable[skip:]), 4), round(median(bare[skip:]), 4), int(median(sizes[skip:]))


def _make_durable(history: History, seq: int) -> None:
    lost, back = ("Connected", "link_lost", "Reconnecting"), ("Reconnecting", "proved", "Connected")
    source, trigger, target = lost if seq % 2 else back
    history.record(
        TransitionRecord(
            image="10.0.0.2:5555",
            endpoint="tcp://10.0.0.2:5555",
            session="0123456789abcdef0123456789abcdef",
            seq=seq,
            at=time.time(),
            source=source,
            trigger=trigger,
            target=target,
            reason="the interface lost its address",
        )
    )
    history.commit()


def _append(descriptor: int, data: bytes) -> None:
    os.write(descriptor, data)
    os.fdatasync(descriptor)


def _sizes(data_dir: Path) -> dict[Path, int]:
    return {file: file.stat().st_size for file in (data_dir / "journal").iterdir()}


def _added(data_dir: Path, before: dict[Path, int]) -> bytes:
    parts = []
    for path, size in _sizes(data_dir).items():
        with path.open("rb") as file:
            file.seek(before.get(path, 0))
            parts.append(file.read(size))
    return b"".join(parts)


def _timed_ms(what: Callable[[], None]) -> float:
    began = time.perf_counter()
    what()
    return _since_ms(began)


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
