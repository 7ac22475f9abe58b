"""`resilience sessions repair|clean`: finding what is wrong, and what is no longer wanted."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resilience.cli.lines import write
from resilience.cli.opening import Desk, Entry, answering
from resilience.cli.session_view import receipt_line
from resilience.cli.words import Refused, count_of, outcome_of, short, size
from store import StoreError
from store.credentials import Credentials
from store.keys import keyfile, rescue
from store.keys.keychain import Keychain
from store.outcomes import Corrupt, SessionError
from store.sessions.cleaning import Deed, Done, Step, carry_out, plan
from store.sessions.inventory import holder, key_ids
from store.sessions.repair import Report, verify
from store.sessions.repair import repair as repair_session

EXIT_WELL, EXIT_ILL = 0, 1


# -- repair ------------------------------------------------------------------------------------


def repair(
    session: str | None,
    data_dir: Path | None,
    *,
    check: bool,
    accept_rollback: bool,
    given: Path | None,
    as_json: bool,
) -> int:
    """Look at one session or at all, and mend what can be mended; returns the exit code."""
    if check and accept_rollback:
        raise click.UsageError("--check changes nothing, so there is nothing to accept.")

    def body() -> int:
        desk = Desk(data_dir, writing=not check)
        well = _keys(desk, check=check, as_json=as_json)
        desk = Desk(data_dir, writing=not check)  # the key file may be another now
        wanted = [desk.find(session)] if session else [each for each in desk.entries() if each.info]
        if wanted:
            desk.unlock(given)
        for entry in wanted:
            well &= _one(desk, entry, check=check, accept_rollback=accept_rollback, as_json=as_json)
        if session is None:
            well &= _credentials(desk, as_json=as_json)
        if not as_json and not wanted:
            click.echo(f"No sessions in {desk.data_dir}.")
        return EXIT_WELL if well else EXIT_ILL

    return answering(body, as_json=as_json)


def _one(desk: Desk, entry: Entry, *, check: bool, accept_rollback: bool, as_json: bool) -> bool:
    owner = holder(desk.sessions, entry.session)
    if owner is not None:
        _tell_open(entry, str(owner), as_json=as_json)
        return True
    if check:
        report = verify(desk.sessions, entry.session, acknowledged=entry.acknowledged)
    else:
        report = repair_session(
            desk.sessions,
            entry.session,
            acknowledged=entry.acknowledged,
            accept_rollback=accept_rollback,
        )
    (_write if as_json else _print)(entry, report)
    return report.sound or (report.repaired and report.problem is None and report.receipt is not None)


def _tell_open(entry: Entry, owner: str, *, as_json: bool) -> None:
    if as_json:
        write({"event": "repair", "session": entry.session, "image": entry.image, "open_in": owner})
    else:
        click.echo(f"{short(entry.session)}  {entry.image}  is open in {owner}: not looked at")


def _write(entry: Entry, report: Report) -> None:
    receipt = receipt_line(report.receipt) if report.receipt else None
    findings = [
        {
            "file": each.file,
            "outcome": each.outcome,
            "detail": each.detail,
            "kept": str(each.kept) if each.kept else None,
        }
        for each in report.findings
    ]
    write(
        {
            "event": "repair",
            "session": report.session,
            "image": entry.image,
            "archived": report.archived,
            "files": report.checked,
            "sound": report.sound,
            "repaired": report.repaired,
            "outcome": report.outcome,
            "findings": findings,
            "error": str(report.problem) if report.problem else None,
            "advice": report.problem.advice if report.problem else None,
            "receipt": receipt,
        }
    )


def _print(entry: Entry, report: Report) -> None:
    said = "repaired" if report.repaired else "sound" if report.sound else "not as it should be"
    where = ", archived" if report.archived else ""
    click.echo(
        f"{short(report.session)}  {entry.image}{where}  {count_of(report.checked, 'file')} read: {said}"
    )
    for each in report.findings:
        kept = f", now {each.kept.parent.name}/{each.kept.name}" if each.kept else ""
        detail = f" ({each.detail})" if each.detail else ""
        click.echo(f"  {each.file}: {each.outcome}{detail}{kept}")
    if report.repaired and report.receipt:
        click.echo(f"  {report.receipt}")
    if report.repaired and not report.receipt:
        click.echo(
            "  Nothing of it could be used, and all of it is in quarantine. If you have an export, import it."
        )
    elif report.problem and not report.repaired:
        click.echo(f"  {report.problem}")
    elif not report.sound and not report.repaired and report.archived:
        click.echo("  It is in the archive: `resilience sessions restore` it first, then repair it.")
    elif not report.sound and not report.repaired:
        click.echo("  `resilience sessions repair` without --check puts these files into quarantine.")


def _keys(desk: Desk, *, check: bool, as_json: bool) -> bool:
    """Put the key file's copy in its place if that is damaged, or find lost keys by what files name."""
    problem = desk.key_problem
    words = ""
    if isinstance(problem, Corrupt):
        if not check:
            aside = desk.sessions.directories.quarantine / f"{keyfile.NAME}-{int(time.time())}.bytes"
            desk.sessions.directories.make(aside.parent)
            if keyfile.restore_copy(desk.disk, desk.data_dir, aside) is None:
                raise problem
            words = f"was damaged; its copy is in its place, and it is now quarantine/{aside.name}"
    elif problem is not None:
        raise problem
    elif desk.keychain.protection is None and (named := key_ids(desk.sessions)):
        problem = Corrupt("find the keys", desk.data_dir / keyfile.NAME, "the key file is gone")
        if not check:
            keychain = Keychain.open(desk.data_dir, desk.disk, desk.vault)
            found = rescue.adopt(keychain, desk.vault, sorted(named))
            words = f"was gone; {count_of(len(found), 'key')} found in the keyring"
    if problem is None:
        return True
    if as_json:
        write(
            {
                "event": "repair",
                "file": keyfile.NAME,
                "outcome": outcome_of(problem),
                "repaired": bool(words),
                "error": str(problem),
            }
        )
    else:
        click.echo(f"key file  {words}" if words else f"key file  {problem}")
    return bool(words)


def _credentials(desk: Desk, *, as_json: bool) -> bool:
    """Read the credentials, if there are any; the next change mends a damaged copy."""
    credentials = Credentials(desk.data_dir, desk.disk, desk.keychain)
    try:
        if not desk.data_dir.exists() or not credentials.paths():
            return True
        credentials.names()
    except SessionError as problem:
        if as_json:
            write(
                {"event": "repair", "file": "credentials", "outcome": problem.outcome, "error": str(problem)}
            )
        else:
            click.echo(f"credentials  {problem}")
        return False
    return True


# -- clean -------------------------------------------------------------------------------------


def clean(data_dir: Path | None, *, days: float, purge: bool, carry_out: bool, as_json: bool) -> int:
    """Show what could be tidied up, and do it if told to; returns the exit code."""

    def body() -> int:
        desk = Desk(data_dir, writing=carry_out)
        steps = plan(
            desk.sessions,
            time.time(),
            last_used={each.session: each.summary.last_at for each in desk.entries() if each.summary},
            touched=touched,
            days=days,
            purge=purge,
        )
        return _carry_out(desk, steps, as_json=as_json) if carry_out else _show(steps, days, as_json=as_json)

    return answering(body, as_json=as_json)


def touched(path: Path) -> float | None:
    """When a file was last written, or moved, as far as the file system remembers."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return max(status.st_mtime, status.st_ctime)


def _show(steps: list[Step], days: float, *, as_json: bool) -> int:
    if as_json:
        for step in steps:
            write(_step_line(step) | {"done": False})
        return EXIT_WELL
    if not steps:
        click.echo(f"Nothing to tidy up: no session was unused for {days:g} days, and no writer left a part.")
        return EXIT_WELL
    table = Table(box=None, pad_edge=False)
    for heading in ("would", "what", "why", "size"):
        table.add_column(heading, overflow="fold")
    for step in steps:
        table.add_row(step.deed, Text(_name(step)), Text(step.why), size(step.size_bytes))
    Console().print(table)
    click.echo("\nNothing was done yet. Say --yes to do it; archived sessions can be restored.")
    if any(step.deed is Deed.PURGE for step in steps):
        click.echo("What is removed for good cannot be.")
    return EXIT_WELL


def _carry_out(desk: Desk, steps: list[Step], *, as_json: bool) -> int:
    failed = False
    for done in carry_out(desk.sessions, steps):
        failed = failed or done.problem is not None
        if as_json:
            write(_step_line(done.step) | _done_line(done))
        else:
            what = f"{done.step.deed}: {_name(done.step)} ({done.step.why}, {size(done.step.size_bytes)})"
            click.echo(f"{what}: {_why_not(done.problem)}" if done.problem else what)
    if not as_json and not steps:
        click.echo("Nothing to tidy up.")
    return EXIT_ILL if failed else EXIT_WELL


def _step_line(step: Step) -> dict[str, object]:
    return {
        "event": "clean",
        "deed": step.deed,
        "subject": step.subject,
        "why": step.why,
        "size_bytes": step.size_bytes,
    }


def _done_line(done: Done) -> dict[str, object]:
    if done.problem is None:
        return {"done": True}
    return {"done": False, "outcome": outcome_of(done.problem), "error": str(done.problem)}


def _why_not(problem: StoreError | Refused) -> str:
    return f"not done. {problem}"


def _name(step: Step) -> str:
    return short(step.subject) if step.deed is Deed.ARCHIVE else step.subject
