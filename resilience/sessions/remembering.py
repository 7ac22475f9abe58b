"""What the session remembers of an evaluation: the code, and what came of it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from resilience.errors import EvaluationError, ImageError, OutcomeUnknown, ResilienceError
from resilience.limits import MAX_CODE_CHARS, MAX_RESULT_CHARS
from resilience.wire import Reply
from store.documents import Append
from store.errors import StoreError

if TYPE_CHECKING:
    from resilience.core import ImageCore
    from resilience.exchange import Asked
    from resilience.sessions.keeper import Keeper


class Record(Protocol):
    """Writes down what became of a request; None: nobody waits for it any more."""

    def __call__(
        self, core: ImageCore, keeper: Keeper, asked: Asked, outcome: Reply | ResilienceError | None
    ) -> None: ...


def nothing(core: ImageCore, keeper: Keeper, asked: Asked, outcome: Reply | ResilienceError | None) -> None:
    """Pings are not worth remembering."""


def evaluated(core: ImageCore, keeper: Keeper, asked: Asked, outcome: Reply | ResilienceError | None) -> None:
    """Append to the history what was handed to the image; what never was is not done, and no history."""
    if asked.sent_at is None or not (
        outcome is None or isinstance(outcome, Reply | ImageError | OutcomeUnknown)
    ):
        return
    code = asked.request.code
    record: dict[str, Any] = {
        "id": asked.request.id,
        "at": asked.sent_wall,
        "code": code[:MAX_CODE_CHARS],
        "mode": "evaluate",
        "seconds": round(core.now - asked.sent_at, 6),
    }
    if isinstance(outcome, Reply):
        record |= {"ok": True, "result": outcome.result[:MAX_RESULT_CHARS]}
        shortened = len(outcome.result) > MAX_RESULT_CHARS
    else:
        known = isinstance(outcome, EvaluationError)
        said = "its caller did not wait for the answer" if outcome is None else str(outcome)
        record |= {"ok": False if known else None, "error": said[:MAX_RESULT_CHARS]}
        shortened = len(said) > MAX_RESULT_CHARS
    if shortened or len(code) > MAX_CODE_CHARS:
        record["shortened"] = True
    with suppress(StoreError):  # a session that may not be changed has its history where it is open
        keeper.edit(core, [Append("evaluations", record)], own=True)
