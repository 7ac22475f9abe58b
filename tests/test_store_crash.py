"""Power cuts, enumerated: every state a disk may be in after one still restores what was acknowledged.

The real store runs on a disk in memory that logs each call. From the log follow the states the medium may
be in (`crash_states`). In each of them the real store is opened again and judged.

A checker is only worth what it can catch: the same enumeration, with one sync left out, must fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from careless_disks import NoSync, OnlyOwnSyncs, RetriedSync, UnorderedRemovals, no_sync_dir
from crash_states import DATA, Killed, RecordingDisk, holed, media, recording
from simulations.virtual.disk import VirtualDisk
from simulations.virtual.medium import Call, Medium
from store import History, Limits, SessionSummary, TransitionRecord
from store.ledger import Ledger

LIMITS = Limits(
    segment_bytes=700,
    crowded_bytes=1500,
    relaxed_bytes=900,
    crowded_segments=50,
    relaxed_segments=40,
    reserve_bytes=0,
)
BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r")


# The judge


def expectations(records: list[TransitionRecord]) -> list[set[SessionSummary]]:
    """Return the summaries after each number of records."""
    ledger = Ledger()
    expected: list[set[SessionSummary]] = [set()]
    for record in records:
        ledger.fold(record)
        expected.append(set(ledger.sessions()))
    return expected


def missing(before: Medium, after: Medium) -> str:
    """Say which bytes of the journal are neither in it nor in the quarantine after a recovery."""
    kept = [content for path, content in after.files.items() if path.parent.name == "quarantine"]
    for path, content in before.files.items():
        left = after.files.get(path, b"")
        gone = content[len(left) :]
        if path.parent.name == "journal" and not (content.startswith(left) and (not gone or gone in kept)):
            return f"bytes of {path} are gone"
    return ""


class Judge:
    """Says what is wrong with a medium, given what was recorded in this order."""

    def __init__(self, records: list[TransitionRecord]) -> None:
        self.records = records
        self.expected = expectations(records)

    def verdict(self, acked: int, medium: Medium) -> str:
        """Return the first fault, or nothing."""
        disk = VirtualDisk(medium)
        with History.open(DATA, disk=disk, limits=LIMITS) as history:
            found = list(history.transitions())
            summaries = set(history.sessions())
            damaged = history.receipt.damaged
        # Summaries as after some number of records, all acknowledged ones among them.
        if summaries not in self.expected[acked:]:
            return f"after {acked} acknowledged: {summaries}"
        count = acked + self.expected[acked:].index(summaries)
        if found != self.records[count - len(found) : count]:
            return f"not a run of what was recorded: {found}"
        if damaged:
            return f"called damaged: {damaged}"
        after = disk.medium()
        if after == medium:
            return ""
        again = VirtualDisk(after)
        with History.open(DATA, disk=again, limits=LIMITS) as history:
            same = (set(history.sessions()), list(history.transitions())) == (summaries, found)
        return missing(medium, after) or (
            "" if same and again.medium() == after else "a second opening differs"
        )

    def verdicts(self, disk: RecordingDisk, step: int = 1) -> Iterator[str]:
        """Judge every medium that the log may leave."""
        return (self.verdict(acked, medium) for acked, medium in media(disk, step))


# Workloads


class Session:
    """Runs histories on one disk, and remembers what they recorded."""

    def __init__(self, disk: RecordingDisk) -> None:
        self.disk = disk
        self.records: list[TransitionRecord] = []

    def run(self, *batches: int) -> None:
        """Let one process commit batches of so many records, and be killed."""
        history = History.open(DATA, disk=self.disk, limits=LIMITS)
        for size in batches:
            for _ in range(size):
                image = "ab"[len(self.records) % 2]
                target = ("Connected", "Reconnecting")[len(self.records) % 3 > 0]
                record = replace(BASE, image=image, seq=history.next_seq(image), target=target)
                history.record(record)
                self.records.append(record)
            history.commit()
            self.disk.acknowledge(len(self.records))
        self.disk.kill()


def two_processes(disk: RecordingDisk) -> Session:
    """A first process that makes everything, and a second that finds it."""
    session = Session(disk)
    session.run(1, 2)
    session.run(1, 1)
    return session


def rotation_and_removal(disk: RecordingDisk) -> Session:
    """Long enough that segments rotate, a checkpoint is written and old segments go."""
    session = Session(disk)
    session.run(*[2] * 10)
    assert any(op.call is Call.UNLINK for op in disk.log)
    return session


def failed_syncs(disk: RecordingDisk) -> Session:
    """A sync fails on a segment that has acknowledged records; another on the fresh one's first write."""
    disk.fail_syncs = {1, 3}
    session = Session(disk)
    session.run(1, 1, 1, 1)
    assert disk.syncs > 4
    return session


def killed_before_a_sync(disk: RecordingDisk) -> Session:
    """One process dies between a write and its sync; another finds what it wrote, and builds on it."""
    disk.dies_at_sync = 1
    session = Session(disk)
    with pytest.raises(Killed):
        session.run(1, 1)
    disk.kill()
    session.run(1, 1)
    return session


# The longer workloads write the same kinds of records many times over: a step that shares no factor
# with their sizes meets every place within a record without meeting each of every record.
@pytest.mark.parametrize(
    ("workload", "step"),
    [(two_processes, 1), (rotation_and_removal, 3), (failed_syncs, 3), (killed_before_a_sync, 1)],
)
def test_every_acknowledged_transition_survives_every_power_cut(
    workload: Callable[[RecordingDisk], Session], step: int
) -> None:
    """In each state nothing acknowledged is missing, nothing is mixed or destroyed, and twice is once."""
    disk = RecordingDisk()
    verdicts = list(Judge(workload(disk).records).verdicts(disk, step))
    assert len(verdicts) > 500
    assert set(verdicts) == {""}


def test_a_write_that_arrives_back_to_front_harms_nothing_acknowledged() -> None:
    """With valid records behind the hole it cannot be told from damage: it is called that, and kept whole."""
    disk = RecordingDisk()
    judge = Judge(two_processes(disk).records)
    verdicts = {judge.verdict(acked, medium)[:14] for acked, medium in media(disk, 1, holed)}
    assert verdicts == {"", "called damaged"}


def torn_media() -> Iterator[tuple[int, Medium, Session]]:
    """Return media whose recovery has something to do."""
    disk = RecordingDisk()
    session = Session(disk)
    session.run(1, 2)
    for acked, medium in media(disk):
        if acked and len(max(medium.files.values(), key=len, default=b"")) % 37 == 0:
            yield acked, medium, session


def recovery(
    acked: int, medium: Medium, session: Session, kind: type[RecordingDisk]
) -> tuple[int, list[str]]:
    """Cut the power during and after the recovery of a medium; return media and faults."""
    disk = kind(medium)
    History.open(DATA, disk=disk, limits=LIMITS).close()
    judge = Judge(session.records)
    cuts = [cut for _, cut in media(disk)]
    faults = [judge.verdict(acked, cut) or missing(medium, cut) for cut in cuts]
    return len(cuts), [fault for fault in faults if fault]


def test_recovery_survives_power_cuts_of_its_own() -> None:
    """At each step of mending a torn tail: the acknowledged records, and the torn bytes, are all there."""
    total = 0
    for acked, medium, session in torn_media():
        count, faults = recovery(acked, medium, session, RecordingDisk)
        assert faults == []
        total += count
    assert total > 200


# Mutants


@pytest.mark.parametrize(
    ("mutant", "workload"),
    [
        pytest.param(NoSync, two_processes, id="segments are not synced"),
        pytest.param(no_sync_dir("journal"), two_processes, id="the segment's name is not synced"),
        pytest.param(no_sync_dir("data"), two_processes, id="the journal directory's name is not synced"),
        pytest.param(no_sync_dir("user"), two_processes, id="the data directory's name is not synced"),
        pytest.param(NoSync, rotation_and_removal, id="checkpoints are not synced"),
        pytest.param(no_sync_dir("journal"), rotation_and_removal, id="later segments' names are not synced"),
        pytest.param(UnorderedRemovals, rotation_and_removal, id="removals are not synced one by one"),
        pytest.param(RetriedSync, failed_syncs, id="a failed sync is tried again"),
        pytest.param(OnlyOwnSyncs, killed_before_a_sync, id="what a killed writer left is not synced"),
    ],
)
def test_leaving_out_one_sync_is_caught(
    mutant: type[VirtualDisk], workload: Callable[[RecordingDisk], Session]
) -> None:
    """The enumeration finds a lost acknowledgement for each sync that is missing."""
    disk = recording(mutant)()
    wanted = "not a run" if mutant is UnorderedRemovals else "acknowledged"
    assert any(wanted in verdict for verdict in Judge(workload(disk).records).verdicts(disk, 7))


@pytest.mark.parametrize("mutant", [NoSync, no_sync_dir("quarantine"), no_sync_dir("data")])
def test_leaving_out_one_sync_of_mending_is_caught(mutant: type[VirtualDisk]) -> None:
    """The torn bytes' copy must be durable, with its name and its directory's, before the tail is cut."""
    assert any(
        "are gone" in fault
        for acked, medium, session in torn_media()
        for fault in recovery(acked, medium, session, recording(mutant))[1]
    )
