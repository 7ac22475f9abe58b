"""Traces written by hand, as a correct product would leave them; for the tests of the checkers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from simulations.check import judge
from simulations.check.story import Story
from simulations.faults import Step, Ways
from simulations.results import Violation
from simulations.scenarios import Scenario
from simulations.trace import Datum, Entry, Kind, Trace

TRIP_S = 0.001
"""One way."""

_OUTCOME_S = 2.5 * TRIP_S


class Tale:
    """Tells what happened; every method writes what a correct run would have left in the trace.

    Entries may be told in any order; they are put in the order of their times.
    """

    def __init__(self, *, images: int = 1, named: bool = False) -> None:
        self.scenario = Scenario("tale", "a tale", (), images=images, named=named)
        self.seqs = dict.fromkeys(range(images), 0)
        self._ways = Ways(images)
        self._things: dict[int, tuple[str, ...]] = {}
        self._entries: list[Entry] = []

    # -- the whole -------------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """What was told so far, in order."""
        trace = Trace()
        trace.entries = sorted(self._entries, key=lambda entry: entry.t)
        return trace

    @property
    def story(self) -> Story:
        """Ready for one check."""
        return Story(self.scenario, self.trace)

    def broken(self) -> list[int]:
        """The laws that do not hold, by number."""
        return sorted({violation.law for violation in judge(self.scenario, self.trace)})

    def by(self, check: Callable[[Story], Iterable[Violation]]) -> list[Violation]:
        """What one check finds."""
        return list(check(self.story))

    # -- single entries --------------------------------------------------------------------

    def note(self, t: float, kind: Kind, image: int = 0, **data: Datum) -> None:
        """Anything."""
        self._entries.append(Entry(t, kind, image, data))

    def without(self, kind: Kind, **data: Datum) -> Tale:
        """Unsay entries of a kind that say this."""
        self._entries = [
            entry
            for entry in self._entries
            if entry.kind is not kind or any(entry.data.get(name) != value for name, value in data.items())
        ]
        return self

    def fault(self, *lines: str) -> None:
        """Play steps, in the order of their times; what they break and heal is told as well."""
        for line in lines:
            step = Step.parse(line)
            self._pass(step.at_s)
            self.note(step.at_s, Kind.FAULT, step.image, step=str(step))
            self._ways.apply(step, step.at_s)
            self._look(step.at_s)

    def _pass(self, until: float) -> None:
        """What ends by itself has ended."""
        while (end := self._ways.next_end(-1.0)) is not None and end <= until:
            self._look(end)
            for key in [key for key, ends in self._ways._open.items() if ends <= end]:
                del self._ways._open[key]

    def _look(self, t: float) -> None:
        for image in self.seqs:
            things = self._ways.things(image, t)
            if self._things.get(image) != things:
                self._things[image] = things
                condition = self._ways.condition(image, t).value
                self.note(t, Kind.CONDITION, image, condition=condition, things=",".join(things))

    def process(self, t: float, what: str) -> None:
        """Our process starts, closes, dies."""
        self.note(t, Kind.PROCESS, -1, what=what)

    def told(
        self,
        t: float,
        rule: str,
        reason: str,
        image: int = 0,
        *,
        durable: bool = True,
        seq: int | None = None,
    ) -> None:
        """Tell a transition, synced just before; `rule` is "Source trigger Target"."""
        source, trigger, target = rule.split()
        seq = self.seqs[image] + 1 if seq is None else seq
        self.seqs[image] = seq
        if durable:
            self.note(t - 0.0001, Kind.SYNCED, image, first=seq, last=seq)
        self.note(
            t,
            Kind.TOLD,
            image,
            seq=seq,
            source=source,
            trigger=trigger,
            target=target,
            reason=reason,
            detail="",
            durable=durable,
        )

    def stands(
        self, t: float, state: str, reason: str, image: int = 0, *, busy: bool = False, saved: int = 0
    ) -> None:
        """Somebody looks; the session is on the medium up to revision `saved`."""
        self.note(t, Kind.STANDS, image, state=state, reason=reason, busy=busy, saved=saved)

    def stood(self, since: float, until: float, state: str, reason: str, *, busy: bool = False) -> None:
        """Somebody looks twice a second."""
        t = since
        while t < until:
            self.stands(t, state, reason, busy=busy)
            t += 0.5

    # -- what links do ---------------------------------------------------------------------

    def begin(self, t: float = 0.0) -> Tale:
        """Our process starts and every image is connected."""
        self._look(t)
        self.process(t, "start")
        for image in self.seqs:
            self.note(t, Kind.LISTENING, image, image_id=f"image-{image}", listening=True)
            self.connect(t + 0.001, 1, image)
        return self

    def dial(self, t: float, gen: int, image: int = 0, local: str = "10.71.1.2") -> None:
        """Open a link."""
        self.note(t, Kind.DIAL, image, gen=gen, address="10.71.9.2", local=local)

    def shake(self, t: float, gen: int, image: int = 0) -> float:
        """Dial, and get as far as the handshake; returns when that is."""
        self.dial(t, gen, image)
        self.note(t + 2 * TRIP_S, Kind.ACCEPTED, image, gen=gen)
        self.note(t + 4 * TRIP_S, Kind.HANDSHAKEN, image, gen=gen)
        return t + 4 * TRIP_S

    def connect(
        self, t: float, gen: int, image: int = 0, source: str = "Fresh", reason: str = "image answered"
    ) -> float:
        """Dial, shake, ping, be answered and tell it; returns when that is told."""
        shaken_at = self.shake(t, gen, image)
        self.exchange(shaken_at, gen, "ping", image)
        told_at = shaken_at + 3 * TRIP_S
        self.told(told_at, f"{source} image_answered Connected", reason, image)
        return told_at

    def exchange(self, t: float, gen: int, label: str, image: int = 0, takes_s: float = 0.0) -> None:
        """Send a request, have it carried out and answered."""
        self.note(t, Kind.SENT, image, gen=gen, label=label)
        self.execute(t + TRIP_S, gen, label, image)
        self.note(t + TRIP_S + takes_s, Kind.ANSWERED, image, label=label, image_id=f"image-{image}")

    def execute(self, t: float, gen: int, label: str, image: int = 0, image_id: str | None = None) -> None:
        """An image begins to carry a request out."""
        self.note(t, Kind.EXECUTED, image, label=label, image_id=image_id or f"image-{image}", conn=gen)

    # -- what users do ---------------------------------------------------------------------

    def ask(self, t: float, label: str, image: int = 0, timeout_s: float = 5.0) -> None:
        """A user asks for something."""
        kind = "ping" if label.startswith("probe") else "evaluate"
        self.note(t, Kind.ASKED, image, label=label, ask=kind, timeout_s=timeout_s)

    def outcome(self, t: float, label: str, outcome: str, image: int = 0) -> None:
        """... and is told what became of it."""
        result = label.rpartition(" ")[2] if outcome == "done" and not label.startswith("probe") else ""
        self.note(t, Kind.OUTCOME, image, label=label, outcome=outcome, result=result)

    def evaluate(self, t: float, gen: int, label: str, image: int = 0, takes_s: float = 0.0) -> None:
        """An evaluation that goes well."""
        self.ask(t, label, image, timeout_s=5.0 + takes_s)
        self.exchange(t, gen, label, image, takes_s)
        self.outcome(t + _OUTCOME_S + takes_s, label, "done", image)

    def typed(self, t: float, *texts: str, image: int = 0, opened: bool = True) -> None:
        """A user types texts that occur once, a hundredth of a second apart; they are revision 2, 3, ..."""
        for text in texts:
            before = sum(entry.kind is Kind.EDITED and entry.image == image for entry in self._entries)
            self.note(t, Kind.EDITED, image, revision=before + 2, text=text, open=opened)
            t += 0.01

    def saved(self, t: float, text: str, image: int = 0, problem: str = "") -> None:
        """`save()`, called when `text` had been typed, comes back."""
        self.note(t, Kind.SAVE, image, text=text, problem=problem)

    def found(self, t: float, text: str, image: int = 0) -> None:
        """A process starts, and finds this in the workspace."""
        self.process(t, "start")
        self.note(t, Kind.FOUND, image, revision=0, text=text)

    def probe(self, t: float, gen: int, number: int, image: int = 0, asked_at: float | None = None) -> None:
        """A ping of the user's that is answered."""
        label = f"probe {(image + 1) * 1_000_000 + number}"
        self.ask(t if asked_at is None else asked_at, label, image, timeout_s=30.0)
        self.exchange(t, gen, "ping", image)
        self.outcome(t + _OUTCOME_S, label, "done", image)

    def scouts(self, since: float, until: float, image: int = 0, gap_s: float = 0.09) -> None:
        """The search of an outage that nobody answers."""
        t = since
        while t < until:
            self.note(t, Kind.SCOUT, image, address="10.71.9.2")
            t += gap_s

    def healed(self, t: float) -> None:
        """Everything is whole for good."""
        self.note(t, Kind.HEALED, -1)

    def close(self, t: float, *gens: int, image: int = 0) -> None:
        """Our process ends in good order, and closes these links."""
        self.process(t, "close")
        for gen in gens:
            self.note(t, Kind.ABORTED, image, gen=gen)
        self.process(t + 0.01, "closed")


def dropped(tale: Tale, since: float, until: float, gen: int = 1) -> float:
    """A silent drop as a correct product lives through it; returns when `gen` + 1 is told connected."""
    tale.fault(f"{since:g} drop")
    lost_at = since + 2.0
    tale.note(lost_at, Kind.SENT, gen=gen, label="ping")
    tale.told(lost_at + 0.0002, "Connected link_silent Reconnecting", "no sign of life")
    tale.scouts(lost_at, until)
    tale.fault(f"{until:g} undrop")
    told_at = tale.connect(until + 0.03, gen + 1, source="Reconnecting")
    tale.note(told_at, Kind.ABORTED, gen=gen)
    return told_at
