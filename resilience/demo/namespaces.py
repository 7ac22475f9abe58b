"""A real network on one machine: client, router and image, each in a network namespace of its own.

    client  wlan0 10.71.1.2 ── home0   10.71.1.1 ╮
            wlan1 (no lease) ─ office0 10.71.2.1 ┤ router ── lan0 10.71.9.1 ── eth0 10.71.9.2  image

"WiFi" is a veth pair whose router end goes down for carrier loss, because the kernel has no radio to
simulate everywhere. Linux and root only; the host's own interfaces are never touched.

The namespaces have no names: each lives only as long as its *agent* (`resilience.demo.agent`), which ends
with its owner and takes everything along.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

from resilience.demo import agent
from resilience.demo.agent import SUBNET_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

AGENT_ANSWER_S = 5.0  # a command takes under a millisecond; an agent silent this long is broken
CHILD_GRACE_S = 2.0  # between SIGTERM and SIGKILL, as long as a program needs to save and say so


class Place(StrEnum):
    """The three ends of the lab."""

    CLIENT = "client"
    ROUTER = "router"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Wifi:
    """One of the client's two networks; both gateways are the same router."""

    nic: str
    access_point: str
    address: str
    gateway: str


@dataclass(frozen=True, slots=True)
class Moment:
    """When an operation was begun and when it had taken effect, in CLOCK_MONOTONIC seconds."""

    began: float
    done: float


HOME = Wifi("wlan0", "home0", "10.71.1.2", "10.71.1.1")
OFFICE = Wifi("wlan1", "office0", "10.71.2.2", "10.71.2.1")
IMAGE_ADDRESS, IMAGE_GATEWAY = "10.71.9.2", "10.71.9.1"
BYSTANDER, BYSTANDER_PEER = "docker0", "docker1"

FIREWALL = "table ip lab { chain forward { type filter hook forward priority 0; policy accept; }; }"


class LabError(RuntimeError):
    """The lab could not be built, or an operation in it failed.

    Attributes:
        operation: What was tried.
        detail: What the kernel or the program said.
    """

    def __init__(self, operation: str, detail: str) -> None:
        self.operation = operation
        self.detail = detail
        super().__init__(f"{operation}: {detail}. `Lab.missing()` says what this machine lacks for a lab.")


Step = tuple[str, dict[str, Any]]  # the name of an operation and its arguments


def _link_to(nic: str, *, up: bool) -> Step:
    return "link", {"nic": nic, "up": up}


def _joined(nic: str, address: str, peer: str, owner: int) -> Sequence[str]:
    cable = f"link add {nic} type veth peer name {peer} netns {owner}"
    return cable, f"addr add {address}/{SUBNET_BITS} dev {nic}"


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(agent.__file__).resolve()), *arguments]


class _Agent:
    """The owner's end of one namespace."""

    def __init__(self, name: str) -> None:
        # A session of its own: Ctrl-C reaches the owner alone, which then closes the pipes in order.
        self._process = subprocess.Popen(  # noqa: S603 - the agent, fixed arguments
            _program("agent", name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._orders = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)
        self._lock = threading.Lock()
        self.pid = self._process.pid
        try:
            self.namespace = str(self._answer("start")["namespace"])
        except BaseException:
            self.close()
            raise

    def tell(self, *steps: Step) -> tuple[Moment, Any]:  # Any: what the last operation answers
        with self._lock:
            try:
                self._orders.write(json.dumps(steps) + "\n")
                answer = self._answer(steps[0][0])
            except BrokenPipeError as error:
                raise LabError(steps[0][0], "the agent of this namespace is gone") from error
        return Moment(answer["began"], answer["done"]), answer["value"]

    def _answer(self, operation: str) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise LabError(operation, "the agent of this namespace is gone")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise LabError(answer["failed"], answer["detail"])
        return answer

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        try:
            self._process.wait(AGENT_ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


class Lab:
    """Three namespaces, two WiFi networks and the faults between them; a context manager.

    Every fault method blocks for about a millisecond and returns the `Moment` it happened. Those that
    restore the path return only when it is restored, so ``moment.done`` is the time the path was back.
    One lab belongs to one thread at a time; several labs may run side by side.

    Raises:
        LabError: On entering, if the lab cannot be built, and from any operation the kernel refuses.
    """

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self.name = f"resilience-lab-{os.getpid()}-{next(Lab._numbers)}"
        self.wifi = HOME
        self.etc: Path | None = None
        """Its files stand in for those in /etc, for programs started from now on."""
        self._agents: dict[Place, _Agent] = {}
        self._children: list[subprocess.Popen[Any]] = []
        self._firewall = shutil.which("nft") is not None

    @staticmethod
    def missing() -> str | None:
        """Say in one sentence what this machine lacks for a lab, or None when it lacks nothing."""
        if sys.platform != "linux":
            return f"The lab needs Linux; this is {sys.platform}."
        if os.geteuid() != 0:
            return "The lab needs root, to make network namespaces."
        if shutil.which("ip") is None:
            return "The lab needs the `ip` program (package iproute2)."
        try:
            probe = _Agent("probe")
        except LabError as error:
            return f"The lab needs a kernel that lets root make network namespaces: {error.detail}."
        try:
            command = _program("enter", str(probe.pid), probe.namespace, "", "true")
            entered = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this file
        finally:
            probe.close()
        if entered.returncode != 0:  # such as a chroot whose / is no mount point
            return f"The lab needs to mount a /sys of its own: {entered.stderr.strip()}."
        return None

    def endpoint(self, port: int = 5555) -> str:
        """Give the address at which the client reaches the image."""
        return f"tcp://{IMAGE_ADDRESS}:{port}"

    def __enter__(self) -> Self:
        try:
            for place in Place:
                self._agents[place] = _Agent(f"{self.name}-{place}")
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the lab, then the namespaces; safe to call twice."""
        running = [child for child in self._children if child.poll() is None]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + CHILD_GRACE_S
        for child in running:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()
        while self._agents:
            self._agents.popitem()[1].close()

    def run_in(self, place: Place | str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside one namespace; ``options`` go to `subprocess.Popen`.

        The program is ended with the lab: by `close`, or by its namespace's agent if the owner is killed.
        A program that cannot be started exits with 127 and says why on stderr.
        """
        inside = self._agents[Place(place)]
        command = _program("enter", str(inside.pid), inside.namespace, str(self.etc or ""), *argv)
        child = subprocess.Popen(command, **{"start_new_session": True, **options})  # noqa: S603 - the caller's own
        self._children.append(child)
        return child

    def link_down(self) -> Moment:
        """Take the client's own interface down; its routes go with it, its address stays."""
        return self._client(_link_to(self.wifi.nic, up=False))

    def link_up(self) -> Moment:
        """Bring the interface up again and restore the default route, as a DHCP client does at once."""
        return self._client(_link_to(self.wifi.nic, up=True), self._route(present=True))

    def carrier_off(self) -> Moment:
        """Silence the access point; the client keeps address and routes and only loses carrier."""
        return self._router(_link_to(self.wifi.access_point, up=False))

    def carrier_on(self) -> Moment:
        return self._router(_link_to(self.wifi.access_point, up=True))

    def lease_lost(self) -> Moment:
        """Take the client's address and default route away; the interface itself is left as it is."""
        return self._client(self._route(present=False), self._lease(present=False))

    def lease_back(self) -> Moment:
        return self._client(self._lease(present=True), self._route(present=True))

    def link_up_with_lease(self) -> Moment:
        """Bring the interface up, then address and default route, as after a long absence."""
        up = _link_to(self.wifi.nic, up=True)
        return self._client(up, self._lease(present=True), self._route(present=True))

    def roam_away(self) -> Moment:
        """Leave the current WiFi: carrier gone at its access point, address and route dropped."""
        return Moment(self.carrier_off().began, self.lease_lost().done)

    def roam_arrive(self) -> Moment:
        """Join the other WiFi, in another subnet, on the client's other interface."""
        self.wifi = OFFICE if self.wifi is HOME else HOME
        return Moment(self.carrier_on().began, self.lease_back().done)

    def drop(self) -> Moment:
        """Let the router discard everything it should forward, both ways, without telling anybody."""
        return self._silence(on=True)

    def undrop(self) -> Moment:
        return self._silence(on=False)

    def bystander_add(self) -> None:
        """Give the client an interface that has nothing to do with the image, as docker or a VPN would."""
        self._batch(
            Place.CLIENT,
            f"link add {BYSTANDER} type veth peer name {BYSTANDER_PEER}",
            f"addr add 172.17.0.1/16 dev {BYSTANDER}",
            f"link set {BYSTANDER_PEER} up",
            f"link set {BYSTANDER} up",
        )

    def bystander_flap(self) -> Moment:
        return self._client(_link_to(BYSTANDER, up=False), _link_to(BYSTANDER, up=True))

    def bystander_remove(self) -> None:
        self._batch(Place.CLIENT, f"link del {BYSTANDER}")

    def listening(self, port: int = 5555, place: Place = Place.IMAGE) -> float | None:
        """Tell when a socket was seen listening on the image's port, in CLOCK_MONOTONIC seconds, or None."""
        moment, seen = self._agents[place].tell(("listening", {"port": port}))
        return moment.done if seen else None

    def _build(self) -> None:
        client, image = self._agents[Place.CLIENT].pid, self._agents[Place.IMAGE].pid
        self._batch(
            Place.ROUTER,
            *_joined(HOME.access_point, HOME.gateway, HOME.nic, client),
            *_joined(OFFICE.access_point, OFFICE.gateway, OFFICE.nic, client),
            *_joined("lan0", IMAGE_GATEWAY, "eth0", image),
        )
        self._router(_link_to(HOME.access_point, up=True), _link_to("lan0", up=True))
        self._agents[Place.IMAGE].tell(
            _link_to("eth0", up=True),
            ("address", {"nic": "eth0", "address": IMAGE_ADDRESS, "present": True}),
            ("default_route", {"nic": "eth0", "gateway": IMAGE_GATEWAY, "present": True}),
        )
        self._router(("forwarding", {"on": True}))
        if self._firewall:
            self._run(Place.ROUTER, ["nft", "-f", "-"], FIREWALL)
        self._client(_link_to(OFFICE.nic, up=True))
        self.link_up_with_lease()

    def _silence(self, *, on: bool) -> Moment:
        if self._firewall:
            return self._router(("forward_policy", {"drop": on}))
        return self._router(("forwarding", {"on": not on}))

    def _route(self, *, present: bool) -> Step:
        return "default_route", {"nic": self.wifi.nic, "gateway": self.wifi.gateway, "present": present}

    def _lease(self, *, present: bool) -> Step:
        return "address", {"nic": self.wifi.nic, "address": self.wifi.address, "present": present}

    def _client(self, *steps: Step) -> Moment:
        return self._agents[Place.CLIENT].tell(*steps)[0]

    def _router(self, *steps: Step) -> Moment:
        return self._agents[Place.ROUTER].tell(*steps)[0]

    def _batch(self, place: Place, *lines: str) -> None:
        self._run(place, ["ip", "-batch", "-"], "\n".join(lines) + "\n")

    def _run(self, place: Place, argv: Sequence[str], text: str) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with self.run_in(place, argv, **pipes) as child:
            _, complaint = child.communicate(text)
        self._children.remove(child)
        if child.returncode:
            raise LabError(" ".join(argv), complaint.strip())
