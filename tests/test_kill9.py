"""Law 14 under `kill -9` at random moments: what was printed is in the journal, the session is found.

Several watchers live at once, each with a journal of its own, before one image whose path flaps all the
time, so that kills fall into the midst of transitions. A watcher is killed, its journal compared with what
it printed, and the next one started on the same journal.

RESILIENCE_KILL_ROUNDS=1000 kills as many times instead of two hundred. What a kill does to the store alone,
for every workload, is in test_kill9_store.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from resilience.cli.lines import of_record
from resilience.demo.relay import PASS, RESET, Relay
from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, ImageServer, running
from store import History

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 30.0
LANES = 8
ROUNDS = int(os.environ.get("RESILIENCE_KILL_ROUNDS", "200")) // LANES * LANES or LANES
EARLY = 0.2
"""This share of the kills falls into the start, before anything was printed."""
START_S = 0.5
LIFE_S = 0.25
UP_S, DOWN_S = 0.06, 0.02
"""How the path flaps: a dozen transitions a second."""
COMPARED = ("image", "endpoint", "seq", "source", "trigger", "target", "reason", "at")

Line = dict[str, Any]


@dataclass
class Lane:
    """One journal and everything that was ever printed of it."""

    data_dir: Path
    printed: list[Line] = field(default_factory=list)
    rounds: int = 0
    kills_in_transition: int = 0

    def journaled(self) -> list[Line]:
        """The journal, as `sessions history --json` shows it."""
        return [of_record(each) for each in History.open(self.data_dir, read_only=True).transitions()]


@contextmanager
def standin() -> Iterator[str]:
    bell = Bell()
    with running(ImageServer(Standin(wait=bell.wait), "tcp://127.0.0.1:0", bell)) as endpoint:
        yield endpoint


async def flap(relay: Relay) -> None:
    for fault, seconds in itertools.cycle([(PASS, UP_S), (RESET, DOWN_S)]):
        relay.set(fault)
        await asyncio.sleep(seconds)


async def life(lane: Lane, endpoint: str, random: Random) -> list[Line]:
    """Start a watcher, kill it some time later, and answer what it has printed."""
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "resilience", "watch", endpoint, "--json", "--data-dir", lane.data_dir),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert watcher.stdout is not None
    try:
        if random.random() < EARLY:
            await asyncio.sleep(random.uniform(0, START_S))
            first = b""
        else:
            first = await asyncio.wait_for(watcher.stdout.readline(), GENEROUS_S)
            await asyncio.sleep(random.uniform(0, LIFE_S))
    finally:
        watcher.kill()
    text = first + await watcher.stdout.read()
    await watcher.wait()
    # A line is one write, so none is torn; what is behind the last newline would be a defect of that.
    assert text.endswith(b"\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def check_round(lane: Lane, before: int, printed: list[Line]) -> None:
    """What this life printed is in the journal, and it began where the last one ended."""
    journaled = lane.journaled()
    assert [line["seq"] for line in journaled] == list(range(1, len(journaled) + 1))
    for line in printed:
        kept = journaled[line["seq"] - 1]
        assert {key: line[key] for key in COMPARED} == {key: kept[key] for key in COMPARED}
    assert [line["seq"] for line in printed] == list(range(before + 1, before + 1 + len(printed)))
    if before:
        found_again = [(line["source"], line["target"]) for line in printed[:2]]
        assert found_again == [("Fresh", "Restoring"), ("Restoring", "Restored")][: len(printed)]
    assert len({line["session"] for line in journaled}) <= 1
    lane.kills_in_transition += len(journaled) > before + len(printed)


async def live_and_die(lane: Lane, endpoint: str, random: Random) -> None:
    """One round."""
    before = len(lane.journaled())
    printed = await life(lane, endpoint, random)
    check_round(lane, before, printed)
    lane.printed += printed
    lane.rounds += 1


async def reach(lane: Lane, endpoint: str) -> list[Line]:
    """A last life, which nobody ends before it is Connected."""
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "resilience", "watch", endpoint, "--json", "--data-dir", lane.data_dir),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert watcher.stdout is not None
    lines: list[Line] = []
    try:
        async with asyncio.timeout(GENEROUS_S):
            while not lines or lines[-1]["target"] != "Connected":
                lines.append(json.loads(await watcher.stdout.readline()))
    finally:
        watcher.kill()
        await watcher.stdout.read()
        await watcher.wait()
    return lines


async def campaign(directory: Path) -> list[Lane]:
    lanes = [Lane(directory / f"lane-{number}") for number in range(LANES)]

    async def follow(lane: Lane, endpoint: str, random: Random) -> None:
        for _ in range(ROUNDS // LANES):
            await live_and_die(lane, endpoint, random)

    with standin() as target:
        async with Relay(target) as relay:
            flapping = asyncio.ensure_future(flap(relay))
            async with asyncio.TaskGroup() as group:
                for number, lane in enumerate(lanes):
                    group.create_task(follow(lane, relay.endpoint, Random(number)))
            flapping.cancel()
            relay.set(PASS)
            for lane, last in zip(
                lanes, await asyncio.gather(*(reach(lane, relay.endpoint) for lane in lanes)), strict=True
            ):
                assert [line["target"] for line in last] == ["Restoring", "Restored", "Connected"]
                lane.printed += last
    return lanes


@pytest.mark.slow
@pytest.mark.timeout(100 + ROUNDS)
def test_nothing_that_was_printed_is_lost_by_a_kill(tmp_path: Path) -> None:
    """Hundreds of kills: journal and prints agree after each, and the command line agrees in the end."""
    lanes = asyncio.run(campaign(tmp_path))
    assert sum(lane.rounds for lane in lanes) == ROUNDS
    assert sum(len(lane.printed) for lane in lanes) > 2 * ROUNDS
    for lane in lanes:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "resilience",
                "sessions",
                "history",
                "--json",
                "--data-dir",
                lane.data_dir,
            ],
            cwd=ROOT,
            capture_output=True,
            check=True,
            timeout=GENEROUS_S,
        )
        shown = [json.loads(line) for line in done.stdout.splitlines()]
        assert shown[: len(shown)] == lane.journaled()
        kept = {line["seq"]: {key: line[key] for key in COMPARED} for line in shown}
        for line in lane.printed:
            assert kept[line["seq"]] == {key: line[key] for key in COMPARED}
        order = [line["seq"] for line in lane.printed]
        assert order == sorted(set(order))
    # Kills that fell between the sync and the print show that the moments were well chosen.
    assert sum(lane.kills_in_transition for lane in lanes) > 0
