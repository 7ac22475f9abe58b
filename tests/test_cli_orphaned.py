"""Another image answers than the session's: what `eval` and `watch` say then, and the way out they have."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from commanding import DONE, resilience
from desks import standin
from resilience.standin.image import Image as Standin

UNREACHABLE = 3
ADOPT = "--adopt"


@pytest.fixture
def endpoint() -> str:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def orphaned(tmp_path: Path, endpoint: str) -> Path:
    """A data directory whose one session belongs to an image that has gone."""
    with standin(endpoint):
        assert resilience("eval", endpoint, "3 + 4", data_dir=tmp_path).code == DONE
    return tmp_path


def states(data_dir: Path) -> list[str]:
    """Every state the image was in, the oldest first."""
    return [line["target"] for line in resilience("sessions", "history", "--json", data_dir=data_dir).lines]


def test_eval_at_another_image_evaluates_nothing_and_says_how_to_go_on(orphaned: Path, endpoint: str) -> None:
    """It was reached at once: nothing is said of time."""
    with standin(endpoint):
        done = resilience("eval", endpoint, "3 + 4", data_dir=orphaned)
    assert (done.code, done.out) == (UNREACHABLE, "")
    assert "Orphaned: another image answers here" in done.err
    assert "nothing was evaluated" in done.err
    assert ADOPT in done.err
    assert "within" not in done.err


def test_eval_with_adopt_goes_on_with_the_image_that_answers(orphaned: Path, endpoint: str) -> None:
    """And from then on it is the session's own."""
    with standin(endpoint):
        done = resilience("eval", endpoint, "3 + 4", ADOPT, data_dir=orphaned)
        assert (done.code, done.out) == (DONE, "7\n")
        assert resilience("eval", endpoint, "3 + 5", data_dir=orphaned).out == "8\n"
    assert states(orphaned).count("Orphaned") == 1


def test_adopt_is_for_orphaned_only(tmp_path: Path, endpoint: str) -> None:
    """Where the right image answers, or none, it makes no difference."""
    with standin(endpoint):
        assert resilience("eval", endpoint, "3 + 4", ADOPT, data_dir=tmp_path).out == "7\n"
    done = resilience("eval", endpoint, "3 + 4", ADOPT, "--connect-timeout", "0.5", data_dir=tmp_path)
    assert done.code == UNREACHABLE
    assert "was not reached within 0.5 s" in done.err


FRESH = "--start-fresh"


def test_a_session_whose_files_are_gone_is_begun_anew_when_somebody_says_so(
    tmp_path: Path, endpoint: str
) -> None:
    """Without that nothing is evaluated, and every way out is named; nothing on the disk is touched."""
    state = tmp_path / "image.json"
    data_dir = tmp_path / "data"
    assert resilience("keys", "protect", "insecure", "--yes-insecure", data_dir=data_dir).code == DONE
    with standin(endpoint, Standin(state=state, wait=lambda _seconds: False)):
        for _ in range(2):  # the journal knows what was saved when the next transition is
            assert resilience("eval", endpoint, "3 + 4", data_dir=data_dir).out == "7\n"
        for path in (data_dir / "sessions").iterdir():
            path.unlink()
        done = resilience("eval", endpoint, "3 + 4", data_dir=data_dir)
        assert (done.code, done.out) == (UNREACHABLE, "")
        assert "no file is there" in done.err
        assert "Put its files back" in done.err
        assert FRESH in done.err
        assert resilience("eval", endpoint, "3 + 4", FRESH, data_dir=data_dir).out == "7\n"
        assert resilience("eval", endpoint, "3 + 5", data_dir=data_dir).out == "8\n"


def test_start_fresh_leaves_the_old_session_in_the_archive(orphaned: Path, endpoint: str) -> None:
    """Another image answers: the new session is its own, and the old one is kept."""
    with standin(endpoint):
        assert resilience("eval", endpoint, "3 + 4", FRESH, data_dir=orphaned).out == "7\n"
        assert resilience("eval", endpoint, "3 + 5", data_dir=orphaned).out == "8\n"
    assert states(orphaned).count("Orphaned") == 1
    lines = resilience("sessions", "history", "--json", data_dir=orphaned).lines
    assert len({line["session"] for line in lines}) == 2


def watched(endpoint: str, data_dir: Path, *more: str) -> tuple[list[str], str]:
    """The states that `watch` tells, and what it says beside them."""
    done = resilience("watch", endpoint, "--json", "--for", "1.5", *more, data_dir=data_dir)
    assert done.code == DONE
    return [line["target"] for line in done.lines], done.err


def test_watch_stays_orphaned_and_says_how_to_go_on(orphaned: Path, endpoint: str) -> None:
    """The way out is a decision, and nobody has made it."""
    with standin(endpoint):
        told, err = watched(endpoint, orphaned)
    assert told[-1] == "Orphaned"
    assert ADOPT in err


def test_watch_with_adopt_goes_on(orphaned: Path, endpoint: str) -> None:
    """Through Orphaned, which is told like everything else."""
    with standin(endpoint):
        told, err = watched(endpoint, orphaned, ADOPT)
    assert "Orphaned" in told
    assert told[-1] == "Connected"
    assert ADOPT not in err


@pytest.mark.parametrize("command", [("eval", "3 + 4"), ("watch", "--for", "1")], ids=lambda each: each[0])
def test_a_wrong_passphrase_is_told_as_what_it_is(
    tmp_path: Path, endpoint: str, command: tuple[str, ...]
) -> None:
    """Not as an image that cannot be reached; and `watch` takes one like `eval` does."""
    new = {"RESILIENCE_NEW_PASSPHRASE": "correct horse"}
    right, wrong = {"RESILIENCE_PASSPHRASE": "correct horse"}, {"RESILIENCE_PASSPHRASE": "other horse"}
    assert resilience("keys", "protect", "passphrase", data_dir=tmp_path, environment=new).code == DONE
    with standin(endpoint):  # the first evaluation stores something that is to be read
        assert resilience("eval", endpoint, "3", data_dir=tmp_path, environment=right).err == ""
        rightly, wrongly = (
            (done := resilience(command[0], endpoint, *command[1:], data_dir=tmp_path, environment=each)).out
            + done.err
            for each in (right, wrong)
        )
    assert "Failed" not in rightly
    assert "Failed" in wrongly
    assert "wrong key" in wrongly
    assert "within" not in wrongly
