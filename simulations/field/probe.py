"""What the measured clients share: one ping every 20 ms, and one line of JSON about each.

The lines are those of `resilience watch --probe 20 --json`, so that all are scored by the same rule.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class Probe:
    """One ping: its id on the wire and when it was issued, in CLOCK_MONOTONIC seconds."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    t0: float = field(default_factory=time.monotonic)

    def message(self) -> bytes:
        """Give the ping in the typed-envelope dialect, which every image of this project answers."""
        request = {"type": "Request", "data": {"request_type": "Ping", "params": {}}}
        stamp = datetime.now(UTC).isoformat()
        return json.dumps(
            {"id": self.id, "version": "1.0.0", "timestamp": stamp, "payload": request}
        ).encode()

    def answered(self) -> None:
        now = time.monotonic()
        self._print(now, {"ok": True, "ms": round((now - self.t0) * 1000, 3)})

    def gave_up(self, error: str) -> None:
        self._print(time.monotonic(), {"ok": False, "error": error})

    def _print(self, now: float, verdict: dict[str, object]) -> None:
        line = {"event": "probe", "t": now, "t0": self.t0, "id": self.id, "image": endpoint(), **verdict}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


@dataclass(slots=True)
class Metronome:
    """Tick every interval; beats that were missed are skipped, not caught up in a burst."""

    interval_s: float = INTERVAL_S
    next_s: float = field(default_factory=time.monotonic)

    def due_in_s(self) -> float:
        return max(0.0, self.next_s - time.monotonic())

    def advance(self) -> None:
        self.next_s = max(self.next_s + self.interval_s, time.monotonic())

    def wait(self) -> None:
        time.sleep(self.due_in_s())
        self.advance()


def endpoint() -> str:
    """Give the one argument of these programs: the image's address, like tcp://10.0.0.2:5555."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its argument
        sys.exit(f"usage: python -m {__package__}.CLIENT tcp://HOST:PORT")
    return sys.argv[1]
