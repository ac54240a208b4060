"""Noisy, incomplete observations of a known truth at random times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from odeseries.panel import Float64

__all__ = ["observed"]


def observed(
    truth: Callable[[Float64], Float64],
    columns: Sequence[str],
    n_series: int,
    n_obs: int,
    noise: float,
    duration: float,
    rng: np.random.Generator,
    missing: float = 0.0,
) -> pd.DataFrame:
    """Observations of every series at its own random times.

    Parameters
    ----------
    truth : callable
        From times of shape (n_obs,), rising, to values of shape (n_obs, n_columns); called once a
        series, and free to draw from `rng`.
    columns : sequence of str
        Names of the values.
    n_series, n_obs : int
        Series, and observations of each.
    noise : float
        Standard deviation of the normal noise.
    duration : float
        Times are uniform in ``[0, duration]``.
    rng : numpy.random.Generator
        Source of randomness.
    missing : float
        Probability in [0, 1) that an entry is hidden; one entry of every row stays.

    Returns
    -------
    DataFrame of shape (n_series * n_obs, n_columns)
        Under the index (series, time).

    Raises
    ------
    ValueError
        If there is no series, or a number is negative or no number.
    """
    if n_series < 1:
        raise ValueError(f"n_series={n_series!r} must be at least 1.")
    for name, value in {"n_obs": n_obs, "noise": noise, "duration": duration}.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name}={value!r} must be at least 0, and finite.")
    if not 0 <= missing < 1:
        raise ValueError(f"missing={missing!r} is not a share in [0, 1).")
    (hiding,) = rng.spawn(1)  # a stream of its own: what is hidden changes nothing else
    parts = {}
    for i in range(n_series):
        times = np.sort(rng.uniform(0, duration, n_obs))
        clean = truth(times)
        noisy = clean + noise * rng.standard_normal(clean.shape)
        noisy[_hidden(clean.shape, missing, hiding)] = np.nan
        parts[i] = pd.DataFrame(noisy, index=times, columns=list(columns))
    return pd.concat(parts, names=["series", "time"])


def _hidden(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> np.ndarray:
    """Which entries are hidden."""
    hidden = rng.random(shape) < share
    hidden[np.arange(shape[0]), rng.integers(shape[1], size=shape[0])] = False
    return hidden
