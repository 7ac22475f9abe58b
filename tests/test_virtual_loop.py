"""The virtual event loop: asyncio as it is, on time that only the universe moves."""

from __future__ import annotations

import asyncio

import pytest

from simulations.virtual.clock import EPOCH, Clock
from simulations.virtual.loop import VirtualLoop
from simulations.virtual.universe import EndlessError, Universe


class Bench:
    """A loop, its clock and its universe."""

    def __init__(self) -> None:
        self.universe = Universe("a seed")
        self.clock = Clock(self.universe)
        self.bugs: list[str] = []
        self.loop = VirtualLoop(self.universe, self.clock, self.bugs.append)  # type: ignore[abstract]  # what it has is what we use
        self.said: list[tuple[float, str]] = []

    def say(self, what: str) -> None:
        self.said.append((round(self.universe.now, 6), what))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_coroutines_run_on_virtual_time(bench: Bench) -> None:
    """Sleeps, timeouts, futures and tasks work as ever and take no real time."""

    async def main() -> None:
        assert asyncio.get_running_loop() is bench.loop
        await asyncio.sleep(3_600)
        bench.say("slept")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(10)
        bench.say("timed out")
        inner = asyncio.get_running_loop().create_task(asyncio.sleep(1, "done"))
        bench.say(str(await inner))

    task = bench.loop.create_task(main())
    bench.universe.run(10_000)
    assert task.done()
    task.result()
    assert bench.said == [(3600.0, "slept"), (3605.0, "timed out"), (3606.0, "done")]
    assert bench.bugs == []


def test_what_is_ready_at_once_runs_in_order(bench: Bench) -> None:
    """`call_soon` first in, first out; timers by their time, then by their making."""
    for what in "abc":
        bench.loop.call_soon(bench.say, what)
    bench.loop.call_later(2, bench.say, "late")
    bench.loop.call_later(1, bench.say, "early")
    bench.loop.call_later(1, bench.say, "early too")
    bench.universe.run(5)
    assert [what for _, what in bench.said] == ["a", "b", "c", "early", "early too", "late"]


def test_a_cancelled_call_is_none(bench: Bench) -> None:
    """Neither what is ready nor what waits."""
    bench.loop.call_soon(bench.say, "no").cancel()
    bench.loop.call_later(1, bench.say, "no").cancel()
    bench.loop.call_later(2, bench.say, "yes")
    bench.universe.run(5)
    assert bench.said == [(2.0, "yes")]


def test_a_stalled_process_runs_later_and_its_clock_goes_on(bench: Bench) -> None:
    """Timers fire late, as after a debugger's pause."""
    bench.loop.call_later(1, lambda: bench.say(f"{bench.loop.time():.1f}"))
    bench.universe.at(0.5, bench.loop.hold, 3.0)
    bench.universe.run(5)
    assert bench.said == [(3.0, "3.0")]


def test_a_sleeping_machine_stops_the_monotonic_clock(bench: Bench) -> None:
    """A timer due in one second fires one waking second after it was set."""
    bench.loop.call_later(1, lambda: bench.say(f"{bench.loop.time():.1f}"))

    def close_the_lid() -> None:
        bench.clock.fall_asleep()
        bench.loop.hold(bench.universe.now + 100)
        bench.universe.after(100, open_it)

    def open_it() -> None:
        bench.clock.wake_up()
        bench.loop.hold(bench.universe.now)

    bench.universe.at(0.5, close_the_lid)
    bench.universe.run(200)
    assert bench.said == [(101.0, "1.0")]
    assert bench.clock.boottime() - bench.clock.monotonic() == pytest.approx(100)


def test_the_time_of_day_is_another_clock(bench: Bench) -> None:
    """Setting it moves nothing else."""
    bench.universe.run(10)
    bench.clock.set(-3_600)
    assert bench.clock.wall() == EPOCH + 10 - 3_600
    assert bench.clock.monotonic() == 10


def test_a_killed_process_says_nothing_more(bench: Bench) -> None:
    """Not even `finally` runs."""

    async def main() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            bench.say("cleaned up")

    task = bench.loop.create_task(main())
    bench.loop.call_later(5, bench.say, "alive")
    bench.universe.at(2, bench.loop.die)
    bench.universe.run(20)
    assert bench.said == []
    assert not task.done()
    bench.loop.call_soon(bench.say, "after death")
    bench.universe.run(30)
    assert bench.said == []
    task.get_coro().close()  # or the interpreter complains of a coroutine never ended


def test_a_virtual_descriptor_is_read_while_it_is_readable(bench: Bench) -> None:
    """Level-triggered, as `add_reader` promises; what came before the reader is found."""
    left = [3]

    def read() -> None:
        bench.say(f"read {left[0]}")
        left[0] -= 1
        if not left[0]:
            bench.loop.readable(7, ready=False)

    bench.loop.readable(7, ready=True)
    bench.loop.add_reader(7, read)
    bench.universe.run(1)
    assert [what for _, what in bench.said] == ["read 3", "read 2", "read 1"]
    assert bench.loop.remove_reader(7)
    bench.loop.readable(7, ready=True)
    bench.universe.run(2)
    assert len(bench.said) == 3


def test_an_exception_nobody_catches_is_a_bug(bench: Bench) -> None:
    """It is told, and the loop goes on."""

    def fail() -> None:
        raise ZeroDivisionError("by design")

    bench.loop.call_soon(fail)
    bench.loop.call_soon(bench.say, "still here")
    bench.universe.run(1)
    assert bench.said == [(0.0, "still here")]
    assert len(bench.bugs) == 1
    assert "ZeroDivisionError: by design" in bench.bugs[0]


def test_no_progress_is_an_error(bench: Bench) -> None:
    """A callback that schedules itself for ever, at one instant."""

    def again() -> None:
        bench.loop.call_soon(again)

    bench.loop.call_soon(again)
    with pytest.raises(EndlessError):
        bench.universe.run(1)


def test_a_task_that_dies_unheard_is_a_bug_though_somebody_holds_it(bench: Bench) -> None:
    """Python speaks of it when it clears the task away; a loop that ends does not wait for that."""

    async def fail() -> None:
        raise ZeroDivisionError("by design")

    held = [bench.loop.create_task(fail()) for _ in range(2)]
    bench.universe.run(1)
    assert isinstance(held[0].exception(), ZeroDivisionError)  # somebody has heard of this one
    bench.loop.die()
    assert bench.bugs == ["a task died unheard; ZeroDivisionError: by design"]
