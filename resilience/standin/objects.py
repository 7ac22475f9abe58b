"""The objects of the stand-in's language, the messages they understand, and how they print."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from types import NoneType
from typing import Any, Protocol

RESULT_MAX_BITS = 33_220  # 10,000 decimal digits, the bound on literals too: nothing printed is longer
STRING_MAX_CHARS = 100_000  # more than code can hold; printString doubles quotes, repeated without end
DELAY_MAX_S = 600.0  # ten minutes outlast every timeout a client could sensibly have
SMALL_INTEGER_MAX = 2**60 - 1  # a 64-bit image tags three bits of the word and keeps the sign in one

_PRINT_DIGITS = 4000  # CPython refuses to print more than 4,300 digits at once
_PIECE = 10**_PRINT_DIGITS


class SmalltalkError(Exception):
    """An error the evaluated code ran into, as the image would name it."""

    def __init__(self, class_name: str, text: str) -> None:
        self.class_name = class_name
        self.text = text
        super().__init__(f"{class_name}: {text}")


class World(Protocol):
    """What evaluated code can reach outside itself."""

    counter: int

    @property
    def version(self) -> str:
        """The text answered to `Smalltalk version`."""

    def check_stop(self) -> None:
        """Raise if the image is going down."""

    def pause(self, delay_s: float) -> None:
        """Let that much time pass, raising if the image goes down meanwhile."""

    def snapshot(self) -> None:
        """Save; the connection will pause once the reply is out."""

    def show(self, text: str) -> None:
        """Write to the transcript."""


class Global(StrEnum):
    """The objects that have a name in every program."""

    COUNTER = "Counter"
    DELAY = "Delay"
    SMALLTALK = "Smalltalk"
    TRANSCRIPT = "Transcript"


@dataclass(frozen=True, slots=True)
class Delay:
    """A length of time that can be waited for."""

    seconds: float


GLOBALS: dict[str, Global] = {name.value: name for name in Global}
PSEUDO_VARIABLES: dict[str, object] = {"nil": None, "true": True, "false": False}

Number = int | Fraction | float
_Method = Callable[..., object]


def class_of(value: object) -> str:
    """Name the class a Smalltalk inspector would show for a value."""
    return _species(value).class_name(value)


def print_string(value: object) -> str:
    """Answer what `printString` answers."""
    return _species(value).text(value)


def send(world: World, receiver: object, selector: str, arguments: Sequence[object]) -> object:
    """Send one message and answer its result.

    Raises:
        SmalltalkError: the receiver does not understand the message, or the method failed.
    """
    method = _METHODS.get((_family(receiver), selector)) or _METHODS.get(("Object", selector))
    if method is None:
        raise _not_understood(receiver, selector)
    try:
        return _bounded(method(world, receiver, *arguments))
    except ZeroDivisionError:
        raise SmalltalkError("ZeroDivide", f"{selector} by zero") from None
    except (OverflowError, ValueError):  # infinity and NaN have no integer part; floats end somewhere
        raise SmalltalkError("ArithmeticError", f"{selector} leaves the range of numbers") from None


def _not_understood(receiver: object, selector: str) -> SmalltalkError:
    return SmalltalkError("MessageNotUnderstood", f"{class_of(receiver)}>>{selector[:100]}")


def _family(value: object) -> str:
    """Name the group of classes that share their methods."""
    return value.value if isinstance(value, Global) else _species(value).family


def _bounded(value: object) -> object:
    if isinstance(value, Fraction) and value.denominator == 1:
        value = value.numerator
    if isinstance(value, int | Fraction):
        size = max(value.numerator.bit_length(), value.denominator.bit_length())
        if size > RESULT_MAX_BITS:
            raise SmalltalkError("OutOfMemory", "a number of more than 10,000 digits")
    if isinstance(value, str) and len(value) > STRING_MAX_CHARS:
        raise SmalltalkError("OutOfMemory", f"a string of more than {STRING_MAX_CHARS} characters")
    return value


def _decimal(value: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    pieces: list[str] = []
    while value >= _PIECE:
        value, piece = divmod(value, _PIECE)
        pieces.append(str(piece).zfill(_PRINT_DIGITS))
    return sign + str(value) + "".join(reversed(pieces))


def _fraction_text(value: Fraction) -> str:
    return f"({_decimal(value.numerator)}/{_decimal(value.denominator)})"


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "Float nan"
    if math.isinf(value):
        return "Float infinity" if value > 0 else "Float infinity negated"
    return repr(value)


def _integer_class(value: int) -> str:
    if -SMALL_INTEGER_MAX - 1 <= value <= SMALL_INTEGER_MAX:
        return "SmallInteger"
    return "LargePositiveInteger" if value > 0 else "LargeNegativeInteger"


@dataclass(frozen=True, slots=True)
class _Species:
    """How values of one Python type appear in Smalltalk."""

    type: type
    family: str
    class_name: Callable[[Any], str]  # Any: of the type above
    text: Callable[[Any], str]


# In order: a bool is an int to Python, and the name of a global is a str.
_SPECIES = (
    _Species(NoneType, "UndefinedObject", lambda _: "UndefinedObject", lambda _: "nil"),
    _Species(bool, "Boolean", str, lambda value: str(value).lower()),
    _Species(int, "Number", _integer_class, _decimal),
    _Species(Fraction, "Number", lambda _: "Fraction", _fraction_text),
    _Species(float, "Number", lambda _: "Float", _float_text),
    _Species(Global, "Global", lambda value: f"{value.value} class", lambda value: str(value.value)),
    _Species(
        str,
        "String",
        lambda value: "ByteString" if value.isascii() else "WideString",
        lambda value: "'" + value.replace("'", "''") + "'",
    ),
    _Species(
        Delay, "a Delay", lambda _: "Delay", lambda value: f"a Delay({round(value.seconds * 1000)} msecs)"
    ),
)


def _species(value: object) -> _Species:
    return next(species for species in _SPECIES if isinstance(value, species.type))


def _arithmetic(selector: str, compute: Callable[[Number, Number], object]) -> _Method:
    def method(_world: World, receiver: Number, argument: object) -> object:
        if isinstance(argument, bool) or not isinstance(argument, int | Fraction | float):
            raise _not_understood(argument, f"adaptToNumber:andSend: #{selector}")
        return compute(receiver, argument)

    return method


def _divide(left: Number, right: Number) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return float(left) / float(right)
    return Fraction(left) / Fraction(right)


def _factorial(_world: World, receiver: Number) -> object:
    if not isinstance(receiver, int) or receiver < 0:
        raise SmalltalkError("Error", "factorial is defined for natural numbers only")
    product = 1
    for factor in range(2, receiver + 1):
        product *= factor
        _bounded(product)
    return product


def _equal(_world: World, receiver: object, argument: object) -> bool:
    return _family(receiver) == _family(argument) and receiver == argument


def _concatenate(_world: World, receiver: str, argument: object) -> str:
    if _family(argument) != "String":
        raise _not_understood(argument, "do:")
    return receiver + str(argument)


def _increment(world: World, _receiver: object) -> int:
    _bounded(world.counter + 1)
    world.counter += 1
    return world.counter


def _reset(world: World, _receiver: object) -> int:
    world.counter = 0
    return world.counter


def _delay(seconds_each: float) -> _Method:
    def method(_world: World, _receiver: object, amount: object) -> Delay:
        if _family(amount) != "Number":
            raise _not_understood(amount, "asInteger")
        seconds = float(amount) * seconds_each  # type: ignore[arg-type]  # a Number, as just asked
        if not 0 <= seconds <= DELAY_MAX_S:
            raise SmalltalkError("Error", f"a delay lasts 0 to {DELAY_MAX_S:.0f} seconds here")
        return Delay(seconds)

    return method


def _wait(world: World, receiver: Delay) -> Delay:
    world.pause(receiver.seconds)
    return receiver


def _snapshot(world: World, _receiver: object) -> bool:
    try:
        world.snapshot()
    except OSError as error:
        raise SmalltalkError("PrimitiveFailed", f"the state could not be saved: {error.strerror}") from error
    return True


def _show(world: World, receiver: object, text: object) -> object:
    world.show(str(text) if _family(text) == "String" else print_string(text))
    return receiver


def _fail(_world: World, _receiver: object, text: object) -> object:
    raise SmalltalkError("Error", str(text) if _family(text) == "String" else print_string(text))


_METHODS: dict[tuple[str, str], _Method] = {
    ("Number", "+"): _arithmetic("+", operator.add),
    ("Number", "-"): _arithmetic("-", operator.sub),
    ("Number", "*"): _arithmetic("*", operator.mul),
    ("Number", "/"): _arithmetic("/", _divide),
    ("Number", "//"): _arithmetic("//", lambda left, right: math.floor(left // right)),
    ("Number", "\\\\"): _arithmetic("\\\\", operator.mod),
    ("Number", "<"): _arithmetic("<", operator.lt),
    ("Number", ">"): _arithmetic(">", operator.gt),
    ("Number", "<="): _arithmetic("<=", operator.le),
    ("Number", ">="): _arithmetic(">=", operator.ge),
    ("Number", "max:"): _arithmetic("max:", max),
    ("Number", "min:"): _arithmetic("min:", min),
    ("Number", "negated"): lambda _world, receiver: -receiver,
    ("Number", "abs"): lambda _world, receiver: abs(receiver),
    ("Number", "squared"): lambda _world, receiver: receiver * receiver,
    ("Number", "factorial"): _factorial,
    ("String", ","): _concatenate,
    ("String", "size"): lambda _world, receiver: len(receiver),
    ("Boolean", "not"): lambda _world, receiver: not receiver,
    ("Counter", "increment"): _increment,
    ("Counter", "value"): lambda world, _receiver: world.counter,
    ("Counter", "reset"): _reset,
    ("Delay", "forMilliseconds:"): _delay(0.001),
    ("Delay", "forSeconds:"): _delay(1.0),
    ("a Delay", "wait"): _wait,
    ("Smalltalk", "snapshot"): _snapshot,
    ("Smalltalk", "version"): lambda world, _receiver: world.version,
    ("Transcript", "show:"): _show,
    ("Object", "="): _equal,
    ("Object", "~="): lambda world, receiver, argument: not _equal(world, receiver, argument),
    ("Object", "printString"): lambda _world, receiver: print_string(receiver),
    ("Object", "error:"): _fail,
}
