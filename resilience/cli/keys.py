"""`resilience keys status|protect|rotate|set-passphrase`: whose keys protect what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resilience.cli.lines import write
from resilience.cli.opening import OPTION, Desk, answering
from resilience.cli.passphrases import KEYS, NEW, STDIN, passphrase
from resilience.cli.words import Refused, count_of
from store import StoreError
from store.credentials import Credentials
from store.keys import Keychain, KeyState, Protection, VaultError
from store.sessions.inventory import files_by_key, key_ids
from store.sessions.rotating import Rotated
from store.sessions.rotating import rotate as rotate_keys

NEW_OPTION = "--new-passphrase-file"
NEW_PROMPT = "The new passphrase"

_SAID = {
    Protection.KEYRING: "the operating system's keyring holds the keys",
    Protection.PASSPHRASE: "a passphrase opens the keys; without it nothing can be read any more",
    Protection.INSECURE: "INSECURE: the keys stand in a file; whoever can read that can read everything",
    Protection.VOLATILE: "there are no keys, and no session is ever written",
}


def status(data_dir: Path | None, *, unlock: bool, given: Path | None, as_json: bool) -> int:
    """Print what can be said of the keys; returns the exit code."""

    def body() -> int:
        desk = Desk(data_dir)
        keychain = desk.keychain
        problem: StoreError | Refused | None = None
        if unlock:
            try:
                desk.unlock(given)
            except (StoreError, Refused) as exc:
                problem = exc
        (_write_status if as_json else _print_status)(desk, keychain, problem)
        return 1 if problem or _unknown(desk) else 0

    return answering(body, as_json=as_json)


def _state_of(keychain: Keychain, key_id: str) -> str:
    if key_id == keychain.active_id:
        return "active"
    return "incoming" if key_id == keychain.incoming_id else "retired"


def _unknown(desk: Desk) -> list[str]:
    """Keys that files name and the key file does not know."""
    return sorted(key_ids(desk.sessions) - set(desk.keychain.key_ids))


def _keyring(desk: Desk) -> str | None:
    """Why the keyring cannot be used; None if it can."""
    try:
        return desk.vault.usable()
    except VaultError as problem:
        return str(problem)


def _write_status(desk: Desk, keychain: Keychain, problem: StoreError | Refused | None) -> None:
    named = files_by_key(desk.sessions)
    write(
        {
            "event": "keys",
            "protection": keychain.protection,
            "state": keychain.state,
            "why": keychain.why,
            "keys": [
                {"id": key_id, "state": _state_of(keychain, key_id), "files": named[key_id]}
                for key_id in keychain.key_ids
            ],
            "unknown": _unknown(desk),
            "keyring_refused": _keyring(desk),
            "error": str(problem) if problem else None,
        }
    )


def _print_status(desk: Desk, keychain: Keychain, problem: StoreError | Refused | None) -> None:
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    said = _SAID[keychain.protection] if keychain.protection else "not chosen yet"
    facts.add_row("protection", said)
    facts.add_row("state", Text(f"{keychain.state}: {keychain.why}"))
    named = files_by_key(desk.sessions)
    for key_id in keychain.key_ids:
        facts.add_row(
            "key", f"{key_id}  {_state_of(keychain, key_id)}, named by {count_of(named[key_id], 'file')}"
        )
    for key_id in _unknown(desk):
        facts.add_row("missing", f"{key_id}  files name it, and it is not here: `resilience sessions repair`")
    refusal = _keyring(desk)
    facts.add_row("keyring", Text(f"cannot be used: {refusal}" if refusal else "can be used"))
    Console().print(facts)
    if problem is not None:
        click.echo(f"\n{problem}", err=True)
    elif keychain.state is KeyState.UNDECIDED:
        click.echo("\nChoose with `resilience keys protect keyring|passphrase|volatile|insecure`.")


# -- changing ----------------------------------------------------------------------------------


def protect(
    protection: str,
    data_dir: Path | None,
    *,
    new_given: Path | None,
    given: Path | None,
    insecure_meant: bool,
    as_json: bool,
) -> int:
    """Choose what protects the keys; returns the exit code."""
    wanted = Protection(protection)
    if wanted is Protection.INSECURE and not insecure_meant:
        raise click.UsageError(
            "Insecure means that whoever can read the key file can read every session and credential. "
            "If that is what you want, say --yes-insecure."
        )
    if wanted is not Protection.INSECURE and insecure_meant:
        raise click.UsageError("--yes-insecure belongs to `insecure`.")
    if given == STDIN and new_given == STDIN:
        raise click.UsageError("Only one passphrase can come from stdin.")

    def body() -> int:
        desk = Desk(data_dir, writing=True)
        old = desk.keychain.protection
        if old is wanted:
            hint = "`resilience keys set-passphrase` changes it." if wanted is Protection.PASSPHRASE else ""
            return _chosen(
                desk, f"Nothing to do: the protection is {wanted} already. {hint}", as_json=as_json
            )
        desk.sessions.directories.make(desk.data_dir)
        if old is not None and desk.keychain.key_ids and wanted is not Protection.VOLATILE:
            desk.unlock(given)
        new = None
        if wanted is Protection.PASSPHRASE:
            new = passphrase(new_given, NEW, prompt=NEW_PROMPT, option=NEW_OPTION, confirm=True)
        desk.keychain.choose(wanted, new, key_ids(desk.sessions))
        if wanted is Protection.INSECURE:
            click.echo(f"Warning: {_SAID[wanted]}.", err=True)
        hint = ""
        if old is Protection.INSECURE:
            hint = " The old key stood in the clear: `resilience keys rotate` makes another."
        said = "The protection is insecure now." if wanted is Protection.INSECURE else f"Now {_SAID[wanted]}."
        return _chosen(desk, said + hint, as_json=as_json)

    return answering(body, as_json=as_json)


def _chosen(desk: Desk, words: str, *, as_json: bool) -> int:
    if as_json:
        keychain = desk.keychain
        write({"event": "protected", "protection": keychain.protection, "state": keychain.state})
    else:
        click.echo(words.strip())
    return 0


def set_passphrase(
    data_dir: Path | None, *, new_given: Path | None, given: Path | None, as_json: bool
) -> int:
    """Change the passphrase; returns the exit code."""
    if given == STDIN and new_given == STDIN:
        raise click.UsageError("Only one passphrase can come from stdin.")

    def body() -> int:
        desk = Desk(data_dir, writing=True)
        if desk.keychain.protection is not Protection.PASSPHRASE:
            protection = desk.keychain.protection or "not chosen"
            raise Refused(
                "refused",
                f"There is no passphrase to change: the protection is {protection}.",
                "`resilience keys protect passphrase` sets one.",
            )
        old = passphrase(given, KEYS, prompt="The present passphrase", option=OPTION)
        desk.keychain.unlock(old)  # before anybody thinks of a new one
        new = passphrase(new_given, NEW, prompt=NEW_PROMPT, option=NEW_OPTION, confirm=True)
        desk.keychain.set_passphrase(old, new)
        return _chosen(
            desk, "The new passphrase opens the keys; the old one does no longer.", as_json=as_json
        )

    return answering(body, as_json=as_json)


def rotate(data_dir: Path | None, *, given: Path | None, as_json: bool) -> int:
    """Seal everything with a new key; returns the exit code."""

    def body() -> int:
        desk = Desk(data_dir, writing=True)
        desk.unlock_to_write(given)
        rotated = rotate_keys(desk.sessions, Credentials(desk.data_dir, desk.disk, desk.keychain))
        if as_json:
            write(_rotated_line(rotated))
        else:
            _print_rotated(rotated)
        return 0 if rotated.finished else 1

    return answering(body, as_json=as_json)


def _rotated_line(rotated: Rotated) -> dict[str, Any]:
    return {
        "event": "rotated",
        "key": rotated.key,
        "finished": rotated.finished,
        "rewrapped": rotated.rewrapped,
        "waiting": [each.path.name for each in rotated.waiting],
        "left": [{"file": each.path.name, "error": str(each.problem)} for each in rotated.left],
        "forgotten": list(rotated.forgotten),
        "kept": list(rotated.kept),
    }


def _print_rotated(rotated: Rotated) -> None:
    click.echo(f"{count_of(rotated.rewrapped, 'file')} sealed for key {rotated.key}.")
    for each in rotated.left:
        click.echo(f"  left as it is: {each.path.name}: {each.problem}")
    if not rotated.finished:
        for name in dict.fromkeys(each.path.name for each in rotated.waiting):
            click.echo(f"  open elsewhere: {name}")
        click.echo(
            "Not finished: close what is open, and run `resilience keys rotate` again. It goes on here."
        )
        return
    click.echo(f"Key {rotated.key} is the active one.")
    if rotated.forgotten:
        click.echo(f"Forgotten, because nothing names it any more: {', '.join(rotated.forgotten)}.")
    if rotated.kept:
        click.echo(f"Kept, because a file still names it: {', '.join(rotated.kept)}.")
