"""The tutorial for plugins runs as it stands, and the distributions use public names only."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
from collections.abc import Iterator
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
