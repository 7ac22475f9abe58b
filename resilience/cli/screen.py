"""What `resilience watch` shows a person: one line per image, kept current, and the transitions below it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from machines import State
from resilience.change import Change
from resilience.cli.lines import reason_text
from resilience.errors import ResilienceError
from resilience.image import Image
from resilience.supervisor import Supervisor
from resilience.wire import Reply

FRAMES_PER_SECOND = 8
SHOWN_CHANGES = 12
SOON_S = 0.5
"""A try sooner than this needs no countdown; it would only flicker."""

_LOOKS: dict[State, tuple[str, str]] = {
    State.FRESH: ("○", "bold"),
    State.RESTORING: ("◌", "bold"),
    State.RESTORED: ("○", "bold"),
    State.CONNECTED: ("●", "bold green"),
    State.MODIFIED: ("◉", "bold green"),
    State.RECONNECTING: ("◐", "bold yellow"),
    State.FAILED: ("✗", "bold red"),
    State.ORPHANED: ("◇", "bold bright_black"),
}
"""Colour is never the only sign: each state has a mark of its own."""


def line_of(change: Change) -> str:
    """One transition as a line of text."""
    at = datetime.fromtimestamp(change.at).astimezone().strftime("%H:%M:%S.%f")[:-3]
    mark = _LOOKS[change.target][0]
    lost = "" if change.durable else "  [not durable]"
    why = reason_text(change.reason, change.detail)
    return f"{at}  {change.image}  {mark} {change.source} → {change.target}: {why}  (#{change.seq}){lost}"


@dataclass(slots=True)
class _Probes:
    ok: int = 0
    failed: int = 0
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=50))


class Screen:
    """Draws at a steady, calm rate; what happens in between is only remembered."""

    def __init__(self) -> None:
        self._console = Console()
        self._changes: deque[Change] = deque(maxlen=SHOWN_CHANGES)
        self._probes: dict[str, _Probes] = {}
        self._notice = ""
        self._since: dict[str, float] = {}

    def change(self, change: Change) -> None:
        """A transition to show."""
        self._changes.append(change)
        self._since[change.image] = time.monotonic()

    def notice(self, words: str) -> None:
        """A line that stays until the next."""
        self._notice = words

    def probe(self, image: str, outcome: Reply | ResilienceError, ms: float) -> None:
        """A ping that was tried."""
        probes = self._probes.setdefault(image, _Probes())
        if isinstance(outcome, Reply):
            probes.ok += 1
            probes.recent_ms.append(ms)
        else:
            probes.failed += 1

    async def run(self, supervisor: Supervisor) -> None:
        """Draw until cancelled; the last picture stays on the terminal."""
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            try:
                while True:
                    live.update(self._picture(supervisor), refresh=True)
                    await asyncio.sleep(1 / FRAMES_PER_SECOND)
            finally:
                live.update(self._picture(supervisor), refresh=True)

    def _picture(self, supervisor: Supervisor) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("image", "state", "why", "path", "for"):
            table.add_column(name, no_wrap=name != "why")
        if self._probes:
            table.add_column("pings", no_wrap=True)
        for image in supervisor.images:
            table.add_row(*self._row(image))
        lines = [
            Text(line_of(change), style="dim", overflow="ellipsis", no_wrap=True) for change in self._changes
        ]
        parts: list[Table | Text] = [table, Text(""), *lines]
        if self._notice:
            parts.append(Text(self._notice, style="bold yellow"))
        parts.append(
            Text(
                "Ctrl-C ends; everything shown is on disk." if supervisor.trouble is None else "", style="dim"
            )
        )
        return Group(*parts)

    def _row(self, image: Image) -> list[Text]:
        mark, style = _LOOKS[image.state]
        path = image.path
        way = "none" if path is None else f"{path.interface} {path.local_address}"
        since = time.monotonic() - self._since.get(image.name, time.monotonic())
        row = [
            Text(image.name),
            Text(f"{mark} {image.state}", style=style),
            Text(_why(image)),
            Text(way),
            Text(f"{since:.0f} s"),
        ]
        if probes := self._probes.get(image.name):
            recent = sorted(probes.recent_ms)
            median = f"{recent[len(recent) // 2]:.1f} ms" if recent else "-"
            row.append(Text(f"{probes.ok} ok, {probes.failed} failed, {median}"))
        return row


def _why(image: Image) -> str:
    why = reason_text(image.reason, image.detail)
    if image.next_try_s is None:
        return why
    soon = image.next_try_s < SOON_S
    return f"{why}; try {image.attempt}" + (" under way" if soon else f", next in {image.next_try_s:.1f} s")
