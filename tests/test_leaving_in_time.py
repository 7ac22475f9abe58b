"""Leaving with many sessions and a slow disk: what was typed goes first, and what is late is told."""

import asyncio
import time
from pathlib import Path

from desks import desk, until
from resilience import Put, Standing
from resilience.limits import CLOSE_SESSIONS_S
from store.disk import RealDisk
from vaults import MemoryVault

IMAGES = 20


class SlowDisk(RealDisk):
    """Takes its time for every sync of a session."""

    slow_s = 0.0

    def sync(self, handle: int) -> None:
        time.sleep(self.slow_s)
        super().sync(handle)

    def sync_dir(self, path: Path) -> None:
        time.sleep(self.slow_s)
        super().sync_dir(path)


def is_free(lease: Path) -> bool:
    """Whether nobody, not even this process, holds it."""
    disk = RealDisk()
    handle = disk.open(lease)
    try:
        return disk.lock(handle)
    finally:
        disk.close(handle)


def left(data_dir: Path, slow_s: float) -> tuple[list[str], list[str]]:
    """Edit every session and leave at once; return the notices, and what the sessions hold afterwards."""
    vault, disk = MemoryVault(), SlowDisk()
    notices: list[str] = []
    endpoints = [f"tcp://127.0.0.1:{port}" for port in range(1, IMAGES + 1)]  # nobody answers there

    def typed(code: str) -> Put:
        return Put("workspaces", {"title": "w", "code": code}, "w")

    async def main() -> list[str]:
        async with desk(data_dir, vault=vault, disk=disk, notices=notices) as supervisor:
            images = [await supervisor.connect(each) for each in endpoints]
            for code in ("first", "logged"):  # the second one begins a log, as in a session at work
                for image in images:
                    image.edit(typed(code))
                await asyncio.gather(*(image.save() for image in images))
            disk.slow_s = slow_s
            for image in images:
                image.edit(typed("last"))
            began = time.monotonic()
        assert time.monotonic() - began < CLOSE_SESSIONS_S + 2.0
        disk.slow_s = 0.0
        await until(lambda: all(is_free(each) for each in data_dir.glob("sessions/*.lease")))
        async with desk(data_dir, vault=vault, disk=disk) as supervisor:
            images = [await supervisor.connect(each) for each in endpoints]
            await until(lambda: all(image.session.standing is Standing.OPEN for image in images))
            return [image.session.document.workspaces["w"].code for image in images]

    return notices, asyncio.run(main())


def test_every_edit_is_saved_before_any_session_is_tidied(tmp_path: Path) -> None:
    """The time is enough for one sync a session, and not for the new generation of each."""
    notices, found = left(tmp_path, 0.12)
    assert found == ["last"] * IMAGES
    assert not [each for each in notices if "last edits" in each]


def test_what_is_late_is_told_and_let_go(tmp_path: Path) -> None:
    """The time is not enough for the syncs: all of it is with the system, and no lease is held for ever."""
    notices, found = left(tmp_path, 0.5)
    assert found == ["last"] * IMAGES
    assert [each for each in notices if "with the operating system" in each]
