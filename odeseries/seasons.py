"""Values of a channel whole periods away from what is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from odeseries.panel import Float64

__all__ = ["N_SEASONS", "seasons_of"]

N_SEASONS = 2
"""Values for every period, one more period away each."""
DAMPING = 0.8
"""What is left of a change over a period after every further one."""
FEWEST = 4
ROUNDING = 1e-6


def seasons_of(
    asked: Float64, nearest: float, times: Float64, values: Float64, periods: Sequence[float]
) -> Float64:
    r"""Interpolated values whole periods away, the first of them the nearest one that is known.

    Where the nearest is :math:`k > 1` periods away, the :math:`k - 1` periods between are bridged
    by :math:`d (1 + \phi + \dots + \phi^{k-2})` with the change :math:`d` over the last period, so
    that a series that rises from year to year has no jump at the end of the first one.

    Parameters
    ----------
    asked : ndarray of shape (n_queries,)
        Times, all after or all before the nearest one seen.
    nearest : float
        Time seen next to them.
    times, values : ndarray of shape (n_seen,)
        What was seen of the channel, in order of time.
    periods : sequence of float

    Returns
    -------
    ndarray of shape (n_queries, N_SEASONS * n_periods)
        NaN where nothing is known.

    References
    ----------
    Gardner, E. S., McKenzie, E. (1985). Forecasting trends in time series. Management Science
    31, 1237. Equation 4, the damped trend.
    """
    columns = []
    direction = 1.0 if nearest >= times[-1] else -1.0
    for period in periods:
        slack = ROUNDING * period
        back = np.maximum(np.ceil((direction * (asked - nearest) - slack) / period), 1.0)
        change = _change(times, values, direction * period) if (back > 1).any() else 0.0
        bridged = change * (1 - DAMPING ** (back - 1)) / (1 - DAMPING)
        for extra in range(N_SEASONS):
            at = asked - direction * (back + extra) * period
            inside = (at >= times[0] - slack) & (at <= times[-1] + slack)
            columns.append(np.where(inside, np.interp(at, times, values) + bridged, np.nan))
    return np.column_stack(columns)


def _change(times: Float64, values: Float64, step: float) -> float:
    """Mean change over the last step of time, shrunk where it is no larger than its spread."""
    end = times[-1] if step > 0 else times[0]
    late = np.abs(times - end) < abs(step)
    before = times[late] - step
    known = (before >= times[0]) & (before <= times[-1])
    if known.sum() < FEWEST:
        return 0.0
    changes = values[late][known] - np.interp(before[known], times, values)
    mean, variance = float(changes.mean()), float(changes.var())
    return mean * max(0.0, 1 - variance / mean**2) if mean else 0.0
