"""Where commands write: a directory that is missing is made, before an hour's work and not after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from simulations.outputs import writable


def test_missing_directories_are_made(tmp_path: Path) -> None:
    """As documented commands need it in a fresh checkout; what is there stays."""
    (tmp_path / "there.md").write_text("old")
    writable(tmp_path / "build" / "deep" / "race.md", None, tmp_path / "there.md")
    assert (tmp_path / "build" / "deep").is_dir()
    assert not (tmp_path / "build" / "deep" / "race.md").exists()
    assert (tmp_path / "there.md").read_text() == "old"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the reason of the system."""
    (tmp_path / "file").touch()
    with pytest.raises(typer.BadParameter, match=r"no directory .*file to write race.md to.*: File ex"):
        writable(tmp_path / "file" / "race.md")
    with pytest.raises(typer.BadParameter, match="is a directory: name a file in it"):
        writable(tmp_path)
