"""Orphaned on the command line: another image answers than the session's, and somebody has to decide."""

from __future__ import annotations

import contextlib

from machines import Refused
from resilience.image import Image

TO_ADOPT = "With --adopt the session goes on with the image that answers there now."


def go_on_with(image: Image) -> None:
    """Go on with the image that answers, unless the connection has gone on by itself meanwhile."""
    with contextlib.suppress(Refused):
        image.adopt()
