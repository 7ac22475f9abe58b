"""One network interface and the gateway behind it, as Linux handles both.

Sources: `net/core/link_watch.c` (when a carrier counts), `net/core/neighbour.c` and `arp.c` (probes a second
apart, three of them, the entry gone with the carrier), `net/sched/sch_generic.c` (an interface that is opened
with its lower layer up sends at once); measured in network namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from resilience.network.snapshot import Interface, Route
from simulations.virtual.kernel_clock import KernelClock, Timer

if TYPE_CHECKING:
    from simulations.virtual.tcp import Connection

PROBE_IVL_S = 1.0
PROBES = 3
"""`retrans_time` and `mcast_solicit` of Linux."""

QUEUED_MAX = 100
"""Packets that wait for an answer to the probe; the kernel counts bytes and comes to about as many."""

REPORT_IVL_S = 1.0
"""At most one lost carrier a second is reported, on the whole machine, other namespaces and all."""
REPORTED_AT_ONCE = 0.5
"""How often nobody else's report holds one up: 9 times of 14 on a machine that ran other labs beside."""
CARRIER_S = (0.0001, 0.0005)
"""Until the kernel's work queue gets round to what nothing holds up; found carriers never wait."""
OPENED_S = (0.05, 0.9)
"""Until an interface that was opened is said to be running: 0.07 to 0.91 s in eight tries."""

Arrive = Callable[..., object]
Packet = tuple["Connection", int, Arrive, tuple[object, ...]]
"""Whose, how many bytes, and what is called with what at the other end."""


class Neighbour:
    """Whether the kernel knows the gateway's link-layer address, and what waits for it."""

    def __init__(self, clock: KernelClock, sends: Callable[[], bool]) -> None:
        self.known = False
        self.release: Callable[[Packet], object] = _nowhere
        """What is done with a packet once the address is known."""
        self.give_up: Callable[[Packet], object] = _nowhere
        """... and when nobody has answered."""
        self._clock = clock
        self._sends = sends
        self._waiting: list[Packet] = []
        self._probes = 0
        self._timer: Timer | None = None

    def passes(self, packet: Packet) -> bool:
        """Whether this packet may leave now; otherwise it is kept until the address is known."""
        if self.known:
            return True
        if self._timer is None and self._probe():
            return True
        if len(self._waiting) < QUEUED_MAX:
            self._waiting.append(packet)
        return False

    def heard(self) -> None:
        """Something came from there: it has asked for us before, and so told its own address."""
        if not self.known:
            self._learn()

    def forget(self) -> None:
        """The carrier is gone, or the interface: the next packet asks again, at once."""
        self.known = False
        self._stop()
        self._waiting.clear()

    def _probe(self) -> bool:
        """Ask; whether there was an answer, which takes no longer than a packet's way to the gateway."""
        self._timer = None
        if self._probes == PROBES:
            self._probes = 0
            waiting, self._waiting = self._waiting, []
            for packet in waiting:
                self.give_up(packet)
        elif self._sends():
            self._learn()
        else:
            self._probes += 1
            self._timer = self._clock.after(PROBE_IVL_S, self._probe)
        return self.known

    def _learn(self) -> None:
        self.known = True
        self._stop()
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self.release(packet)

    def _stop(self) -> None:
        self._probes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _nowhere(_: Packet) -> None:
    """Until somebody wants to know."""


class LinkWatch:
    """When the kernel gets round to a lost carrier."""

    def __init__(self, clock: KernelClock, dice: Random) -> None:
        self._clock = clock
        self._dice = dice
        self._next_at = 0.0

    def delay_s(self) -> float:
        """From now to the report."""
        now = self._clock.now()
        held_s = max(0.0, self._next_at - now)
        if not held_s and self._dice.random() >= REPORTED_AT_ONCE:
            held_s = self._dice.uniform(0.0, REPORT_IVL_S)
        self._next_at = now + held_s + REPORT_IVL_S
        return held_s + self._dice.uniform(*CARRIER_S)


class Nic:
    """An interface with at most one address. It must be told what happens to it; it tells when it is told on.

    `up`: switched on by us. `air`: the far end is there (an access point, a cable).
    """

    def __init__(
        self,
        index: int,
        name: str,
        clock: KernelClock,
        dice: Random,
        watch: LinkWatch,
        *,
        changed: Callable[[float], None],
        network: str = "",
        gateway: str | None = None,
        metric: int = 0,
    ) -> None:
        self.index = index
        self.name = name
        self.network = network
        self.gateway = gateway
        self.metric = metric
        self.address: str | None = None
        self.up = False
        self.air = False
        self.neighbour = Neighbour(clock, lambda: self.sends)
        self._clock = clock
        self._dice = dice
        self._watch = watch
        self._changed = changed
        self._queue_open = False
        self._running = False
        self._look_due: Timer | None = None

    @property
    def receives(self) -> bool:
        """Whether frames come in."""
        return self.up and self.air

    @property
    def sends(self) -> bool:
        """Whether frames go out."""
        return self.up and self.air and self._queue_open

    def settle(self, *, air: bool, address: str | None = None) -> None:
        """It is switched on, and everything about it was told long ago."""
        self.up = True
        self.air = self._running = self._queue_open = air
        self.address = address

    def switch(self, *, on: bool) -> None:
        """`ip link set up` or `down`; without a change nothing happens."""
        if on == self.up:
            return
        self.up = on
        self._running = False
        self._queue_open = on and self.air
        if on:
            if self.air:
                self._look_after(self._dice.uniform(*OPENED_S))
        else:
            self._unwatch()
            self.neighbour.forget()
        self._changed(0.0)

    def reach(self, *, air: bool) -> None:
        """The far end comes or goes."""
        if air == self.air:
            return
        self.air = air
        if not self.up or self._look_due is not None:
            return  # the look that is due will find it
        if not air:
            self._look_after(self._watch.delay_s())
        elif not self._queue_open:
            self._look_after(self._dice.uniform(*CARRIER_S))

    def unplug(self) -> None:
        """The interface itself is taken away."""
        self.up = self.air = self._running = self._queue_open = False
        self._unwatch()
        self.neighbour.forget()

    def _look_after(self, delay_s: float) -> None:
        self._look_due = self._clock.after(delay_s, self._look)

    def _look(self) -> None:
        """The kernel gets round to the carrier."""
        self._look_due = None
        self._running = self._queue_open = self.air
        if not self.air:
            self.neighbour.forget()
        self._changed(0.0)

    def _unwatch(self) -> None:
        if self._look_due is not None:
            self._look_due.cancel()
            self._look_due = None

    # -- as netlink shows it ---------------------------------------------------------------

    def shown(self) -> Interface:
        """Lost carriers are seen at once, found ones when the kernel has got round to them."""
        addresses = () if self.address is None else (self.address,)
        lower_up = self.receives
        return Interface(
            self.index, self.name, self.up, lower_up and self._running, addresses, lower_up=lower_up
        )

    def routes(self) -> tuple[Route, ...]:
        """Its own network, and the world behind its gateway."""
        if not self.up or self.address is None:
            return ()
        own = Route(self.network, None, self.name, self.metric, self.address)
        if self.gateway is None:
            return (own,)
        return own, Route("0.0.0.0/0", self.gateway, self.name, self.metric, self.address)
