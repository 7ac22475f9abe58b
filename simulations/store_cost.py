"""`python -m simulations store`: what the store costs, beside the bare calls it is made of and beside SQLite.

Every row compares within one run, the two sides alternating; SQLite keeps the same bytes in one table, in
WAL mode with synchronous=FULL, which syncs at every commit as the store does.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from simulations.field.report import markdown_table
from simulations.sample_session import full_document
from store import History, TransitionRecord
from store.disk import RealDisk
from store.documents import Put, State
from store.keys import Keychain, Protection
from store.sessions import Session, SessionLimits, Sessions, this_process

ROUNDS, WARM_UP = 200, 20
FEW_ROUNDS, FEW_WARM_UP = 25, 3
IMAGES = 1_000
SESSIONS = 100
FULL_BYTES = 640_000
"""Of JSON: as much as a session may hold without giving up history, for code that compresses three to one."""

TRANSITION_BAR = 1.5
RESTORE_BAR_MS, LISTING_BAR_MS, MEMORY_BAR_MB = 20.0, 100.0, 5.0
MISSED = 1

_MEASURE_MEMORY = """
import sys
from pathlib import Path
from simulations.store_cost import shelf
from store.documents import load
import store.documents.parsing
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
sessions = shelf(Path(sys.argv[1]))
load(b'{"format":1,"session":"%s","created_at":1.0}' % (b"a" * 32))
before = resident()
found = sessions.listing()
held = []
for each in found[:int(sys.argv[2])]:
    held.append(sessions.open(each.session))
    assert held[-1].rest()
print(len(found), resident() - before)
for session in held:
    session.close()
"""


class _NoVault:
    """The bench keeps its key in the directory it throws away."""

    def usable(self) -> str | None:
        return "not used here"

    def get(self, name: str) -> str | None:
        raise NotImplementedError(name)

    def set(self, name: str, secret: str) -> None:
        raise NotImplementedError(name)

    def delete(self, name: str) -> None:
        raise NotImplementedError(name)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured.

    Attributes:
        what: it was.
        ours: its median, in `unit`.
        bare: that of the bare calls with the same bytes; None: there are none to compare.
        sqlite: that of the same through SQLite; None: not done.
        bar: what `ours` must not exceed, or its ratio to `bare` if `of_bare`; None: no bar is set.
        size: bytes that were written or read.
    """

    what: str
    ours: float
    bare: float | None = None
    sqlite: float | None = None
    bar: float | None = None
    of_bare: bool = False
    unit: str = "ms"
    size: int = 0

    @property
    def ratio(self) -> float | None:
        """Ours, as a multiple of bare."""
        return self.ours / self.bare if self.bare else None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None if there is none."""
        held = self.ratio if self.of_bare else self.ours
        return None if self.bar is None or held is None else held <= self.bar

    def cells(self) -> list[str]:
        """The row of a table."""
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        bar = (
            ""
            if self.bar is None
            else f"{verdict}: {self.bar:g}{' x bare' if self.of_bare else f' {self.unit}'}"
        )
        return [
            self.what,
            f"{self.size:,}" if self.size else "",
            f"{self.ours:.3g} {self.unit}",
            "" if self.bare is None else f"{self.bare:.3g}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.sqlite is None else f"{self.sqlite:.3g}",
            bar,
        ]


HEADER = ["what", "bytes", "the store", "bare", "ratio", "SQLite", "bar"]


def shelf(data_dir: Path) -> Sessions:
    """Return the sessions of a directory, with a key that lies beside them."""
    disk, vault = RealDisk(), _NoVault()
    data_dir.mkdir(mode=0o700, exist_ok=True)
    keychain = Keychain.open(data_dir, disk, vault)
    if keychain.protection is None:
        keychain.choose(Protection.INSECURE)
    keychain.unlock()
    return Sessions(data_dir, disk, keychain, owner=this_process(), wall=time.time, entropy=os.urandom)


# -- the table -------------------------------------------------------------------------


def measure() -> list[Row]:
    """Measure everything."""
    with TemporaryDirectory(prefix="resilience-store-") as directory:
        place = Path(directory)
        return [
            _transition(place / "transition", 1, ROUNDS, WARM_UP),
            _transition(place / "group", IMAGES, FEW_ROUNDS, FEW_WARM_UP),
            _edit(place / "edit"),
            _save_full(place / "full"),
            *_restore_full(place / "restore"),
            _listing(place / "listing"),
            *_memory(place / "listing"),
        ]


def _transition(place: Path, images: int, rounds: int, warm_up: int) -> Row:
    data_dir = place / "data"
    ours, bare, lite, sizes = [], [], [], []
    with _appending(place) as append, _database(place) as database, History.open(data_dir) as history:
        for number in range(warm_up + rounds):
            before = _sizes(data_dir / "journal")
            ours.append(_timed(partial(_record, history, images, number)))
            written = _added(data_dir / "journal", before)
            sizes.append(len(written))
            bare.append(_timed(partial(append, written)))
            part = [written[i * len(written) // images :][: len(written) // images] for i in range(images)]
            lite.append(_timed(partial(_insert, database, part)))
    what = "a durable transition" if images == 1 else f"{images:,} images at once, one transition each"
    return Row(
        what,
        median(ours[warm_up:]),
        median(bare[warm_up:]),
        median(lite[warm_up:]),
        TRANSITION_BAR if images == 1 else None,
        of_bare=True,
        size=int(median(sizes[warm_up:])),
    )


def _record(history: History, images: int, number: int) -> None:
    for image in range(images):
        key = f"10.0.{image // 250}.{image % 250}:5555"
        source, target = ("Connected", "Reconnecting") if number % 2 else ("Reconnecting", "Connected")
        record = TransitionRecord(
            key,
            f"tcp://{key}",
            f"{image:032x}",
            number + 1,
            time.time(),
            source,
            "link_lost" if number % 2 else "image_answered",
            target,
            "the interface lost its address",
        )
        history.record(record)
    history.commit()


def _edit(place: Path) -> Row:
    sessions = shelf(_made(place) / "data")
    session = sessions.create(f"{1:032x}", "10.0.0.2:5555", "tcp://10.0.0.2:5555")
    session.save()
    ours, bare, lite, sizes = [], [], [], []
    with _appending(place) as append, _database(place) as database:
        for number in range(WARM_UP + ROUNDS):
            before = _sizes(sessions.places.sessions)
            code = f"{number}: Transcript showln: 'a line of somebody''s work, {number * 7919}'. " * 4
            session.edit(Put("workspaces", {"title": "Workspace", "code": code}, "w1"))
            ours.append(_timed(session.save))
            written = _added(sessions.places.sessions, before)
            if _sizes(sessions.places.sessions).keys() != before.keys():
                ours.pop()  # a new generation began; that is the next row
                continue
            sizes.append(len(written))
            bare.append(_timed(partial(append, written)))
            lite.append(_timed(partial(_insert, database, [written])))
    session.close()
    return Row(
        "a durable edit",
        median(ours),
        median(bare),
        median(lite),
        size=int(median(sizes)),
    )


def _save_full(place: Path) -> Row:
    sessions = shelf(_made(place) / "data")
    session = _full_session(sessions, 1)
    ours, bare, lite, size = [], [], [], 0
    with _database(place) as database:
        for number in range(FEW_WARM_UP + FEW_ROUNDS):
            session.become({**session.state, "unsent_input": f"{number}"})
            ours.append(_timed(session.save))
            sessions.prune(session)
            newest = max(sessions.places.sessions.glob("*.session"))
            data = newest.read_bytes()
            size = len(data)
            bare.append(_timed(partial(_replace, place, data)))
            document = json.dumps(session.state).encode()
            lite.append(_timed(partial(_insert_compressed, database, document)))
    session.close()
    if size > SessionLimits().snapshot_bytes:
        raise RuntimeError(f"the sample takes {size} bytes: it was not saved whole")
    skip = FEW_WARM_UP
    what = f"a whole session of {FULL_BYTES // 1000} KB saved, compressed and sealed"
    return Row(what, median(ours[skip:]), median(bare[skip:]), median(lite[skip:]), size=size)


def _restore_full(place: Path) -> Iterator[Row]:
    sessions = shelf(_made(place) / "data")
    session = _full_session(sessions, 1)
    session.save()
    session.close()
    newest = max(sessions.places.sessions.glob("*.session"))
    ours, bare, lite = [], [], []
    with _database(place) as database:
        _insert(database, [zlib.compress(json.dumps(session.state).encode(), 1)])
        for _ in range(FEW_WARM_UP + FEW_ROUNDS):
            began = time.perf_counter()
            opened = sessions.open(session.id)
            ours.append(_since_ms(began))
            opened.close()
            bare.append(_timed(newest.read_bytes))
            lite.append(_timed(lambda: json.loads(zlib.decompress(_select(database)))))
    skip = FEW_WARM_UP
    yield Row(
        f"a whole session of {FULL_BYTES // 1000} KB restored",
        median(ours[skip:]),
        median(bare[skip:]),
        median(lite[skip:]),
        RESTORE_BAR_MS,
        size=newest.stat().st_size,
    )


def _listing(place: Path) -> Row:
    sessions = shelf(_made(place) / "data")
    with _database(place) as database:
        for number in range(SESSIONS):
            session = _full_session(sessions, number, size_bytes=60_000)
            session.save()
            session.close()
            _insert(database, [json.dumps([session.id, "10.0.0.2:5555", number]).encode()])
        ours, lite = [], []
        for _ in range(FEW_WARM_UP + FEW_ROUNDS):
            ours.append(_timed(sessions.listing))
            lite.append(_timed(lambda: [json.loads(row[0]) for row in database.execute("select b from t")]))
    if len(sessions.listing()) != SESSIONS:
        raise RuntimeError("not every session is listed")
    skip = FEW_WARM_UP
    what = f"{SESSIONS} sessions listed, without a key"
    return Row(what, median(ours[skip:]), None, median(lite[skip:]), LISTING_BAR_MS)


def _memory(place: Path) -> Iterator[Row]:
    for held, what in (
        (0, f"memory: {SESSIONS} sessions listed"),
        (SESSIONS, f"memory: {SESSIONS} open, at rest"),
    ):
        command = [sys.executable, "-c", _MEASURE_MEMORY, str(place / "data"), str(held)]
        root = Path(__file__).parent.parent
        run = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
        count, grown = map(int, run.stdout.split())
        if count != SESSIONS:
            raise RuntimeError("not every session was found")
        yield Row(what, grown / 1e6, bar=MEMORY_BAR_MB, unit="MB")


# -- what is compared with -------------------------------------------------------------


def _full_session(sessions: Sessions, number: int, size_bytes: int = FULL_BYTES) -> Session:
    document: State = full_document(size_bytes, number)
    key = f"10.0.0.{number}:5555"
    session = sessions.create(f"{number + 1:032x}", key, f"tcp://{key}")
    session.become({**document, "session": session.id})
    return session


def _made(place: Path) -> Path:
    place.mkdir(mode=0o700, exist_ok=True)
    return place


@contextmanager
def _appending(place: Path) -> Iterator[Callable[[bytes], None]]:
    descriptor = os.open(_made(place) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(data: bytes) -> None:
        os.write(descriptor, data)
        os.fdatasync(descriptor)

    try:
        yield append
    finally:
        os.close(descriptor)


def _replace(place: Path, data: bytes) -> None:
    part, target = place / "bare.part", place / "bare"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, data)
    os.fdatasync(descriptor)
    os.close(descriptor)
    part.replace(target)
    descriptor = os.open(place, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


@contextmanager
def _database(place: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(_made(place) / "lite.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table t (id integer primary key, b blob)")
    try:
        yield database
    finally:
        database.close()


def _insert(database: sqlite3.Connection, rows: list[bytes]) -> None:
    database.execute("begin")
    database.executemany("insert into t (b) values (?)", [(row,) for row in rows])
    database.execute("commit")


def _insert_compressed(database: sqlite3.Connection, document: bytes) -> None:
    _insert(database, [zlib.compress(document, 1)])


def _select(database: sqlite3.Connection) -> bytes:
    found: bytes = database.execute("select b from t order by id desc limit 1").fetchone()[0]
    return found


def _sizes(directory: Path) -> dict[Path, int]:
    return {file: file.stat().st_size for file in directory.iterdir()}


def _added(directory: Path, before: dict[Path, int]) -> bytes:
    parts = []
    for path, size in sorted(_sizes(directory).items()):
        with path.open("rb") as file:
            file.seek(before.get(path, 0))
            parts.append(file.read(size))
    return b"".join(parts)


def _timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return _since_ms(began)


def _since_ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


# -- the command -----------------------------------------------------------------------


def store(
    *,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows here.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table here.")] = None,
) -> None:
    """Measure what the store costs, beside bare calls and SQLite; exit 1 if a bar is missed."""
    rows = measure()
    table = Table(*HEADER, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.cells())
    Console(highlight=False).print(table)
    if json_file:
        found = [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows]
        json_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if markdown_file:
        markdown_file.write_text(markdown_table(HEADER, [row.cells() for row in rows]), encoding="utf-8")
    if any(row.met is False for row in rows):
        raise typer.Exit(MISSED)
