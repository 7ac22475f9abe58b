"""The JSON lines: a contract that other programs are written against (DESIGN section 5)."""

from __future__ import annotations

import json
import sys
from typing import Any

from resilience.change import Change
from resilience.cli.options import Unwritable
from resilience.errors import ResilienceError
from resilience.exchange import Asked
from resilience.wire import Reply
from store import SessionSummary, TransitionRecord


def write(line: dict[str, Any]) -> None:
    """One object, one line, at once."""
    put(json.dumps(line, ensure_ascii=False) + "\n")


def put(text: str) -> None:
    """Print it at once.

    Raises:
        BrokenPipeError: nobody reads it any more.
        Unwritable: it cannot be printed where it should be.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise Unwritable(problem.errno, f"the output cannot be written: {problem.strerror}") from problem


def reason_text(reason: str, detail: str) -> str:
    """The reason as people and programs read it."""
    return f"{reason} ({detail})" if detail else str(reason)


def of_change(change: Change) -> dict[str, Any]:
    """A transition as `watch` prints it."""
    return {
        "event": "transition",
        "t": change.t,
        "at": change.at,
        "image": change.image,
        "endpoint": change.endpoint,
        "seq": change.seq,
        "source": change.source,
        "trigger": change.trigger,
        "target": change.target,
        "reason": reason_text(change.reason, change.detail),
    }


def of_record(record: TransitionRecord) -> dict[str, Any]:
    """The same transition as `sessions history` prints it; the monotonic clock does not outlive a boot."""
    return {
        "event": "transition",
        "at": record.at,
        "image": record.image,
        "endpoint": record.endpoint,
        "session": record.session,
        "seq": record.seq,
        "source": record.source,
        "trigger": record.trigger,
        "target": record.target,
        "reason": reason_text(record.reason, record.detail),
    }


def of_session(summary: SessionSummary) -> dict[str, Any]:
    """A session as `sessions list` prints it."""
    return {
        "event": "session",
        "image": summary.image,
        "endpoint": summary.endpoint,
        "session": summary.session,
        "state": summary.state,
        "reason": summary.reason,
        "seq": summary.seq,
        "first_at": summary.first_at,
        "last_at": summary.last_at,
        "connected_at": summary.connected_at,
        "transitions": summary.transitions,
    }


def of_probe(image: str, outcome: Reply | ResilienceError, asked: Asked, now: float) -> dict[str, Any]:
    """A ping that was tried."""
    line: dict[str, Any] = {
        "event": "probe",
        "t": now,
        "t0": asked.issued_at,
        "id": asked.answered_by or asked.request.id,
        "image": image,
        "ok": isinstance(outcome, Reply),
    }
    if isinstance(outcome, ResilienceError):
        return line | {"error": f"{type(outcome).__name__}: {outcome}"}
    return line | {"ms": round((now - asked.issued_at) * 1000, 3)}
