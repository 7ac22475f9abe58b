"""`resilience eval`: one evaluation, at most once."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from machines import State
from machines.table import LIVE
from resilience.cli import EXIT_FAILED, EXIT_UNKNOWN, EXIT_UNREACHABLE
from resilience.cli.lines import reason_text, write
from resilience.cli.running import run_until_done
from resilience.errors import Expired, ImageError, OutcomeUnknown, ResilienceError, printable
from resilience.supervisor import Supervisor
from resilience.wire import Reply


def run(
    endpoint: str, code: str, *, connect_s: float, timeout_s: float, data_dir: Path | None, as_json: bool
) -> int:
    """Evaluate and print; returns the exit code."""
    return run_until_done(_evaluate(endpoint, code, connect_s, timeout_s, data_dir, as_json=as_json))


async def _evaluate(
    endpoint: str, code: str, connect_s: float, timeout_s: float, data_dir: Path | None, *, as_json: bool
) -> int:
    async with Supervisor(data_dir, on_notice=lambda words: click.echo(words, err=True)) as supervisor:
        image = await supervisor.connect(endpoint)
        with contextlib.suppress(TimeoutError):
            await image.wait_for(State.CONNECTED, State.FAILED, State.ORPHANED, timeout=connect_s)
        if image.state not in LIVE:
            why = reason_text(image.reason, image.detail)
            words = f"{image.name} was not reached within {connect_s:g} s: {why}"
            return _tell(None, words, "unreachable", EXIT_UNREACHABLE, as_json=as_json)
        try:
            reply = await image.evaluate(code, timeout=timeout_s)
        except OutcomeUnknown as unknown:
            return _tell(None, str(unknown), "unknown", EXIT_UNKNOWN, as_json=as_json)
        except Expired as expired:
            return _tell(None, str(expired), "unreachable", EXIT_UNREACHABLE, as_json=as_json)
        except (ImageError, ResilienceError) as problem:
            return _tell(None, str(problem), "error", EXIT_FAILED, as_json=as_json)
        return _tell(reply, "", "done", 0, as_json=as_json)


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
        sys.stdout.write(result + "\n")
    else:
        click.echo(words, err=True)
    return code
