"""Work on the lane of sessions: what presses goes first, and a disk that hangs is noticed."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from desks import GENEROUS_S, RefusingDisk, desk, reached, standin, until
from resilience import NotDurable, Put, State
from resilience.host import OwnHost
from resilience.limits import CLOSE_SESSIONS_S
from resilience.sessions.turns import Turn, Turns


class HangingDisk(RefusingDisk):
    """Its syncs of sessions hang while `hangs`; those of the journal do not."""

    def __init__(self) -> None:
        super().__init__()
        self.works = threading.Event()
        self.works.set()

    def sync(self, handle: int) -> None:
        if handle in self._sessions:
            self.works.wait(30.0)
        super().sync(handle)


def test_what_presses_goes_first_and_equals_keep_their_order() -> None:
    """Writes overtake saves that wait, never the one under way."""
    did: list[str] = []
    gate = threading.Event()

    async def main() -> None:
        host = OwnHost(asyncio.get_running_loop())
        turns = Turns(asyncio.get_running_loop(), host, lambda _: None)

        def first() -> None:
            gate.wait(GENEROUS_S)
            did.append("first")

        jobs = [turns.submit(first, Turn.TEND)]
        for turn, name in (
            (Turn.KEYS, "keys"),
            (Turn.SAVE, "save 1"),
            (Turn.WRITE, "write"),
            (Turn.SAVE, "save 2"),
            (Turn.OPEN, "open"),
        ):
            jobs.append(turns.submit(partial(did.append, name), turn))
        gate.set()
        await asyncio.wait_for(asyncio.gather(*jobs), GENEROUS_S)
        host.close()

    asyncio.run(main())
    assert did == ["first", "write", "open", "save 1", "save 2", "keys"]


def test_a_job_that_fails_fails_alone() -> None:
    """Its future has the error, and the next job is done."""

    def wrong() -> None:
        raise OSError(5, "broken")

    async def main() -> None:
        host = OwnHost(asyncio.get_running_loop())
        turns = Turns(asyncio.get_running_loop(), host, lambda _: None)
        failed, done = turns.submit(wrong, Turn.SAVE), turns.submit(lambda: 7, Turn.SAVE)
        with pytest.raises(OSError, match="broken"):
            await failed
        assert await done == 7
        host.close()

    asyncio.run(main())


def test_a_disk_that_hangs_stops_neither_reconnecting_nor_leaving(tmp_path: Path) -> None:
    """Modified stays, and says why; transitions are durable; the end comes in its time."""
    disk = HangingDisk()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, disk=disk, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(Put("unsent_input", "one"))
            await image.save()
            await until(lambda: image.state is State.CONNECTED)
            disk.works.clear()
            image.edit(Put("unsent_input", "two"))
            saving = asyncio.ensure_future(image.save())
            await until(lambda: any("has not answered" in each for each in notices))
            told: list[bool] = []
            supervisor.on_change(lambda change: told.append(change.durable))
            image.disconnect()
            await until(lambda: image.state is State.RESTORED)
            image.reconnect()
            await until(lambda: image.state is State.MODIFIED)
            assert told
            assert all(told)
            assert not saving.done()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await supervisor.close()
            assert loop.time() - began < CLOSE_SESSIONS_S + 2
            with pytest.raises(NotDurable, match="closed"):
                await saving
        disk.works.set()

    with standin() as endpoint:
        asyncio.run(main(endpoint))
