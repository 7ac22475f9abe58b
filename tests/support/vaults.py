"""Keyrings that keep, hang, deny, forget, cut short, lag behind and die, each on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from store.keys.vault import VaultDenied, VaultLocked, VaultUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryVault:
    """A keyring in a dict: open, and as it should be.

    Attributes:
        entries: what it keeps.
        calls: what it was asked, in order: call and name, never a secret.
        refuses: why it must not be used, if so.
    """

    def __init__(self, entries: dict[str, str] | None = None) -> None:
        self.entries: dict[str, str] = {} if entries is None else entries
        self.calls: list[tuple[str, str]] = []
        self.refuses: str | None = None

    def usable(self) -> str | None:
        """Return None, or why not."""
        return self.refuses

    def get(self, name: str) -> str | None:
        """Return an entry."""
        self.asked("get", name)
        return self.entries.get(name)

    def set(self, name: str, secret: str) -> None:
        """Make an entry; writing over one is always a mistake of the caller."""
        self.asked("set", name)
        assert name not in self.entries, "an entry was written over"
        self.entries[name] = secret

    def delete(self, name: str) -> None:
        """Remove an entry."""
        self.asked("delete", name)
        self.entries.pop(name, None)

    def asked(self, call: str, name: str) -> None:
        """Take note of a call; others do more here."""
        self.calls.append((call, name))

    def made(self, call: str) -> list[str]:
        """Return the names this call was made with."""
        return [name for each, name in self.calls if each == call]


class LockedVault(MemoryVault):
    """Waits for its user until `unlock`; what `KeyringVault` makes of one that hangs."""

    locked = True

    def unlock(self) -> None:
        """Let its user have come."""
        self.locked = False

    def asked(self, call: str, name: str) -> None:
        """Refuse while locked."""
        super().asked(call, name)
        if self.locked:
            raise VaultLocked("no answer within 5 s")


class DenyingVault(MemoryVault):
    """Its user, or a rule, says no."""

    def asked(self, call: str, name: str) -> None:
        """Refuse."""
        super().asked(call, name)
        raise VaultDenied("the prompt was dismissed")


class BrokenVault(MemoryVault):
    """It is there and does not work."""

    def asked(self, call: str, name: str) -> None:
        """Refuse."""
        super().asked(call, name)
        raise VaultUnavailable("the bus is gone")


class ForgettingVault(MemoryVault):
    """Says that it keeps, and does not; as `keyring.backends.null` does."""

    def set(self, name: str, secret: str) -> None:  # noqa: ARG002 -- that is what is wrong with it
        """Keep nothing."""
        self.asked("set", name)


class TruncatingVault(MemoryVault):
    """Keeps as much as fits."""

    def set(self, name: str, secret: str) -> None:
        """Keep the first half."""
        super().set(name, secret[: len(secret) // 2])


class StaleVault(MemoryVault):
    """Answers with what it once had under another name, as a cache may."""

    def get(self, name: str) -> str | None:
        """Return the oldest entry, if there is any entry of that name."""
        self.asked("get", name)
        return next(iter(self.entries.values()), None) if name in self.entries else None


class ReplacingVault(MemoryVault):
    """Overwrites by deleting and adding, as macOS' does, and is killed in between.

    Attributes:
        dies: raised after the deletion.
    """

    dies: type[BaseException] | None = None

    def set(self, name: str, secret: str) -> None:
        """Delete, perhaps die, add."""
        self.asked("set", name)
        self.entries.pop(name, None)
        if self.dies:
            raise self.dies
        self.entries[name] = secret


class WatchedVault(MemoryVault):
    """Calls somebody before and after each change, who may raise."""

    def __init__(self, entries: dict[str, str], watch: Callable[[str], None]) -> None:
        super().__init__(entries)
        self.watch = watch

    def set(self, name: str, secret: str) -> None:
        """Make an entry."""
        self.watch("before vault set")
        super().set(name, secret)
        self.watch("after vault set")

    def delete(self, name: str) -> None:
        """Remove an entry."""
        self.watch("before vault delete")
        super().delete(name)
        self.watch("after vault delete")
