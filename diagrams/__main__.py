"""Write the diagrams, or with `--check` verify that the committed ones show the present table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from diagrams.markdown import table_md
from diagrams.mermaid import states_mmd
from diagrams.svg import states_svg

MEND = "python -m diagrams"


def rendered() -> dict[str, str]:
    """Every generated file by its name."""
    return {"states.mmd": states_mmd(), "states.svg": states_svg(), "table.md": table_md()}


def outdated(folder: Path) -> list[str]:
    """The files in `folder` that are missing or are not what the table gives now."""
    found = []
    for name, text in rendered().items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            found.append(name)
    return found


def main(arguments: Sequence[str] | None = None, folder: Path = Path(__file__).parent) -> int:
    """Run the command line; the exit status is 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog=MEND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is outdated")
    if parser.parse_args(arguments).check:
        wrong = outdated(folder)
        for name in wrong:
            print(f"diagrams/{name} does not show the present table; mend it with: {MEND}", file=sys.stderr)
        return 1 if wrong else 0
    for name, text in rendered().items():
        (folder / name).write_bytes(text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
