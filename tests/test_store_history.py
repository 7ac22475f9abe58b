"""What the runtime relies on: recorded, committed, restored; cheaply, from any thread, for many images."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
import pytest

import store
from store import History, RealDisk, RecordTooLarge, StoreClosed, StoreReadOnly, TransitionRecord
from store.codec import MAX_RECORD_BYTES
from store.limits import Limits

ROOT = Path(__file__).resolve().parent.parent
BASE = TransitionRecord(
    image="10.0.0.2:5555",
    endpoint="tcp://10.0.0.2:5555",
    session="5e55" * 8,
    seq=1,
    at=1000.0,
    source="Fresh",
    trigger="answered",
    target="Connected",
    reason="the image answered",
    identity="image-1",
    dialect="stui-1",
)


def made(seq: int, **changes: Any) -> TransitionRecord:
    """Return a transition."""
    return replace(BASE, seq=seq, at=1000.0 + seq, **changes)


def segment(data_dir: Path, number: int = 1) -> Path:
    """Return a segment's file."""
    return data_dir / "journal" / f"{number:08d}.journal"


class Counting(RealDisk):
    """Counts writes and syncs."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def write(self, handle: int, data: bytes | memoryview) -> int:
        self.calls["write"] += 1
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        self.calls["sync"] += 1
        super().sync(handle)

    def sync_dir(self, path: Path) -> None:
        self.calls["sync_dir"] += 1
        super().sync_dir(path)


def test_a_restart_restores_everything(tmp_path: Path) -> None:
    """Sessions, numbers and every transition, field by field."""
    records = [
        made(1),
        made(2, target="Reconnecting", detail="no carrier"),
        made(1, image="b:1", session="bb"),
    ]
    with History.open(tmp_path) as history:
        for record in records:
            history.record(record)
        assert history.pending == 3
        history.commit()
        assert history.pending == 0
        before = history.sessions()
    with History.open(tmp_path) as again:
        assert again.sessions() == before
        assert list(again.transitions()) == records
        assert list(again.transitions("b:1")) == records[2:]
        assert list(again.transitions("unknown")) == []
        assert [again.next_seq(image) for image in ("10.0.0.2:5555", "b:1", "unknown")] == [3, 2, 1]
        last = again.last("10.0.0.2:5555")
        assert last is not None
        assert (last.state, last.seq, last.transitions, last.connected_at) == ("Reconnecting", 2, 2, 1001.0)
        assert again.last("unknown") is None
        assert (again.receipt.segments, again.receipt.records, again.receipt.skipped) == (1, 3, 0)
        assert (again.receipt.oldest_seq, again.receipt.dropped.segments) == (1, 0)


def test_what_is_recorded_is_known_at_once_and_on_disk_after_the_commit(tmp_path: Path) -> None:
    """Recording does no I/O; the transitions on disk are the committed ones."""
    disk = Counting()
    history = History.open(tmp_path, disk=disk)
    disk.calls.clear()
    history.record(made(1))
    assert disk.calls == Counter()
    assert history.last(BASE.image) is not None
    assert history.next_seq(BASE.image) == 2
    assert list(history.transitions()) == []
    history.commit()
    assert list(history.transitions()) == [made(1)]
    history.close()


def test_a_thousand_images_are_committed_with_one_write_and_one_sync(tmp_path: Path) -> None:
    """Also when it is the first commit of a new segment, apart from its directories' syncs."""
    disk = Counting()
    history = History.open(tmp_path, disk=disk)
    for seq in (1, 2):
        disk.calls.clear()
        for n in range(1000):
            history.record(made(seq, image=f"10.0.{n // 250}.{n % 250}:5555"))
        history.commit()
        assert (disk.calls["write"], disk.calls["sync"]) == (1, 1)
    history.close()
    again = History.open(tmp_path)
    assert len(again.sessions()) == 1000
    assert {summary.seq for summary in again.sessions()} == {2}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Directories 0700 and files 0600, quarantine and reserve included."""
    with History.open(tmp_path / "data") as history:
        history.record(made(1))
    with segment(tmp_path / "data").open("ab") as file:
        file.write(b"torn")
    History.open(tmp_path / "data").close()
    found = sorted((tmp_path / "data").rglob("*"))
    assert {path.name for path in found} >= {"journal", "quarantine", "reserve", "00000001.journal"}
    for path in (tmp_path / "data", *found):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_payloads_of_others_are_counted_passed_over_and_kept(tmp_path: Path) -> None:
    """Later programs' records and fields stay on disk byte for byte; one bad payload costs only itself."""
    history = History.open(tmp_path)
    foreign = [b"not json", b'{"v":2,"k":"t","image":"a"}', b'{"v":1,"k":"new kind"}']
    history.record(made(1))
    for payload in foreign:
        history._journal.append(payload)
    extended = json.dumps({"v": 1, "k": "t", "mood": "fine", **_fields(made(2))}).encode()
    history._journal.append(extended)
    history.close()
    before = segment(tmp_path).read_bytes()
    again = History.open(tmp_path)
    assert list(again.transitions()) == [made(1), made(2)]
    assert (again.receipt.records, again.receipt.skipped) == (5, 3)
    again.record(made(3))
    again.close()
    assert segment(tmp_path).read_bytes() == before
    assert all(payload in before for payload in (*foreign, extended))


def _fields(record: TransitionRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_the_receipt_tells_what_opening_met(tmp_path: Path) -> None:
    """Torn, damaged and too new, each by its file; and the numbers behind damage are not given twice."""
    for _ in range(4):
        with History.open(tmp_path) as history:
            for _ in range(2):
                history.record(made(history.next_seq(BASE.image)))
                history.commit()
    damaged, torn, newer = segment(tmp_path, 4), segment(tmp_path, 2), segment(tmp_path, 3)
    data = bytearray(damaged.read_bytes())
    data[data.index(b"Connected")] ^= 1
    damaged.write_bytes(data)
    torn.write_bytes(torn.read_bytes()[:-1])
    newer.write_bytes(newer.read_bytes().replace(b"\x01\x00", b"\x02\x00", 1))
    with History.open(tmp_path) as history:
        receipt = history.receipt
        assert [found.segment for found in receipt.quarantined] == [torn]
        assert [found.segment for found in receipt.damaged] == [damaged]
        assert receipt.too_new == (newer,)
        assert [record.seq for record in history.transitions()] == [1, 2, 3]
        assert history.next_seq(BASE.image) == 9


def test_read_only_changes_nothing_and_says_so(tmp_path: Path) -> None:
    """Everything can be looked at; recording names the mistake."""
    with History.open(tmp_path) as history:
        history.record(made(1))
    before = sorted(tmp_path.rglob("*"))
    with History.open(tmp_path, read_only=True) as history:
        assert list(history.transitions()) == [made(1)]
        with pytest.raises(StoreReadOnly):
            history.record(made(2))
        assert history.next_seq(BASE.image) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_refused_records_leave_no_trace(tmp_path: Path) -> None:
    """Too large, not to be read back, or after closing: nothing is buffered and no summary knows of it."""
    history = History.open(tmp_path)
    with pytest.raises(RecordTooLarge):
        history.record(made(1, detail="x" * MAX_RECORD_BYTES))
    with pytest.raises(ValueError, match="finite"):
        history.record(replace(BASE, at=float("nan")))
    assert (history.pending, history.sessions()) == (0, [])
    history.record(made(1))
    history.close()
    with pytest.raises(StoreClosed):
        history.record(made(2))
    with pytest.raises(StoreClosed):
        history.commit()
    assert [summary.seq for summary in history.sessions()] == [1]


def test_summaries_outlive_the_transitions_they_stand_for(tmp_path: Path) -> None:
    """When old segments are dropped, every image's session, count and number is still restored."""
    limits = Limits(segment_bytes=4000, crowded_bytes=30_000, relaxed_bytes=15_000, reserve_bytes=0)
    history = History.open(tmp_path, limits=limits)
    history.record(made(41, image="quiet:1"))
    for seq in range(1, 400):
        history.record(made(seq, target="Reconnecting" if seq % 2 else "Connected", source="Reconnecting"))
        if seq % 5 == 0:
            history.commit()
    history.close()
    assert history.receipt.dropped.segments > 0
    again = History.open(tmp_path)
    assert list(again.transitions("quiet:1")) == []
    assert again.sessions() == history.sessions()
    assert again.next_seq("quiet:1") == 42
    assert again.receipt.oldest_seq == history.receipt.oldest_seq
    assert (again.receipt.oldest_seq or 0) > history.receipt.dropped.records


def test_sessions_that_a_checkpoint_has_no_room_for_are_counted(tmp_path: Path) -> None:
    """With texts too long to keep every image's last state, the newest are kept and the rest is told."""
    limits = Limits(
        segment_bytes=4000, crowded_bytes=20_000, relaxed_bytes=8000, checkpoint_bytes=2000, reserve_bytes=0
    )
    history = History.open(tmp_path, limits=limits)
    for seq in range(1, 150):
        history.record(made(seq, image=f"i:{seq % 30}", session=str(seq % 30)))
        history.commit()
    history.close()
    assert history.receipt.dropped.segments > 0
    assert 0 < history.receipt.forgotten < 30
    again = History.open(tmp_path)
    assert len(again.sessions()) >= 30 - history.receipt.forgotten
    assert again.last(f"i:{149 % 30}") == history.last(f"i:{149 % 30}")


def test_two_histories_record_the_same_image_at_once(tmp_path: Path) -> None:
    """Each writes its own segment; both stay readable, in order of segment, then position."""
    one, two = History.open(tmp_path), History.open(tmp_path)
    one.record(made(1, session="one"))
    one.commit()
    two.record(made(1, session="two"))
    two.commit()
    one.record(made(2, session="one"))
    one.commit()
    two.close()
    one.close()
    again = History.open(tmp_path)
    assert [(r.session, r.seq) for r in again.transitions()] == [("one", 1), ("one", 2), ("two", 1)]
    last = again.last(BASE.image)
    assert last is not None
    assert (last.session, last.seq) == ("one", 2)
    assert again.next_seq(BASE.image) == 3


def test_one_thread_records_while_another_commits(tmp_path: Path) -> None:
    """The loop records, a writer thread commits: nothing lost, nothing twice, and checkpoints agree."""
    limits = Limits(segment_bytes=20_000, crowded_bytes=120_000, relaxed_bytes=60_000, reserve_bytes=0)
    history = History.open(tmp_path, limits=limits)
    done = threading.Event()

    def writer() -> None:
        while not done.is_set():
            history.commit()

    thread = threading.Thread(target=writer)
    thread.start()
    total = 2000
    for seq in range(1, total + 1):
        history.record(made(seq, image=f"i:{seq % 3}"))
        while history.pending > 50:  # so that both really take turns
            history.sessions()
    done.set()
    thread.join(60)
    history.close()
    assert history.receipt.dropped.segments > 0
    again = History.open(tmp_path)
    assert sorted(again.sessions(), key=lambda each: each.image) == sorted(
        history.sessions(), key=lambda each: each.image
    )
    assert sum(summary.transitions for summary in again.sessions()) == total
    kept = [record.seq for record in again.transitions()]
    assert kept == list(range(total - len(kept) + 1, total + 1))


def test_importing_the_store_is_cheap(tmp_path: Path) -> None:
    """Neither pydantic nor platformdirs is loaded before they are needed; writing never needs pydantic."""
    program = (
        "import sys, pathlib, store; from store import History, TransitionRecord\n"
        "history = History.open(pathlib.Path(sys.argv[1]))\n"
        "history.record(TransitionRecord('i', 'e', 's', 1, 0.0, 'a', 'b', 'c', 'd')); history.close()\n"
        "late = ('pydantic', 'platformdirs', 'machines', 'resilience')\n"
        "print([name for name in late if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_default_directory_is_the_platforms() -> None:
    """One directory per user, where the platform keeps such data."""
    assert store.default_data_dir() == Path(platformdirs.user_data_dir("resilience"))


def test_every_public_name_is_there() -> None:
    """What the package says it offers can be had from it."""
    assert all(hasattr(store, name) for name in store.__all__)
    assert store.__all__ == sorted(store.__all__)
