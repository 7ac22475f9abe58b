"""`resilience eval`: one evaluation, at most once."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from machines import State
from machines.table import LIVE
from resilience.cli import EXIT_FAILED, EXIT_UNKNOWN, EXIT_UNREACHABLE
from resilience.cli.lines import put, reason_text, write
from resilience.cli.passphrases import KEYS, offered
from resilience.cli.running import exit_of, run_until_done
from resilience.cli.ways_out import WaysOut, to_go_on
from resilience.cli.words import Refused, refused
from resilience.errors import (
    Expired,
    ImageError,
    NotDurable,
    OutcomeUnknown,
    ResilienceError,
    printable,
)
from resilience.image import Image
from resilience.supervisor import Supervisor
from resilience.wire import Reply
from store.keys import KeyState, Protection

KEPT_WITHIN_S = 3.0
"""A passphrase takes half a second to become a key, a keyring that nobody opens for ever; who asked for one
evaluation has its answer by then."""

_INTERRUPTED = "interrupted: the image may have evaluated it, or may still"


def run(
    endpoint: str,
    code: str,
    *,
    connect_s: float,
    timeout_s: float,
    data_dir: Path | None,
    passphrase_file: Path | None,
    ways: WaysOut,
    as_json: bool,
) -> int:
    """Evaluate and print; returns the exit code."""
    try:
        passphrase = offered(passphrase_file)
    except Refused as problem:
        return refused(problem, as_json=as_json)
    supervisor = Supervisor(data_dir, passphrase=passphrase, on_notice=_to_stderr)
    return run_until_done(
        _evaluate(supervisor, endpoint, code, connect_s, timeout_s, ways=ways, as_json=as_json)
    )


async def _evaluate(
    supervisor: Supervisor,
    endpoint: str,
    code: str,
    connect_s: float,
    timeout_s: float,
    *,
    ways: WaysOut,
    as_json: bool,
) -> int:
    async with supervisor:
        image = await supervisor.connect(endpoint)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(connect_s):
                await _settled(image, ways)
        if image.state not in LIVE:
            words = _why_not(image, connect_s)
            return _tell(None, words, "unreachable", EXIT_UNREACHABLE, as_json=as_json)
        try:
            reply = await image.evaluate(code, timeout=timeout_s)
        except asyncio.CancelledError as interrupt:
            _tell(None, _INTERRUPTED, "unknown", exit_of(interrupt), as_json=as_json)
            raise
        except OutcomeUnknown as unknown:
            exit_code = _tell(None, str(unknown), "unknown", EXIT_UNKNOWN, as_json=as_json)
        except Expired as expired:
            return _tell(None, str(expired), "unreachable", EXIT_UNREACHABLE, as_json=as_json)
        except (ImageError, ResilienceError) as problem:
            exit_code = _tell(None, str(problem), "error", EXIT_FAILED, as_json=as_json)
        else:
            exit_code = _tell(reply, "", "done", 0, as_json=as_json)
        await _keep(supervisor, image)
        return exit_code


async def _settled(image: Image, ways: WaysOut) -> None:
    """Return when the image is connected, or when only somebody's decision would lead there."""
    state = await image.wait_for(State.CONNECTED, State.FAILED, State.ORPHANED)
    if ways.take(image):  # once: where that leads is told, and not archived again
        await image.wait_for(*(other for other in State if other is not state))
        await image.wait_for(State.CONNECTED, State.FAILED, State.ORPHANED)


def _why_not(image: Image, connect_s: float) -> str:
    why = reason_text(image.reason, image.detail)
    if image.state in (State.ORPHANED, State.FAILED):
        return f"{image.name} is {image.state}: {why}; nothing was evaluated. {to_go_on(image.state)}"
    return f"{image.name} was not reached within {connect_s:g} s: {why}"


async def _keep(supervisor: Supervisor, image: Image) -> None:
    """The answer is told; what is left is its record in the session, or the reason why there is none."""
    try:
        async with asyncio.timeout(KEPT_WITHIN_S):
            await image.save()
    except (TimeoutError, NotDurable) as problem:
        why = problem.problem if isinstance(problem, NotDurable) else supervisor.keys.why
        protection = supervisor.keys.protection
        if protection in (None, Protection.VOLATILE):
            return  # nothing is meant to be kept
        _to_stderr(f"not kept in the session: {why}")
        if protection is Protection.PASSPHRASE and supervisor.keys.state is KeyState.LOCKED:
            _to_stderr(f"Give the passphrase with --passphrase-file FILE, or in the environment as {KEYS}.")


def _to_stderr(words: str) -> None:
    click.echo(words, err=True)


def _tell(reply: Reply | None, words: str, outcome: str, code: int, *, as_json: bool) -> int:
    if as_json:
        line = {"event": "eval", "outcome": outcome, "exit": code}
        if reply is not None:
            line |= {"result": reply.result, "result_type": reply.result_type, "ms": reply.execution_time_ms}
        else:
            line |= {"error": words}
        write(line)
    elif reply is not None:
        result = printable(reply.result) if sys.stdout.isatty() else reply.result
        put(result + "\n")
    else:
        click.echo(words, err=True)
    return code
