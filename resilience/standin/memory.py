"""What an image keeps: its saved state on disk, and the count of what it executed."""

import json
import os
import uuid
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REMEMBERED_MAX = 10_000  # ids per kind: hours of evaluations by hand, and a reply of about half a megabyte
LOGGED_CODE_MAX_CHARS = 1_000  # enough to recognise an evaluation in the log


class StateError(Exception):
    """The state file is there but cannot be used."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}; move it away to start as a new image")


@dataclass(frozen=True, slots=True)
class Saved:
    """The content of the state file: the image as it was at its last save."""

    image_id: str
    counter: int = 0
    saves: int = 0


def load(path: Path | None) -> Saved:
    """Read the image from disk; without a file it is a new one with an identity of its own.

    Raises:
        StateError: the file holds something else, or cannot be read.
        OSError: there was no file and none could be written.
    """
    if path is None:
        return Saved(str(uuid.uuid4()))
    try:
        state: Any = json.loads(path.read_bytes())  # Any: a file may hold anything
    except FileNotFoundError:
        new = Saved(str(uuid.uuid4()))
        save(path, new)  # at once: an identity that clients have seen must outlive the first run
        return new
    except OSError as error:
        raise StateError(path, error.strerror or "cannot be read") from error
    except (ValueError, RecursionError):
        raise StateError(path, "not the JSON state of a stand-in image") from None
    if not (
        isinstance(state, dict)
        and isinstance(state.get("image_id"), str)
        and isinstance(state.get("counter"), int)
        and isinstance(state.get("saves"), int)
    ):
        raise StateError(path, "not the JSON state of a stand-in image")
    return Saved(state["image_id"], state["counter"], state["saves"])


def save(path: Path | None, saved: Saved) -> None:
    """Replace the state file so that a power cut leaves the old content or the new, never a mixture.

    Raises:
        OSError: the disk refused.
    """
    if path is None:
        return
    content = {"image_id": saved.image_id, "counter": saved.counter, "saves": saved.saves}
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(json.dumps(content).encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    if os.name == "posix":  # elsewhere a directory cannot be opened, and needs no sync of its own
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Executions:
    """How often each request id was executed: the witness against requests that run twice.

    Ids are counted per kind and the oldest are forgotten first, so that a ping every 20 ms cannot push the
    evaluations out.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._counts: dict[str, OrderedDict[str, int]] = {}
        self._total = 0
        self._forgotten = 0
        # Appended in one write each, so several images may share a log and a killed one leaves whole lines.
        self._log = log.open("ab", buffering=0) if log else None

    def record(self, now: float, request_id: str | int | None, kind: str, code: str | None) -> None:
        """Count one execution at the moment it begins: one that never ends has had its effects too."""
        key = "" if request_id is None else str(request_id)
        counts = self._counts.setdefault(kind, OrderedDict())
        counts[key] = counts.get(key, 0) + 1
        self._total += 1
        if len(counts) > REMEMBERED_MAX:
            counts.popitem(last=False)
            self._forgotten += 1
        if self._log:
            shown = None if code is None else code[:LOGGED_CODE_MAX_CHARS]
            line = {"t": now, "id": request_id, "kind": kind, "code": shown, "count": counts[key]}
            self._log.write(json.dumps(line).encode() + b"\n")

    def report(self) -> dict[str, Any]:
        """Answer id → count, the ids executed more than once, and how many were executed and forgotten."""
        merged: Counter[str] = Counter()
        for counts in self._counts.values():
            merged.update(counts)
        return {
            "executions": dict(merged),
            "repeated": [key for key, count in merged.items() if key and count > 1],
            "total": self._total,
            "forgotten": self._forgotten,
        }

    def close(self) -> None:
        """Close the log."""
        if self._log:
            self._log.close()
