"""Stretching passphrases: as the RFC has it, bounded, and silent about what it was given."""

from __future__ import annotations

import pytest

from sealed_files import entropy
from store.keys.passphrase import Cost, Stretch, StretchError, stretched

CHEAP = Stretch(b"somesalt" * 2, 64, 1, 1)


def test_the_default_is_the_second_choice_of_the_rfc() -> None:
    """RFC 9106, section 4: 64 MiB, three passes, four lanes."""
    for default in (Cost(), Stretch(b"s" * 16)):
        assert (default.memory_kib, default.iterations, default.lanes) == (64 * 1024, 3, 4)
    assert not Cost().salted(b"s" * 16).problem()


def test_it_is_argon2id_of_the_passphrase_and_nothing_else() -> None:
    """Anybody with another implementation can open the box."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 -- only this test compares

    reference = Argon2id(salt=CHEAP.salt, length=32, iterations=1, lanes=1, memory_cost=64)
    assert stretched("password", CHEAP).secret == reference.derive(b"password")


def test_every_parameter_matters() -> None:
    """Another salt, cost or passphrase is another key."""
    others = [
        Stretch(b"othersalt0123456", 64, 1, 1),
        Stretch(CHEAP.salt, 72, 1, 1),
        Stretch(CHEAP.salt, 64, 2, 1),
    ]
    secrets = {stretched("password", how).secret for how in [CHEAP, *others, Stretch(CHEAP.salt, 64, 1, 2)]}
    secrets.add(stretched("Password", CHEAP).secret)
    assert len(secrets) == 6


def test_what_is_sealed_opens_under_its_own_name_only() -> None:
    """A box moved to another key's entry does not pass."""
    opener = stretched("password", CHEAP)
    box = opener.seal("a", b"k" * 32, entropy())
    assert opener.open("a", box) == b"k" * 32
    assert opener.open("b", box) is None
    assert stretched("other", CHEAP).open("a", box) is None
    for damaged in (b"", box[:-1], box[:12], bytes(len(box))):
        assert opener.open("a", damaged) is None
    assert opener.secret.hex() not in repr(opener)
    assert repr(opener.secret) not in repr(opener)


@pytest.mark.parametrize(
    "how",
    [
        Stretch(b"short"),
        Stretch(b"s" * 16, 2**20 + 1),
        Stretch(b"s" * 16, 8, 1, 4),
        Stretch(b"s" * 16, 64, 0, 1),
    ],
)
def test_what_is_out_of_bounds_is_not_tried(how: Stretch) -> None:
    """It may come from a file."""
    with pytest.raises(ValueError, match=r"bounds|length"):
        stretched("password", how)


def test_what_is_typed_may_be_anything() -> None:
    """Even half a character, as some terminals deliver."""
    assert stretched("\ud800 half", CHEAP).secret != stretched("\ud801 half", CHEAP).secret
    with pytest.raises(ValueError, match="empty"):
        stretched("", CHEAP)


@pytest.mark.parametrize("refusal", ["MemoryError", "UnsupportedAlgorithm"])
def test_a_machine_that_cannot_is_told_apart_from_a_wrong_passphrase(
    refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little memory, or a library without it."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 -- to raise it
    from cryptography.hazmat.primitives.kdf import argon2  # noqa: PLC0415 -- to break it

    def refused(**_: object) -> None:
        raise {"MemoryError": MemoryError, "UnsupportedAlgorithm": UnsupportedAlgorithm}[refusal](
            "secret words"
        )

    monkeypatch.setattr(argon2, "Argon2id", refused)
    with pytest.raises(StretchError) as caught:
        stretched("secret words", CHEAP)
    assert "secret words" not in str(caught.value)
