"""Parts of the built-in networks, made from the parameters of an estimator."""

from __future__ import annotations

import math
from typing import Any

import torch

from odeseries import plugins
from odeseries.arguments import require_keywords
from odeseries.errors import PluginError
from odeseries.forecasters.network import Sizes
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import HEADS, Head
from odeseries.recipe import Spec
from odeseries.seasons import N_SEASONS
from odeseries.solvers.options import options_for_users

__all__ = ["N_HARMONICS", "bounded", "make_dynamics", "make_head", "make_sizes"]

N_HARMONICS = 3
DEFAULT_STEP, SHORTEST_STEP = 0.1, 0.01


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
        n_waves=2 * len(spec.encoder_periods),
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
    n_inputs: int = 0,
    *,
    stochastic: bool = False,
) -> Dynamics:
    """The dynamics of that name or class, driven if it can be, started at the periods.

    Raises
    ------
    PluginError
        If it is a field on images, or stochastic where only ordinary ones are integrated.
    ValueError
        If it takes no parameter of a name.
    """
    cls = plugins.get("dynamics", dynamics)
    require_keywords(cls, params or {}, ("n_inputs",), "dynamics_params")
    if cls.on_images:
        raise PluginError(
            f"{cls.__name__} is a field on images, for ODENetClassifier, and this forecaster's "
            "states are vectors: use 'mlp' or another dynamics of vectors."
        )
    driven = {"n_inputs": n_inputs} if cls.takes_inputs and n_inputs else {}
    flow: Dynamics = cls(dim, **driven, **(params or {}))
    if flow.noise_type is not None and not stochastic:
        raise PluginError(
            f"{cls.__name__} is a stochastic dynamics, and this forecaster follows ordinary ones: "
            "use LatentSDEForecaster, which samples its paths, or another dynamics."
        )
    if periods:
        flow.start_at(2 * math.pi / torch.tensor(periods))
    return flow


def bounded(
    solver_params: dict[str, Any] | None, spec: Spec, longest: float = DEFAULT_STEP
) -> dict[str, Any]:
    """Options of the solver; a bounded step in horizons that follows the inputs, by default."""
    if solver_params is not None:
        return options_for_users(solver_params)
    return {"step": min(longest, max(spec.input_gap, SHORTEST_STEP))}
