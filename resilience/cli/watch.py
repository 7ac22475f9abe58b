"""`resilience watch`: keep connections and show them live."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from machines import State
from resilience.change import Change
from resilience.cli.lines import of_change, of_probe, write
from resilience.cli.passphrases import offered
from resilience.cli.running import run_until_done
from resilience.cli.screen import Screen, line_of
from resilience.cli.ways_out import WaysOut, to_go_on
from resilience.cli.words import Refused, refused
from resilience.errors import QueueFull, ResilienceError
from resilience.exchange import Asked
from resilience.image import Image
from resilience.limits import PROBE_TIMEOUT_S
from resilience.supervisor import Supervisor
from resilience.wire import Kind, Reply, Request


def run(
    endpoints: tuple[str, ...],
    *,
    probe_ms: int | None,
    for_s: float | None,
    data_dir: Path | None,
    passphrase_file: Path | None,
    ways: WaysOut,
    as_json: bool,
) -> int:
    """Watch until the time is over or somebody interrupts; returns the exit code."""
    try:
        passphrase = offered(passphrase_file)
    except Refused as problem:
        return refused(problem, as_json=as_json)
    screen = Screen() if not as_json and sys.stdout.isatty() else None
    notice = screen.notice if screen is not None else _to_stderr
    supervisor = Supervisor(data_dir, passphrase=passphrase, on_notice=notice)
    decide = partial(_decide, supervisor, ways, notice)
    return run_until_done(
        _watch(supervisor, endpoints, screen, decide, probe_ms=probe_ms, for_s=for_s, as_json=as_json)
    )


async def _watch(
    supervisor: Supervisor,
    endpoints: tuple[str, ...],
    screen: Screen | None,
    decide: Callable[[Change], None],
    *,
    probe_ms: int | None,
    for_s: float | None,
    as_json: bool,
) -> int:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(change: Change) -> None:
        try:
            if screen is not None:
                screen.change(change)
            elif as_json:
                write(of_change(change))
            else:
                click.echo(line_of(change))
        except OSError as gone:  # nobody reads our output any more
            if not failed.done():
                failed.set_exception(gone)

    supervisor.on_change(tell)
    supervisor.on_change(decide)
    async with supervisor:
        images = [await supervisor.connect(endpoint) for endpoint in endpoints]
        jobs: list[asyncio.Future[None]] = [failed]
        if probe_ms is not None:
            jobs += [
                asyncio.ensure_future(_probe(i, probe_ms, screen, failed, as_json=as_json)) for i in images
            ]
        if screen is not None:
            jobs.append(asyncio.ensure_future(screen.run(supervisor)))
        try:
            await asyncio.wait(jobs, timeout=for_s, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for job in jobs:
                job.cancel()
        if failed.done() and not failed.cancelled():
            failed.result()
    return 0


def _decide(supervisor: Supervisor, ways: WaysOut, notice: Callable[[str], None], change: Change) -> None:
    """It cannot go on by itself: go the way that somebody decided on before, or say which there are."""
    if change.target not in (State.ORPHANED, State.FAILED):
        return
    image = next(image for image in supervisor.images if image.name == change.image)
    if not ways.take(image):
        notice(f"{change.image}: {to_go_on(change.target)}")


def _to_stderr(words: str) -> None:
    click.echo(words, err=True)


async def _probe(
    image: Image, probe_ms: int, screen: Screen | None, failed: asyncio.Future[None], *, as_json: bool
) -> None:
    """A ping every `probe_ms`, connected or not; beats that were missed are not made up for."""

    def settled(outcome: Reply | ResilienceError, asked: Asked) -> None:
        now = time.monotonic()
        try:
            if as_json:
                write(of_probe(image.name, outcome, asked, now))
            elif screen is not None:
                screen.probe(image.name, outcome, (now - asked.issued_at) * 1000)
        except OSError as gone:
            if not failed.done():
                failed.set_exception(gone)

    beat_s = probe_ms / 1000
    next_at = time.monotonic()
    while True:
        try:
            image.submit_ping(PROBE_TIMEOUT_S, settled)
        except QueueFull as full:
            settled(full, Asked(Request(Kind.PING), time.monotonic(), 0.0, None))
        next_at = max(next_at + beat_s, time.monotonic())
        await asyncio.sleep(next_at - time.monotonic())
