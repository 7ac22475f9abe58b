"""`resilience sessions …`: what each command is called and takes; the work is imported when it is wanted."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from resilience.cli.options import FILE, common, passphrase_option

SESSION = "SESSION is an id, the first 4 or more letters of one, or an image's name."


@click.group()
def sessions() -> None:
    """Look at what is stored, carry it elsewhere, and keep it in order."""


@sessions.command("list")
@click.option("--archived", is_flag=True, help="Those in the archive too.")
@common
def sessions_list(data_dir: Path | None, *, archived: bool, as_json: bool) -> None:
    """Every session, the one used last first. Needs no key."""
    from resilience.cli.sessions import show_sessions  # noqa: PLC0415 - imported when used

    sys.exit(show_sessions(data_dir, archived=archived, as_json=as_json))


@sessions.command("history")
@click.argument("session", required=False)
@common
def sessions_history(session: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Every journaled transition, the oldest first; of SESSION only, if one is named.

    SESSION is an image's name, an id, or the first 4 or more letters of one.
    """
    from resilience.cli.sessions import show_history  # noqa: PLC0415 - imported when used

    sys.exit(show_history(session, data_dir, as_json=as_json))


@sessions.command("show", epilog=SESSION)
@click.argument("session")
@click.option(
    "--generation", type=click.IntRange(0), metavar="N", help="As it was in that generation, not as it is."
)
@click.option("--document", is_flag=True, help="Print the whole document as JSON, code and all.")
@passphrase_option
@common
def sessions_show(
    session: str,
    generation: int | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    document: bool,
    as_json: bool,
) -> None:
    """What SESSION holds, and how it stands on disk. Changes nothing."""
    from resilience.cli.session_view import show  # noqa: PLC0415 - imported when used

    sys.exit(
        show(
            session,
            data_dir,
            generation=generation,
            document=document,
            given=passphrase_file,
            as_json=as_json,
        )
    )


@sessions.command("restore", epilog=SESSION)
@click.argument("session")
@click.option(
    "--generation", type=click.IntRange(0), metavar="N", help="Which one; `sessions show` lists them."
)
@passphrase_option
@common
def sessions_restore(
    session: str,
    generation: int | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Bring SESSION back from the archive, or make an older generation of it the newest.

    What was newer stays on disk, and can be restored the same way.
    """
    from resilience.cli.session_files import restore  # noqa: PLC0415 - imported when used

    sys.exit(restore(session, data_dir, generation=generation, given=passphrase_file, as_json=as_json))


@sessions.command("export", epilog=SESSION)
@click.argument("session")
@click.argument("file", type=FILE)
@click.option("--plain", is_flag=True, help="Readable by everybody: JSON, not sealed.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--export-passphrase-file",
    type=FILE,
    metavar="FILE",
    help="Holds the export's own passphrase. Else RESILIENCE_EXPORT_PASSPHRASE, or a prompt.",
)
@passphrase_option
@common
def sessions_export(
    session: str,
    file: Path,
    export_passphrase_file: Path | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    plain: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write SESSION into FILE, sealed with a passphrase of its own; - is stdout."""
    from resilience.cli.session_files import export  # noqa: PLC0415 - imported when used

    sys.exit(
        export(
            session,
            file,
            data_dir,
            plain=plain,
            force=force,
            export_given=export_passphrase_file,
            given=passphrase_file,
            as_json=as_json,
        )
    )


@sessions.command("import")
@click.argument("file", type=FILE)
@click.option("--merge", "merging", is_flag=True, help="Join it with the session of its id, if that is here.")
@click.option(
    "--export-passphrase-file",
    type=FILE,
    metavar="FILE",
    help="Holds the export's own passphrase. Else RESILIENCE_EXPORT_PASSPHRASE, or a prompt.",
)
@passphrase_option
@common
def sessions_import(
    file: Path,
    export_passphrase_file: Path | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    merging: bool,
    as_json: bool,
) -> None:
    """Make a session of what `export` wrote into FILE; - is stdin.

    A session that is here is never written over: without --merge the import becomes one of its own.
    """
    from resilience.cli.session_files import bring  # noqa: PLC0415 - imported when used

    sys.exit(
        bring(
            file,
            data_dir,
            merging=merging,
            export_given=export_passphrase_file,
            given=passphrase_file,
            as_json=as_json,
        )
    )


@sessions.command("archive", epilog=SESSION)
@click.argument("session")
@common
def sessions_archive(session: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Put SESSION away. Nothing is deleted; `sessions restore` brings it back."""
    from resilience.cli.session_files import archive  # noqa: PLC0415 - imported when used

    sys.exit(archive(session, data_dir, as_json=as_json))


@sessions.command("repair", epilog=SESSION)
@click.argument("session", required=False)
@click.option("--check", is_flag=True, help="Only say what is wrong.")
@click.option(
    "--accept-rollback", is_flag=True, help="An older copy that was put back is what you want to go on with."
)
@passphrase_option
@common
def sessions_repair(
    session: str | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    check: bool,
    accept_rollback: bool,
    as_json: bool,
) -> None:
    """Read every file of SESSION, or of all, to its last byte; put damaged ones into quarantine.

    Nothing is deleted. Exit 1 if anything is left that is not as it should be.
    """
    from resilience.cli.upkeep import repair  # noqa: PLC0415 - imported when used

    sys.exit(
        repair(
            session,
            data_dir,
            check=check,
            accept_rollback=accept_rollback,
            given=passphrase_file,
            as_json=as_json,
        )
    )


@sessions.command("clean")
@click.option("--days", type=click.IntRange(0), default=30, show_default=True, help="Unused for so long.")
@click.option("--purge", is_flag=True, help="Also remove what is as old in archive and quarantine. For good.")
@click.option("--yes", "carry_out", is_flag=True, help="Do it; without this it is only shown.")
@common
def sessions_clean(data_dir: Path | None, *, days: int, purge: bool, carry_out: bool, as_json: bool) -> None:
    """Show what could be tidied up, and do it if told to: unused sessions go to the archive."""
    from resilience.cli.upkeep import clean  # noqa: PLC0415 - imported when used

    sys.exit(clean(data_dir, days=days, purge=purge, carry_out=carry_out, as_json=as_json))
