"""The forecaster of a linear stochastic differential equation."""

from __future__ import annotations

from odeseries.anchoring import Anchor
from odeseries.forecasters.base import BaseForecaster
from odeseries.forecasters.gaussian_network import LinearSDENetwork
from odeseries.holding_out import FEWEST_SERIES
from odeseries.recipe import Spec

__all__ = ["LinearSDEForecaster"]


class LinearSDEForecaster(BaseForecaster):
    r"""Linear stochastic differential equations, conditioned on what is seen in closed form.

    Each channel is a sum of drifts that forget slowly and fast, and of damped oscillators at the
    periods of the data, all driven by white noise and observed with noise. Such a sum is a
    Gaussian process, so that its forecasts need no integration and no training by gradients of
    batches: a handful of constants is found by maximum likelihood, and the shape of the errors,
    skewed or heavy-tailed as it may be, is taken from those on the training data. It is quick,
    and hard to beat on a single series of a few hundred values; channels do not learn from each
    other, and neither do known inputs help.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts go; 10 % of the longest series by default.
    n_rows : int, default=128
        Rows on each side that a query is conditioned on; the cost grows with their cube.
    n_lags, seasonality, validation_fraction, targets, target_transformer, duplicates, time_col, \
id_col, device, random_state, verbose, max_time, callbacks, checkpoint_dir
        As in `LatentODEForecaster`; what concerns the training by batches alone changes nothing.

    Attributes
    ----------
    periods_, horizon_
        As in `LatentODEForecaster`.

    Notes
    -----
    The covariance of a channel at the gap :math:`\tau` is

    .. math:: s_0^2 + \sum_j s_j^2 (1 + \sqrt 3 |\tau| / l_j) e^{-\sqrt 3 |\tau| / l_j}
              + \sum_p e^{-|\tau| / d_p} \sum_{k=1}^{3} a_{pk}^2 \cos(2 \pi k \tau / P_p),

    with a nugget :math:`\sigma^2`: Matern processes of order 3/2, each the solution of a linear
    stochastic equation of second order (Hartikainen and Sarkka 2010), and oscillators with
    damping (Solin and Sarkka 2014).

    References
    ----------
    Hartikainen, J., Sarkka, S. (2010). Kalman filtering and smoothing solutions to temporal
    Gaussian process regression models. MLSP.

    Solin, A., Sarkka, S. (2014). Explicit link between periodic covariance functions and state
    space models. AISTATS.

    Examples
    --------
    >>> import numpy as np, pandas as pd, odeseries as ode
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 20, 80))
    >>> y = pd.Series(np.sin(times), index=times)
    >>> model = ode.LinearSDEForecaster(horizon=2.0, random_state=0).fit(y)
    >>> bool(abs(model.predict([21.0]).iloc[0] - np.sin(21.0)) < 0.05)
    True
    """

    n_rows: int = 128

    def build(self, spec: Spec) -> LinearSDENetwork:
        """Make a network without anything to be trained by batches."""
        anchor = Anchor(spec.n_channels, local=spec.n_series < FEWEST_SERIES)
        return LinearSDENetwork(spec.n_channels, spec.periods, anchor)
