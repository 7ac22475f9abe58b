"""The style a machine can check, so that no review has to: sizes, words, reasons, docstrings, imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("machines", "store", "resilience", "diagrams", "simulations")
ROOTS_THAT_SHIP = ("machines", "store", "resilience")

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 75

EVERYTHING = frozenset({"*"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "machines": frozenset({"machines", "transitions", "backoff"}),
    "store": frozenset({"store", "pydantic", "cryptography", "keyring", "platformdirs"}),
    "diagrams": frozenset({"diagrams", "machines", "drawsvg"}),
}
"""What each package may take from beyond the standard library. The others have no such list."""

NOT_IN_MACHINES = frozenset({"time", "random", "socket", "logging", "os"})
"""The machine has no clock, no randomness, no I/O and no log of its own."""

RANDOM_AS_A_TYPE = "Random"
"""`from random import Random` names the type of an argument; the generator itself comes from outside."""

NAMES_THAT_SAY_NOTHING = frozenset(
    {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
)


class Source(NamedTuple):
    """A Python file of this project, parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path as a complaint shows it."""
        return self.path.relative_to(ROOT).as_posix()


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below the folders."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert paths, folders
    texts = [(path, path.read_text(encoding="utf-8")) for path in paths]
    return tuple(Source(path, text, ast.parse(text)) for path, text in texts)


def texts() -> Iterator[tuple[str, str]]:
    """Every file of the project that people write, with its name; without what is ignored or generated."""
    for folder in (*PACKAGES, "tests", "docs", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in {
                ".py",
                ".md",
                ".toml",
                ".txt",
                ".mmd",
                ".svg",
                ".sh",
                ".js",
                "",
            }:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and (path.suffix in {".md", ".toml"} or path.name in {"Makefile", ".importlinter"}):
            yield path.name, path.read_text(encoding="utf-8")


def complain(problems: list[str]) -> None:
    """Fail with every problem on a line of its own."""
    assert not problems, "\n" + "\n".join(problems)


# -- size ------------------------------------------------------------------------------


def long_files(files: tuple[Source, ...]) -> list[str]:
    """Files beyond the limit."""
    lengths = [(file.name, file.text.count("\n")) for file in files]
    return [f"{name} has {lines} lines" for name, lines in lengths if lines > FILE_LINES_MAX]


def long_functions(files: tuple[Source, ...]) -> list[str]:
    """Functions beyond the limit, from `def` to the last line."""
    return [
        f"{file.name}:{node.lineno} {node.name} has {lines} lines"
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def test_files_fit_into_a_head() -> None:
    """One idea a file."""
    complain(long_files(sources(*PACKAGES)))


def test_functions_fit_on_a_screen() -> None:
    """One thought a function."""
    complain(long_functions(sources(*PACKAGES)))


# -- words -----------------------------------------------------------------------------

# The groups also keep this file from matching itself.
LEFT_FOR_LATER = re.compile(r"\b(TO(DO)|FIX(ME)|XX(X))\b")
PATH_OF_A_MACHINE = re.compile(r"(?<![A-Za-z0-9_.-])/(home|root|work)/")


def matches(pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern occurs, in any text of the project."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    """What is not done is not hinted at either."""
    complain(matches(LEFT_FOR_LATER))


def test_no_path_of_somebodys_machine() -> None:
    """The project works wherever it is checked out."""
    complain(matches(PATH_OF_A_MACHINE))


def test_no_module_has_a_name_that_says_nothing() -> None:
    """A module is named after its idea; a drawer of odds and ends has none."""
    files = sources(*PACKAGES, "tests")
    complain(
        [
            file.name
            for file in files
            if {file.path.stem, *file.path.parent.parts[-1:]} & NAMES_THAT_SAY_NOTHING
        ]
    )


# -- reasons ---------------------------------------------------------------------------

SUPPRESSION = re.compile(r"#\s*(noqa(:\s*[A-Z0-9, ]+)?|type:\s*ignore(\[[a-z0-9, -]+\])?|pragma:\s*no cover)")


def unreasoned(file: Source) -> list[str]:
    """Suppressions in the file that no words follow on the same line."""
    with file.path.open("rb") as stream:
        comments = [token for token in tokenize.tokenize(stream.readline) if token.type == tokenize.COMMENT]
    return [
        f"{file.name}:{comment.start[0]}: {comment.string}"
        for comment in comments
        if SUPPRESSION.search(comment.string)
        and not re.search("[A-Za-z]{2}", SUPPRESSION.sub("", comment.string))
    ]


def test_every_suppression_has_its_reason_beside_it() -> None:
    """Who silences a checker says why, on the same line."""
    complain([problem for file in sources(*PACKAGES, "tests") for problem in unreasoned(file)])


# -- imports and calls -----------------------------------------------------------------


def imports(tree: ast.Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Line, top-level package and imported names of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0], ()
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which package is meant"
            yield node.lineno, str(node.module).partition(".")[0], tuple(alias.name for alias in node.names)


def foreign(file: Source, allowed: frozenset[str]) -> list[str]:
    """Imports from outside the standard library that are not on the list."""
    return [
        f"{file.name}:{line} imports {package}"
        for line, package, _ in imports(file.tree)
        if package not in sys.stdlib_module_names | allowed
    ]


def impure(file: Source) -> list[str]:
    """Imports that would give the machine a clock, chance, the outside world or a log."""
    return [
        f"{file.name}:{line} imports {package}"
        for line, package, names in imports(file.tree)
        if package in NOT_IN_MACHINES and not (package == "random" and names == (RANDOM_AS_A_TYPE,))
    ]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_from_outside_only_what_the_design_lists(package: str) -> None:
    """A dependency is taken on by changing the design, not by an import."""
    complain([problem for file in sources(package) for problem in foreign(file, MAY_IMPORT[package])])


def test_nobody_imports_the_tests() -> None:
    """Product, pictures and simulations stand without them."""
    importers = [(file.name, package) for file in sources(*PACKAGES) for _, package, _ in imports(file.tree)]
    complain([name for name, package in importers if package == "tests"])


def test_the_machine_has_no_world_of_its_own() -> None:
    """Time, chance and events come in as arguments."""
    complain([problem for file in sources("machines") for problem in impure(file)])


def prints(file: Source) -> list[str]:
    """Calls of `print`."""
    return [
        f"{file.name}:{node.lineno} prints"
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def test_the_silent_packages_are_silent() -> None:
    """Machine and store speak through what they return and raise."""
    complain([problem for file in sources("machines", "store") for problem in prints(file)])


# -- docstrings ------------------------------------------------------------------------


def undocumented(name: str, thing: object) -> list[str]:
    """What lacks a docstring: a class or function, or what a class offers by a public name."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return []
    # A dataclass and an Enum document themselves with a signature; that is not a sentence.
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    found = [] if own and not own.startswith(f"{getattr(thing, '__name__', name)}(") else [name]
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            target = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(target) and not member.startswith("_"):
                found += undocumented(f"{name}.{member}", target)
    return found


@pytest.mark.parametrize("package", ROOTS_THAT_SHIP)
def test_everything_public_is_documented(package: str) -> None:
    """Whatever `__all__` exports says what it means: classes, functions, methods and properties."""
    module = importlib.import_module(package)
    assert module.__doc__
    assert module.__all__
    complain([problem for name in module.__all__ for problem in undocumented(name, getattr(module, name))])


def test_every_test_says_what_is_promised() -> None:
    """A test that goes red should tell what was broken before anybody reads its code."""
    complain(
        [
            f"{file.name}:{node.lineno} {node.name}"
            for file in sources("tests")
            for node in ast.walk(file.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ]
    )


# -- and these checks can fail ---------------------------------------------------------


def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Source:
    """Give a file with known faults, in a tree of its own."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "fault.py"
    path.write_text(text, encoding="utf-8")
    return Source(path, text, ast.parse(text))


LONG_FUNCTION = "def f() -> None:\n" + "    f()\n" * FUNCTION_LINES_MAX
SILENCED = "x = 1  # " + "noqa: E501"

FAULTS: dict[str, tuple[str, Callable[[Source], list[str]], str]] = {
    "a long file": ("x = 1\n" * (FILE_LINES_MAX + 1), lambda file: long_files((file,)), "has 451 lines"),
    "a long function": (LONG_FUNCTION, lambda file: long_functions((file,)), "fault.py:1 f has 76 lines"),
    "a bare noqa": (SILENCED + "\n", unreasoned, "fault.py:1: # " + "noqa: E501"),
    "a bare type: ignore": ("x = 1  # type" + ": ignore[misc]\n", unreasoned, "fault.py:1"),
    "one reasoned, one not": (SILENCED + " - reason\n" + SILENCED, unreasoned, "fault.py:2"),
    "a foreign import": (
        "def f():\n    import requests.api\n",
        lambda file: foreign(file, frozenset()),
        "requests",
    ),
    "a clock": ("from time import monotonic\n", impure, "imports time"),
    "chance of its own": ("from random import Random, random\n", impure, "imports random"),
    "a print": ("print(1)\n", prints, "fault.py:1 prints"),
}


@pytest.mark.parametrize(("text", "check", "complaint"), FAULTS.values(), ids=FAULTS.keys())
def test_each_check_finds_a_planted_fault(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    check: Callable[[Source], list[str]],
    complaint: str,
) -> None:
    """A style check that finds nothing has to have been able to."""
    problems = check(planted(tmp_path, monkeypatch, text))
    assert len(problems) == 1
    assert complaint in problems[0]


def test_the_word_checks_find_their_words() -> None:
    """The patterns match what they are for, and not what only looks like it."""
    assert LEFT_FOR_LATER.search("# " + "TO" + "DO: later")
    assert not LEFT_FOR_LATER.search("TODOS")
    assert PATH_OF_A_MACHINE.search("see " + "/ro" + "ot/x")
    assert not PATH_OF_A_MACHINE.search("proc" + "/ro" + "ot/x")


def test_the_docstring_check_finds_what_lacks_one() -> None:
    """A class without a sentence, a bare method and a bare property are each named."""

    class Bare:
        def method(self) -> None: ...

        @property
        def value(self) -> int:
            return 1

        def _private(self) -> None: ...

    assert undocumented("Bare", Bare) == ["Bare", "Bare.method", "Bare.value"]
