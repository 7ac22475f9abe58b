"""Connections that survive: the only documented import surface of this distribution.

`machines` (the state machine) and `store` (the journal) are sibling packages of
the same wheel. Their names are common, so an application's own `store.py` can
stand in front of them; that is noticed here, before anything odd happens.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path as _FilePath
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_SIBLINGS = ("machines", "store")


class ShadowedError(ImportError):
    """A package of this distribution is hidden behind somebody else's of the same name.

    Attributes:
        sibling: the hidden package.
        intruder: the file that stands in front of it, if one does.
    """

    def __init__(self, sibling: str, intruder: str | None) -> None:
        self.sibling = sibling
        self.intruder = intruder
        what = f"{sibling!r} is shadowed by {intruder}" if intruder else f"{sibling!r} is not installed"
        super().__init__(
            f"resilience needs its own package {sibling!r} beside it, but {what}; "
            "rename that module or change the order of sys.path",
            name=sibling,
        )


def _check_siblings() -> None:
    home = _FilePath(__file__).resolve().parent.parent
    for sibling in _SIBLINGS:
        spec = find_spec(sibling)
        origin = spec.origin if spec is not None else None
        if origin is None or _FilePath(origin).resolve() != home / sibling / "__init__.py":
            raise ShadowedError(sibling, origin)


_check_siblings()

from machines import BadPolicy, Identity, Policy, Reason, Refused, State, Trigger  # noqa: E402 - only behind the check above
from resilience.errors import (  # noqa: E402 - same
    BadEndpoint,
    EvaluationError,
    Expired,
    ImageError,
    LinkLost,
    MalformedReply,
    NetworkError,
    NotDurable,
    OutcomeUnknown,
    QueueFull,
    ReplyTooLarge,
    RequestTooLarge,
    ResilienceError,
    UnsupportedRequest,
    UsageError,
)

if TYPE_CHECKING:
    from resilience.blocking import BlockingImage, BlockingSession, BlockingSupervisor
    from resilience.change import Change
    from resilience.image import Image
    from resilience.network.snapshot import Path
    from resilience.sessions.face import SessionFace
    from resilience.sessions.kept import Standing
    from resilience.sessions.keyholder import Keys
    from resilience.supervisor import Supervisor
    from resilience.wire import Reply
    from store.documents import Append, BadEdit, Drop, Patch, Put, SessionDocument
    from store.errors import DiskError, StoreError
    from store.keys import KeyChoiceRefused, KeyState, Protection
    from store.outcomes import (
        Busy,
        Corrupt,
        LockedKey,
        MissingKey,
        Outcome,
        Reordered,
        RolledBack,
        SessionError,
        TooNew,
        WrongKey,
    )
    from store.sessions import Receipt

_LAZY = {
    "Append": "store.documents",
    "BadEdit": "store.documents",
    "BlockingImage": "resilience.blocking",
    "BlockingSession": "resilience.blocking",
    "BlockingSupervisor": "resilience.blocking",
    "Busy": "store.outcomes",
    "Change": "resilience.change",
    "Corrupt": "store.outcomes",
    "DiskError": "store.errors",
    "Drop": "store.documents",
    "Image": "resilience.image",
    "KeyChoiceRefused": "store.keys",
    "KeyState": "store.keys",
    "Keys": "resilience.sessions.keyholder",
    "LockedKey": "store.outcomes",
    "MissingKey": "store.outcomes",
    "Outcome": "store.outcomes",
    "Patch": "store.documents",
    "Path": "resilience.network.snapshot",
    "Protection": "store.keys",
    "Put": "store.documents",
    "Receipt": "store.sessions",
    "Reordered": "store.outcomes",
    "Reply": "resilience.wire",
    "RolledBack": "store.outcomes",
    "SessionDocument": "store.documents",
    "SessionError": "store.outcomes",
    "SessionFace": "resilience.sessions.face",
    "Standing": "resilience.sessions.kept",
    "StoreError": "store.errors",
    "Supervisor": "resilience.supervisor",
    "TooNew": "store.outcomes",
    "WrongKey": "store.outcomes",
}
"""Imported when used: pyzmq, asyncio and pydantic cost more than everything above together."""


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from importlib import import_module  # noqa: PLC0415 - only ever needed here

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'resilience' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Append",
    "BadEdit",
    "BadEndpoint",
    "BadPolicy",
    "BlockingImage",
    "BlockingSession",
    "BlockingSupervisor",
    "Busy",
    "Change",
    "Corrupt",
    "DiskError",
    "Drop",
    "EvaluationError",
    "Expired",
    "Identity",
    "Image",
    "ImageError",
    "KeyChoiceRefused",
    "KeyState",
    "Keys",
    "LinkLost",
    "LockedKey",
    "MalformedReply",
    "MissingKey",
    "NetworkError",
    "NotDurable",
    "Outcome",
    "OutcomeUnknown",
    "Patch",
    "Path",
    "Policy",
    "Protection",
    "Put",
    "QueueFull",
    "Reason",
    "Receipt",
    "Refused",
    "Reordered",
    "Reply",
    "ReplyTooLarge",
    "RequestTooLarge",
    "ResilienceError",
    "RolledBack",
    "SessionDocument",
    "SessionError",
    "SessionFace",
    "ShadowedError",
    "Standing",
    "State",
    "StoreError",
    "Supervisor",
    "TooNew",
    "Trigger",
    "UnsupportedRequest",
    "UsageError",
    "WrongKey",
]
