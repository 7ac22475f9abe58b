"""Laws 14 and 16: what is told is on disk, in the order it happened, and is found again after any end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from machines.table import INITIAL, TABLE
from resilience.limits import OPEN_JOURNAL_S
from simulations.check.story import LAG_S, LIVE, SYNCS_OF_A_JOB, Story, back, is_work, label_of, told
from simulations.faults import What
from simulations.results import Violation
from simulations.trace import Entry, Kind

_RULES = frozenset((rule.source.value, rule.trigger.value, rule.target.value) for rule in TABLE)

NOT_DURABLE, DURABLE_AGAIN = "not durable", "durable again"
"""How the notices begin that say so and take it back."""

RETRIED_WITHIN_S = 2.25
"""A disk that failed is tried again after 2 s."""

OPENED_WITHIN_S = 2.0
"""Of a process's start, its journal is open."""

_REFUSES = frozenset({What.DISK_FAILS, What.DISK_FULL})
_OF_THE_DISK = _REFUSES | {What.DISK_SLOW, What.DISK_WORKS}


def transitions_are_legal(story: Story) -> Iterator[Violation]:
    """Each is a rule of the table, begins where the one before ended, and the state looked at is the last."""
    for image in story.images:
        stands = INITIAL.value
        for entry in story.of(Kind.TOLD, Kind.STANDS, Kind.PROCESS, image=image):
            what = ""
            if entry.kind is Kind.PROCESS:
                stands = INITIAL.value if entry.data["what"] == "start" else stands
            elif entry.kind is Kind.STANDS:
                if entry.data["state"] != stands:
                    what = f"stands as {entry.data['state']}, but {stands} was told last"
            else:
                source, target = told(entry)
                trigger = str(entry.data["trigger"])
                if source != stands:
                    what = f"told {trigger} from {source}, but {stands} was told last"
                elif (source, trigger, target) not in _RULES:
                    what = f"told {source} + {trigger} -> {target}, which is no rule of the table"
                stands = target
            if what:
                yield Violation(14, entry.t, image, what)


@dataclass(slots=True)
class _Ledger:
    """What is known of the journal of one image."""

    told: int = 0
    """The last seq told in this life; 0: none."""
    behind: bool = False
    """It was numbered by a process that had not read the journal yet, and goes on behind it once it has."""
    durable: int = 0
    """The last seq told to be durable, in any life."""
    synced: set[int] = field(default_factory=set)
    targets: dict[int, str] = field(default_factory=dict)
    """Where each transition led, as last told."""
    session: str = ""
    """As found by the process before."""


def told_is_kept(story: Story) -> Iterator[Violation]:
    """Durable means synced before; no number is skipped or told twice; no end makes any be forgotten."""
    synced = [entry.t for entry in story.of(Kind.SYNCED)]
    for image in story.images:
        ledger = _Ledger()
        for entry in story.of(Kind.TOLD, Kind.SYNCED, Kind.RESTORED, Kind.PROCESS, image=image):
            if entry.kind is Kind.SYNCED:
                first, last = entry.data["first"], entry.data["last"]
                ledger.synced.update(range(int(first or 0), int(last or 0) + 1))
            elif entry.kind is Kind.PROCESS:
                ledger.told = 0 if entry.data["what"] == "start" else ledger.told
            elif entry.kind is Kind.RESTORED:
                yield from _found(ledger, entry)
            else:
                yield from _told(ledger, entry, unread=_unread(story, entry, synced))


def _found(ledger: _Ledger, entry: Entry) -> Iterator[Violation]:
    seq, state, session = int(entry.data["seq"] or 0), entry.data["state"], str(entry.data["session"] or "")
    if seq < ledger.durable:
        what = f"a new process knows seq {seq} only; {ledger.durable} was told to be durable"
        yield Violation(14, entry.t, entry.image, what)
    elif state and seq in ledger.targets and state != ledger.targets[seq]:
        what = f"a new process found {state} at seq {seq}, which had led to {ledger.targets[seq]}"
        yield Violation(14, entry.t, entry.image, what)
    if ledger.session and session != ledger.session:
        what = f"session {ledger.session} was found before, {session or 'none'} now: work was thrown away"
        yield Violation(16, entry.t, entry.image, what)
    if ledger.durable:  # what was only in the page cache may go with the power
        ledger.session = session or ledger.session
    ledger.synced = {each for each in ledger.synced if each <= seq}
    ledger.targets = {each: target for each, target in ledger.targets.items() if each <= seq}


def _unread(story: Story, entry: Entry, synced: list[float]) -> bool:
    """Whether this process could not read the journal in time, and goes on without it.

    What it tells is told as not durable, and numbered as if there had been nothing before.
    """
    life = story.life(entry.t)
    if life is None or entry.data["durable"] or any(life.since <= t <= entry.t for t in synced):
        return False
    by = life.since + OPEN_JOURNAL_S
    return story.slowest_sync_s(life.since, by) * SYNCS_OF_A_JOB >= OPEN_JOURNAL_S


def _told(ledger: _Ledger, entry: Entry, *, unread: bool) -> Iterator[Violation]:
    seq = int(entry.data["seq"] or 0)
    what = ""
    if ledger.told and seq != ledger.told + 1 and not (ledger.behind and seq > ledger.durable):
        what = f"seq {seq} was told after {ledger.told}"
    elif seq <= ledger.durable and not unread:
        what = f"seq {seq} was told, but {ledger.durable} was durable in a life before"
    elif entry.data["durable"] and seq not in ledger.synced:
        what = f"seq {seq} was told to be durable before any sync covered it"
    if what:
        yield Violation(14, entry.t, entry.image, what)
    ledger.told = seq
    ledger.behind = unread and seq <= ledger.durable
    ledger.targets[seq] = str(entry.data["target"])
    if entry.data["durable"]:
        ledger.durable = seq


def told_without_delay(story: Story) -> Iterator[Violation]:
    """Who is given work is connected, and that is told as soon as the disk has it."""
    for image in story.images:
        told = [entry for entry in story.of(Kind.TOLD, image=image) if back(entry)]
        for sent in story.of(Kind.SENT, image=image):
            if not is_work(label_of(sent)) or story.state(image, sent.t) in LIVE:
                continue
            # Twice: what sessions have to write may be in front of the journal's own.
            by = sent.t + LAG_S + 2 * story.lag_s(sent.t, sent.t + LAG_S)
            soon = any(sent.t <= entry.t <= by for entry in told)
            life = story.life(sent.t)
            if not soon and life and by < min(life.until, story.end) and not story.stopped(sent.t, by):
                what = f"{label_of(sent)} was sent, and {story.state(image, by)} is still what was told last"
                yield Violation(14, by, image, what)


def trouble_is_shown(story: Story) -> Iterator[Violation]:
    """While transitions are not durable, a notice has said so."""
    shown = False
    for entry in story.of(Kind.NOTICE, Kind.TOLD, Kind.PROCESS):
        if entry.kind is Kind.PROCESS:
            shown = shown and entry.data["what"] != "start"
        elif entry.kind is Kind.NOTICE:
            said = str(entry.data["text"])
            shown = said.startswith(NOT_DURABLE) or (shown and not said.startswith(DURABLE_AGAIN))
        elif not entry.data["durable"] and not shown:
            what = f"seq {entry.data['seq']} was told as not durable, and no notice says why"
            yield Violation(14, entry.t, entry.image, what)
            shown = True


def trouble_is_taken_back(story: Story) -> Iterator[Violation]:
    """A disk that works again is tried again, and that it works is told."""
    disk = [(t, step.what) for t, step in story.faults if step.what in _OF_THE_DISK]
    slow_s = {t: story.slowest_sync_s(t, t) for t, _ in disk}
    notices = [(entry.t, str(entry.data["text"])) for entry in story.of(Kind.NOTICE)]
    for place, (works_at, what) in enumerate(disk):
        life = story.life(works_at)
        if what is not What.DISK_WORKS or life is None:
            continue
        by = works_at + RETRIED_WITHIN_S + story.lag_s(works_at, works_at + RETRIED_WITHIN_S)
        by += SYNCS_OF_A_JOB * slow_s[works_at]  # what hangs ends first
        ill = [t for t, what in disk[place + 1 :] if what is not What.DISK_WORKS]
        if by > min([life.until, story.end, *ill]) or story.stopped(works_at, by):
            continue
        refused = (t for t, what in disk[:place] if what in _REFUSES)
        if any(t < life.since + OPENED_WITHIN_S for t in refused):
            continue  # a journal that was refused stays closed for that life; one that hangs is waited for
        said = [text for t, text in notices if life.since <= t <= by]
        if said and said[-1].startswith(NOT_DURABLE):
            yield Violation(14, by, -1, f"the disk works since {works_at:.3f}, and {said[-1]!r} still stands")
