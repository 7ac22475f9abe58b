"""A real network on one machine: client, router and image, each in a network namespace of its own.

    client  wlan0 10.71.1.2 ── home0   10.71.1.1 ╮
            wlan1 (no lease) ─ office0 10.71.2.1 ┤ router ── lan0 10.71.9.1 ── eth0 10.71.9.2  image

"WiFi" is a veth pair whose router end goes down for carrier loss, because the kernel has no radio to
simulate everywhere. Linux and root only; the host's own interfaces are never touched.

The namespaces have no names: each lives only as long as its *agent*, this same file run as a program.
An agent unshares, then obeys one command per line from a pipe, so that a fault is one netlink message
with a clock reading on either side rather than a spawned ``ip``. When the pipe closes, and the kernel
closes it however the owner died, the agent kills whatever runs in its namespace and leaves, and the
kernel frees the interfaces. That is why nothing here imports from the package: an agent must start
fast, and without a search path.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AGENT_ANSWER_S = 5.0  # a command takes under a millisecond; an agent silent this long is broken
CHILD_GRACE_S = 2.0  # between SIGTERM and SIGKILL, as long as a program needs to save and say so
SWEEP_ROUNDS = 50  # 0.5 s for the processes of a namespace to die of SIGKILL; one round is usual


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


# --- inside a namespace: the kernel's own interfaces -------------------------------------------------

# Figures of the kernel's interface: sched.h, mount.h, netlink.h, rtnetlink.h, if_addr.h, nf_tables.h.
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_SLAVE, MNT_DETACH = 0x4000, 0x80000, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLMSG_ERROR = 0x1, 0x4, 0x200, 0x400, 2
RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE = 16, 20, 21, 24, 25
IFF_UP, IFA_ADDRESS, IFA_LOCAL, RTA_OIF, RTA_GATEWAY = 0x1, 1, 2, 4, 5
RT_TABLE_MAIN, RTPROT_DHCP, RTN_UNICAST, RT_SCOPE_NOWHERE = 254, 16, 1, 255
NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES, BATCH_BEGIN, BATCH_END, NFT_MSG_NEWCHAIN = 12, 10, 0x10, 0x11, 3
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY = 1, 3, 5
SUBNET_BITS = 24
LISTEN = "0A"  # TCP state in /proc/net/tcp, include/net/tcp_states.h


def _system_call(name: str, *arguments: int | bytes | None) -> None:
    """Call libc directly: os.setns and os.unshare exist only from Python 3.12, mount never."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


@cache
def _netlink(protocol: int) -> socket.socket:
    # Kept open: closing one of netfilter's waits for an RCU grace period, 10 ms that would blur the clock.
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    netlink.settimeout(AGENT_ANSWER_S)
    return netlink


def _tell_kernel(protocol: int, *messages: tuple[int, int, bytes]) -> None:
    """Send one datagram of (type, flags, body) messages and raise OSError on the kernel's refusal."""
    datagram = b"".join(
        struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body
        for sequence, (kind, flags, body) in enumerate(messages, start=1)
    )
    netlink = _netlink(protocol)
    netlink.send(datagram)
    answer = netlink.recv(65536)
    kind, code = struct.unpack_from("=H", answer, 4)[0], -struct.unpack_from("=i", answer, 16)[0]
    if kind != NLMSG_ERROR or code:
        raise OSError(code, os.strerror(code))


def _link(nic: str, *, up: bool) -> None:
    body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(nic), IFF_UP if up else 0, IFF_UP)
    _tell_kernel(socket.NETLINK_ROUTE, (RTM_NEWLINK, NLM_F_ACK, body))


def _address(nic: str, address: str, *, present: bool) -> None:
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, SUBNET_BITS, 0, 0, socket.if_nametoindex(nic))
    body += _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed)
    kind, flags = (RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL) if present else (RTM_DELADDR, 0)
    _tell_kernel(socket.NETLINK_ROUTE, (kind, NLM_F_ACK | flags, body))


def _default_route(nic: str, gateway: str, *, present: bool) -> None:
    """Add the default route, or make sure there is none: the kernel drops it by itself with the link."""
    protocol, scope, kind = (RTPROT_DHCP, 0, RTN_UNICAST) if present else (0, RT_SCOPE_NOWHERE, 0)
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, RT_TABLE_MAIN, protocol, scope, kind, 0)
    body += _attribute(RTA_GATEWAY, socket.inet_aton(gateway))
    body += _attribute(RTA_OIF, struct.pack("=I", socket.if_nametoindex(nic)))
    if present:
        _tell_kernel(socket.NETLINK_ROUTE, (RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body))
        return
    try:
        _tell_kernel(socket.NETLINK_ROUTE, (RTM_DELROUTE, NLM_F_ACK, body))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def _forward_policy(*, drop: bool) -> None:
    """Flip the policy of the firewall's one chain: a single transaction, no rule to add or find again."""
    marker = struct.pack("!BBH", 0, 0, NFNL_SUBSYS_NFTABLES)
    chain = struct.pack("!BBH", socket.AF_INET, 0, 0)
    chain += _attribute(NFTA_CHAIN_TABLE, b"lab\0") + _attribute(NFTA_CHAIN_NAME, b"forward\0")
    chain += _attribute(NFTA_CHAIN_POLICY, struct.pack("!I", 0 if drop else 1))
    _tell_kernel(
        NETLINK_NETFILTER,
        (BATCH_BEGIN, 0, marker),
        (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_ACK, chain),
        (BATCH_END, 0, marker),
    )


def _forwarding(*, on: bool) -> None:
    """Switch routing itself; a router that does not forward discards silently, without ICMP."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1" if on else "0")


def _listening(port: int) -> bool:
    suffix = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            rows = (row.split(maxsplit=4) for row in Path(table).read_text().splitlines()[1:])
            if any(local.endswith(suffix) and state == LISTEN for _, local, _, state, _ in rows):
                return True
    return False


OPERATIONS: dict[str, Callable[..., bool | None]] = {
    "link": _link,
    "address": _address,
    "default_route": _default_route,
    "forward_policy": _forward_policy,
    "forwarding": _forwarding,
    "listening": _listening,
}


def _obey(line: str) -> dict[str, Any]:
    """Run the operations of one line back to back, with the clock read just before and just after."""
    steps = json.loads(line)
    value: bool | None = None
    began = time.monotonic()
    for operation, arguments in steps:
        try:
            value = OPERATIONS[operation](**arguments)
        except OSError as error:
            return {"failed": f"{operation} {arguments}", "detail": str(error)}
    return {"began": began, "done": time.monotonic(), "value": value}


def _sweep(namespace: str) -> None:
    """Kill every other process in the namespace; it is ours alone, so they are all the lab's."""
    for _ in range(SWEEP_ROUNDS):
        found = False
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208 - names are all
            if pid == os.getpid():
                continue
            with contextlib.suppress(OSError):
                handle = os.pidfd_open(pid)  # taken before the look, so the kill cannot hit a reused pid
                try:
                    if os.readlink(f"/proc/{pid}/ns/net") == namespace:  # noqa: PTH115 - no real path
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        found = True
                finally:
                    os.close(handle)
        if not found:
            return
        time.sleep(0.01)


def _network_namespace() -> str:
    return os.readlink("/proc/self/ns/net")  # noqa: PTH115 - a name like net:[4026531840], not a path


def _serve() -> int:
    """Be an agent: hold a fresh namespace and obey the pipe until it closes."""
    outside = _network_namespace()
    try:
        _system_call("unshare", CLONE_NEWNET)
        _link("lo", up=True)
    except OSError as error:
        print(json.dumps({"failed": "a network namespace", "detail": str(error)}), flush=True)  # noqa: T201 - the pipe
        return 1
    namespace = _network_namespace()
    if namespace == outside:  # the sweep must never run in the namespace we were born in
        return 1
    try:
        print(json.dumps({"namespace": namespace}), flush=True)  # noqa: T201 - the pipe
        for line in sys.stdin:
            print(json.dumps(_obey(line)), flush=True)  # noqa: T201 - the pipe
    except BrokenPipeError:
        pass  # the owner is gone: nobody to answer, only things to clean up
    finally:
        _sweep(namespace)
    return 0


def _enter(agent: int, namespace: str, argv: Sequence[str]) -> int:
    """Become ``argv`` inside the agent's namespace, with a /sys that shows that namespace's interfaces."""
    try:
        descriptor = os.open(f"/proc/{agent}/ns/net", os.O_RDONLY)
        _system_call("setns", descriptor, CLONE_NEWNET)
        os.close(descriptor)
        if _network_namespace() != namespace:
            raise ProcessLookupError(errno.ESRCH, "the lab is gone")
        _system_call("unshare", CLONE_NEWNS)
        _system_call("mount", None, b"/", None, MS_REC | MS_SLAVE, None)
        _system_call("umount2", b"/sys", MNT_DETACH)
        _system_call("mount", b"sysfs", b"/sys", b"sysfs", 0, None)
        # Python ignores these two, and ignoring is inherited; the program expects the usual.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvp(argv[0], list(argv))  # noqa: S606 - replacing this process is the point
    except OSError as error:
        print(f"{argv[0]}: cannot run in the lab: {error}", file=sys.stderr)  # noqa: T201 - no other way out
        return 127


# --- outside: the owner's side -----------------------------------------------------------------------


Step = tuple[str, dict[str, Any]]  # the name of an operation and its arguments


def _link_to(nic: str, *, up: bool) -> Step:
    return "link", {"nic": nic, "up": up}


def _joined(nic: str, address: str, peer: str, agent: int) -> Sequence[str]:
    cable = f"link add {nic} type veth peer name {peer} netns {agent}"
    return cable, f"addr add {address}/{SUBNET_BITS} dev {nic}"


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *arguments]


class _Agent:
    """The owner's end of one namespace."""

    def __init__(self, name: str) -> None:
        # A session of its own: Ctrl-C reaches the owner alone, which then closes the pipes in order.
        self._process = subprocess.Popen(  # noqa: S603 - this file, fixed arguments
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

    def tell(self, *steps: Step) -> tuple[Moment, bool | None]:
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
            _Agent("probe").close()
        except LabError as error:
            return f"The lab needs a kernel that lets root make network namespaces: {error.detail}."
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
        agent = self._agents[Place(place)]
        command = _program("enter", str(agent.pid), agent.namespace, *argv)
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

    def listening(self, port: int = 5555) -> float | None:
        """Tell when a socket was seen listening on the image's port, in CLOCK_MONOTONIC seconds, or None."""
        moment, seen = self._agents[Place.IMAGE].tell(("listening", {"port": port}))
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


def _main(argv: Sequence[str]) -> int:
    match argv:
        case ["agent", _]:
            return _serve()
        case ["enter", agent, namespace, *program] if program:
            return _enter(int(agent), namespace, program)
    print("This program is started by the lab itself.", file=sys.stderr)  # noqa: T201 - for whoever tries
    return 2


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
