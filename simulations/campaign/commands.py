"""`python -m simulations run`, `replay` and `shrink`; what they do is imported when they do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulations.outputs import writable

if TYPE_CHECKING:
    from simulations.campaign.single import Chosen

SCENARIOS, SEED = 2000, 0
OUT = Path("build/campaign")

Name = Annotated[
    str, typer.Argument(help="A named scenario, or `swarm`: random trouble.", show_default=False)
]
Seed = Annotated[int, typer.Argument(help="Of the run.", show_default=False)]
Regression = Annotated[int | None, typer.Option(min=1, help="A line of the regression file instead.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("replay")(replay)
    app.command("shrink")(shrink)


def run(
    *,
    scenarios: Annotated[int | None, typer.Option(min=1, help=f"How many runs; else {SCENARIOS}.")] = None,
    seed: Annotated[int | None, typer.Option(help=f"The first seed; else {SEED}.")] = None,
    only: Annotated[str, typer.Option(help="Scenarios, like commuter,swarm; all by default.")] = "",
    ci: Annotated[bool, typer.Option("--ci", help="The slice that is played before every merge.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin nothing new after so long.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
    out: Annotated[Path, typer.Option(help="Where results go; what is there moves to `before` in it.")] = OUT,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the campaign in --out.")] = False,
    scheduler: Annotated[str, typer.Option(help="A Dask scheduler, like tcp://10.0.0.9:8786.")] = "",
    keep: Annotated[bool, typer.Option(help="Add failures to the regression file, as candidates.")] = True,
) -> None:
    """Play a campaign: all regressions, then named scenarios and random trouble; exit 1 if any run fails.

    Ctrl-C ends it after the runs under way (130), a second one at once; --resume goes on where it ended.

    With --scheduler the workers of an existing Dask cluster play (extra `cluster`). Each needs this checkout
    at the same version, and one thread: `dask worker tcp://10.0.0.9:8786 --nworkers auto --nthreads 1`.
    """
    from simulations.campaign import session  # noqa: PLC0415 - imported when used

    names = tuple(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))
    if minutes is not None and not minutes > 0:
        raise typer.BadParameter("--minutes must be more than 0: in no time nothing is played")
    if ci and (scenarios is not None or seed is not None or names):
        raise typer.BadParameter("--ci is always the same; leave out --scenarios, --seed and --only")
    wish = session.Wish(scenarios, seed, names, ci, minutes, workers, out, resume, scheduler, keep)
    raise typer.Exit(session.run(wish))


def replay(
    scenario: Name = "",
    seed: Seed = 0,
    *,
    regression: Regression = None,
    steps: Annotated[Path | None, typer.Option(help="Play the steps of this file, one a line.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write the whole trace here, as JSON lines.")] = None,
) -> None:
    """Play one run and tell what happened in it; exit 1 if it broke a law."""
    from simulations.campaign import single  # noqa: PLC0415 - imported when used

    writable(trace)
    raise typer.Exit(single.replay(chosen(scenario, seed, regression, steps), trace))


def shrink(
    scenario: Name = "",
    seed: Seed = 0,
    *,
    regression: Regression = None,
    steps: Annotated[Path | None, typer.Option(help="Begin with the steps of this file, one a line.")] = None,
    keep: Annotated[str, typer.Option(help="Keep what is left as a regression, with this story.")] = "",
) -> None:
    """Reduce a failing run to the steps that matter, and print them: `replay --steps` plays them."""
    from simulations.campaign import single  # noqa: PLC0415 - imported when used

    raise typer.Exit(single.shrink(chosen(scenario, seed, regression, steps), keep))


def chosen(scenario: str, seed: int, regression: int | None, steps: Path | None) -> Chosen:
    """Find the run that the arguments name.

    Raises:
        BadParameter: there is none; says why.
    """
    from simulations.campaign import single  # noqa: PLC0415 - imported when used

    try:
        return single.chosen(scenario, seed, regression, steps)
    except (LookupError, ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
