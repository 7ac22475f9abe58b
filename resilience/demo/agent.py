"""Inside a network namespace of the lab: the program that holds it, obeys its owner and cleans up.

Run as a program by `resilience.demo.namespaces`, never by hand, and without a search path (-I -S), so that
it starts fast: nothing here imports from the package. An agent unshares, then runs one line of operations
after another from a pipe, with a clock reading on either side, so that a fault is one netlink message rather
than a spawned ``ip``. When the pipe closes, and the kernel closes it however the owner died, the agent kills
whatever runs in its namespace and leaves, and the kernel frees the interfaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KERNEL_ANSWER_S = 5.0  # the kernel answers a message under a millisecond; silent this long, it never will
SWEEP_ROUNDS = 50  # 0.5 s for the processes of a namespace to die of SIGKILL; one round is usual

# Figures of the kernel's interface: sched.h, mount.h, netlink.h, rtnetlink.h, if_addr.h, nf_tables.h.
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE, MNT_DETACH = 0x1000, 0x4000, 0x80000, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLMSG_ERROR = 0x1, 0x4, 0x200, 0x400, 2
RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE = 16, 20, 21, 24, 25
IFF_UP, IFA_ADDRESS, IFA_LOCAL, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 0x1, 1, 2, 4, 5, 6
RT_TABLE_MAIN, RTPROT_DHCP, RTN_UNICAST, RT_SCOPE_NOWHERE = 254, 16, 1, 255
NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES, BATCH_BEGIN, BATCH_END, NFT_MSG_NEWCHAIN = 12, 10, 0x10, 0x11, 3
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY = 1, 3, 5
SUBNET_BITS = 24
LISTEN, TIME_WAIT = "0A", "06"  # TCP states in /proc/net/tcp, include/net/tcp_states.h
NOWHERE = "127.71.71.71"  # an address on the loopback interface that nobody uses


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
    netlink.settimeout(KERNEL_ANSWER_S)
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


def _default_route(nic: str, gateway: str, *, present: bool, metric: int = 0) -> None:
    """Add the default route, or make sure there is none: the kernel drops it by itself with the link."""
    protocol, scope, kind = (RTPROT_DHCP, 0, RTN_UNICAST) if present else (0, RT_SCOPE_NOWHERE, 0)
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, RT_TABLE_MAIN, protocol, scope, kind, 0)
    body += _attribute(RTA_GATEWAY, socket.inet_aton(gateway))
    body += _attribute(RTA_OIF, struct.pack("=I", socket.if_nametoindex(nic)))
    if present:
        body += _attribute(RTA_PRIORITY, struct.pack("=I", metric))
        _tell_kernel(socket.NETLINK_ROUTE, (RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body))
        return
    try:
        _tell_kernel(socket.NETLINK_ROUTE, (RTM_DELROUTE, NLM_F_ACK, body))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def _forward_policy(*, drop: bool, table: str = "lab", chain: str = "forward") -> None:
    """Flip the policy of one of the firewall's chains: a single transaction, no rule to add or find again."""
    marker = struct.pack("!BBH", 0, 0, NFNL_SUBSYS_NFTABLES)
    body = struct.pack("!BBH", socket.AF_INET, 0, 0)
    body += _attribute(NFTA_CHAIN_TABLE, table.encode() + b"\0")
    body += _attribute(NFTA_CHAIN_NAME, chain.encode() + b"\0")
    body += _attribute(NFTA_CHAIN_POLICY, struct.pack("!I", 0 if drop else 1))
    _tell_kernel(
        NETLINK_NETFILTER,
        (BATCH_BEGIN, 0, marker),
        (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_ACK, body),
        (BATCH_END, 0, marker),
    )


def _forwarding(*, on: bool) -> None:
    """Switch routing itself; a router that does not forward discards silently, without ICMP."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1" if on else "0")


def _chatter(times: int) -> None:
    """Have the kernel announce what concerns nobody: an address comes and goes, so many times."""
    for _ in range(times):
        _address("lo", NOWHERE, present=True)
        _address("lo", NOWHERE, present=False)


def _sockets() -> Iterator[tuple[str, str, str]]:
    """Read local address, remote address and state of every TCP socket, as the kernel writes them."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for row in Path(table).read_text().splitlines()[1:]:
                _, local, remote, state, _ = row.split(maxsplit=4)
                yield local, remote, state


def _listening(port: int) -> bool:
    suffix = f":{port:04X}"
    return any(local.endswith(suffix) and state == LISTEN for local, _, state in _sockets())


def _connected(first: int, last: int) -> list[int]:
    """List the local ports of all connections to somebody's ports from `first` to `last`."""
    return sorted(
        int(local.rpartition(":")[2], 16)
        for local, remote, state in _sockets()
        if first <= int(remote.rpartition(":")[2], 16) <= last and state != TIME_WAIT
    )


OPERATIONS: dict[str, Callable[..., bool | list[int] | None]] = {
    "link": _link,
    "address": _address,
    "default_route": _default_route,
    "forward_policy": _forward_policy,
    "forwarding": _forwarding,
    "chatter": _chatter,
    "listening": _listening,
    "connected": _connected,
}


def _obey(line: str) -> dict[str, Any]:
    """Run the operations of one line back to back, with the clock read just before and just after."""
    steps = json.loads(line)
    value: bool | list[int] | None = None
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


def _enter(agent: int, namespace: str, etc: str, argv: Sequence[str]) -> int:
    """Become ``argv`` inside the agent's namespace, with a /sys that shows that namespace's interfaces.

    The files in the directory `etc`, unless it is empty, stand in for those in /etc.
    """
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
        for file in Path(etc).iterdir() if etc else ():
            _system_call("mount", bytes(file), bytes(Path("/etc", file.name)), None, MS_BIND, None)
        # Python ignores these two, and ignoring is inherited; the program expects the usual.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvp(argv[0], list(argv))  # noqa: S606 - replacing this process is the point
    except OSError as error:
        print(f"{argv[0]}: cannot run in the lab: {error}", file=sys.stderr)  # noqa: T201 - no other way out
        return 127


def _main(argv: Sequence[str]) -> int:
    match argv:
        case ["agent", _]:
            return _serve()
        case ["enter", agent, namespace, etc, *program] if program:
            return _enter(int(agent), namespace, etc, program)
    print("This program is started by the lab itself.", file=sys.stderr)  # noqa: T201 - for whoever tries
    return 2


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
