"""The ODE-RNN forecaster."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from odeseries.anchoring import Anchor
from odeseries.encoders import ODERNNEncoder
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.diagnostics import FlowForecaster
from odeseries.forecasters.network import FlowNetwork, Interpolation
from odeseries.forecasters.parts import bounded, make_dynamics, make_head, make_sizes
from odeseries.holding_out import FEWEST_SERIES
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import HEADS
from odeseries.recipe import Spec

__all__ = ["ODERNNForecaster"]


class ODERNNForecaster(FlowForecaster):
    """One state that follows a dynamics between observations and jumps at each.

    The state filters the rows next to a query, one after another: it flows over each gap and is
    updated by a gated recurrent unit at each row. The same flow leads it on to the query, where
    it is decoded as in `LatentODEForecaster`.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    dynamics : str or Dynamics class, default="mlp"
        Dynamics of the state.
    dynamics_params : dict, optional
        Its hyperparameters.
    head : {"quantile", "gaussian", "student"}, default="quantile"
        Predictive distribution.
    solver, solver_params
        Integration of dynamics without a closed form; the unit of time is the horizon.
    input_interpolation : {"linear", "previous"}, default="linear"
        How known covariates go on between their times, as in `LatentODEForecaster`.
    hidden : int, default=32
        Dimension of the state and width of the decoder.
    n_rows, n_lags, seasonality, cutoffs, encoder_periods, thinning, input_noise, n_queries, \
max_epochs, batch_size, learning_rate, weight_decay, patience, validation_fraction, n_steps, \
n_members, duplicates, time_col, id_col, device, random_state, verbose, max_time, callbacks, \
checkpoint_dir
        As in `LatentODEForecaster`.

    Attributes
    ----------
    history_, periods_, horizon_, n_steps_
        As in `LatentODEForecaster`.

    References
    ----------
    Rubanova, Y., Chen, R. T. Q., Duvenaud, D. (2019). Latent Ordinary Differential Equations
    for Irregularly-Sampled Time Series. NeurIPS. Section 3.1, Algorithm 1.

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 20, 30))
    >>> y = pd.Series(np.sin(times), index=times)
    >>> model = ode.ODERNNForecaster(horizon=2.0, max_epochs=1, random_state=0).fit(y)
    >>> model.predict([20.5, 21.0]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "dynamics_params": [dict, None],
        "head": [StrOptions(set(HEADS))],
        "solver_params": [dict, None],
        "input_interpolation": [StrOptions({"linear", "previous"})],
        "hidden": [Interval(Integral, 1, None, closed="left")],
    }

    dynamics: str | type[Dynamics] = "mlp"
    dynamics_params: dict[str, Any] | None = None
    head: str = "quantile"
    solver: Any = "midpoint"
    solver_params: dict[str, Any] | None = None
    input_interpolation: Interpolation = "linear"
    hidden: int = 32

    def build(self, spec: Spec) -> FlowNetwork:
        """Make an untrained network; encoder and flow share their dynamics."""
        sizes = make_sizes(spec, self.n_lags, self.hidden)
        flow = make_dynamics(
            self.dynamics, self.dynamics_params, self.hidden, spec.periods, spec.n_inputs
        )
        params = bounded(self.solver_params, spec)
        return FlowNetwork(
            sizes,
            ODERNNEncoder(sizes.n_row_features, flow, self.solver, params),
            flow,
            make_head(self.head),
            Anchor(spec.n_channels, local=spec.n_series < FEWEST_SERIES),
            solver=self.solver,
            solver_params=params,
            tied=True,
            interpolation=self.input_interpolation,
        )
