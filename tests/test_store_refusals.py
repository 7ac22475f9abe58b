"""Disks that refuse: no false acknowledgement, nothing lost that fits, no failed handle trusted."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from journals import SMALL, Logging, Opened, written
from store.disk import RealDisk
from store.errors import DiskError, StoreFull, StoreReadOnly
from store.framing import (
    MAX_NUMBER,
    RECORD_BYTES,
    Header,
    encode_header,
    encode_record,
    seed_of,
)
from store.segments import MAX_GENERATION

if TYPE_CHECKING:
    pass


def test_a_handle_whose_sync_failed_is_never_used_again(tmp_path: Path) -> None:
    """The records go to a fresh segment with a checkpoint; nothing is replayed twice."""
    disk = Logging()
    opened = Opened(tmp_path, disk)
    opened.put(b"a")
    opened.state = [b"checkpoint"]
    opened.append(b"b")
    disk.log.clear()
    disk.refuse["sync"] = errno.EIO
    with pytest.raises(DiskError) as caught:
        opened.commit()
    assert (caught.value.errno, opened.pending) == (errno.EIO, 1)
    del disk.refuse["sync"]
    opened.append(b"c")
    opened.commit()
    used = disk.calls("write", "sync")
    assert used[:2] == [("write", "00000001.journal"), ("sync", "00000001.journal")]
    assert "00000001.journal" not in dict(reversed(used[2:])).values()
    assert opened.pending == 0
    assert opened.trouble is caught.value
    assert list(opened.payloads()) == [b"a", b"b", b"c", b"checkpoint"]
    opened.close()
    assert Opened(tmp_path).replayed == [b"a", b"b", b"c", b"checkpoint"]


def test_one_failed_sync_is_survived_within_the_same_commit(tmp_path: Path) -> None:
    """The caller gets its acknowledgement, and can see that there was trouble."""

    class OnceBad(RealDisk):
        bad = False

        def sync(self, handle: int) -> None:
            if self.bad:
                self.bad = False
                raise OSError(errno.EIO, "once")
            super().sync(handle)

    disk = OnceBad()
    opened = Opened(tmp_path, disk)
    opened.put(b"a")
    disk.bad = True
    opened.put(b"b")
    assert opened.trouble is not None
    opened.put(b"c")
    opened.close()
    assert Opened(tmp_path).replayed == [b"a", b"b", b"c"]


@pytest.mark.parametrize("call", ["create", "write", "sync", "sync_dir", "lock", "mkdir", "listing"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_refusals_keep_the_records_until_they_end(tmp_path: Path, call: str, code: int) -> None:
    """No acknowledgement, no loss, no heap of left-over files; then everything in order."""
    written(tmp_path, [b"old"])
    disk = Logging()
    opened = Opened(tmp_path, disk)
    disk.refuse[call] = code
    for payload in (b"a", b"b", b"c"):
        opened.append(payload)
        if call == "mkdir":  # the directory is there already: nothing is asked of it
            shutil.rmtree(tmp_path / "journal", ignore_errors=True)
        with pytest.raises(DiskError) as caught:
            opened.commit()
        assert caught.value.errno == code
        assert caught.value.advice
    assert opened.pending == 3
    disk.refuse.clear()
    assert len(list((tmp_path / "journal").glob("*"))) <= 1
    opened.commit()
    assert opened.pending == 0
    opened.close()
    assert Opened(tmp_path).replayed[-3:] == [b"a", b"b", b"c"]


def test_left_overs_that_cannot_be_removed_are_superseded(tmp_path: Path) -> None:
    """A disk that neither syncs nor unlinks leaves whole copies behind; each record is replayed once."""
    disk = Logging()
    opened = Opened(tmp_path, disk)
    disk.refuse |= {"sync": errno.EIO, "unlink": errno.EIO}
    opened.append(b"a")
    for _ in range(3):
        with pytest.raises(DiskError):
            opened.commit()
    disk.refuse.clear()
    opened.put(b"b")
    opened.close()
    assert len(list((tmp_path / "journal").iterdir())) > 1
    assert Opened(tmp_path).replayed == [b"a", b"b"]


def test_what_waits_is_bounded_and_the_newest_survives(tmp_path: Path) -> None:
    """The oldest is given up, and counted; never silently, never the record just made."""
    disk = Logging()
    limits = replace(SMALL, pending_bytes=10 * (RECORD_BYTES + 4))
    opened = Opened(tmp_path, disk, limits=limits)
    disk.refuse["write"] = errno.ENOSPC
    for n in range(50):
        opened.append(b"%04d" % n)
        if n % 7 == 0:
            with pytest.raises(StoreFull):
                opened.commit()
    assert (opened.pending, opened.lost) == (10, 40)
    disk.refuse.clear()
    opened.put(b"x" * 2000)
    assert opened.lost == 50
    opened.close()
    assert Opened(tmp_path).replayed == [b"x" * 2000]


def test_the_reserve_lets_the_news_of_a_full_disk_be_written(tmp_path: Path) -> None:
    """At ENOSPC the space set aside is given back, and the same commit tries once more."""

    class Full(RealDisk):
        full = False

        def write(self, handle: int, data: bytes | memoryview) -> int:
            if self.full and (tmp_path / "reserve").exists():
                raise OSError(errno.ENOSPC, "full")
            return super().write(handle, data)

    disk = Full()
    opened = Opened(tmp_path, disk)
    assert (tmp_path / "reserve").stat().st_size > 60_000
    opened.put(b"a")
    disk.full = True
    opened.put(b"the disk is full")
    assert isinstance(opened.trouble, StoreFull)
    assert not (tmp_path / "reserve").exists()
    opened.close()
    disk.full = False
    assert Opened(tmp_path).replayed == [b"a", b"the disk is full"]
    assert (tmp_path / "reserve").exists()


def test_a_full_disk_does_not_need_room_for_a_checkpoint(tmp_path: Path) -> None:
    """Where each byte counts, only what waits is written."""

    class Tight(RealDisk):
        room = 10_000

        def write(self, handle: int, data: bytes | memoryview) -> int:
            if len(data) > self.room:
                raise OSError(errno.ENOSPC, "full")
            return super().write(handle, data)

    disk = Tight()
    opened = Opened(tmp_path, disk, limits=SMALL)
    opened.state = [b"c" * 500]
    for n in range(12):
        opened.put(b"%d" % n + b"x" * 500)  # crowds the directory
    disk.room = 600
    for n in range(12, 20):
        opened.put(b"%d" % n + b"x" * 500)
    opened.close()


def test_a_file_system_without_locks_is_refused(tmp_path: Path) -> None:
    """Without a lock others would take our segment for a dead writer's: better not durable, and told."""
    disk = Logging()
    disk.refuse["lock"] = errno.ENOLCK
    opened = Opened(tmp_path, disk)
    opened.append(b"a")
    with pytest.raises(DiskError, match="no file locks"):
        opened.commit()


@pytest.mark.parametrize("made_by_us", [False, True])
def test_a_parent_that_cannot_be_synced_matters_only_for_a_directory_of_ours(
    tmp_path: Path, *, made_by_us: bool
) -> None:
    """Who made the data directory answers for its name; one we made is not durable until that is."""

    class Closed(RealDisk):
        def sync_dir(self, path: Path) -> None:
            if path == tmp_path:
                raise PermissionError(errno.EACCES, "closed to us", str(path))
            super().sync_dir(path)

    if not made_by_us:
        (tmp_path / "data").mkdir()
    opened = Opened(tmp_path / "data", Closed())
    opened.append(b"a")
    if made_by_us:
        with pytest.raises(StoreReadOnly):
            opened.commit()
    else:
        opened.commit()
        assert opened.pending == 0


def test_an_interrupt_between_write_and_sync_writes_nothing_twice(tmp_path: Path) -> None:
    """How much of it reached the file is unknown, so the file is left; the record is replayed once."""

    class Interrupted(RealDisk):
        pending = False

        def sync(self, handle: int) -> None:
            if self.pending:
                self.pending = False
                raise KeyboardInterrupt
            super().sync(handle)

    disk = Interrupted()
    opened = Opened(tmp_path, disk)
    opened.put(b"a")
    disk.pending = True
    opened.append(b"b")
    with pytest.raises(KeyboardInterrupt):
        opened.commit()
    assert opened.pending == 1
    opened.commit()
    assert opened.pending == 0
    opened.close()
    assert Opened(tmp_path).replayed == [b"a", b"b"]


def test_numbers_never_run_over(tmp_path: Path) -> None:
    """At the last sequence number or generation that could be read back, writing is refused."""
    (tmp_path / "journal").mkdir()
    last = encode_header(Header(5, 1, MAX_NUMBER)) + encode_record(seed_of(5), MAX_NUMBER, b"last")
    (tmp_path / "journal" / "00000005.journal").write_bytes(last)
    opened = Opened(tmp_path)
    assert opened.replayed == [b"last"]
    with pytest.raises(DiskError) as caught:
        opened.append(b"x")
    assert caught.value.errno == errno.EOVERFLOW
    (tmp_path / "journal" / "00000005.journal").unlink()
    (tmp_path / "journal" / f"{MAX_GENERATION}.journal").write_bytes(b"")
    opened = Opened(tmp_path)
    opened.append(b"x")
    with pytest.raises(DiskError) as caught:
        opened.commit()
    assert caught.value.errno == errno.EOVERFLOW
