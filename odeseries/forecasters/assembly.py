"""A forecaster's network around an encoder and a dynamics of a plugin's own."""

from __future__ import annotations

from typing import Any

from odeseries.anchoring import Anchor
from odeseries.encoders import Encoder
from odeseries.forecasters.network import FlowNetwork
from odeseries.forecasters.parts import bounded, make_head, make_sizes
from odeseries.holding_out import FEWEST_SERIES
from odeseries.interfaces import Dynamics
from odeseries.model import Model
from odeseries.recipe import Spec

__all__ = ["flow_network", "n_row_features"]


def n_row_features(spec: Spec) -> int:
    """Number of features of a row, as an encoder in a `flow_network` is given them.

    Parameters
    ----------
    spec : Spec
        What ``BaseForecaster.build`` is given.

    Returns
    -------
    int
    """
    return make_sizes(spec, 0, 0).n_row_features


def flow_network(
    spec: Spec,
    encoder: Encoder,
    dynamics: Dynamics,
    *,
    hidden: int,
    n_lags: int,
    head: str = "quantile",
    solver: Any = "midpoint",
    solver_params: dict[str, Any] | None = None,
) -> Model:
    """Read the rows, let the state flow to the query, decode it as the built-in forecasters do.

    The rest is theirs too: first guess and typical error by age, lags, seasons, known inputs, and
    queries that are asked from both sides.

    Parameters
    ----------
    spec : Spec
        What ``BaseForecaster.build`` is given.
    encoder : Encoder
        Made for ``n_row_features(spec)`` features of a row. These are, in this order: the values
        of the channels (centred and scaled by window, 0 where not observed), their masks,
        ``log(1 + 10 s)`` of the time ``s`` since the row before and from the row to the last one,
        the phases of the periods, the known inputs, and whether the rows are read backwards.
    dynamics : Dynamics
        Of the encoder's state, by which it flows on from the last row.
    hidden : int
        Width of the decoder.
    n_lags : int
        The forecaster's parameter of that name.
    head : {"quantile", "gaussian", "student"}
        Predictive distribution.
    solver, solver_params
        Integration of the flow; the unit of time is the horizon. Steps of a tenth by default.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the encoder's state is not what the dynamics moves.

    Examples
    --------
    >>> import torch, odeseries as ode
    >>> from odeseries.dynamics import MLP
    >>> class LastRow(ode.Encoder):
    ...     def __init__(self, n_features, hidden):
    ...         super().__init__(n_features, hidden)
    ...         self.read = torch.nn.Linear(n_features, hidden)
    ...     def forward(self, rows, gaps, length, path=None):
    ...         return self.read(rows[torch.arange(len(rows)), length - 1])
    >>> class LastRowForecaster(ode.BaseForecaster):
    ...     def build(self, spec):
    ...         rows = LastRow(ode.n_row_features(spec), 8)
    ...         return ode.flow_network(spec, rows, MLP(8), hidden=16, n_lags=self.n_lags)
    >>> LastRowForecaster(5.0).build(ode.Spec(2, 0, (), 1)).tied
    True
    """
    if encoder.hidden != dynamics.dim:
        raise ValueError(
            f"{type(encoder).__name__} has a state of {encoder.hidden} numbers, but "
            f"{type(dynamics).__name__} moves {dynamics.dim}: make both for the same number."
        )
    return FlowNetwork(
        make_sizes(spec, n_lags, hidden),
        encoder,
        dynamics,
        make_head(head),
        Anchor(spec.n_channels, local=spec.n_series < FEWEST_SERIES),
        solver=solver,
        solver_params=bounded(solver_params, spec),
        tied=True,
    )
