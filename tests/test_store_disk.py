"""The real disk does what the protocol says, and shuns what is not a regular file of ours."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from store.disk import Disk, RealDisk, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

DISK = RealDisk()


@pytest.fixture(autouse=True)
def _lax_umask() -> Iterator[None]:
    """Let nothing but the code itself restrict permissions."""
    old = os.umask(0)
    yield
    os.umask(old)


def test_the_real_disk_is_a_disk() -> None:
    """Checked by mypy rather than at run time: every call of the protocol, as typed there."""
    disk: Disk = DISK
    assert disk is DISK


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_has_access(tmp_path: Path) -> None:
    """Directories are made 0700 and files 0600, whatever the umask."""
    DISK.mkdir(tmp_path / "d")
    DISK.close(DISK.create(tmp_path / "d" / "f"))
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "d" / "f").stat().st_mode & 0o777 == 0o600


def test_nothing_that_exists_is_made_again(tmp_path: Path) -> None:
    """Making a directory or a file is the proof that nobody else has."""
    DISK.mkdir(tmp_path / "d")
    DISK.close(DISK.create(tmp_path / "f"))
    with pytest.raises(FileExistsError):
        DISK.mkdir(tmp_path / "d")
    with pytest.raises(FileExistsError):
        DISK.create(tmp_path / "f")


def test_files_are_appended_to_cut_renamed_and_removed(tmp_path: Path) -> None:
    """The life of a file, byte for byte: line ends are not touched."""
    handle = DISK.create(tmp_path / "f")
    write_all(DISK, handle, b"one\n\r\n\x1a")
    DISK.sync(handle)
    DISK.sync_dir(tmp_path)
    DISK.close(handle)
    handle = DISK.open(tmp_path / "f")
    assert DISK.write(handle, memoryview(b"two")) == 3
    assert DISK.read(tmp_path / "f", 100) == b"one\n\r\n\x1atwo"
    assert DISK.read(tmp_path / "f", 2) == b"on"
    DISK.truncate(handle, 3)
    assert DISK.write(handle, b"!") == 1
    DISK.close(handle)
    assert DISK.listing(tmp_path) == {"f": 4}
    DISK.rename(tmp_path / "f", tmp_path / "g")
    assert DISK.read(tmp_path / "g", 100) == b"one!"
    DISK.unlink(tmp_path / "g")
    assert DISK.listing(tmp_path) == {}


@pytest.mark.skipif(os.name == "nt", reason="no pipes in Windows directories")
def test_what_is_no_regular_file_is_neither_listed_nor_opened(tmp_path: Path) -> None:
    """A pipe does not block, a link leads nowhere else, a directory is not read."""
    (tmp_path / "target").write_bytes(b"secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "dir").mkdir()
    assert DISK.listing(tmp_path) == {"target": 6}
    for name in ("pipe", "link", "dir"):
        with pytest.raises(OSError, match=r"\[Errno"):
            DISK.read(tmp_path / name, 10)
        with pytest.raises(OSError, match=r"\[Errno"):
            DISK.open(tmp_path / name)


def test_a_lock_excludes_others_until_it_is_closed(tmp_path: Path) -> None:
    """Even within one process: two histories in it are two writers."""
    mine = DISK.create(tmp_path / "f")
    theirs = DISK.open(tmp_path / "f")
    assert DISK.lock(mine)
    assert not DISK.lock(theirs)
    DISK.close(mine)
    assert DISK.lock(theirs)
    DISK.close(theirs)


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    """Killed, without a chance to unlock: the file is free."""
    DISK.close(DISK.create(tmp_path / "f"))
    program = (
        "import sys, time; from pathlib import Path; from store.disk import RealDisk\n"
        "disk = RealDisk(); print(disk.lock(disk.open(Path(sys.argv[1]))), flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parent.parent
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "f")], cwd=root, stdout=subprocess.PIPE, text=True
    )
    mine = DISK.open(tmp_path / "f")
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "True\n"
        assert not DISK.lock(mine)
        child.kill()
        child.wait()
        assert DISK.lock(mine)
    DISK.close(mine)


class Grudging(RealDisk):
    """Takes a few bytes at a time, as a nearly full tmpfs does, without raising."""

    def __init__(self, *portions: int) -> None:
        self.portions = list(portions)

    def write(self, handle: int, data: bytes | memoryview) -> int:
        return super().write(handle, data[: self.portions.pop(0)])


def test_short_writes_are_continued(tmp_path: Path) -> None:
    """What the disk took of one call is counted; the rest is offered again."""
    handle = DISK.create(tmp_path / "f")
    write_all(Grudging(2, 1, 100), handle, b"content")
    DISK.close(handle)
    assert DISK.read(tmp_path / "f", 100) == b"content"


def test_a_disk_that_takes_nothing_and_says_nothing_is_an_error(tmp_path: Path) -> None:
    """Neither success nor an endless loop."""
    handle = DISK.create(tmp_path / "f")
    with pytest.raises(OSError, match="no more bytes") as caught:
        write_all(Grudging(2, 0), handle, b"content")
    assert caught.value.errno == errno.EIO
    DISK.close(handle)


def test_asking_whether_a_directory_is_writable(tmp_path: Path) -> None:
    """Yes is silence; a missing one says that it is missing."""
    DISK.check_writable(tmp_path)
    with pytest.raises(FileNotFoundError):
        DISK.check_writable(tmp_path / "missing")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_others_is_not_writable(tmp_path: Path) -> None:
    """Permission bits are named as such."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        DISK.check_writable(tmp_path)
    tmp_path.chmod(0o700)
