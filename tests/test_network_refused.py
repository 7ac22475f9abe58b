"""A system that forbids netlink, for real."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import resilience

SECCOMP = """
import ctypes, struct
def op(code, true, false, k): return struct.pack("=HBBI", code, true, false, k)
refuse_netlink = ctypes.create_string_buffer(
    op(0x20, 0, 0, 0) + op(0x15, 0, 3, {socket_call}) + op(0x20, 0, 0, 16) + op(0x15, 0, 1, 16)
    + op(0x06, 0, 0, 0x00050001) + op(0x06, 0, 0, 0x7FFF0000))
class Program(ctypes.Structure): _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(6, ctypes.addressof(refuse_netlink))), 0, 0) == 0

import asyncio
from resilience.network.monitor import NetworkMonitor
async def main():
    monitor = NetworkMonitor(print, print, print)
    monitor.start(asyncio.get_running_loop())
    print(monitor.mode, monitor.snapshot.path_to("127.0.0.1").local_address)
    print(monitor.trouble)
    await asyncio.sleep(0.6)
    monitor.stop()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux")
def test_a_container_that_forbids_netlink_is_no_obstacle() -> None:
    """With a real seccomp filter, under which `netifaces` fails too: it needs the same kind of socket."""
    socket_calls = {"x86_64": 41, "aarch64": 198}
    if platform.machine() not in socket_calls:
        pytest.skip(f"the number of the socket call on {platform.machine()} is not known here")
    program = SECCOMP.format(socket_call=socket_calls[platform.machine()])
    root = Path(resilience.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=30, check=False
    )
    if "prctl" in done.stderr:
        pytest.skip("this kernel takes no seccomp filters")
    assert done.returncode == 0, done.stderr
    mode, trouble = done.stdout.splitlines()
    assert mode == "poll 127.0.0.1"
    assert "netlink: opening a socket" in trouble
    assert "netifaces: " in trouble
