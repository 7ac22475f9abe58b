"""From a passphrase to the key that seals the master keys: Argon2id, its parameters beside the boxes."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SALT_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 12

MAX_MEMORY_KIB = 1024 * 1024
MAX_ITERATIONS = 100
MAX_LANES = 64
"""Parameters come from a file that anybody may have written: more than this would be an attack."""

MIN_KIB_PER_LANE = 8
"""Argon2's own lower bound (RFC 9106, section 3.1)."""


class StretchError(Exception):
    """This machine cannot stretch a passphrase: too little memory, or no Argon2id. Never carries it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """How a passphrase is made expensive to guess.

    The default is the second choice of RFC 9106, section 4: 64 MiB, three passes, four lanes.

    Attributes:
        salt: 16 random bytes.
        memory_kib: what one guess takes.
        iterations: passes over it.
        lanes: how many of them can run side by side.
    """

    salt: bytes
    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def problem(self) -> str:
        """Return what is wrong with the parameters; empty if nothing."""
        if len(self.salt) != SALT_BYTES:
            return "the salt has another length"
        if not 1 <= self.lanes <= MAX_LANES or not 1 <= self.iterations <= MAX_ITERATIONS:
            return f"{self.iterations} iterations in {self.lanes} lanes are out of bounds"
        if not MIN_KIB_PER_LANE * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB:
            return f"{self.memory_kib} KiB are out of bounds"
        return ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a new passphrase will cost; `Stretch` without its salt."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def salted(self, salt: bytes) -> Stretch:
        """Return the parameters for one passphrase."""
        return Stretch(salt, self.memory_kib, self.iterations, self.lanes)


@dataclass(frozen=True, slots=True)
class Stretched:
    """A passphrase after stretching: seals and opens master keys.

    Attributes:
        how: what it was stretched with; the secret fits nothing else.
    """

    how: Stretch
    secret: bytes = field(repr=False)

    def seal(self, key_id: str, secret: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """Return a master key's secret as the key file may hold it."""
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 -- 9 ms, when first used
            AESGCM,
        )

        nonce = entropy(NONCE_BYTES)
        return nonce + AESGCM(self.secret).encrypt(nonce, secret, _bound(key_id))

    def open(self, key_id: str, box: bytes) -> bytes | None:
        """Return a master key's secret; None if this is not its passphrase."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- as above
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- as above

        try:
            return AESGCM(self.secret).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], _bound(key_id))
        except (InvalidTag, ValueError):
            return None


def stretched(passphrase: str, how: Stretch) -> Stretched:
    """Return the passphrase, stretched. Takes as long and as much memory as `how` says.

    Raises:
        ValueError: the passphrase is empty, or `how` is out of bounds.
        StretchError: this machine cannot.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 -- as above
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 -- as above

    problem = how.problem() or ("" if passphrase else "the passphrase is empty")
    if problem:
        raise ValueError(problem)
    # Keyboards differ in how they compose an accented letter.
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        kdf = Argon2id(
            salt=how.salt,
            length=KEY_BYTES,
            iterations=how.iterations,
            lanes=how.lanes,
            memory_cost=how.memory_kib,
        )
        secret = kdf.derive(text)
    except MemoryError:
        raise StretchError(
            f"stretching the passphrase takes {how.memory_kib} KiB, and there is less"
        ) from None
    except UnsupportedAlgorithm:
        raise StretchError("the cryptography library here has no Argon2id") from None
    return Stretched(how, secret)


def _bound(key_id: str) -> bytes:
    return b"master key " + key_id.encode()
