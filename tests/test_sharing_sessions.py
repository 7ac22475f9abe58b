"""One session, several programs: read-only, copied, taken over; and sessions damaged, lost or put away."""

import asyncio
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from desks import GENEROUS_S, desk, reached, standin, until
from resilience import Busy, Put, Standing, State, UsageError
from resilience.limits import WISHES_S
from resilience.standin.image import Image as Standin
from store.disk import RealDisk
from store.sessions import this_process
from vaults import MemoryVault


def wishes(data_dir: Path) -> list[Path]:
    """Return who asks for whose session."""
    return list(data_dir.glob("sessions/*.takeover"))


def workspace(code: str, key: str = "w") -> Put:
    """Return the edit of somebody who typed this."""
    return Put("workspaces", {"title": key, "code": code}, key)


def test_a_second_program_reads_and_may_work_on_a_copy(tmp_path: Path) -> None:
    """It is told who has the session; its copy is durable, and merged when the session is opened next."""
    vault = MemoryVault()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as first:
            mine = await reached(first, endpoint)
            mine.edit(workspace("mine"))
            await mine.save()
            async with desk(tmp_path, vault=vault, notices=notices) as second:
                other = await reached(second, endpoint)
                assert (other.session.read_only, other.session.standing) == (True, Standing.READ_ONLY)
                assert "process" in (other.session.busy_owner or "")
                assert other.session.document.workspaces["w"].code == "mine"
                with pytest.raises(Busy, match="private copy"):
                    other.edit(workspace("theirs"))
                await other.evaluate("1")  # goes to the image, and into no history
                await other.session.private_copy()
                assert other.session.copy_of == mine.session.id != other.session.id
                other.edit(workspace("theirs", "w2"))
                assert await other.save() > 0
                await until(lambda: other.state is State.CONNECTED)
            mine.edit(workspace("mine still"))
            await mine.save()
        async with desk(tmp_path, vault=vault) as third:
            image = await reached(third, endpoint)
            found = image.session.document.workspaces
            assert {key: each.code for key, each in found.items()} == {"w": "mine still", "w2": "theirs"}
            assert image.session.receipt is not None
            assert len(image.session.receipt.merged) == 1

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    assert any("read-only" in each and "busy" in each for each in notices)


def test_taking_over_saves_first(tmp_path: Path) -> None:
    """What the owner typed last is there; the owner goes on reading, and may take it back."""
    vault = MemoryVault()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        async with (
            desk(tmp_path, vault=vault, notices=notices) as first,
            desk(tmp_path, vault=vault) as second,
        ):
            mine = await reached(first, endpoint)
            mine.edit(workspace("mine"))
            await mine.save()
            other = await reached(second, endpoint)
            # The second journal was read before the first session began: it has an id of its own.
            assert other.session.standing in (Standing.EMPTY, Standing.READ_ONLY)
        async with desk(tmp_path, vault=vault, notices=notices) as first:
            mine = await reached(first, endpoint)
            await until(lambda: mine.session.standing is Standing.OPEN)
            async with desk(tmp_path, vault=vault) as second:
                other = await reached(second, endpoint)
                assert other.session.read_only
                mine.edit(workspace("typed last"))
                await other.session.take_over(timeout=GENEROUS_S)
                assert other.session.document.workspaces["w"].code == "typed last"
                other.edit(workspace("theirs"))
                await other.save()
                await until(lambda: mine.session.read_only)
                assert mine.state is State.CONNECTED
                with pytest.raises(Busy):
                    mine.edit(workspace("too late"))
            await mine.session.take_over()
            assert mine.session.document.workspaces["w"].code == "theirs"
            mine.edit(workspace("mine again"))
            await mine.save()

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    assert len([each for each in notices if "let go" in each]) == 1
    assert not wishes(tmp_path)


class FullDisk(RealDisk):
    """Takes no new generation of a session while it is `full`; its log goes on."""

    full = False

    def rename(self, source: Path, target: Path) -> None:
        if self.full and target.suffix == ".session":
            raise OSError(28, "No space left on device", str(target))
        super().rename(source, target)


def test_what_is_saved_is_let_go_even_if_it_cannot_be_tidied(tmp_path: Path) -> None:
    """Whoever let it go is read-only, not left with a session that is closed."""
    vault, disk = MemoryVault(), FullDisk()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault, disk=disk) as first:
            mine = await reached(first, endpoint)
            mine.edit(workspace("first"))
            await mine.save()
            mine.edit(workspace("in the log"))
            await mine.save()
            disk.full = True
            async with desk(tmp_path, vault=vault) as second:
                other = await reached(second, endpoint)
                await other.session.take_over(timeout=GENEROUS_S)
                assert other.session.document.workspaces["w"].code == "in the log"
                await until(lambda: "asked for it" in (mine.session.why_not_durable or ""))
                assert mine.session.standing is Standing.READ_ONLY
            await mine.session.take_over()
            disk.full = False
            mine.edit(workspace("mine again"))
            await mine.save()

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_an_owner_that_does_not_answer_keeps_it(tmp_path: Path) -> None:
    """The wish is taken back when its time is over."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as first:
            mine = await reached(first, endpoint)
            mine.edit(workspace("mine"))
            await mine.save()
            async with desk(tmp_path, vault=vault) as second:
                other = await reached(second, endpoint)
                with pytest.raises(Busy):
                    await other.session.take_over(timeout=0)
                assert other.session.read_only
            assert not wishes(tmp_path)
            assert mine.edit(workspace("still mine")) > 0

    with standin() as endpoint:
        asyncio.run(main(endpoint))


class GatedDisk(RealDisk):
    """Takes no lock while its gate is closed."""

    def __init__(self) -> None:
        self.gate, self.waits = threading.Event(), threading.Event()
        self.gate.set()

    def lock(self, handle: int) -> bool:
        if not self.gate.is_set():
            self.waits.set()
            self.gate.wait(GENEROUS_S)
        return super().lock(handle)


def test_a_take_over_that_is_given_up_leaves_neither_wish_nor_lease(tmp_path: Path) -> None:
    """Cancelled, even while it opens the session; and cut short by leaving, it ends."""
    vault, disk = MemoryVault(), GatedDisk()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as first:
            mine = await reached(first, endpoint)
            mine.edit(workspace("mine"))
            await mine.save()
            async with desk(tmp_path, vault=vault) as second:
                other = await reached(second, endpoint)
                asking = asyncio.ensure_future(other.session.take_over(timeout=GENEROUS_S))
                await until(lambda: bool(wishes(tmp_path)))
                asking.cancel()
                await until(lambda: not wishes(tmp_path))
                waiting = asyncio.ensure_future(other.session.take_over(timeout=GENEROUS_S))
                await until(lambda: bool(wishes(tmp_path)))
            assert not wishes(tmp_path)
            with pytest.raises(UsageError, match="closed"):
                await asyncio.wait_for(waiting, GENEROUS_S)
            async with desk(tmp_path, vault=vault, disk=disk) as second:
                other = await reached(second, endpoint)
                await first.close()
                disk.gate.clear()
                opening = asyncio.ensure_future(other.session.take_over())
                await until(disk.waits.is_set)
                opening.cancel()
                await asyncio.wait([opening])
                disk.gate.set()
                await until(lambda: not wishes(tmp_path))
                assert other.session.read_only
                await other.session.take_over()  # nobody has it: not we, either
                assert other.session.standing is Standing.OPEN

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_the_wish_of_the_dead_is_not_fulfilled(tmp_path: Path) -> None:
    """Killed while it asked: whoever opens the session next keeps it."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as first:
            mine = await reached(first, endpoint)
            mine.edit(workspace("mine"))
            await mine.save()
            wish = tmp_path / "sessions" / f"{mine.session.id}.takeover"
            wish.write_bytes(replace(this_process(), start="another boot:1").words())
            await asyncio.sleep(2 * WISHES_S)
            assert mine.edit(workspace("still mine")) > 0
            wish.write_bytes(this_process().words())
            await until(lambda: mine.session.read_only)

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_another_image_never_gets_the_session(tmp_path: Path) -> None:
    """Law 17: Orphaned; starting fresh puts the files into the archive and begins another."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        with standin(endpoint, Standin(state=tmp_path / "one", wait=lambda _: False)):
            async with desk(tmp_path / "data", vault=vault) as supervisor:
                image = await reached(supervisor, endpoint)
                image.edit(workspace("of the first image"))
                await image.save()
                session = image.session.id
        with standin(endpoint, Standin(state=tmp_path / "two", wait=lambda _: False)):
            async with desk(tmp_path / "data", vault=vault) as supervisor:
                image = await supervisor.connect(endpoint)
                await image.wait_for(State.ORPHANED, timeout=GENEROUS_S)
                await until(lambda: image.session.standing is Standing.OPEN)
                image.edit(workspace("edited while orphaned"))
                image.start_fresh()
                await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
                assert image.session.id != session
                assert image.session.document.workspaces == {}
                image.edit(workspace("of the second image"))
                await image.save()
                archived = tmp_path / "data" / "archive"
                await until(lambda: any(archived.glob(f"{session}-*.session")))
                assert not list((tmp_path / "data" / "sessions").glob(f"{session}-*.session"))
            async with desk(tmp_path / "data", vault=vault) as supervisor:
                image = await reached(supervisor, endpoint)
                assert image.session.document.workspaces["w"].code == "of the second image"

    with standin() as endpoint:
        pass
    asyncio.run(main(endpoint))


def test_who_saves_while_it_is_found_archived_is_answered(tmp_path: Path) -> None:
    """The edit goes to the session that begins instead, and so does whoever waits for it."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as first:
            image = await reached(first, endpoint)
            image.edit(workspace("put away"))
            await image.save()
            old = image.session.id
        (tmp_path / "archive").mkdir()
        for each in (tmp_path / "sessions").glob("*-*"):
            each.rename(tmp_path / "archive" / each.name)
        async with desk(tmp_path, vault=vault) as second:
            image = await second.connect(endpoint)
            assert image.session.standing in (Standing.READING, Standing.EMPTY)  # it may be known already
            image.edit(workspace("at once"))
            assert await asyncio.wait_for(image.save(), GENEROUS_S) > 0
            assert image.session.id != old
            assert image.session.document.workspaces["w"].code == "at once"

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_an_older_copy_put_back_is_recognised_and_may_be_accepted(tmp_path: Path) -> None:
    """Failed, with the outcome and what to do; a named generation is taken as it is, for good."""
    vault = MemoryVault()
    sessions = tmp_path / "sessions"

    async def life(endpoint: str, text: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace(text))
            await image.save()
            await until(lambda: image.state is State.CONNECTED)  # the journal is told of the revision
            image.disconnect()
            await until(lambda: image.state is State.RESTORED)

    async def main(endpoint: str) -> None:
        await life(endpoint, "old")
        shutil.copytree(sessions, tmp_path / "copy")
        await life(endpoint, "new")
        shutil.rmtree(sessions)
        shutil.copytree(tmp_path / "copy", sessions)
        generation = max(int(each.stem[-8:]) for each in sessions.glob("*.session"))
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.FAILED, timeout=GENEROUS_S)
            assert image.detail.startswith("rolled back: ")
            image.restore(generation=generation)
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            await until(lambda: image.session.standing is Standing.OPEN)
            assert image.session.document.workspaces["w"].code == "old"
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            assert image.session.document.workspaces["w"].code == "old"

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_files_that_are_gone_are_missed(tmp_path: Path) -> None:
    """The journal knows of saved work and there is none: that is no fresh start. Starting fresh is one."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("gone"))
            await image.save()
            await until(lambda: image.state is State.CONNECTED)
        for each in (tmp_path / "sessions").iterdir():
            each.unlink()
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.FAILED, timeout=GENEROUS_S)
            assert image.detail.startswith("corrupt: ")
            image.start_fresh()
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            image.edit(workspace("new"))
            await image.save()

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_one_damaged_snapshot_costs_nothing_and_is_told(tmp_path: Path) -> None:
    """The generation before it and its log say the same; the user hears what was found and where it is."""
    vault = MemoryVault()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        for text in ("one", "two"):
            async with desk(tmp_path, vault=vault) as supervisor:
                image = await reached(supervisor, endpoint)
                image.edit(workspace(f"{text} at first"))
                await image.save()
                image.edit(workspace(text))
        newest = max((tmp_path / "sessions").glob("*.session"))
        data = newest.read_bytes()
        newest.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        async with desk(tmp_path, vault=vault, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            assert image.session.document.workspaces["w"].code == "two"
            assert image.session.receipt is not None
            assert [each.outcome for each in image.session.receipt.findings] == ["corrupt"]
        assert any(newest.name in each and "corrupt" in each for each in notices)
        assert list((tmp_path / "quarantine").glob(f"{newest.name}*"))

    with standin() as endpoint:
        asyncio.run(main(endpoint))
