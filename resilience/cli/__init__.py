"""The command line: `resilience demo|watch|eval|sessions`. Exit codes are part of the contract.

0 done, 1 the image answered with an error (or the store has one), 2 usage,
3 unreachable before the deadline, 4 outcome unknown, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from resilience import __version__
from resilience.errors import BadEndpoint, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_UNKNOWN = 4
EXIT_INTERRUPTED = 130


def data_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data-dir`, checked as far as it can be before anything starts."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        callback=_check_data_dir,
        help="Where the journal lives. [default: the platform's user-data directory]",
    )(command)


def _check_data_dir(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value is None:
        return None
    try:
        standing = next((part for part in (value, *value.parents) if part.exists()), None)
        if standing is not None and not standing.is_dir():
            raise click.BadParameter(f"{standing} is a file, not a directory; name another place.")
    except OSError as problem:
        raise click.BadParameter(f"{problem.strerror}: {str(value)[:60]}…; name another place.") from None
    return value


class EndpointType(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """`tcp://host:port`."""

    name = "endpoint"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it; the text itself is passed on."""
        from resilience.endpoint import parse_endpoint  # noqa: PLC0415 - commands start fast

        try:
            return str(parse_endpoint(value))
        except BadEndpoint as problem:
            raise click.BadParameter(str(problem), ctx, param) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="resilience")
def app() -> None:
    """Keep connections to Smalltalk images alive, through flaps, roams, silent drops and restarts."""


@app.command()
@click.argument("endpoints", type=EndpointType(), nargs=-1, required=True, metavar="ENDPOINT...")
@click.option(
    "--probe",
    "probe_ms",
    type=click.IntRange(1, 60_000),
    help="Also try a ping every MS milliseconds.",
    metavar="MS",
)
@click.option(
    "--for", "for_s", type=click.FloatRange(0, min_open=True), help="End after S seconds.", metavar="S"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@data_dir_option
def watch(
    endpoints: tuple[str, ...],
    probe_ms: int | None,
    for_s: float | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Keep the connections to ENDPOINT... and show them live."""
    from resilience.cli.watch import run  # noqa: PLC0415 - imported when used

    sys.exit(run(endpoints, probe_ms=probe_ms, for_s=for_s, data_dir=data_dir, as_json=as_json))


@app.command("eval")
@click.argument("endpoint", type=EndpointType())
@click.argument("code")
@click.option(
    "--connect-timeout",
    "connect_s",
    type=click.FloatRange(0, 3600, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to reach the image.",
    metavar="S",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 3600, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for its answer.",
    metavar="S",
)
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
@data_dir_option
def evaluate(
    endpoint: str, code: str, connect_s: float, timeout_s: float, data_dir: Path | None, *, as_json: bool
) -> None:
    """Evaluate CODE in the image at ENDPOINT, at most once, and print the result."""
    from resilience.cli.evaluate import run  # noqa: PLC0415 - imported when used

    sys.exit(
        run(endpoint, code, connect_s=connect_s, timeout_s=timeout_s, data_dir=data_dir, as_json=as_json)
    )


@app.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option(
    "--loopback", is_flag=True, help="Use the fault-injecting relay even where real interfaces could be used."
)
@data_dir_option
def demo(data_dir: Path | None, *, as_json: bool, loopback: bool) -> None:
    """Show the whole story on this machine: break the network, recover, restart, restore."""
    from resilience.demo.story import run  # noqa: PLC0415 - imported when used

    sys.exit(run(data_dir=data_dir, as_json=as_json, loopback=loopback))


@app.group()
def sessions() -> None:
    """Look at what is stored."""


@sessions.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@data_dir_option
def sessions_list(data_dir: Path | None, *, as_json: bool) -> None:
    """Every session, the newest first."""
    from resilience.cli.sessions import show_sessions  # noqa: PLC0415 - imported when used

    sys.exit(show_sessions(data_dir, as_json=as_json))


@sessions.command("history")
@click.argument("image", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@data_dir_option
def sessions_history(image: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Every journaled transition, the oldest first; of IMAGE only, if one is named."""
    from resilience.cli.sessions import show_history  # noqa: PLC0415 - imported when used

    sys.exit(show_history(image, data_dir, as_json=as_json))


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app.main(standalone_mode=False, prog_name="resilience")
    except click.ClickException as problem:
        problem.show()
        sys.exit(EXIT_USAGE)
    except UsageError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
