"""`python -m simulations field`: the named stories on real interfaces; what does it is imported then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from simulations.outputs import writable

TOGETHER = 2 * (os.cpu_count() or 1)  # a lab mostly waits; more of them would wait for each other


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("field")(field)


def field(
    *,
    only: Annotated[str, typer.Option(help="Stories, like commuter,S4; all that are real by default.")] = "",
    runs: Annotated[int, typer.Option(min=1, max=1000, help="How often each is played.")] = 1,
    seed: Annotated[int, typer.Option(help="Of settling times and gaps.")] = 1,
    together: Annotated[int, typer.Option(min=1, max=64, help="Labs at the same time.")] = TOGETHER,
    out: Annotated[Path | None, typer.Option(help="Append a JSON line for each run to this file.")] = None,
) -> None:
    """Play named stories in network namespaces; exit 1 if a recovery exceeds 10 s or anything ran twice.

    Each gets a lab of its own: three namespaces, an image, and `resilience watch`. Needs root and Linux.
    """
    from simulations.field import tour  # noqa: PLC0415 - imported when used
    from simulations.scenarios import LIBRARY  # noqa: PLC0415 - same

    names = list(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))
    if unknown := [name for name in names if name not in LIBRARY]:
        raise typer.BadParameter(f"--only does not know {', '.join(unknown)}; it knows {', '.join(LIBRARY)}")
    for name in names:
        if why := tour.obstacle(LIBRARY[name]):
            raise typer.BadParameter(f"{name} cannot be played on real interfaces: {why}")
    writable(out)
    chosen = [LIBRARY[name] for name in names] or [
        story for story in LIBRARY.values() if tour.goes_along(story)
    ]
    raise typer.Exit(tour.run(tour.Wish(tuple(chosen), runs, seed, together, out)))
