"""Each sync of sessions and keys is left out in turn, and missed: an enumeration is worth what it can catch.

A place is one line of the store that asks for a sync, with the one who uses the shared steps: leaving out the
sync of every file that is replaced would only show that one of them needs it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crash_states import RecordingDisk
from session_crashes import Judge, states
from session_worlds import WORLDS
from wrapped_disks import STORE, Wrapped


class WithoutOne(Wrapped):
    """A disk that never makes the syncs of one place, or notes which places there are."""

    def __init__(self, disk: RecordingDisk, place: str = "") -> None:
        super().__init__(disk)
        self.place = place
        self.found: set[str] = set()

    def called(self, name: str, call: Callable[[], Any], path: Path, words: tuple[Any, ...]) -> Any:
        if name in ("sync", "sync_dir"):
            place = asked_from()
            self.found.add(place)
            if place == self.place:
                return None
        return super().called(name, call, path, words)


PASSED_THROUGH = ("replace.py", "directories.py")


def asked_from() -> str:
    """Return which sync this is: the lines of the store that ask for it, up to who uses the shared steps."""
    frame, lines = sys._getframe(2), list[str]()
    while frame.f_back is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(STORE):
            number = frame.f_lineno - frame.f_code.co_firstlineno
            lines.append(f"{frame.f_code.co_qualname} {number}")
            if file.name not in PASSED_THROUGH:
                break
        frame = frame.f_back
    return " < ".join(lines)


KEEPING = "Directories.sync_names 4 < Directories._make_quarantine 3 < Directories.keep 2"

NEEDLESS = {
    "replace_file 21 < Sessions.copy 21": "a private copy's first save syncs the same directory, and before"
    " it there is nothing to lose",
    "replace_file 21 < Sessions._back_up 5": "the next generation's name, which syncs the same directory,"
    " is what makes the backup worth having",
    "Directories.keep 11 < _put_aside 12": "opening the session, just before, has kept the same bytes",
    f"{KEEPING} < _put_aside 12": "as above",
    "Directories.set_aside 5 < move 24": "a move that a power cut left half made has the same bytes in both"
    " places; only a file that somebody put there by hand differs, which no world here has",
    "Directories.set_aside 6 < move 24": "as above",
    "Directories.sync_names 4 < Directories._make_quarantine 3 < Directories.set_aside 2 < move 24": "as"
    " above",
}
"""Syncs that no power cut shows to be needed, each with the reason: their users get more than they need."""


def places() -> dict[str, list[str]]:
    """Return each place that syncs, and the worlds in which it does."""
    found: dict[str, list[str]] = {}
    for name, (begin, work) in WORLDS.items():
        world = begin()
        wrapped = WithoutOne(world.disk)
        world.seam = wrapped.seam()
        work(world)
        for place in sorted(wrapped.found):
            found.setdefault(place, []).append(name)
    return found


def missed(name: str, place: str) -> str:
    """Return what the judge says first of a world whose disk leaves out the syncs of one place."""
    begin, work = WORLDS[name]
    world = begin()
    world.seam = WithoutOne(world.disk, place).seam()
    work(world)
    judge = Judge(world)
    return next(filter(None, (judge.verdict(*state) for state in states(world, 10**6))), "")


def store_syncs() -> set[str]:
    """Return every line in the sources of sessions and keys that asks for a sync, as `asked_from` does."""
    root = Path(STORE)
    files = [root / name for name in PASSED_THROUGH]
    files += [root / "credentials.py", *(root / "sessions").glob("*.py"), *(root / "keys").glob("*.py")]
    return {place for file in files for place in _syncs_in(ast.parse(file.read_text(encoding="utf-8")), "")}


def _syncs_in(tree: ast.AST, prefix: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _syncs_in(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            for call in ast.walk(node):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and call.func.attr in ("sync", "sync_dir")
                ):
                    yield f"{prefix}{node.name} {call.lineno - node.lineno}"


@pytest.fixture(scope="module")
def syncs() -> dict[str, list[str]]:
    """Return each place that syncs, and the worlds in which it does."""
    return places()


def test_every_sync_in_the_sources_is_made_by_some_world(syncs: dict[str, list[str]]) -> None:
    """Or leaving it out would prove nothing."""
    assert store_syncs() - {place.partition(" < ")[0] for place in syncs} == set()


@pytest.mark.parametrize("part", range(3))
def test_leaving_out_any_one_sync_is_missed(syncs: dict[str, list[str]], part: int) -> None:
    """Each place that syncs is left out in turn, in the worlds that come by it, until one tells."""
    assert NEEDLESS.keys() <= syncs.keys()
    tried = sorted(syncs.keys() - NEEDLESS.keys())[part::3]
    # The first world that comes by it, or else the most particular one, tells soonest.
    order = {place: [*syncs[place][:1], *syncs[place][:0:-1]] for place in tried}
    assert [place for place in tried if not any(missed(name, place) for name in order[place])] == []


def test_those_called_needless_are(syncs: dict[str, list[str]]) -> None:
    """Once one is needed, it leaves the list."""
    assert [place for place in NEEDLESS for name in syncs[place] if missed(name, place)] == []
