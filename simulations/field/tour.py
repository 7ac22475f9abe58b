"""A tour through named stories on real interfaces, with the product's own client."""

from __future__ import annotations

import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from resilience.demo.namespaces import Lab, LabError
from simulations.field.report import ANYTHING_MS, OURS, shown, spread
from simulations.field.runner import CancelledRaceError, Outcome, Race, heat
from simulations.field.seat import SeatError
from simulations.scenarios import unreal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from simulations.scenarios import Scenario

PASSED, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be played; `out` gets a JSON line a run."""

    stories: tuple[Scenario, ...]
    runs: int
    seed: int
    together: int
    out: Path | None = None


LONG_S = 120.0
"""A story that lasts longer is played on real interfaces only if it is asked for by name."""


def goes_along(story: Scenario) -> bool:
    """Whether it is played where nothing is asked for by name."""
    return story.real and story.outage_s <= LONG_S


def obstacle(story: Scenario) -> str:
    """Say why real interfaces cannot play it; nothing if they can."""
    whys = dict.fromkeys(f"{step.what}: {why}" for step in story.steps if (why := unreal(step)))
    return "; ".join(whys)


def complaint(outcome: Outcome) -> str:
    """Say what is wrong with a run, if anything is."""
    if outcome.died:
        return f"the client ended: {outcome.died}"
    if outcome.repeated:
        return f"{outcome.repeated} requests ran twice"
    if outcome.recovery_ms is None:
        return "never back"
    if outcome.recovery_ms > ANYTHING_MS:
        return f"back only after {shown(outcome.recovery_ms)} ms"
    return ""


def run(wish: Wish) -> int:
    """Play everything, show it, and give the exit code: 1 if anything is wrong with any run."""
    console = Console(stderr=True)
    if missing := Lab.missing():
        console.print(missing, markup=False)
        return FAILED
    stop = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    outcomes: list[Outcome] = []
    try:
        with _stopped_by_interrupt(stop), Progress(*columns, console=console) as progress:
            task = progress.add_task("stories", total=len(wish.stories) * wish.runs)
            for outcome in played(wish, stop):
                outcomes.append(outcome)
                _keep(outcome, wish)
                progress.advance(task)
                if wrong := complaint(outcome):
                    progress.console.print(
                        f"{outcome.scenario}, run {outcome.turn + 1}: {wrong}", markup=False
                    )
    except CancelledRaceError:
        return INTERRUPTED
    except (LabError, SeatError) as error:
        console.print(str(error), markup=False)
        return FAILED
    Console().print(table(wish.stories, outcomes))
    return FAILED if any(complaint(outcome) for outcome in outcomes) else PASSED


def played(wish: Wish, stop: threading.Event) -> Iterator[Outcome]:
    """Play side by side what can be, then one by one what cannot; give each outcome as it comes.

    Raises:
        LabError, SeatError, CancelledRaceError: As from `runner.run`.
    """
    race = Race((), (OURS,), lambda _: wish.runs, wish.seed)

    def once(story: Scenario, turn: int) -> Outcome:
        return heat(race, story, turn, (OURS,), stop)[0]

    # The longest first, so that nothing long is left for the end.
    stories = sorted(wish.stories, key=lambda story: -story.outage_s)
    with ThreadPoolExecutor(wish.together) as pool:
        turns = [(story, turn) for turn in range(wish.runs) for story in stories if not story.alone]
        try:
            for done in as_completed([pool.submit(once, *each) for each in turns]):
                yield done.result()
        except BaseException:
            stop.set()  # or leaving the pool would wait for the others to play to the end
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    yield from (once(story, turn) for turn in range(wish.runs) for story in stories if story.alone)


def table(stories: Sequence[Scenario], outcomes: Sequence[Outcome]) -> Table:
    """Lay out the recoveries, a row a story."""
    laid = Table("recovery in ms")
    for name in ("min", "median", "max", "noticed after", "ran twice", "runs"):
        laid.add_column(name, justify="right")
    for story in stories:
        mine = [outcome for outcome in outcomes if outcome.scenario == story.key]
        if not mine:
            continue
        recoveries = spread(outcome.recovery_ms for outcome in mine)
        noticed = [outcome.noticed_ms for outcome in mine if outcome.noticed_ms is not None]
        laid.add_row(
            f"{story.key} {story.title}",
            *map(shown, (recoveries.least, recoveries.middle, recoveries.most)),
            shown(spread(noticed).middle) if noticed else "-",
            str(sum(outcome.repeated for outcome in mine)),
            str(recoveries.runs),
        )
    return laid


def _keep(outcome: Outcome, wish: Wish) -> None:
    if wish.out is not None:
        with wish.out.open("a") as file:
            file.write(json.dumps({**asdict(outcome), "seed": wish.seed}) + "\n")


@contextmanager
def _stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    before: Callable[..., object] | int | None = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
