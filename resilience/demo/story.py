"""`resilience demo`: the whole story on one machine, told by the real commands.

The client is `resilience watch` in a process of its own, read through its JSON
lines; nothing shown here is known otherwise.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from resilience.cli.lines import write
from resilience.cli.running import run_until_done
from resilience.demo.stages import Stage, choose

RECOVERY_S = 10.0
"""The promise; a scene that takes longer fails the demo."""

SILENCE_S = 4.0
"""Long enough to be noticed, short enough to watch."""

PROBE_MS = 20
EVAL_S = 15.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """How one scene ended."""

    scene: str
    ms: float
    by: str


class Watcher:
    """A running `resilience watch --json`, and the lines it has printed."""

    def __init__(self, stage: Stage, data_dir: Path, tell: Callable[[dict[str, Any]], None]) -> None:
        argv = [sys.executable, "-m", "resilience", "watch", stage.endpoint]
        argv += ["--json", "--probe", str(PROBE_MS), "--data-dir", str(data_dir)]
        self._process = stage.client(argv)
        self._tell = tell
        self._answers: list[tuple[float, float]] = []
        self.last: dict[str, Any] = {}
        self._news = asyncio.Condition()
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        out = self._process.stdout
        while out is not None and (text := await asyncio.to_thread(out.readline)):
            line = json.loads(text)
            if line["event"] == "transition":
                self.last = line
                self._tell(line)
            elif line["ok"]:
                self._answers.append((line["t0"], line["t"]))
            async with self._news:
                self._news.notify_all()

    async def answered_after(self, moment: float) -> float:
        """When a ping issued after `moment` was first answered.

        Raises:
            TimeoutError: none was within the promise.
        """

        def found() -> float | None:
            return next((t for t0, t in self._answers if t0 >= moment), None)

        async with asyncio.timeout(RECOVERY_S), self._news:
            await self._news.wait_for(lambda: found() is not None)
        return found() or 0.0

    async def standing(self) -> dict[str, Any]:
        """Its last transition, once nothing more has come for a moment."""
        await asyncio.sleep(0.2)
        return self.last

    async def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        await self._reader
        if self._process.stdout is not None:
            self._process.stdout.close()


class Story:
    """The scenes in order; prints for people or as JSON lines."""

    def __init__(self, stage: Stage, data_dir: Path, *, as_json: bool) -> None:
        self._stage = stage
        self._data_dir = data_dir
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True)
        self._recoveries: list[Recovery] = []
        self._calls = 0

    async def play(self) -> int:
        """Every scene; returns the exit code."""
        self._say(f"[bold]The stage:[/] {self._stage.title}")
        self._say(f"An image listens at {self._stage.endpoint}; `resilience watch` keeps a connection to it.")
        watcher = Watcher(self._stage, self._data_dir, self._transition)
        await watcher.answered_after(0.0)
        self._say(f"  3 + 4 → [bold]{await self._eval('3 + 4')}[/]")
        try:
            await self._scene(watcher, "the WiFi flaps for a second", self._stage.flap)
            await self._scene(watcher, "we roam to another network", self._stage.roam)
            drop = f"{SILENCE_S:.0f} s of silence: everything is dropped, nobody is told"
            await self._scene(watcher, drop, lambda: self._stage.drop(SILENCE_S))
            await self._scene(watcher, "the image is saved, killed and started again", self._image_restart)
            watcher = await self._own_restart(watcher)
        finally:
            await watcher.kill()
        return await self._end()

    async def _image_restart(self) -> float:
        await self._eval("Smalltalk snapshot")  # what is not saved dies with an image
        return await self._stage.restart_image()

    async def _scene(
        self, watcher: Watcher, what: str, happen: Callable[[], Awaitable[float | None]]
    ) -> None:
        self._say(f"\n[bold]{what[0].upper()}{what[1:]}.[/]")
        back = await happen()
        if back is None:
            self._say("  This stage has one network only; with real interfaces there are two.")
            return
        await self._recovered(watcher, what, back)

    async def _recovered(self, watcher: Watcher, what: str, back: float) -> None:
        ms = (await watcher.answered_after(back) - back) * 1000
        last = await watcher.standing()
        recovery = Recovery(what, ms, str(last.get("reason", "")))
        self._recoveries.append(recovery)
        await self._count()
        self._say(f"  [green]answered {ms:.0f} ms after the path was back[/]")
        if self._as_json:
            write({"event": "recovery", "scene": what, "ms": round(ms, 3), "reason": recovery.by})

    async def _own_restart(self, watcher: Watcher) -> Watcher:
        what = "we are killed (kill -9) and started again"
        self._say(f"\n[bold]{what[0].upper()}{what[1:]}.[/]")
        await watcher.kill()
        again = time.monotonic()
        watcher = Watcher(self._stage, self._data_dir, self._transition)
        await self._recovered(watcher, what, again)
        return watcher

    async def _count(self) -> None:
        self._calls += 1
        await self._eval("Counter increment")

    async def _eval(self, code: str) -> str:
        argv = [sys.executable, "-m", "resilience", "eval", self._stage.endpoint, code]
        process = self._stage.client([*argv, "--data-dir", str(self._data_dir), "--timeout", str(EVAL_S)])
        out, _ = await asyncio.to_thread(process.communicate)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, "resilience eval", out)
        return out.strip()

    async def _end(self) -> int:
        counted = await self._eval("Counter value")
        table = Table("what happened", "back after", "how", box=None, pad_edge=False, title_justify="left")
        for recovery in self._recoveries:
            table.add_row(recovery.scene, f"{recovery.ms:.0f} ms", recovery.by)
        once = counted == str(self._calls)
        if self._as_json:
            write({"event": "end", "calls": self._calls, "executions": int(counted)})
        else:
            self._console.print()
            self._console.print(table)
            verdict = "each ran exactly once" if once else "[bold red]that is not once each[/]"
            self._say(f"\n{self._calls} evaluations were asked for, the image counted {counted}: {verdict}.")
            self._say(f"Every transition above is in the journal: {self._history_size()} of them.")
        return 0 if once else 1

    def _history_size(self) -> int:
        from store import History  # noqa: PLC0415 - looked at once, at the end

        return sum(1 for _ in History.open(self._data_dir, read_only=True).transitions())

    def _transition(self, line: dict[str, Any]) -> None:
        if self._as_json:
            write(line)
        else:
            colour = {"Connected": "green", "Reconnecting": "yellow", "Failed": "red"}.get(
                line["target"], "cyan"
            )
            self._say(f"  {line['source']} → [{colour}]{line['target']}[/]  [dim]{line['reason']}[/]")

    def _say(self, words: str) -> None:
        if not self._as_json:
            self._console.print(words)


def run(*, data_dir: Path | None, as_json: bool, loopback: bool) -> int:
    """Play the story; returns the exit code."""
    return run_until_done(_run(data_dir, as_json=as_json, loopback=loopback))


async def _run(data_dir: Path | None, *, as_json: bool, loopback: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="resilience-demo-") as folder:
        stage = choose(Path(folder), loopback=loopback)
        async with stage:
            try:
                return await Story(stage, data_dir or Path(folder) / "data", as_json=as_json).play()
            except TimeoutError:
                Console(stderr=True).print(f"[bold red]No answer within the promised {RECOVERY_S:.0f} s.[/]")
                return 1
            except subprocess.CalledProcessError as failed:
                Console(stderr=True).print(f"[bold red]`resilience eval` left with {failed.returncode}.[/]")
                return 1
