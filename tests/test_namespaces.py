"""The lab: each fault does what its name says, seen through real sockets and `ip -j`, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resilience.demo import namespaces
from resilience.demo.namespaces import HOME, IMAGE_ADDRESS, OFFICE, Lab, LabError, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MISSING = Lab.missing()


def in_lab(test: Callable[..., None]) -> Callable[..., None]:
    skipped = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))(test)
    marked: Callable[..., None] = pytest.mark.netns(skipped)
    return marked


# Answers each connection with the address it came from, then with a dot every 20 ms.
SERVER = """
import socket, threading, time
def serve(peer, address):
    try:
        peer.sendall(address[0].encode() + b"\\n")
        while True:
            peer.sendall(b".")
            time.sleep(0.02)
    except OSError:
        pass
listener = socket.create_server(("0.0.0.0", 5555))
while True:
    threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
"""

DIAL = """
import errno, socket, sys
try:
    peer = socket.create_connection((sys.argv[1], 5555), timeout=float(sys.argv[2]))
    print(peer.makefile().readline().strip())
except TimeoutError:
    print("silence")
except OSError as error:
    print(errno.errorcode[error.errno])
"""

# Holds one connection and says once a second how many bytes came: a sender on the other side must go on.
LISTEN = """
import socket, sys, time
peer = socket.create_connection((sys.argv[1], 5555), timeout=5)
peer.setblocking(False)
while True:
    time.sleep(0.1)
    try:
        print(len(peer.recv(65536)), flush=True)
    except BlockingIOError:
        print(0, flush=True)
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as built:
        yield built


@pytest.fixture
def served(lab: Lab) -> Lab:
    lab.run_in(Place.IMAGE, [sys.executable, "-c", SERVER], stderr=subprocess.DEVNULL)
    wait_until(lambda: lab.listening() is not None)
    return lab


def wait_until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def output(lab: Lab, place: Place, *argv: str) -> str:
    with lab.run_in(place, argv, stdout=subprocess.PIPE, text=True) as process:
        text: str = process.communicate(timeout=20)[0]
    return text


def dial(lab: Lab, patience_s: float = 3.0) -> str:
    return output(lab, Place.CLIENT, sys.executable, "-c", DIAL, IMAGE_ADDRESS, str(patience_s)).strip()


def interface(lab: Lab, nic: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(output(lab, Place.CLIENT, "ip", "-j", "-4", "addr", "show", nic))
    return next((entry for entry in found if entry), {})


def addresses(lab: Lab, nic: str) -> list[str]:
    return [entry["local"] for entry in interface(lab, nic).get("addr_info", [])]


def flags(lab: Lab, nic: str) -> list[str]:
    found = json.loads(output(lab, Place.CLIENT, "ip", "-j", "link", "show", nic))
    return list(found[0]["flags"])


def gateways(lab: Lab) -> list[str]:
    routes = json.loads(output(lab, Place.CLIENT, "ip", "-j", "route"))
    return [route["gateway"] for route in routes if route["dst"] == "default"]


def host_links() -> str:
    return subprocess.run(["ip", "-br", "link"], check=True, capture_output=True, text=True).stdout


def inhabitants(*spaces: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and str((process / "ns/net").readlink()) in spaces:
                found.append(int(process.name))
    return found


@in_lab
def test_the_client_reaches_the_image_through_the_router(served: Lab) -> None:
    """All three hosts are joined, and the image sees the client's own address."""
    assert dial(served) == HOME.address


@in_lab
def test_a_link_taken_down_loses_its_routes_and_gets_them_back(served: Lab) -> None:
    """Down means no route at once; up means the default route is there when the call returns."""
    served.link_down()
    assert gateways(served) == []
    assert "UP" not in flags(served, HOME.nic)
    assert dial(served) == "ENETUNREACH"
    served.link_up()
    assert gateways(served) == [HOME.gateway]
    assert dial(served) == HOME.address


@in_lab
def test_carrier_loss_leaves_address_and_route(served: Lab) -> None:
    """The client is still configured, its interface still up: only the carrier is gone."""
    served.carrier_off()
    assert "UP" in flags(served, HOME.nic)
    assert "LOWER_UP" not in flags(served, HOME.nic)
    assert addresses(served, HOME.nic) == [HOME.address]
    assert gateways(served) == [HOME.gateway]
    assert dial(served, 0.5) == "silence"
    served.carrier_on()
    assert "LOWER_UP" in flags(served, HOME.nic)
    assert dial(served) == HOME.address


@in_lab
def test_a_lost_lease_takes_address_and_route_only(served: Lab) -> None:
    """The link stays up with carrier while address and default route are gone."""
    served.lease_lost()
    assert (addresses(served, HOME.nic), gateways(served)) == ([], [])
    assert {"UP", "LOWER_UP"} <= set(flags(served, HOME.nic))
    assert dial(served) == "ENETUNREACH"
    served.lease_back()
    assert dial(served) == HOME.address


@in_lab
def test_a_long_absence_can_be_ended_in_one_step(served: Lab) -> None:
    """Link, address and default route are all back when the call returns."""
    served.link_down()
    served.lease_lost()
    served.link_up_with_lease()
    assert dial(served) == HOME.address


@in_lab
def test_roaming_changes_interface_and_subnet(served: Lab) -> None:
    """In between there is no address at all; afterwards the image sees another one; and back again."""
    assert "LOWER_UP" not in flags(served, OFFICE.nic)
    served.roam_away()
    assert addresses(served, HOME.nic) + addresses(served, OFFICE.nic) == []
    assert dial(served) == "ENETUNREACH"
    served.roam_arrive()
    assert served.wifi is OFFICE
    assert dial(served) == OFFICE.address
    served.roam_away()
    served.roam_arrive()
    assert dial(served) == HOME.address


@pytest.mark.parametrize("firewall", [shutil.which("nft") is not None, False], ids=["best", "without nft"])
@in_lab
def test_a_silent_drop_swallows_both_directions(*, firewall: bool) -> None:
    """No refusal, no unreachable, no byte either way; and the bytes held back arrive afterwards."""
    with Lab() as lab:
        lab._firewall = firewall
        lab.run_in(Place.IMAGE, [sys.executable, "-c", SERVER], stderr=subprocess.DEVNULL)
        wait_until(lambda: lab.listening() is not None)
        listen = [sys.executable, "-c", LISTEN, IMAGE_ADDRESS]
        with lab.run_in(Place.CLIENT, listen, stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            lines = iter(listener.stdout.readline, "")
            wait_until(lambda: int(next(lines)) > 0)
            lab.drop()
            wait_until(lambda: int(next(lines)) == 0)  # what was under way has arrived
            assert [int(next(lines)) for _ in range(3)] == [0, 0, 0]
            assert dial(lab, 0.5) == "silence"
            assert (addresses(lab, HOME.nic), gateways(lab)) == ([HOME.address], [HOME.gateway])
            lab.undrop()
            assert dial(lab) == HOME.address
            wait_until(lambda: int(next(lines)) > 0)
            listener.kill()


@in_lab
def test_a_bystander_comes_flaps_and_goes_beside_the_path(served: Lab) -> None:
    """The client's interfaces change, its path to the image does not."""
    before = gateways(served)
    served.bystander_add()
    assert addresses(served, "docker0") == ["172.17.0.1"]
    served.bystander_flap()
    assert "UP" in flags(served, "docker0")
    assert gateways(served) == before
    served.bystander_remove()
    assert "docker0" not in output(served, Place.CLIENT, "ip", "-j", "link")
    assert dial(served) == HOME.address


@in_lab
def test_moments_enclose_what_happened(lab: Lab) -> None:
    """The stamps are of this machine's monotonic clock, in order, and tight."""
    for operation in (lab.link_down, lab.link_up, lab.drop, lab.undrop, lab.roam_away, lab.roam_arrive):
        before = time.monotonic()
        moment = operation()
        assert before <= moment.began <= moment.done <= time.monotonic()
        assert moment.done - moment.began < 0.25, "usually 0.3 ms; generous for a busy machine"


@in_lab
def test_listening_tells_whether_the_port_is_bound(lab: Lab) -> None:
    """Nobody listens before the server starts, and somebody after."""
    assert lab.listening() is None
    before = time.monotonic()
    lab.run_in(Place.IMAGE, [sys.executable, "-c", SERVER], stderr=subprocess.DEVNULL)
    wait_until(lambda: lab.listening() is not None)
    assert before < (lab.listening() or 0.0) <= time.monotonic()


@in_lab
def test_what_the_kernel_refuses_is_told(lab: Lab) -> None:
    """An operation that cannot be done raises, names itself, and leaves the lab usable."""
    with pytest.raises(LabError) as caught:
        lab.lease_back()  # the lease was never lost
    assert "address" in caught.value.operation
    assert "exists" in caught.value.detail
    lab.lease_lost()


@in_lab
def test_a_program_sees_the_lab_and_not_the_host(lab: Lab) -> None:
    """Sockets and /sys agree on which interfaces there are."""
    assert set(output(lab, Place.CLIENT, "ls", "/sys/class/net").split()) == {"lo", HOME.nic, OFFICE.nic}
    assert "wlan0" not in host_links()


@in_lab
def test_a_program_that_cannot_start_says_so(lab: Lab) -> None:
    """The exit code is the shell's for not found, the name is on stderr."""
    with lab.run_in("client", ["no-such-program"], stderr=subprocess.PIPE, text=True) as process:
        complaint = process.communicate(timeout=20)[1]
    assert process.returncode == 127
    assert "no-such-program" in complaint


@in_lab
def test_broken_pipes_end_a_program_as_usual(lab: Lab) -> None:
    """Starting through Python does not leave SIGPIPE ignored."""
    status = output(lab, Place.CLIENT, "sh", "-c", "grep SigIgn /proc/self/status")
    ignored = int(status.split()[1], 16)
    assert not ignored & 1 << (signal.SIGPIPE - 1)


@in_lab
def test_leaving_ends_even_the_stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ignores SIGTERM, and its children in other sessions, are gone with the lab."""
    monkeypatch.setattr(namespaces, "CHILD_GRACE_S", 0.1)
    with Lab() as lab:
        spaces = [agent.namespace for agent in lab._agents.values()]
        stubborn = "trap '' TERM; setsid sleep 60 & echo ready; while :; do sleep 60; done"
        process = lab.run_in("image", ["sh", "-c", stubborn], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert len(inhabitants(*spaces)) >= 5, "three agents, a shell and its sleeping child"
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    assert inhabitants(*spaces) == []
    lab.close()


@in_lab
def test_an_exception_inside_leaves_nothing() -> None:
    """The body's failure passes through and the namespaces are empty."""
    spaces: list[str] = []
    with pytest.raises(ZeroDivisionError), Lab() as lab:  # noqa: PT012 - the body is the point
        spaces += [agent.namespace for agent in lab._agents.values()]
        lab.run_in("client", ["sleep", "60"])
        raise ZeroDivisionError
    assert len(spaces) == 3
    assert inhabitants(*spaces) == []


@in_lab
def test_a_failed_build_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last step of building fails the agents started before are gone."""
    spaces: list[str] = []

    def refuse(lab: Lab) -> None:
        spaces.extend(agent.namespace for agent in lab._agents.values())
        raise LabError("a step", "refused")

    monkeypatch.setattr(Lab, "link_up_with_lease", refuse)
    with pytest.raises(LabError, match="a step: refused"), Lab():
        pytest.fail("entered a lab that could not be built")
    assert len(spaces) == 3
    assert inhabitants(*spaces) == []


@in_lab
def test_a_lab_whose_agent_died_says_so(lab: Lab) -> None:
    """Operations name the trouble rather than hang, and leaving still works."""
    os.kill(lab._agents[Place.CLIENT].pid, signal.SIGKILL)
    with pytest.raises(LabError, match="gone"):
        lab.link_down()


@in_lab
def test_two_labs_side_by_side_do_not_meet(served: Lab) -> None:
    """The same addresses exist in both, and a fault in one is none in the other."""
    with Lab() as other:
        assert other.name != served.name
        other.drop()
        assert dial(served) == HOME.address


OWNER = """
import sys, time
from resilience.demo.namespaces import Lab
with Lab() as lab:
    child = lab.run_in("client", ["sh", "-c", "trap '' TERM HUP INT; setsid sleep 60 & sleep 60"])
    print(*(agent.namespace for agent in lab._agents.values()), flush=True)
    time.sleep(60)
"""


@in_lab
def test_kill_9_of_the_owner_leaves_nothing() -> None:
    """No process, no namespace held by a mount, no interface on the host outlives a killed owner."""
    before = host_links()
    root = Path(namespaces.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
    ) as owner:
        assert owner.stdout is not None
        spaces = owner.stdout.readline().split()
        assert len(spaces) == 3
        wait_until(lambda: len(inhabitants(*spaces)) >= 6)  # three agents, a shell, two sleeps
        owner.kill()
    wait_until(lambda: inhabitants(*spaces) == [])
    mounts = Path("/proc/self/mountinfo").read_text()
    assert not [space for space in spaces if space in mounts]
    assert host_links() == before


def test_missing_names_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab is for Linux, and a Mac is told so rather than that something failed."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in str(Lab.missing())


def test_missing_names_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root nothing is tried."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in str(Lab.missing())


def test_missing_names_iproute2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program and the package it is in are named."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "iproute2" in str(Lab.missing())


def test_missing_passes_on_why_namespaces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root in a container may still be refused; the kernel's own words are passed on."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/sbin/ip")
    refusal = 'print(\'{"failed": "a network namespace", "detail": "Operation not permitted"}\')'
    monkeypatch.setattr(namespaces, "_program", lambda *_: [sys.executable, "-c", refusal])
    assert "Operation not permitted" in str(Lab.missing())
