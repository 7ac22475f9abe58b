"""Work that is kept: edited, killed, saved, restored; and the truth about it while the disk refuses."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from desks import GENEROUS_S, RefusingDisk, desk, reached, standin, until
from machines import Refused
from resilience import (
    Append,
    BadEdit,
    EvaluationError,
    NotDurable,
    Patch,
    Put,
    Reason,
    SessionDocument,
    State,
    UsageError,
)
from resilience.limits import JOURNAL_PATIENCE_S, MAX_RESULT_CHARS, SAVE_DELAY_S
from shelves import SID
from store import History
from store.disk import RealDisk
from store.keys import Protection
from store.sessions import Session
from vaults import MemoryVault

ROOT = Path(__file__).resolve().parent.parent
HORSE = "correct horse"
CODE = Put("workspaces", {"title": "w", "code": "Object new"}, "w")


def test_a_restart_brings_back_work_and_history(tmp_path: Path) -> None:
    """The workspace as it was typed, the evaluations with what came of them; typed, and as plain values."""
    vault = MemoryVault()

    async def first(endpoint: str) -> str:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            await image.evaluate("3 + 4")
            with pytest.raises(EvaluationError):
                await image.evaluate("nil foo")
            await image.ping()
            assert image.edit(CODE, Put("unsent_input", "Tr")) == 4
            assert image.session.revision == 4
            return image.session.id

    async def second(endpoint: str, session: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            found = image.session
            assert (found.id, found.durable, found.read_only) == (session, True, False)
            assert found.receipt is not None
            assert found.receipt.clean
            document = found.document
            assert isinstance(document, SessionDocument)
            assert document.workspaces["w"].code == "Object new"
            assert document.unsent_input == "Tr"
            did = [(each.code, each.result, each.ok) for each in document.evaluations]
            assert did == [("3 + 4", "7", True), ("nil foo", None, False)]
            records = found.state["evaluations"]
            assert "foo" in records[1]["error"]
            assert all(each["at"] > 1.7e9 and each["seconds"] >= 0 for each in records)

    with standin() as endpoint:
        session = asyncio.run(first(endpoint))
        asyncio.run(second(endpoint, session))


KILLED = """
import asyncio, sys, time
from resilience import Protection, Put, State, Supervisor

async def main():
    async with Supervisor(sys.argv[1], protection=Protection.INSECURE) as supervisor:
        image = await supervisor.connect(sys.argv[2])
        await image.wait_for(State.CONNECTED, timeout=20)
        for number in range(1000):
            image.edit(Put("workspaces", {"title": "w", "code": str(number)}, "w"))
            print(number, time.monotonic(), flush=True)
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


def test_an_edit_survives_a_kill_a_quarter_of_a_second_later(tmp_path: Path) -> None:
    """Law 15. Each edit that is as old as that when the process is killed is there afterwards."""

    async def found(endpoint: str) -> int:
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            return int(image.session.document.workspaces["w"].code)

    with standin() as endpoint:
        command = [sys.executable, "-c", KILLED, str(tmp_path), endpoint]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            made: list[tuple[int, float]] = []
            while len(made) < 60:
                number, at = child.stdout.readline().split()
                made.append((int(number), float(at)))
            killed = time.monotonic()
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        due = max(number for number, at in made if at <= killed - 0.25)
        assert asyncio.run(found(endpoint)) >= due > 0


def test_what_was_saved_is_on_the_medium(tmp_path: Path) -> None:
    """`save` returns behind the sync, and the next transition tells the journal of the revision."""

    class Counting(RefusingDisk):
        syncs = 0

        def sync(self, handle: int) -> None:
            super().sync(handle)
            self.syncs += handle in self._sessions

    disk = Counting()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, disk=disk) as supervisor:
            image = await reached(supervisor, endpoint)
            assert image.edit(CODE) == 1
            began = time.monotonic()
            assert await image.save() == 1
            assert time.monotonic() - began < SAVE_DELAY_S  # it does not wait for its time
            before = disk.syncs
            assert before > 0
            assert image.edit(Patch("workspaces", {"code": "x"}, "w")) == 2
            assert await image.save() == 2
            assert disk.syncs > before
            assert await image.save() == 2  # nothing to do
            assert (image.session.saved_revision, image.session.durable) == (2, True)
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    last = History.open(tmp_path, read_only=True).sessions()[0]
    assert last.revision == 2


def test_what_is_written_waits_for_its_save_in_peace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write, then one save: no job asks again and again meanwhile whether there is anything to write."""
    jobs: list[str] = []

    def counted(name: str) -> Callable[[Session], int]:
        real: Callable[[Session], int] = getattr(Session, name)

        def job(session: Session) -> int:
            jobs.append(name)
            return real(session)

        return job

    for name in ("write", "save"):
        monkeypatch.setattr(Session, name, counted(name))

    async def main(endpoint: str) -> None:
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(CODE)
            await image.save()
            jobs.clear()
            image.edit(CODE)
            await until(lambda: image.session.durable)
            assert jobs == ["write", "save"]

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_connected_and_modified_tell_the_truth(tmp_path: Path) -> None:
    """Modified from the edit to the medium; our own records of evaluations make no mark."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            changes: list[tuple[State, State, Reason]] = []
            supervisor.on_change(lambda each: changes.append((each.source, each.target, each.reason)))
            await image.evaluate("1")
            await image.save()
            assert not changes
            image.edit(CODE)
            image.edit(CODE)
            await until(lambda: image.state is State.MODIFIED)
            assert not image.session.durable
            await until(lambda: image.state is State.CONNECTED)
            assert image.session.durable
            assert changes == [
                (State.CONNECTED, State.MODIFIED, Reason.EDITED),
                (State.MODIFIED, State.CONNECTED, Reason.SAVED),
            ]

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_edits_made_while_disconnected_lead_to_modified(tmp_path: Path) -> None:
    """And what the disk refuses stays marked over a reconnect, which it does not disturb."""
    disk = RefusingDisk()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, disk=disk, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(CODE)
            await image.save()
            await until(lambda: image.state is State.CONNECTED)
            disk.fails = True
            image.disconnect()
            await until(lambda: image.state is State.RESTORED)
            image.edit(Patch("workspaces", {"code": "meanwhile"}, "w"))
            with pytest.raises(NotDurable, match="No space left"):
                await image.save()
            image.reconnect()
            await until(lambda: image.state is State.MODIFIED)
            assert "No space left" in (image.session.why_not_durable or "")
            assert (await image.evaluate("3 + 4")).result == "7"
            assert image.state is State.MODIFIED
            disk.fails = False
            assert await image.save() >= 2
            await until(lambda: image.state is State.CONNECTED)
            assert image.session.why_not_durable is None

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    refused = [each for each in notices if "No space left" in each]
    assert len(refused) == 1
    assert notices[-1] == "sessions are durable again"


def test_a_refused_edit_changes_nothing(tmp_path: Path) -> None:
    """Before the session is open, and after; and a supervisor that was closed takes none."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path) as supervisor:
            image = await supervisor.connect(endpoint)
            with pytest.raises(BadEdit, match="no such section"):
                image.edit(CODE, Put("wokspaces", {}, "w"))
            assert image.session.revision == 0
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            assert not (tmp_path / "sessions").exists()
            image.edit(CODE)
            await image.save()
            with pytest.raises(BadEdit):
                image.edit(Append("evaluations", {}))
            with pytest.raises(Refused):
                image.restore()
        with pytest.raises(UsageError):
            image.edit(CODE)
        with pytest.raises(UsageError):
            await image.save()

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_nothing_is_made_for_an_image_without_work(tmp_path: Path) -> None:
    """Looking at a connection leaves neither files of a session nor keys, and asks no keyring."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            await image.ping()
            assert image.session.durable
            assert image.session.document.workspaces == {}

    with standin() as endpoint:
        asyncio.run(main(endpoint))
        asyncio.run(main(endpoint))
    assert not vault.calls
    assert sorted(each.name for each in tmp_path.iterdir() if each.name in ("sessions", "keys")) == []


def test_generations_do_not_pile_up_over_restarts(tmp_path: Path) -> None:
    """Each end leaves one snapshot that says all; three are kept."""
    vault = MemoryVault()

    async def life(endpoint: str, number: int) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(Put("unsent_input", str(number)))
            await image.save()
            image.edit(Put("unsent_input", f"{number} end"))

    with standin() as endpoint:
        for number in range(6):
            asyncio.run(life(endpoint, number))
    assert len(list((tmp_path / "sessions").glob("*.session"))) == 3


def test_results_too_long_to_keep_are_shortened_and_say_so(tmp_path: Path) -> None:
    """A long reply is handed out whole, and only its beginning remembered."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path) as supervisor:
            image = await reached(supervisor, endpoint)
            reply = await image.evaluate("'" + "x" * 60_000 + "'")
            assert len(reply.result) >= 60_000
            record = image.session.document.evaluations[-1]
            assert record.shortened
            assert len(record.result or "") == MAX_RESULT_CHARS
            assert len(record.code) == 60_002

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_no_code_stands_in_clear_anywhere(tmp_path: Path) -> None:
    """What was typed and evaluated is on disk, and only sealed; notices do not show it either."""
    notices: list[str] = []
    canary = "CANARY-" + SID

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(Put("workspaces", {"title": canary, "code": canary}, canary))
            await image.evaluate(f"'{canary}'")
            with pytest.raises(BadEdit) as refusal:
                image.edit(Put("workspaces", {"title": 3, "code": canary}, "w"))
            assert canary not in str(refusal.value)
            await image.save()
            assert canary not in repr(image.session)

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert any(each.suffix == ".session" for each in files)
    assert not [each for each in files if canary.encode() in each.read_bytes()]
    assert canary not in " ".join(notices)


def test_protection_may_be_named_at_the_start(tmp_path: Path) -> None:
    """A passphrase: chosen in the first life, given in the second."""

    async def life(endpoint: str, number: int) -> None:
        async with desk(tmp_path, protection=Protection.PASSPHRASE, passphrase=HORSE) as supervisor:
            image = await reached(supervisor, endpoint)
            if number:
                assert image.session.document.unsent_input == "kept"
            image.edit(Put("unsent_input", "kept"))
            await image.save()
            assert supervisor.keys.protection is Protection.PASSPHRASE

    with standin() as endpoint:
        asyncio.run(life(endpoint, 0))
        asyncio.run(life(endpoint, 1))
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"correct horse" in p.read_bytes()]


class HangingDisk(RealDisk):
    """Takes long for a session's sync, and then refuses it, while `hangs`."""

    hangs = False

    def __init__(self) -> None:
        self._sessions: set[int] = set()

    def create(self, path: Path) -> int:
        handle = super().create(path)
        (self._sessions.add if path.parent.name == "sessions" else self._sessions.discard)(handle)
        return handle

    def sync(self, handle: int) -> None:
        if self.hangs and handle in self._sessions:
            time.sleep(1.3 * JOURNAL_PATIENCE_S)
            raise OSError(5, "Input/output error")
        super().sync(handle)


def test_a_disk_that_hangs_and_then_refuses_is_never_called_well(tmp_path: Path) -> None:
    """That it answered is no reason to say that sessions are durable again."""
    disk = HangingDisk()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, disk=disk, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(Put("workspaces", {"title": "w", "code": "1"}, "w"))
            await image.save()
            disk.hangs = True
            image.edit(Put("workspaces", {"title": "w", "code": "2"}, "w"))
            with pytest.raises(NotDurable):
                await image.save()
            await asyncio.sleep(0.05)
            disk.hangs = False
            said = [each.partition(": ")[0] for each in notices]
            assert said == ["sessions are not durable"] * 2
            await until(lambda: notices[-1] == "sessions are durable again")
            assert image.session.durable

    with standin() as endpoint:
        asyncio.run(main(endpoint))
