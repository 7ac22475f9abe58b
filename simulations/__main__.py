"""`python -m simulations`: the benches and campaigns, run from a checkout."""

from __future__ import annotations

import typer

from simulations.bench import bench

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command("bench")(bench)


@app.callback()
def simulations() -> None:
    """Break networks, peers and disks on purpose, and measure what is left standing."""


if __name__ == "__main__":
    app()
