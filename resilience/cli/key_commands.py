"""`resilience keys …`: what each command is called and takes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from resilience.cli.options import FILE, common, passphrase_option


@click.group()
def keys() -> None:
    """How stored sessions are protected, and by whose keys."""


@keys.command("status")
@click.option("--unlock", is_flag=True, help="Also try to use them; may ask you, or the keyring.")
@passphrase_option
@common
def keys_status(passphrase_file: Path | None, data_dir: Path | None, *, unlock: bool, as_json: bool) -> None:
    """Where the keys are kept and which there are; never what they are."""
    from resilience.cli.keys import status  # noqa: PLC0415 - imported when used

    sys.exit(status(data_dir, unlock=unlock, given=passphrase_file, as_json=as_json))


@keys.command("protect")
@click.argument("protection", type=click.Choice(["keyring", "passphrase", "volatile", "insecure"]))
@click.option(
    "--new-passphrase-file",
    type=FILE,
    metavar="FILE",
    help="For `passphrase`: holds the new one. Else RESILIENCE_NEW_PASSPHRASE, or a prompt.",
)
@click.option(
    "--yes-insecure", is_flag=True, help="For `insecure`: you know that whoever reads the file reads all."
)
@passphrase_option
@common
def keys_protect(
    protection: str,
    new_passphrase_file: Path | None,
    passphrase_file: Path | None,
    data_dir: Path | None,
    *,
    yes_insecure: bool,
    as_json: bool,
) -> None:
    """Choose what protects the keys.

    \b
    keyring     the operating system's keyring holds them
    passphrase  a passphrase opens them; without it everything is lost
    volatile    there are none, and no session is ever written
    insecure    they stand in a file: whoever can read that can read everything
    """  # noqa: D301 - \b is click's word for "leave these lines as they are"
    from resilience.cli.keys import protect  # noqa: PLC0415 - imported when used

    sys.exit(
        protect(
            protection,
            data_dir,
            new_given=new_passphrase_file,
            given=passphrase_file,
            insecure_meant=yes_insecure,
            as_json=as_json,
        )
    )


@keys.command("rotate")
@passphrase_option
@common
def keys_rotate(passphrase_file: Path | None, data_dir: Path | None, *, as_json: bool) -> None:
    """Make a new key and seal everything with it; goes on where it was stopped."""
    from resilience.cli.keys import rotate  # noqa: PLC0415 - imported when used

    sys.exit(rotate(data_dir, given=passphrase_file, as_json=as_json))


@keys.command("set-passphrase")
@click.option(
    "--new-passphrase-file",
    type=FILE,
    metavar="FILE",
    help="Holds the new one. Else RESILIENCE_NEW_PASSPHRASE, or a prompt.",
)
@passphrase_option
@common
def keys_set_passphrase(
    new_passphrase_file: Path | None, passphrase_file: Path | None, data_dir: Path | None, *, as_json: bool
) -> None:
    """Change the passphrase. No session is written anew."""
    from resilience.cli.keys import set_passphrase  # noqa: PLC0415 - imported when used

    sys.exit(set_passphrase(data_dir, new_given=new_passphrase_file, given=passphrase_file, as_json=as_json))
