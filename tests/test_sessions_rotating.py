"""A new key for everything: whatever stops it, every file stays openable, and asking again ends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from commanding import flip, snapshots, work
from journals import DISK_CALLS
from shelves import OTHER, SID, evaluated, shelf
from store.credentials import Credentials, Token
from store.disk import RealDisk
from store.sealed import peek
from store.sessions import Sessions
from store.sessions.inventory import files_by_key, key_ids, stored
from store.sessions.repair import verify
from store.sessions.rotating import Rotated, rotate
from vaults import MemoryVault

CHANGING = DISK_CALLS - {"read", "listing", "close", "lock", "check_writable", "open"}


SHARES = 4
"""Into so many tests is the long one split."""


class Stopped(BaseException):
    """The process dies here."""


class Quick(RealDisk):
    """Syncs nothing: these processes die, and the machine goes on."""

    def sync(self, handle: int) -> None:
        pass

    def sync_dir(self, path: Path) -> None:
        pass


class Dying(Quick):
    """Lets the process die before its n-th call that changes something."""

    def __init__(self, lives: int) -> None:
        self.left = lives

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        return self.counted(found) if name in CHANGING else found

    def counted(self, call: Callable[..., object]) -> Callable[..., object]:
        """Count, then call."""

        def counting(*arguments: object) -> object:
            if self.left == 0:
                raise Stopped
            self.left -= 1
            return call(*arguments)

        return counting


_seeds = count()


def opened_shelf(data_dir: Path, vault: MemoryVault) -> Sessions:
    """Open a directory as a process of its own would, with dice of its own."""
    return shelf(data_dir, seed=next(_seeds), vault=vault)


def made(data_dir: Path, vault: MemoryVault) -> Sessions:
    """Two sessions, one of them archived, an upgrade backup, and credentials."""
    sessions = opened_shelf(data_dir, vault)
    work(sessions)
    work(sessions, OTHER, "10.0.0.3:5555", lives=1)
    opened = sessions.open(SID)
    opened.edit(evaluated(5))
    opened.save()
    opened.close(compact=False)
    shutil.copy(snapshots(data_dir)[0], data_dir / "sessions" / f"{SID}-00000001.v0")
    sessions.archive(OTHER)
    Credentials(data_dir, RealDisk(), sessions.keychain).set("lab", Token("secret"))
    return sessions


def everything_opens(data_dir: Path, vault: MemoryVault, disk: RealDisk | None = None) -> Sessions:
    """Open all of it as a new process would."""
    sessions = shelf(data_dir, disk, seed=next(_seeds), vault=vault)
    for session in (SID, OTHER):
        report = verify(sessions, session)
        assert report.sound, report
    assert Credentials(data_dir, RealDisk(), sessions.keychain).get("lab") == Token("secret")
    assert key_ids(sessions) <= set(sessions.keychain.key_ids)
    return sessions


def turn(sessions: Sessions) -> Rotated:
    """Rotate."""
    disk = sessions.directories.disk
    return rotate(sessions, Credentials(sessions.places.data_dir, disk, sessions.keychain))


def test_every_file_is_sealed_for_the_new_key_alone(tmp_path: Path) -> None:
    """Snapshots, logs, backups, archive, credentials; the old key is forgotten, in the keyring too."""
    vault = MemoryVault()
    sessions = made(tmp_path, vault)
    old = sessions.keychain.active_id
    records = {each.path: _records(each.path) for each in stored(sessions)}
    rotated = turn(sessions)
    assert rotated.finished
    assert rotated.forgotten == (old,)
    assert rotated.rewrapped == len(records) + 2
    assert list(files_by_key(sessions)) == [rotated.key]
    assert sessions.keychain.key_ids == (rotated.key,)
    assert len(vault.entries) == 1
    assert {path: _records(path) for path in records} == records  # nothing but headers was written anew
    everything_opens(tmp_path, vault)


def _records(path: Path) -> bytes:
    return path.read_bytes()[-32:]


def test_rotating_again_is_another_key(tmp_path: Path) -> None:
    """And again."""
    vault = MemoryVault()
    made(tmp_path, vault)
    keys = {turn(everything_opens(tmp_path, vault)).key for _ in range(3)}
    assert len(keys) == 3
    everything_opens(tmp_path, vault)


def test_what_is_open_elsewhere_is_waited_for(tmp_path: Path) -> None:
    """Not finished, and said so; what is written meanwhile names both; then it goes on with the same key."""
    vault = MemoryVault()
    made(tmp_path, vault)
    theirs = everything_opens(tmp_path, vault)
    opened = theirs.open(SID)
    ours = opened_shelf(tmp_path, vault)
    old = ours.keychain.active_id
    rotated = turn(ours)
    assert not rotated.finished
    assert rotated.waiting
    assert all(SID in each.path.name for each in rotated.waiting)
    assert ours.keychain.active_id == old
    opened.edit(evaluated(6))
    opened.close()
    newest = peek(snapshots(tmp_path)[-1].read_bytes())
    assert newest is not None
    assert {wrap.key for wrap in newest.wraps} == {old, rotated.key}
    again = turn(everything_opens(tmp_path, vault))
    assert (again.key, again.finished, again.forgotten) == (rotated.key, True, (old,))
    everything_opens(tmp_path, vault)


def test_what_no_key_opens_keeps_its_key(tmp_path: Path) -> None:
    """A damaged file, and what is in quarantine: the old key stays, in case somebody can mend them."""
    vault = MemoryVault()
    sessions = made(tmp_path, vault)
    old = sessions.keychain.active_id
    damaged = snapshots(tmp_path)[0]
    flip(damaged, -40)  # behind the header: sealed anew all the same
    broken = tmp_path / "sessions" / f"{SID}-00000001.v0"
    flip(broken, 30)
    sessions.directories.keep("aside", snapshots(tmp_path)[1].read_bytes())
    rotated = turn(sessions)
    assert rotated.finished
    assert [each.path for each in rotated.left] == [broken]
    assert rotated.kept == (old,)
    assert vault.entries.keys() >= {f"session-key-{old}"}


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_a_crash_at_any_step_costs_nothing(tmp_path: Path, share: int) -> None:
    """At each call that changes something: all opens after it, and asked again it ends with one key."""
    template, entries = tmp_path / "template", MemoryVault()
    made(template, entries)
    lives = share
    while True:
        where, vault = tmp_path / str(lives), MemoryVault(dict(entries.entries))
        shutil.copytree(template, where)
        disk = Dying(-1)
        dying = shelf(where, disk, seed=next(_seeds), vault=vault)
        disk.left = lives
        try:
            turn(dying)
        except Stopped:
            disk.left = -1
        else:
            break
        survivor = everything_opens(where, vault, Quick())
        assert turn(survivor).finished
        assert len(everything_opens(where, vault).keychain.key_ids) == 1
        shutil.rmtree(where)
        lives += SHARES
    assert lives > 40


@pytest.mark.parametrize("session", [SID, OTHER])
def test_one_session_waiting_keeps_nothing_from_the_others(tmp_path: Path, session: str) -> None:
    """They name the new key already."""
    vault = MemoryVault()
    sessions = made(tmp_path, vault)
    lease = sessions.lease(session)
    ours = opened_shelf(tmp_path, vault)
    rotated = turn(ours)
    lease.release()
    named = {each.path: peek(each.path.read_bytes()) for each in stored(ours) if each.session != session}
    for header in named.values():
        assert header is not None
        assert rotated.key in {wrap.key for wrap in header.wraps}
