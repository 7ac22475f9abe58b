"""`python -m simulations fingerprints`: one seed, one trace, byte for byte, wherever it is played.

The fingerprints of some runs stand in `fingerprints.txt`, made on one machine with one Python. Whoever plays
them elsewhere gets the same ones, or has found something that is not determined by the seed. A change in what
the product does changes them too: then they are written anew, in the same commit.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

FILE = Path(__file__).with_name("fingerprints.txt")
SWARM_SEEDS = range(1, 41)
LIBRARY_SEED = 1


def plan() -> list[tuple[str, int]]:
    """Every named scenario once, and a handful of random schedules."""
    from simulations.scenarios import LIBRARY  # noqa: PLC0415 - read when asked for

    return [(key, LIBRARY_SEED) for key in LIBRARY] + [("swarm", seed) for seed in SWARM_SEEDS]


def taken(plan: list[tuple[str, int]]) -> Iterator[str]:
    """Play each and tell its fingerprint, a line each."""
    from simulations.scenarios import LIBRARY  # noqa: PLC0415 - same
    from simulations.swarm import swarm  # noqa: PLC0415 - same
    from simulations.virtual.play import play  # noqa: PLC0415 - same

    for key, seed in plan:
        scenario = swarm(seed) if key == "swarm" else LIBRARY[key]
        yield f"{key} {seed} {play(scenario, seed).digest}"


def known() -> list[str]:
    """The committed lines."""
    return FILE.read_text(encoding="ascii").splitlines()


def _known_or_told() -> list[str]:
    try:
        return known()
    except (OSError, ValueError) as error:
        print(f"Nothing to compare with: {error}. `git checkout` brings the file back; --write makes one.")
        raise typer.Exit(2) from error


def fingerprints(*, write: Annotated[bool, typer.Option(help="Write them anew.")] = False) -> None:
    """Play some runs and compare their traces with those played elsewhere."""
    there = [] if write else _known_or_told()
    found = list(taken(plan()))
    if write:
        FILE.write_text("\n".join(found) + "\n", encoding="ascii")
        print(f"{len(found)} fingerprints written.")
        return
    where = f"Python {platform.python_version()} on {platform.machine()}"
    differ = sorted(set(found) ^ set(there))
    for line in differ:
        print(("here:  " if line in found else "there: ") + line)
    if differ:
        print(f"{where}: the traces differ. If what the product does was changed on purpose: --write.")
        raise typer.Exit(1)
    print(f"{where}: {len(found)} runs, every trace the same.")
