"""One play in the virtual world: the product itself, broken as described, healed, and judged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from resilience import Image, Supervisor
from simulations import fingerprints
from simulations.faults import Step
from simulations.scenarios import LIBRARY, Load, Scenario, steps
from simulations.swarm import Fixed, swarm
from simulations.trace import Kind, Trace
from simulations.virtual import play
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.process import Process

ROOT = Path(play.__file__).parents[2]

HASTY = Load(evaluate_every_s=0.5, edit_every_s=0)
READS = Load(edit_every_s=0)
"""Of a user who types nothing: what is told is then about the link alone."""


def played(*lines: str, **fields: object) -> Trace:
    """The trace of a few steps, which break no law."""
    found, run = play.trace(Scenario("test", "test", steps(*lines), **fields), 1)  # type: ignore[arg-type]  # named below
    assert run.violations == ()
    return found


def told(trace: Trace, image: int = 0) -> list[str]:
    """The states an image was told to be in, in order."""
    return [str(entry.data["target"]) for entry in trace.of(Kind.TOLD, image=image)]


def triggers(trace: Trace) -> list[str]:
    """What led there."""
    return [str(entry.data["trigger"]) for entry in trace.of(Kind.TOLD)]


def typed(trace: Trace, since: float, until: float) -> list[str]:
    """What was typed between, in order."""
    return [str(entry.data["text"]) for entry in trace.of(Kind.EDITED) if since < entry.t < until]


def found(trace: Trace) -> list[str]:
    """What each process but the first found in the workspace."""
    return [str(entry.data["text"]) for entry in trace.of(Kind.FOUND)]


def test_the_same_seed_gives_the_same_trace() -> None:
    """Byte for byte, in one process."""
    for seed in (3, 16, 100):
        first, second = (play.trace(swarm(seed), seed)[0] for _ in range(2))
        assert [str(entry) for entry in first] == [str(entry) for entry in second]


def test_another_seed_gives_another_trace() -> None:
    """Or the dice are loaded."""
    assert len({play.play(LIBRARY["S1"], seed).digest for seed in range(5)}) == 5


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_hash_randomisation_changes_nothing(hash_seed: str) -> None:
    """Nothing iterates over what has no order; another process, another order of sets, the same trace."""
    code = (
        "from simulations.virtual.play import play; from simulations.swarm import swarm;"
        "print(*[play(swarm(s), s).digest for s in (5, 8, 13)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.split() == [play.play(swarm(seed), seed).digest for seed in (5, 8, 13)]


def test_the_fingerprints_of_other_machines_and_pythons_are_ours_too() -> None:
    """Committed ones, made elsewhere; `python -m simulations fingerprints` compares all of them."""
    known = fingerprints.known()
    some = [
        pair for pair in fingerprints.plan() if f"{pair[0]} {pair[1]}" in {k.rsplit(" ", 1)[0] for k in known}
    ]
    assert len(known) == len(fingerprints.plan()) == len(some)
    few = some[::6]
    assert list(fingerprints.taken(few)) == [
        line for line in known if tuple(line.rsplit(" ", 1)[0].split(" ")) in {(k, str(s)) for k, s in few}
    ]


def test_an_outage_is_told_and_survived() -> None:
    """The least a run must show."""
    trace = played("0 link down", "2 link up", load=READS)
    assert told(trace) == ["Connected", "Reconnecting", "Connected"]
    assert [entry for entry in trace.of(Kind.OUTCOME) if entry.data["outcome"] == "done"]
    assert not typed(trace, 0, 100)


def test_work_is_told_as_unsaved_across_an_outage() -> None:
    """The same outage with a user who types before it and in it."""
    trace = played("0 link down", "2 link up")
    down, up = (entry.t for entry in list(trace.of(Kind.FAULT))[:2])
    assert typed(trace, 0, down)
    assert typed(trace, down, up)
    assert told(trace) == ["Connected", "Modified", "Reconnecting", "Modified", "Connected"]
    assert triggers(trace) == ["image_answered", "edited", "path_lost", "image_answered_dirty", "saved"]


def test_what_is_still_broken_at_the_end_is_healed() -> None:
    """A schedule may end in the middle of anything; the world is made whole and liveness demanded."""
    trace = played("0 link down", "0.5 image kill #0", "1 drop", "1.5 kill", load=READS)
    healed = [entry.t for entry in trace.of(Kind.HEALED)]
    assert len(healed) == 1
    cures = [str(e.data["step"]) for e in trace.of(Kind.FAULT) if e.t == healed[0]]
    assert [Step.parse(cure).what.value for cure in cures][-2:] == ["disk works", "keyring opens"]
    assert {"link up", "image start", "undrop", "start"} <= {Step.parse(cure).what.value for cure in cures}
    assert told(trace)[-1] == "Connected"


def test_a_killed_process_finds_its_session_again() -> None:
    """Numbers go on, the state is proved anew."""
    trace = played("0 kill", "1 start", load=READS)
    restored = list(trace.of(Kind.RESTORED))
    assert [(entry.data["state"], entry.data["seq"]) for entry in restored] == [
        ("Connected", 1),
        ("Connected", 4),  # what the last process has left
    ]
    assert [entry.data["seq"] for entry in trace.of(Kind.TOLD)] == [1, 2, 3, 4]
    assert told(trace) == ["Connected", "Restoring", "Restored", "Connected"]
    assert found(trace) == ["", ""]


def test_a_killed_process_finds_its_work_again() -> None:
    """Unsaved as it was, it had been handed to the kernel: a kill does not take it."""
    trace = played("0 kill", "1 start")
    restored = list(trace.of(Kind.RESTORED))
    assert (restored[0].data["state"], restored[0].data["seq"]) == ("Modified", 2)
    assert told(trace)[:5] == ["Connected", "Modified", "Restoring", "Restored", "Connected"]
    assert [entry.data["seq"] for entry in trace.of(Kind.TOLD)] == list(range(1, 1 + len(told(trace))))
    assert found(trace)[:1] == typed(trace, 0, restored[0].t)[-1:] != []
    assert found(trace)[1:] == typed(trace, restored[0].t, restored[1].t)[-1:], "closed in good order"


def test_work_typed_while_the_keyring_is_locked_is_joined_and_saved() -> None:
    """Told as unsaved until the keyring opens, then saved into the session there was; a kill finds it."""
    steps_of = ("0 keyring locks", "0 close", "1 start", "9 keyring opens", "16 kill", "17 start")
    locked_last = joined = 0
    for seed in range(24):
        scenario = Scenario("locked", "locked", steps(*steps_of), load=Load(edit_every_s=6))
        trace, run = play.trace(scenario, seed)
        assert run.violations == ()
        started, opened, killed = (
            next(entry.t for entry in trace.of(Kind.FAULT) if str(entry.data["step"]).endswith(what))
            for what in ("start", "keyring opens", "kill")
        )
        while_locked = typed(trace, started, opened)
        if not while_locked or typed(trace, killed - 0.25, killed):
            continue
        saved = [e.t for e in trace.of(Kind.TOLD) if e.data["trigger"] == "saved" and started < e.t < killed]
        assert saved, "what was typed is on the medium in the end"
        assert min(saved) > opened, "and nothing was before the keyring opened"
        unsaved_at = next(entry.t for entry in trace.of(Kind.EDITED) if entry.t > started) + 0.25
        looks = [e.data["state"] for e in trace.of(Kind.STANDS) if unsaved_at < e.t < min(saved)]
        assert "Connected" not in looks, "while it may be lost that is said"
        after_the_kill = found(trace)[-2]
        assert after_the_kill == typed(trace, started, killed)[-1]
        assert len({entry.data["session"] for entry in trace.of(Kind.RESTORED)}) == 1
        locked_last += after_the_kill == while_locked[-1]
        joined += any("is merged" in str(entry.data["text"]) for entry in trace.of(Kind.NOTICE))
    assert locked_last, "of some seeds nothing was typed later"
    assert joined, "of some seeds the session held other work"


def test_a_process_killed_while_the_keyring_is_locked_loses_no_more_than_it_typed() -> None:
    """What it typed was in memory only; what was stored before stands untouched."""
    for seed in range(6):
        trace, run = play.trace(LIBRARY["lockout"], seed)
        assert run.violations == ()
        assert len(found(trace)) == 4, "three starts, and the end"
        assert found(trace)[0] == found(trace)[1], "nothing could be written between"


def test_a_process_that_is_closing_is_started_when_it_has_ended() -> None:
    """Its journal is still being written when the user starts it again."""
    trace = played("0 disk slow 0.8", "0.1 link down", "0.2 close", "0.21 start", "1 link up")
    what = [str(entry.data["what"]) for entry in trace.of(Kind.PROCESS)]
    assert what == ["start", "close", "closed", "start", "close", "closed"]


def test_nobody_runs_while_the_machine_sleeps() -> None:
    """Not even a process started meanwhile: there is no such moment."""
    trace = played("0 suspend 600", "1 kill", "2 start", "700 drop", "701 undrop")
    asleep = next(entry.t for entry in trace.of(Kind.FAULT))
    quiet = [
        e for e in trace if asleep + 3 < e.t < asleep + 600 and e.kind not in (Kind.FAULT, Kind.CONDITION)
    ]
    assert quiet == []


def test_one_image_in_trouble_leaves_the_others_alone() -> None:
    """Law 18, seen from the user's side."""
    trace = played("0 image kill #1", "5 image start #1", images=3, load=HASTY)
    assert told(trace, 0) == told(trace, 2) == ["Connected"]
    assert told(trace, 1) == ["Connected", "Reconnecting", "Connected"]


def test_a_fixed_schedule_is_played_as_it_stands() -> None:
    """What was shrunk or kept must not move again."""
    trace, _ = play.trace(Fixed("kept", "kept", steps("1.25 drop", "3.5 undrop")), 7)
    first_two = [str(entry.data["step"]) for entry in trace.of(Kind.FAULT)][:2]
    assert [entry.t for entry in trace.of(Kind.FAULT)][:2] == [1.25, 3.5]
    assert first_two == ["1.25 drop", "3.5 undrop"]


def test_a_bug_nobody_catches_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness must see what a user would see as a traceback."""
    from resilience.core import ImageCore  # noqa: PLC0415 - broken here on purpose

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(ImageCore, "wake", broken)
    _, run = play.trace(Scenario("test", "test", steps("0 link down", "1 link up")), 1)
    assert any("ZeroDivisionError" in violation.what for violation in run.violations)


def test_a_disk_that_is_empty_in_the_end_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no process can find any more is lost, and not merely nothing to be looked at."""
    look = Process.look_at_disk

    def emptied(process: Process) -> None:
        process._disk = VirtualDisk()
        look(process)

    monkeypatch.setattr(Process, "look_at_disk", emptied)
    _, run = play.trace(Scenario("test", "test", steps("2 link down", "3 link up")), 1)
    assert {14, 15} <= {violation.law for violation in run.violations}


def test_an_end_that_never_comes_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is left to tell of it but the harness."""

    async def never(_: Supervisor) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Supervisor, "close", never)
    _, run = play.trace(Scenario("test", "test", steps("2 link down", "3 link up")), 1)
    assert 0 in {violation.law for violation in run.violations}


def test_a_ping_answered_from_memory_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recoveries are measured by pings; nothing the product says of itself is believed."""

    async def ping(_: Image, **__: float) -> float:
        return 0.001

    monkeypatch.setattr(Image, "ping", ping)
    _, run = play.trace(Scenario("test", "test", steps("2 drop", "8 undrop")), 1)
    assert 13 in {violation.law for violation in run.violations}
