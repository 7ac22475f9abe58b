"""The stand-in image without its socket: every request has its reply, and what was executed is on record."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.standin.dialects import DEPTH_MAX, ID_MAX_CHARS, REQUEST_MAX_BYTES, Speaks
from resilience.standin.image import Image
from resilience.standin.memory import REMEMBERED_MAX, StateError


def make(
    speaks: Speaks = Speaks.BOTH,
    *,
    state: Path | None = None,
    log: Path | None = None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Image:
    return Image(speaks=speaks, state=state, log=log, wait=lambda _seconds: False, clock=clock)


def typed(request_type: str, request_id: object = "one", **params: object) -> dict[str, Any]:
    data = {"request_type": request_type, "params": params}
    return {"id": request_id, "version": "1.0.0", "payload": {"type": "Request", "data": data}}


def command(name: str, request_id: object = "one", **parameters: object) -> dict[str, Any]:
    return {"id": request_id, "command": name, "parameters": parameters}


def ask(image: Image, message: object) -> dict[str, Any]:
    reply = json.loads(image.answer(message if isinstance(message, bytes) else json.dumps(message).encode()))
    assert isinstance(reply, dict)
    return reply


def data_of(reply: dict[str, Any], response_type: str) -> dict[str, Any]:
    assert reply["version"] == "1.0.0"
    assert reply["payload"]["type"] == "Response"
    assert reply["payload"]["data"]["response_type"] == response_type
    data = reply["payload"]["data"]["data"]
    assert isinstance(data, dict)
    return data


def test_a_typed_ping_tells_what_a_client_needs() -> None:
    """Uptime shows a restart, the identity another image, saves a save; the id is not echoed."""
    now = 100.0
    image = make(clock=lambda: now)
    now = 103.25
    reply = ask(image, typed("Ping", message="hello"))
    assert data_of(reply, "Ping") == {
        "message": "hello",
        "status": "ready",
        "uptime": 3.25,
        "image_id": image.image_id,
        "saves": 0,
    }
    assert reply["id"] != "one"


@pytest.mark.parametrize("request_id", ["one", 7, None])
def test_a_command_ping_echoes_its_id(request_id: object) -> None:
    """Dialect B names its request."""
    image = make()
    reply = ask(image, command("ping", request_id))
    assert reply["id"] == request_id
    assert reply["status"] == "success"
    assert reply["result"]["image_id"] == image.image_id
    assert reply["timestamp"].endswith("Z")


def test_an_evaluation_in_both_dialects() -> None:
    """The same four fields, wherever the dialect puts them."""
    image = make()
    expected = {"result": "7", "result_type": "SmallInteger", "execution_time": 0.0, "has_error": False}
    assert data_of(ask(image, typed("Evaluate", code="3 + 4", context=None)), "Evaluate") == expected
    assert ask(image, command("evaluate", code="3 + 4"))["result"] == expected


def test_a_failed_evaluation_in_both_dialects() -> None:
    """A syntax error is an error of the request; a failing message is a result with has_error, in A."""
    image = make()
    failed = data_of(ask(image, typed("Evaluate", code="1 / 0")), "Evaluate")
    assert (failed["has_error"], failed["result_type"]) == (True, "ZeroDivide")
    assert data_of(ask(image, typed("Evaluate", code="3 +")), "Error")["code"] == "EvaluationError"
    for code in ("1 / 0", "3 +"):
        reply = ask(image, command("evaluate", code=code))
        assert (reply["id"], reply["status"], reply["error_type"]) == ("one", "error", "RuntimeError")


@pytest.mark.parametrize(("speaks", "is_typed"), [(Speaks.BOTH, True), (Speaks.A, True), (Speaks.B, False)])
def test_a_bilingual_ping_is_answered_in_the_images_own_dialect(speaks: Speaks, *, is_typed: bool) -> None:
    """So one request tells a client which dialect to go on with."""
    reply = ask(make(speaks), typed("Ping") | command("ping"))
    assert ("payload" in reply) is is_typed
    assert ("status" in reply) is not is_typed
    if is_typed:
        data_of(reply, "Ping")
    else:
        assert reply["status"] == "success"


def test_an_image_of_one_dialect_refuses_the_other_in_its_own() -> None:
    """The refusal is readable for the image's own clients, and says what to speak."""
    error = data_of(ask(make(Speaks.A), command("ping")), "Error")
    assert error["code"] == "InvalidRequest"
    assert "dialect A" in error["message"]
    reply = ask(make(Speaks.B), typed("Ping"))
    assert (reply["status"], reply["error_type"]) == ("error", "InvalidRequest")


MALFORMED = [
    b"",
    b"\xff\xfe",
    b"{",
    b"null",
    b"[]",
    b'"ping"',
    b"NaN",
    json.dumps(typed("Ping") | command("ping") | {"extra": float("nan")}).encode(),
    b"1" * 5000,
    b"{}",
    b"[" * 100_000,
    b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    json.dumps(typed("Ping") | command("ping")).encode().ljust(REQUEST_MAX_BYTES + 1),
    {"payload": None},
    {"payload": []},
    {"payload": {"type": "Response", "data": {"request_type": "Ping"}}},
    {"payload": {"type": "Request", "data": None}},
    {"payload": {"type": "Request", "data": {"request_type": 7}}},
    {"payload": {"type": "Request", "data": {"request_type": "Ping", "params": []}}},
    typed("Ping", message=7),
    typed("Evaluate"),
    typed("Evaluate", code=["3"]),
    typed("SystemInfo", info_type=1),
    typed("Ping", request_id=[]),
    typed("Ping", request_id=True),
    typed("Ping", request_id="x" * (ID_MAX_CHARS + 1)),
    typed("Ping") | {"version": "2.0.0"},
    typed("Ping") | {"version": 1},
    {"command": None},
    command("ping") | {"parameters": "x"},
    command("evaluate"),
    command("evaluate", code=3),
    command("ping", request_id={}),
]


@pytest.mark.parametrize("message", MALFORMED, ids=lambda message: repr(message)[:60])
@pytest.mark.parametrize("speaks", Speaks)
def test_a_malformed_request_is_answered_not_executed(message: object, speaks: Speaks) -> None:
    """Bad bytes, wrong types, too deep, too large: an error in a dialect, and nothing on the record."""
    image = make(speaks)
    reply = ask(image, message)
    if "payload" in reply:
        assert data_of(reply, "Error")["code"] == "InvalidRequest"
    else:
        assert (reply["status"], reply["error_type"]) == ("error", "InvalidRequest")
    own = Speaks.A if "payload" in reply else Speaks.B
    assert speaks in (Speaks.BOTH, own)
    assert image.executions()["total"] == 0


def test_depth_is_bounded_exactly() -> None:
    """The deepest allowed request is executed, one level more is refused."""

    def nested(levels: int) -> dict[str, Any]:
        value: Any = "bottom"
        for _ in range(levels):
            value = [value]
        return command("ping") | {"extra": value}

    assert ask(make(), nested(DEPTH_MAX - 1))["status"] == "success"
    assert data_of(ask(make(), nested(DEPTH_MAX)), "Error")["code"] == "InvalidRequest"


@pytest.mark.parametrize("name", ["Inspect", "BrowseClass", "Debug", "CreateSession", "", "x" * 5000])
def test_what_is_not_supported_is_said(name: str) -> None:
    """An unknown request is refused as such, in few words however long its name."""
    error = data_of(ask(make(), typed(name)), "Error")
    assert error["code"] == "UnsupportedOperation"
    assert len(error["message"]) < 200
    reply = ask(make(), command(name))
    assert (reply["id"], reply["error_type"]) == ("one", "UnsupportedOperation")


def test_a_bug_in_the_image_is_answered_too() -> None:
    """An exception nobody foresaw becomes an error reply: an unanswered REP socket would be lost to all."""

    def broken(_seconds: float) -> bool:
        raise RuntimeError

    image = Image(wait=broken)
    assert data_of(ask(image, typed("Evaluate", code="3 + 4")), "Error")["code"] == "InternalError"
    assert ask(image, command("evaluate", code="3 + 4"))["error_type"] == "InternalError"


def test_system_info_and_the_transcript() -> None:
    """The image says that it is not Pharo, and shows what was written to its transcript."""
    image = make()
    ask(image, command("evaluate", code="Transcript show: 'hello'"))
    info = data_of(ask(image, typed("SystemInfo", info_type="Basic")), "SystemInfo")["info"]
    assert info["pharo_version"].startswith("none")
    assert info["transcript"] == ["hello"]


def test_executions_are_counted_by_wire_id() -> None:
    """A request that arrives twice is executed twice and shows; looking at the record adds nothing to it."""
    image = make()
    for request_id in ("a", "b", "a"):
        ask(image, typed("Evaluate", request_id, code="Counter increment"))
    ask(image, command("ping", 7))
    expected = {"executions": {"a": 2, "b": 1, "7": 1}, "repeated": ["a"], "total": 4, "forgotten": 0}
    assert ask(image, command("executions"))["result"] == expected
    assert data_of(ask(image, typed("SystemInfo", info_type="Executions")), "SystemInfo")["info"] == expected
    assert image.counter == 3


def test_a_flood_of_pings_does_not_push_evaluations_off_the_record() -> None:
    """The record is bounded per kind, oldest first, and says how much it forgot."""
    image = make()
    ask(image, command("evaluate", "precious", code="1"))
    for number in range(REMEMBERED_MAX + 5):
        ask(image, command("ping", number))
    report = ask(image, command("executions"))["result"]
    assert report["executions"]["precious"] == 1
    assert report["forgotten"] == 5
    assert len(report["executions"]) == REMEMBERED_MAX + 1


def test_the_log_has_a_line_per_execution_written_before_it(tmp_path: Path) -> None:
    """An evaluation that never ends, or kills the image, is on the record all the same."""
    log = tmp_path / "log"
    seen: list[str] = []

    def look(_seconds: float) -> bool:
        seen.append(log.read_text())
        return False

    image = Image(log=log, wait=look, clock=lambda: 12.5)
    ask(image, command("evaluate", "x", code="3 + 4"))
    ask(image, command("ping", "y"))
    image.close()
    line = {"t": 12.5, "id": "x", "kind": "Evaluate", "code": "3 + 4", "count": 1}
    assert json.loads(seen[0]) == line
    assert [json.loads(text) for text in log.read_text().splitlines()] == [
        line,
        {"t": 12.5, "id": "y", "kind": "Ping", "code": None, "count": 1},
    ]


def test_the_state_file_is_the_image(tmp_path: Path) -> None:
    """Identity survives from the first start on; the counter only as far as it was saved; uptime does not."""
    state = tmp_path / "image.json"
    first = make(state=state)
    ask(first, command("evaluate", code="Counter increment. Smalltalk snapshot. Counter increment"))
    second = make(state=state)
    assert second.image_id == first.image_id
    assert (first.counter, second.counter) == (2, 1)
    answer = ask(second, command("ping"))["result"]
    assert (answer["saves"], answer["uptime"]) == (1, 0.0)
    assert make().image_id != first.image_id
    assert make(state=tmp_path / "other.json").image_id == make(state=tmp_path / "other.json").image_id
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.json", "other.json"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{}", b'{"image_id": 1, "counter": 0, "saves": 0}']
)
def test_a_foreign_state_file_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    """It may be somebody's work: the refusal names it and says what to do."""
    state = tmp_path / "image.json"
    state.write_bytes(content)
    with pytest.raises(StateError, match="move it away"):
        make(state=state)
    assert state.read_bytes() == content


def test_a_save_that_fails_is_an_error_and_the_image_goes_on(tmp_path: Path) -> None:
    """The code that saved is told; nothing counts as saved and the connection does not pause."""
    folder = tmp_path / "folder"
    folder.mkdir()
    image = make(state=folder / "image.json")
    (folder / "image.json").unlink()
    folder.rmdir()
    reply = data_of(ask(image, typed("Evaluate", code="Smalltalk snapshot")), "Evaluate")
    assert (reply["has_error"], reply["result_type"]) == (True, "PrimitiveFailed")
    assert not image.take_save()
    assert ask(image, command("ping"))["result"]["saves"] == 0


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
KEYS = ("id", "version", "payload", "command", "parameters", "type", "data", "request_type", "params", "code")
MESSAGES = st.recursive(
    JSON_VALUES | st.sampled_from(["Request", "Ping", "Evaluate", "SystemInfo", "ping", "evaluate", "1.0.0"]),
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)
FUZZ = make()
"""One image for all examples: a crash that leaves it broken shows in the next one."""


def assert_a_reply(raw: bytes) -> None:
    reply = json.loads(FUZZ.answer(raw))
    assert "payload" in reply or reply["status"] in ("success", "error")


@given(st.binary(max_size=300))
def test_any_bytes_have_a_reply(raw: bytes) -> None:
    """No byte sequence makes the image raise or stay silent."""
    assert_a_reply(raw)


@given(MESSAGES)
def test_any_json_has_a_reply(message: object) -> None:
    """No wrong type in any place makes the image raise or stay silent."""
    assert_a_reply(json.dumps(message).encode())


@given(
    st.sampled_from([typed("Ping"), typed("Evaluate", code="1"), command("evaluate", code="1")]),
    st.lists(st.sampled_from(KEYS), min_size=1, max_size=3),
    JSON_VALUES,
)
def test_any_damage_to_a_good_request_has_a_reply(good: object, keys: list[str], value: object) -> None:
    """One field of a good request replaced by anything, at any level."""

    def damaged(here: object) -> object:
        if not isinstance(here, dict):
            return here
        return {key: value if key in keys else damaged(inner) for key, inner in here.items()}

    assert_a_reply(json.dumps(damaged(good)).encode())


@given(st.text(max_size=100))
def test_any_code_has_a_reply(code: str) -> None:
    """Surrogates, control characters and all."""
    assert_a_reply(json.dumps(typed("Evaluate", code=code)).encode())
