"""The stand-in's small Smalltalk: what it computes, what it refuses, and that nothing escapes its bounds."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.standin.image import Stopped
from resilience.standin.objects import SmalltalkError, class_of, print_string
from resilience.standin.smalltalk import CODE_MAX_CHARS, DIGITS_MAX, CompileError, compile_source, run


@dataclass
class World:
    """A world without a clock or a disk, that notes what was asked of it."""

    counter: int = 0
    version: str = "test"
    waited: list[float] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    saves: int = 0
    on_check: Callable[[], None] = lambda: None

    def check_stop(self) -> None:
        self.on_check()

    def pause(self, delay_s: float) -> None:
        self.waited.append(delay_s)

    def snapshot(self) -> None:
        self.saves += 1

    def show(self, text: str) -> None:
        self.shown.append(text)


def printed(code: str, world: World | None = None) -> str:
    return print_string(run(compile_source(code), world or World()))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("3 + 4", "7"),
        ("3 + 4 * 2", "14"),
        ("3 + (4 * 2)", "11"),
        ("3-2", "1"),
        ("3 - -2", "5"),
        ("3--2", "5"),
        ("-7 // 2", "-4"),
        ("-7 \\\\ 2", "1"),
        ("7 / 7", "1"),
        ("1 / 3 + (1 / 6)", "(1/2)"),
        ("1 / 2.0", "0.5"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("7.5 // 2", "3"),
        ("3 > 2", "true"),
        ("3 < 2", "false"),
        ("3 = 3.0", "true"),
        ("1 = true", "false"),
        ("'a' = 'a'", "true"),
        ("'it''s'", "'it''s'"),
        ("'it''s' size", "4"),
        ("'ab' , 'cd'", "'abcd'"),
        ("3 printString", "'3'"),
        ("3 negated abs squared", "9"),
        ("3 max: 4 + 1", "5"),
        ("20 factorial", "2432902008176640000"),
        ("nil", "nil"),
        ("true not", "false"),
        ("", "nil"),
        (" . . ", "nil"),
        ("1. 2. 3", "3"),
        ("1. 2.", "2"),
        ('"a comment" 1 "another"', "1"),
        ("Smalltalk version", "'test'"),
        ("Counter", "Counter"),
        ("Delay forSeconds: 2", "a Delay(2000 msecs)"),
    ],
)
def test_evaluates_as_smalltalk_does(code: str, expected: str) -> None:
    """Operators go from left to right, unary before binary before keyword, fractions stay exact."""
    assert printed(code) == expected


@pytest.mark.parametrize(
    ("code", "class_name"),
    [
        ("2", "SmallInteger"),
        ("1152921504606846975", "SmallInteger"),
        ("1152921504606846976", "LargePositiveInteger"),
        ("-1152921504606846976", "SmallInteger"),
        ("-1152921504606846977", "LargeNegativeInteger"),
        ("2.0", "Float"),
        ("1 / 2", "Fraction"),
        ("'a'", "ByteString"),
        ("'ä'", "WideString"),
        ("nil", "UndefinedObject"),
        ("1 = 1", "True"),
        ("Counter", "Counter class"),
        ("Delay forSeconds: 1", "Delay"),
    ],
)
def test_names_the_class_of_a_result(code: str, class_name: str) -> None:
    """`result_type` is what an inspector of a 64-bit image would show."""
    assert class_of(run(compile_source(code), World())) == class_name


@pytest.mark.parametrize(
    "code",
    [
        "3 +",
        "+ 3",
        "3 4",
        "(3",
        "3)",
        "()",
        "'open",
        '"open',
        "x := 3",
        "x",
        "#symbol",
        "3; 4",
        "3 \\ 4",
        "- 3",
        "3 foo: ",
        "[1]",
        "\x00",
    ],
)
def test_a_syntax_error_executes_nothing(code: str) -> None:
    """A statement that stands before the error has not been run either."""
    world = World()
    with pytest.raises(CompileError) as caught:
        run(compile_source(f"Counter increment. {code}"), world)
    assert caught.value.position >= len("Counter increment. ")
    assert world.counter == 0


@pytest.mark.parametrize(
    ("code", "class_name"),
    [
        ("1 / 0", "ZeroDivide"),
        ("1.0 / 0", "ZeroDivide"),
        ("1 // 0", "ZeroDivide"),
        ("1 \\\\ 0", "ZeroDivide"),
        ("3 fly", "MessageNotUnderstood"),
        ("3 + 'a'", "MessageNotUnderstood"),
        ("3 + true", "MessageNotUnderstood"),
        ("true + 1", "MessageNotUnderstood"),
        ("'a' , 3", "MessageNotUnderstood"),
        ("nil foo: 3 bar: 4", "MessageNotUnderstood"),
        ("Delay wait", "MessageNotUnderstood"),
        ("Delay forSeconds: -1", "Error"),
        ("Delay forSeconds: 601", "Error"),
        ("Delay forSeconds: 'a'", "MessageNotUnderstood"),
        ("Delay forSeconds: 100 factorial * 1000 factorial", "ArithmeticError"),
        ("1.0e308 * 10 // 1", "ArithmeticError"),
        ("1.0e308 * 10 - (1.0e308 * 10) // 1", "ArithmeticError"),
        ("1000 factorial + 0.5", "ArithmeticError"),
        ("-1 factorial", "Error"),
        ("2.5 factorial", "Error"),
        ("nil error: 'mine'", "Error"),
    ],
)
def test_a_failing_message_is_named(code: str, class_name: str) -> None:
    """What was executed before the failure stays done."""
    world = World()
    with pytest.raises(SmalltalkError) as caught:
        run(compile_source(f"Counter increment. {code}"), world)
    assert caught.value.class_name == class_name
    assert world.counter == 1


def test_integers_have_no_size_but_a_bound() -> None:
    """Ten thousand digits go in and out; more are refused before they cost anything."""
    digits = "123456789" * (DIGITS_MAX // 9)
    assert printed(digits) == digits
    assert printed(f"-{digits} * 10") == f"-{digits}0"
    assert len(printed("3000 factorial")) == 9131
    for code in ("9999999999 factorial", "9 " + "squared " * 60, f"{'9' * DIGITS_MAX} * 10 * 10"):
        with pytest.raises(SmalltalkError, match="OutOfMemory"):
            printed(code)
    with pytest.raises(CompileError):
        compile_source("9" * (DIGITS_MAX + 1))


def test_code_has_a_longest_and_a_deepest() -> None:
    """Nesting and length are refused by a bound, not by Python's stack or the other clients' patience."""
    assert printed("(" * 50 + "1" + ")" * 50) == "1"
    for code in ("(" * 51 + "1" + ")" * 51, "(" * 60_000, " " * (CODE_MAX_CHARS + 1)):
        with pytest.raises(CompileError):
            compile_source(code)
    assert printed("1" + " negated" * 8000) == "1"
    with pytest.raises(SmalltalkError, match="OutOfMemory"):
        printed("''''" + " printString" * 100)


def test_the_globals_reach_the_world() -> None:
    """Counter, delays, the transcript and saves are effects outside the evaluation."""
    world = World()
    assert printed("Counter increment. Counter increment", world) == "2"
    assert printed("Counter value", world) == "2"
    assert printed("Counter reset", world) == "0"
    printed("(Delay forMilliseconds: 8000) wait. (Delay forSeconds: 2) wait", world)
    assert world.waited == [8.0, 2.0]
    printed("Transcript show: 'it''s done'", world)
    assert world.shown == ["it's done"]
    assert printed("Smalltalk snapshot", world) == "true"
    assert world.saves == 1


def test_a_stop_is_noticed_between_two_messages() -> None:
    """An image asked to go down does not finish a long computation first."""
    checks = 0

    def stop_at_the_tenth() -> None:
        nonlocal checks
        checks += 1
        if checks == 10:
            raise Stopped

    with pytest.raises(Stopped):
        run(compile_source("1" + " negated" * 8000), World(on_check=stop_at_the_tenth))
    assert checks == 10


WORDS = """
    3 -4 0 1.5 'a' + - * / // \\\\ < = , ( ) . nil true Counter increment Delay forSeconds: wait Smalltalk
    snapshot version Transcript show: printString factorial squared max: error: ; [ ] := ' "
"""
SMALLTALKISH = st.lists(st.sampled_from(WORDS.split()), max_size=30).map(" ".join)


@given(st.one_of(st.text(max_size=200), SMALLTALKISH))
def test_any_text_is_a_result_or_an_error(code: str) -> None:
    """Whatever the source, evaluation ends in a printable value or in one of its two own errors."""
    with suppress(CompileError, SmalltalkError):
        assert isinstance(printed(code), str)


@given(st.integers(), st.integers(), st.sampled_from(["+", "-", "*", "//", "\\\\", "<", "="]))
def test_integer_arithmetic_agrees_with_python(left: int, right: int, selector: str) -> None:
    """The model is Python's own integers, whose floor division and modulo are Smalltalk's."""
    python = {"\\\\": "%", "=": "=="}.get(selector, selector)
    try:
        expected = str(eval(f"({left}) {python} ({right})")).lower()  # noqa: S307 - three tokens made above
    except ZeroDivisionError:
        with pytest.raises(SmalltalkError, match="ZeroDivide"):
            printed(f"{left} {selector} {right}")
    else:
        assert printed(f"{left} {selector} {right}") == expected
