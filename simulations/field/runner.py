"""Play scenarios with every client and collect what each did.

A heat is one scenario in one round. All clients play it at the same time, each in its own seat, with the
same dice, starting a little apart so that they do not all need the processor at the moment of truth. Where
the kernel itself would couple them (`Scenario.alone`) they play one after another, the order rotating.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.field.player import play
from simulations.field.score import score
from simulations.field.seat import IMAGE, START_S, Seat, SeatError
from simulations.scenarios import dice_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simulations.field.player import Window
    from simulations.scenarios import Scenario

APART_S = 0.25  # between one client's fault and the next one's
AFTERMATH_S = (2.0, 8.0)  # ghosts come with the kernel's next retransmission, an outage length later at most
LOOK_S = 0.02


class CancelledRaceError(RuntimeError):
    """The race was told to stop; its labs are being taken down."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one client did in one run; None means never, and ``died`` is what a client said that ended.

    Of several images the last to be back counts.
    """

    scenario: str
    turn: int
    client: str
    recovery_ms: float | None
    noticed_ms: float | None
    repeated: int
    ghosts: int
    outage_s: float
    processor_busy: float
    died: str = ""


@dataclass(frozen=True, slots=True)
class Race:
    """What is to be run; ``runs_of`` lets long scenarios have fewer rounds."""

    scenarios: Sequence[Scenario]
    clients: Sequence[str]
    runs_of: Callable[[Scenario], int]
    seed: int
    pace: float = 1.0
    image: Sequence[str] = IMAGE

    def heats(self) -> Iterator[tuple[Scenario, int, tuple[str, ...]]]:
        """Give what is played together, round by round, so that slow drift of the machine meets all alike."""
        for turn in range(max(map(self.runs_of, self.scenarios), default=0)):
            for scenario in self.scenarios:
                if turn >= self.runs_of(scenario):
                    continue
                order = tuple(self.clients[(turn + i) % len(self.clients)] for i in range(len(self.clients)))
                if scenario.alone:
                    yield from ((scenario, turn, (client,)) for client in order)
                else:
                    yield scenario, turn, order


def run(race: Race, stop: threading.Event, starting: Callable[[str], object]) -> Iterator[Outcome]:
    """Play the race heat by heat.

    Args:
        race: What to play.
        stop: Set it from elsewhere to end the race early.
        starting: Told before each heat what comes.

    Raises:
        LabError: A lab could not be built.
        SeatError: A client or the image would not start.
        CancelledRaceError: `stop` was set.
    """
    for scenario, turn, clients in race.heats():
        starting(f"{scenario.key} round {turn + 1}: {', '.join(clients)}")
        yield from heat(race, scenario, turn, clients, stop)


def heat(
    race: Race, scenario: Scenario, turn: int, clients: Sequence[str], stop: threading.Event
) -> list[Outcome]:
    """Play one scenario once, with all these clients at the same time.

    Raises:
        LabError, SeatError, CancelledRaceError: As from `run`.
    """

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise CancelledRaceError

    steps = scenario.paced(dice_for(race.seed, scenario.key, turn), race.pace)

    def played(place: int, seat: Seat) -> Window:
        pause(place * APART_S)
        return play(steps, seat, pause)

    with ExitStack() as stack:
        seats = [
            stack.enter_context(Seat(client, race.image, images=scenario.images, named=scenario.named))
            for client in clients
        ]
        deadline = time.monotonic() + START_S
        while not all([seat.started() for seat in seats]):  # noqa: C419 - each must be asked, to notice its end
            if time.monotonic() > deadline:
                late = next(seat for seat in seats if not seat.started())
                raise SeatError(late.client, f"was not answered within {START_S:g} s", "")
            pause(LOOK_S)
        before = _processor_times()
        with ThreadPoolExecutor(len(seats)) as pool:
            try:
                windows = list(pool.map(played, range(len(seats)), seats))
            except BaseException:
                stop.set()  # or leaving the pool would wait for the others to play to the end
                raise
        _watch(race, scenario, list(zip(seats, windows, strict=True)), pause)
        busy = _busy_share(before, _processor_times())
        return [
            _outcome(scenario, turn, seat, window, busy) for seat, window in zip(seats, windows, strict=True)
        ]


def _watch(
    race: Race, scenario: Scenario, played: Sequence[tuple[Seat, Window]], pause: Callable[[float], None]
) -> None:
    """Wait until each client has recovered or is out of time, and until no more ghosts are to be expected."""
    shortest, longest = (bound_s * race.pace for bound_s in AFTERMATH_S)
    for seat, window in played:
        outage_s = window.path_back - window.faults[0]
        aftermath = window.path_back + min(max(outage_s, shortest), longest)
        while time.monotonic() < window.path_back + scenario.patience_s:
            if time.monotonic() > aftermath and seat.recovered(window.path_back):
                break
            pause(LOOK_S)


def _outcome(scenario: Scenario, turn: int, seat: Seat, window: Window, busy: float) -> Outcome:
    executed = seat.executed()
    results = [
        score(lines, executed, window.faults[0], window.path_back) for lines in seat.by_image(seat.printed())
    ]
    recoveries = [result.recovery_s for result in results]
    recovery_s = None if None in recoveries else max(each for each in recoveries if each is not None)
    noticed = [result.noticed_s for result in results if result.noticed_s is not None]
    if recovery_s is not None and recovery_s > scenario.patience_s:
        recovery_s = None  # an earlier seat was still being watched; the limit is the same for all
    return Outcome(
        scenario=scenario.key,
        turn=turn,
        client=seat.client,
        recovery_ms=_ms(recovery_s),
        noticed_ms=_ms(min(noticed, default=None)),
        repeated=results[0].repeated,
        ghosts=sum(result.ghosts for result in results),
        outage_s=round(window.path_back - window.faults[0], 3),
        processor_busy=round(busy, 3),
        died=seat.died(),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _processor_times() -> tuple[int, int]:
    """Read the busy and total ticks of all processors together since boot."""
    ticks = [int(tick) for tick in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _busy_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(1, after[1] - before[1])
