"""Orphaned or Failed on the command line: somebody has to decide, and may have decided before."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from machines import Refused, State
from resilience.image import Image

TO_ADOPT = "With --adopt the session goes on with the image that answers there now."
TO_START_FRESH = "With --start-fresh it is archived, and a new one is begun."


@dataclass(frozen=True, slots=True)
class WaysOut:
    """What was decided before it was needed.

    Attributes:
        adopt: another image than the session's answers: go on with that one.
        start_fresh: a session that cannot go on is put into the archive, and a new one is begun.
    """

    adopt: bool = False
    start_fresh: bool = False

    def take(self, image: Image) -> bool:
        """Go the way that was decided on, if there is one from here; it may have gone on by itself."""
        with contextlib.suppress(Refused):
            if image.state is State.ORPHANED and self.adopt:
                image.adopt()
                return True
            if image.state in (State.ORPHANED, State.FAILED) and self.start_fresh:
                image.start_fresh()
                return True
        return False


def to_go_on(state: State) -> str:
    """Which ways there are from there, in words; none is needed from elsewhere."""
    return {State.ORPHANED: f"{TO_ADOPT} {TO_START_FRESH}", State.FAILED: TO_START_FRESH}.get(state, "")
