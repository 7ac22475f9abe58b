"""The command line: `resilience demo|watch|eval|sessions|keys|doctor`. Exit codes are part of the contract.

0 done, 1 the image answered with an error (or the store has one), 2 usage,
3 unreachable before the deadline, 4 outcome unknown, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from resilience import __version__
from resilience.cli.key_commands import keys as key_group
from resilience.cli.options import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_UNKNOWN,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    Seconds,
    Unwritable,
    adopt_option,
    common,
    data_dir_option,
    offered_passphrase_option,
    passphrase_option,
    start_fresh_option,
)
from resilience.cli.session_commands import sessions as session_group
from resilience.errors import BadEndpoint, UsageError

__all__ = [
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_UNKNOWN",
    "EXIT_UNREACHABLE",
    "EXIT_USAGE",
    "app",
    "main",
]


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
@click.option("--for", "for_s", type=Seconds(0, min_open=True), help="End after S seconds.", metavar="S")
@adopt_option
@start_fresh_option
@offered_passphrase_option("Without it sessions are neither read nor kept.")
@common
def watch(
    endpoints: tuple[str, ...],
    probe_ms: int | None,
    for_s: float | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    adopt: bool,
    start_fresh: bool,
    as_json: bool,
) -> None:
    """Keep the connections to ENDPOINT... and show them live."""
    from resilience.cli.watch import run  # noqa: PLC0415 - imported when used
    from resilience.cli.ways_out import WaysOut  # noqa: PLC0415 - same

    sys.exit(
        run(
            endpoints,
            probe_ms=probe_ms,
            for_s=for_s,
            data_dir=data_dir,
            passphrase_file=passphrase_file,
            ways=WaysOut(adopt=adopt, start_fresh=start_fresh),
            as_json=as_json,
        )
    )


@app.command("eval")
@click.argument("endpoint", type=EndpointType())
@click.argument("code")
@click.option(
    "--connect-timeout",
    "connect_s",
    type=Seconds(0, 3600, min_open=True),
    default=5.0,
    show_default=True,
    help="Seconds to reach the image.",
    metavar="S",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(0, 3600, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds for its answer.",
    metavar="S",
)
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
@adopt_option
@start_fresh_option
@offered_passphrase_option("Without it the evaluation is not kept in the session.")
@data_dir_option
def evaluate(
    endpoint: str,
    code: str,
    *,
    connect_s: float,
    timeout_s: float,
    passphrase_file: Path | None,
    data_dir: Path | None,
    adopt: bool,
    start_fresh: bool,
    as_json: bool,
) -> None:
    """Evaluate CODE in the image at ENDPOINT, at most once, and print the result."""
    from resilience.cli.evaluate import run  # noqa: PLC0415 - imported when used
    from resilience.cli.ways_out import WaysOut  # noqa: PLC0415 - same

    sys.exit(
        run(
            endpoint,
            code,
            connect_s=connect_s,
            timeout_s=timeout_s,
            data_dir=data_dir,
            passphrase_file=passphrase_file,
            ways=WaysOut(adopt=adopt, start_fresh=start_fresh),
            as_json=as_json,
        )
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


@app.command()
@passphrase_option
@common
def doctor(passphrase_file: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Look at everything that has to be right on this machine; exit 1 if something is not."""
    from resilience.cli.doctor import run  # noqa: PLC0415 - imported when used

    sys.exit(run(data_dir, given=passphrase_file, as_json=as_json))


app.add_command(session_group)
app.add_command(key_group)


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
    except (BrokenPipeError, Unwritable) as problem:
        if isinstance(problem, Unwritable):
            click.echo(f"Error: {problem}", err=True)
        # Else whoever read our output has gone. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
