"""`python -m simulations`: the benches and campaigns, run from a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulations.bench import bench
from simulations.campaign.commands import register as register_campaign
from simulations.field.commands import register as register_field
from simulations.fingerprints import fingerprints
from simulations.mutants.commands import register as register_mutants
from simulations.report.commands import register as register_report
from simulations.store_cost import store

app = typer.Typer(no_args_is_help=True, add_completion=False)
register_campaign(app)
register_report(app)
register_field(app)
register_mutants(app)
app.command("fingerprints")(fingerprints)
app.command("bench")(bench)
app.command("store")(store)


@app.command("record")
def record(
    picture: Annotated[Path, typer.Argument(help="The SVG to write.")],
    command: Annotated[list[str], typer.Argument(help="What to run; put -- before it.")],
) -> None:
    """Run a command on a terminal of its own and draw what it showed."""
    from simulations.record import record as run  # noqa: PLC0415 - POSIX only

    raise typer.Exit(run(command, picture, " ".join(command)))


@app.callback()
def simulations() -> None:
    """Break networks, peers and disks on purpose, and measure what is left standing."""


if __name__ == "__main__":
    app()
