"""The journal stays small: rotation, and removal of what a checkpoint stands for."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from journals import SMALL, Logging, Opened, written
from store.disk import RealDisk
from store.framing import (
    HEADER_BYTES,
    MAGIC,
    RECORD_BYTES,
)
from store.limits import Limits
from store.segments import Shelf

if TYPE_CHECKING:
    pass


def test_segments_rotate(tmp_path: Path) -> None:
    """A segment takes no more than its size, unless one commit alone is larger."""
    opened = Opened(tmp_path, limits=SMALL)
    for n in range(20):
        opened.put(b"%02d" % n + b"x" * 200)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "journal").iterdir())]
    assert len(sizes) > 3
    assert max(sizes) <= SMALL.segment_bytes
    assert [payload[:2] for payload in opened.payloads()] == [b"%02d" % n for n in range(20)]
    opened.put(*[b"y" * 500] * 5)
    opened.close()
    assert len(Opened(tmp_path).replayed) == 25


def test_the_default_limits_keep_the_journal_below_four_mebibytes(tmp_path: Path) -> None:
    """Measured after every commit, with the largest batches and checkpoints that are allowed."""
    opened = Opened(tmp_path)
    limits = Limits()
    opened.state = [b"s" * 1004] * (limits.checkpoint_bytes // 1024)
    peak = 0
    for n in range(40):
        count = limits.pending_bytes // 1024 if n % 4 == 3 else 50
        opened.put(*[b"p" * 1004] * count)
        peak = max(peak, sum(path.stat().st_size for path in (tmp_path / "journal").iterdir()))
    assert limits.crowded_bytes < peak < 4 * 1024 * 1024
    assert opened.dropped.segments > 0
    assert opened.lost == 0
    opened.close()


def test_old_segments_go_only_after_a_durable_checkpoint(tmp_path: Path) -> None:
    """The order on disk: write with checkpoint, sync, sync the directory, then unlink; told afterwards."""
    disk = Logging()
    opened = Opened(tmp_path, disk, limits=SMALL)
    opened.state = [b"checkpoint"]
    n = 0
    while opened.dropped.segments == 0:
        disk.log.clear()
        opened.put(b"%03d" % n + b"x" * 200)
        n += 1
    order = [call for call, _ in disk.log if call in ("write", "sync", "sync_dir", "unlink")]
    assert order[:3] == ["write", "sync", "sync_dir"]
    assert order[3:] == ["unlink", "sync_dir"] * (len(order[3:]) // 2) + ["unlink"]
    dropped = opened.dropped
    kept = list(opened.payloads())
    assert kept[-1] == b"checkpoint"
    assert dropped.records + len(kept) == n + 1
    assert opened.oldest_seq == dropped.records + 1
    opened.close()
    again = Opened(tmp_path)
    assert again.replayed == kept
    assert again.oldest_seq == dropped.records + 1


def test_many_small_segments_are_thinned_too(tmp_path: Path) -> None:
    """A program started a thousand times does not leave a thousand segments."""
    for n in range(60):
        opened = Opened(tmp_path, limits=SMALL)
        opened.state = [b"checkpoint"]
        opened.put(b"%d" % n)
        opened.close()
        assert len(list((tmp_path / "journal").iterdir())) <= SMALL.crowded_segments + 1
    assert Opened(tmp_path).replayed[-1] == b"59"


def test_what_others_wrote_meanwhile_is_replayed_before_it_is_dropped(tmp_path: Path) -> None:
    """A checkpoint stands for other processes' segments too; those of living writers stay."""
    opened = Opened(tmp_path, limits=SMALL)
    opened.put(b"mine")
    living = Opened(tmp_path, limits=SMALL)
    living.put(b"theirs, alive")
    dead = Opened(tmp_path, limits=SMALL)
    dead.put(b"theirs, dead")
    dead.close()
    n = 0
    while opened.dropped.segments < 3:
        opened.put(b"%03d" % n + b"x" * 200)
        n += 1
    assert sorted(opened.replayed) == [b"theirs, alive", b"theirs, dead"]
    names = [path.name for path in (tmp_path / "journal").iterdir()]
    assert "00000002.journal" in names
    assert not {"00000001.journal", "00000003.journal"} & set(names)
    living.put(b"still here")
    living.close()
    assert b"still here" in Opened(tmp_path).replayed
    opened.close()


def test_damaged_and_later_versions_segments_are_never_dropped(tmp_path: Path) -> None:
    """They may be all that is left of something; they do not count against the limit either."""
    damaged = written(tmp_path, [b"a"], [b"b"])
    data = bytearray(damaged.read_bytes())
    data[HEADER_BYTES + RECORD_BYTES] ^= 1
    damaged.write_bytes(data)
    newer = tmp_path / "journal" / "00000002.journal"
    newer.write_bytes(MAGIC + b"\x09\x00" + b"x" * 20_000)
    opened = Opened(tmp_path, limits=SMALL)
    for n in range(40):
        opened.put(b"%03d" % n + b"x" * 200)
    assert opened.dropped.segments > 0
    assert damaged.exists()
    assert newer.exists()
    assert len(list(opened.payloads())) > SMALL.relaxed_bytes // 250
    opened.close()


def test_a_torn_tail_that_nobody_could_copy_is_not_dropped_with_its_segment(tmp_path: Path) -> None:
    """Neither are records that somebody added after the checkpoint was made."""
    torn = written(tmp_path, [b"a"])
    torn.write_bytes(torn.read_bytes() + b"torn")
    (tmp_path / "quarantine").write_bytes(b"a file in the way")
    opened = Opened(tmp_path, limits=SMALL)
    for n in range(40):
        opened.put(b"%03d" % n + b"x" * 200)
    assert opened.dropped.segments > 0
    assert torn.exists()
    shelf = Shelf(RealDisk(), tmp_path)
    assert not shelf.remove(1, torn.stat().st_size - 4)
    assert torn.exists()
    opened.close()


def test_removals_that_fail_take_no_acknowledgement_back(tmp_path: Path) -> None:
    """They are counted, and tried again."""
    disk = Logging()
    opened = Opened(tmp_path, disk, limits=SMALL)
    disk.refuse["unlink"] = errno.EIO
    for n in range(40):
        opened.put(b"%03d" % n + b"x" * 200)
    assert (opened.dropped.segments, opened.pending) == (0, 0)
    assert opened.dropped.failed > 0
    disk.refuse.clear()
    for n in range(5):
        opened.put(b"%03d" % n + b"x" * 200)
    assert opened.dropped.segments > 0
    opened.close()
