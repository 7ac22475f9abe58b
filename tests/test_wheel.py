"""What is shipped: one wheel of three roots that works alone, and says so when somebody stands in its way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOTS_THAT_SHIP = ("machines", "resilience", "store")

# Building is quick; fetching the dependencies into the empty environment takes what the network takes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(arguments: Sequence[str | Path], cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, without anything this process was told about where modules are."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        arguments,
        cwd=cwd,
        env=env | extra,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the tree, with the build backend that is installed here."""
    out = tmp_path_factory.mktemp("dist")
    build = run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT], out)
    assert build.returncode == 0, build.stdout + build.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the interpreter of a fresh environment: the wheel, what it depends on, and not even pip."""
    home = tmp_path_factory.mktemp("environment")
    made = run([sys.executable, "-m", "venv", "--without-pip", home], home)
    assert made.returncode == 0, made.stderr
    interpreter = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    installed = run([sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", wheel], home)
    assert installed.returncode == 0, installed.stderr
    return interpreter


def test_the_wheel_holds_the_three_roots_whole_and_nothing_else(wheel: Path) -> None:
    """Every file of the three packages is in it, `py.typed` included; no test, simulation or diagram is."""
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    ours = {
        path.relative_to(ROOT).as_posix()
        for root in ROOTS_THAT_SHIP
        for path in (ROOT / root).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == ours
    assert names >= {f"{root}/py.typed" for root in ROOTS_THAT_SHIP}


def test_the_metadata_names_licence_and_command(wheel: Path) -> None:
    """Licence and entry point travel with the wheel."""
    with ZipFile(wheel) as archive:
        about = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
        assert {"METADATA", "RECORD", "WHEEL", "LICENSE", "entry_points.txt"} == about.keys()
        assert "resilience = resilience.cli:main" in archive.read(about["entry_points.txt"]).decode()


def test_an_unrelated_program_can_import_everything_public(python: Path, tmp_path: Path) -> None:
    """From any directory all that `__all__` promises is there, and it comes from the installed wheel."""
    code = (
        "from resilience import *; import resilience, json; print(json.dumps([resilience.__file__, dir()]))"
    )
    ran = run([python, "-c", code], tmp_path)
    assert ran.returncode == 0, ran.stderr
    file, names = json.loads(ran.stdout)
    assert Path(file).is_relative_to(python.parent.parent)
    assert {"Supervisor", "Image", "State", "Trigger"} <= set(names)


def test_the_development_tree_does_not_come_along(python: Path, tmp_path: Path) -> None:
    """Tests, simulations and diagrams are for checkouts; an installation has no such modules."""
    code = (
        "import importlib.util as u; print([n for n in ('tests','simulations','diagrams') if u.find_spec(n)])"
    )
    ran = run([python, "-c", code], tmp_path)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_the_command_runs_from_anywhere(python: Path, tmp_path: Path) -> None:
    """`resilience --help` is installed and lists what the design promises."""
    ran = run([python.with_name("resilience"), "--help"], tmp_path, COLUMNS="100")
    assert ran.returncode == 0, ran.stderr
    promised = ("demo", "watch", "eval", "sessions")
    assert not [command for command in promised if command not in ran.stdout.split()], ran.stdout


CAUGHT = """
try:
    import resilience
except ImportError as error:
    print(type(error).__name__, error.name, error)
"""


@pytest.mark.parametrize("sibling", ["store", "machines"])
def test_a_foreign_module_in_front_of_a_sibling_is_named(python: Path, tmp_path: Path, sibling: str) -> None:
    """The application's own `store.py` beside it breaks the import at once, and the error shows the file."""
    intruder = tmp_path / f"{sibling}.py"
    intruder.write_text("", encoding="utf-8")
    ran = run([python, "-c", CAUGHT], tmp_path)
    assert ran.stdout.startswith(f"ShadowedError {sibling} "), ran.stderr
    assert str(intruder) in ran.stdout


def test_a_foreign_package_earlier_on_the_path_is_named(python: Path, tmp_path: Path) -> None:
    """Nor need the intruder be in the current directory, or be a plain file."""
    intruder = tmp_path / "elsewhere" / "store" / "__init__.py"
    intruder.parent.mkdir(parents=True)
    intruder.write_text("", encoding="utf-8")
    ran = run([python, "-c", CAUGHT], tmp_path, PYTHONPATH=str(tmp_path / "elsewhere"))
    assert ran.stdout.startswith("ShadowedError store "), ran.stderr
    assert str(intruder) in ran.stdout


def test_a_script_that_is_itself_called_store_is_named(python: Path, tmp_path: Path) -> None:
    """The likeliest case: somebody's store.py is the program that imports us."""
    script = tmp_path / "store.py"
    script.write_text(CAUGHT, encoding="utf-8")
    ran = run([python, script], tmp_path)
    assert ran.stdout.startswith("ShadowedError store "), ran.stderr
    assert str(script) in ran.stdout


def test_a_mere_folder_called_store_is_no_intruder(python: Path, tmp_path: Path) -> None:
    """A data directory of that name in the current directory does no harm."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "journal.bin").write_bytes(b"")
    ran = run([python, "-c", "import resilience; print(resilience.State.FRESH)"], tmp_path)
    assert ran.stdout == "Fresh\n", ran.stderr
