"""A disk that hangs when the program starts: nobody waits for it, and when it answers its sessions go on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from desks import GENEROUS_S, desk, reached, standin, until
from resilience import NotDurable, Put, State
from resilience.change import Change
from resilience.standin.image import Image as Standin
from store import History
from store.disk import RealDisk
from vaults import MemoryVault

FIRST = Put("workspaces", {"title": "first", "code": "3 + 4"}, "first")
MEANWHILE = Put("workspaces", {"title": "meanwhile", "code": "5 + 6"}, "meanwhile")


class HangingDisk(RealDisk):
    """Lists nothing before it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def listing(self, path: Path) -> dict[str, int]:
        self.answers.wait(GENEROUS_S)
        return super().listing(path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second is enough to know that a disk hangs."""
    monkeypatch.setattr("resilience.supervisor.OPEN_JOURNAL_S", 0.1)


async def worked_before(tmp_path: Path, vault: MemoryVault, endpoint: str) -> str:
    """One life in good order; returns the session's id."""
    async with desk(tmp_path, vault=vault) as supervisor:
        image = await reached(supervisor, endpoint)
        image.edit(FIRST)
        await image.save()
        return image.session.id


async def workspaces_found(tmp_path: Path, vault: MemoryVault, endpoint: str) -> tuple[str, set[str]]:
    """What the next process finds: the session's id and its workspaces."""
    async with desk(tmp_path, vault=vault) as supervisor:
        image = await reached(supervisor, endpoint)
        await until(lambda: image.session.receipt is not None)
        return image.session.id, set(image.session.document.workspaces)


def test_a_journal_that_opens_late_is_taken_in_with_its_sessions(tmp_path: Path) -> None:
    """Connected at once, not durable meanwhile; then durable, numbered on, and joined with what was typed."""
    vault = MemoryVault()

    async def late(endpoint: str) -> str:
        disk, notices, changes = HangingDisk(), list[str](), list[Change]()
        async with desk(tmp_path, vault=vault, disk=disk, notices=notices) as supervisor:
            supervisor.on_change(changes.append)
            image = await reached(supervisor, endpoint)
            assert image.edit(MEANWHILE) == 1
            saving = asyncio.ensure_future(image.save())
            await image.wait_for(State.MODIFIED, timeout=GENEROUS_S)
            assert not any(change.durable for change in changes)
            assert not image.session.durable
            assert not saving.done()
            disk.answers.set()
            await saving
            await until(lambda: image.state is State.CONNECTED and changes[-1].durable)
            assert set(image.session.document.workspaces) == {"first", "meanwhile"}
            assert [change.seq for change in changes][:2] == [1, 2]
            assert changes[-1].seq > len(before), "numbers go on behind those of the journal"
            assert supervisor.trouble is None
            assert any("durable again" in words for words in notices)
            return image.session.id

    with standin() as endpoint:
        session = asyncio.run(worked_before(tmp_path, vault, endpoint))
        before = list(History.open(tmp_path, read_only=True).transitions())
        assert asyncio.run(late(endpoint)) == session
        assert asyncio.run(workspaces_found(tmp_path, vault, endpoint)) == (session, {"first", "meanwhile"})


def test_another_images_session_is_not_joined(tmp_path: Path) -> None:
    """Law 17: who has answered by then is not the one the session belongs to."""
    vault = MemoryVault()

    async def late(endpoint: str) -> str:
        disk = HangingDisk()
        async with desk(tmp_path, vault=vault, disk=disk) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(MEANWHILE)
            disk.answers.set()
            await until(lambda: image.session.durable)
            assert set(image.session.document.workspaces) == {"meanwhile"}
            return image.session.id

    with standin() as endpoint:
        session = asyncio.run(worked_before(tmp_path, vault, endpoint))
    with standin(endpoint, Standin(wait=lambda _: False, image_id="another")) as endpoint:
        assert asyncio.run(late(endpoint)) != session
    stored = {path.name.partition("-")[0] for path in (tmp_path / "sessions").glob("*.session")}
    assert session in stored, "what was there stays"


def test_whoever_leaves_before_it_opens_is_told(tmp_path: Path) -> None:
    """A save that cannot be is refused, and the end does not wait for the disk for ever."""

    async def main(endpoint: str) -> None:
        disk, notices = HangingDisk(), list[str]()
        async with desk(tmp_path, disk=disk, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(MEANWHILE)
            saving = asyncio.ensure_future(image.save())
            await asyncio.sleep(0.1)
            assert not saving.done()
        disk.answers.set()
        with pytest.raises(NotDurable):
            await saving
        assert any("in memory only are gone" in words or "not durable" in words for words in notices)

    with standin() as endpoint:
        asyncio.run(main(endpoint))
