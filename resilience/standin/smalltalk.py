"""The stand-in's language: Smalltalk source becomes a short stack program, and the program is run.

Compiling first has the meaning it has in a real image: a syntax error means that *nothing* was executed.
The program is a flat sequence, so long chains of messages cannot exhaust Python's stack, and it is run one
message at a time with a look at the image's stop flag in between.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from resilience.standin.objects import GLOBALS, PSEUDO_VARIABLES, World, send

CODE_MAX_CHARS = 65_536  # some 20,000 messages: half a minute at worst, if each is a large factorial
DIGITS_MAX = 10_000  # of a literal, as of a result: a reply stays far below the 10 MB of the wire
NESTING_MAX = 50  # parentheses: five Python frames each, a quarter of the default recursion limit

_TOKEN = re.compile(
    r"""
      (?P<space>   \s+ | "[^"]*" )                # a comment is what stands between double quotes
    | (?P<float>   [0-9]+\.[0-9]+ (?:e[+-]?[0-9]+)? )
    | (?P<integer> [0-9]+ )
    | (?P<string>  '(?:[^']|'')*' )
    | (?P<keyword> [A-Za-z_][A-Za-z0-9_]*: )
    | (?P<word>    [A-Za-z_][A-Za-z0-9_]* )
    | (?P<binary>  // | \\\\ | <= | >= | ~= | [-+*/<>=,] )
    | (?P<mark>    [().] )
    """,
    re.VERBOSE,
)


class CompileError(Exception):
    """The source is not a program; nothing of it was executed."""

    def __init__(self, what: str, position: int) -> None:
        self.what = what
        self.position = position
        super().__init__(f"{what} (at character {position + 1})")


@dataclass(frozen=True, slots=True)
class Push:
    """Put a value on the stack."""

    value: object


@dataclass(frozen=True, slots=True)
class Send:
    """Take the arguments and the receiver off the stack, put the answer on."""

    selector: str
    arity: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget the value of a finished statement."""


Step = Push | Send | Drop
Program = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def compile_source(source: str) -> Program:
    """Turn source text into a program.

    Raises:
        CompileError: the text is too long, too deep, or not in this language.
    """
    if len(source) > CODE_MAX_CHARS:
        raise CompileError(f"more than {CODE_MAX_CHARS} characters of code", CODE_MAX_CHARS)
    return _Compiler(source).program()


def run(program: Program, world: World) -> object:
    """Execute a program and answer the value of its last statement, nil (None) if it has none.

    Raises:
        SmalltalkError: a message failed; the messages before it have been executed.
        Stopped: the image is going down; raised by the world between two messages or during a delay.
    """
    stack: list[object] = []
    for step in program:
        match step:
            case Push(value):
                stack.append(value)
            case Send(selector, arity):
                world.check_stop()
                arguments = [stack.pop() for _ in range(arity)][::-1]
                stack.append(send(world, stack.pop(), selector, arguments))
            case Drop():
                stack.pop()
    return stack[-1] if stack else None


class _Compiler:
    """Recursive descent over the grammar: statements, keyword, binary, unary, primary."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = _tokens(source)
        self._at = 0
        self._depth = 0
        self._steps: list[Step] = []

    def program(self) -> Program:
        while self._token.kind != "end":
            if self._taken("."):
                continue
            if self._steps:
                self._steps.append(Drop())
            self._expression()
            if self._token.kind != "end" and not self._taken("."):
                self._fail("expected the end of the statement")
        return tuple(self._steps)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _taken(self, mark: str) -> bool:
        if self._token.kind == "mark" and self._token.text == mark:
            self._at += 1
            return True
        return False

    def _take(self) -> _Token:
        token = self._token
        self._at += 1
        return token

    def _fail(self, what: str) -> NoReturn:
        found = repr(self._token.text[:40]) if self._token.text else "the end"
        raise CompileError(f"{what}, found {found}", self._token.start)

    def _expression(self) -> None:
        self._binary_expression()
        selector, arity = "", 0
        while self._token.kind == "keyword":
            selector += self._take().text
            arity += 1
            self._binary_expression()
        if arity:
            self._steps.append(Send(selector, arity))

    def _binary_expression(self) -> None:
        self._unary_expression()
        while self._token.kind == "binary":
            selector = self._take().text
            self._unary_expression()
            self._steps.append(Send(selector, 1))

    def _unary_expression(self) -> None:
        self._primary()
        while self._token.kind == "word":
            self._steps.append(Send(self._take().text, 0))

    def _primary(self) -> None:
        token = self._token
        if token.kind in ("integer", "float"):
            self._steps.append(Push(_number(self._take())))
        elif token.kind == "binary" and token.text == "-":
            self._negative_literal()
        elif token.kind == "string":
            self._steps.append(Push(self._take().text[1:-1].replace("''", "'")))
        elif token.kind == "word":
            self._variable()
        elif self._taken("("):
            self._parenthesis()
        else:
            self._fail("expected an object or an opening parenthesis")

    def _negative_literal(self) -> None:
        minus = self._take()
        if self._token.kind not in ("integer", "float") or self._token.start != minus.end:
            self._fail("expected the digits of a negative number")
        self._steps.append(Push(-_number(self._take())))

    def _variable(self) -> None:
        name = self._token.text
        if name in PSEUDO_VARIABLES:
            self._steps.append(Push(PSEUDO_VARIABLES[name]))
        elif name in GLOBALS:
            self._steps.append(Push(GLOBALS[name]))
        else:
            self._fail("undeclared variable")
        self._at += 1

    def _parenthesis(self) -> None:
        self._depth += 1
        if self._depth > NESTING_MAX:
            self._fail(f"more than {NESTING_MAX} nested parentheses")
        self._expression()
        if not self._taken(")"):
            self._fail("expected a closing parenthesis")
        self._depth -= 1


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None or found.lastgroup is None:
            raise CompileError(f"{source[at]!r} starts nothing in this language", at)
        if found.lastgroup != "space":
            tokens.append(_Token(found.lastgroup, found.group(), at))
        at = found.end()
    tokens.append(_Token("end", "", len(source)))
    return tokens


def _number(token: _Token) -> int | float:
    if token.kind == "float":
        return float(token.text)
    if len(token.text) > DIGITS_MAX:
        raise CompileError(f"a number of more than {DIGITS_MAX} digits", token.start)
    value = 0
    for start in range(0, len(token.text), 4000):  # CPython reads at most 4,300 digits at once
        piece = token.text[start : start + 4000]
        value = value * 10 ** len(piece) + int(piece)
    return value
