"""Both wire dialects as bytes: what is asked, what is understood, and that nothing can break it."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from machines import Identity
from resilience.errors import EvaluationError, ImageError, MalformedReply, ReplyTooLarge, RequestTooLarge
from resilience.errors import UnsupportedRequest as Unsupported
from resilience.limits import MAX_ERROR_CHARS, MAX_MESSAGE_BYTES
from resilience.standin.dialects import Dialect as StandinDialect
from resilience.standin.dialects import Speaks, parse
from resilience.standin.image import Image as Standin
from resilience.wire import (
    MAX_IDENTITY_CHARS,
    Dialect,
    DialectError,
    Kind,
    Reply,
    Request,
    UnsupportedVersion,
    decode,
    encode,
)

DEPTH_LIMIT = 64


def typed(data: object, response_type: str = "Evaluate", **envelope: object) -> bytes:
    """A reply of dialect A."""
    payload = {"type": "Response", "data": {"response_type": response_type, "data": data}}
    return json.dumps({"id": "not-ours", "version": "1.0.0", "payload": payload} | envelope).encode()


def command(result: object, **envelope: object) -> bytes:
    """A reply of dialect B."""
    return json.dumps({"id": "1", "status": "success", "result": result} | envelope).encode()


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


# -- asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("speaks", "dialect"),
    [
        (Speaks.A, Dialect.TYPED),
        (Speaks.B, Dialect.COMMAND),
        (Speaks.BOTH, Dialect.TYPED),
        (Speaks.BOTH, Dialect.COMMAND),
        (Speaks.A, None),
        (Speaks.B, None),
        (Speaks.BOTH, None),
    ],
)
def test_an_image_reads_what_is_asked(kind: Kind, speaks: Speaks, dialect: Dialect | None) -> None:
    """In its dialect, or before that is known: then one frame has both shapes, and it sees its own."""
    asked = Request(kind, "3 + 4")
    seen = parse(encode(asked, dialect), speaks)
    assert seen.kind.value.lower() == kind
    assert seen.id == asked.id
    if kind is Kind.EVALUATE:
        assert seen.params["code"] == "3 + 4"
    if dialect is not None:
        assert seen.dialect is (StandinDialect.A if dialect is Dialect.TYPED else StandinDialect.B)


def test_the_typed_shape_is_the_documented_one() -> None:
    """Envelope, version and parameters of dialect A, field for field."""
    message = json.loads(encode(Request(Kind.EVALUATE, "3 + 4", "an-id"), Dialect.TYPED))
    assert message.pop("timestamp").endswith("Z")
    assert message == {
        "id": "an-id",
        "version": "1.0.0",
        "payload": {
            "type": "Request",
            "data": {
                "request_type": "Evaluate",
                "params": {"code": "3 + 4", "context": None, "return_string": True},
            },
        },
    }


def test_the_command_shape_is_the_documented_one() -> None:
    """Flat, with `parameters`."""
    message = json.loads(encode(Request(Kind.EVALUATE, "3 + 4", "an-id"), Dialect.COMMAND))
    assert message == {"id": "an-id", "command": "evaluate", "parameters": {"code": "3 + 4"}}
    assert json.loads(encode(Request(Kind.PING, id="x"), Dialect.COMMAND)) == {
        "id": "x",
        "command": "ping",
        "parameters": {},
    }


def test_only_what_is_known_to_change_nothing_counts_as_read_only() -> None:
    """Law 11: an evaluation is never taken for something that may be asked again."""
    assert Kind.PING.read_only
    assert not Kind.EVALUATE.read_only


def test_every_request_has_an_id_of_its_own() -> None:
    """Replies are matched by it, and images count executions by it."""
    assert len({Request(Kind.PING).id for _ in range(100)}) == 100


@given(st.text(max_size=50))
def test_code_arrives_as_it_was_written(code: str) -> None:
    """Any text that JSON can carry: quotes, newlines, other scripts, lone surrogates."""
    for dialect, field in ((Dialect.COMMAND, "parameters"), (None, "parameters")):
        assert json.loads(encode(Request(Kind.EVALUATE, code), dialect))[field]["code"] == code


@pytest.mark.parametrize("dialect", [*Dialect, None])
def test_a_request_over_the_limit_is_refused_before_it_is_sent(dialect: Dialect | None) -> None:
    """10 MB, counted in bytes on the wire; the error says both sizes and that nothing was sent."""
    with pytest.raises(RequestTooLarge) as refused:
        encode(Request(Kind.EVALUATE, "x" * MAX_MESSAGE_BYTES), dialect)
    assert refused.value.size_bytes > refused.value.limit_bytes == MAX_MESSAGE_BYTES
    assert "not sent" in str(refused.value)
    room = MAX_MESSAGE_BYTES - len(encode(Request(Kind.EVALUATE, ""), Dialect.COMMAND))
    assert len(encode(Request(Kind.EVALUATE, "x" * room), Dialect.COMMAND)) == MAX_MESSAGE_BYTES


# -- understanding -------------------------------------------------------------------------------


@pytest.mark.parametrize("speaks", [Speaks.A, Speaks.B])
def test_a_stock_answer_is_understood(speaks: Speaks) -> None:
    """Result, class, duration, identity and dialect, from an image of either kind."""
    image = Standin(speaks=speaks, wait=lambda _: False)
    pong = decode(image.answer(encode(Request(Kind.PING), None)))
    assert pong.dialect is (Dialect.TYPED if speaks is Speaks.A else Dialect.COMMAND)
    assert pong.identity.image_id == image.image_id
    assert pong.identity.uptime_s is not None
    reply = decode(image.answer(encode(Request(Kind.EVALUATE, "3 + 4"), pong.dialect)))
    assert (reply.result, reply.result_type) == ("7", "SmallInteger")
    assert reply.execution_time_ms is not None
    assert reply.data["has_error"] is False


@pytest.mark.parametrize("make", [typed, command])
def test_unknown_fields_and_odd_times_and_ids_change_nothing(make: Callable[..., bytes]) -> None:
    """Minor versions add; ids are foreign, malformed or absent; timestamps come in every RFC 3339 dress."""
    for oddity in (
        {"timestamp": "2024-12-01T10:00:00.123456-03:00", "id": "not hex at all"},
        {"timestamp": "yesterday", "id": 7},
        {"timestamp": None, "id": None},
        {"timestamp": {"when": 1}, "id": {"deep": [1]}, "flags": [1, 2, 3], "é": None},
    ):
        reply = decode(make({"result": "7", "future": {"x": 1}}, **oddity))
        assert reply.result == "7"


@pytest.mark.parametrize(
    ("frame", "result"),
    [
        (command("7"), "7"),
        (command(7), "7"),
        (command(None), "null"),
        (command(["a", 1]), '["a", 1]'),
        (command({"result": {"nested": "é"}}), '{"nested": "é"}'),
        (command({"message": "pong"}), "pong"),
        (
            typed({"message": "Hello from Pharo!", "status": "ready", "uptime": 3}, "Ping"),
            "Hello from Pharo!",
        ),
        (typed({}, "Ping"), ""),
    ],
)
def test_any_json_makes_a_printable_result(frame: bytes, result: str) -> None:
    """Documents leave the result open: a text stays as it is, anything else is shown as JSON."""
    assert decode(frame).result == result


@pytest.mark.parametrize("version", ["1.0.0", "1.99.3", "1", "01.0"])
def test_a_minor_version_only_adds(version: str) -> None:
    """Major breaks, minor adds: any 1.x is read."""
    assert decode(typed({"result": "7"}, version=version)).result == "7"


@pytest.mark.parametrize("version", ["2.0.0", "0.9", "10.0"])
def test_another_major_version_is_named(version: str) -> None:
    """The error says which version the image speaks."""
    with pytest.raises(UnsupportedVersion) as refused:
        decode(typed({"result": "7"}, version=version))
    assert refused.value.version == version
    assert version in str(refused.value)


@pytest.mark.parametrize("version", ["", "v1", "²", "².0", "-1", "1e0", " 1", "x" * 100])
def test_what_is_no_version_is_a_malformed_reply(version: str) -> None:
    """Even where Python takes a character for a digit."""
    with pytest.raises(MalformedReply):
        decode(typed({"result": "7"}, version=version))


# -- errors of the image -------------------------------------------------------------------------


def test_an_error_reply_keeps_its_code_its_words_and_its_details() -> None:
    """Dialect A: code, message, details; and the dialect is learnt from it."""
    data = {"code": "ClassNotFound", "message": "no such class", "details": {"name": "Foo", "tries": 3}}
    with pytest.raises(DialectError) as told:
        decode(typed(data, "Error"))
    error = told.value
    assert isinstance(error, EvaluationError)
    assert (error.dialect, error.code, error.message) == (Dialect.TYPED, "ClassNotFound", "no such class")
    assert error.details == {"name": "Foo", "tries": "3"}
    assert "ClassNotFound" in str(error)
    assert "no such class" in str(error)


def test_a_command_style_error_keeps_its_type_and_its_words() -> None:
    """Dialect B: error_type, error."""
    frame = json.dumps(
        {"id": "1", "status": "error", "error": "key not found", "error_type": "RuntimeError"}
    ).encode()
    with pytest.raises(DialectError) as told:
        decode(frame)
    error = told.value
    assert (error.dialect, error.code, error.message) == (Dialect.COMMAND, "RuntimeError", "key not found")


def test_a_result_that_is_an_error_is_an_error() -> None:
    """`has_error` in dialect A: the evaluation ran and failed."""
    with pytest.raises(EvaluationError) as told:
        decode(typed({"result": "ZeroDivide", "has_error": True}))
    assert told.value.message == "ZeroDivide"
    assert decode(typed({"result": "7", "has_error": False})).result == "7"


def test_an_operation_the_image_lacks_is_told_apart() -> None:
    """It was not run, unlike an evaluation that failed."""
    with pytest.raises(Unsupported) as told:
        decode(typed({"code": "UnsupportedOperation", "message": "no Evaluate here"}, "Error"))
    assert "no Evaluate here" in str(told.value)


@pytest.mark.parametrize(
    "frame",
    [
        typed({}, "Error"),
        typed({"code": 7, "message": ["a"], "details": "none"}, "Error"),
        typed({"code": "", "message": None, "details": {"": {}}}, "Error"),
        b'{"status": "error"}',
        b'{"status": "", "error": {"x": 1}, "error_type": []}',
    ],
)
def test_an_error_of_odd_shape_is_still_an_error(frame: bytes) -> None:
    """Whoever says it failed is believed, however clumsily it is said."""
    with pytest.raises(DialectError) as told:
        decode(frame)
    assert told.value.code == "Error" or told.value.code
    assert isinstance(told.value.message, str)


def test_the_words_of_an_image_are_bounded() -> None:
    """A megabyte of stack trace is cut; so are names and the number of details (law 22)."""
    data = {
        "code": "C" * 10_000,
        "message": "m" * 1_000_000,
        "details": {f"{i}" * 200: "d" * 10_000 for i in range(500)},
    }
    with pytest.raises(DialectError) as told:
        decode(typed(data, "Error"))
    error = told.value
    assert len(error.message) <= MAX_ERROR_CHARS
    assert len(error.code) <= 100
    assert len(error.details) <= 50
    assert all(len(key) <= 100 and len(value) <= MAX_ERROR_CHARS for key, value in error.details.items())


# -- who answered --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [typed, command])
@pytest.mark.parametrize(
    ("body", "identity"),
    [
        ({"image_id": "abc", "uptime": 12}, Identity("abc", 12.0)),
        ({"image_id": "abc"}, Identity("abc", None)),
        ({"uptime": 0.5}, Identity(None, 0.5)),
        ({"image_id": "", "uptime": -1}, Identity()),
        ({"image_id": 7, "uptime": "12"}, Identity()),
        ({"image_id": "x" * (MAX_IDENTITY_CHARS + 1), "uptime": True}, Identity()),
        ({"uptime": 10**400}, Identity()),
        ({"image_id": None, "uptime": None}, Identity()),
    ],
)
def test_identity_is_taken_only_where_it_makes_sense(
    make: Callable[..., bytes], body: dict[str, Any], identity: Identity
) -> None:
    """Nonsense in these fields is no identity, and no reason to refuse the reply either."""
    assert decode(make(body)).identity == identity


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "9" * 4_000, "-0.0", "1e-400", "true"])
def test_numbers_beyond_reason_are_no_measurements(number: str) -> None:
    """JSON has no largest number; a duration has."""
    frame = f'{{"status": "success", "result": {{"result": "7", "execution_time": {number}}}}}'.encode()
    assert decode(frame).execution_time_ms in (None, 0.0)


# -- hostile bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xfe\x00garbage",
        b'{"id": ',
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}",
        b'{"payload": 7}',
        b'{"payload": {}, "version": "1"}',
        b'{"payload": {"data": []}, "version": "1"}',
        b'{"payload": {"data": {"response_type": 1, "data": {}}}, "version": "1"}',
        b'{"payload": {"data": {"response_type": "Ping", "data": []}}, "version": "1"}',
        b'{"payload": {"data": {"response_type": "Ping", "data": {}}}}',
        b'{"status": []}',
        b'{"status": null}',
        b'{"status": "success", "result": NaN}',
        b'{"status": "success", "result": -Infinity}',
        b'{"status": "success", "result": "\\ud800"}',
        b'{"status": "success", "result": "\xed\xa0\x80"}',
        b'{"status": "success"} trailing',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_reply_is_called_malformed(frame: bytes) -> None:
    """Also JSON's extensions: NaN, infinities, lone surrogates, text behind the end."""
    with pytest.raises(MalformedReply) as told:
        decode(frame)
    assert told.value.problem
    assert len(told.value.excerpt) <= 4 * 60
    assert told.value.excerpt.isprintable()


def test_a_program_of_another_kind_is_quoted() -> None:
    """The excerpt shows the user who answered, and no more of it than a line."""
    with pytest.raises(MalformedReply) as told:
        decode(b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 100_000)
    assert "HTTP/1.1 400" in str(told.value)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize("levels", [DEPTH_LIMIT + 1, 200, 100_000])
def test_json_nested_beyond_reason_is_refused(levels: int) -> None:
    """Without exhausting anybody's stack."""
    with pytest.raises(MalformedReply):
        decode(f'{{"status": "success", "result": {nested(levels)}}}'.encode())


def test_json_nested_within_reason_is_read() -> None:
    """Inspectors send trees."""
    assert decode(f'{{"status": "success", "result": {nested(DEPTH_LIMIT - 1)}}}'.encode()).result


def test_a_reply_of_the_limit_is_read_and_one_byte_more_is_not() -> None:
    """10 MB; the error says how large it was."""
    frame = b'{"status": "success", "result": "' + b"x" * (MAX_MESSAGE_BYTES - 35) + b'"}'
    assert len(frame) == MAX_MESSAGE_BYTES
    assert len(decode(frame).result) == MAX_MESSAGE_BYTES - 35
    with pytest.raises(ReplyTooLarge) as refused:
        decode(frame + b" ")
    assert (refused.value.size_bytes, refused.value.limit_bytes) == (MAX_MESSAGE_BYTES + 1, MAX_MESSAGE_BYTES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        "result",
        "message",
        "uptime",
        "image_id",
        "execution_time",
        "has_error",
        "code",
        "details",
        "result_type",
    ]
)
bodies = st.dictionaries(fields, json_values, max_size=6) | json_values
nearly_replies = st.one_of(
    st.builds(
        lambda version, kind, body: {
            "version": version,
            "payload": {"data": {"response_type": kind, "data": body}},
        },
        st.text(max_size=5) | st.sampled_from(["1.0.0", "2", "²"]) | json_values,
        st.sampled_from(["Ping", "Error", ""]) | json_values,
        bodies,
    ),
    st.builds(
        lambda status, body, error: {"status": status, "result": body, "error": error, "error_type": error},
        st.sampled_from(["success", "error"]) | json_values,
        bodies,
        json_values,
    ),
    json_values,
).map(lambda value: json.dumps(value).encode())
damaged_replies = st.builds(
    lambda frame, at, piece: frame[:at] + piece + frame[at + 1 :],
    nearly_replies,
    st.integers(0, 200),
    st.binary(max_size=3) | st.sampled_from([b"9" * 5_000, b"[" * 300, b"1e999", b"\\ud800", b"\0"]),
)


@settings(max_examples=300)
@given(st.binary() | nearly_replies | damaged_replies)
@example(typed({"result": "7"}, version="².0"))
@example(b'{"status": "success", "result": ' + b"9" * 4_300 + b"}")
@example(b'{"status": "error", "error": ' + b"9" * 4_301 + b"}")
@example(b'{"status": "success", "result": {"uptime": ' + b"9" * 20_000 + b"}}")
def test_any_bytes_are_a_reply_or_an_error_of_the_image(frame: bytes) -> None:
    """Law 22: nothing that arrives can raise anything else."""
    with suppress(ImageError):
        reply = decode(frame)
        assert isinstance(reply, Reply)
        assert isinstance(reply.result, str)
