"""Clients of other stacks: what they share, who is left out and why, the picture, and each for real."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resilience.demo.namespaces import Lab
from simulations import bench
from simulations.__main__ import app
from simulations.field import install, peers
from simulations.field.cost import Costs
from simulations.field.peers import MODULES, PEERS, PROGRAMS, obstacle, versions
from simulations.field.peers.asking import Pending, beats
from simulations.field.peers.mosh_client import Screen
from simulations.field.peers.serving import Executions, broker, place
from simulations.field.player import play
from simulations.field.probe import Probe
from simulations.field.runner import Outcome, Race
from simulations.field.score import executions, recovered_at
from simulations.field.seat import CLIENTS, ROOT, SERVERS, Seat
from simulations.scenarios import SCENARIOS, dice_for

START_S = 60.0
GONE_S = 20.0
MISSING = Lab.missing()


def wait_until(condition: Any, limit_s: float, what: str) -> None:
    """Wait for something that must come true."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit_s} s"
        time.sleep(0.01)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing installed that only a peer needs."""
    find_spec, which = importlib.util.find_spec, shutil.which
    absent = {*MODULES, "matplotlib"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else find_spec(name))
    monkeypatch.setattr(shutil, "which", lambda name: None if name in PROGRAMS else which(name))


# --- what the race knows of them --------------------------------------------------------------------


def test_every_peer_is_a_client_with_a_server_of_its_own() -> None:
    """Both are programs of this checkout; nobody else brings a server."""
    assert PEERS.keys() == SERVERS.keys()
    for name in PEERS:
        client, server = CLIENTS[name]("tcp://10.0.0.2:5555", Path())[2], SERVERS[name][2]
        for module in (client, server):
            assert importlib.util.find_spec(module), module
        assert "peers" in client


def test_nothing_of_a_peer_is_loaded_before_it_races() -> None:
    """Tests and bench work where none of it is installed."""
    code = "import json, sys, simulations.bench; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {*MODULES, "matplotlib", "numpy"} & set(json.loads(done.stdout))


@pytest.mark.usefixtures("bare")
def test_what_a_peer_lacks_is_named() -> None:
    """As PyPI and Debian call it, with the way to have it."""
    needs = "it needs the Python package nats-py and the Debian package nats-server"
    assert obstacle("nats_tuned") == f"{needs}; `make race` installs what is missing"
    assert str(obstacle("mosh")).startswith("it needs the Debian package mosh;")
    assert obstacle("dealer_tuned") is None


@pytest.mark.skipif(obstacle("mosh") is not None, reason=str(obstacle("mosh")))
def test_versions_are_asked_of_what_runs() -> None:
    """The program itself names its version; who is no peer has none to name."""
    assert versions("mosh")["mosh"][0].isdigit()
    assert versions("lazy_pirate") == {}


def test_a_program_that_does_not_say_its_version_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race is not held up by it."""
    monkeypatch.setitem(peers._VERSION, "mosh-server", "--no-such-option")
    monkeypatch.setitem(peers._VERSION, "no-such-program", "--version")
    assert peers._version_of("no-such-program") == "unknown"


@pytest.mark.usefixtures("bare")
def test_the_bench_leaves_out_what_is_missing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others race; nothing is left to race only if peers alone were asked for."""
    raced: list[tuple[str, ...]] = []

    def noted(race: Race, *_: object) -> list[Outcome]:
        raced.append(tuple(race.clients))
        return []

    monkeypatch.setattr(Lab, "missing", lambda: None)
    monkeypatch.setattr(bench, "run", noted)
    monkeypatch.setattr(
        bench, "measure", lambda: Costs({"nothing": 1.0, "pyzmq": 1.0, "resilience": 1.0}, 1, 1, 1)
    )
    result = CliRunner().invoke(app, ["bench"])
    assert result.exit_code == 0, result.output
    assert raced == [tuple(name for name in CLIENTS if name not in PEERS)]
    said = " ".join(result.output.split())
    assert "mosh is left out: it needs the Debian package mosh;" in said
    assert "grpc_tuned is left out: it needs the Python package grpcio;" in said
    result = CliRunner().invoke(app, ["bench", "--clients", "mosh,grpc_default"])
    assert result.exit_code == 1
    assert len(raced) == 1


@pytest.mark.parametrize(
    ("there", "more", "why"),
    [(None, [], "matplotlib"), (object(), ["--skip-network"], "leaves out")],
    ids=["no matplotlib", "no race"],
)
def test_a_picture_that_cannot_be_drawn_is_told_before_the_race(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: object, more: list[str], why: str
) -> None:
    """Nobody waits a quarter of an hour to learn it."""
    monkeypatch.setattr(Lab, "missing", lambda: pytest.fail("asked for a lab"))
    monkeypatch.setattr(bench, "measure", lambda: pytest.fail("began to measure"))
    monkeypatch.setattr(bench, "find_spec", lambda _: there)
    result = CliRunner().invoke(app, ["bench", "--plot", str(tmp_path / "race.svg"), *more])
    assert result.exit_code == 2
    assert why in " ".join(result.output.replace("│", " ").split())


# --- installing -------------------------------------------------------------------------------------


class Told:
    """Stands in for running programs; nothing is installed."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.commands: list[tuple[str, ...]] = []

    def __call__(self, *argv: str) -> bool:
        self.commands.append(argv)
        return self.works


@pytest.mark.usefixtures("bare")
def test_installing_takes_all_that_is_lacking_and_ends_well_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One pip, one apt-get with a second try after an update, and a line for each that is still missing."""
    told = Told(works=False)
    monkeypatch.setattr(install, "_tried", told)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install.main()
    pip, first, update, second, *_ = told.commands
    assert {"grpcio", "websockets", "nats-py", "paho-mqtt", "matplotlib"} <= set(pip)
    assert first == second
    assert {"mosh", "mosquitto", "nats-server"} <= set(first)
    assert "update" in update
    assert not any("systemctl" in command for command in told.commands)
    assert "There is no mosquitto: what needs it is left out of the race." in capsys.readouterr().out


@pytest.mark.usefixtures("bare")
def test_without_root_debian_packages_are_only_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing outside the environment is touched."""
    told = Told(works=True)
    monkeypatch.setattr(install, "_tried", told)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    install.main()
    assert [command[2] for command in told.commands] == ["pip"]
    assert "As root on Debian: apt-get install mosh mosquitto nats-server" in capsys.readouterr().out


@pytest.mark.usefixtures("bare")
def test_a_broker_that_was_installed_does_not_run_for_the_whole_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Debian starts its services; those that came for the race are switched off again, and no others."""
    told = Told(works=True)
    monkeypatch.setattr(install, "_tried", told)
    monkeypatch.setattr(install, "lacking", lambda: ([], ["mosh", "mosquitto"]))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install.main()
    command = told.commands[-1]
    assert command[:2] == ("systemctl", "disable")
    assert "mosquitto" in command
    assert not {"mosh", "nats-server"} & set(command)


def test_nothing_is_installed_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second time costs nothing."""
    told = Told(works=True)
    monkeypatch.setattr(install, "_tried", told)
    monkeypatch.setattr(install, "lacking", lambda: ([], []))
    install.main()
    assert told.commands == []


# --- what they share --------------------------------------------------------------------------------


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a client of this endpoint."""
    monkeypatch.setattr(sys, "argv", ["client", "tcp://10.0.0.2:5555"])


@pytest.mark.usefixtures("dialled")
def test_what_waits_too_long_is_given_up_and_a_late_answer_is_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each request has one verdict; younger ones go on waiting."""
    now = time.monotonic()
    pending = Pending()
    for probe in (Probe("old", now - 5.0), Probe("quick", now - 4.0), Probe("young", now)):
        pending.add(probe)
    pending.answered("quick")
    pending.expire()
    pending.answered("old")
    pending.expire()
    assert [(line["id"], line["ok"]) for line in lines(capsys)] == [("quick", True), ("old", False)]
    pending.answered("young")
    assert [(line["id"], line["ok"]) for line in lines(capsys)] == [("young", True)]


def test_the_beat_goes_on() -> None:
    """Beats come one after the other for as long as somebody listens."""

    async def count() -> int:
        heard = 0
        async for _ in beats():
            heard += 1
            if heard == 3:
                break
        return heard

    assert asyncio.run(count()) == 3


def test_a_server_takes_the_options_of_the_stand_in_image(tmp_path: Path) -> None:
    """Those the seat gives it, with or without a place to listen."""
    log = str(tmp_path / "log")
    options = ["--state", str(tmp_path / "state"), "--log", log]
    assert place(options).port == 5555
    where = place(["--bind", "tcp://127.0.0.1:7001", *options])
    assert (where.host, where.port, str(where.log)) == ("127.0.0.1", 7001, log)
    with pytest.raises(SystemExit):
        place([])


def test_executions_are_kept_over_a_restart(tmp_path: Path) -> None:
    """Whole lines, the old ones first, stamped with the clock the clients use."""
    log = tmp_path / "executed.jsonl"
    before = time.monotonic()
    Executions(log).note("a")
    Executions(log).note("b")
    noted = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["id"] for line in noted] == ["a", "b"]
    assert before <= noted[0]["t"] <= noted[1]["t"] <= time.monotonic()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux on Linux")
def test_a_broker_ends_with_the_program_that_started_it() -> None:
    """Even if that was killed, and had no chance to say goodbye."""
    port = str(free_port())
    listens = (
        "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
    )
    code = (
        "import sys, time; from simulations.field.peers.serving import broker; port, listens = sys.argv[1:];"
        "print(broker(int(port), sys.executable, '-c', listens, port).pid, flush=True); time.sleep(60)"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, port, listens],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        text=True,
    )
    with program:
        assert program.stdout
        pid = int(program.stdout.readline())
        assert alive(pid)
        socket.create_connection(("127.0.0.1", int(port))).close()
        program.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid), GONE_S, "the end of the broker")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux on Linux")
def test_a_broker_that_does_not_start_is_not_waited_for() -> None:
    """Its exit status is passed on, for the seat to tell."""
    with pytest.raises(SystemExit) as caught:
        broker(free_port(), sys.executable, "-c", "raise SystemExit(3)")
    assert caught.value.code == 3


def test_the_screen_is_read_in_whatever_pieces_it_comes() -> None:
    """Titles with and without the prefix mosh gives them, among other things a terminal is sent."""
    shown = (
        b"\x1b[H\x1b[2Jhello\x1b]0;[mosh] 9\x07\x1b[3;4Hx\x1b]0;[mosh] 10\x07" + b"y" * 500 + b"\x1b]0;12\x07"
    )
    for piece in (1, 2, 7, len(shown)):
        screen = Screen()
        for start in range(0, len(shown), piece):
            screen.sent(shown[start : start + piece])
        assert screen.highest == 12, piece
    screen = Screen()
    screen.sent(b"\x1b]0;[mosh] 7\x07 \x1b]0;[mosh] no number\x07 12 \x1b]0;[mosh] 8")
    assert screen.highest == 7


# --- the picture ------------------------------------------------------------------------------------


def raced(scenario: str, client: str, *recoveries_ms: float | None) -> list[Outcome]:
    return [
        Outcome(scenario, turn, client, recovery_ms, None, 0, 0, 1.0, 0.1)
        for turn, recovery_ms in enumerate(recoveries_ms)
    ]


OUTCOMES = [
    *raced("S3", "resilience", 12.0, 30.0, 20.0),
    *raced("S3", "mosh", 30.0, None, None),
    *raced("S1", "resilience", 5.0),
    *raced("S1", "mosh", 36.0),
]


def test_the_picture_has_a_dot_for_every_run_and_a_tick_at_the_median() -> None:
    """A row per scenario in the order of the scenarios; never stands beyond every time."""
    plot = pytest.importorskip("simulations.field.plot", reason="needs matplotlib; `make race` installs it")
    first, second = plot.figure(OUTCOMES).axes
    assert [axes.get_title("left").split()[0] for axes in (first, second)] == ["S1", "S3"]
    dots = [
        {(round(float(x), 6), round(float(y))) for x, y in collection.get_offsets()}
        for collection in second.collections
    ]
    assert dots == [
        {(12.0, 0), (30.0, 0), (20.0, 0)},
        set(),
        {(30.0, 1)},
        {(plot.NEVER_MS, 1)},
    ]
    ticks = [line.get_xdata()[0] for line in second.lines if len(set(line.get_ydata())) == 2]
    assert ticks[-2:] == [20.0, plot.NEVER_MS]
    assert 1000 * max(scenario.patience_s for scenario in SCENARIOS.values()) < plot.NEVER_MS


def test_the_same_race_gives_the_same_picture(tmp_path: Path) -> None:
    """Byte for byte, with its words as text: who reads the diff of a commit sees what moved."""
    plot = pytest.importorskip("simulations.field.plot", reason="needs matplotlib; `make race` installs it")
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        plot.draw(OUTCOMES, file)
    first, second = (file.read_text() for file in files)
    assert first == second
    for word in ("S3", "roam to another subnet", "resilience", "mosh", "never", "100 ms"):
        assert word in first, word


def test_every_client_has_a_colour_of_its_own() -> None:
    """One added without is drawn, but not told from the next one."""
    plot = pytest.importorskip("simulations.field.plot", reason="needs matplotlib; `make race` installs it")
    assert plot.COLOURS.keys() == CLIENTS.keys() - {"counter"}  # which only another test's race has
    assert len({*plot.COLOURS.values(), plot.OTHER}) == len(plot.COLOURS) + 1


# --- each of them, for real -------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """What a peer printed and its server executed while its link flapped and its server was killed."""

    flap_back: float
    killed: float
    restarted: float
    lines: list[dict[str, Any]]
    executed: list[dict[str, Any]]


MORTAL = "mosh"  # its session ends with its server
AFTERWARDS_S = 2.0
DOWN_S = 0.4
AT_ONCE_S = 0.1  # what a killed server started is ended by the kernel, or by whatever holds its leash


def played(name: str) -> Played:
    """Play a short S1, then kill the server and start it again."""
    with Seat(name) as seat:
        wait_until(seat.started, START_S, f"{name}: the first answer")
        window = play(SCENARIOS["S1"].paced(dice_for(1, "S1", 1), 0.4), seat, time.sleep)
        back = window.path_back
        wait_until(lambda: recovered_at(seat.printed(), back), START_S, f"{name}: recovery from the flap")
        killed = seat.images[0].kill().done
        wait_until(lambda: seat.lab.listening() is None, GONE_S, f"{name}: the end of whatever listens")
        time.sleep(DOWN_S)
        restarted = seat.images[0].start().done
        if name == MORTAL:
            time.sleep(AFTERWARDS_S)
        else:
            wait_until(
                lambda: recovered_at(seat.printed(), restarted), START_S, f"{name}: the server's return"
            )
        assert seat.died() == ""
        return Played(back, killed, restarted, list(seat.printed()), seat.executed())


@pytest.fixture(scope="module")
def everybody() -> dict[str, Played]:
    """All that can run here, at the same time."""
    able = [name for name in PEERS if obstacle(name) is None]
    with ThreadPoolExecutor(len(able)) as pool:
        return dict(zip(able, pool.map(played, able), strict=True))


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.skipif(MISSING is not None, reason=f"needs root and network namespaces: {MISSING}")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(obstacle(name) is not None, reason=f"{name}: {obstacle(name)}")
        )
        for name in PEERS
    ],
)
class TestPeer:
    """Every peer keeps the contract of the race's clients, and its server that of the image."""

    def test_it_is_scored_like_the_others(self, everybody: dict[str, Played], name: str) -> None:
        """A line about each request, every 20 ms, also while there is no connection."""
        asked = sorted(line["t0"] for line in everybody[name].lines)
        assert {line["event"] for line in everybody[name].lines} == {"probe"}
        assert len({line["id"] for line in everybody[name].lines}) == len(asked)
        during = [t0 for t0 in asked if everybody[name].killed <= t0 <= everybody[name].restarted]
        assert len(during) >= 5

    def test_what_was_answered_was_executed_once(self, everybody: dict[str, Played], name: str) -> None:
        """The server logs every request with the id the client gave it, and with these settings once."""
        executed = [line["id"] for line in everybody[name].executed]
        answered = {line["id"] for line in everybody[name].lines if line["ok"]}
        assert answered
        assert answered <= set(executed)
        assert executions(everybody[name].lines, everybody[name].executed)[0] == 0

    def test_it_is_really_cut_off_from_a_killed_server(self, everybody: dict[str, Played], name: str) -> None:
        """Nothing that plays the image's part stays behind and goes on answering."""
        play = everybody[name]
        ended, next_begins = play.killed + AT_ONCE_S, play.killed + DOWN_S
        assert not [line for line in play.lines if line["ok"] and ended < line["t"] < next_begins]
        assert not [line for line in play.executed if ended < line["t"] < next_begins]
        assert any(line["t"] < play.killed for line in play.executed)

    def test_it_comes_back_with_its_server(self, everybody: dict[str, Played], name: str) -> None:
        """All but mosh, which is then never back."""
        back = recovered_at(everybody[name].lines, everybody[name].restarted)
        assert (back is None) == (name == MORTAL)
