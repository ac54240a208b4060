"""Generated stochastic processes, drawn exactly at random times."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odeseries.datasets.observing import observed
from odeseries.panel import Float64

__all__ = ["make_double_ou"]

MEANS = np.array([1.0, -1.0])
RATES = np.array([0.5, 1.0])
SIZES = np.array([0.4, 0.6])


def make_double_ou(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    correlation: float = 0.9,
    noise: float = 0.02,
    missing: float = 0.0,
    duration: float = 10.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Two correlated Ornstein-Uhlenbeck processes, stationary.

    :math:`dx = \frac12 (1 - x) dt + 0.4\, dW_1`, :math:`dy = (-1 - y) dt + 0.6\, dW_2` with
    :math:`dW_1 dW_2 = \rho\, dt`. The transitions between the times are drawn exactly, whatever
    the times are.

    Parameters
    ----------
    n_series, n_obs : int
        Series, and observations of each.
    correlation : float
        The correlation :math:`\rho` of the driving noise, in (-1, 1).
    noise : float
        Standard deviation of the normal observation noise.
    missing : float
        Probability in [0, 1) that an entry is hidden; one entry of every row stays.
    duration : float
        Times are uniform in ``[0, duration]``.
    random_state : int or None
        Seed.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 2)
        Columns ``x`` and ``y`` under the index (series, time).

    References
    ----------
    Gillespie, D. T. (1996). Exact numerical simulation of the Ornstein-Uhlenbeck process and its
    integral. Physical Review E 54, 2084.

    Examples
    --------
    >>> from odeseries.datasets import make_double_ou
    >>> make_double_ou(3, 10).shape
    (30, 2)
    """
    if not -1 < correlation < 1:
        raise ValueError(f"correlation={correlation!r} must lie in (-1, 1).")
    rng = np.random.default_rng(random_state)
    rates = RATES[:, None] + RATES
    driving = np.outer(SIZES, SIZES) * np.array([[1, correlation], [correlation, 1]])

    def path(times: Float64) -> Float64:
        state = rng.multivariate_normal(np.zeros(2), driving / rates)
        states = np.empty((len(times), 2))
        for i, step in enumerate(np.diff(times, prepend=times[:1])):
            covariance = driving * -np.expm1(-rates * step) / rates
            state = np.exp(-RATES * step) * state + rng.multivariate_normal(np.zeros(2), covariance)
            states[i] = state
        return np.asarray(MEANS + states)

    return observed(path, ["x", "y"], n_series, n_obs, noise, duration, rng, missing)
