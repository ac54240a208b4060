"""The latent SDE forecaster."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from odeseries.dynamics import Disturbed
from odeseries.encoders import GRUEncoder
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.decoder import Decoder
from odeseries.forecasters.network import Interpolation
from odeseries.forecasters.parts import bounded, make_dynamics, make_sizes
from odeseries.forecasters.posteriors import Matched, Posterior, Simulated
from odeseries.forecasters.sde_network import SDENetwork
from odeseries.interfaces import Dynamics
from odeseries.path_laws import require_regular
from odeseries.recipe import Spec

__all__ = ["LatentSDEForecaster"]

LONGEST_STEP = 0.05
SIMULATED = ("diagonal", "additive", "general")
MATCHED = ("diagonal", "additive")


class LatentSDEForecaster(BaseForecaster):
    """Latent state that follows a learned stochastic differential equation to any time.

    What was seen before a query is filtered into a law of the state at the last observation; the
    prior equation leads many states from there to the query, so that the intervals widen with the
    lead time as the noise adds up. Training maximises a lower bound of the likelihood of what
    comes next, with a posterior law of the path that shares the prior's diffusion. Between two
    observations the posterior given both answers. `sample` returns paths of the equation itself,
    and intervals are the equation's too: nothing is adjusted on held-out forecasts.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    dynamics : str or Dynamics class, default="sde"
        Prior equation. An ordinary dynamics gets a learned diagonal diffusion.
    dynamics_params : dict, optional
        Its hyperparameters.
    training : {"matching", "solver"}, default="matching"
        Whether the posterior is given by its marginals, and nothing is simulated in training, or
        by a drift of its own, with gradients through the solver. The first needs diagonal or
        additive noise, and learns more in the same time.
    solver : str or Solver class, optional
        Stochastic method; ``"euler_maruyama"``, or ``"stochastic_heun"`` for an equation in
        Stratonovich's sense, by default.
    solver_params : dict, optional
        Its options; the unit of time is the horizon. By default steps of 0.05 or, if they are
        shorter, as long as it takes from one known covariate to the next.
    input_interpolation : {"linear", "previous"}, default="linear"
        How known covariates go on between their times, as in `LatentODEForecaster`.
    latent_dim : int, default=4
        Dimension of the latent vector.
    hidden : int, default=32
        Width of the networks beside the dynamics.
    n_paths : int, default=128
        Paths of which quantiles are taken. Below the quantile of level p lies the equation's
        probability p to about ``sqrt(p * (1 - p) / n_paths)``, an error that all series share.
    kl_warmup : int, default=50
        Steps over which the weight of the divergences from the prior rises to 1.
    n_rows, n_lags, seasonality, cutoffs, encoder_periods, thinning, input_noise, n_queries, \
max_epochs, batch_size, learning_rate, weight_decay, patience, validation_fraction, n_steps, \
n_members, targets, target_transformer, duplicates, time_col, id_col, device, random_state, \
verbose, max_time, callbacks, checkpoint_dir
        As in `LatentODEForecaster`. ``seasonality`` is None, ``weight_decay`` and ``input_noise``
        are 0 by default: the equation does not know the date.

    Attributes
    ----------
    history_, periods_, horizon_, n_steps_
        As in `LatentODEForecaster`; losses are negative bounds in nats per observation.

    References
    ----------
    Li, X., Wong, T.-K. L., Chen, R. T. Q., Duvenaud, D. (2020). Scalable Gradients for
    Stochastic Differential Equations. AISTATS. Section 5.

    Bartosh, G., Vetrov, D., Naesseth, C. A. (2025). SDE Matching: Scalable and Simulation-Free
    Training of Latent Stochastic Differential Equations. ICML.

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> rng = np.random.default_rng(0)
    >>> times = np.sort(rng.uniform(0, 20, 60))
    >>> y = pd.Series(rng.standard_normal(60).cumsum(), index=times)
    >>> model = ode.LatentSDEForecaster(
    ...     horizon=2.0, latent_dim=1, n_paths=32, max_epochs=1, random_state=0
    ... ).fit(y)
    >>> model.sample([20.5, 21.0], n_samples=3).shape
    (6,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "dynamics_params": [dict, None],
        "training": [StrOptions({"matching", "solver"})],
        "solver_params": [dict, None],
        "input_interpolation": [StrOptions({"linear", "previous"})],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "n_paths": [Interval(Integral, 1, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left")],
    }

    dynamics: str | type[Dynamics] = "sde"
    dynamics_params: dict[str, Any] | None = None
    training: str = "matching"
    solver: Any = None
    solver_params: dict[str, Any] | None = None
    input_interpolation: Interpolation = "linear"
    latent_dim: int = 4
    hidden: int = 32
    n_paths: int = 128
    kl_warmup: int = 50
    seasonality: Any = None
    weight_decay: float = 0.0
    input_noise: float = 0.0

    def build(self, spec: Spec) -> SDENetwork:
        """Make an untrained network.

        Raises
        ------
        PluginError
            If the noise of the dynamics is of a kind that the training can't divide by.
        """
        sizes = make_sizes(spec, self.n_lags, self.hidden)
        dynamics = self._equation(spec)
        solver = self._solver(dynamics)
        params = bounded(self.solver_params, spec, LONGEST_STEP)
        return SDENetwork(
            GRUEncoder(sizes.n_row_features, self.hidden),
            dynamics,
            self._posterior(dynamics, spec.n_channels, solver, params),
            Decoder(dynamics.dim, spec.n_channels, self.hidden),
            solver=solver,
            solver_params=params,
            n_paths=self.n_paths,
            warmup=self.kl_warmup,
            interpolation=self.input_interpolation,
        )

    def _equation(self, spec: Spec) -> Dynamics:
        """The stochastic dynamics of that name, or the ordinary one, disturbed."""
        equation = make_dynamics(
            self.dynamics,
            self.dynamics_params,
            self.latent_dim,
            spec.periods,
            spec.n_inputs,
            stochastic=True,
        )
        return Disturbed(equation) if equation.noise_type is None else equation

    def _solver(self, dynamics: Dynamics) -> Any:
        """The method asked for, or one that suits the calculus."""
        if self.solver is not None:
            return self.solver
        return "euler_maruyama" if dynamics.sde_type == "ito" else "stochastic_heun"

    def _posterior(
        self, dynamics: Dynamics, n_channels: int, solver: Any, params: dict[str, Any]
    ) -> Posterior:
        """The posterior of the training asked for."""
        sizes = (n_channels, dynamics.state_dim, self.hidden)
        if self.training == "matching":
            require_regular(dynamics, MATCHED, "training='matching'")
            return Matched(*sizes)
        require_regular(dynamics, SIMULATED, "A latent SDE")
        return Simulated(*sizes, solver, params)
