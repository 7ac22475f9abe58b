"""`resilience sessions restore|export|import|archive`: putting sessions away, elsewhere, and back."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from uuid import uuid4

import click

from resilience.cli.lines import write
from resilience.cli.opening import Desk, answering
from resilience.cli.passphrases import EXPORT, STDIN, passphrase
from resilience.cli.session_view import check_generation
from resilience.cli.words import Refused, count_of, moment, short, size
from store.errors import naming
from store.keys.passphrase import StretchError
from store.replace import replace_file
from store.sessions import Sessions
from store.sessions.inventory import stored, usage
from store.sessions.portable import (
    MAX_EXPORT_BYTES,
    Became,
    Export,
    Imported,
    bring_in,
    gather,
    is_sealed,
    plain,
    sealed,
    unpack,
)

EXPORT_OPTION = "--export-passphrase-file"
EXPORT_PROMPT = "The export's passphrase"


def archive(session: str, data_dir: Path | None, *, as_json: bool) -> int:
    """Put a session away; returns the exit code."""

    def body() -> int:
        desk = Desk(data_dir, writing=True)
        entry = desk.find(session)
        if all(each.archived for each in stored(desk.sessions, entry.session)):
            raise Refused(
                "archived", f"Session {short(entry.session)} is in the archive already.", "Nothing was done."
            )
        desk.sessions.archive(entry.session)
        if as_json:
            write({"event": "archived", "session": entry.session})
        else:
            click.echo(
                f"Session {short(entry.session)} ({entry.image}) is in the archive. "
                f"`resilience sessions restore {short(entry.session)}` brings it back."
            )
        return 0

    return answering(body, as_json=as_json)


def restore(
    session: str, data_dir: Path | None, *, generation: int | None, given: Path | None, as_json: bool
) -> int:
    """Bring a session back, or an older generation of it to the front; returns the exit code."""

    def body() -> int:
        desk = Desk(data_dir, writing=True)
        entry = desk.find(session, archived=generation is None)
        there = usage(desk.sessions, entry.session)
        was_archived = any(each.archived for each in there.files)
        check_generation(there, generation)
        if generation is None and not was_archived:
            names = ", ".join(map(str, there.generations))
            raise click.UsageError(
                f"Session {short(entry.session)} is not archived; give --generation: {names}."
            )
        if generation is not None:
            desk.unlock_to_write(given)
        if was_archived:
            desk.sessions.unarchive(entry.session)
        newest, revision = None, None
        if generation is not None:
            newest, revision = _bring_forward(desk.sessions, entry.session, generation, entry.acknowledged)
        if as_json:
            write(
                {
                    "event": "restored",
                    "session": entry.session,
                    "from_archive": was_archived,
                    "generation": generation,
                    "newest": newest,
                    "revision": revision,
                }
            )
            return 0
        if was_archived:
            click.echo(f"Session {short(entry.session)} ({entry.image}) is back from the archive.")
        if newest is not None:
            click.echo(
                f"Generation {generation} of session {short(entry.session)} is the newest again, as "
                f"generation {newest} (revision {revision}). What was newer is still there, as it was."
            )
        return 0

    return answering(body, as_json=as_json)


def _bring_forward(sessions: Sessions, session: str, generation: int, acknowledged: int) -> tuple[int, int]:
    """Make a generation the newest; return the new one's number and revision."""
    opened = sessions.open(session, generation=generation, acknowledged=acknowledged)
    try:
        revision = opened.save()
    finally:
        opened.close()
    return usage(sessions, session).generations[-1], revision


# -- export ------------------------------------------------------------------------------------


def export(
    session: str,
    file: Path,
    data_dir: Path | None,
    *,
    plain: bool,
    force: bool,
    export_given: Path | None,
    given: Path | None,
    as_json: bool,
) -> int:
    """Write a session into a file; returns the exit code."""
    if plain and export_given is not None:
        raise click.UsageError("--plain has no passphrase.")
    if given == STDIN and export_given == STDIN:
        raise click.UsageError("Only one passphrase can come from stdin.")

    def body() -> int:
        desk = Desk(data_dir)
        entry = desk.find(session)
        if file != STDIN and file.exists() and not force:
            raise Refused("exists", f"{file} is there already.", "Name another file, or say --force.")
        if file != STDIN and not file.resolve().parent.is_dir():
            raise Refused(
                "missing", f"There is no directory {file.parent}.", "Make it, or name another file."
            )
        desk.unlock(given)
        found = gather(desk.sessions, entry.session, time.time())
        data = _file(found, plain=plain, given=export_given)
        if file == STDIN:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return 0
        with naming("write the export", file):
            replace_file(desk.disk, file, data)
        if as_json:
            write(
                {
                    "event": "exported",
                    "session": entry.session,
                    "file": str(file),
                    "size_bytes": len(data),
                    "revision": found.revision,
                    "sealed": not plain,
                }
            )
        else:
            how = "in plain: whoever has the file can read it" if plain else "sealed with its passphrase"
            click.echo(
                f"Session {short(entry.session)} ({entry.image}) is in {file}, {size(len(data))}, {how}."
            )
        return 0

    return answering(body, as_json=as_json)


def _file(found: Export, *, plain: bool, given: Path | None) -> bytes:
    if plain:
        return _plain(found)
    secret = passphrase(given, EXPORT, prompt=EXPORT_PROMPT, option=EXPORT_OPTION, confirm=True)
    try:
        return sealed(found, secret, os.urandom)
    except StretchError as problem:
        raise Refused("refused", f"{problem}.", "Free some memory, and try again.") from None


_plain = plain
"""The parameter of the command has the same name."""


# -- import ------------------------------------------------------------------------------------


def bring(
    file: Path,
    data_dir: Path | None,
    *,
    merging: bool,
    export_given: Path | None,
    given: Path | None,
    as_json: bool,
) -> int:
    """Make a session of an export; returns the exit code."""
    if [file, export_given, given].count(STDIN) > 1:
        raise click.UsageError("Only one thing can come from stdin.")

    def body() -> int:
        data = _read(file)
        desk = Desk(data_dir, writing=True)
        desk.unlock_to_write(given)
        secret = None
        if is_sealed(data):
            secret = passphrase(export_given, EXPORT, prompt=EXPORT_PROMPT, option=EXPORT_OPTION)
        try:
            found = unpack(data, secret, file)
        except StretchError as problem:
            raise Refused("refused", f"{problem}.", "Free some memory, and try again.") from None
        known = {each.session: each.acknowledged for each in desk.entries()}
        came = bring_in(
            desk.sessions,
            found,
            fresh=uuid4().hex,
            merging=merging,
            acknowledged=known.get(str(found.document.get("session")), 0),
            at=time.time(),
        )
        _tell(came, found, as_json=as_json)
        return 0

    return answering(body, as_json=as_json)


def _read(file: Path) -> bytes:
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(MAX_EXPORT_BYTES + 1)
        with file.open("rb") as stream:
            return stream.read(MAX_EXPORT_BYTES + 1)
    except OSError as problem:
        raise Refused(
            "no such file", f"{file} cannot be read: {problem.strerror}.", "Name another."
        ) from None


def _tell(came: Imported, found: Export, *, as_json: bool) -> None:
    if as_json:
        write(
            {
                "event": "imported",
                "session": came.session,
                "became": came.became,
                "revision": came.revision,
                "sealed": found.sealed,
                "common": came.common,
                "decisions": [
                    {"path": each.get("path"), "action": each.get("action"), "copy_id": each.get("copy_id")}
                    for each in came.decisions
                ],
            }
        )
        return
    name = short(came.session)
    said = {
        Became.ITSELF: f"Session {name} is here now, at revision {came.revision}.",
        Became.NEW: f"A session of that id is here already; the import is session {name} of its own. "
        "(--merge joins them.)",
        Became.MERGED: f"Joined with session {name}, now at revision {came.revision}.",
        Became.NOTHING: f"Session {name} had everything in it already.",
    }
    exported = f" Exported {moment(found.at)[:16]}." if found.at else ""
    click.echo(said[came.became] + exported)
    if came.became is Became.MERGED and not came.common:
        click.echo("No state that both once had in common was found: every difference counts as a conflict.")
    if came.decisions:
        click.echo(f"{count_of(len(came.decisions), 'conflict')}; nothing was dropped:")
        for each in came.decisions:
            copied = f", theirs is {each['copy_id']}" if each.get("copy_id") else ""
            click.echo(f"  {'.'.join(map(str, each.get('path', ())))}: {each.get('action')}{copied}")
