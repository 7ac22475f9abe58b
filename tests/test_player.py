"""The real world's player: what it measures, that its lab breaks what it says, and that seats go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from resilience.demo.namespaces import HOME, OFFICE, Lab, LabError, Moment, Place
from simulations.faults import Step, What
from simulations.field import player
from simulations.field.lab import FIRST_PORT, MOVED_ADDRESS, NAME, PORTAL_PORT, FieldLab
from simulations.field.player import UnhealedError, Window, play
from simulations.field.programs import Printed
from simulations.field.seat import Seat, SeatError
from simulations.scenarios import SCENARIOS, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MISSING = Lab.missing() or (None if shutil.which("nft") else "needs nftables")


def in_lab(test: Callable[..., None]) -> Callable[..., None]:
    skipped = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))(test)
    marked: Callable[..., None] = pytest.mark.netns(skipped)
    return marked


# --- what is measured, with a clock of our own --------------------------------------------------------------


class Table:
    """A clock, and steps that take as long as they are told to."""

    def __init__(self, images: int = 1) -> None:
        self.now = 100.0
        self.takes_s: dict[What, float] = {}
        self.done: list[str] = []
        self.seat: Any = SimpleNamespace(images=[None] * images, release_client=self._release)

    def _release(self) -> None:
        self.done.append(f"{self.now - 100:g} release")

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def do(self, step: Step, _: object) -> Moment:
        began = self.now
        self.now += self.takes_s.get(step.what, 0.0)
        self.done.append(f"{began - 100:g} {step.what}")
        return Moment(began, self.now)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table()
    monkeypatch.setattr(player, "_do", table.do)
    monkeypatch.setattr("simulations.field.player.time", SimpleNamespace(monotonic=lambda: table.now))
    return table


def window(table: Table, *lines: str) -> Window:
    """What is measured, with the beginning as 0."""
    found = play(steps(*lines), table.seat, table.wait)
    return Window(tuple(round(fault - 100, 6) for fault in found.faults), round(found.path_back - 100, 6))


def test_an_outage_is_from_where_it_began_to_where_its_cure_was_done(table: Table) -> None:
    """The fault counts from before it was tried, the return from after it was there."""
    table.takes_s = {What.IMAGE_KILL: 0.1, What.IMAGE_START: 0.7}
    assert window(table, "1 image kill", "3 image start") == Window((1.0,), 3.7)
    assert table.done == ["1 image kill", "3 image start"]


def test_what_breaks_together_is_one_fault(table: Table) -> None:
    """A second break in a broken way is none of its own; the way is back with the last cure."""
    assert window(table, *map(str, SCENARIOS["S2"].steps)) == Window((0.0,), 8.0)
    assert len(window(table, *map(str, SCENARIOS["S6"].steps)).faults) == 5


def test_what_lasts_is_back_when_it_ends(table: Table) -> None:
    """By its own end, or by the end of what was to be done, whichever is later."""
    assert window(table, "0 image busy 8") == Window((0.0,), 8.0)
    table.now, table.takes_s = 100.0, {What.IMAGE_SAVE: 0.5}
    assert window(table, "1 image save 0.3") == Window((1.0,), 1.5)


def test_a_disturbance_counts_although_nothing_is_broken(table: Table) -> None:
    """From the last one on the way can be used, and has to be found."""
    assert window(table, "0 dock", "5 undock") == Window((0.0, 5.0), 5.0)
    table.now = 100.0
    assert window(table, "0 drop", "1 undrop", "4 nat forgets", "6 bystander") == Window((0.0,), 4.0)


def test_impairments_delay_the_return_and_are_no_faults(table: Table) -> None:
    """While packets are lost no recovery is measured."""
    assert window(table, "0 loss 0.2", "1 drop", "2 undrop", "5 loss 0") == Window((1.0,), 5.0)


def test_where_nothing_happens_to_the_way_all_is_measured(table: Table) -> None:
    """Bystanders: from the first to the last."""
    assert window(table, "1 bystander", "3 bystander") == Window((1.0,), 3.0)


def test_a_schedule_that_does_not_heal_is_refused(table: Table) -> None:
    """With what it lacks."""
    with pytest.raises(UnhealedError, match="undrop") as caught:
        window(table, "0 drop", "1 link down", "2 link up")
    assert [cure.what for cure in caught.value.cures] == [What.UNDROP]


def test_a_step_that_takes_long_delays_the_next_and_loses_none(table: Table) -> None:
    """In order, as soon as possible, and later ones at their own times again."""
    table.takes_s = {What.IMAGE_START: 2.0}
    window(table, "0 image kill", "1 image start", "1.5 link down", "2 link up", "5 bystander")
    assert table.done == ["0 image kill", "1 image start", "3 link down", "3 link up", "5 bystander"]


def test_a_held_client_is_released_while_other_things_happen(table: Table) -> None:
    """Holding does not hold the schedule up."""
    assert window(table, "0 stall 3", "1 link down", "5 link up") == Window((0.0,), 5.0)
    assert table.done == ["0 stall", "1 link down", "3 release", "5 link up"]


def test_only_one_image_broken_is_a_fault_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the way is back when the last image is."""
    table = Table(images=3)
    monkeypatch.setattr(player, "_do", table.do)
    monkeypatch.setattr("simulations.field.player.time", SimpleNamespace(monotonic=lambda: table.now))
    lines = ("0 image kill #1", "1 image freeze #2", "2 image start #1", "4 image thaw #2")
    assert window(table, *lines) == Window((0.0,), 4.0)


def test_lines_go_on_in_another_file(tmp_path: Path) -> None:
    """A program killed in the middle of a line leaves half a one, which is not glued to the next."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text('{"a": 1}\n{"b": 2}\n{"half')
    printed = Printed(first)
    assert len(printed.read()) == 2
    second.write_text('{"c": 3}\n')
    printed.follow(second)
    assert printed.read() == [{"a": 1}, {"b": 2}, {"c": 3}]


# --- the field's lab ----------------------------------------------------------------------------------------

# Answers each connection with the address it came from and as many bytes as it is then asked for, and echoes.
SERVER = """
import socket, threading
def serve(peer, address):
    try:
        with peer:
            peer.sendall(address[0].encode() + b"\\n")
            file = peer.makefile("rb")
            while line := file.readline():
                peer.sendall(b"x" * int(line))
    except OSError:
        pass
listener = socket.create_server(("0.0.0.0", PORT))
while True:
    threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
"""

# Connects, says from where, then asks for so many bytes, once for each line on stdin, and says what came.
CLIENT = """
import errno, socket, sys
host, patience = sys.argv[1], float(sys.argv[2])
try:
    peer = socket.create_connection((host, 5555), timeout=patience)
    file = peer.makefile("rb")
    print(file.readline().decode().strip(), flush=True)
    for line in sys.stdin:
        peer.sendall(line.encode())
        print(len(file.read(int(line))), flush=True)
except TimeoutError:
    print("silence", flush=True)
except OSError as error:
    print(errno.errorcode.get(error.errno, error), flush=True)
"""


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def listen(lab: FieldLab, place: Place, port: int) -> None:
    program = SERVER.replace("PORT", str(port))
    lab.run_in(place, [sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    wait_until(lambda: lab.listening(port, place) is not None)


@pytest.fixture
def lab() -> Iterator[FieldLab]:
    with FieldLab() as built:
        listen(built, Place.IMAGE, FIRST_PORT)
        yield built


def output(lab: FieldLab, place: Place, *argv: str) -> str:
    with lab.run_in(place, argv, stdout=subprocess.PIPE, text=True) as process:
        text: str = process.communicate(timeout=20)[0]
    return text


class Caller:
    """A connection of the client, held open."""

    def __init__(self, lab: FieldLab, host: str | None = None, patience_s: float = 3.0) -> None:
        argv = [sys.executable, "-c", CLIENT, host or lab.image_address, str(patience_s)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = lab.run_in(Place.CLIENT, argv, **pipes)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks, self._answers = self._process.stdin, self._process.stdout
        self.said = self._line()

    def _line(self) -> str:
        line: str = self._answers.readline()
        return line.strip()

    def ask(self, size: int = 1) -> str:
        self._asks.write(f"{size}\n")
        self._asks.flush()
        return self._line()

    def close(self) -> None:
        self._process.communicate(timeout=20)


def dial(lab: FieldLab, host: str | None = None, patience_s: float = 3.0) -> str:
    """What a new connection hears first: the address it comes from, if all is well."""
    caller = Caller(lab, host, patience_s)
    caller.close()
    return caller.said


@in_lab
def test_interfaces_may_break_in_any_order(lab: FieldLab) -> None:
    """Link and lease go and come crosswise, and each return needs the other's too."""
    lab.lease_lost()
    lab.link_down()
    lab.link_up()
    assert dial(lab) == "ENETUNREACH"
    lab.link_down()
    lab.lease_back()
    assert dial(lab) == "ENETUNREACH"
    lab.link_up()
    assert dial(lab) == HOME.address


@in_lab
def test_roaming_heals_what_was_wrong_with_the_old_network(lab: FieldLab) -> None:
    """Away without a lease, and back to an interface that had been switched off."""
    lab.link_down()
    lab.roam_away()
    lab.roam_arrive()
    assert dial(lab) == OFFICE.address
    lab.lease_lost()
    lab.roam_away()
    lab.roam_arrive()
    assert dial(lab) == HOME.address


@in_lab
def test_another_address_replaces_the_old_one(lab: FieldLab) -> None:
    """While it is there and after it was lost, and each time a new one."""
    lab.lease_new()
    assert dial(lab) == "10.71.1.3"
    lab.lease_lost()
    assert dial(lab) == "ENETUNREACH"
    lab.lease_new()
    assert dial(lab) == "10.71.1.4"
    lab.roam_away()
    lab.roam_arrive()
    assert dial(lab) == OFFICE.address


@in_lab
def test_a_dock_and_a_tunnel_take_the_route_over(lab: FieldLab) -> None:
    """New connections leave through them, and through the WiFi again when they are gone."""
    lab.dock()
    assert dial(lab) == "10.71.3.2"
    lab.vpn_up()
    assert dial(lab) == "10.71.4.2"
    lab.undock()
    assert dial(lab) == "10.71.4.2"
    lab.vpn_down()
    assert dial(lab) == HOME.address


@in_lab
def test_one_direction_can_be_silent(lab: FieldLab) -> None:
    """A SYN that comes through leaves a trace at the image; one that does not leaves none."""

    def half_open() -> bool:
        states = [row.split()[3] for row in output(lab, Place.IMAGE, "cat", "/proc/net/tcp").splitlines()[1:]]
        return "03" in states

    lab.drop_out()
    assert dial(lab, patience_s=0.4) == "silence"
    assert not half_open()
    lab.undrop()
    lab.drop_in()
    assert dial(lab, patience_s=0.4) == "silence"
    assert half_open()
    lab.undrop()
    assert dial(lab) == HOME.address


@in_lab
def test_bad_lines_are_bad_as_said_and_good_again(lab: FieldLab) -> None:
    """All packets lost; large ones only; and a bucket that is there as long as it should be."""
    lab.loss(1.0)
    assert dial(lab, patience_s=0.4) == "silence"
    lab.mtu_hole(600)
    lab.loss(0)
    caller = Caller(lab, patience_s=0.6)
    assert caller.ask(100) == "100"
    assert caller.ask(3000) == "silence"
    caller.close()
    lab.mtu_hole(0)
    caller = Caller(lab)
    assert caller.ask(3000) == "3000"
    lab.rate(8000)
    assert "64Kbit" in output(lab, Place.ROUTER, "tc", "qdisc", "show", "dev", "lan0")
    assert caller.ask(3000) == "3000"
    lab.rate(0)
    assert "tbf" not in output(lab, Place.ROUTER, "tc", "qdisc", "show")
    assert "tbf" not in output(lab, Place.IMAGE, "tc", "qdisc", "show")
    caller.close()


@in_lab
def test_a_nat_forgets_what_there_is_and_nothing_else(lab: FieldLab) -> None:
    """Old connections fall silent, or are reset; a new one works until it is forgotten in turn."""
    old = Caller(lab, patience_s=0.5)
    lab.nat_forgets()
    new = Caller(lab)
    assert (old.ask(), new.ask()) == ("silence", "1")
    lab.nat_resets()
    newest = Caller(lab)
    assert (new.ask(), newest.ask()) == ("ECONNRESET", "1")
    for caller in (old, new, newest):
        caller.close()


@in_lab
def test_a_portal_answers_for_everybody_and_then_no_more(lab: FieldLab) -> None:
    """Whoever dials hears the router; who was connected is heard no more; afterwards all is as before."""
    listen(lab, Place.ROUTER, PORTAL_PORT)
    old = Caller(lab, patience_s=0.5)
    lab.portal_on()
    captive = Caller(lab)
    assert captive.said == HOME.address
    assert output(lab, Place.ROUTER, "ss", "-Htn", "sport", f"= :{PORTAL_PORT}")
    assert old.ask() in {"silence", "ECONNRESET"}
    lab.portal_off()
    assert dial(lab) == HOME.address
    for caller in (old, captive):
        caller.close()


@in_lab
def test_a_host_without_power_says_nothing(lab: FieldLab) -> None:
    """No reset, no refusal; and it is found again after the boot."""
    lab.host_off()
    assert dial(lab, patience_s=0.4) == "silence"
    lab.host_on()
    assert dial(lab, patience_s=5.0) == HOME.address


@in_lab
def test_a_name_can_move_and_fail(tmp_path: Path) -> None:
    """The client's programs see the file as /etc/hosts, whenever they look; nobody has the old address."""
    with FieldLab(tmp_path / "etc") as lab:
        listen(lab, Place.IMAGE, FIRST_PORT)
        assert lab.endpoint() == f"tcp://{NAME}:{FIRST_PORT}"
        assert dial(lab, NAME) == HOME.address
        old = lab.image_address
        lab.image_move()
        assert lab.image_address == MOVED_ADDRESS
        assert dial(lab, NAME) == HOME.address
        assert dial(lab, old, patience_s=0.4) == "silence"
        lab.name_fails()
        assert output(lab, Place.CLIENT, "getent", "hosts", NAME) == ""
        lab.name_works()
        lab.image_move()
        assert dial(lab, NAME) == HOME.address
        assert lab.image_address == old


LISTENER = """
import socket
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
kernel.bind((0, 0x10))  # RTMGRP_IPV4_IFADDR
print("ready", flush=True)
for _ in range(20):
    kernel.recv(65536)
print("twenty", flush=True)
"""


@in_lab
def test_chatter_and_bystanders_change_nothing(lab: FieldLab) -> None:
    """The kernel announces twice per time, and in the end everything is as it was."""
    before = output(lab, Place.CLIENT, "ip", "-4", "-o", "addr")
    argv = [sys.executable, "-c", LISTENER]
    with lab.run_in(Place.CLIENT, argv, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        lab.chatter(10)
        assert listener.stdout.readline() == "twenty\n"
    lab.bystander()
    assert output(lab, Place.CLIENT, "ip", "-4", "-o", "addr") == before


@in_lab
def test_a_program_that_is_missing_is_named(lab: FieldLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a fault that was none."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for broken in (lab.drop_out, lab.portal_on, lambda: lab.loss(0.5)):
        with pytest.raises(LabError, match="nft: this machine has no such program"):
            broken()
    with pytest.raises(LabError, match="tc: "):
        lab.rate(1000)


# --- seats --------------------------------------------------------------------------------------------------


@in_lab
def test_a_client_killed_and_started_goes_on_with_its_data() -> None:
    """Its end is no death of its own, its numbers go on, and the image it knew is restored."""
    with Seat("resilience") as seat:
        wait_until(lambda: any(line["event"] == "transition" for line in seat.printed()), 30)
        seat.kill_client()
        assert seat.died() == ""
        moment = seat.start_client()
        wait_until(lambda: seat.recovered(moment.done), 30)
        seat.close_client()
        assert seat._process.returncode == 128 + signal.SIGTERM
        told = [line for line in seat.printed() if line["event"] == "transition"]
    assert [line["seq"] for line in told] == list(range(1, len(told) + 1))
    targets = [line["target"] for line in told]
    assert targets[-3:] == ["Restoring", "Restored", "Connected"]


@in_lab
def test_an_image_can_be_held_saved_replaced_and_kept_busy() -> None:
    """Each does what it says to the process behind the port, and says when."""
    with Seat("tcp_floor") as seat:
        image = seat.images[0]
        saved = image.save()
        assert saved.began < saved.done
        assert json.loads((seat._directory / "image0.json").read_text())["saves"] == 1
        busy = image.busy(0.2)
        assert busy.done >= saved.done
        image.freeze()
        state = Path(f"/proc/{image._process.pid}/stat")  # type: ignore[union-attr]  # it runs
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        image.thaw()
        image.squat(player.SQUATTERS["http"])
        with pytest.raises(SeatError, match="running already"):
            image.start()
        image.back()
        image.kill()
        assert not image.running
        with pytest.raises(SeatError, match="not running"):
            image.kill()
        codes = [line["code"] for line in image.executed() if line["code"]]
    assert codes == ["Smalltalk snapshot", "(Delay forMilliseconds: 200) wait"]


OWNER = """
import time
from simulations.field.seat import Seat
with Seat("resilience", images=2) as seat:
    seat.lab.dock()
    seat.hold_client()
    print(*(agent.namespace for agent in seat.lab._agents.values()), flush=True)
    time.sleep(60)
"""


@in_lab
def test_kill_9_of_the_owner_leaves_no_process(tmp_path: Path) -> None:
    """Images, a stopped client and a second interface go with the lab."""

    def inhabitants() -> list[int]:
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and str((process / "ns/net").readlink()) in spaces:
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    root = Path(player.__file__).parents[2]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody is left to remove what it made there
    argv = [sys.executable, "-c", OWNER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root, env=environment) as owner:
        assert owner.stdout is not None
        spaces = owner.stdout.readline().split()
        assert len(spaces) == 3
        assert len(inhabitants()) >= 6
        owner.kill()
    wait_until(lambda: inhabitants() == [])
