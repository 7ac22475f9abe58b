"""What `resilience doctor` asks of the data directory: whether it can be relied on, and what is in it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from resilience.cli.doctor import Check, Finding, fail, ok, warn
from resilience.cli.opening import Desk
from resilience.cli.words import Refused, count_of, short, size
from store import RealDisk, StoreError, default_data_dir
from store.disk import write_all
from store.errors import disk_error
from store.keys import Protection, VaultError
from store.sessions.inventory import holder, key_ids
from store.sessions.repair import verify

CHOOSE = "`resilience keys protect keyring` (or passphrase, volatile, insecure) chooses one."
LOW_SPACE_BYTES = 50_000_000
"""Fifty full sessions."""

OTHERS = 0o077
IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"})


def store_checks(data_dir: Path | None, given: Path | None) -> list[tuple[str, Check]]:
    """Every check, by name."""
    where = data_dir or default_data_dir()

    @cache  # one for all, so that nobody is asked for a passphrase twice
    def desk() -> Desk:
        return Desk(where)

    return [
        ("data directory", lambda: _directory(where)),
        ("permissions", lambda: _permissions(where)),
        ("durability", lambda: _durability(where)),
        ("locks", lambda: _locks(where)),
        ("keyring", lambda: _keyring(desk())),
        ("keys", lambda: _told("keys", lambda: _keys(desk(), given))),
        ("sessions", lambda: _told("sessions", lambda: _sessions(desk(), given))),
        ("journal", lambda: _told("journal", lambda: _journal(desk()))),
    ]


def _told(check: str, body: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What the store refuses is what the check found."""
    try:
        yield from body()
    except StoreError as problem:
        yield fail(check, str(problem), "")
    except Refused as problem:
        yield warn(check, problem.words, problem.advice)


# -- the place ---------------------------------------------------------------------------------


def _directory(where: Path) -> Iterator[Finding]:
    standing = _standing(where)
    try:
        RealDisk().check_writable(standing)
    except OSError as problem:
        refusal = disk_error("write there", standing, problem)
        yield fail("data directory", f"{where}: {problem.strerror}", refusal.advice)
        return
    free = shutil.disk_usage(standing).free
    words = f"{where}, {size(free)} free"
    if not where.exists():
        words += "; made when it is first needed"
    if free < LOW_SPACE_BYTES:
        yield warn("data directory", words, "Free some space there, before something has to wait for it.")
    else:
        yield ok("data directory", words)


def _standing(where: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    return next(part for part in (where, *where.absolute().parents) if part.exists())


def _permissions(where: Path) -> Iterator[Finding]:
    if sys.platform == "win32" or not where.exists():
        yield ok("permissions", "new files are for their owner alone")
        return
    paths = [where, *sorted(path for path in where.rglob("*") if not path.is_symlink())]
    open_to_others = [path for path in paths if path.stat().st_mode & OTHERS]
    theirs = [path for path in paths if path.stat().st_uid != os.geteuid()]
    if theirs:
        yield warn(
            "permissions",
            f"{count_of(len(theirs), 'file')} of another owner, {theirs[0].relative_to(where)} for one",
            f"chown -R {os.geteuid()} {where}",
        )
    if open_to_others:
        yield warn(
            "permissions",
            f"{count_of(len(open_to_others), 'file')} can be used by others, "
            f"{open_to_others[0].relative_to(where)} for one",
            f"chmod -R go= {where}",
        )
    if not theirs and not open_to_others:
        yield ok("permissions", f"{count_of(len(paths), 'file')}, for their owner alone")


def _durability(where: Path) -> Iterator[Finding]:
    kind, options = _mount(_standing(where))
    named = f"{kind}: " if kind else ""
    if kind in IN_MEMORY:
        yield fail(
            "durability",
            f"{named}everything there is gone after a restart",
            "Choose a data directory on a disk: --data-dir.",
        )
        return
    if {"barrier=0", "nobarrier"} & options:
        yield fail(
            "durability",
            f"{named}it is mounted without barriers, so a power cut may lose what was saved",
            "Mount it without `nobarrier`.",
        )
        return
    try:
        took_ms = _sync_takes(where) * 1000
    except OSError as problem:
        refusal = disk_error("save there", where, problem)
        yield fail("durability", f"{named}{problem.strerror}", refusal.advice)
        return
    words = f"{named}a file and its name are on the medium in {took_ms:.1f} ms"
    if kind in REMOTE:
        yield warn(
            "durability",
            f"{words}, as the other machine says",
            "Locks and power cuts there are that machine's affair: a local disk is better.",
        )
    else:
        yield ok("durability", words)


def _sync_takes(where: Path) -> float:
    """Seconds for one small file, in a directory of its own that is removed again."""
    disk = RealDisk()
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=_standing(where)) as name:
        begun = time.perf_counter()
        handle = disk.create(Path(name) / "probe")
        try:
            write_all(disk, handle, bytes(4096))
            disk.sync(handle)
        finally:
            disk.close(handle)
        disk.sync_dir(Path(name))
        return time.perf_counter() - begun


def _mount(path: Path) -> tuple[str, set[str]]:
    """Kind and options of the file system a path is on; empty where that cannot be told."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "", set()
    best: tuple[int, str, set[str]] = (-1, "", set())
    resolved = path.resolve()
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, rest = left.split(), right.split()
        point = Path(fields[4].encode().decode("unicode_escape"))
        if resolved.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), rest[0], {*fields[5].split(","), *rest[2].split(",")})
    return best[1], best[2]


def _locks(where: Path) -> Iterator[Finding]:
    disk = RealDisk()
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=_standing(where)) as name:
            path = Path(name) / "lock"
            handles = [disk.create(path), disk.open(path)]
            taken = [disk.lock(handle) for handle in handles]
            for handle in handles:
                disk.close(handle)
    except OSError as problem:
        refusal = disk_error("lock a file there", where, problem)
        yield fail("locks", f"a file cannot be locked there: {problem.strerror}", refusal.advice)
        return
    if taken == [True, False]:
        yield ok("locks", "who has a session open keeps others out")
    else:
        yield fail(
            "locks",
            "locks there keep nobody out: two programs could write one session",
            "Choose a data directory on a local disk: --data-dir.",
        )


# -- keys --------------------------------------------------------------------------------------


def _keyring(desk: Desk) -> Iterator[Finding]:
    try:
        refusal = desk.vault.usable()
    except VaultError as problem:
        refusal = str(problem)
    if refusal is None:
        yield ok("keyring", "can be used")
    elif desk.key_problem is None and desk.keychain.protection is Protection.KEYRING:
        yield fail(
            "keyring", f"{refusal}; the keys here are in it", "Start or unlock it: nothing is lost meanwhile."
        )
    else:
        yield warn(
            "keyring",
            refusal,
            "Start one, or protect the keys otherwise: `resilience keys protect passphrase`.",
        )


def _keys(desk: Desk, given: Path | None) -> Iterator[Finding]:
    if not desk.data_dir.exists():
        yield warn("keys", "how stored sessions are protected was not chosen yet", CHOOSE)
        return
    keychain = desk.keychain
    if lost := sorted(key_ids(desk.sessions) - set(keychain.key_ids)):
        yield fail(
            "keys",
            f"files name key {', '.join(lost)}, which is not here",
            "Put the file `keys` back from a backup, or run `resilience sessions repair`.",
        )
    if keychain.protection is None:
        yield warn("keys", "how stored sessions are protected was not chosen yet", CHOOSE)
        return
    desk.unlock(given)
    words = f"{keychain.protection}, {keychain.state}: {keychain.why}"
    if keychain.protection is Protection.INSECURE:
        advice = "`resilience keys protect keyring` or `passphrase` ends that, and `keys rotate` then."
        yield warn("keys", words, advice)
    elif keychain.protection is Protection.VOLATILE:
        yield warn("keys", "volatile: no session is ever written, as was chosen", CHOOSE)
    else:
        yield ok("keys", words)
    if keychain.incoming_id:
        yield warn("keys", "a rotation is not finished", "`resilience keys rotate` goes on with it.")


# -- what is stored ----------------------------------------------------------------------------


def _sessions(desk: Desk, given: Path | None) -> Iterator[Finding]:
    entries = [each for each in desk.entries() if each.info]
    total = sum(each.info.size for each in entries if each.info)
    if not entries:
        yield ok("sessions", "none are stored")
        return
    desk.unlock(given)
    ill = 0
    for entry in entries:
        if holder(desk.sessions, entry.session):
            continue
        report = verify(desk.sessions, entry.session, acknowledged=entry.acknowledged)
        if report.sound:
            continue
        ill += 1
        what = report.problem or ", ".join(f"{each.file} is {each.outcome}" for each in report.findings)
        advice = "" if report.problem else f"`resilience sessions repair {short(entry.session)}`"
        yield fail("sessions", f"{short(entry.session)} ({entry.image}): {what}", advice)
    words = f"{count_of(len(entries), 'session')}, {size(total)}"
    if not ill:
        archived = sum(1 for each in entries if each.info and each.info.archived)
        yield ok(
            "sessions",
            f"{words}; every file of them is true" + (f"; {archived} archived" if archived else ""),
        )


def _journal(desk: Desk) -> Iterator[Finding]:
    receipt = desk.history.receipt
    words = f"{count_of(receipt.records, 'record')} in {count_of(receipt.segments, 'segment')}"
    worse = Counter(
        {
            "damaged": len(receipt.damaged),
            "of a later version": len(receipt.too_new),
            "with records that cannot be understood": receipt.skipped,
        }
    )
    troubles = ", ".join(f"{count} {what}" for what, count in worse.items() if count)
    if troubles:
        yield warn("journal", f"{words}; {troubles}", "They are kept as they are; everything else is used.")
    else:
        torn = (
            f"; {count_of(len(receipt.torn), 'torn end')}, mended at the next start" if receipt.torn else ""
        )
        yield ok("journal", words + torn)
