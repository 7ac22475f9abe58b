"""What `resilience doctor` asks of the machine: the network monitor, libzmq, limits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

from resilience.cli.doctor import Check, Finding, fail, ok, warn
from resilience.limits import HAS_TCP_INFO

MIN_LIBZMQ = (4, 3, 5)
"""Older ones drop REQ connections on heartbeats (libzmq#3060)."""

MIN_FILES = 256
"""The least a program should have that keeps a handful of images; most systems give 1024."""


def machine_checks() -> list[tuple[str, Check]]:
    """Every check, by name."""
    return [("network", _network), ("silence", _silence), ("libzmq", _libzmq), ("limits", _limits)]


def _network() -> Iterator[Finding]:
    from resilience.network.monitor import Mode, NetworkMonitor  # noqa: PLC0415 - imported when used

    loop = asyncio.new_event_loop()
    monitor = NetworkMonitor(lambda _, __: None, lambda _: None, lambda _: None)
    try:
        monitor.start(loop)
        mode, trouble, count = monitor.mode, monitor.trouble, len(monitor.snapshot.interfaces)
        monitor.stop()
    finally:
        loop.close()
    if mode is Mode.RTNETLINK:
        yield ok("network", f"the kernel tells of changes (rtnetlink); {count} interfaces")
    else:
        yield warn(
            "network",
            f"changes are found by looking twice a second: {trouble or 'there is no rtnetlink here'}",
            "Nothing has to be done; reconnecting takes up to a second longer.",
        )


def _silence() -> Iterator[Finding]:
    if HAS_TCP_INFO:
        yield ok("silence", "the kernel says what a connection receives (TCP_INFO)")
    else:
        yield warn(
            "silence",
            f"{sys.platform} does not say what a connection receives; libzmq's heartbeat decides within 2 s",
            "Nothing has to be done; a single reply that takes longer than that to arrive is cut off.",
        )


def _libzmq() -> Iterator[Finding]:
    import zmq  # noqa: PLC0415 - 30 ms, wanted here alone

    versions = f"libzmq {zmq.zmq_version()}, pyzmq {zmq.__version__}"
    if zmq.zmq_version_info() < MIN_LIBZMQ:
        yield fail(
            "libzmq",
            f"{versions}: it drops connections while an image works",
            "Install a pyzmq wheel (26 or later), which brings libzmq 4.3.5.",
        )
    else:
        yield ok("libzmq", versions + (", CURVE" if zmq.has("curve") else ", without CURVE"))


def _limits() -> Iterator[Finding]:
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        yield ok("limits", "this system has no limit on open files")
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        yield ok("limits", "open files are not limited")
        return
    words = f"{soft} open files at most; up to {hard} may be asked for"
    if soft < MIN_FILES:
        yield warn("limits", words, "Raise the limit if you keep many images: ulimit -n 4096.")
    else:
        yield ok("limits", words)
