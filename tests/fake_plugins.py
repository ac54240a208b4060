"""Distributions with plugins, written into a folder as an installer would leave them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

import pytest

from odeseries import plugins
from odeseries.errors import PluginError
from odeseries.plugins import Registry

Install = Callable[..., None]

GOOD = """
    import torch
    from odeseries.hookspecs import hookimpl
    from odeseries.interfaces import Dynamics

    class Pendulum(Dynamics):
        def forward(self, t, state, inputs=None):
            return -torch.sin(state)

    class Other(Pendulum):
        pass

    class Hidden(Pendulum):
        pass

    @hookimpl
    def odeseries_dynamics():
        return {"pendulum": Pendulum, "other": Other}
"""

HEAD = """
    from odeseries.hookspecs import hookimpl
    from odeseries.interfaces import Dynamics, Solver
    from odeseries.solvers import RK4
"""


def write_distribution(
    folder: Path,
    qualifier: str,
    code: str,
    *,
    project: str | None = None,
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> None:
    """Write a distribution whose one module is the plugin of that qualifier."""
    project = project or f"ode-{qualifier}"
    # A module of a name that no other test has loaded.
    module = f"{project}_{folder.name}".replace("-", "_")
    (folder / f"{module}.py").write_text(dedent(code))
    info = folder / f"{project.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n{needs}"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[odeseries]\n{qualifier} = {module}\n")


def registry_of(folder: Path) -> Registry:
    """Make a registry of what was installed into a folder, and of nothing else."""

    def discover() -> list[EntryPoint]:
        found = [entry for d in distributions(path=[str(folder)]) for entry in d.entry_points]
        return [entry for entry in found if entry.group == "odeseries"]

    return Registry(discover)


def failure(registry: Registry, name: str, kind: plugins.Kind = "dynamics") -> str:
    """What is said when a name is looked up in vain."""
    with pytest.raises(PluginError) as caught:
        registry.get(kind, name)
    return str(caught.value)
