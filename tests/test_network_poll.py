"""Polling: what `netifaces` says, in our terms, and what remains without it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.network import poll
from resilience.network.snapshot import Path, Route

MASK24 = "255.255.255.0"


def pretend(monkeypatch: pytest.MonkeyPatch, addresses: Any, gateways: Any = None) -> None:
    module = SimpleNamespace(
        AF_INET=2, AF_INET6=30, allifaddresses=lambda: addresses, gateways=lambda: gateways or {"default": {}}
    )
    monkeypatch.setitem(sys.modules, "netifaces", module)


def test_a_laptop_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS would tell it: zones on addresses, prefix lengths in netmasks, no carrier."""
    pretend(
        monkeypatch,
        {
            "lo0": {2: [{"addr": "127.0.0.1", "netmask": "255.0.0.0"}], 30: [{"addr": "::1"}]},
            "en0": {
                2: [{"addr": "10.0.0.5", "netmask": MASK24}, {"addr": "10.1.0.5", "netmask": MASK24}],
                18: [{"addr": "02:00:00:00:00:01"}],
                30: [
                    {"addr": "fe80::5%en0", "netmask": "ffff:ffff:ffff:ffff::/64"},
                    {"addr": "2001:db8::5", "netmask": "ffff:ffff:ffff:ffff::"},
                ],
            },
            "utun0": {2: [{"addr": "10.8.0.6", "netmask": "255.255.255.255", "peer": "10.8.0.5"}]},
            "en5": {},
        },
        {
            "default": {2: ("10.1.0.1", "en0"), 30: ("fe80::1%en0", "en0")},
            2: [("10.0.0.1", "en0", False), ("10.1.0.1", "en0", True), ("link#7", "en0", False)],
        },
    )
    seen = poll.read()
    assert {one.name: one.addresses for one in seen.interfaces} == {
        "lo0": ("127.0.0.1", "::1"),
        "en0": ("10.0.0.5", "10.1.0.5", "fe80::5", "2001:db8::5"),
        "utun0": ("10.8.0.6",),
        "en5": (),
    }
    assert all(one.up and one.carrier for one in seen.interfaces)
    assert Route("0.0.0.0/0", "10.0.0.1", "en0", 1, "10.0.0.5") in seen.routes
    assert seen.path_to("8.8.8.8") == Path("10.1.0.5", "en0", "10.1.0.1")
    assert seen.path_to("10.0.0.9") == Path("10.0.0.5", "en0")
    assert seen.path_to("10.8.0.5") == Path("10.8.0.6", "utun0")
    assert seen.path_to("2001:db8:9::1") == Path("2001:db8::5", "en0", "fe80::1")
    assert seen.path_to("127.0.0.1") == Path("127.0.0.1", "lo0")


def test_labels_of_linux_are_not_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """`eth0:1` is an address of eth0 with a name of its own."""
    second = {"addr": "10.0.0.6", "netmask": MASK24}
    pretend(monkeypatch, {"eth0": {2: [{"addr": "10.0.0.5", "netmask": MASK24}]}, "eth0:1": {2: [second]}})
    assert [(one.name, one.addresses) for one in poll.read().interfaces] == [
        ("eth0", ("10.0.0.5", "10.0.0.6"))
    ]


def test_odd_entries_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address that makes no sense does not cost the others."""
    odd = [
        {"addr": "nonsense"},
        {},
        {"addr": "10.0.0.7", "netmask": "0.0.0.0/99x"},
        {"addr": "10.0.0.5", "netmask": MASK24},
    ]
    pretend(monkeypatch, {"eth0": {2: odd}})
    assert poll.read().interfaces[0].addresses == ("10.0.0.5",)


@pytest.mark.parametrize("answer", [None, {"eth0": None}, {"eth0": {2: 7}}, {3: {}}])
def test_an_answer_of_another_shape_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Whatever a C extension returns, the caller sees one kind of error that says what to do."""
    pretend(monkeypatch, answer)
    with pytest.raises(poll.PollError, match="install netifaces-plus"):
        poll.read()


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing is the same kind of error."""
    monkeypatch.setitem(sys.modules, "netifaces", None)
    with pytest.raises(poll.PollError) as caught:
        poll.read()
    assert "netifaces" in caught.value.problem


def test_the_last_resort_knows_loopback_and_where_the_world_is() -> None:
    """Without any library: loopback has a path, and the world has one if connections could start."""
    seen = poll.read_sources()
    assert seen.path_to("127.0.0.1") == Path("127.0.0.1", "loopback")
    path = seen.path_to("8.8.8.8")
    if path is not None:
        assert path.interface == poll.UNNAMED
        assert poll.read().has_address(path.local_address)
