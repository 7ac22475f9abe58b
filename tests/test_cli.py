"""The command line as a program: what it prints, its exit codes, interrupts, disks that take nothing."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from resilience.standin.image import Image as Standin
from resilience.standin.serve import Bell, ImageServer, running
from simulations.hostile import Kind, peer

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 20.0
DONE, FAILED, USAGE, UNREACHABLE, UNKNOWN, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 4, 130, 143

TRANSITION = ["event", "t", "at", "image", "endpoint", "seq", "source", "trigger", "target", "reason"]
"""The contract's keys, in its order (DESIGN section 5)."""
SHOW_CURSOR = "\x1b[?25h"
PROBE_OK = ["event", "t", "t0", "id", "image", "ok", "ms"]
PROBE_FAILED = ["event", "t", "t0", "id", "image", "ok", "error"]

Line = dict[str, Any]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "resilience", *map(str, arguments)]


def run(
    *arguments: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
        check=False,
    )


class Watching:
    """A `watch` in the background whose lines are read as they come."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command("watch", *arguments),
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[Line] = []

    def read(self, until: Callable[[Line], bool]) -> Line:
        """Read JSON lines up to the one that is waited for."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line: Line = json.loads(text)
            self.lines.append(line)
            if until(line):
                return line
        pytest.fail(f"it ended: {self.process.stderr.read() if self.process.stderr else ''}")

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; the exit code and what stands on stderr. The rest of the lines is kept."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=GENEROUS_S)
        self.lines += [json.loads(text) for text in out.splitlines()]
        return self.process.returncode, err

    def transitions(self) -> list[Line]:
        return [line for line in self.lines if line["event"] == "transition"]


@pytest.fixture
def watch() -> Iterator[Callable[..., Watching]]:
    """Starts watches and ends whatever is left of them."""
    started: list[Watching] = []

    def start(*arguments: str | Path, **options: Any) -> Watching:
        started.append(Watching(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            each.process.kill()
        each.process.communicate()


Watch = Callable[..., Watching]


@contextmanager
def standin(endpoint: str = "tcp://127.0.0.1:0") -> Iterator[str]:
    """A stand-in in a thread of this process."""
    bell = Bell()
    with running(ImageServer(Standin(wait=bell.wait), endpoint, bell)) as bound:
        yield bound


@pytest.fixture
def endpoint() -> Iterator[str]:
    with standin() as bound:
        yield bound


def free_endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def connected(line: Line) -> bool:
    return bool(line["event"] == "transition" and line["target"] == "Connected")


def history(data_dir: Path, *image: str) -> list[Line]:
    done = run("sessions", "history", *image, "--json", "--data-dir", data_dir)
    assert done.returncode == DONE, done.stderr
    return [json.loads(text) for text in done.stdout.splitlines()]


def one_line(text: str) -> str:
    """A complaint that a person can read: a single line, no traceback."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


# -- eval ----------------------------------------------------------------------------------------


def test_eval_prints_the_result(endpoint: str, tmp_path: Path) -> None:
    """On stdout, alone; exit 0."""
    done = run("eval", endpoint, "3 + 4", "--data-dir", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (DONE, "7\n", "")


def test_eval_tells_an_error_of_the_image(endpoint: str, tmp_path: Path) -> None:
    """On stderr, exit 1, nothing on stdout."""
    done = run("eval", endpoint, "3 foo", "--data-dir", tmp_path)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "MessageNotUnderstood" in one_line(done.stderr)


def test_eval_in_json_has_the_outcome_and_its_code(endpoint: str, tmp_path: Path) -> None:
    """One object, whatever came of it."""
    for code, expected in (
        ("3 + 4", {"outcome": "done", "exit": DONE, "result": "7"}),
        ("3 foo", {"exit": FAILED}),
    ):
        done = run("eval", endpoint, code, "--json", "--data-dir", tmp_path)
        line = json.loads(done.stdout)
        assert line["event"] == "eval"
        assert expected.items() <= line.items()
        assert done.returncode == expected["exit"]


@pytest.mark.parametrize("name", ["no-such-host.invalid", "127.0.0.1"])
def test_eval_of_an_image_out_of_reach_says_why(tmp_path: Path, name: str) -> None:
    """Exit 3 and one line: the name, or that nothing listens."""
    port = free_endpoint().rpartition(":")[2]
    done = run("eval", f"tcp://{name}:{port}", "1", "--connect-timeout", "0.5", "--data-dir", tmp_path)
    assert (done.returncode, done.stdout) == (UNREACHABLE, "")
    expected = "nothing listens there" if name == "127.0.0.1" else "name not resolved"
    assert expected in one_line(done.stderr)
    assert name in done.stderr


def test_eval_at_the_port_of_another_program_says_so(tmp_path: Path) -> None:
    """Exit 3: the image was not reached."""
    with running(peer(Kind.GARBAGE_JSON)) as bound:
        done = run("eval", bound, "1", "--connect-timeout", "0.5", "--data-dir", tmp_path)
    assert done.returncode == UNREACHABLE
    assert "another program" in one_line(done.stderr)


def test_eval_of_an_image_that_dies_meanwhile_is_an_unknown_outcome(tmp_path: Path) -> None:
    """Exit 4, and the words advise to look before asking again."""
    log = tmp_path / "log"
    image = subprocess.Popen(
        [sys.executable, "-m", "resilience.standin", "--bind", "tcp://127.0.0.1:0", "--log", log],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert image.stdout is not None
        bound = image.stdout.readline().split()[1]
        with subprocess.Popen(
            command("eval", bound, "(Delay forSeconds: 30) wait", "--data-dir", tmp_path / "data"),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        ) as evaluating:
            deadline = time.monotonic() + GENEROUS_S
            while "Evaluate" not in log.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.005)
            image.kill()
            _, err = evaluating.communicate(timeout=GENEROUS_S)
        assert evaluating.returncode == UNKNOWN
        assert "ran once or not at all" in one_line(err)
    finally:
        image.kill()
        image.communicate()


def test_eval_that_takes_too_long_is_an_unknown_outcome(endpoint: str, tmp_path: Path) -> None:
    """The image works on; exit 4, not 3."""
    done = run("eval", endpoint, "(Delay forSeconds: 1) wait", "--timeout", "0.2", "--data-dir", tmp_path)
    assert done.returncode == UNKNOWN


# -- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["watch"],
        ["watch", "nonsense"],
        ["watch", "udp://host:5555"],
        ["watch", "tcp://host:99999"],
        ["watch", "tcp://host:5555", "--probe", "0"],
        ["watch", "tcp://host:5555", "--for", "-1"],
        ["eval", "tcp://host:5555"],
        ["eval", "tcp://host", "1"],
        ["eval", "tcp://host:5555", "1", "--timeout", "soon"],
        ["sessions", "nonsense"],
        ["nonsense"],
        ["watch", "tcp://host:5555", "--nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_two_and_says_what_is_wrong(arguments: list[str]) -> None:
    """Usage and one complaint, no traceback, nothing on stdout."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "Traceback" not in done.stderr
    assert "Error" in done.stderr


@pytest.mark.parametrize(
    "subcommand", [["watch", "tcp://host:1"], ["eval", "tcp://host:1", "1"], ["sessions", "list"]]
)
@pytest.mark.parametrize("below", ["", "below/it"])
def test_a_data_directory_that_is_a_file_is_a_usage_error(
    tmp_path: Path, subcommand: list[str], below: str
) -> None:
    """Named, in one line, before anything starts."""
    (tmp_path / "file").write_text("")
    done = run(*subcommand, "--data-dir", tmp_path / "file" / below)
    assert (done.returncode, done.stdout) == (USAGE, "")
    complaint = one_line(done.stderr.splitlines()[-1])
    assert str(tmp_path / "file") in complaint
    assert "not a directory" in complaint


def test_a_data_directory_with_an_impossible_name_is_a_usage_error(tmp_path: Path) -> None:
    """Too long for any file system."""
    done = run("sessions", "list", "--data-dir", tmp_path / ("x" * 300))
    assert done.returncode in (USAGE, FAILED)
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["watch", "--help"], ["eval", "-h"], ["--version"]])
def test_help_is_no_error(arguments: list[str]) -> None:
    """Exit 0, on stdout."""
    done = run(*arguments)
    assert done.returncode == DONE
    assert done.stdout
    assert not done.stderr


# -- watch ---------------------------------------------------------------------------------------


def test_watch_prints_the_contract_and_ends_in_time(endpoint: str, tmp_path: Path) -> None:
    """The keys of transitions and probes, in order; `t` is CLOCK_MONOTONIC; exit 0 after `--for`."""
    begun = time.monotonic()
    done = run("watch", endpoint, "--json", "--probe", "20", "--for", "0.7", "--data-dir", tmp_path)
    ended = time.monotonic()
    assert (done.returncode, done.stderr) == (DONE, "")
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    transitions = [line for line in lines if line["event"] == "transition"]
    probes = [line for line in lines if line["event"] == "probe"]
    assert len(transitions) == 1
    assert list(transitions[0]) == TRANSITION
    assert (transitions[0]["source"], transitions[0]["target"]) == ("Fresh", "Connected")
    assert (transitions[0]["seq"], transitions[0]["endpoint"]) == (1, endpoint)
    assert begun < transitions[0]["t"] < ended
    assert abs(transitions[0]["at"] - time.time()) < GENEROUS_S
    answered = [line for line in probes if line["ok"]]
    assert len(answered) > 5
    for line in answered:
        assert list(line) == PROBE_OK
        assert begun < line["t0"] <= line["t"] < ended
        assert line["image"] == transitions[0]["image"]
        assert line["ms"] == pytest.approx((line["t"] - line["t0"]) * 1000, abs=0.01)


def test_watch_probes_an_image_out_of_reach_too(tmp_path: Path) -> None:
    """`ok` false with the reason in words; transitions say why it is not connected."""
    done = run("watch", free_endpoint(), "--json", "--probe", "100", "--for", "1.2", "--data-dir", tmp_path)
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    probes = [line for line in lines if line["event"] == "probe"]
    assert probes
    assert all(list(line) == PROBE_FAILED and line["ok"] is False for line in probes)
    assert "nothing listens" in probes[0]["error"]
    transitions = [line for line in lines if line["event"] == "transition"]
    assert [(line["target"], line["reason"]) for line in transitions] == [
        ("Reconnecting", "refused: nothing listens there")
    ]


def test_the_id_of_a_probe_is_the_one_on_the_wire(tmp_path: Path) -> None:
    """Somebody who looks at both ends can tell which ping it was."""
    log = tmp_path / "log"
    bell = Bell()
    image = Standin(wait=bell.wait, log=log)
    with running(ImageServer(image, "tcp://127.0.0.1:0", bell)) as bound:
        done = run("watch", bound, "--json", "--probe", "50", "--for", "0.5", "--data-dir", tmp_path / "data")
    image.close()
    probes = [json.loads(text) for text in done.stdout.splitlines() if '"probe"' in text]
    executed = {json.loads(line)["id"] for line in log.read_text().splitlines()}
    assert probes
    assert {line["id"] for line in probes if line["ok"]} <= executed


def test_watch_without_json_is_for_people(endpoint: str, tmp_path: Path) -> None:
    """A line for each transition, with the mark and the reason."""
    done = run("watch", endpoint, "--for", "0.5", "--data-dir", tmp_path)
    assert done.returncode == DONE
    assert "Fresh → Connected: image answered" in one_line(done.stdout)


def test_watch_of_several_images_tells_them_apart(tmp_path: Path, watch: Watch) -> None:
    """Each line names its image; each image has numbers of its own."""
    with standin() as one, standin() as other:
        watching = watch(one, other, "--json", "--data-dir", tmp_path)
        reached: set[str] = set()
        while len(reached) < 2:
            reached.add(watching.read(connected)["endpoint"])
        assert watching.end(signal.SIGINT)[0] == INTERRUPTED
    assert reached == {one, other}
    assert [line["seq"] for line in watching.transitions()] == [1, 1]


def test_watch_ends_when_nobody_reads_it_any_more(endpoint: str, tmp_path: Path) -> None:
    """`watch … | head -1`: it ends by itself, without a traceback."""
    process = subprocess.Popen(
        command("watch", endpoint, "--json", "--probe", "20", "--data-dir", tmp_path),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        process.wait(GENEROUS_S)
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()
        assert process.returncode == FAILED
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_watch_on_a_terminal_draws_and_tidies_up(endpoint: str, tmp_path: Path) -> None:
    """The state is shown with its path; after an interrupt the cursor is back and the code is 130."""
    master, slave = os.openpty()
    try:
        process = subprocess.Popen(
            command("watch", endpoint, "--probe", "20", "--data-dir", tmp_path),
            cwd=ROOT,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "140", "LINES": "40"},
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        try:
            drawn = read_until(master, "Connected", "127.0.0.1", "ok, 0 failed")
            process.send_signal(signal.SIGINT)
            drawn += read_until(master, SHOW_CURSOR)
            assert process.wait(GENEROUS_S) == INTERRUPTED
            assert "Traceback" not in drawn
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(master)


def read_until(descriptor: int, *words: str) -> str:
    """What was drawn until all the words were in it."""
    drawn = ""
    while not all(word in drawn for word in words):
        ready, _, _ = select.select([descriptor], [], [], GENEROUS_S)
        assert ready, drawn
        drawn += os.read(descriptor, 65_536).decode(errors="replace")
    return drawn


# -- interrupts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)], ids=["INT", "TERM"]
)
def test_an_interrupted_watch_has_saved_all_it_printed(
    endpoint: str, tmp_path: Path, watch: Watch, number: signal.Signals, code: int
) -> None:
    """Exit 130 or 143, no traceback, and every printed transition is in the journal with the same words."""
    watching = watch(endpoint, "--json", "--probe", "20", "--data-dir", tmp_path)
    watching.read(connected)
    returned, err = watching.end(number)
    assert (returned, err.strip()) == (code, "")
    journaled = history(tmp_path)
    assert len(journaled) == len(watching.transitions())
    for printed, kept in zip(watching.transitions(), journaled, strict=True):
        assert {key: printed[key] for key in TRANSITION if key != "t"} == {
            key: kept[key] for key in TRANSITION if key != "t"
        }


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)], ids=["INT", "TERM"]
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_eval_says_what_may_have_become_of_it(
    endpoint: str, tmp_path: Path, number: int, code: int, *, as_json: bool
) -> None:
    """While the image works on it; no result, no traceback, and no silence either."""
    json_option = ["--json"] if as_json else []
    with subprocess.Popen(
        command("eval", endpoint, "(Delay forSeconds: 3) wait", "--data-dir", tmp_path, *json_option),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + GENEROUS_S
        while not list(tmp_path.glob("journal/*")):  # the first transition is its way to Connected
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=GENEROUS_S)
    assert process.returncode == code
    words = "interrupted: the image may have evaluated it, or may still"
    if as_json:
        told = {"event": "eval", "outcome": "unknown", "exit": code, "error": words}
        assert json.loads(one_line(out)) == told
    else:
        assert not out
        assert words in err
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["eval", "3 + 4"], ["eval", "3 + 4", "--json"], ["watch", "--json"]])
def test_an_output_that_takes_nothing_is_said_in_a_line(
    endpoint: str, tmp_path: Path, arguments: list[str]
) -> None:
    """A full disk behind a redirection; whoever reads the exit code learns of it, too."""
    name, *more = arguments
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(name, endpoint, *more, "--data-dir", tmp_path),
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=GENEROUS_S,
            check=False,
        )
    assert done.returncode == FAILED
    assert done.stderr.splitlines()[-1] == "Error: the output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "3 + 4", "--timeout", "nan"],
        ["eval", "3 + 4", "--connect-timeout", "nan"],
        ["watch", "--for", "nan"],
    ],
)
def test_no_number_is_no_number_of_seconds(tmp_path: Path, arguments: list[str]) -> None:
    """Every comparison with it is false, those of a range included."""
    name, *more = arguments
    done = run(name, "tcp://127.0.0.1:9", *more, "--data-dir", tmp_path)
    assert done.returncode == USAGE
    assert "nan is no number of seconds" in done.stderr


# -- sessions ------------------------------------------------------------------------------------


def test_sessions_are_listed_and_their_history_is_printed(endpoint: str, tmp_path: Path) -> None:
    """After two runs: one session, three more transitions, for people and for programs."""
    for _ in range(2):
        assert run("eval", endpoint, "1", "--data-dir", tmp_path).returncode == DONE
    listed = run("sessions", "list", "--json", "--data-dir", tmp_path)
    session = json.loads(one_line(listed.stdout))
    assert (session["endpoint"], session["seq"], session["transitions"]) == (endpoint, 4, 4)
    assert session["state"] == "Connected"
    assert session["image"] in run("sessions", "list", "--data-dir", tmp_path).stdout
    targets = [line["target"] for line in history(tmp_path)]
    assert targets == ["Connected", "Restoring", "Restored", "Connected"]
    assert [line["session"] for line in history(tmp_path, endpoint)] == [session["session"]] * 4
    people = run("sessions", "history", session["image"], "--data-dir", tmp_path)
    assert len(people.stdout.splitlines()) == 4


def test_looking_at_nothing_is_no_error(tmp_path: Path) -> None:
    """And does not make a directory."""
    done = run("sessions", "list", "--data-dir", tmp_path / "new")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert "No sessions" in done.stdout
    assert not (tmp_path / "new").exists()
    assert run("sessions", "history", "--json", "--data-dir", tmp_path / "new").stdout == ""


def test_the_history_of_an_unknown_image_says_which_there_are(endpoint: str, tmp_path: Path) -> None:
    """Exit 1, one line, with the names to choose from."""
    run("eval", endpoint, "1", "--data-dir", tmp_path)
    done = run("sessions", "history", "host:1", "--data-dir", tmp_path)
    assert done.returncode == FAILED
    assert "host:1" in one_line(done.stderr)
    assert endpoint.removeprefix("tcp://") in done.stderr


# -- disks that take nothing ---------------------------------------------------------------------


@contextmanager
def tmpfs(where: Path, options: str) -> Iterator[Path]:
    """A file system of its own kind; as root on Linux only."""
    where.mkdir()
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs root on Linux, for a tmpfs of its own")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("needs a tmpfs of its own")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def works_and_says_not_durable(endpoint: str, data_dir: Path) -> list[str]:
    """An evaluation and a watch; answers the states the watch printed."""
    done = run("eval", endpoint, "3 + 4", "--data-dir", data_dir)
    assert (done.returncode, done.stdout) == (DONE, "7\n")
    assert "not durable" in one_line(done.stderr)
    done = run("watch", endpoint, "--json", "--for", "0.6", "--data-dir", data_dir)
    assert done.returncode == DONE
    assert "not durable" in one_line(done.stderr)
    targets: list[str] = [json.loads(text)["target"] for text in done.stdout.splitlines()]
    assert "Connected" in targets
    return targets


def test_a_full_disk_stops_nothing(endpoint: str, tmp_path: Path) -> None:
    """It connects, works, says in one line that nothing is durable, and exits 0."""
    with tmpfs(tmp_path / "full", "size=64k") as data_dir:
        with (data_dir / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        works_and_says_not_durable(endpoint, data_dir)


def test_a_read_only_disk_stops_nothing(endpoint: str, tmp_path: Path) -> None:
    """The same; and what is stored there is found all the same."""
    with tmpfs(tmp_path / "read-only", "size=1m") as data_dir:
        assert run("eval", endpoint, "1", "--data-dir", data_dir).returncode == DONE
        subprocess.run(["mount", "-o", "remount,ro", str(data_dir)], check=True)
        targets = works_and_says_not_durable(endpoint, data_dir)
        assert targets == ["Restoring", "Restored", "Connected"]
        assert len(history(data_dir)) == 1


def test_a_data_directory_somebody_else_owns_stops_nothing(endpoint: str, tmp_path: Path) -> None:
    """For whoever is not root, which is nearly everybody."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the read-only disk stands for it")
    (tmp_path / "theirs").mkdir(mode=0o500)
    works_and_says_not_durable(endpoint, tmp_path / "theirs")
