"""The lab with everything a scenario may break in it: a dock, a VPN, bad lines, a NAT, a portal, names.

    client  eth1  10.71.3.2 ── dock0  10.71.3.1 ╮
            tun0  10.71.4.2 ── vpn0   10.71.4.1 ┤ router, beside the two WiFi networks

What breaks the way or makes it whole is one message to the kernel, as in `Lab`, so that its moment is known.
What only makes it worse is set by `nft`, `tc` and `ip`, which take some 50 ms.
"""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from resilience.demo.namespaces import (
    HOME,
    IMAGE_ADDRESS,
    IMAGE_GATEWAY,
    OFFICE,
    Lab,
    LabError,
    Moment,
    Place,
)

if TYPE_CHECKING:
    from pathlib import Path

    from resilience.demo.namespaces import Step, Wifi

FIRST_PORT, LAST_PORT = 5555, 5562  # of the images
PORTAL_PORT = 8080
NAME = "image.lab"
MOVED_ADDRESS = "10.71.9.3"

# NetworkManager's defaults, so that a cable wins against WiFi.
WIFI_METRIC, CABLE_METRIC, VPN_METRIC = 600, 100, 50

BURST_BYTES = 3_200  # two full packets: the least a token bucket can work with
QUEUE = "2s"  # so much waits in front of a narrow line before packets are lost

_BITS = 8
_PER_MILLE = 1_000

_NAMES_FROM = "hosts: files\n"  # the machine's name server is out of a lab's reach, and asking it takes 5 s

# `outward` and `inward` are open but for their policy, and meet only what goes to or comes from the images.
_TROUBLE = """
table ip trouble {
  chain outward { type filter hook forward priority 1; policy accept; oifname != "lan0" accept; }
  chain inward { type filter hook forward priority 1; policy accept; iifname != "lan0" accept; }
  chain walled { type filter hook forward priority 1; policy accept; }
  chain rules { type filter hook forward priority 2; policy accept; }
}
"""
_PORTAL_OPENS = f"""
table ip trouble {{
  chain portal {{
    type nat hook prerouting priority -100;
    tcp dport {FIRST_PORT}-{LAST_PORT} redirect to :{PORTAL_PORT};
  }}
}}
"""


class FieldLab(Lab):
    """A `Lab` for scenarios: it keeps account of what is broken, so that things may break in any order.

    Args:
        etc: A directory for the files that names are looked up in; None: nobody looks a name up.

    Raises:
        LabError: As with `Lab`; and from some faults where the machine has no `nft` or no `tc`.
    """

    def __init__(self, etc: Path | None = None) -> None:
        super().__init__()
        self.etc = etc
        self._down: set[str] = set()
        self._leased = True
        self._addresses = itertools.count(3)
        self.image_address = IMAGE_ADDRESS
        self._name_works = True
        self._rules: dict[str, str] = {}
        self._forgotten: set[int] = set()

    def __enter__(self) -> Self:
        if self.etc is not None:
            self.etc.mkdir()
            (self.etc / "nsswitch.conf").write_text(_NAMES_FROM)
        self._write_hosts()
        super().__enter__()
        if self._firewall:
            try:
                self._nft(_TROUBLE)
            except BaseException:
                self.close()
                raise
        return self

    def endpoint(self, port: int = FIRST_PORT) -> str:
        """Give the address at which the client reaches an image, by name where names are played with."""
        return super().endpoint(port) if self.etc is None else f"tcp://{NAME}:{port}"

    # -- the client's own interfaces -------------------------------------------------------------------------

    def link_down(self) -> Moment:
        """As in `Lab`."""
        self._down.add(self.wifi.nic)
        return super().link_down()

    def link_up(self) -> Moment:
        """Bring the interface up, with its default route if it has an address."""
        self._down.discard(self.wifi.nic)
        if self._leased:
            return super().link_up()
        return self._client(("link", {"nic": self.wifi.nic, "up": True}))

    def lease_lost(self) -> Moment:
        """As in `Lab`."""
        self._leased = False
        return super().lease_lost()

    def lease_back(self) -> Moment:
        """Give the address back, and the default route unless the interface is down."""
        self._leased = True
        if self.wifi.nic in self._down:
            return self._client(self._lease(present=True))
        return super().lease_back()

    def lease_new(self) -> Moment:
        """Give another address of the same network, as a DHCP server may at any time."""
        lost = self.lease_lost() if self._leased else None
        network, _, _ = self.wifi.address.rpartition(".")
        self.wifi = replace(self.wifi, address=f"{network}.{next(self._addresses)}")
        back = self.lease_back()
        return Moment(lost.began if lost else back.began, back.done)

    def roam_away(self) -> Moment:
        """As in `Lab`."""
        return super().roam_away() if self._leased else self.carrier_off()

    def roam_arrive(self) -> Moment:
        """Join the other WiFi, whatever was wrong with it when it was left."""
        self.wifi = self._other_wifi()
        began = self.carrier_on().began
        if self.wifi.nic in self._down:
            self.link_up()
        return Moment(began, self.lease_back().done)

    def dock(self) -> Moment:
        """Plug in a cable with a better metric than any WiFi."""
        way = f"default via 10.71.3.1 dev eth1 metric {CABLE_METRIC}"
        return self._second_way("eth1", "dock0", "10.71.3", way)

    def undock(self) -> Moment:
        """Take the cable away, interface and all."""
        return self._timed(Place.CLIENT, "link del eth1")

    def vpn_up(self) -> Moment:
        """Have a tunnel take over the route to the images, and to nothing else."""
        network, _, _ = IMAGE_GATEWAY.rpartition(".")
        way = f"{network}.0/24 via 10.71.4.1 dev tun0 metric {VPN_METRIC}"
        return self._second_way("tun0", "vpn0", "10.71.4", way)

    def vpn_down(self) -> Moment:
        """End the tunnel."""
        return self._timed(Place.CLIENT, "link del tun0")

    def bystander(self) -> Moment:
        """Let an interface come, flap and go that has nothing to do with the images."""
        self.bystander_add()
        flapped = self.bystander_flap()
        self.bystander_remove()
        return flapped

    def chatter(self, times: float) -> Moment:
        """Have the client's kernel announce changes that concern nobody, so many times."""
        return self._client(("chatter", {"times": int(times)}))

    # -- the way between -------------------------------------------------------------------------------------

    def drop_out(self) -> Moment:
        """Discard what the client sends, silently; `undrop` ends it."""
        return self._policy("outward", drop=True)

    def drop_in(self) -> Moment:
        """Discard what the images send, silently; `undrop` ends it."""
        return self._policy("inward", drop=True)

    def undrop(self) -> Moment:
        """End every silence."""
        if not self._firewall:
            return super().undrop()
        began = self._policy("outward", drop=False).began
        self._policy("inward", drop=False)
        return Moment(began, super().undrop().done)

    def loss(self, share: float) -> Moment:
        """Lose so many of all packets, at random; 0 ends it."""
        lost = f"numgen random mod {_PER_MILLE} <= {round(share * _PER_MILLE) - 1} drop"
        return self._rule("loss", lost if share else "")

    def mtu_hole(self, limit_bytes: float) -> Moment:
        """Discard packets larger than that; 0 ends it."""
        return self._rule("mtu", f"ip length > {int(limit_bytes)} drop" if limit_bytes else "")

    def rate(self, bytes_s: float) -> Moment:
        """Let no more through than that, each way; 0 ends it."""
        bucket = f"tbf rate {int(bytes_s * _BITS)}bit burst {BURST_BYTES} latency {QUEUE}"
        words = f"replace dev {{nic}} root {bucket}" if bytes_s else "del dev {nic} root"
        moments = [
            self._timed(place, "qdisc " + words.format(nic=nic), program=("tc", "-batch"))
            for place, nic in ((Place.ROUTER, "lan0"), (Place.IMAGE, "eth0"))
        ]
        return Moment(moments[0].began, moments[-1].done)

    def nat_forgets(self) -> Moment:
        """Discard all packets of the connections there are; new ones are welcome."""
        return self._forget("drop")

    def nat_resets(self) -> Moment:
        """Answer all packets of the connections there are with a reset; new ones are welcome."""
        return self._forget("reject with tcp reset")

    def portal_on(self) -> Moment:
        """Send whatever the client dials to the router's own `PORTAL_PORT`, and forward nothing."""
        walled = self._policy("walled", drop=True)
        return Moment(walled.began, self._nft(_PORTAL_OPENS).done)

    def portal_off(self) -> Moment:
        """Let the client through again."""
        began = self._nft("delete chain ip trouble portal").began
        return Moment(began, self._policy("walled", drop=False).done)

    # -- names, and the images' machine ----------------------------------------------------------------------

    def name_fails(self) -> Moment:
        """Have nobody know the image's name."""
        self._name_works = False
        return self._write_hosts()

    def name_works(self) -> Moment:
        """Have it known again."""
        self._name_works = True
        return self._write_hosts()

    def image_move(self) -> Moment:
        """Give the images' machine another address, and the name with it; nobody has the old one now."""
        old = self.image_address
        new = self.image_address = MOVED_ADDRESS if old == IMAGE_ADDRESS else IMAGE_ADDRESS
        moved = self._image(
            ("address", {"nic": "eth0", "address": old, "present": False}),
            ("address", {"nic": "eth0", "address": new, "present": True}),
            self._image_route(),
        )
        return Moment(moved.began, self._write_hosts().done)

    def host_off(self) -> Moment:
        """Cut the images' machine off, as when it loses power; its processes are the caller's to kill."""
        return self._image(("link", {"nic": "eth0", "up": False}))

    def host_on(self) -> Moment:
        """Bring it back."""
        return self._image(("link", {"nic": "eth0", "up": True}), self._image_route())

    # -- how -------------------------------------------------------------------------------------------------

    def _other_wifi(self) -> Wifi:
        return OFFICE if self.wifi.nic == HOME.nic else HOME

    def _route(self, *, present: bool) -> Step:
        operation, arguments = super()._route(present=present)
        return operation, {**arguments, "metric": WIFI_METRIC}

    def _image_route(self) -> Step:
        return "default_route", {"nic": "eth0", "gateway": IMAGE_GATEWAY, "present": True}

    def _image(self, *steps: Step) -> Moment:
        return self._agents[Place.IMAGE].tell(*steps)[0]

    def _second_way(self, nic: str, peer: str, network: str, route: str) -> Moment:
        client = self._agents[Place.CLIENT].pid
        began = self._timed(
            Place.ROUTER,
            f"link add {peer} type veth peer name {nic} netns {client}",
            f"addr add {network}.1/24 dev {peer}",
            f"link set {peer} up",
        ).began
        lines = (f"addr add {network}.2/24 dev {nic}", f"link set {nic} up", f"route add {route}")
        return Moment(began, self._timed(Place.CLIENT, *lines).done)

    def _policy(self, chain: str, *, drop: bool) -> Moment:
        self._need("nft")
        return self._router(("forward_policy", {"table": "trouble", "chain": chain, "drop": drop}))

    def _forget(self, verdict: str) -> Moment:
        """Judge the connections there are by the client's ports; the kernel is slow to use a port again."""
        ports = self._agents[Place.CLIENT].tell(("connected", {"first": FIRST_PORT, "last": LAST_PORT}))[1]
        fresh = sorted(set(ports) - self._forgotten)
        self._forgotten.update(fresh)
        known, images = f"{{ {', '.join(map(str, fresh))} }}", f"{FIRST_PORT}-{LAST_PORT}"
        outward = f"tcp sport {known} tcp dport {images} {verdict}"
        inward = f"tcp sport {images} tcp dport {known} {verdict}"
        return self._rule(f"nat {known}", f"{outward}\n{inward}" if fresh else "")

    def _rule(self, name: str, text: str) -> Moment:
        """Set or, without a text, remove what stands under this name among the rules."""
        self._rules[name] = text
        lines = [line for rule in self._rules.values() for line in rule.splitlines()]
        added = [f"add rule ip trouble rules {line}" for line in lines]
        return self._nft("\n".join(["flush chain ip trouble rules", *added]))

    def _nft(self, text: str) -> Moment:
        return self._timed(Place.ROUTER, text, program=("nft", "-f"))

    def _timed(self, place: Place, *lines: str, program: tuple[str, str] = ("ip", "-batch")) -> Moment:
        self._need(program[0])
        began = time.monotonic()
        self._run(place, [*program, "-"], "\n".join(lines) + "\n")
        return Moment(began, time.monotonic())

    @staticmethod
    def _need(program: str) -> None:
        if shutil.which(program) is None:
            raise LabError(program, "this machine has no such program")

    def _write_hosts(self) -> Moment:
        began = time.monotonic()
        if self.etc is not None:
            known = f"{self.image_address} {NAME}\n" if self._name_works else ""
            (self.etc / "hosts").write_text("127.0.0.1 localhost\n" + known)
        return Moment(began, time.monotonic())
