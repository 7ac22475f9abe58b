"""Real file systems at their worst: full to the last byte, and mounted read-only."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from store import History, StoreFull, StoreReadOnly, TransitionRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root on Linux"
)

BASE = TransitionRecord("a", "e", "s", 1, 1.0, "Fresh", "go", "Connected", "r", detail="x" * 500)


def mount(*arguments: str) -> None:
    """Run mount; skip where even root may not (a container without the capability)."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount refused: {done.stderr.strip()}")


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory, and unmount it whatever happens."""
    place.mkdir()
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_nothing_and_recovers_by_itself(tmp_path: Path) -> None:
    """Acknowledged until there is no byte left, the news of it included; then kept; then saved."""
    with mounted(tmp_path / "small", "size=512k,mode=700") as small:
        (small / "filler").write_bytes(b"x" * 200_000)
        data = small / "data"
        history = History.open(data)
        outcomes: list[str] = []
        while outcomes.count("refused") < 10:
            history.record(replace(BASE, seq=len(outcomes) + 1))
            try:
                history.commit()
            except StoreFull as exc:
                assert "Free some space" in str(exc)  # noqa: PT017 -- when it comes depends on the file system
                outcomes.append("refused")
            else:
                outcomes.append("from the reserve" if history.trouble else "saved")
        assert outcomes == sorted(outcomes, key=["saved", "from the reserve", "refused"].index)
        assert outcomes.count("from the reserve") > 20
        assert history.pending == 10
        seq = len(outcomes)
        with History.open(data, read_only=True) as reader:
            assert [record.seq for record in reader.transitions()] == list(range(1, seq - 9))
        (small / "filler").unlink()
        history.commit()
        assert (history.pending, history.lost) == (0, 0)
        history.close()
        with History.open(data) as again:
            assert [record.seq for record in again.transitions()] == list(range(1, seq + 1))
            assert again.receipt.damaged == ()


def test_a_full_disk_can_be_opened(tmp_path: Path) -> None:
    """What is there is restored, although nothing can be made beside it."""
    with mounted(tmp_path / "small", "size=256k,mode=700") as small:
        with History.open(small / "data") as history:
            history.record(BASE)
        (small / "data" / "reserve").unlink()
        with pytest.raises(OSError, match="No space"):
            (small / "filler").write_bytes(b"x" * 300_000)
        history = History.open(small / "data")
        assert history.next_seq("a") == 2
        history.record(replace(BASE, seq=2))
        with pytest.raises(StoreFull):
            history.close()


def test_a_read_only_mount_is_named_and_can_be_read(tmp_path: Path) -> None:
    """Refused for writing before anything is recorded; read as it is, torn tail and all."""
    with mounted(tmp_path / "frozen", "size=1m,mode=700") as frozen:
        with History.open(frozen / "data") as history:
            history.record(BASE)
        with (frozen / "data" / "journal" / "00000001.journal").open("ab") as file:
            file.write(b"torn")
        mount("-o", "remount,ro", str(frozen))
        for data in (frozen / "data", frozen / "elsewhere"):
            with pytest.raises(StoreReadOnly, match="mount it writable") as caught:
                History.open(data)
            assert caught.value.errno == errno.EROFS
        with History.open(frozen / "data", read_only=True) as reader:
            assert list(reader.transitions()) == [BASE]
            assert len(reader.receipt.torn) == 1
