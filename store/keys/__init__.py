"""The keys of sealed files: one master key at a time, kept where the user chose."""

from __future__ import annotations

from store.keys.keychain import Keychain
from store.keys.keyfile import Protection
from store.keys.states import KeyChoiceRefused, KeyState
from store.keys.vault import (
    KeyringVault,
    Vault,
    VaultDenied,
    VaultError,
    VaultLocked,
    VaultUnavailable,
)

__all__ = [
    "KeyChoiceRefused",
    "KeyState",
    "Keychain",
    "KeyringVault",
    "Protection",
    "Vault",
    "VaultDenied",
    "VaultError",
    "VaultLocked",
    "VaultUnavailable",
]
