"""The virtual disk answers as a real one does, and keeps of a kill or a power cut what the worst one would.

The history runs on it, is killed at any call, loses power, finds the disk failing or full, and is opened
again: what it acknowledged is there. A disk that leaves out one kind of sync must break that.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from careless_disks import NoSync, RetriedSync, UnorderedRemovals, no_sync_dir
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import HOME, Call, Medium, Tree, uncertain
from store import DiskError, History, Limits, TransitionRecord
from store.disk import Disk, RealDisk

SEEDS = 300
FILE = HOME / "file"


def written(disk: VirtualDisk, path: Path, *parts: bytes, synced: bool = True) -> int:
    """Make a file, durably unless said otherwise, and leave it open."""
    handle = disk.create(path)
    for part in parts:
        disk.write(handle, part)
    if synced:
        disk.sync(handle)
        disk.sync_dir(path.parent)
    return handle


def outcomes(workload: Callable[[VirtualDisk], object], *, killed: bool = False) -> list[dict[str, bytes]]:
    """Return each different set of files that power cuts (or kills) after a workload leave, sorted."""
    found: set[tuple[tuple[str, bytes], ...]] = set()
    for seed in range(SEEDS):
        disk = VirtualDisk()
        workload(disk)
        (disk.kill if killed else disk.power_cut)(Random(seed))
        files = disk.medium().files
        found.add(tuple((path.relative_to(HOME).as_posix(), files[path]) for path in sorted(files)))
    return [dict(left) for left in sorted(found)]


def contents(workload: Callable[[VirtualDisk], object]) -> set[bytes]:
    """Return what `FILE` may hold after a power cut."""
    return {files["file"] for files in outcomes(workload)}


# The same answers as a real disk

PATHS = ("", "a", "b", "d", "d/a", "d/e", "d/e/a", "a/x", "none/x")
ABOUT_A_PATH = ("mkdir", "listing", "create", "open", "sync_dir", "unlink", "check_writable")
ABOUT_A_HANDLE = ("sync", "lock", "close")
calls = st.one_of(
    st.tuples(st.sampled_from(ABOUT_A_PATH), st.sampled_from(PATHS)),
    st.tuples(st.sampled_from(("mkdir", "create", "open")), st.sampled_from(PATHS)),
    st.tuples(st.just("read"), st.sampled_from(PATHS), st.integers(-1, 12)),
    st.tuples(st.just("rename"), st.sampled_from(PATHS[1:]), st.sampled_from(PATHS[1:])),
    st.tuples(st.sampled_from(ABOUT_A_HANDLE), st.integers(0, 9)),
    st.tuples(st.just("write"), st.integers(0, 9), st.binary(max_size=8)),
    st.tuples(st.just("truncate"), st.integers(0, 9), st.integers(-1, 12)),
    st.tuples(st.just("kill")),
)


PRELUDE: tuple[tuple[Any, ...], ...] = (
    ("mkdir", "d"),
    ("create", "a"),
    ("create", "d/a"),
    ("write", 0, b"content"),
)


class Side:
    """One of the two disks, its root, and its open handles in the order in which they were opened."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self.disk = disk
        self.root = root
        self.handles: list[int] = []

    def ask(self, name: str, *args: object) -> object:
        """Make a call; return what came back, or the number of its refusal."""
        made = list(args)
        if name in (*ABOUT_A_HANDLE, "write", "truncate"):
            made[0] = self.handles[int(str(args[0])) % len(self.handles)]
        made = [self.root / arg if isinstance(arg, str) else arg for arg in made]
        try:
            answer = getattr(self.disk, name)(*made)
        except OSError as exc:
            return type(exc), exc.errno
        if name == "close":
            self.handles.remove(int(str(made[0])))
        if name in ("open", "create"):
            self.handles.append(answer)
            return "a handle"
        return answer

    def killed(self) -> None:
        """Lose all handles."""
        if isinstance(self.disk, VirtualDisk):
            self.disk.kill()
        else:
            for handle in self.handles:
                os.close(handle)
        self.handles.clear()


def tree(root: Path) -> dict[str, bytes | None]:
    """Return what a real directory holds; None for a directory."""
    return {
        path.relative_to(root).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def virtual_tree(disk: VirtualDisk) -> dict[str, bytes | None]:
    """Return the same of a virtual disk's home."""
    medium = disk.medium()
    found: dict[str, bytes | None] = {
        path.relative_to(HOME).as_posix(): None for path in medium.dirs - {HOME}
    }
    return found | {path.relative_to(HOME).as_posix(): data for path, data in medium.files.items()}


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """Return a directory for many small files: in memory, where the system has that."""
    memory = Path("/dev/shm")  # noqa: S108 -- only as the parent of a directory with a random name
    with TemporaryDirectory(prefix="virtual-disk-", dir=memory if memory.is_dir() else None) as place:
        yield Path(place)


@pytest.mark.skipif(os.name == "nt", reason="another system's numbers")
@example([("read", "a", -1), ("truncate", 0, -1), ("check_writable", "a"), ("rename", "d/a", "d")])
@given(asked=st.lists(calls, max_size=40))
@settings(max_examples=300, deadline=None)
def test_it_answers_as_a_real_disk_does(scratch: Path, asked: list[tuple[Any, ...]]) -> None:
    """Any calls in any order: the same results, the same refusals, and in the end the same files."""
    with TemporaryDirectory(dir=scratch) as place:
        real, virtual = Side(RealDisk(), Path(place)), Side(VirtualDisk(), HOME)
        for name, *args in (*PRELUDE, *asked):
            if name == "kill":
                real.killed()
                virtual.killed()
            elif name == "rename" and (real.root / args[0]).is_dir():
                pass  # the store renames files, and so does the virtual disk
            elif real.handles or name not in (*ABOUT_A_HANDLE, "write", "truncate"):
                assert virtual.ask(name, *args) == real.ask(name, *args), (name, *args)
        assert virtual_tree(virtual.disk) == tree(real.root)  # type: ignore[arg-type]  # made a few lines above
        real.killed()


def test_it_is_a_disk() -> None:
    """Checked by mypy rather than at run time: every call of the protocol, as typed there."""
    disk: Disk = VirtualDisk()
    assert disk.listing(HOME) == {}


def test_directories_keep_their_names() -> None:
    """The one thing a real disk allows and this one does not; the store never asks for it."""
    disk = VirtualDisk()
    disk.mkdir(HOME / "d")
    with pytest.raises(IsADirectoryError):
        disk.rename(HOME / "d", HOME / "e")


def test_a_closed_handle_is_refused() -> None:
    """No handle is given twice, so no later file answers in its place."""
    disk = VirtualDisk()
    handle = disk.create(FILE)
    disk.close(handle)
    other = disk.open(FILE)
    assert other != handle
    for call in (
        disk.sync,
        disk.lock,
        disk.close,
        lambda old: disk.write(old, b""),
        lambda old: disk.truncate(old, 0),
    ):
        with pytest.raises(OSError, match="Bad file") as caught:
            call(handle)
        assert caught.value.errno == errno.EBADF


def test_it_begins_with_what_lies_on_a_medium() -> None:
    """Directories on the way are made; equal media compare equal."""
    deep = HOME / "x" / "y" / "file"
    disk = VirtualDisk(Medium({deep: b"content", FILE: b""}))
    assert disk.read(deep, 99) == b"content"
    assert disk.listing(HOME) == {"file": 0}
    assert disk.medium() == Medium(
        {FILE: b"", deep: b"content"}, frozenset({HOME, HOME / "x", HOME / "x" / "y"})
    )
    disk.power_cut(Random(1))
    assert disk.read(deep, 99) == b"content"


# What a power cut leaves


def test_what_was_synced_is_there() -> None:
    """Bytes and name: one outcome."""
    assert outcomes(lambda disk: written(disk, FILE, b"one", b"two")) == [{"file": b"onetwo"}]


def test_bytes_that_were_not_synced_are_there_or_not_or_in_part_or_wrong() -> None:
    """Behind what was synced stands the write, or a part of it, or zeros, or garbage; never more than it."""
    added = b"unsynced"

    def workload(disk: VirtualDisk) -> None:
        disk.write(written(disk, FILE, b"synced"), added)

    found = contents(workload)
    assert all(content.startswith(b"synced") for content in found)
    ends = {content[6:] for content in found}
    assert max(map(len, ends)) == len(added)
    assert {added[:size] for size in range(len(added) + 1)} <= ends
    assert bytes(len(added)) in ends
    assert any(not set(end) <= {0, *added} for end in ends)
    assert any(bytes(size) + added[size:] in ends for size in range(1, len(added)))


def test_a_write_is_often_there_and_often_not() -> None:
    """The two plain outcomes are as likely as each of the odd ones together."""
    sizes = []
    for seed in range(SEEDS):
        disk = VirtualDisk()
        disk.write(written(disk, FILE), b"x" * 1000)
        disk.power_cut(Random(seed))
        sizes.append(disk.medium().files[FILE].count(b"x"))
    assert sizes.count(1000) > SEEDS / 6
    assert sizes.count(0) > SEEDS / 6
    assert len(set(sizes)) > SEEDS / 6


def test_a_later_write_may_arrive_without_an_earlier_one() -> None:
    """Then zeros stand where the earlier one was to be."""

    def workload(disk: VirtualDisk) -> None:
        handle = written(disk, FILE)
        disk.write(handle, b"one")
        disk.write(handle, b"two")

    assert {b"", b"one", b"onetwo", b"\0\0\0two"} <= contents(workload)


def test_old_blocks_of_other_files_may_come_up() -> None:
    """What a reused block held before is one kind of garbage."""

    def workload(disk: VirtualDisk) -> None:
        written(disk, HOME / "other", b"another file's")
        disk.write(written(disk, FILE), bytes(14))

    assert any(b"file's" in content for content in contents(workload))
    alone = contents(lambda disk: disk.write(written(disk, FILE, b"x" * 50), bytes(20)))
    assert not any(b"xxx" in content[50:] for content in alone)  # its own blocks are not free


def test_names_that_were_not_synced_are_there_or_not_each_by_itself() -> None:
    """Two files made, neither name certain: all four outcomes."""

    def workload(disk: VirtualDisk) -> None:
        disk.create(HOME / "a")
        disk.create(HOME / "b")

    assert list(map(list, outcomes(workload))) == [[], ["a"], ["a", "b"], ["b"]]


def test_synced_bytes_without_a_synced_name_may_be_lost() -> None:
    """A file's sync says nothing about its name; the name's says nothing about its bytes."""
    bytes_only = outcomes(lambda disk: disk.sync(written(disk, FILE, b"one", synced=False)))
    assert bytes_only == [{}, {"file": b"one"}]

    def workload(disk: VirtualDisk) -> None:
        written(disk, FILE, b"one", synced=False)
        disk.sync_dir(HOME)

    assert {b"", b"one"} < contents(workload)


def test_below_a_directory_that_is_lost_all_is_lost() -> None:
    """However well the file and its name in there were synced; and nothing of it comes back later."""

    def workload(disk: VirtualDisk) -> None:
        disk.mkdir(HOME / "d")
        written(disk, HOME / "d" / "f", b"one")

    assert sorted(map(len, outcomes(workload))) == [0, 1]
    for seed in range(SEEDS):
        disk = VirtualDisk()
        workload(disk)
        disk.power_cut(Random(seed))
        if not disk.medium().files:
            disk.mkdir(HOME / "d")
            assert disk.listing(HOME / "d") == {}


def test_a_rename_happens_as_a_whole_or_not_at_all() -> None:
    """Under one of the names the file is there, never under both; what it replaces stays until then."""

    def workload(disk: VirtualDisk) -> None:
        written(disk, HOME / "old", b"new content")
        written(disk, HOME / "new", b"old content")
        disk.rename(HOME / "old", HOME / "new")

    assert outcomes(workload) == [
        {"new": b"new content"},
        {"new": b"old content", "old": b"new content"},
    ]


@pytest.mark.parametrize("synced", [HOME, HOME / "d"])
def test_a_rename_between_directories_is_certain_in_both_at_once(synced: Path) -> None:
    """Whichever of the two is synced, and whatever is uncertain beside it in the other."""

    def workload(disk: VirtualDisk) -> None:
        disk.mkdir(HOME / "d")
        disk.sync_dir(HOME)
        written(disk, FILE, b"one")
        disk.create(HOME / "x")
        disk.create(HOME / "d" / "y")
        disk.rename(FILE, HOME / "d" / "file")
        disk.sync_dir(synced)

    def moved_before_it_was_certain(disk: VirtualDisk) -> None:
        disk.mkdir(HOME / "d")
        disk.sync_dir(HOME)
        disk.create(FILE)
        disk.rename(FILE, HOME / "d" / "file")
        disk.sync_dir(synced)

    assert list(map(sorted, outcomes(moved_before_it_was_certain))) == [["d/file"]]
    beside = "x" if synced == HOME else "d/y"
    other = "d/y" if synced == HOME else "x"
    assert {frozenset(files) for files in outcomes(workload)} == {
        frozenset({"d/file", beside}),
        frozenset({"d/file", beside, other}),
    }


def test_a_removal_that_was_not_synced_may_be_undone() -> None:
    """The name leads to its bytes again; synced, it never does."""

    def unsynced(disk: VirtualDisk) -> None:
        disk.close(written(disk, FILE, b"one"))
        disk.unlink(FILE)

    def synced(disk: VirtualDisk) -> None:
        unsynced(disk)
        disk.sync_dir(HOME)

    assert outcomes(unsynced) == [{}, {"file": b"one"}]
    assert outcomes(synced) == [{}]


def test_a_file_made_and_removed_may_come_back_with_what_was_synced() -> None:
    """Although nothing leads to it on the medium, nor in the cache, and other names became certain since."""

    def workload(disk: VirtualDisk) -> None:
        disk.mkdir(HOME / "d")
        disk.sync_dir(HOME)
        handle = written(disk, FILE, b"one", synced=False)
        disk.sync(handle)
        disk.close(handle)
        disk.unlink(FILE)
        written(disk, HOME / "d" / "f")

    assert outcomes(workload) == [{"d/f": b""}, {"d/f": b"", "file": b"one"}]


def test_after_a_power_cut_all_begins_anew() -> None:
    """What was certain stays so, and what is written then may be lost to the next."""
    ends = set()
    for seed in range(SEEDS):
        disk = VirtualDisk()
        dice = Random(seed)
        disk.close(written(disk, FILE, b"one"))
        disk.power_cut(dice)
        disk.write(disk.open(FILE), b"2")
        disk.power_cut(dice)
        ends.add(disk.read(FILE, 9))
    assert {b"one", b"one2"} < ends


def test_a_cut_that_was_not_synced_may_be_undone() -> None:
    """The old length or the new one."""
    assert contents(lambda disk: disk.truncate(written(disk, FILE, b"one"), 1)) == {b"o", b"one"}


def test_a_failed_sync_leaves_its_bytes_in_limbo() -> None:
    """A later sync succeeds and does not save them, but what was written after; names it does save."""

    def workload(disk: VirtualDisk) -> None:
        handle = written(disk, FILE, b"one")
        disk.write(handle, b"two")
        disk.create(HOME / "other")
        disk.fails_at_sync = True
        with pytest.raises(OSError, match="Input/output"):
            disk.sync(handle)
        with pytest.raises(OSError, match="Input/output"):
            disk.sync_dir(HOME)
        disk.fails_at_sync = False
        for part in (b"three", b"four"):
            disk.write(handle, part)
            disk.sync(handle)
            disk.sync_dir(HOME)
        assert disk.read(FILE, 99) == b"onetwothreefour"

    found = contents(workload)
    assert all(content.startswith(b"one") and content.endswith(b"threefour") for content in found)
    assert {content[3:6] for content in found} > {b"two", bytes(3)}
    assert all("other" in files for files in outcomes(workload))


def test_a_dead_files_bytes_are_forgotten() -> None:
    """What was written, not synced, and removed for certain, waits for nothing any more."""
    disk = VirtualDisk()
    handle = written(disk, FILE, b"x" * 1000, synced=False)
    disk.sync_dir(HOME)
    disk.unlink(FILE)
    disk.sync_dir(HOME)
    disk.write(handle, b"y")
    disk.close(handle)
    written(disk, HOME / "next")
    assert [op.call for op in disk.log] == []
    assert len(disk._cache.contents) == len(disk._medium.contents) == 1


def possible(disk: VirtualDisk) -> set[str]:
    """Return every medium that follows from leaving out calls, whole."""
    doubtful = uncertain(disk.log)
    found = set()
    subsets = chain.from_iterable(combinations(doubtful, size) for size in range(len(doubtful) + 1))
    for left_out in subsets:
        left = disk._medium.copy()
        for index, op in enumerate(disk.log):
            if index not in left_out:
                left.apply(op)
        found.add(repr(sorted(left.reachable().medium().files.items())))
    return found


class Hoarding(VirtualDisk):
    """Never forgets a call."""

    def fold(self) -> None:
        pass


@given(asked=st.lists(calls.filter(lambda call: call[0] != "kill"), max_size=25))
@settings(max_examples=150, deadline=None)
def test_forgetting_what_is_certain_changes_nothing(asked: list[tuple[Any, ...]]) -> None:
    """The possible media are those which follow from all calls since the beginning."""
    plain, hoarding = VirtualDisk(), Hoarding()
    sides = Side(plain, HOME), Side(hoarding, HOME)
    for name, *args in asked:
        if len(uncertain(hoarding.log)) > 8:  # twice as many media with each
            break
        if sides[0].handles or name not in (*ABOUT_A_HANDLE, "write", "truncate"):
            assert sides[0].ask(name, *args) == sides[1].ask(name, *args)
    assert possible(plain) == possible(hoarding)
    assert len(plain.log) <= len(hoarding.log)
    assert plain.medium() == hoarding.medium()


PROGRAM = """
from random import Random
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import HOME, Medium
for seed in range(20):
    dice = Random(seed)
    disk = VirtualDisk(Medium({HOME / f"m{number}" / "f": b"" for number in range(9)}))
    for number in range(20):
        disk.mkdir(HOME / f"d{number}")
        handle = disk.create(HOME / f"d{number}" / "f")
        disk.write(handle, b"written")
        if dice.random() < 0.5:
            disk.sync_dir(HOME)
        if dice.random() < 0.5:
            disk.sync(handle)
    disk.power_cut(dice)
    print([(path.as_posix(), data) for path, data in disk.medium().files.items()], dice.random())
"""


def test_the_same_dice_leave_the_same() -> None:
    """Byte for byte and in the same order, however the interpreter hashes."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1
    assert b"written" in printed.pop()


# What a kill leaves


def test_a_kill_takes_handles_and_locks_and_leaves_what_was_written() -> None:
    """Nothing was synced, and all of it is there, for the next process to lock."""
    disk = VirtualDisk()
    handle = written(disk, FILE, b"one", synced=False)
    assert disk.lock(handle)
    assert not disk.lock(disk.open(FILE))
    disk.kill(Random(1))
    with pytest.raises(OSError, match="Bad file"):
        disk.write(handle, b"more")
    assert disk.read(FILE, 99) == b"one"
    assert disk.lock(disk.open(FILE))


def job(disk: VirtualDisk) -> None:
    """Something before, and a job under way."""
    before = written(disk, HOME / "before", b"safe")
    disk.begin_job()
    disk.close(before)
    handle = written(disk, FILE, b"one", b"two")
    disk.truncate(handle, 2)
    disk.unlink(HOME / "before")


def test_a_kill_in_a_job_undoes_its_calls_from_any_one_on() -> None:
    """Each prefix of them occurs, a write may be cut short, and nothing from before the job is touched."""
    parts = (b"", b"o", b"on", b"one", b"onet", b"onetw", b"onetwo")
    assert outcomes(job, killed=True) == [
        {"before": b"safe"},
        *({"before": b"safe", "file": part} for part in parts),
        {"file": b"on"},
    ]


def test_a_power_cut_in_a_job_may_come_before_its_syncs() -> None:
    """A sync that has returned is one nobody was told of yet; a job that ended is certain."""
    assert any("file" not in files for files in outcomes(job))

    def ended(disk: VirtualDisk) -> None:
        job(disk)
        disk.end_job()

    assert {files["file"] for files in outcomes(ended)} == {b"onetwo", b"on"}
    disk = VirtualDisk()
    ended(disk)
    assert [op.call for op in disk.log] == [Call.TRUNCATE, Call.UNLINK]


def test_a_killed_job_is_over() -> None:
    """The next process can begin one; in a job no second one can."""
    disk = VirtualDisk()
    job(disk)
    with pytest.raises(RuntimeError, match="one job"):
        disk.begin_job()
    disk.kill()
    assert disk.medium().files == {FILE: b"on"}
    disk.begin_job()
    disk.power_cut(Random(1))
    disk.begin_job()


def test_the_cache_stands_again_as_it_was_after_an_undone_job() -> None:
    """Including what was uncertain before the job, and is so still."""
    disk = VirtualDisk()
    disk.close(written(disk, FILE, b"one", synced=False))
    disk.begin_job()
    disk.unlink(FILE)
    disk.mkdir(HOME / "d")
    seed = next(seed for seed in range(SEEDS) if Random(seed).randint(2, 4) == 2)
    disk.kill(Random(seed))
    assert disk.medium() == Medium({FILE: b"one"})
    assert [op.call for op in disk.log] == [Call.CREATE, Call.WRITE]


# Slow, failing, full


def test_syncs_cost_time() -> None:
    """Each as much as one, of whatever; taken once; a dead process owes nothing."""
    disk = VirtualDisk()
    disk.sync_s = 0.25
    handle = written(disk, FILE, b"one")
    assert (disk.spent_s, disk.take_cost(), disk.take_cost()) == (0.5, 0.5, 0.0)
    disk.fails = True
    with pytest.raises(OSError, match="Input/output"):
        disk.sync(handle)
    assert disk.spent_s == 0.25
    disk.kill()
    assert disk.take_cost() == 0.0


def test_a_failing_disk_refuses_changes_and_can_be_read() -> None:
    """EIO for all that would change it, after the refusals that need no medium; and nothing has changed."""
    disk = VirtualDisk()
    handle = written(disk, FILE, b"one")
    before = disk.medium()
    disk.fails = True
    for call in (
        lambda: disk.mkdir(HOME / "d"),
        lambda: disk.create(HOME / "f"),
        lambda: disk.write(handle, b"two"),
        lambda: disk.sync(handle),
        lambda: disk.sync_dir(HOME),
        lambda: disk.rename(FILE, HOME / "f"),
        lambda: disk.truncate(handle, 0),
        lambda: disk.unlink(FILE),
    ):
        with pytest.raises(OSError, match="Input/output") as caught:
            call()
        assert caught.value.errno == errno.EIO
    with pytest.raises(FileExistsError):
        disk.create(FILE)
    with pytest.raises(FileNotFoundError):
        disk.unlink(HOME / "f")
    disk.check_writable(HOME)
    disk.close(handle)
    assert disk.read(FILE, 99) == b"one"
    assert disk.lock(disk.open(FILE))
    assert disk.medium() == before


def test_a_full_disk_takes_a_part_then_nothing() -> None:
    """Names still fit, directories do not; what is removed, cut or renamed over makes room."""
    disk = VirtualDisk()
    handle = written(disk, FILE, b"x" * 100)
    disk.slack_bytes = 10
    disk.full = True
    assert disk.write(handle, b"y" * 30) == 10
    disk.full = True  # once more changes nothing
    for call in (lambda: disk.write(handle, b"z"), lambda: disk.mkdir(HOME / "d")):
        with pytest.raises(OSError, match="No space") as caught:
            call()
        assert caught.value.errno == errno.ENOSPC
    assert disk.write(handle, b"") == 0
    other = disk.create(HOME / "other")
    disk.truncate(handle, 105)
    assert disk.write(other, memoryview(b"w" * 30)) == 5
    disk.unlink(FILE)
    assert disk.write(other, b"w" * 200) == 105
    disk.full = False
    assert not disk.full
    assert disk.write(other, b"w" * 200) == 200
    disk.mkdir(HOME / "d")


def test_a_disk_fuller_than_full_takes_nothing() -> None:
    """As when a power cut undoes the removal that made room."""
    taken = set()
    for seed in range(20):
        disk = VirtualDisk()
        disk.close(written(disk, FILE, b"x" * 100))
        other = written(disk, HOME / "other")
        disk.slack_bytes = 0
        disk.full = True
        disk.unlink(FILE)
        disk.write(other, b"y" * 50)
        disk.sync(other)
        disk.power_cut(Random(seed))
        other = disk.open(HOME / "other")
        if FILE in disk.medium().files:
            with pytest.raises(OSError, match="No space"):
                disk.write(other, b"z" * 100)
            taken.add(0)
        else:
            taken.add(disk.write(other, b"z" * 100))
    assert taken == {0, 50}


# The history on it

USER = HOME / "user"  # made by the first start, as for a new account
DATA = USER / "data"
BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r")
ROOMY = Limits(segment_bytes=700, crowded_bytes=10**9, crowded_segments=10**6, reserve_bytes=600)
CROWDED = replace(ROOMY, crowded_bytes=1500, relaxed_bytes=900, crowded_segments=50, relaxed_segments=40)
DISKS = {
    "works": (False, False, False),
    "fails": (True, False, False),
    "fails at syncs": (False, True, False),
    "is full": (False, False, True),
}
WALKS = 300
dice = st.integers(0, 2**32).map(Random)


class Store(RuleBasedStateMachine):
    """One process after another on one disk, each of which may end in any way at any time."""

    kind: type[VirtualDisk] = VirtualDisk

    @initialize(crowded=st.booleans())
    def begin(self, crowded: bool) -> None:  # noqa: FBT001 -- hypothesis passes it by name
        """Start with an empty disk."""
        self.disk = self.kind(Medium(dirs=frozenset({HOME})))
        self.limits = CROWDED if crowded else ROOMY
        self.history: History | None = None
        self.recorded: list[TransitionRecord] = []  # by all processes, in order
        self.acked: list[int] = []  # indexes into them
        self.mine = 0  # from which on this process recorded them
        self.processes = 0

    @precondition(lambda self: self.history is None)
    @rule()
    def start(self) -> None:
        """Open the history as a new process does, and compare all that is found."""
        self.processes += 1
        self.mine = len(self.recorded)
        self.disk.begin_job()
        self.history = History.open(DATA, disk=self.disk, limits=self.limits)
        self.disk.end_job()
        self.compare(self.history)

    @precondition(lambda self: self.history is None)
    @rule(dice=dice, power=st.booleans())
    def die_while_starting(self, dice: Random, power: bool) -> None:  # noqa: FBT001 -- as above
        """Mending can be interrupted too."""
        self.disk.begin_job()
        History.open(DATA, disk=self.disk, limits=self.limits)
        self.end(dice, power=power)

    @precondition(lambda self: self.history is not None)
    @rule(image=st.sampled_from("ab"), times=st.integers(1, 4))
    def record(self, image: str, times: int) -> None:
        """Record some transitions, each unlike any other."""
        assert self.history is not None
        for _ in range(times):
            seq, number = self.history.next_seq(image), len(self.recorded)
            session = f"s{self.processes}"
            record = replace(
                BASE, image=image, session=session, seq=seq, detail=str(number), at=float(number)
            )
            self.history.record(record)
            self.recorded.append(record)

    @precondition(lambda self: self.history is not None)
    @rule()
    def commit(self) -> None:
        """Commit; once it returns, all that this process recorded must be found for ever."""
        assert self.history is not None
        self.disk.begin_job()
        try:
            self.history.commit()
        except DiskError:
            assert self.history.pending
        else:
            self.acked += [index for index in range(self.mine, len(self.recorded)) if index not in self.acked]
        self.disk.end_job()

    @precondition(lambda self: self.history is not None)
    @rule(dice=dice, power=st.booleans(), committing=st.booleans())
    def die(self, dice: Random, power: bool, committing: bool) -> None:  # noqa: FBT001 -- as above
        """Be killed or lose power, perhaps in the middle of a commit, which nobody hears of."""
        assert self.history is not None
        if committing:
            self.disk.begin_job()
            with suppress(DiskError):
                self.history.commit()
        self.end(dice, power=power)

    @precondition(lambda self: self.history is not None)
    @rule()
    def close(self) -> None:
        """End in good order, and be told whether all was saved."""
        assert self.history is not None
        try:
            self.history.close()
        except DiskError:
            pass
        else:
            self.acked += [index for index in range(self.mine, len(self.recorded)) if index not in self.acked]
        self.history = None
        self.disk.kill()

    @rule(how=st.sampled_from(sorted(DISKS)), slack=st.integers(0, 400))
    def disk_changes(self, how: str, slack: int) -> None:
        """Fail, fill up, or work again."""
        self.disk.slack_bytes = slack
        self.disk.fails, self.disk.fails_at_sync, self.disk.full = DISKS[how]

    def end(self, dice: Random, *, power: bool) -> None:
        """Take the process away."""
        if power:
            self.disk.power_cut(dice)
        else:
            self.disk.kill(dice)
        self.history = None

    def compare(self, history: History) -> None:
        """Hold what is found against what was recorded and acknowledged."""
        places = {record: index for index, record in enumerate(self.recorded)}
        transitions = list(history.transitions())
        assert all(record in places for record in transitions), "invented"
        found = [places[record] for record in transitions]
        assert found == sorted(set(found)), "mixed up"
        kept = [index for index in self.acked if index in found]
        if self.limits is ROOMY:
            assert kept == self.acked, "lost"
        assert kept == self.acked[len(self.acked) - len(kept) :], "lost, and older ones not"
        for image in "ab":
            acked = [index for index in self.acked if self.recorded[index].image == image]
            last = history.last(image)
            known = [(record.image, record.session, record.seq) for record in self.recorded]
            if acked:
                assert last is not None, "lost"
                assert (image, last.session, last.seq) in known[acked[-1] :], "lost from the summary"
        for summary in history.sessions():
            whose = [index for index, record in enumerate(self.recorded) if record.session == summary.session]
            of_image = [index for index in whose if self.recorded[index].image == summary.image]
            least = len([index for index in of_image if index in self.acked])
            assert least <= summary.transitions <= len(of_image), "miscounted"


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def walk(kind: type[VirtualDisk], seed: int) -> str:
    """Let the same happen at random, more of what matters than hypothesis would; return what is wrong."""
    dice = Random(seed)
    store = Store()
    store.kind = kind
    store.begin(crowded=dice.random() < 0.5)
    try:
        for _ in range(40):
            if store.history is None:
                if dice.random() < 0.8:
                    store.start()
                else:
                    store.die_while_starting(dice, dice.random() < 0.7)
                continue
            happening = dice.choices(("records", "disk", "death", "end"), (12, 4, 3, 1))[0]
            if happening == "records":
                store.record(dice.choice("ab"), dice.randint(1, 3))
                store.commit()
            elif happening == "disk":
                store.disk_changes(dice.choice(("works", "fails at syncs", *DISKS)), dice.randint(0, 400))
            elif happening == "death":
                store.die(dice, dice.random() < 0.7, dice.random() < 0.5)
            else:
                store.close()
    except AssertionError as exc:
        return str(exc)
    return ""


def test_nothing_acknowledged_is_lost_on_any_walk() -> None:
    """The true disk on all the walks that the disks below are caught on."""
    assert [walk(VirtualDisk, seed) for seed in range(WALKS)] == [""] * WALKS


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(NoSync, id="the journal is not synced"),
        pytest.param(no_sync_dir("journal"), id="the segment's name is not synced"),
        pytest.param(no_sync_dir("data"), id="the journal directory's name is not synced"),
        pytest.param(no_sync_dir("user"), id="the data directory's name is not synced"),
        pytest.param(UnorderedRemovals, id="removals are not synced one by one"),
        pytest.param(RetriedSync, id="a failed sync is tried again"),
    ],
)
def test_leaving_out_a_sync_loses_something_acknowledged(mutant: type[VirtualDisk]) -> None:
    """The same property, found false."""
    verdicts = (walk(mutant, seed) for seed in range(WALKS))
    assert any(verdict.startswith("lost") for verdict in verdicts)


def test_a_tree_tells_its_size() -> None:
    """Bytes of all files that have a name."""
    assert Tree.of(Medium({HOME / "a": b"12", HOME / "d" / "b": b"345"})).size() == 5
