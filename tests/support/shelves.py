"""Sessions for tests: a shelf with a key at hand, on any disk, with clocks and dice that repeat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from store.disk import Disk, RealDisk
from store.documents import Append, Edit, Put, State
from store.keys import Keychain, Protection
from store.sessions import Owner, Session, SessionLimits, Sessions
from vaults import MemoryVault

SID = "a" * 32
OTHER = "b" * 32
IMAGE, ENDPOINT = "10.0.0.2:5555", "tcp://10.0.0.2:5555"
OWNER = Owner(4711, "boot:1", "desk", "ann")


def shelf(
    data_dir: Path,
    disk: Disk | None = None,
    *,
    seed: int = 0,
    owner: Owner = OWNER,
    wall: Callable[[], float] = lambda: 1000.0,
    vault: MemoryVault | None = None,
    limits: SessionLimits | None = None,
) -> Sessions:
    """Return the sessions of a directory, their keys unlocked; made at the first call."""
    disk = disk or RealDisk()
    dice = Random(seed)
    with suppress(FileExistsError):
        disk.mkdir(data_dir)
    keychain = Keychain.open(data_dir, disk, vault or MemoryVault(), entropy=dice.randbytes)
    if keychain.protection is None:
        keychain.choose(Protection.KEYRING if vault else Protection.INSECURE)
    keychain.unlock()
    return Sessions(data_dir, disk, keychain, owner=owner, wall=wall, entropy=dice.randbytes, limits=limits)


def begun(sessions: Sessions, session: str = SID) -> Session:
    """Return a new session."""
    return sessions.create(session, IMAGE, ENDPOINT)


def typed(text: str, workspace: str = "w1") -> Edit:
    """Return the edit of somebody who typed this into a workspace."""
    return Put("workspaces", {"title": workspace, "code": text}, workspace)


def evaluated(number: int, text: str = "3 + 4") -> Edit:
    """Return what is added to the history by an evaluation."""
    record: dict[str, object] = {
        "id": f"e{number}",
        "at": float(number),
        "code": text,
        "result": "7",
        "ok": True,
    }
    return Append("evaluations", record)


def code(state: State, workspace: str = "w1") -> str | None:
    """Return what stands in a workspace."""
    found = state["workspaces"].get(workspace, {}).get("code")
    return found if isinstance(found, str) else None
