"""What happened in one simulated run: entries in order, with their true time. All evidence checkers have.

A trace is plain data: the same seed gives the same text, byte for byte, on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Datum = str | int | float | bool | None

_encode = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: `json.dumps` with separators of one's own makes an encoder for each call."""


class Kind(StrEnum):
    """What an entry tells; its data stands behind each."""

    FAULT = "fault"  # step: str (as `faults.Step` writes it)
    CONDITION = "condition"  # condition, things: how the way to this image is from now on
    HEALED = "healed"  # the schedule is over and every way was made whole; liveness is demanded from here

    # What the runtime does, seen from the virtual kernel's side.
    NOTICED = "noticed"  # interfaces: the product was handed a reading that differs from the last
    DIAL = "dial"  # gen, address, local: a link was opened
    ACCEPTED = "accepted"  # gen
    HANDSHAKEN = "handshaken"  # gen
    LINK_ENDED = "link ended"  # gen, cause: told to the product
    ABORTED = "aborted"  # gen: the product closed it
    SCOUT = "scout"  # address: a bare connect was begun
    SCOUTED = "scouted"  # address, found
    SENT = "sent"  # gen, label: a request was handed to a link; label "ping" or the evaluation's number
    LOOK_UP = "look up"  # name: the product began to ask for it
    LOOKED_UP = "looked up"  # name, addresses, problem: told to the product

    # What an image does.
    EXECUTED = "executed"  # label, image_id, conn: our generation, -1 of an earlier life; it begins now
    ANSWERED = "answered"  # label, image_id: its reply left
    LISTENING = "listening"  # image_id, listening: it opened or closed its sockets

    # What the host of the module sees.
    TOLD = "told"  # seq, source, trigger, target, reason, detail, durable
    ASKED = "asked"  # label, ask (evaluate or ping), timeout_s
    OUTCOME = "outcome"  # label, outcome: done, expired, unknown, lost, refused or failed; result: str
    STANDS = "stands"  # state, reason, busy, saved (revision): looked at twice a second
    EDITED = "edited"  # revision, text, open (the session): typed into the workspace, and taken
    SAVE = "save"  # text (typed before), its revision if known, problem, said, saved: `save()` came back
    NOTICE = "notice"  # text
    ACTION = "action"  # action: retry, disconnect, reconnect, adopt; refused: bool

    # Our process.
    PROCESS = "process"  # what: start, kill, power cut, close, closed
    RESTORED = "restored"  # state, seq, session: what a started process found of this image
    FOUND = "found"  # revision, text: what stood in the workspace when a process started
    SYNCED = "synced"  # first, last: transitions of this image that reached the medium
    BUG = "bug"  # text: an exception nobody caught; never right


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trace. `image` is the image's number in the scenario, -1 for none in particular."""

    t: float
    kind: Kind
    image: int = -1
    data: dict[str, Datum] = field(default_factory=dict)

    @property
    def whole(self) -> dict[str, Any]:
        """Everything it says, in the order in which it is written."""
        whole: dict[str, Any] = {"t": round(self.t, 6), "kind": self.kind}
        if self.image >= 0:
            whole["image"] = self.image
        return whole | self.data

    def __str__(self) -> str:
        """Write it as one line of JSON, the same everywhere."""
        return _encode(self.whole)


class Trace:
    """The entries of one run, as they come."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def note(self, t: float, kind: Kind, image: int = -1, **data: Datum) -> None:
        """Add one."""
        self.entries.append(Entry(t, kind, image, data))

    def of(self, *kinds: Kind, image: int | None = None) -> Iterator[Entry]:
        """Entries of some kinds, perhaps of one image only."""
        return (e for e in self.entries if e.kind in kinds and (image is None or e.image == image))

    @property
    def digest(self) -> str:
        """A fingerprint: equal traces have equal ones."""
        whole = hashlib.sha256(_encode([entry.whole for entry in self.entries]).encode())
        return whole.hexdigest()[:16]
