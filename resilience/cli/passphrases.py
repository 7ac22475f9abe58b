"""Where passphrases come from: a file, the environment, or a prompt that shows nothing. Never an argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from resilience.cli.words import Refused

KEYS = "RESILIENCE_PASSPHRASE"
NEW = "RESILIENCE_NEW_PASSPHRASE"
EXPORT = "RESILIENCE_EXPORT_PASSPHRASE"

MAX_FILE_BYTES = 64 * 1024
STDIN = Path("-")


def passphrase(given: Path | None, variable: str, *, prompt: str, option: str, confirm: bool = False) -> str:
    """Get one.

    Args:
        given: a file that holds it in its first line; `-` is stdin.
        variable: the environment's name for it, if there is no file.
        prompt: what to ask for, if there is neither, and somebody to ask.
        option: how to give a file, for who runs this where nobody can be asked.
        confirm: whether it is a new one, and asked for twice.

    Raises:
        Refused: it is nowhere to be had, or empty.
    """
    if given is not None:
        found, where = _first_line(given), str(given)
    elif variable in os.environ:
        found, where = os.environ[variable], variable
    elif sys.stdin.isatty():
        # Asked for on stderr: stdout may be somebody's file.
        found = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True, default="")
        where = "what was typed"
    else:
        raise Refused(
            "locked key",
            f"{prompt} is needed, and there is nobody to ask.",
            f"Give it with {option} FILE (- is stdin), or in the environment as {variable}.",
        )
    if not found:
        raise Refused("wrong key", f"{prompt}: {where} is empty.", "Nothing was done.")
    return str(found)


def offered(given: Path | None) -> str | None:
    """Get the keys' passphrase where it is to be had without asking anybody; None: it is not.

    Raises:
        Refused: the file cannot be read.
    """
    return _first_line(given) if given is not None else os.environ.get(KEYS)


def _first_line(path: Path) -> str:
    try:
        if path == STDIN:
            data = sys.stdin.buffer.readline(MAX_FILE_BYTES)
        else:
            with path.open("rb") as file:
                data = file.readline(MAX_FILE_BYTES)
        return data.decode().rstrip("\r\n")
    except OSError as problem:
        raise Refused(
            "no such file", f"The passphrase file {path} cannot be read: {problem.strerror}.", "Name another."
        ) from None
    except UnicodeDecodeError:
        raise Refused(
            "wrong key", f"The passphrase file {path} is no UTF-8 text.", "Write it as text."
        ) from None
