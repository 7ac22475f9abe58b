"""The image: one request in, one reply out, always."""

import platform
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resilience.standin.dialects import (
    Code,
    Dialect,
    Kind,
    RefusedError,
    Request,
    Speaks,
    failure,
    parse,
    result,
)
from resilience.standin.memory import Executions, Saved, load, save
from resilience.standin.objects import SmalltalkError, class_of, print_string
from resilience.standin.smalltalk import CompileError, compile_source, run

VERSION = "stand-in 1.0"
TRANSCRIPT_MAX_ENTRIES = 100
ENTRY_MAX_CHARS = 1_000
GREETING_MAX_CHARS = 1_000  # of a ping's message that are sent back


class Stopped(Exception):  # noqa: N818 - not an error: the image was told to go down
    """The image is going down; what it was doing ends here, without a reply."""


class Image:
    """An image's memory and behaviour, apart from its socket.

    Args:
        speaks: the dialects answered to.
        state: the file the image is saved in; None keeps it in memory only.
        log: a file that gets one JSON line per executed request.
        wait: lets that many seconds pass and tells whether the image was meanwhile asked to stop.
        clock: monotonic seconds; uptime and execution times are measured with it.
        image_id: the identity to have without a state file; None for one of its own.

    Raises:
        StateError: the state file cannot be used.
        OSError: the log cannot be opened, or a new image cannot be written to its state file.
    """

    def __init__(
        self,
        *,
        speaks: Speaks = Speaks.BOTH,
        state: Path | None = None,
        log: Path | None = None,
        wait: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
        image_id: str | None = None,
    ) -> None:
        self._saved = load(state) if image_id is None else Saved(image_id)
        self._executions = Executions(log)
        self._speaks = speaks
        self._state = state
        self._wait = wait
        self._clock = clock
        self._born = clock()
        self._transcript: deque[str] = deque(maxlen=TRANSCRIPT_MAX_ENTRIES)
        self._save_under_way = False
        self.counter = self._saved.counter

    @property
    def image_id(self) -> str:
        """The identity that stays with the state file."""
        return self._saved.image_id

    @property
    def version(self) -> str:
        """What `Smalltalk version` answers."""
        return VERSION

    def answer(self, raw: bytes) -> bytes:
        """Carry out a request and write its reply; whatever arrives, there is one.

        Raises:
            Stopped: the image was asked to go down while the request was executed.
        """
        try:
            request = parse(raw, self._speaks)
        except RefusedError as refused:
            return failure(refused)
        try:
            return result(request, self.perform(request))
        except RefusedError as refused:
            return failure(refused)
        except Stopped:
            raise
        except Exception as bug:  # noqa: BLE001 - a REP socket without its reply is lost to every client
            return failure(request.refused(Code.INTERNAL_ERROR, f"{type(bug).__name__} in the image"))

    def perform(self, request: Request) -> dict[str, Any]:
        """Carry out a request and answer the data of its result.

        Raises:
            RefusedError: it cannot be carried out.
            Stopped: as in `answer`.
        """
        if request.kind is Kind.EXECUTIONS:  # looking at the count must not change it
            report = self.executions()
            return {"info": report} if request.dialect is Dialect.A else report
        code = request.text("code") if request.kind is Kind.EVALUATE else None
        greeting = request.text("message", "") if request.kind is Kind.PING else ""
        # Before it is carried out, and without it nothing is: an execution nobody counted proves nothing.
        self._executions.record(self._clock(), request.id, request.kind.value, code)
        if code is not None:
            return self._evaluated(request, code)
        if request.kind is Kind.SYSTEM_INFO:
            return {"info": self._info()}
        return {
            "message": greeting[:GREETING_MAX_CHARS] or "the stand-in image is listening",
            "status": "ready",
            "uptime": round(self._clock() - self._born, 3),
            "image_id": self._saved.image_id,
            "saves": self._saved.saves,
        }

    def executions(self) -> dict[str, Any]:
        """Answer what was executed how often; see `Executions.report`."""
        return self._executions.report()

    def take_save(self) -> bool:
        """Tell whether the last request saved the image, once: its sockets then close for a moment."""
        under_way, self._save_under_way = self._save_under_way, False
        return under_way

    def close(self) -> None:
        """Close the log; nothing is saved, as with any image that is not asked to."""
        self._executions.close()

    def check_stop(self) -> None:
        """Raise `Stopped` if the image is going down."""
        self.pause(0.0)

    def pause(self, delay_s: float) -> None:
        """Block the image for that long, as a delay in its only process does."""
        if self._wait(delay_s):
            raise Stopped

    def snapshot(self) -> None:
        """Write the image to its state file.

        Raises:
            OSError: the disk refused; the image goes on as it was.
        """
        saved = Saved(self._saved.image_id, self.counter, self._saved.saves + 1)
        save(self._state, saved)
        self._saved = saved
        self._save_under_way = True

    def show(self, text: str) -> None:
        """Write to the transcript, of which the newest entries are kept."""
        self._transcript.append(text[:ENTRY_MAX_CHARS])

    def _evaluated(self, request: Request, code: str) -> dict[str, Any]:
        begun = self._clock()
        try:
            value = run(compile_source(code), self)
        except CompileError as error:  # nothing was executed: an error of the request
            raise request.refused(Code.EVALUATION_ERROR, f"syntax error: {error}") from None
        except SmalltalkError as error:  # something was: a result, which happens to be an error
            if request.dialect is Dialect.B:
                raise request.refused(Code.EVALUATION_ERROR, str(error)) from None
            text, type_name, failed = str(error), error.class_name, True
        else:
            text, type_name, failed = print_string(value), class_of(value), False
        return {
            "result": text,
            "result_type": type_name,
            "execution_time": round((self._clock() - begun) * 1000, 3),
            "has_error": failed,
        }

    def _info(self) -> dict[str, Any]:
        # Every info_type is answered with everything: it is little.
        return {
            "pharo_version": f"none: {VERSION}",
            "vm_version": f"{platform.python_implementation()} {platform.python_version()}",
            "image_format": "JSON",
            "platform": f"{platform.system()} {platform.machine()}",
            "transcript": list(self._transcript),
        }
