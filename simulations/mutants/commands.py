"""`python -m simulations mutants`: does the harness find bugs?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from simulations.outputs import writable

UNPROVEN, INTERRUPTED = 1, 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mutants")(mutants)


def mutants(
    *,
    only: Annotated[list[str] | None, typer.Option(help="Only this fault; may be given again.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Faults hunted at once.")] = os.cpu_count() or 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything found out here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write the documentation's list here.")
    ] = None,
) -> None:
    """Plant realistic faults, one at a time, and see whether the CI slice catches every one of them."""
    from rich.console import Console  # noqa: PLC0415 - loaded when used, for quick help
    from rich.progress import Progress  # noqa: PLC0415 - same

    from simulations.mutants import MUTANTS, show  # noqa: PLC0415 - same
    from simulations.mutants.hunt import Hunt, TrialError  # noqa: PLC0415 - same
    from simulations.mutants.planting import unfitting  # noqa: PLC0415 - same

    chosen = [mutant for mutant in MUTANTS if not only or mutant.name in only]
    _check_names(only or (), [mutant.name for mutant in MUTANTS])
    writable(json_file, markdown_file)
    errors = Console(stderr=True)
    hunting = Hunt()
    if misfits := unfitting(chosen, hunting.root):
        errors.print(*misfits, sep="\n", markup=False)
        raise typer.Exit(UNPROVEN)
    try:
        with Progress(console=errors) as progress:
            task = progress.add_task("hunting", total=len(chosen))
            outcomes = asyncio.run(hunting.all(chosen, workers, lambda _: progress.advance(task)))
    except TrialError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(UNPROVEN) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    out = Console()
    out.print(show.table(outcomes))
    out.print(show.summary(outcomes), markup=False)
    if json_file:
        json_file.write_text(show.to_json(outcomes), encoding="utf-8")
    if markdown_file:
        markdown_file.write_text(show.to_markdown(outcomes), encoding="utf-8")
    if not all(outcome.caught for outcome in outcomes):
        raise typer.Exit(UNPROVEN)


def _check_names(given: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise typer.BadParameter(f"no fault is called {', '.join(unknown)}; there are {', '.join(known)}")
