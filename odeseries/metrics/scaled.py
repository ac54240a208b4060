"""Errors in units of what a naive forecast makes, at irregular times."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.frames import Clock
from odeseries.frames.stamps import read_stamps
from odeseries.metrics.alignment import aligned

__all__ = ["mase", "naive_error"]


def naive_error(times: Any, values: npt.ArrayLike, period: object) -> float:
    r"""Mean absolute error of repeating what was seen a period before.

    The value at :math:`t` is forecast by the last one observed at or before :math:`t - m`; times
    without one are left out. On a regular grid this is the seasonal naive forecast.

    Parameters
    ----------
    times : Index or array-like of shape (n,)
        Dates, time differences or numbers, in any order.
    values : array-like of shape (n,)
        Observations; NaN is "not observed".
    period : str, timedelta or number
        A season or a horizon, in units of time: ``"365D"`` for dates, a number for numbers.

    Returns
    -------
    float
        In the unit of `values`.

    Raises
    ------
    ValueError
        If no observation is a period later than another, or shapes differ.

    Notes
    -----
    Times count as a period apart if they are so up to the rounding of their type of number.

    Examples
    --------
    >>> from odeseries.metrics import naive_error
    >>> naive_error([0.0, 1.0, 2.5], [10.0, 12.0, 11.0], period=1.0)
    1.5
    """
    index = pd.Index(times)
    if index.empty:
        raise ValueError("times is empty: give the history.")
    stamps = read_stamps(index, "times")
    clock = Clock(stamps.kind, stamps.ticks.min().item(), stamps.unit)
    lag = clock.duration(period, "period")
    t, y = aligned(times=clock.times(stamps, np.zeros(len(stamps))), values=values)
    order = np.argsort(t, kind="stable")
    order = order[np.isfinite(y[order])]
    t, y = t[order], y[order]
    if not len(t):
        raise ValueError("values holds no observation: give the history.")
    rounded = t if stamps.ticks.dtype.kind != "f" else index.to_numpy()
    slack = 1e-9 * lag + 4 * float(np.spacing(np.abs(rounded).max()))
    before = np.searchsorted(t, t - lag + min(slack, lag / 2), "right") - 1
    if not (before >= 0).any():
        raise ValueError(f"No observation is period={period!r} later than another.")
    return float(np.abs(y - y[before])[before >= 0].mean())


def mase(
    truth: npt.ArrayLike, forecast: npt.ArrayLike, times: Any, values: npt.ArrayLike, period: object
) -> float:
    """Mean absolute scaled error: below 1 is better than repeating the history.

    Parameters
    ----------
    truth : array-like of shape (n_ahead,)
        Observations; NaN is "not observed".
    forecast : array-like of shape (n_ahead,)
        Their forecasts, as of ``predict``.
    times, values : array-like of shape (n,)
        The history.
    period : str, timedelta or number
        What the naive forecast repeats; see `naive_error`.

    Returns
    -------
    float
        NaN if nothing was observed, or a forecast of what was observed is missing.

    Raises
    ------
    ValueError
        If the naive forecast can't be made, or makes no error on the history, or shapes differ.

    References
    ----------
    Hyndman, R. J., Koehler, A. B. (2006). Another look at measures of forecast accuracy.
    International Journal of Forecasting 22, 679. Section 3, with lags in time.
    """
    scale = naive_error(times, values, period)
    if scale == 0:
        raise ValueError(
            "The history repeats itself exactly, so that the naive forecast makes no error and "
            "can't scale another's."
        )
    y, ours = aligned(truth=truth, forecast=forecast)
    seen = np.isfinite(y)
    return float(np.abs(y - ours)[seen].mean() / scale) if seen.any() else float("nan")
