"""How patient a connection may be told to be."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from math import inf, nan
from typing import Any

import pytest

from resilience import BadPolicy, Policy, UsageError

WHOLE = {"context_after"}
OPTIONAL = {"give_up_after_s"}
NAMES = sorted(field.name for field in fields(Policy))


def policy(name: str, value: Any, **more: Any) -> Policy:
    """The usual one, but for this."""
    values: dict[str, Any] = {name: value}
    return replace(Policy(), **values, **more)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, nan, inf, -inf, "3", True, [], 1j])
def test_a_patience_that_cannot_be_is_refused_by_name(name: str, value: Any) -> None:
    """Before it is used, and not when the first link is lost."""
    with pytest.raises(BadPolicy) as refused:
        policy(name, value)
    assert refused.value.name == name
    assert refused.value.value is value
    what = "a whole number" if name in WHOLE else "a finite number"
    assert str(refused.value) == f"{name} is {what} above 0, not {value!r}"


@pytest.mark.parametrize("name", NAMES)
def test_none_is_for_what_may_be_without_limit(name: str) -> None:
    """Only giving up has no limit to begin with."""
    if name in OPTIONAL:
        assert getattr(policy(name, None), name) is None
    else:
        with pytest.raises(BadPolicy):
            policy(name, None)


@pytest.mark.parametrize("name", ["quiet_busy_s", "quiet_idle_s", "frozen_s"])
def test_no_silence_shorter_than_a_heartbeat_counts(name: str) -> None:
    """Every living link would be found silent, over and over."""
    with pytest.raises(BadPolicy, match=f"{name} is longer than the 0.4 s between two heartbeats, not 0.4"):
        policy(name, 0.4)
    assert getattr(policy(name, 0.41), name) == 0.41


@pytest.mark.parametrize("name", ["connect_first_s", "connect_min_s", "handshake_s"])
def test_patience_does_not_begin_beyond_its_end(name: str) -> None:
    """It doubles with every timeout, up to `patience_max_s`."""
    with pytest.raises(BadPolicy, match="patience_max_s is at least the patience of a first try"):
        policy(name, 4.1)
    assert policy(name, 4.0, patience_max_s=4.0)


def test_it_is_a_mistake_of_the_caller_and_survives_a_pickle() -> None:
    """Caught like every other, and told by a worker as it was."""
    with pytest.raises(BadPolicy) as raised:
        Policy(handshake_s=-1.0)
    refused = raised.value
    again = pickle.loads(pickle.dumps(refused))  # noqa: S301 - our own bytes
    assert (again.name, again.value, str(again)) == ("handshake_s", -1.0, str(refused))
    assert isinstance(refused, ValueError)
    assert not isinstance(refused, UsageError)  # `machines` knows nothing of `resilience`
