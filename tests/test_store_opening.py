"""Opening: torn tails are mended, damage is kept, and whatever stands there is named."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from journals import SMALL, Logging, Opened, written
from store.disk import RealDisk
from store.errors import DiskError, StoreReadOnly, StoreUnreadable
from store.framing import (
    HEADER_BYTES,
    MAGIC,
    RECORD_BYTES,
    Header,
    encode_header,
    encode_record,
    seed_of,
)

if TYPE_CHECKING:
    pass


def files(data_dir: Path) -> dict[str, bytes]:
    """Return every file under a directory."""
    paths = [path for path in data_dir.rglob("*") if path.is_file()]
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in paths}


def test_a_torn_tail_is_copied_then_cut(tmp_path: Path) -> None:
    """The bytes go to the quarantine, named by where they were; another opening changes nothing."""
    segment = written(tmp_path, [b"a", b"b"])
    whole = segment.read_bytes()
    segment.write_bytes(whole + b"half a rec")
    opened = Opened(tmp_path)
    assert opened.replayed == [b"a", b"b"]
    [found] = opened.reader.quarantined
    assert (found.segment, found.offset, found.size) == (segment, len(whole), 10)
    assert found.copy == tmp_path / "quarantine" / f"00000001-{len(whole)}-1.bytes"
    assert found.copy.read_bytes() == b"half a rec"
    assert segment.read_bytes() == whole
    after = files(tmp_path)
    again = Opened(tmp_path)
    assert (again.replayed, again.reader.quarantined) == ([b"a", b"b"], [])
    assert files(tmp_path) == after


def test_the_copy_is_durable_before_the_tail_is_cut(tmp_path: Path) -> None:
    """At no point are the bytes nowhere on the medium."""
    segment = written(tmp_path, [b"a"])
    segment.write_bytes(segment.read_bytes() + b"torn")
    disk = Logging()
    Opened(tmp_path, disk, limits=SMALL)
    copy = f"00000001-{segment.stat().st_size}-1"
    assert disk.calls("write", "sync", "rename", "sync_dir", "truncate") == [
        ("sync_dir", tmp_path.parent.name),
        ("sync_dir", tmp_path.name),
        ("write", f"{copy}.part"),
        ("sync", f"{copy}.part"),
        ("rename", f"{copy}.part"),
        ("sync_dir", "quarantine"),
        ("truncate", "00000001.journal"),
        ("sync", "00000001.journal"),
    ]


def test_a_copy_from_an_interrupted_mending_is_used_and_none_is_overwritten(tmp_path: Path) -> None:
    """Equal bytes are not copied twice; others at the same place get the next number; half a copy goes."""
    segment = written(tmp_path, [b"a"])
    whole = segment.read_bytes()
    quarantine = tmp_path / "quarantine"
    quarantine.mkdir()
    name = f"00000001-{len(whole)}"
    (quarantine / f"{name}-1.bytes").write_bytes(b"other")
    (quarantine / f"{name}-3.bytes").write_bytes(b"else")
    (quarantine / f"{name}-2.part").write_bytes(b"to")
    for _ in range(2):
        segment.write_bytes(whole + b"torn")
        assert [found.size for found in Opened(tmp_path).reader.quarantined] == [4]
    assert {path.name: path.read_bytes() for path in quarantine.iterdir()} == {
        f"{name}-1.bytes": b"other",
        f"{name}-2.bytes": b"torn",
        f"{name}-3.bytes": b"else",
    }


def test_without_a_copy_there_is_no_cut(tmp_path: Path) -> None:
    """A quarantine that cannot be written leaves the tail where it is, told, and everything else works."""
    segment = written(tmp_path, [b"a"])
    segment.write_bytes(segment.read_bytes() + b"torn")
    (tmp_path / "quarantine").write_bytes(b"a file in the way")
    before = segment.read_bytes()
    opened = Opened(tmp_path)
    assert (opened.replayed, list(opened.reader.torn.values())) == ([b"a"], [segment])
    opened.put(b"b")
    opened.close()
    assert segment.read_bytes() == before
    assert Opened(tmp_path).replayed == [b"a", b"b"]


def test_a_header_cut_short_makes_a_segment_that_does_not_count(tmp_path: Path) -> None:
    """Nothing in it was ever acknowledged; its bytes are kept all the same."""
    segment = written(tmp_path, [b"a"])
    segment.write_bytes(segment.read_bytes()[: HEADER_BYTES - 1])
    opened = Opened(tmp_path)
    assert (opened.replayed, segment.read_bytes()) == ([], b"")
    assert opened.reader.quarantined[0].copy.stat().st_size == HEADER_BYTES - 1
    assert opened.append(b"b") == 1


def test_the_segment_of_a_living_writer_is_read_and_never_mended(tmp_path: Path) -> None:
    """What looks torn there is being written."""
    writer = Opened(tmp_path)
    writer.put(b"a")
    segment = tmp_path / "journal" / "00000001.journal"
    with segment.open("ab") as file:
        file.write(b"being written")
    other = Opened(tmp_path)
    assert other.replayed == [b"a"]
    assert (other.reader.quarantined, list(other.reader.torn.values())) == ([], [segment])
    assert segment.read_bytes().endswith(b"being written")
    writer.close()


def test_a_write_that_ends_while_we_look_is_not_mended(tmp_path: Path) -> None:
    """Torn at the first look; whole, and its writer gone, when the lock is ours: nothing is cut or copied."""
    segment = written(tmp_path, [b"a", b"b"])
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-1])

    class Finishing(RealDisk):
        def lock(self, handle: int) -> bool:
            segment.write_bytes(whole)
            return super().lock(handle)

    opened = Opened(tmp_path, Finishing())
    assert opened.replayed == [b"a", b"b"]
    assert (opened.reader.quarantined, segment.read_bytes()) == ([], whole)
    assert not (tmp_path / "quarantine").exists()


def test_damage_before_the_end_stops_replay_there_and_changes_nothing(tmp_path: Path) -> None:
    """Valid records behind it are counted and offered for their numbers; later segments are replayed."""
    segment = written(tmp_path, [b"first"], [b"second"], [b"third"], [b"fourth"])
    written(tmp_path, [b"next segment"])
    data = bytearray(segment.read_bytes())
    data[data.index(b"second")] ^= 1
    segment.write_bytes(data)
    opened = Opened(tmp_path)
    assert opened.replayed == [b"first", b"next segment"]
    assert opened.salvaged == [b"third", b"fourth"]
    [damage] = opened.reader.damaged.values()
    assert (damage.segment, damage.later) == (segment, 2)
    assert damage.offset == HEADER_BYTES + RECORD_BYTES + len(b"first")
    assert opened.append(b"x") == 6  # above everything that can be read
    assert (segment.read_bytes(), opened.reader.quarantined) == (bytes(data), [])


@pytest.mark.parametrize(
    "content",
    [
        encode_header(Header(9, 1, 1)) + encode_record(seed_of(9), 1, b"moved"),  # under a wrong name
        b"\0" * (8 * 1024 * 1024 + 1),  # far longer than any segment
    ],
)
def test_files_that_are_no_segment_of_ours_are_kept_whole(tmp_path: Path, content: bytes) -> None:
    """They are reported, not mended, and no harm to the rest."""
    written(tmp_path, [b"a"])
    stranger = tmp_path / "journal" / "00000002.journal"
    stranger.write_bytes(content)
    opened = Opened(tmp_path)
    assert opened.replayed == [b"a"]
    assert [damage.segment for damage in opened.reader.damaged.values()] == [stranger]
    assert stranger.read_bytes() == content


def test_a_later_versions_segment_is_left_alone(tmp_path: Path) -> None:
    """Not read, not mended, reported; writing goes on beside it, under a higher number."""
    newer = written(tmp_path, [b"a"])
    newer.write_bytes(MAGIC + b"\x02\x00" + b"whatever comes then")
    before = newer.read_bytes()
    opened = Opened(tmp_path)
    assert (opened.replayed, list(opened.reader.too_new.values())) == ([], [newer])
    opened.put(b"b")
    opened.close()
    assert newer.read_bytes() == before
    assert (tmp_path / "journal" / "00000002.journal").exists()


def test_a_segment_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    """A bad sector costs one segment, and is named."""
    first = written(tmp_path, [b"a"])
    written(tmp_path, [b"b"])

    class BadSector(RealDisk):
        def read(self, path: Path, limit: int) -> bytes:
            if path == first:
                raise OSError(errno.EIO, "bad sector")
            return super().read(path, limit)

    opened = Opened(tmp_path, BadSector())
    assert opened.replayed == [b"b"]
    [damage] = opened.reader.damaged.values()
    assert (damage.segment, damage.offset) == (first, 0)
    assert "hardware" in damage.why


def test_want_of_descriptors_is_not_taken_for_an_empty_journal(tmp_path: Path) -> None:
    """What is wrong with this process is raised; it is not the files' fault."""
    written(tmp_path, [b"a"])
    disk = Logging()
    disk.refuse["read"] = errno.EMFILE
    with pytest.raises(StoreUnreadable, match="ulimit"):
        Opened(tmp_path, disk)


def test_other_files_in_the_directory_are_none_of_our_business(tmp_path: Path) -> None:
    """Names that are not exactly ours are neither read nor counted."""
    written(tmp_path, [b"a"])
    for name in ("1.journal", "000000001.journal", "00000001.journal.bak", "x", "9" * 30 + ".journal"):
        shutil.copy(tmp_path / "journal" / "00000001.journal", tmp_path / "journal" / name)
    opened = Opened(tmp_path)
    assert opened.replayed == [b"a"]
    assert opened.reader.damaged == {}


def test_an_empty_or_missing_directory_is_an_empty_journal(tmp_path: Path) -> None:
    """Reading makes nothing; opening to write makes what is missing."""
    assert Opened(tmp_path / "a" / "b", read_only=True).replayed == []
    assert not (tmp_path / "a").exists()
    opened = Opened(tmp_path / "a" / "b")
    opened.put(b"x")
    opened.close()
    assert Opened(tmp_path / "a" / "b").replayed == [b"x"]


@pytest.mark.parametrize("name", ["data", "data/journal"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_in_the_place_of_a_directory_is_named(tmp_path: Path, name: str, *, read_only: bool) -> None:
    """Before anything is recorded, and with what to do about it."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(StoreUnreadable, match="move that file away") as caught:
        Opened(tmp_path / "data", read_only=read_only)
    assert caught.value.path == tmp_path / "data" / "journal"
    assert caught.value.errno == errno.ENOTDIR


@pytest.mark.parametrize(
    ("call", "code", "kind"),
    [
        ("listing", errno.EACCES, StoreUnreadable),
        ("listing", errno.EIO, StoreUnreadable),
        ("check_writable", errno.EROFS, StoreReadOnly),
        ("check_writable", errno.EACCES, StoreReadOnly),
    ],
)
def test_directories_that_refuse_are_named_at_opening(
    tmp_path: Path, call: str, code: int, kind: type[DiskError]
) -> None:
    """Unreadable and read-only are told apart; read-only can still be read."""
    written(tmp_path, [b"a"])
    disk = Logging()
    disk.refuse[call] = code
    with pytest.raises(kind) as caught:
        Opened(tmp_path, disk)
    assert caught.value.errno == code
    if kind is StoreReadOnly:
        assert Opened(tmp_path, disk, read_only=True).replayed == [b"a"]
