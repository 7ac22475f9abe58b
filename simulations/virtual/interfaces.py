"""Our own machine's interfaces, routes and announcements: the shape of the lab in network namespaces.

lo 127.0.0.1    wlan0 10.71.1.2 via 10.71.1.1    wlan1 (the office, no lease)    eth9, tun0, docker0 at times
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from resilience.network.snapshot import Interface, Route, Snapshot
from simulations.virtual.kernel_clock import KernelClock, Timer
from simulations.virtual.nic import LinkWatch, Neighbour, Nic
from simulations.virtual.universe import Universe

IMAGES_NETWORK = "10.71.9.0/24"

WIFI_METRIC, CABLE_METRIC = 600, 100
"""What NetworkManager gives them."""

TUNNEL, TUNNEL_INDEX, TUNNEL_ADDRESS = "tun0", 20, "10.99.0.2"
TUNNEL_S = 0.002
"""A tunnel's detour, each way."""

TOLD_S = (0.001, 0.003)
"""From a change of addresses, routes or links to its announcement, measured."""

LEASE_S = 0.004
"""After the carrier at the soonest: the kernel must have got round to that before a client can ask."""

CABLE_LEASE_S = (0.1, 0.3)
"""A lease by DHCP takes 0.1 s in the lab."""

BYSTANDER_S = (0.3, 1.0)
"""How long a bystander stays if nothing is said."""


class Exit(NamedTuple):
    """How packets to the images leave: from which address, through which interface, with what detour."""

    source: str
    nic: Nic | None
    detour_s: float


class Interfaces:
    """What the steps about our own interfaces do, and what the product can see of it."""

    def __init__(self, universe: Universe, clock: KernelClock) -> None:
        self.listener: Callable[[], None] | None = None
        self._universe = universe
        self._clock = clock
        self._dice = universe.dice("interfaces")
        self._watch = LinkWatch(clock, self._dice)
        self._home = self._new(2, "wlan0", "10.71.1.0/24", "10.71.1.1", WIFI_METRIC)
        self._office = self._new(3, "wlan1", "10.71.2.0/24", "10.71.2.1", WIFI_METRIC + 1)
        self._cable = self._new(9, "eth9", "10.71.3.0/24", "10.71.3.1", CABLE_METRIC)
        self._bystander = self._new(12, "docker0", "172.17.0.0/16", None, 0)
        self._wifi = self._home
        self._leases = {self._home.name: 2, self._office.name: 2}
        self._lease: Timer | None = None
        self._docked = self._tunnelled = self._bystanding = False
        self._deaf_until = 0.0
        self._snapshot: Snapshot | None = None
        self._exit: Exit | None = None
        self._exit_known = False
        self._home.settle(air=True, address="10.71.1.2")
        self._office.settle(air=False)

    def _new(self, index: int, name: str, network: str, gateway: str | None, metric: int) -> Nic:
        return Nic(
            index,
            name,
            self._clock,
            self._dice,
            self._watch,
            changed=self._changed,
            network=network,
            gateway=gateway,
            metric=metric,
        )

    @property
    def gateways(self) -> tuple[Neighbour, ...]:
        """Every gateway there may be: whoever carries packets says what becomes of those that wait."""
        return tuple(nic.neighbour for nic in (self._home, self._office, self._cable))

    # -- packets -----------------------------------------------------------------------------

    def way_out(self) -> Exit | None:
        """By what packets to the images leave; None: no route."""
        if not self._exit_known:
            self._exit_known = True
            self._exit = self._find_exit()
        return self._exit

    def _find_exit(self) -> Exit | None:
        candidates = [nic for nic in (self._cable, self._home, self._office) if nic.up and nic.address]
        best = min(candidates, key=lambda nic: nic.metric, default=None)
        if self._tunnelled:
            return Exit(TUNNEL_ADDRESS, best, TUNNEL_S)
        return None if best is None or best.address is None else Exit(best.address, best, 0.0)

    def way_in(self, address: str) -> Nic | None:
        """The interface that receives what is sent to this address of ours; None: nobody does."""
        if self._clock.asleep:
            return None
        if address == TUNNEL_ADDRESS:
            way_out = self.way_out()
            nic = way_out.nic if way_out is not None and self._tunnelled else None
        else:
            nic = next((n for n in (self._home, self._office, self._cable) if n.address == address), None)
        return nic if nic is not None and nic.receives else None

    # -- what netlink tells ------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything a dump would show now."""
        if self._snapshot is None:
            present = self._present()
            interfaces = [Interface(1, "lo", up=True, carrier=True, addresses=("127.0.0.1",), lower_up=True)]
            interfaces += [nic.shown() for nic in present]
            routes = [route for nic in present for route in nic.routes()]
            if self._tunnelled:
                tunnel = (TUNNEL_ADDRESS,)
                interfaces.append(
                    Interface(TUNNEL_INDEX, TUNNEL, up=True, carrier=True, addresses=tunnel, lower_up=True)
                )
                routes.append(Route(IMAGES_NETWORK, None, TUNNEL, 0, TUNNEL_ADDRESS))
            self._snapshot = Snapshot(tuple(interfaces), tuple(routes))
        return self._snapshot

    def _present(self) -> list[Nic]:
        docked = [self._cable] if self._docked else []
        return [self._home, self._office, *docked, *([self._bystander] if self._bystanding else [])]

    def _changed(self, told_after_s: float) -> None:
        """Something differs from now on, and is announced that much later than such things are."""
        self._snapshot = None
        self._exit_known = False
        self._announce(told_after_s)

    def _announce(self, after_s: float = 0.0) -> None:
        self._clock.after(after_s + self._dice.uniform(*TOLD_S), self._message)

    def _message(self) -> None:
        if self.listener is not None and self._universe.now >= self._deaf_until:
            self.listener()

    # -- steps -------------------------------------------------------------------------------

    def link(self, *, up: bool) -> None:
        """The present WiFi interface is switched; its address stays, its routes go and come with it."""
        if self._wifi.up == up:
            return
        self._wifi.switch(on=up)
        self._see_carrier()
        if up and self._wifi.address is not None:
            self._announce(0.001)

    def carrier(self, *, on: bool) -> None:
        """The access point of the present WiFi falls silent, or is back."""
        self._wifi.reach(air=on)
        self._see_carrier()

    def lease(self, *, held: bool, new: bool = False) -> None:
        """Address and default route of the present WiFi go, or come; `new`: another address."""
        self._call_off_lease()
        wifi = self._wifi
        if new:
            self._leases[wifi.name] += 1
        address = wifi.network.replace("0/24", str(self._leases[wifi.name])) if held else None
        if address != wifi.address:
            wifi.address = address
            self._changed(0.0)
            self._announce(0.001)

    def roam_away(self) -> None:
        """Carrier and lease of the present WiFi are gone."""
        self.carrier(on=False)
        self.lease(held=False)

    def roam_arrive(self) -> None:
        """The other WiFi, in another subnet, on the other interface."""
        self.roam_away()
        self._wifi = self._office if self._wifi is self._home else self._home
        self.link(up=True)
        self.carrier(on=True)
        self._lease = self._clock.after(LEASE_S, self._leased)

    def _leased(self) -> None:
        self._lease = None
        self.lease(held=True)

    def _call_off_lease(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None

    def dock(self) -> None:
        """A cable with a better metric appears, and soon has a lease."""
        if not self._docked:
            self._docked = True
            self._cable.air = True
            self._cable.switch(on=True)
            self._clock.after(self._dice.uniform(*CABLE_LEASE_S), self._cable_leased)

    def _cable_leased(self) -> None:
        if self._docked and self._cable.address is None:
            self._cable.address = "10.71.3.2"
            self._changed(0.0)
            self._announce(0.001)

    def undock(self) -> None:
        """The adapter is pulled out with its cable."""
        if self._docked:
            self._docked = False
            self._cable.unplug()
            self._cable.address = None
            self._changed(0.0)

    def tunnel(self, *, up: bool) -> None:
        """A VPN takes the route to the images over, or gives it back."""
        if self._tunnelled != up:
            self._tunnelled = up
            self._changed(0.0)
            self._announce(0.001)

    def bystander(self, for_s: float) -> None:
        """An interface that has nothing to do with us comes, and goes again."""
        if self._bystanding:
            return
        self._bystanding = True
        self._bystander.address = "172.17.0.1"
        self._bystander.air = True
        self._bystander.switch(on=True)
        self._announce(0.001)
        self._clock.after(for_s or self._dice.uniform(*BYSTANDER_S), self._bystander_gone)

    def _bystander_gone(self) -> None:
        self._bystanding = False
        self._bystander.unplug()
        self._changed(0.0)

    def lose_hints(self, for_s: float) -> None:
        """No announcement reaches anybody for so long."""
        self._deaf_until = max(self._deaf_until, self._universe.now + for_s)

    def repeat_hints(self, times: int) -> None:
        """So many announcements of nothing, one a millisecond."""
        for number in range(times):
            self._announce(number * 0.001)

    def _see_carrier(self) -> None:
        """A dump shows a lost carrier before it is announced."""
        self._snapshot = None
