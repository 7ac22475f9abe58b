"""What can go wrong, by whose fault it is. Errors carry data; the prose is derived from it.

```
ResilienceError
├── UsageError            the caller's:   BadEndpoint, QueueFull, RequestTooLarge
├── ImageError            the image's:    EvaluationError, UnsupportedRequest, MalformedReply, ReplyTooLarge
├── NetworkError          the network's:  Expired (not done), LinkLost (a read, ask again), OutcomeUnknown
└── NotDurable            the disk's
```
"""

from __future__ import annotations

from typing import Any


def printable(text: str) -> str:
    """`text` as it may go to a terminal or a log: what an image says must not steer either."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


class ResilienceError(Exception):
    """Base of everything this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Come back from a pickle as it was: a process pool must not lose what became of a request."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ResilienceError], args: tuple[Any, ...], data: dict[str, Any]) -> ResilienceError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(data)
    return error


# -- the caller ----------------------------------------------------------------------


class UsageError(ResilienceError):
    """The caller asked for something that cannot be."""


class BadEndpoint(UsageError):  # noqa: N818 - reads as what it is
    """An endpoint that is not `tcp://host:port`.

    Attributes:
        endpoint: what was given.
        problem: what is wrong with it.
    """

    def __init__(self, endpoint: str, problem: str) -> None:
        self.endpoint = endpoint
        self.problem = problem
        super().__init__(f"{endpoint!r} is not an endpoint: {problem}; write it like tcp://10.0.0.2:5555")


class QueueFull(UsageError):  # noqa: N818 - same
    """Too many requests wait for this image already; nothing was sent.

    Attributes:
        image: which image.
        limit: how many may wait.
    """

    def __init__(self, image: str, limit: int) -> None:
        self.image = image
        self.limit = limit
        super().__init__(f"{limit} requests wait for {image} already; await some before asking for more")


class RequestTooLarge(UsageError):  # noqa: N818 - same
    """The request is over the protocol's limit; nothing was sent.

    Attributes:
        size_bytes: how large it is.
        limit_bytes: how large it may be.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(
            f"the request has {size_bytes:,} bytes, over the limit of {limit_bytes:,}; it was not sent"
        )


# -- the image -----------------------------------------------------------------------


class ImageError(ResilienceError):
    """The image answered, but not with what was asked for."""


class EvaluationError(ImageError):
    """The image ran the request and reports an error.

    Attributes:
        code: the image's own error code or type, such as `EvaluationError`.
        message: its words.
        details: anything else it said, as strings.
    """

    def __init__(self, code: str, message: str, details: dict[str, str] | None = None) -> None:
        self.code = code
        self.message = message
        self.details = details or {}
        super().__init__(f"the image answered with {code}: {message}")


class UnsupportedRequest(ImageError):  # noqa: N818 - same
    """The image does not know this kind of request; it was not run.

    Attributes:
        message: the image's words.
        dialect: the dialect it said so in, if it is known.
    """

    def __init__(self, message: str, dialect: str | None = None) -> None:
        self.message = message
        self.dialect = dialect
        super().__init__(f"the image does not support this request: {message}")


class MalformedReply(ImageError):  # noqa: N818 - same
    """What came back is not a reply of either dialect.

    Attributes:
        problem: what is wrong with it.
        excerpt: its first bytes, printable.
    """

    def __init__(self, problem: str, frame: bytes = b"") -> None:
        self.problem = problem
        self.excerpt = printable(frame[:60].decode("ascii", "backslashreplace"))
        seen = f" (it begins {self.excerpt!r})" if frame else ""
        super().__init__(f"the image's reply cannot be read: {problem}{seen}")


class ReplyTooLarge(ImageError):  # noqa: N818 - same
    """The reply is over the limit; it was received and thrown away.

    Attributes:
        size_bytes: how large it was.
        limit_bytes: how large it may be.
    """

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(
            f"the reply has {size_bytes:,} bytes, over the limit of {limit_bytes:,}; ask for less at a time"
        )


# -- the network ---------------------------------------------------------------------


class NetworkError(ResilienceError):
    """The request met a network that did not carry it through."""


class Expired(NetworkError):  # noqa: N818 - same
    """The request's time ran out before it was handed to a link: it was **not done**.

    Attributes:
        request_id: its id.
        what: the kind of request.
        waited_s: how long it waited.
        why: what it waited for.
    """

    def __init__(self, request_id: str, what: str, waited_s: float, why: str) -> None:
        self.request_id = request_id
        self.what = what
        self.waited_s = waited_s
        self.why = why
        super().__init__(
            f"{what} was not sent within {waited_s:.3g} s ({why}); it was not done, and may be asked again"
        )


class LinkLost(NetworkError):  # noqa: N818 - same
    """A read-only request was lost with its link, or got no answer in time; asking again is safe.

    Attributes:
        request_id: its id.
        what: the kind of request.
        why: how it was lost.
    """

    def __init__(self, request_id: str, what: str, why: str) -> None:
        self.request_id = request_id
        self.what = what
        self.why = why
        super().__init__(f"{what} got no answer ({why}); it changes nothing, so asking again is safe")


class OutcomeUnknown(NetworkError):  # noqa: N818 - same
    """The request was handed to the transport and no reply came: done or not, nobody here knows.

    It is never sent again by this package (law 11).

    Attributes:
        request_id: its id as sent on the wire.
        what: the kind of request.
        sent_at: when it was handed over (clock of `time.time`).
        why: what ended the wait.
    """

    def __init__(self, request_id: str, what: str, sent_at: float, why: str) -> None:
        self.request_id = request_id
        self.what = what
        self.sent_at = sent_at
        self.why = why
        super().__init__(
            f"{what} was sent and no reply came ({why}); it ran once or not at all; look before asking again"
        )


# -- the disk ------------------------------------------------------------------------


class NotDurable(ResilienceError):  # noqa: N818 - same
    """Transitions or edits are not reaching the disk. Connections go on regardless, and so do the tries.

    Attributes:
        problem: what the disk said.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"not durable: {problem}")
