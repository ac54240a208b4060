"""The latent ODE forecaster."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from odeseries.anchoring import Anchor
from odeseries.encoders import Encoder, GRUEncoder, ODERNNEncoder
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.diagnostics import FlowForecaster
from odeseries.forecasters.network import FlowNetwork, Interpolation, Sizes
from odeseries.forecasters.parts import bounded, make_dynamics, make_head, make_sizes
from odeseries.holding_out import FEWEST_SERIES
from odeseries.interfaces import Dynamics
from odeseries.likelihoods import HEADS
from odeseries.recipe import Spec

__all__ = ["LatentODEForecaster"]


class LatentODEForecaster(FlowForecaster):
    """Latent state encoded from what is seen, following a learned dynamics to any time.

    The rows next to a query are read towards it; the state at the nearest one follows the
    dynamics to the query and is decoded, together with the channel's own lags, into a
    distribution around a first guess (the last value, or the line between two). Between two
    observations both sides are read. Training cuts random stretches out of the series and asks
    for them from before, from both sides and from after.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    dynamics : str or Dynamics class, default="linear"
        Dynamics of the latent state.
    dynamics_params : dict, optional
        Its hyperparameters.
    encoder : {"gru", "ode_rnn"}, default="gru"
        How the rows are read.
    head : {"quantile", "gaussian", "student"}, default="quantile"
        Predictive distribution.
    objective : {"forecast", "elbo"}, default="forecast"
        Score of the asked values alone, or with the reconstruction of the seen values and the
        divergence of the initial state from its prior; ``"elbo"`` needs a likelihood,
        ``head="gaussian"`` or ``head="student"``.
    solver : str or Solver class, default="midpoint"
        Integration of dynamics without a closed form.
    solver_params : dict, optional
        Its options, such as ``{"step": 0.1}``; the unit of time is the horizon.
    input_interpolation : {"linear", "previous"}, default="linear"
        How known covariates go on between the times at which they are given, where they drive
        the dynamics: along straight lines, or held until the next one, like a dose rate.
    window_scale : bool, default=True
        Whether values are read, and forecasts made, in units of the spread of what a window sees,
        as series of different size need; otherwise in one unit a channel, which is better where
        all series are of one size and few values of each are seen.
    latent_dim, hidden : int
        Dimension of the latent state, width of encoder and decoder.
    balance : float, default=0
        How much more a value counts in training whose channel is observed less often. With 0 all
        values count alike, and channels that are hardly ever observed hardly at all; with 1 all
        channels do. Between, a value weighs by the inverse of this power of the number of its
        channel's values.
    n_rows : int, default=48
        Rows that are read on each side of a query.
    n_lags : int, default=8
        Lagged values per channel that the decoder sees.
    seasonality : "auto", None or list of periods, default="auto"
        Periods of which the decoder sees the phase. "auto" keeps those that foretell.
    cutoffs : stamp or list of stamps, optional
        Where forecasts will be made from, such as the end of the first day of every stay of a
        panel: training asks for the horizon after these times alone, of every series that goes
        on there. Without them it asks from everywhere, also for values before and between
        observations, which takes longer and answers more.
    encoder_periods : list of periods, optional
        Sines and cosines of these periods, of the time that all series share, are read with every
        row, alone and multiplied by its values. Where each series oscillates with a frequency of
        its own, a range of periods lets the encoder find it from few observations, which
        ``seasonality``, made for common periods, does not.
    thinning : float, default=0
        Share of the rows seen that are hidden at random, others each time a window is trained on,
        and always the same ones of what is held out: for forecasts from histories that are
        sparser than the training data. At least one row is seen.
    input_noise : float, default=0.1
        Noise on the values that are read in training, in shares of their spread within a window;
        0 where the values are exact and every one of them counts.
    n_queries : int, optional
        Most values that a window is asked for in training; a longer stretch is asked for in several
        windows, each with a history of its own. By default 24, with ``cutoffs`` 64; where the
        history is hard to read, few queries and a large ``batch_size`` make cheap steps.
    max_epochs, batch_size, learning_rate, weight_decay, patience
        Training; ``patience`` counts epochs without a better held-out loss, at most ``max_epochs``.
    validation_fraction : float, default=0.2
        Share held out at the end of the series, or of the series of a large panel, to choose the
        length of the training and the widths of intervals; 0 trains for ``n_steps``.
    n_steps : int, optional
        Length of the training where nothing is held out, by default 100; it is refused where
        ``validation_fraction`` has the length chosen. ``max_time`` may shorten it.
    n_members : int, default=1
        Networks that are trained on all data, each from other weights; the forecast's quantiles
        are the mean of theirs.
    targets : label or list of labels, optional
        Columns to be forecast; the other ones are seen, but not known ahead and never forecast.
    target_transformer : scikit-learn transformer, optional
        Monotone and invertible, such as ``FunctionTransformer(np.log1p, np.expm1)``; fitted on
        the observed values of each target, inverted on quantiles and samples.
    duplicates : {"error", "mean", "last"}, default="error"
        What becomes of conflicting values at one time.
    time_col, id_col : hashable, optional
        Columns of a long frame.
    device : str, default="auto"
        "cpu", "cuda" or "auto".
    random_state : int, RandomState or None
        Seed; global generators are not touched.
    verbose : bool, default=False
        Whether to show progress.
    max_time : float, str or timedelta, optional
        Most time that a fit takes: seconds, or a length such as "10min". Where it is short, the
        choice of the length of the training ends in time to train as long again on all data.
    callbacks : callable or list of callables, optional
        Called after every epoch with a read-only mapping, the epoch's row of ``history_``. One
        that returns something true ends the phase (the choice of the length, then the training
        on all data); one that raises ``KeyboardInterrupt`` ends the fit like Ctrl-C, which keeps
        the best weights so far.
    checkpoint_dir : path, optional
        Where progress is kept after every epoch, so that the same fit goes on after its process
        was killed or interrupted; deleted at the end. Fits of other data or parameters may share
        the folder.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: phase, losses, steps skipped because their loss was not finite, seconds.
    periods_ : list of float
        Periods in clock units (seconds for dates).
    horizon_ : float
        Horizon in clock units.
    n_steps_ : int
        Steps that the held-out forecasts, or ``n_steps``, asked for.

    References
    ----------
    Rubanova, Y., Chen, R. T. Q., Duvenaud, D. (2019). Latent Ordinary Differential Equations
    for Irregularly-Sampled Time Series. NeurIPS. Equations (4)-(9).
    Kim, T. et al. (2022). Reversible Instance Normalization for Accurate Time-Series Forecasting
    against Distribution Shift. ICLR. Equations (1)-(3) (``window_scale``).
    Scargle, J. D. (1982). Studies in astronomical time series analysis II. ApJ 263, 835. Section II
    (``encoder_periods``).

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 20, 30))
    >>> y = pd.Series(np.sin(times), index=times)
    >>> model = ode.LatentODEForecaster(horizon=2.0, max_epochs=1, random_state=0).fit(y)
    >>> model.predict([20.5, 21.0]).shape
    (2,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseForecaster._parameter_constraints,
        "dynamics_params": [dict, None],
        "encoder": [StrOptions({"gru", "ode_rnn"})],
        "head": [StrOptions(set(HEADS))],
        "objective": [StrOptions({"forecast", "elbo"})],
        "solver_params": [dict, None],
        "input_interpolation": [StrOptions({"linear", "previous"})],
        "window_scale": ["boolean"],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "balance": [Interval(Real, 0, 1, closed="both")],
    }

    dynamics: str | type[Dynamics] = "linear"
    dynamics_params: dict[str, Any] | None = None
    encoder: str = "gru"
    head: str = "quantile"
    objective: str = "forecast"
    solver: Any = "midpoint"
    solver_params: dict[str, Any] | None = None
    input_interpolation: Interpolation = "linear"
    window_scale: bool = True
    latent_dim: int = 32
    hidden: int = 64
    balance: float = 0.0

    def build(self, spec: Spec) -> FlowNetwork:
        """Make an untrained network."""
        if self.objective == "elbo" and self.head == "quantile":
            raise ValueError(
                f"objective='elbo' needs a likelihood, which head={self.head!r} has not: "
                "give head='gaussian' or head='student'."
            )
        params = bounded(self.solver_params, spec)
        sizes = make_sizes(spec, self.n_lags, self.hidden)
        return FlowNetwork(
            sizes,
            self._encoder(sizes, params),
            self._dynamics(self.latent_dim, spec.periods, sizes.n_inputs),
            make_head(self.head),
            Anchor(
                sizes.n_channels,
                local=spec.n_series < FEWEST_SERIES,
                common_scale=not self.window_scale,
            ),
            solver=self.solver,
            solver_params=params,
            variational=self.objective == "elbo",
            interpolation=self.input_interpolation,
            balance=self.balance,
        )

    def _dynamics(self, dim: int, periods: tuple[float, ...], n_inputs: int) -> Dynamics:
        """The dynamics of that name, of one of its two sizes."""
        return make_dynamics(self.dynamics, self.dynamics_params, dim, periods, n_inputs)

    def _encoder(self, sizes: Sizes, solver_params: dict[str, Any]) -> Encoder:
        """The encoder of that name."""
        if self.encoder == "gru":
            return GRUEncoder(sizes.n_row_features, self.hidden)
        field = self._dynamics(self.hidden, (), sizes.n_inputs)
        return ODERNNEncoder(sizes.n_row_features, field, self.solver, solver_params)
