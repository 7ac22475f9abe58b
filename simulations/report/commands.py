"""`python -m simulations verify`, `report`, `timeline`, `side-by-side`, `docs`; each imports what it uses."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from simulations.campaign.commands import OUT, SCENARIOS, SEED, Name, Regression, Seed, chosen
from simulations.outputs import writable
from simulations.report.verdict import ENOUGH_RUNS

if TYPE_CHECKING:
    from simulations.report.proof import Proof
    from simulations.report.verdict import Expected

CANNOT = 2
DIFFERS = 1
CAMPAIGN_BROKE_LAWS = 1
"""What the campaign's own exit code says; the verdict says it again, in full."""

Directory = Annotated[Path, typer.Argument(help="Of a campaign.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("verify")(verify)
    app.command("report")(report)
    app.command("timeline")(timeline)
    app.command("side-by-side")(side_by_side)
    app.command("docs")(docs)


def verify(
    directory: Annotated[
        Path | None, typer.Argument(help="Of a campaign; without it one is played first.", show_default=False)
    ] = None,
    *,
    scenarios: Annotated[int | None, typer.Option(min=1, help=f"Runs to play; else {SCENARIOS}.")] = None,
    seed: Annotated[int | None, typer.Option(help=f"The first seed; else {SEED}.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
    least: Annotated[int, typer.Option(min=1, help="Fewer runs than that prove nothing.")] = ENOUGH_RUNS,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the verdict here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here.")] = None,
) -> None:
    """Hold a campaign against every bar: print the verdict, and exit 1 if anything misses.

    Without DIRECTORY a campaign is played first, of moderate size: all regressions and 2,000 runs, about a
    minute on two cores. It stays in build/campaign.
    """
    from rich.console import Console  # noqa: PLC0415 - imported when used

    from simulations.report import proof  # noqa: PLC0415 - same
    from simulations.report.expected import expected  # noqa: PLC0415 - same

    if directory is not None and (scenarios, seed, workers) != (None, None, None):
        raise typer.BadParameter("--scenarios, --seed and --workers are for a campaign yet to be played")
    writable(json_file, html, markdown)
    found = _proof(directory or _played(scenarios, seed, workers), expected(least))
    proof.show(found, Console(highlight=False))
    if json_file:
        proof.write_json(found, json_file)
    if markdown:
        proof.write_markdown(found, markdown)
    if html:
        _write_page(found, html)
    raise typer.Exit(proof.MET if found.verdict.met else proof.MISSED)


def report(
    directory: Directory,
    *,
    out: Annotated[
        Path | None, typer.Option(help="The HTML file to write; else report.html, beside the runs.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the plots as SVG files into here, too.")] = None,
) -> None:
    """Write a campaign's report: one HTML file that needs no network."""
    from simulations.report import page  # noqa: PLC0415 - imported when used
    from simulations.report.expected import expected  # noqa: PLC0415 - same

    writable(out)
    if plots and plots.exists() and not plots.is_dir():
        raise typer.BadParameter(f"{plots} is no directory: --plots are several files")
    found = _proof(directory, expected())
    file = out or directory / "report.html"
    writable(file)
    _refuse_nothing(found.verdict.whole.runs, directory)
    _write_page(found, file)
    typer.echo(f"{file} written")
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
        for name, picture in page.pictures(found).items():
            (plots / f"{name}.svg").write_text(picture.standalone(), encoding="utf-8")


def timeline(
    scenario: Name = "",
    seed: Seed = 0,
    *,
    regression: Regression = None,
    steps: Annotated[Path | None, typer.Option(help="Play the steps of this file, one a line.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write it here instead: a picture if it ends in .svg.")
    ] = None,
) -> None:
    """Play one run and print its timeline as a Mermaid Gantt chart."""
    from simulations.report.timeline import timeline as read  # noqa: PLC0415 - imported when used
    from simulations.virtual.play import trace  # noqa: PLC0415 - same

    writable(out)
    run = chosen(scenario, seed, regression, steps)
    told = read(run.scenario, *trace(run.scenario, run.seed))
    if out is not None and out.suffix == ".svg":
        from simulations.report import lanes  # noqa: PLC0415 - imports matplotlib

        out.write_text(lanes.draw(told).standalone(), encoding="utf-8")
        return
    from simulations.report import gantt  # noqa: PLC0415 - imported when used

    if out is None:
        typer.echo(gantt.gantt(told), nl=False)
    else:
        out.write_text(gantt.gantt(told), encoding="utf-8")


def side_by_side(
    directory: Directory,
    real: Annotated[Path, typer.Argument(help="What `field --out` wrote.", show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the table here instead of printing it.")] = None,
) -> None:
    """Compare recoveries of the virtual world and of real interfaces, as a Markdown table."""
    from simulations.campaign.journal import JournalError  # noqa: PLC0415 - imported when used
    from simulations.report import proof, tables  # noqa: PLC0415 - same
    from simulations.report import side_by_side as beside  # noqa: PLC0415 - same
    from simulations.report.expected import expected  # noqa: PLC0415 - same

    writable(out)
    try:
        virtual, outcomes = proof.read(directory), beside.read_outcomes(real)
    except (JournalError, beside.OutcomesError, OSError) as error:
        _refuse(error)
    _refuse_nothing(sum(sample.runs for sample in virtual.samples.values()), directory)
    found = beside.pairs(virtual.samples, outcomes, expected().titles)
    if not found:
        _refuse(LookupError(f"{directory} and {real} have no scenario in common"))
    written = tables.markdown_table(beside.table(found))
    if out is None:
        typer.echo(written, nl=False)
    else:
        out.write_text(written, encoding="utf-8")


def docs(
    *,
    campaign: Annotated[Path | None, typer.Option(help="The directory of a campaign: the verdict.")] = None,
    real: Annotated[
        Path | None, typer.Option("--field", help="What `field --out` wrote; beside the campaign.")
    ] = None,
    mutants: Annotated[Path | None, typer.Option(help="What `mutants --markdown` wrote.")] = None,
    race: Annotated[Path | None, typer.Option(help="What `bench --markdown` wrote.")] = None,
    root: Annotated[Path, typer.Option(help="Of the checkout whose pages are written.")] = Path(),
    compare: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a page differs.")
    ] = False,
) -> None:
    """Write the tables of docs/simulations.md and of the README anew, each from where it comes from.

    Laws, kept failures and the timeline come from the code. What is not given stays as it was measured.
    """
    from simulations.report import document  # noqa: PLC0415 - imported when used
    from simulations.report.expected import expected  # noqa: PLC0415 - same

    if real and not campaign:
        raise typer.BadParameter("--field stands beside a campaign: give --campaign, too")
    found = _proof(campaign, expected()) if campaign else None
    if found and campaign:
        _refuse_nothing(found.verdict.whole.runs, campaign)
    try:
        given = document.Given(found, campaign, real, mutants, race)
        pages = document.pages(given, root)
    except (ValueError, LookupError, OSError) as error:
        _refuse(error, "Nothing is written")
    differ = [
        file for file, text in pages.items() if not file.exists() or file.read_text(encoding="utf-8") != text
    ]
    for file in differ:
        if not compare:
            file.write_text(pages[file], encoding="utf-8")
        typer.echo(f"{file} {'differs' if compare else 'written'}")
    raise typer.Exit(DIFFERS if compare and differ else 0)


def _played(scenarios: int | None, seed: int | None, workers: int | None) -> Path:
    from simulations.campaign import session  # noqa: PLC0415 - imported when used

    code = session.run(session.Wish(scenarios=scenarios, seed=seed, workers=workers))
    if code not in (session.DONE, CAMPAIGN_BROKE_LAWS):
        raise typer.Exit(code)
    return OUT


def _proof(directory: Path, known: Expected) -> Proof:
    from simulations.campaign.journal import JournalError  # noqa: PLC0415 - imported when used
    from simulations.report import proof  # noqa: PLC0415 - same

    try:
        return proof.prove(directory, known, shlex.join(["python", "-m", "simulations", *sys.argv[1:]]))
    except (JournalError, OSError) as error:
        _refuse(error)


def _write_page(found: Proof, file: Path) -> None:
    from simulations.report.page import page  # noqa: PLC0415 - imported when used
    from simulations.virtual.play import trace  # noqa: PLC0415 - same

    file.write_text(page(found, trace), encoding="utf-8")


def _refuse_nothing(runs: int, directory: Path) -> None:
    if not runs:
        _refuse(LookupError(f"the campaign in {directory} has not played one run yet"))


def _refuse(error: Exception, said: str = "No verdict") -> NoReturn:
    typer.echo(f"{said}: {error}", err=True)
    raise typer.Exit(CANNOT) from error
