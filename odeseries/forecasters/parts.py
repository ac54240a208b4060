"""Parts of the built-in networks, made from the parameters of an estimator."""

from __future__ import annotations

import math
from typing import Any

import torch

from odeseries import plugins
from odeseries.fitting import Spec
from odeseries.forecasters.network import Sizes
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import HEADS, Head
from odeseries.windows import N_SEASONS

__all__ = ["N_HARMONICS", "bounded", "make_dynamics", "make_head", "make_sizes"]

N_HARMONICS = 3
DEFAULT_STEP = 0.1


def make_sizes(spec: Spec, n_lags: int, hidden: int) -> Sizes:
    """Dimensions that follow from the data."""
    return Sizes(
        n_channels=spec.n_channels,
        n_inputs=spec.n_inputs,
        n_lags=n_lags,
        n_seasonal=N_SEASONS * len(spec.periods),
        n_row_phases=2 * len(spec.periods),
        n_query_phases=2 * N_HARMONICS * len(spec.periods),
        hidden=hidden,
    )


def make_head(name: str) -> Head:
    """The head of that name."""
    if name not in HEADS:
        raise ValueError(f"head={name!r}: give one of {sorted(HEADS)}.")
    return HEADS[name]()


def make_dynamics(
    dynamics: str | type[Dynamics],
    params: dict[str, Any] | None,
    dim: int,
    periods: tuple[float, ...],
) -> Dynamics:
    """The dynamics of that name or class, started at the periods."""
    flow: Dynamics = plugins.get("dynamics", dynamics)(dim, **(params or {}))
    if periods:
        flow.start_at(2 * math.pi / torch.tensor(periods))
    return flow


def bounded(solver_params: dict[str, Any] | None) -> dict[str, Any]:
    """Options of the solver; a bounded step in horizons unless told otherwise."""
    return {"step": DEFAULT_STEP} if solver_params is None else solver_params
