"""The shapes of replies, checked by pydantic at the edge; imported when a supervisor starts."""

from __future__ import annotations

from typing import Any

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resilience.errors import MalformedReply

MAX_DEPTH = 64
"""Nesting of JSON that an honest reply never reaches; deeper ones are refused unread."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TypedAnswer(_Shape):
    """Innermost part of a typed reply."""

    response_type: str = Field(max_length=100)
    data: dict[str, Any]


class TypedPayload(_Shape):
    """Middle part of a typed reply."""

    data: TypedAnswer


class Typed(_Shape):
    """A reply of dialect A."""

    version: str = Field(max_length=100)
    payload: TypedPayload


class Command(_Shape):
    """A reply of dialect B."""

    status: str = Field(max_length=100)
    result: Any = None
    error: Any = None
    error_type: Any = None


def _depth(value: object) -> int:
    """Nesting depth, counted without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        here, level = stack.pop()
        deepest = max(deepest, level)
        if level > MAX_DEPTH:
            break
        if isinstance(here, dict):
            stack += [(child, level + 1) for child in here.values() if isinstance(child, dict | list)]
        elif isinstance(here, list):
            stack += [(child, level + 1) for child in here if isinstance(child, dict | list)]
    return deepest


def read(frame: bytes) -> Typed | Command:
    """Tell the shapes apart and check the one it is.

    Raises:
        MalformedReply: the frame is neither.
    """
    try:
        value = pydantic_core.from_json(frame, allow_inf_nan=False)
    except ValueError as problem:
        raise MalformedReply(f"not JSON: {problem}", frame) from None
    if not isinstance(value, dict):
        raise MalformedReply("not a JSON object", frame)
    if _depth(value) > MAX_DEPTH:
        raise MalformedReply(f"nested deeper than {MAX_DEPTH}", frame)
    try:
        if "payload" in value:
            return Typed.model_validate(value)
        if "status" in value:
            return Command.model_validate(value)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedReply(f"{where}: {first['msg']}", frame) from None
    raise MalformedReply("neither 'payload' nor 'status' is in it", frame)
