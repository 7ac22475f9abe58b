"""Commands in this process: what they print, their exit code; and data directories for them to look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from resilience.cli import app, opening
from shelves import OTHER, SID, evaluated, shelf, typed
from store import History, RealDisk, TransitionRecord
from store.sessions import Sessions
from vaults import MemoryVault

DONE, FAILED, USAGE = 0, 1, 2
CANARY = "Xylophone-canary-4711"
CODE = f'"{CANARY}"\n| x |\nx := 3.\nx + 4'
WALL_S = 1_790_000_000.0


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> MemoryVault:
    """The keyring that commands find: this one, and not the machine's."""
    vault = MemoryVault()
    monkeypatch.setattr(opening, "KeyringVault", lambda: vault)
    return vault


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it printed, each line read as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        """The only one."""
        (line,) = self.lines
        return line


def resilience(
    *arguments: str | Path,
    data_dir: Path | None = None,
    environment: dict[str, str] | None = None,
    stdin: bytes | str | None = None,
) -> Ran:
    """Run a command; whatever it lets through that is no exit is raised."""
    where = ["--data-dir", str(data_dir)] if data_dir is not None else []
    done = CliRunner().invoke(
        app, [*map(str, arguments), *where], env=environment, input=stdin, prog_name="resilience"
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)


def at(data_dir: Path) -> Callable[..., Ran]:
    """Return what runs commands on a data directory."""
    return partial(resilience, data_dir=data_dir)


def work(sessions: Sessions, session: str = SID, image: str = "10.0.0.2:5555", lives: int = 3) -> int:
    """Let somebody work on a session in several lives, a generation each; return its revision."""
    opened = sessions.create(session, image, f"tcp://{image}")
    opened.edit(typed(CODE), evaluated(1, f"'{CANARY}' size"))
    opened.save()
    opened.close()
    for life in range(2, lives + 1):
        opened = sessions.open(session)
        opened.edit(typed(f"{life}", f"w{life}"))
        opened.save()
        opened.close()
    return opened.revision


def journaled(data_dir: Path, session: str, image: str, revision: int, when: float = WALL_S) -> None:
    """Let the journal know a session as it stands."""
    with History.open(data_dir) as history:
        history.record(
            TransitionRecord(
                image,
                f"tcp://{image}",
                session,
                history.next_seq(image),
                when,
                "Fresh",
                "image_answered",
                "Connected",
                "image answered",
                revision=revision,
            )
        )
        history.commit()


def furnished(data_dir: Path) -> Sessions:
    """Return a directory with two sessions of two images, insecure keys and a journal."""
    sessions = shelf(data_dir, RealDisk(), wall=lambda: WALL_S)
    for session, image in ((SID, "10.0.0.2:5555"), (OTHER, "10.0.0.3:5555")):
        journaled(data_dir, session, image, work(sessions, session, image))
    return sessions


def files(data_dir: Path) -> dict[str, bytes]:
    """Return every file below a directory; locks are only words."""
    return {
        path.relative_to(data_dir).as_posix(): path.read_bytes()
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and path.suffix != ".lease"
    }


def flip(path: Path, where: int = -20) -> bytes:
    """Damage one byte of a file; return what it was."""
    whole = path.read_bytes()
    data = bytearray(whole)
    data[where] ^= 0x40
    path.write_bytes(data)
    return whole


def loose_modes(data_dir: Path) -> list[str]:
    """Return whatever is not for its owner alone: files 0600, directories 0700."""
    wrong: list[str] = []
    for path in (data_dir, *sorted(data_dir.rglob("*"))):
        wanted = 0o700 if path.is_dir() else 0o600
        if path.stat().st_mode & 0o777 != wanted:
            wrong.append(f"{path.name} {path.stat().st_mode & 0o777:o}")
    return wrong


def snapshots(data_dir: Path, session: str = SID) -> list[Path]:
    """Return a session's snapshots, the oldest first."""
    return sorted((data_dir / "sessions").glob(f"{session}-*.session"))


def words_of(problem: BaseException) -> Iterator[str]:
    """Everything an exception and what led to it would show."""
    seen: BaseException | None = problem
    while seen is not None:
        yield from (str(seen), repr(seen), repr(seen.args))
        seen = seen.__cause__ or seen.__context__
