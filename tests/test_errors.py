"""The tree of errors: by whose fault, with data, and saying what to do next (law 23)."""

import inspect
import pickle

import pytest

import resilience
from resilience import Refused, State, Trigger, errors
from resilience.errors import (
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

EXAMPLES: list[tuple[ResilienceError, type[ResilienceError], list[str]]] = [
    (BadEndpoint("x", "the port is missing"), UsageError, ["'x'", "the port is missing", "tcp://"]),
    (QueueFull("host:1", 256), UsageError, ["256", "host:1", "await"]),
    (RequestTooLarge(11, 10), UsageError, ["11", "10", "not sent"]),
    (EvaluationError("Code", "words"), ImageError, ["Code", "words"]),
    (UnsupportedRequest("words"), ImageError, ["words"]),
    (MalformedReply("not JSON", b"GET /"), ImageError, ["not JSON", "GET /"]),
    (ReplyTooLarge(11, 10), ImageError, ["11", "10", "ask for less"]),
    (
        Expired("an-id", "evaluate", 1.5, "no route"),
        NetworkError,
        ["evaluate", "1.5", "no route", "not done"],
    ),
    (LinkLost("an-id", "ping", "closed"), NetworkError, ["ping", "closed", "safe"]),
    (OutcomeUnknown("an-id", "evaluate", 7.0, "closed"), NetworkError, ["evaluate", "closed", "look before"]),
    (NotDurable("disk full"), ResilienceError, ["not durable", "disk full"]),
]


def named(example: tuple[ResilienceError, type[ResilienceError], list[str]]) -> str:
    return type(example[0]).__name__


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_an_error_says_whose_fault_it_is_what_happened_and_what_to_do(
    example: tuple[ResilienceError, type[ResilienceError], list[str]],
) -> None:
    """The parent class is the party at fault; the prose holds the data."""
    error, fault, words = example
    assert isinstance(error, fault)
    assert isinstance(error, ResilienceError)
    text = str(error)
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_an_error_carries_its_data_as_attributes(
    example: tuple[ResilienceError, type[ResilienceError], list[str]],
) -> None:
    """Every argument is there to be read, under its own name, so that nobody has to parse prose."""
    error = example[0]
    for name in list(inspect.signature(type(error)).parameters):
        assert hasattr(error, {"frame": "excerpt"}.get(name, name))


def test_every_error_of_the_package_has_an_example_here_and_a_public_name() -> None:
    """A new error cannot be forgotten in either place."""
    leaves = {
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, ResilienceError) and not each.__subclasses__()
    }
    # Dialects refine EvaluationError; it is raised itself all the same.
    assert leaves | {EvaluationError} == {type(error) for error, _, _ in EXAMPLES}
    for each in leaves | {ResilienceError, UsageError, ImageError, NetworkError, EvaluationError}:
        assert getattr(resilience, each.__name__) is each


def test_what_ran_or_may_have_run_is_told_apart_from_what_did_not() -> None:
    """The words a user decides by: ask again, or look first."""
    assert "not done" in str(Expired("i", "evaluate", 1, "why"))
    assert "ran once or not at all" in str(OutcomeUnknown("i", "evaluate", 1, "why"))
    assert "changes nothing" in str(LinkLost("i", "ping", "why"))


def test_a_reply_is_quoted_in_printable_characters_only() -> None:
    """What a hostile peer sent must not reach a terminal as it is."""
    error = MalformedReply("not JSON", b"\x1b[2J\x00\xff" + b"x" * 1_000)
    assert error.excerpt.isprintable()
    assert str(error).isprintable()
    assert len(error.excerpt) < 250


@pytest.mark.parametrize(
    "error",
    [*(error for error, _, _ in EXAMPLES), Refused(State.FRESH, Trigger.ADOPT)],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_a_pickle(error: Exception) -> None:
    """A process pool must not lose what became of a request."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made on this line
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
