"""The neural ODE forecaster: the data themselves follow a learned dynamics."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from odeseries import plugins
from odeseries.anchoring import Anchor
from odeseries.encoders import GRUEncoder
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.diagnostics import FlowForecaster
from odeseries.forecasters.network import Interpolation
from odeseries.forecasters.parts import bounded, make_dynamics, make_head, make_sizes
from odeseries.forecasters.shooting import ShootingNetwork
from odeseries.holding_out import FEWEST_SERIES
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import HEADS
from odeseries.recipe import Spec

__all__ = ["NeuralODEForecaster"]


class NeuralODEForecaster(FlowForecaster):
    """The data are the state of a dynamics, which is shot from the last observations.

    The channels, standardised, are coordinates of the state; velocities and other coordinates
    that are not observed (`extra_dims`, those of ``"augmented"`` and ``"second_order"``) are
    inferred at the last row from the rows before it. From there one path leads on, driven by the
    known covariates and by sines and cosines of the periods, and a head puts a distribution
    around it. This is the forecaster for systems whose state is measured: mechanics, circuits,
    populations. Where what is seen is a noisy image of something else, take `LatentODEForecaster`.

    A series is cut into stretches of a horizon, each shot from a start of its own that is a
    function of the rows before it (multiple shooting with an encoder): no path is longer than
    the horizon in training, however long the series is. Forecasts may go far beyond it. Dynamics
    of second order begin with the damped oscillations, one for each position, that explain
    the stretches best by least squares; so give the ``"second_order"`` of a channel that is
    a sum of two oscillations ``extra_dims=1``, and a horizon that shows how they fade.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    dynamics : str or Dynamics class, default="mlp"
        Dynamics of the data.
    dynamics_params : dict, optional
        Its hyperparameters.
    extra_dims : int, default=0
        Coordinates that are not observed beside the channels, such as the momenta of
        ``"hamiltonian"``, whose first half of the coordinates are positions.
    head : {"quantile", "gaussian", "student"}, default="quantile"
        Distribution around the path.
    solver, solver_params
        Integration of dynamics without a closed form; the unit of time is the horizon. By
        default the steps are short enough for the inputs and the typical slope of the data.
    input_interpolation : {"linear", "previous"}, default="linear"
        How known covariates go on between their times: along straight lines, or held until the
        next one.
    feedthrough : bool, default=False
        Whether known covariates also move what is seen at once, in proportion: an acceleration
        that is measured beside the force, a current with its voltage. The state is then what is
        seen without that part.
    hidden : int, default=32
        Width of the encoder and of the head; that of the dynamics is one of its own parameters.
    n_rows, n_lags, seasonality, cutoffs, encoder_periods, thinning, input_noise, n_queries, \
max_epochs, batch_size, learning_rate, patience, validation_fraction, n_steps, n_members, \
targets, target_transformer, duplicates, time_col, id_col, device, random_state, verbose, \
max_time, callbacks, checkpoint_dir
        As in `LatentODEForecaster`; ``input_noise`` is 0 by default.
    weight_decay : float, default=0.0
        As in `LatentODEForecaster`; a decaying field would be a wrong one.

    Attributes
    ----------
    history_, periods_, horizon_, n_steps_
        As in `LatentODEForecaster`.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Equation (2). Bock, H. G., Plitt, K. J. (1984). A Multiple
    Shooting Algorithm for Direct Solution of Optimal Control Problems. IFAC World Congress.
    Beintema, G., Toth, R., Schoukens, M. (2021). Nonlinear State-Space Identification Using Deep
    Encoder Networks. L4DC. Section 3 (initial states by an encoder, over short stretches).

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 20, 60))
    >>> y = pd.Series(np.sin(times), index=times)
    >>> model = ode.NeuralODEForecaster(
    ...     horizon=2.0, dynamics="second_order", max_epochs=1, random_state=0
    ... ).fit(y)
    >>> model.predict([20.5, 21.0]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "dynamics_params": [dict, None],
        "extra_dims": [Interval(Integral, 0, None, closed="left")],
        "head": [StrOptions(set(HEADS))],
        "solver_params": [dict, None],
        "input_interpolation": [StrOptions({"linear", "previous"})],
        "feedthrough": ["boolean"],
        "hidden": [Interval(Integral, 1, None, closed="left")],
    }

    dynamics: str | type[Dynamics] = "mlp"
    dynamics_params: dict[str, Any] | None = None
    extra_dims: int = 0
    head: str = "quantile"
    solver: Any = "rk4"
    solver_params: dict[str, Any] | None = None
    input_interpolation: Interpolation = "linear"
    feedthrough: bool = False
    hidden: int = 32
    weight_decay: float = 0.0
    input_noise: float = 0.0

    def build(self, spec: Spec) -> ShootingNetwork:
        """Make an untrained network."""
        sizes = make_sizes(spec, self.n_lags, self.hidden)
        dim = spec.n_channels + self.extra_dims
        # A closed form has its own oscillations, and needs inputs that are constant for a while.
        waves = 0 if plugins.get("dynamics", self.dynamics).closed_form else sizes.n_row_phases
        return ShootingNetwork(
            sizes,
            GRUEncoder(sizes.n_row_features, self.hidden),
            make_dynamics(self.dynamics, self.dynamics_params, dim, (), spec.n_inputs + waves),
            make_head(self.head),
            Anchor(spec.n_channels, local=spec.n_series < FEWEST_SERIES),
            solver=self.solver,
            solver_params=self.solver_params,
            step=bounded(None, spec)["step"],
            interpolation=self.input_interpolation,
            periods=spec.periods,
            feedthrough=self.feedthrough,
        )
