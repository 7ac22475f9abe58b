"""The journal: group commit, one order, one writer per segment, threads."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from journals import SMALL, Logging, Opened, written
from store.disk import RealDisk
from store.errors import DiskError, RecordTooLarge, StoreClosed, StoreReadOnly
from store.framing import (
    MAX_PAYLOAD_BYTES,
)

if TYPE_CHECKING:
    pass


def files(data_dir: Path) -> dict[str, bytes]:
    """Return every file under a directory."""
    paths = [path for path in data_dir.rglob("*") if path.is_file()]
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in paths}


def test_one_commit_is_one_write_and_one_sync(tmp_path: Path) -> None:
    """However many records wait; a new segment adds its directory's sync."""
    disk = Logging()
    opened = Opened(tmp_path / "data", disk, limits=SMALL)
    disk.log.clear()
    opened.put(*[b"%d" % n for n in range(20)])
    assert disk.calls("write", "sync", "sync_dir") == [
        ("write", "00000001.journal"),
        ("sync", "00000001.journal"),
        ("sync_dir", tmp_path.parent.name),  # its maker may have been killed before it did this
        ("sync_dir", tmp_path.name),
        ("sync_dir", "data"),
        ("sync_dir", "journal"),
    ]
    disk.log.clear()
    opened.put(b"a", b"b")
    assert disk.log == [("write", "00000001.journal"), ("sync", "00000001.journal")]
    disk.log.clear()
    opened.commit()
    assert disk.log == []


def test_what_was_committed_is_replayed_in_order(tmp_path: Path) -> None:
    """Numbers go on where the last process stopped, and each process writes its own segment."""
    first = Opened(tmp_path)
    assert [first.append(payload) for payload in (b"a", b"b")] == [1, 2]
    first.close()
    second = Opened(tmp_path)
    assert second.replayed == [b"a", b"b"]
    assert second.append(b"c") == 3
    second.commit()
    assert list(second.payloads()) == [b"a", b"b", b"c"]
    assert sorted(files(tmp_path / "journal")) == ["00000001.journal", "00000002.journal"]
    second.close()


def test_appending_alone_touches_no_disk_and_closing_commits(tmp_path: Path) -> None:
    """What is buffered is lost with the process, and saved by an orderly end."""
    disk = Logging()
    opened = Opened(tmp_path, disk)
    disk.log.clear()
    opened.append(b"a")
    assert (disk.log, opened.pending) == ([], 1)
    opened.close()
    opened.close()
    assert opened.pending == 0
    assert Opened(tmp_path).replayed == [b"a"]


def test_closed_or_read_only_journals_take_nothing(tmp_path: Path) -> None:
    """Each says which it is; a reader changes nothing on disk, not even a torn tail."""
    segment = written(tmp_path, [b"a"])
    segment.write_bytes(segment.read_bytes() + b"torn")
    before = files(tmp_path)
    reader = Opened(tmp_path, read_only=True)
    assert reader.replayed == [b"a"]
    assert list(reader.reader.torn.values()) == [segment]
    with pytest.raises(StoreReadOnly):
        reader.append(b"b")
    with pytest.raises(StoreReadOnly):
        reader.commit()
    reader.close()
    with pytest.raises(StoreClosed):
        reader.append(b"b")
    assert files(tmp_path) == before


def test_a_payload_too_large_is_refused_before_it_is_buffered(tmp_path: Path) -> None:
    """The limit itself is accepted."""
    opened = Opened(tmp_path)
    with pytest.raises(RecordTooLarge):
        opened.append(b"x" * (MAX_PAYLOAD_BYTES + 1))
    assert opened.pending == 0
    opened.put(b"x" * MAX_PAYLOAD_BYTES)
    opened.close()
    assert Opened(tmp_path).replayed == [b"x" * MAX_PAYLOAD_BYTES]


class Gate(RealDisk):
    """Lets a sync begin, and end only when told."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.syncs = 0

    def sync(self, handle: int) -> None:
        self.syncs += 1
        self.began.set()
        assert self.may_end.wait(30)
        super().sync(handle)


def test_appending_does_not_wait_for_a_commit_and_commits_share_a_sync(tmp_path: Path) -> None:
    """While one thread syncs, others append at once; all who wait then are served by one more sync."""
    disk = Gate()
    opened = Opened(tmp_path, disk)
    opened.append(b"first")
    threads = [threading.Thread(target=opened.commit)]
    threads[0].start()
    assert disk.began.wait(30)
    for n in range(8):
        opened.append(b"%d" % n)
        threads.append(threading.Thread(target=opened.commit))
        threads[-1].start()
    assert opened.pending == 9
    disk.may_end.set()
    for thread in threads:
        thread.join(30)
    assert (disk.syncs, opened.pending) == (2, 0)
    opened.close()
    assert Opened(tmp_path).replayed == [b"first", *[b"%d" % n for n in range(8)]]


def test_threads_appending_and_committing_lose_and_mix_nothing(tmp_path: Path) -> None:
    """Each thread's records are replayed in its order, all of them, once."""
    opened = Opened(tmp_path, limits=replace(SMALL, crowded_bytes=10**9, crowded_segments=10**6))

    def work(name: int) -> None:
        for n in range(100):
            opened.append(b"%d:%d" % (name, n))
            if n % 10 == name:
                opened.commit()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    opened.close()
    replayed = Opened(tmp_path).replayed
    for name in range(4):
        mine = [payload for payload in replayed if payload.startswith(b"%d:" % name)]
        assert mine == [b"%d:%d" % (name, n) for n in range(100)]


def test_a_lost_race_for_a_name_costs_a_name(tmp_path: Path) -> None:
    """Somebody makes the file first, or locks it, or removes it between making and locking."""

    class Racing(RealDisk):
        races = 4  # one for the reserve

        def create(self, path: Path) -> int:
            self.races -= 1
            if self.races == 2:
                path.write_bytes(b"")
            handle = super().create(path)
            if self.races == 1:
                path.unlink()
            return handle

        def lock(self, handle: int) -> bool:
            return self.races != 0 and super().lock(handle)

    opened = Opened(tmp_path, Racing())
    opened.put(b"a")
    assert (tmp_path / "journal" / "00000004.journal").stat().st_size > 0
    opened.close()
    assert Opened(tmp_path).replayed == [b"a"]


def test_losing_every_race_is_an_error_not_a_hang(tmp_path: Path) -> None:
    """Bounded tries."""

    class Hopeless(RealDisk):
        def create(self, path: Path) -> int:
            raise FileExistsError(errno.EEXIST, "taken", str(path))

    opened = Opened(tmp_path, Hopeless())
    opened.append(b"a")
    with pytest.raises(DiskError):
        opened.commit()
