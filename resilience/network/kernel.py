"""What the network monitor reads and listens to: the seam between it and the operating system."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from resilience.network import poll
from resilience.network.clocks import SleepClock, sleep_clock
from resilience.network.messages import NetlinkError
from resilience.network.rtnetlink import EventSocket, Reader

if TYPE_CHECKING:
    from resilience.network.snapshot import Interface, Snapshot


class Announcements(Protocol):
    """Readable when something about links, addresses or routes changed."""

    def fileno(self) -> int:
        """The descriptor to wait on; negative once closed."""
        ...

    def drain(self) -> bool:
        """Throw away what has arrived; whether some of it was lost."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class Readings(Protocol):
    """Asks for the network as it is now."""

    def read_all(self) -> Snapshot:
        """Links, addresses and the main routing table."""
        ...

    def read_interfaces(self) -> tuple[Interface, ...]:
        """The interfaces alone, without their addresses."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class Kernel(Protocol):
    """One machine's network and clocks, as its kernel tells of them."""

    def sleep_clock(self) -> SleepClock:
        """What sleep is told by."""
        ...

    def announcements(self) -> Announcements:
        """Begin to listen.

        Raises:
            NetlinkError: this platform, the kernel, or a container's policy has none; poll instead.
        """
        ...

    def readings(self) -> Readings:
        """Begin to ask."""
        ...

    def poll(self) -> Snapshot:
        """What can be known without netlink.

        Raises:
            PollError: nothing can.
        """
        ...

    def poll_sources(self) -> Snapshot:
        """Only the addresses that connections start from; always known."""
        ...


class OwnKernel:
    """The one this process runs on."""

    def sleep_clock(self) -> SleepClock:
        return sleep_clock()

    def announcements(self) -> Announcements:
        if sys.platform != "linux":
            raise NetlinkError("listening to the kernel", f"{sys.platform} has no rtnetlink")
        return EventSocket()

    def readings(self) -> Readings:
        return Reader()

    def poll(self) -> Snapshot:
        return poll.read()

    def poll_sources(self) -> Snapshot:
        return poll.read_sources()
