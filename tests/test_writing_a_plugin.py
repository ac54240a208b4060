"""The tutorial for plugins runs as it stands, and the distributions use public names only."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import odeseries as ode
from odeseries import plugins
from odeseries.plugins import Registry

PLUGINS = Path(__file__).parents[1] / "plugins"
MODULES = sorted(PLUGINS.glob("odeseries-*/*.py"))
TESTS = sorted(PLUGINS.glob("odeseries-*/tests/*.py"))
PUBLIC_MODULES = {"odeseries", "odeseries.testing", "odeseries.dynamics", "odeseries.solvers"}


def blocks() -> list[str]:
    """The Python of the tutorial."""
    return re.findall(r"```python\n(.*?)```", (PLUGINS / "README.md").read_text(), re.DOTALL)


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block, as one script."""
    pytest.importorskip("matplotlib").use("Agg")
    script = tmp_path / "tutorial.py"
    script.write_text("\n".join(blocks()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_registry", Registry(list))
    names = runpy.run_path(str(script), run_name="__main__")
    broken = [o.check.name for o in names["report"].outcomes if not o.ok]
    assert broken == ["every_dimension_works_or_is_refused"]
    assert names["odeseries_dynamics"]() == {"pendulum": names["EvenPendulum"]}


def test_a_newcomer_needs_fifteen_lines() -> None:
    """From the first import to a plot."""
    first = [line for line in blocks()[0].splitlines() if line.strip()]
    assert len(first) <= 15
    assert first[0].startswith("import")
    assert "plot" in first[-1]


def private_uses(code: str) -> Iterator[str]:
    """What of odeseries a module uses beside its public names."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if misused(a.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            if misused(node.module):
                yield node.module
            elif node.module.partition(".")[0] == "odeseries":
                public = public_names(importlib.import_module(node.module))
                yield from (a.name for a in node.names if a.name not in public)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ode":
            yield from {f"ode.{node.attr}"} - {f"ode.{name}" for name in public_names(ode)}


def public_names(module: ModuleType) -> set[str]:
    """Names that a module declares public."""
    return set(module.__all__)


def misused(module: str) -> bool:
    """Whether this is a module of the package that plugins have no business with."""
    return module.partition(".")[0] == "odeseries" and module not in PUBLIC_MODULES


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=lambda path: path.name)
def test_distributions_use_public_names_only(path: Path) -> None:
    """So that what they need is what everybody has."""
    assert list(private_uses(path.read_text())) == []


def test_the_tutorial_uses_public_names_only() -> None:
    """Like those who follow it."""
    assert list(private_uses("\n".join(blocks()))) == []


def test_private_names_are_noticed() -> None:
    """In whatever way they are reached."""
    code = "import odeseries.nets\nfrom odeseries.panel import Panel\nfrom odeseries import nets"
    assert list(private_uses(f"{code}\node._x")) == [
        "odeseries.nets",
        "odeseries.panel",
        "nets",
        "ode._x",
    ]


@pytest.mark.parametrize("folder", sorted(PLUGINS.glob("odeseries-*")), ids=lambda path: path.name)
def test_a_distribution_has_what_it_needs(folder: Path) -> None:
    """A module, a README, tests and a record; the one to copy is short."""
    module = folder / f"{folder.name.replace('-', '_')}.py"
    assert module.is_file()
    assert list(folder.glob("tests/test_*.py"))
    assert folder.name in (folder / "README.md").read_text()
    record = (folder / "pyproject.toml").read_text()
    assert f'name = "{folder.name}"' in record
    assert f'= "{module.stem}"' in record
    if folder.name == "odeseries-vdp":
        code = [line for line in module.read_text().splitlines() if line.strip()]
        assert len(code) <= 62


def copied(folder: Path) -> Path:
    """The distribution to copy, under another name."""
    copy = folder / "odeseries-bell"
    shutil.copytree(PLUGINS / "odeseries-vdp", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in list(copy.rglob("*.*")):
        if path.is_file():
            path.write_text(path.read_text().replace("vdp", "bell"))
            path.rename(path.with_name(path.name.replace("vdp", "bell")))
    return copy


def run(*command: object, cwd: Path) -> str:
    """Output of a command, which must succeed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", plugins.SWITCH)}
    done = subprocess.run(  # noqa: S603  # our own command
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_renamed_copy_passes_where_it_is_installed(tmp_path: Path) -> None:
    """Wheels of the package and of the copy in a fresh environment, and the laws there."""
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
    for source in (PLUGINS.parent, copied(tmp_path)):
        wheel = [*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "wheels", *isolation]
        run(sys.executable, *wheel, source, cwd=tmp_path)
    run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    install = [*pip, "install", "--no-deps", "--no-index"]
    run(python, *install, *sorted((tmp_path / "wheels").glob("*.whl")), cwd=tmp_path)
    # The dependencies are those of this environment, the package and the plugin the wheels'.
    site = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path))
    others = [path for path in sys.path if path.endswith("-packages")]
    Path(str(site).strip(), "others.pth").write_text("\n".join(others))

    place = run(python, "-c", "import odeseries; print(odeseries.__file__)", cwd=tmp_path)
    assert place.startswith(str(tmp_path / "env"))
    listed = json.loads(run(python, "-m", "odeseries", "plugins", "--json", cwd=tmp_path))
    (bell,) = [entry for entry in listed if entry["name"] == "bell"]
    assert bell["distribution"] == "odeseries-bell"
    assert bell["provides"]["dynamics"] == ["bell:bell"]
    tests = run(python, "-P", "-m", "pytest", "-q", "tests", cwd=tmp_path / "odeseries-bell")
    assert re.search(r"\d\d passed", tests)
    report = run(python, "-m", "odeseries.testing", "dynamics", "bell:bell", cwd=tmp_path)
    assert report.startswith("VanDerPol: ")
