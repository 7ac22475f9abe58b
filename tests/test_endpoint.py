"""Endpoints: what is accepted, what is refused in words, and that nothing else can come out."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilience.endpoint import Endpoint, parse_endpoint
from resilience.errors import BadEndpoint, UsageError

GOOD = {
    "tcp://10.0.0.2:5555": Endpoint("10.0.0.2", 5555, numeric=True),
    "10.0.0.2:5555": Endpoint("10.0.0.2", 5555, numeric=True),
    "TCP://Image.Example.ORG:1": Endpoint("image.example.org", 1, numeric=False),
    "tcp://image.example.org.:65535": Endpoint("image.example.org", 65_535, numeric=False),
    "  tcp://localhost:5555\n": Endpoint("localhost", 5555, numeric=False),
    "tcp://under_score-1:00080": Endpoint("under_score-1", 80, numeric=False),
    "tcp://[::1]:5555": Endpoint("::1", 5555, numeric=True),
    "tcp://[2001:DB8:0:0::1]:5555": Endpoint("2001:db8::1", 5555, numeric=True),
    "tcp://[fe80::1%eth0]:5555": Endpoint("fe80::1%eth0", 5555, numeric=True),
}

BAD = {
    "": "port is missing",
    "tcp://": "port is missing",
    "tcp://host": "port is missing",
    "tcp://host:": "port is missing",
    "tcp://:5555": "host is missing",
    "tcp://[]:5555": "host is missing",
    "udp://host:5555": "only tcp",
    "ipc:///tmp/image:1": "only tcp",
    "tcp://*:5555": "listening",
    "tcp://host:0": "not a port",
    "tcp://host:65536": "not a port",
    "tcp://host:000065999": "not a port",
    "tcp://host:-1": "not a port",
    "tcp://host:+5": "not a port",
    "tcp://host:\u0665\u0665": "not a port",
    "tcp://host:5555/path": "nothing may follow",
    "tcp://user@host:5555": "nothing may follow",
    "tcp://10.0.0.9:0;10.0.0.2:5555": "nothing may follow",
    "tcp://::1:5555": "brackets",
    "tcp://10.0.0:5555": "not a complete IPv4 address",
    "tcp://10.0.0.256:5555": "not a complete IPv4 address",
    "tcp://[host]:5555": "neither a host name nor an address",
    "tcp://-host:5555": "neither a host name nor an address",
    "tcp://ho..st:5555": "neither a host name nor an address",
    "tcp://höst:5555": "neither a host name nor an address",
    f"tcp://{'a' * 64}:5555": "neither a host name nor an address",
    f"tcp://{'a.' * 127}com:5555": "neither a host name nor an address",
    "tcp://0.0.0.0:5555": "no address of one host",
    "tcp://[::]:5555": "no address of one host",
    "tcp://224.0.0.1:5555": "no address of one host",
    "tcp://[fe80::1%a\0b]:5555": "",
    "tcp://[fe80::1%\x1b[31m]:5555": "",
    "tcp://[fe80::1%]:5555": "",
}

texts_of_the_right_make = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["tcp://", "", "TCP://", "://", "tcp:/"]),
    st.one_of(
        st.from_regex(r"[a-z0-9._-]{0,70}", fullmatch=True),
        st.ip_addresses().map(str),
        st.ip_addresses(v=6).map("[{}]".format),
        st.text(max_size=12).map("[fe80::1%{}]".format),
        st.text(max_size=12),
    ),
    st.sampled_from([":", "", "::", "]:", ";"]),
    st.one_of(
        st.integers(-5, 70_000).map(str),
        st.from_regex(r"0{0,9}[0-9]{0,8}", fullmatch=True),
        st.text("0123456789", min_size=4_300, max_size=4_400),
        st.text(max_size=6),
    ),
)


@pytest.mark.parametrize(("text", "expected"), GOOD.items())
def test_an_endpoint_is_read_and_normalised(text: str, expected: Endpoint) -> None:
    """Scheme optional, names in lower case without the final dot, addresses in their canonical form."""
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize(("text", "problem"), BAD.items())
def test_what_is_no_endpoint_is_refused_with_the_reason(text: str, problem: str) -> None:
    """The error keeps the given text, says what is wrong with it and how one is written."""
    with pytest.raises(BadEndpoint) as refused:
        parse_endpoint(text)
    assert refused.value.endpoint == text
    assert problem in refused.value.problem
    assert "tcp://10.0.0.2:5555" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, UsageError)


@given(st.one_of(st.text(), texts_of_the_right_make))
@example("h:00001" + "0" * 5_000)
@example("tcp://[fe80::1%a]b]:5")
def test_any_text_is_an_endpoint_or_a_bad_one(text: str) -> None:
    """Nothing but `Endpoint` or `BadEndpoint` comes out, and an endpoint reads back as itself."""
    with suppress(BadEndpoint):
        check_endpoint(parse_endpoint(text))


def check_endpoint(found: Endpoint) -> None:
    assert 0 < found.port <= 65_535
    assert found.host.isprintable()
    assert not set(found.host) & set(" []/")
    assert str(found) == f"tcp://{found.key}"
    assert parse_endpoint(str(found)) == found
    assert parse_endpoint(found.key) == found


@given(st.ip_addresses(), st.integers(1, 65_535))
def test_every_address_of_one_host_is_accepted_in_its_canonical_form(address: object, port: int) -> None:
    """Numeric endpoints need no name server; two spellings of one address are one image."""
    text = str(address)
    known = ip_address(text)
    given_text = f"[{known.exploded}]:{port}" if known.version == 6 else f"{text}:{port}"
    if known.is_unspecified or known.is_multicast:
        with pytest.raises(BadEndpoint):
            parse_endpoint(given_text)
    else:
        assert parse_endpoint(given_text) == Endpoint(text, port, numeric=True)
