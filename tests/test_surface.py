"""The one documented import surface: complete, cheap, and not to be hidden by somebody else's module."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import resilience

ROOT = Path(__file__).resolve().parent.parent
GENEROUS_S = 30.0


def python(code: str, *path: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with directories in front of its path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
        check=False,
    )


def test_every_public_name_is_there() -> None:
    """Also those that are imported only when used."""
    for name in resilience.__all__:
        assert getattr(resilience, name).__name__ == name
    assert dir(resilience) == sorted(resilience.__all__)
    assert resilience.__version__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="no_such_name"):
        resilience.no_such_name  # noqa: B018 - the access is the test


def test_importing_it_loads_nothing_heavy() -> None:
    """What a host pays before it connects: no sockets, no parser, no keyring, no screen, no simulation."""
    done = python("import json, sys, resilience; print(json.dumps(sorted(sys.modules)))")
    loaded = set(json.loads(done.stdout))
    heavy = {"zmq", "pydantic", "keyring", "rich", "click", "cryptography", "simulations"}
    assert not heavy & loaded
    assert {"resilience", "machines"} <= loaded


def test_connecting_loads_neither_screen_nor_simulation() -> None:
    """A host with a screen of its own does not pay for ours."""
    code = (
        "import json, sys, resilience; resilience.Supervisor, resilience.BlockingSupervisor;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = python(code)
    loaded = set(json.loads(done.stdout))
    assert not {"rich", "click", "keyring", "simulations", "resilience.standin", "resilience.demo"} & loaded
    assert "resilience.world" in loaded


@pytest.mark.parametrize("sibling", ["machines", "store"])
@pytest.mark.parametrize("make", ["module", "package"])
def test_a_shadowed_sibling_is_named_before_anything_odd_happens(
    tmp_path: Path, sibling: str, make: str
) -> None:
    """An application's own `store.py` in front of ours: the error names it and says what to do."""
    intruder = tmp_path / f"{sibling}.py"
    if make == "package":
        intruder = tmp_path / sibling / "__init__.py"
        intruder.parent.mkdir()
    intruder.write_text("answer = 42\n")
    code = (
        "import sys\n"
        "try:\n"
        "    import resilience\n"
        "except ImportError as shadowed:\n"
        "    print(type(shadowed).__name__, shadowed.sibling, shadowed.intruder)\n"
        "    print(shadowed)\n"
    )
    done = python(code, tmp_path, ROOT, cwd=tmp_path)
    first, second = done.stdout.splitlines()
    assert first == f"ShadowedError {sibling} {intruder}"
    assert str(intruder) in second
    assert "rename" in second
    assert not done.stderr


def test_a_missing_sibling_is_told_as_missing(tmp_path: Path) -> None:
    """A half-copied installation."""
    (tmp_path / "resilience").symlink_to(ROOT / "resilience")
    # An editable install would put the checkout, siblings and all, back on the path.
    code = f"import sys; sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]; import resilience"
    done = python(code, tmp_path, cwd=tmp_path)
    assert done.returncode != 0
    assert "ShadowedError" in done.stderr


def test_unshadowed_it_imports_from_anywhere(tmp_path: Path) -> None:
    """The check is about what stands in front, not about the working directory."""
    (tmp_path / "somewhere").mkdir()
    done = python("import resilience; print(resilience.__version__)", ROOT, cwd=tmp_path / "somewhere")
    assert done.stdout.strip() == resilience.__version__
    assert not done.stderr
