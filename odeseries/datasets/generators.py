"""Generated series whose truth is known, observed at random times."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odeseries.datasets.observing import observed
from odeseries.panel import Float64

__all__ = ["make_damped_spirals", "make_periodic"]


def make_damped_spirals(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    noise: float = 0.02,
    duration: float = 10.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Two coordinates of damped rotations at random times of each series.

    :math:`x + i y = r_0 e^{i \phi_0} e^{(-0.2 + 1.5 i) t}` with random start, plus noise.

    Parameters
    ----------
    n_series, n_obs : int
        Series, and observations of each.
    noise : float
        Standard deviation of the normal noise; the same seed without noise gives the truth at
        the same times.
    duration : float
        Times are uniform in ``[0, duration]``.
    random_state : int or None
        Seed.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 2)
        Columns ``x`` and ``y`` under the index (series, time).

    Examples
    --------
    >>> from odeseries.datasets import make_damped_spirals
    >>> make_damped_spirals(3, 10).shape
    (30, 2)
    """
    rng = np.random.default_rng(random_state)

    def spiral(times: Float64) -> Float64:
        start = rng.uniform(0.5, 2.0) * np.exp(2j * np.pi * rng.random())
        path = start * np.exp((-0.2 + 1.5j) * times)
        return np.column_stack([path.real, path.imag])

    return observed(spiral, ["x", "y"], n_series, n_obs, noise, duration, rng)


def make_periodic(
    n_series: int = 20,
    n_obs: int = 60,
    *,
    noise: float = 0.05,
    duration: float = 10.0,
    random_state: int | None = 0,
) -> pd.DataFrame:
    r"""Sines of random period and phase at random times of each series.

    :math:`\sin(2 \pi t / P + \phi)` with :math:`P` uniform in [1.5, 3], plus noise.

    Parameters
    ----------
    n_series, n_obs, noise, duration, random_state
        As in `make_damped_spirals`.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, 1)
        Column ``y`` under the index (series, time).

    Examples
    --------
    >>> from odeseries.datasets import make_periodic
    >>> make_periodic(3, 10).shape
    (30, 1)
    """
    rng = np.random.default_rng(random_state)

    def wave(times: Float64) -> Float64:
        period, phase = rng.uniform(1.5, 3.0), 2 * np.pi * rng.random()
        return np.sin(2 * np.pi * times / period + phase)[:, None]

    return observed(wave, ["y"], n_series, n_obs, noise, duration, rng)
