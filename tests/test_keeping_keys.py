"""Keys that are locked, gone, wrong or not chosen: connections go on, work is kept, and the user is told."""

import asyncio
import os
import re
import time
from pathlib import Path

import pytest

from desks import GENEROUS_S, HangingVault, LockedVault, desk, reached, standin, until
from resilience import (
    KeyState,
    LockedKey,
    NotDurable,
    Protection,
    Put,
    Reason,
    Standing,
    State,
    Supervisor,
    UsageError,
    WrongKey,
)
from resilience.sessions import keyholder
from store.credentials import Credentials
from store.disk import RealDisk
from store.keys import Keychain
from store.keys.keychain import LOCK
from store.keys.vault import VAULT_TIMEOUT_S
from store.sessions import Sessions, this_process
from store.sessions.rotating import rotate
from vaults import MemoryVault

HORSE, LAME_HORSE = "correct horse", "wrong horse"


def files(data_dir: Path) -> list[Path]:
    """Return everything that stands there of sessions."""
    return list(data_dir.glob("sessions/*"))


def workspace(code: str, key: str = "w") -> Put:
    """Return the edit of somebody who typed this."""
    return Put("workspaces", {"title": key, "code": code}, key)


async def stored_in(supervisor: Supervisor, endpoint: str) -> None:
    """A session with a workspace."""
    image = await reached(supervisor, endpoint)
    image.edit(workspace("stored"))
    await image.save()


async def stored(data_dir: Path, vault: MemoryVault, endpoint: str) -> None:
    """A session with a workspace, whose keys are in the keyring."""
    async with desk(data_dir, vault=vault) as supervisor:
        image = await reached(supervisor, endpoint)
        image.edit(workspace("stored"))
        await image.save()
        assert supervisor.keys.protection is Protection.KEYRING


def test_a_locked_keyring_stops_no_connection_and_loses_no_work(tmp_path: Path) -> None:
    """Law 20: connected at once, edits in memory and said so; unlocked, both histories are one."""
    vault = LockedVault()
    vault.locked = False
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        await stored(tmp_path, vault, endpoint)
        vault.locked = True
        async with desk(tmp_path, vault=vault, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            assert supervisor.keys.state is KeyState.LOCKED
            assert image.session.standing is Standing.MEMORY
            image.edit(workspace("typed meanwhile"), workspace("new", "w2"))
            await image.evaluate("3 + 4")
            await until(lambda: image.state is State.MODIFIED)
            assert "locked" in (image.session.why_not_durable or "")
            with pytest.raises(NotDurable, match="locked"):
                await image.save()
            with pytest.raises(LockedKey):
                await supervisor.unlock()
            vault.locked = False
            await supervisor.unlock()
            assert await image.save() >= 4
            await until(lambda: image.state is State.CONNECTED)
            found = image.session.document
            texts = sorted(each.code for each in found.workspaces.values())
            assert texts == ["new", "stored", "typed meanwhile"]
            assert found.workspaces["w"].code == "typed meanwhile"  # what is being typed stays in place
            assert [each.code for each in found.evaluations] == ["3 + 4"]
            assert found.merges
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            assert len(image.session.document.workspaces) == 3

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    assert len([each for each in notices if "unlock the keyring" in each]) == 1


def test_a_keyring_that_asks_somebody_delays_nothing(tmp_path: Path) -> None:
    """It hangs from the start: the image is reached in its time, transitions are durable, leaving works."""
    entries: dict[str, str] = {}
    vault = HangingVault(entries)

    async def main(endpoint: str) -> None:
        await stored(tmp_path, MemoryVault(entries), endpoint)
        began = time.monotonic()
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await supervisor.connect(endpoint)
            told: list[bool] = []
            supervisor.on_change(lambda change: told.append(change.durable))
            assert time.monotonic() - began < VAULT_TIMEOUT_S / 2  # nobody waited for the keyring
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            assert time.monotonic() - began < VAULT_TIMEOUT_S
            assert all(told)
            image.edit(workspace("typed while it asks"))
            assert image.session.why_not_durable
            vault.answered.set()
            await image.save()
            texts = {each.code for each in image.session.document.workspaces.values()}
            assert texts == {"stored", "typed while it asks"}

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_without_a_keyring_the_user_is_asked_once_and_may_choose(tmp_path: Path) -> None:
    """One notice with the choices for all images; a choice makes what was in memory durable."""
    vault = MemoryVault()
    vault.refuses = "there is no keyring on this machine"
    notices: list[str] = []

    async def main(one: str, other: str) -> None:
        async with desk(tmp_path, vault=vault, notices=notices) as supervisor:
            images = [await reached(supervisor, each) for each in (one, other)]
            assert not notices  # nobody has anything to keep
            for image in images:
                image.edit(workspace("in memory"))
            await until(lambda: bool(notices))
            await images[0].evaluate("1")
            assert supervisor.keys.state is KeyState.UNDECIDED
            assert not images[0].session.durable
            assert "no keyring" in (images[0].session.why_not_durable or "")
            with pytest.raises(NotDurable, match="no keyring"):
                await images[0].save()
            assert not files(tmp_path)
            await supervisor.protect(Protection.PASSPHRASE, passphrase=HORSE)
            for image in images:
                await image.save()
            await until(lambda: all(image.state is State.CONNECTED for image in images))
        assert len(notices) == 1
        assert "Protection.PASSPHRASE" in notices[0]

    with standin() as one, standin() as other:
        asyncio.run(main(one, other))


@pytest.mark.parametrize(
    ("protection", "passphrase", "why"),
    [
        (Protection.PASSPHRASE, None, "the protection passphrase cannot be set up: .*passphrase"),
        (Protection.PASSPHRASE, "", "the protection passphrase cannot be set up: .*passphrase"),
        (Protection.KEYRING, None, "the protection keyring cannot be set up: .*there is no keyring"),
    ],
)
def test_a_protection_that_cannot_be_set_up_says_why(
    tmp_path: Path, protection: Protection, passphrase: str | None, why: str
) -> None:
    """It was chosen, so nobody is told that it was not."""
    vault = MemoryVault()
    vault.refuses = "there is no keyring on this machine"

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault, protection=protection, passphrase=passphrase) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("in memory"))
            with pytest.raises(NotDurable, match=why):
                await image.save()
            assert re.search(why, image.session.why_not_durable or "")

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_what_is_no_passphrase_is_refused_at_once_and_not_shown(tmp_path: Path) -> None:
    """By its kind; also nobody who can hear notices is made of a number."""
    for wrong in (5, b"horse", ["horse"]):
        with pytest.raises(UsageError, match="a passphrase is a text, not") as refused:
            Supervisor(tmp_path, passphrase=wrong)  # type: ignore[arg-type]  # what is tested
        assert "horse" not in str(refused.value)

    async def main() -> None:
        async with desk(tmp_path) as supervisor:
            with pytest.raises(UsageError, match="a passphrase is a text, not int"):
                await supervisor.unlock(5)  # type: ignore[arg-type]  # what is tested
            with pytest.raises(UsageError, match="a passphrase is a text, not bytes"):
                await supervisor.protect(Protection.PASSPHRASE, b"horse")  # type: ignore[arg-type]  # as above

    asyncio.run(main())
    with pytest.raises(UsageError, match="on_notice can be called; int cannot"):
        Supervisor(tmp_path, on_notice=3)  # type: ignore[arg-type]  # what is tested


def test_a_keyring_that_is_locked_at_the_first_edit_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prompt is answered late: the work of this life becomes durable without anything being chosen."""
    monkeypatch.setattr(keyholder, "KEYS_RETRY_S", 0.05)
    vault = LockedVault()
    notices: list[str] = []

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("first"))
            await until(lambda: any("asked again" in each for each in notices))
            with pytest.raises(NotDurable, match="locked"):
                await image.save()
            assert supervisor.keys.protection is None
            vault.locked = False
            await until(lambda: image.session.standing is Standing.OPEN)
            assert await image.save() > 0
            assert supervisor.keys.protection is Protection.KEYRING

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_keys_that_another_program_sets_up_at_the_same_moment_are_used(tmp_path: Path) -> None:
    """It holds the lock and has written nothing yet: the work of this one waits for what it chooses."""
    vault, disk = MemoryVault(), RealDisk()

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            lock = disk.create(tmp_path / LOCK)
            assert disk.lock(lock)
            image.edit(workspace("first"))
            with pytest.raises(NotDurable):
                await image.save()
            disk.close(lock)
            await until(lambda: image.session.durable)

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_what_is_chosen_on_the_command_line_meanwhile_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running program that keeps work in memory goes by it, even if sessions are there already."""
    monkeypatch.setattr(keyholder, "KEYS_RETRY_S", 0.05)
    vault = MemoryVault()
    vault.refuses = "there is no keyring"

    async def main(endpoint: str, there: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("first"))
            with pytest.raises(NotDurable, match="no keyring"):
                await image.save()
            chosen = Keychain.open(tmp_path, RealDisk(), vault)
            chosen.choose(Protection.INSECURE)
            async with desk(tmp_path, vault=vault) as other:
                await stored_in(other, there)
            await until(lambda: image.session.durable)
            assert supervisor.keys.protection is Protection.INSECURE

    with standin() as endpoint, standin() as there:
        asyncio.run(main(endpoint, there))


def test_keys_rotated_elsewhere_while_the_keyring_is_locked_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key cannot be had yet: work waits, and is saved by itself when the keyring opens."""
    monkeypatch.setattr(keyholder, "KEYS_RETRY_S", 0.05)
    vault = LockedVault()
    vault.locked = False

    async def main(endpoint: str, idle: str) -> None:
        async with desk(tmp_path, vault=vault) as supervisor:
            await stored_in(supervisor, idle)
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await reached(supervisor, endpoint)  # nothing is open: the rotation waits for nobody
            await until(lambda: supervisor.keys.state is KeyState.READY)
            other = Keychain.open(tmp_path, RealDisk(), vault)
            other.unlock()
            sessions = Sessions(
                tmp_path, RealDisk(), other, owner=this_process(), wall=time.time, entropy=os.urandom
            )
            assert rotate(sessions, Credentials(tmp_path, RealDisk(), other)).finished
            vault.locked = True
            image.edit(workspace("typed"))
            with pytest.raises(NotDurable, match="locked"):
                await image.save()
            assert supervisor.keys.state is KeyState.LOCKED
            vault.locked = False
            await until(lambda: image.session.durable)

    with standin() as endpoint, standin() as idle:
        asyncio.run(main(endpoint, idle))


def test_a_passphrase_that_is_not_given_keeps_work_in_memory(tmp_path: Path) -> None:
    """Until it is; a wrong one is refused and changes nothing."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, protection=Protection.PASSPHRASE, passphrase=HORSE) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("stored"))
            await image.save()
        notices: list[str] = []
        async with desk(tmp_path, notices=notices) as supervisor:
            image = await reached(supervisor, endpoint)
            assert (supervisor.keys.state, supervisor.keys.protection) == (
                KeyState.LOCKED,
                Protection.PASSPHRASE,
            )
            assert image.session.document.workspaces == {}
            with pytest.raises(WrongKey):
                await supervisor.unlock("wrong horse")
            assert image.state is State.CONNECTED
            await supervisor.unlock(HORSE)
            await until(lambda: image.session.standing is Standing.OPEN)
            assert image.session.document.workspaces["w"].code == "stored"
            assert image.session.durable
        assert "horse" not in " ".join(notices)
        assert any("passphrase" in each for each in notices)

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_a_wrong_key_fails_with_the_way_out_and_the_right_one_heals(tmp_path: Path) -> None:
    """A person decides; nothing is mixed, nothing deleted, and no request goes out meanwhile."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, protection=Protection.PASSPHRASE, passphrase=HORSE) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("stored"))
            await image.save()
        async with desk(tmp_path, passphrase=LAME_HORSE) as supervisor:
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.FAILED, timeout=GENEROUS_S)
            assert image.reason is Reason.UNREADABLE
            assert image.detail.startswith("wrong key: Give the right passphrase")
            with pytest.raises(TimeoutError, match=r"is Failed \(.*: wrong key: Give the right passphrase"):
                await image.wait_for(State.CONNECTED, timeout=0.01)
            assert image.session.read_only
            with pytest.raises(WrongKey):
                image.edit(workspace("nowhere"))
            await supervisor.unlock(HORSE)
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            assert image.session.document.workspaces["w"].code == "stored"

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_a_missing_key_fails_and_no_new_one_is_made(tmp_path: Path) -> None:
    """The keyring was emptied: put the entry back and restore; or start fresh, and the files stay."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        await stored(tmp_path, vault, endpoint)
        entries = dict(vault.entries)
        vault.entries.clear()
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.FAILED, timeout=GENEROUS_S)
            assert image.detail.startswith("missing key: ")
            assert not vault.entries
            vault.entries.update(entries)
            image.restore()
            await image.wait_for(State.CONNECTED, timeout=GENEROUS_S)
            await until(lambda: image.session.standing is Standing.OPEN)
            assert image.session.document.workspaces["w"].code == "stored"

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_a_lost_key_file_is_no_reason_for_a_new_key(tmp_path: Path) -> None:
    """Files name a key that nobody knows: nothing is minted over them, and the image says so."""
    vault = MemoryVault()

    async def main(endpoint: str) -> None:
        await stored(tmp_path, vault, endpoint)
        before = dict(vault.entries)
        for name in ("keys", "keys.bak"):
            (tmp_path / name).unlink(missing_ok=True)
        async with desk(tmp_path, vault=vault) as supervisor:
            image = await supervisor.connect(endpoint)
            await image.wait_for(State.FAILED, State.CONNECTED, timeout=GENEROUS_S)
            image_failed = image.state is State.FAILED
            assert image_failed
            assert "missing key" in image.detail
            assert vault.entries == before

    with standin() as endpoint:
        asyncio.run(main(endpoint))


def test_nothing_kept_is_a_choice_and_is_said(tmp_path: Path) -> None:
    """Volatile: no file, no keyring, and a mark that stays."""

    async def main(endpoint: str) -> None:
        async with desk(tmp_path, protection=Protection.VOLATILE) as supervisor:
            image = await reached(supervisor, endpoint)
            image.edit(workspace("gone tomorrow"))
            await until(lambda: image.state is State.MODIFIED)
            with pytest.raises(NotDurable, match="as you chose"):
                await image.save()
            assert image.session.document.workspaces["w"].code == "gone tomorrow"

    with standin() as endpoint:
        asyncio.run(main(endpoint))
    assert not (tmp_path / "sessions").exists()


def test_keys_belong_to_a_running_supervisor(tmp_path: Path) -> None:
    """Wrong use is refused in words."""
    with pytest.raises(UsageError, match="async with"):
        _ = Supervisor(tmp_path).keys
