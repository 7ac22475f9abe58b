"""`resilience eval` and the session: its record is kept where keys can be had, and missed aloud where not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commanding import DONE, FAILED, resilience
from desks import standin

ENVIRONMENT = "RESILIENCE_PASSPHRASE"
HORSE = "correct horse"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An image that answers."""
    with standin() as bound:
        yield bound


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A data directory that a passphrase protects."""
    environment = {"RESILIENCE_NEW_PASSPHRASE": HORSE}
    assert (
        resilience("keys", "protect", "passphrase", data_dir=tmp_path, environment=environment).code == DONE
    )
    return tmp_path


def kept(data_dir: Path) -> list[str]:
    """The code of every evaluation in the one session there is."""
    (listed,) = resilience("sessions", "list", "--json", data_dir=data_dir).lines
    shown = resilience(
        "sessions",
        "show",
        str(listed["session"]),
        "--json",
        data_dir=data_dir,
        environment={ENVIRONMENT: HORSE},
    )
    return [str(each["code"]) for line in shown.lines for each in line.get("evaluations", [])]


def test_a_passphrase_from_the_environment_or_a_file_keeps_the_record(locked: Path, endpoint: str) -> None:
    """The document has both; neither said anything but its answer."""
    done = resilience("eval", endpoint, "3 + 4", data_dir=locked, environment={ENVIRONMENT: HORSE})
    assert (done.code, done.out, done.err) == (DONE, "7\n", "")
    file = locked / "horse"
    file.write_text(f"{HORSE}\n")
    done = resilience("eval", endpoint, "3 + 5", "--passphrase-file", file, data_dir=locked)
    assert (done.code, done.out, done.err) == (DONE, "8\n", "")
    assert kept(locked) == ["3 + 4", "3 + 5"]


def test_without_a_passphrase_the_answer_comes_and_the_loss_is_told(locked: Path, endpoint: str) -> None:
    """Nobody is asked, nothing fails, and stderr says what would help."""
    done = resilience("eval", endpoint, "3 + 4", data_dir=locked)
    assert (done.code, done.out) == (DONE, "7\n")
    assert "not kept in the session" in done.err
    assert "--passphrase-file" in done.err
    assert ENVIRONMENT in done.err


@pytest.mark.parametrize("protection", [(), ("volatile",)], ids=["not chosen", "volatile"])
def test_where_nothing_is_meant_to_be_kept_nothing_is_said(
    tmp_path: Path, endpoint: str, protection: tuple[str, ...]
) -> None:
    """A machine without a keyring is no reason to complain at each evaluation."""
    if protection:
        assert resilience("keys", "protect", *protection, data_dir=tmp_path).code == DONE
    done = resilience("eval", endpoint, "3 + 4", data_dir=tmp_path)
    assert (done.code, done.out, done.err) == (DONE, "7\n", "")


def test_a_passphrase_file_that_is_not_there_is_told_before_anything_is_evaluated(
    locked: Path, endpoint: str
) -> None:
    """Exit code 1, one line, no evaluation."""
    missing = locked / "nowhere"
    done = resilience("eval", endpoint, "3 + 4", "--passphrase-file", missing, data_dir=locked)
    assert (done.code, done.out) == (FAILED, "")
    assert str(missing) in done.err
