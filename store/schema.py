"""Parsing payloads, with pydantic: what comes from disk is from outside. Import it late (see `codec`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from store.framing import MAX_NUMBER
from store.records import SessionSummary, TransitionRecord

Seq = Annotated[int, Field(ge=0, lt=MAX_NUMBER)]  # one more can still be given out
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class _Payload(BaseModel):
    # Fields of later programs are passed over here and stay on disk as they are.
    model_config = ConfigDict(strict=True, extra="ignore")

    v: Literal[1]
    image: str
    endpoint: str
    session: str
    seq: Seq
    reason: str
    identity: str | None = None
    dialect: str | None = None
    revision: Seq = 0


class _Transition(_Payload):
    k: Literal["t"]
    at: Seconds
    source: str
    trigger: str
    target: str
    detail: str = ""


class _Summary(_Payload):
    k: Literal["s"]
    state: str
    first_at: Seconds
    last_at: Seconds
    transitions: Seq
    connected_at: Seconds | None = None


_ADAPTER: TypeAdapter[_Transition | _Summary] = TypeAdapter(
    Annotated[_Transition | _Summary, Field(discriminator="k")]
)


def parse(payload: bytes) -> TransitionRecord | SessionSummary | None:
    """Return what a payload says; None if it is not one of these, or of a later version."""
    try:
        found = _ADAPTER.validate_json(payload)
    except ValidationError:
        return None
    if isinstance(found, _Transition):
        return TransitionRecord(
            found.image,
            found.endpoint,
            found.session,
            found.seq,
            found.at,
            found.source,
            found.trigger,
            found.target,
            found.reason,
            found.detail,
            found.identity,
            found.dialect,
            found.revision,
        )
    return SessionSummary(
        found.image,
        found.endpoint,
        found.session,
        found.seq,
        found.state,
        found.reason,
        found.identity,
        found.dialect,
        found.first_at,
        found.last_at,
        found.transitions,
        found.connected_at,
        found.revision,
    )
