"""The hooks that a plugin implements: three, each returning a mapping of names to classes."""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

from odeseries.interfaces import Dynamics, Forecaster, Solver

__all__ = [
    "PROJECT",
    "hookimpl",
    "hookspec",
    "odeseries_dynamics",
    "odeseries_forecasters",
    "odeseries_solvers",
]

PROJECT = "odeseries"
"""Name of the hooks' project and of the entry-point group that plugins register in."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def odeseries_dynamics() -> Mapping[str, type[Dynamics]]:  # type: ignore[empty-body]
    """Dynamics that the plugin offers, by name."""


@hookspec
def odeseries_solvers() -> Mapping[str, type[Solver]]:  # type: ignore[empty-body]
    """Solvers that the plugin offers, by name."""


@hookspec
def odeseries_forecasters() -> Mapping[str, type[Forecaster]]:  # type: ignore[empty-body]
    """Forecasters that the plugin offers, by name."""
