"""`python -m simulations bench`: recovery beside other clients, and what the module costs.

Everything is compared within one run, because machines differ; the bars are those of DESIGN §6.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import zmq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import resilience
from resilience.demo.namespaces import Lab, LabError
from simulations.field.cost import Costs, cost_bars, cost_rows, measure
from simulations.field.peers import obstacle, versions
from simulations.field.report import (
    conduct_rows,
    field_bars,
    legend_rows,
    markdown_table,
    recovery_groups,
    recovery_rows,
)
from simulations.field.runner import CancelledRaceError, Outcome, Race, run
from simulations.field.seat import CLIENTS, SeatError
from simulations.outputs import writable
from simulations.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulations.field.report import Bar
    from simulations.scenarios import Scenario

LONG_S, LONG_RUNS = 30.0, 3  # an outage this long takes over a minute a round; three rounds are enough
CANNOT_MEASURE, INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one bench run found out."""

    machine: dict[str, str]
    seed: int
    outcomes: list[Outcome]
    costs: Costs

    def bars(self) -> list[Bar]:
        return [*field_bars(self.outcomes), *cost_bars(self.costs)]

    def to_json(self) -> str:
        """Write the whole report, single runs included, for machines."""
        bars = [{**asdict(bar), "met": bar.met, "verdict": str(bar)} for bar in self.bars()]
        document = {**asdict(self), "bars": [_finite(bar) for bar in bars]}
        return json.dumps(document, indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Write the fragment of the README: tables, verdicts, and the machine they are from."""
        parts = []
        if self.outcomes:
            parts += [
                markdown_table(*recovery_rows(self.outcomes)),
                markdown_table(*legend_rows(self.outcomes)),
                markdown_table(*conduct_rows(self.outcomes)),
            ]
        parts.append(markdown_table(*cost_rows(self.costs)))
        verdicts = [[bar.what, str(bar)] for bar in self.bars()]
        parts.append(markdown_table(["bar", "verdict"], verdicts))
        parts.append("Measured on " + ", ".join(f"{k} {v}" for k, v in self.machine.items()) + ".\n")
        return "\n".join(parts)


def bench(
    *,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Rounds; S7 is played at most three times.")] = 5,
    only: Annotated[str, typer.Option(help="Scenarios, like S1,S3; all by default.")] = "",
    clients: Annotated[str, typer.Option(help="Clients, like resilience,tcp_floor; all by default.")] = "",
    seed: Annotated[int, typer.Option(help="Of settling times and outage lengths.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything measured here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Write the README's part here.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw every recovery here, as SVG; needs matplotlib.")
    ] = None,
    skip_network: Annotated[
        bool, typer.Option(help="Only what it costs; needs neither root nor Linux.")
    ] = False,
) -> None:
    """Race against other clients under real faults, then weigh imports and the journal."""
    chosen = [SCENARIOS[key] for key in _chosen(only, SCENARIOS, "--only")]
    names = _chosen(clients, CLIENTS, "--clients")
    writable(json_file, markdown_file, plot_file)
    if plot_file and skip_network:
        raise typer.BadParameter("--plot draws the race, which --skip-network leaves out")
    if plot_file and find_spec("matplotlib") is None:
        raise typer.BadParameter("--plot needs the Python package matplotlib; `make race` installs it")
    outcomes: list[Outcome] = []
    progress_console = Console(stderr=True)
    if not skip_network:
        missing = Lab.missing()
        if missing:
            progress_console.print(f"{missing} `--skip-network` measures the rest.", markup=False)
            raise typer.Exit(CANNOT_MEASURE)
        names = _able(names, progress_console)
        race = Race(chosen, names, lambda scenario: min(runs, _most_runs(scenario)), seed)
        outcomes = _race(race, progress_console)
    with progress_console.status("weighing imports and the journal"):
        costs = measure()
    report = Report(machine(names if outcomes else ()), seed, outcomes, costs)
    _show(report, Console())
    if json_file:
        json_file.write_text(report.to_json())
    if markdown_file:
        markdown_file.write_text(report.to_markdown())
    if plot_file:
        from simulations.field.plot import draw  # noqa: PLC0415 - imported when used

        draw(outcomes, plot_file)


def machine(clients: Iterable[str]) -> dict[str, str]:
    """Name what the figures depend on."""
    ours = {
        "processors": f"{os.cpu_count()} x {_processor()}",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "libzmq": zmq.zmq_version(),
        "pyzmq": zmq.pyzmq_version(),
        "resilience": resilience.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
    return ours | {name: version for client in clients for name, version in versions(client).items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _chosen(given: str, known: Iterable[str], option: str) -> list[str]:
    known = list(known)
    names = [name.strip() for name in given.split(",") if name.strip()] or known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"{option} does not know {', '.join(unknown)}; it knows {', '.join(known)}")
    return list(dict.fromkeys(names))


def _able(clients: Sequence[str], console: Console) -> list[str]:
    """Leave out what cannot run here, saying so, and end if nothing remains."""
    why = {client: obstacle(client) for client in clients}
    for client, lacking in why.items():
        if lacking:
            console.print(f"{client} is left out: {lacking}.", markup=False)
    able = [client for client in clients if why[client] is None]
    if not able:
        raise typer.Exit(CANNOT_MEASURE)
    return able


def _most_runs(scenario: Scenario) -> int:
    return LONG_RUNS if scenario.outage_s >= LONG_S else 100


def _race(race: Race, console: Console) -> list[Outcome]:
    stop = threading.Event()
    interrupted = signal.signal(signal.SIGINT, lambda *_: stop.set())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    outcomes = []
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("the race", total=sum(len(heat[2]) for heat in race.heats()))
            for outcome in run(race, stop, lambda what: progress.update(task, description=what)):
                outcomes.append(outcome)
                progress.advance(task)
    except CancelledRaceError:
        raise typer.Exit(INTERRUPTED) from None
    except (LabError, SeatError) as error:
        console.print(str(error), markup=False)
        raise typer.Exit(CANNOT_MEASURE) from error
    finally:
        signal.signal(signal.SIGINT, interrupted)
    return outcomes


def _show(report: Report, console: Console) -> None:
    if report.outcomes:
        header = ["recovery in ms", "client", "min", "median", "max", "runs"]
        console.print(_table(header, *recovery_groups(report.outcomes)))
        header, rows = conduct_rows(report.outcomes)
        console.print(_table(header, rows))
        busy = max(outcome.processor_busy for outcome in report.outcomes)
        console.print(f"Processors were busy {busy:.0%} at most, averaged over a heat.")
    header, rows = cost_rows(report.costs)
    console.print(_table(header, rows))
    console.print(_table(["bar", "verdict"], [[bar.what, str(bar)] for bar in report.bars()]))
    console.print(", ".join(f"{key} {value}" for key, value in report.machine.items()), style="dim")


def _table(header: Sequence[str], *groups: Iterable[Sequence[str]]) -> Table:
    table = Table(header[0])
    for name in header[1:]:
        table.add_column(name, justify="right")
    for rows in groups:
        for row in rows:
            table.add_row(*row)
        table.add_section()
    return table


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace infinity, which JSON has no word for, by None: never."""
    return {key: None if value == float("inf") else value for key, value in fields.items()}
