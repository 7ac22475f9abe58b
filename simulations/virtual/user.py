"""The user of the module: evaluates, looks at the state, presses buttons, and writes down what came of it."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from machines import Refused, State
from resilience.errors import (
    EvaluationError,
    Expired,
    LinkLost,
    OutcomeUnknown,
    ResilienceError,
    UsageError,
)
from resilience.sessions.kept import Standing
from simulations.check.secrecy import CANARY
from simulations.check.story import WRONG
from simulations.trace import Entry, Kind
from simulations.virtual.link import COMMENT
from store import StoreError
from store.documents import Put

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from random import Random
    from typing import Any

    from resilience.image import Image
    from simulations.scenarios import Load
    from simulations.virtual.universe import Universe

LOOK_S = 0.5
PROBE_TIMEOUT_S = 30.0
PROBE_PAUSE_S = 0.02
SHORT_TIMEOUT_S, LONG_TIMEOUT_S = 0.3, 20.0
WORKSPACE = "w1"
SAVED_BY_HAND = 0.2
"""The share of edits after which the user saves at once, and waits for it."""

MISTAKES = 0.05
"""The share of evaluations that the image answers with an error."""

SAID_MAX_CHARS = 400
"""Of what an exception says: more than any of ours does."""

SAVED_TWICE = 0.5
"""The share of those in which one more thing occurs to the user while the save is under way."""

OF_AN_IMAGE = 1_000_000
"""Labels of image i are i + 1 million and some: every evaluation of a run has code of its own."""


def labels_of(image: int) -> Iterator[int]:
    """Code that nobody else evaluates: its result is itself."""
    return count((image + 1) * OF_AN_IMAGE + 1)


_OUTCOMES: dict[type[ResilienceError], str] = {
    EvaluationError: "failed",
    Expired: "expired",
    LinkLost: "lost",
    OutcomeUnknown: "unknown",
}


class User:
    """One image's user, within one life of our process."""

    def __init__(
        self,
        universe: Universe,
        image: Image,
        number: int,
        load: Load,
        *,
        dice: Random,
        labels: Iterator[int],
    ) -> None:
        self._universe = universe
        self._image = image
        self._number = number
        self._load = load
        self._dice = dice
        self._labels = labels
        self._afterthoughts = universe.dice(f"afterthoughts of {number} from {universe.now}")
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In the order they were begun, in which they end."""
        self._probing: asyncio.Task[None] | None = None
        self._answered = False

    def start(self) -> None:
        """Begin to work."""
        self.spawn(self._watch())
        self.spawn(self._work())
        self.spawn(self._type())
        self.probe()

    def spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the rest."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def leave(self) -> None:
        """Stop working."""
        for task in list(self._tasks):
            task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    # -- what users do -----------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            stands = {"state": self._image.state.value, "reason": self._image.reason.value}
            saved = self._image.session.saved_revision
            self._note(Kind.STANDS, **stands, busy=self._image.busy, saved=saved)
            await asyncio.sleep(LOOK_S)

    async def _work(self) -> None:
        if self._load.evaluate_every_s <= 0:
            return
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / self._load.evaluate_every_s))
            wrong = WRONG if self._afterthoughts.random() < MISTAKES else ""
            self.spawn(self.evaluate(f"{wrong}{next(self._labels)}", self._patience()))

    async def _type(self) -> None:
        if self._load.edit_every_s <= 0:
            return
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / self._load.edit_every_s))
            self._edit(saved=self._dice.random() < SAVED_BY_HAND)

    def _edit(self, *, saved: bool) -> None:
        text = str(next(self._labels))
        code = f'{text}{COMMENT}{CANARY}{self._number}"'
        try:
            revision = self._image.edit(Put("workspaces", {"title": "w", "code": code}, WORKSPACE))
        except ResilienceError:
            return  # read-only: another process has the session
        opened = self._image.session.standing is Standing.OPEN
        self._note(Kind.EDITED, revision=revision, text=text, open=opened)
        if saved:
            self.spawn(self._save(text, revision if opened else 0))
            if self._afterthoughts.random() < SAVED_TWICE:
                # Behind the first step of the save: it is under way by then.
                asyncio.get_running_loop().call_soon(partial(self._edit, saved=True))

    async def _save(self, text: str, revision: int) -> None:
        """`revision` 0: the session is not open yet, and what it will be numbered is not known."""
        problem = said = ""
        saved = 0
        try:
            saved = await self._image.save()
        except (ResilienceError, StoreError) as told:
            problem, said = type(told).__name__, str(told)[:SAID_MAX_CHARS]
        self._note(Kind.SAVE, text=text, problem=problem, said=said, revision=revision, saved=saved)

    def _patience(self) -> float:
        roll = self._dice.random()
        if roll < 0.15:  # noqa: PLR2004 - some are in a hurry
            return SHORT_TIMEOUT_S
        return LONG_TIMEOUT_S if roll > 0.85 else self._load.timeout_s  # noqa: PLR2004 - some have time

    async def evaluate(self, code: str, timeout_s: float, padding: str = "") -> None:
        """Ask for an evaluation and write down what became of it."""
        self._note(Kind.ASKED, label=code, ask="evaluate", timeout_s=timeout_s)
        try:
            secret = f'{code}{COMMENT}{CANARY}{self._number}{padding}"'
            reply = await self._image.evaluate(secret, timeout=timeout_s)
        except ResilienceError as problem:
            self._failed(code, problem)
        else:
            self._note(Kind.OUTCOME, label=code, outcome="done", result=reply.result[:100])

    def _failed(self, label: str, problem: ResilienceError) -> None:
        outcome = next((name for kind, name in _OUTCOMES.items() if isinstance(problem, kind)), "refused")
        said = str(problem)[:SAID_MAX_CHARS]
        self._note(Kind.OUTCOME, label=label, outcome=outcome, result="", said=said)

    def work_long(self, for_s: float) -> None:
        """Ask for something that keeps the image busy."""
        code = f"(Delay forSeconds: {for_s:g}) wait. {next(self._labels)}"
        self.spawn(self.evaluate(code, for_s + LONG_TIMEOUT_S))

    def send_much(self, characters: int) -> None:
        """Evaluate code that takes more than one packet: a short text with a long comment."""
        self.spawn(self.evaluate(str(next(self._labels)), LONG_TIMEOUT_S, padding=" " * characters))

    @property
    def answered(self) -> bool:
        """Whether the last probe was answered."""
        return self._answered

    def probe(self) -> None:
        """Find out when the image answers again; asked until it does."""
        if self._probing is not None:
            self._probing.cancel()
        self._answered = False
        self._probing = self.spawn(self._probe())

    async def _probe(self) -> None:
        while True:
            label = f"probe {next(self._labels)}"
            self._note(Kind.ASKED, label=label, ask="ping", timeout_s=PROBE_TIMEOUT_S)
            try:
                await self._image.ping(timeout=PROBE_TIMEOUT_S)
            except ResilienceError as problem:
                self._failed(label, problem)
            else:
                self._note(Kind.OUTCOME, label=label, outcome="done", result="")
                self._answered = True
                return
            await asyncio.sleep(PROBE_PAUSE_S)

    def press(self, button: str) -> None:
        """Retry (where that is offered), disconnect, reconnect."""
        if button == "retry" and self._image.state not in (State.FAILED, State.ORPHANED):
            return
        before = len(self._universe.trace.entries)
        try:
            getattr(self._image, button)()
        except (Refused, UsageError):
            refused = True
        else:
            refused = False
        # Where it was pressed, not behind what it made happen.
        pressed = Entry(self._universe.now, Kind.ACTION, self._number, {"action": button, "refused": refused})
        self._universe.trace.entries.insert(before, pressed)

    def _note(self, kind: Kind, **data: str | float | bool) -> None:
        self._universe.trace.note(self._universe.now, kind, self._number, **data)
