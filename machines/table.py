"""The one table: every rule that changes a connection's state stands here, and nowhere else.

Two properties keep this file honest. It knows nothing of sockets, clocks or
disks: a rule is four words of data. And it is total: any state x trigger pair
is either a rule below or a refusal, raised by `machines.machine.fire` with both
names in it and the state untouched.

Which trigger fires is decided elsewhere (`machines.connection`); a trigger that
could lead to two places is therefore two triggers, as with the `..._dirty`
pairs: coming back with unsaved edits leads to Modified, without to Connected.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where one image's session stands; exactly eight, and the user sees each."""

    FRESH = "Fresh"
    RESTORING = "Restoring"
    RESTORED = "Restored"
    CONNECTED = "Connected"
    RECONNECTING = "Reconnecting"
    FAILED = "Failed"
    ORPHANED = "Orphaned"
    MODIFIED = "Modified"


class Trigger(StrEnum):
    """What can move a session; the names are part of the JSON contract."""

    SESSION_FOUND = "session_found"
    SESSION_RESTORED = "session_restored"
    SESSION_ABSENT = "session_absent"
    SESSION_UNREADABLE = "session_unreadable"
    IMAGE_ANSWERED = "image_answered"
    IMAGE_ANSWERED_DIRTY = "image_answered_dirty"
    LINK_RESUMED = "link_resumed"
    LINK_RESUMED_DIRTY = "link_resumed_dirty"
    DIAL_FAILED = "dial_failed"
    LINK_LOST = "link_lost"
    LINK_SILENT = "link_silent"
    PATH_LOST = "path_lost"
    ACCESS_REFUSED = "access_refused"
    INCOMPATIBLE = "incompatible"
    GAVE_UP = "gave_up"
    IMAGE_REPLACED = "image_replaced"
    IMAGE_GONE = "image_gone"
    EDITED = "edited"
    SAVED = "saved"
    DISCONNECT = "disconnect"
    NETWORK_CHANGED = "network_changed"
    RETRY = "retry"
    RESTORE = "restore"
    START_FRESH = "start_fresh"
    ADOPT = "adopt"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class Rule:
    """One legal move and the reason it exists."""

    source: State
    trigger: Trigger
    target: State
    why: str


class TableError(ValueError):
    """The table itself is wrong; raised when this module is imported.

    Attributes:
        problems: one sentence per defect found.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the transition table is unsound: " + "; ".join(problems))


_S, _T = State, Trigger

TABLE: tuple[Rule, ...] = (
    # A session is looked for, read, and kept in memory.
    Rule(_S.FRESH, _T.SESSION_FOUND, _S.RESTORING, "a stored session of this image exists; read it first"),
    Rule(_S.RESTORING, _T.SESSION_RESTORED, _S.RESTORED, "everything durable is in memory again"),
    Rule(_S.RESTORING, _T.SESSION_ABSENT, _S.FRESH, "nothing usable was stored; begin anew, nothing is lost"),
    Rule(
        _S.RESTORING, _T.SESSION_UNREADABLE, _S.FAILED, "corrupt or locked beyond backups; a person decides"
    ),
    # Connected needs proof: handshake and an answered ping (law 2).
    Rule(_S.FRESH, _T.IMAGE_ANSWERED, _S.CONNECTED, "the first dial was answered"),
    Rule(
        _S.FRESH, _T.IMAGE_ANSWERED_DIRTY, _S.MODIFIED, "answered, and edits made meanwhile wait to be saved"
    ),
    Rule(_S.RESTORED, _T.IMAGE_ANSWERED, _S.CONNECTED, "the restored session's image answered"),
    Rule(_S.RESTORED, _T.IMAGE_ANSWERED_DIRTY, _S.MODIFIED, "answered, and restored edits wait to be saved"),
    Rule(_S.RECONNECTING, _T.IMAGE_ANSWERED, _S.CONNECTED, "a link answered; the outage is over"),
    Rule(_S.RECONNECTING, _T.IMAGE_ANSWERED_DIRTY, _S.MODIFIED, "back, with edits made during the outage"),
    Rule(
        _S.RECONNECTING, _T.LINK_RESUMED, _S.CONNECTED, "the proven link speaks again; nothing was redialled"
    ),
    Rule(_S.RECONNECTING, _T.LINK_RESUMED_DIRTY, _S.MODIFIED, "the proven link speaks again; edits wait"),
    # Ways to lose the image without losing the session.
    Rule(_S.FRESH, _T.DIAL_FAILED, _S.RECONNECTING, "the first dial found nobody; keep dialling"),
    Rule(_S.RESTORED, _T.DIAL_FAILED, _S.RECONNECTING, "the image was not reached at once; keep dialling"),
    Rule(_S.CONNECTED, _T.LINK_LOST, _S.RECONNECTING, "the link is gone"),
    Rule(_S.MODIFIED, _T.LINK_LOST, _S.RECONNECTING, "the link is gone; edits stay dirty"),
    Rule(
        _S.CONNECTED,
        _T.LINK_SILENT,
        _S.RECONNECTING,
        "no sign of life; the link is kept while we dial beside it",
    ),
    Rule(_S.MODIFIED, _T.LINK_SILENT, _S.RECONNECTING, "no sign of life; link and edits are kept"),
    Rule(
        _S.CONNECTED,
        _T.PATH_LOST,
        _S.RECONNECTING,
        "no route leads to the image; the link may survive a flap",
    ),
    Rule(_S.MODIFIED, _T.PATH_LOST, _S.RECONNECTING, "no route leads to the image; edits stay dirty"),
    # Decisions only a person can take.
    Rule(_S.FRESH, _T.ACCESS_REFUSED, _S.FAILED, "the image refused our key"),
    Rule(_S.RESTORED, _T.ACCESS_REFUSED, _S.FAILED, "the image refused our key"),
    Rule(_S.RECONNECTING, _T.ACCESS_REFUSED, _S.FAILED, "the image refuses our key now"),
    Rule(_S.FRESH, _T.INCOMPATIBLE, _S.FAILED, "the image speaks a protocol version we do not"),
    Rule(_S.RESTORED, _T.INCOMPATIBLE, _S.FAILED, "the image speaks a protocol version we do not"),
    Rule(_S.RECONNECTING, _T.INCOMPATIBLE, _S.FAILED, "the image changed to a version we do not speak"),
    Rule(_S.RECONNECTING, _T.GAVE_UP, _S.FAILED, "the host asked for a limit and it has passed"),
    # A session belongs to one image (law 17).
    Rule(_S.RESTORED, _T.IMAGE_REPLACED, _S.ORPHANED, "another image answers at the session's address"),
    Rule(_S.RECONNECTING, _T.IMAGE_REPLACED, _S.ORPHANED, "another image took the address during the outage"),
    Rule(_S.CONNECTED, _T.IMAGE_REPLACED, _S.ORPHANED, "a second link reached another image"),
    Rule(
        _S.MODIFIED, _T.IMAGE_REPLACED, _S.ORPHANED, "a second link reached another image; edits stay dirty"
    ),
    Rule(
        _S.RECONNECTING,
        _T.IMAGE_GONE,
        _S.ORPHANED,
        "unreachable beyond the retention time; kept, never deleted",
    ),
    # Work.
    Rule(_S.CONNECTED, _T.EDITED, _S.MODIFIED, "an edit is not durable yet"),
    Rule(_S.MODIFIED, _T.SAVED, _S.CONNECTED, "every edit is durable"),
    # The user.
    Rule(_S.FRESH, _T.DISCONNECT, _S.RESTORED, "stop dialling; the session stays in memory"),
    Rule(_S.CONNECTED, _T.DISCONNECT, _S.RESTORED, "the link is dropped on request; the session stays"),
    Rule(_S.MODIFIED, _T.DISCONNECT, _S.RESTORED, "the link is dropped on request; edits stay dirty"),
    Rule(_S.RECONNECTING, _T.DISCONNECT, _S.RESTORED, "stop dialling on request; the session stays"),
    # Ways out of the two resting places.
    Rule(_S.FAILED, _T.NETWORK_CHANGED, _S.RECONNECTING, "a failure the network caused ends when it changes"),
    Rule(_S.FAILED, _T.RETRY, _S.RECONNECTING, "try again as things stand"),
    Rule(_S.FAILED, _T.RESTORE, _S.RESTORING, "read the session, or another generation of it, again"),
    Rule(_S.FAILED, _T.START_FRESH, _S.FRESH, "put the session into the archive and begin anew"),
    Rule(_S.FAILED, _T.ARCHIVE, _S.FRESH, "put the session into the archive and stay disconnected"),
    Rule(_S.ORPHANED, _T.RETRY, _S.RECONNECTING, "perhaps the right image is back"),
    Rule(_S.ORPHANED, _T.RESTORE, _S.RESTORING, "another generation may belong to this image"),
    Rule(_S.ORPHANED, _T.ADOPT, _S.RECONNECTING, "the user says this image continues the session"),
    Rule(
        _S.ORPHANED,
        _T.START_FRESH,
        _S.FRESH,
        "put the session into the archive and begin anew with this image",
    ),
    Rule(_S.ORPHANED, _T.ARCHIVE, _S.FRESH, "put the session into the archive and stay disconnected"),
)

INITIAL = State.FRESH

LIVE = frozenset({State.CONNECTED, State.MODIFIED})
"""The two states that claim a working link."""

DIALLING = frozenset({State.FRESH, State.RESTORING, State.RESTORED, State.RECONNECTING})
"""The states in which a wanted image is being dialled."""

WAYS_OUT: dict[State, frozenset[Trigger]] = {
    State.FAILED: frozenset({_T.RETRY, _T.RESTORE, _T.START_FRESH, _T.ARCHIVE, _T.NETWORK_CHANGED}),
    State.ORPHANED: frozenset({_T.RETRY, _T.RESTORE, _T.ADOPT, _T.START_FRESH, _T.ARCHIVE}),
}
"""What a host must be able to offer in the resting states; the table is checked against it."""


def _reachable(rules: tuple[Rule, ...], start: State) -> set[State]:
    seen, queue = {start}, deque([start])
    while queue:
        here = queue.popleft()
        for rule in rules:
            if rule.source is here and rule.target not in seen:
                seen.add(rule.target)
                queue.append(rule.target)
    return seen


def problems_of(rules: tuple[Rule, ...]) -> list[str]:
    """Everything wrong with a table, a sentence each; empty when it is sound."""
    found: list[str] = []
    pairs: set[tuple[State, Trigger]] = set()
    for rule in rules:
        if (rule.source, rule.trigger) in pairs:
            found.append(f"{rule.source} + {rule.trigger} has two rules")
        pairs.add((rule.source, rule.trigger))
        if rule.source is rule.target:
            found.append(f"{rule.source} + {rule.trigger} leads nowhere")
        if not rule.why.strip():
            found.append(f"{rule.source} + {rule.trigger} has no reason")
    found += [f"trigger {t} is never used" for t in Trigger if all(r.trigger is not t for r in rules)]
    found += [f"{s} cannot be reached" for s in State if s not in _reachable(rules, INITIAL)]
    found += [f"{s} is a dead end" for s in State if State.CONNECTED not in _reachable(rules, s)]
    for state, triggers in WAYS_OUT.items():
        found += [f"{state} lacks the way out {t}" for t in sorted(triggers) if (state, t) not in pairs]
    return found


if _problems := problems_of(TABLE):  # pragma: no cover - tests break copies of the table instead
    raise TableError(_problems)
