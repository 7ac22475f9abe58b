"""Keyrings that keep, hang, deny, forget, cut short, lag behind and die, each on purpose."""

from __future__ import annotations


class MemoryVault:
    """A keyring in a dict: open, and as it should be."""

    def __init__(self, entries: dict[str, str] | None = None) -> None:
        self.entries: dict[str, str] = {} if entries is None else entries
        self.calls: list[tuple[str, str]] = []
        self.refuses: str | None = None  # why it must not be used

    def usable(self) -> str | None:
        """Return None, or why not."""
        return self.refuses

    def get(self, name: str) -> str | None:
        """Return an entry."""
        self.calls.append(("get", name))
        return self.entries.get(name)

    def set(self, name: str, secret: str) -> None:
        """Make an entry; writing over one is always a mistake of the caller."""
        self.calls.append(("set", name))
        assert name not in self.entries, "an entry was written over"
        self.entries[name] = secret

    def delete(self, name: str) -> None:
        """Remove an entry."""
        self.calls.append(("delete", name))
        self.entries.pop(name, None)
