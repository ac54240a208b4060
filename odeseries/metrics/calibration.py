"""Whether the predicted probabilities are right, and how narrow the forecasts are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.metrics.alignment import (
    aligned,
    aligned_levels,
    aligned_samples,
    refuse_reordered,
)
from odeseries.metrics.marginal import LEVELS
from odeseries.panel import Float64

__all__ = ["by_lead", "coverage", "pit_from_quantiles", "pit_from_samples", "sharpness"]


def coverage(truth: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> float:
    """Share of the observed values within ``[low, high]``.

    NaN if none was observed, or an end of the interval of one is missing.
    """
    y, lower, upper = aligned(truth=truth, low=low, high=high)
    seen = np.isfinite(y)
    return float(_inside(y, lower, upper)[seen].mean()) if seen.any() else float("nan")


def _inside(y: Float64, lower: Float64, upper: Float64) -> Float64:
    """1 within the ends and 0 outside, NaN where an end is missing."""
    inside = ((y >= lower) & (y <= upper)).astype(np.float64)
    return np.where(np.isnan(lower) | np.isnan(upper), np.nan, inside)


def sharpness(low: npt.ArrayLike, high: npt.ArrayLike) -> float:
    """Mean width of intervals, in the unit of the data: of two calibrated forecasts the narrower.

    NaN if there is none, or an end is missing.

    References
    ----------
    Gneiting, T., Balabdaoui, F., Raftery, A. E. (2007). Probabilistic forecasts, calibration and
    sharpness. JRSS B 69, 243. Section 3.4.
    """
    lower, upper = aligned(low=low, high=high)
    return float(np.mean(upper - lower)) if lower.size else float("nan")


def by_lead(
    lead: Any,
    truth: npt.ArrayLike,
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    edges: int | Sequence[Any] = 5,
) -> pd.DataFrame:
    """Coverage and sharpness of intervals by lead time.

    Parameters
    ----------
    lead : array-like of shape (n,)
        Time from the end of the history to each observation: numbers or time differences, such
        as the column ``lead`` of `odeseries.model_selection.backtest`.
    truth : array-like of shape (n,)
        Observations; NaN is "not observed".
    low, high : array-like of shape (n,)
        Ends of the intervals.
    edges : int or sequence
        Number of equal ranges of the lead, or their edges, open on the left.

    Returns
    -------
    DataFrame
        Indexed by the range of the lead: ``coverage``, ``width`` (mean) and ``n``, the number of
        observed values. NaN in a range without observed values, or with an end missing.

    Examples
    --------
    >>> from odeseries.metrics import by_lead
    >>> by_lead([1.0, 2.0], [0.5, 3.0], [0.0, 0.0], [1.0, 2.0], edges=[0, 1, 2])["width"].tolist()
    [1.0, 2.0]
    """
    y, lower, upper = aligned(truth=truth, low=low, high=high)
    if np.shape(lead) != y.shape:
        raise ValueError(f"truth of shape {y.shape} needs a lead of each, not of {np.shape(lead)}.")
    refuse_reordered(lead=lead, truth=truth, low=low, high=high)
    if not y.size:
        raise ValueError("truth is empty: give at least one observation with its lead.")
    seen = np.isfinite(y)
    inside = _inside(y, lower, upper)
    ranges = pd.cut(pd.Series(lead).reset_index(drop=True), edges)
    frame = pd.DataFrame({"coverage": inside, "width": upper - lower})[seen]
    groups = frame.groupby(ranges[seen].rename("lead"), observed=False)
    n = groups.size()
    return groups.mean().where(groups.count().eq(n, axis=0)).assign(n=n)


def pit_from_quantiles(
    truth: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike = LEVELS
) -> Float64:
    """Probability integral transform: uniform if the predicted distributions are right.

    Parameters
    ----------
    truth : array-like of shape (...,)
        Observations; NaN is "not observed".
    quantiles : array-like of shape (..., n_levels)
        Predicted quantiles, never falling.
    levels : array-like of shape (n_levels,)
        Their levels, rising.

    Returns
    -------
    ndarray of shape (...,)
        The level at which the truth lies, linear between the quantiles, and half-way to 0 or 1
        beyond them; the middle of the levels where several quantiles are equal to the truth. NaN
        where the truth or a quantile is.

    Raises
    ------
    ValueError
        If shapes differ, or levels don't rise in (0, 1).

    References
    ----------
    Gneiting, T., Balabdaoui, F., Raftery, A. E. (2007). Probabilistic forecasts, calibration and
    sharpness. JRSS B 69, 243. Section 3.1.
    """
    y, q, level = aligned_levels(truth, quantiles, levels)
    if (np.diff(level) <= 0).any():
        raise ValueError(f"levels={level.tolist()} must rise, and quantiles with them.")
    known = np.isfinite(y) & ~np.isnan(q).any(-1)
    y = y[..., None]
    below, upto = (q < y).sum(-1), (q <= y).sum(-1)
    padded = np.concatenate([[0.0], level, [1.0]])
    inner = np.clip(below, 1, q.shape[-1] - 1)
    left, right = (np.take_along_axis(q, k[..., None], -1) for k in (inner - 1, inner))
    gap = np.where(right > left, right - left, 1.0)
    share = np.where((below > 0) & (below < q.shape[-1]), ((y - left) / gap)[..., 0], 0.5)
    next_up = padded[below + 1]
    between = padded[below] + share * (next_up - padded[below])
    tied = (next_up + padded[upto]) / 2
    return np.where(known, np.where(upto > below, tied, between), np.nan)


def pit_from_samples(
    truth: npt.ArrayLike, samples: npt.ArrayLike, *, random_state: int | None = None
) -> Float64:
    """Randomised rank of the truth among samples: uniform if they are of the truth's law.

    Parameters
    ----------
    truth : array-like of shape (...,)
        Observations; NaN is "not observed".
    samples : array-like of shape (..., n_samples)
        Draws from the predicted distribution.
    random_state : int, optional
        Seed of the place between two ranks.

    Returns
    -------
    ndarray of shape (...,)
        In (0, 1); NaN where the truth or a sample is.

    References
    ----------
    Czado, C., Gneiting, T., Held, L. (2009). Predictive Model Assessment for Count Data.
    Biometrics 65, 1254. Section 2.1.
    """
    y, drawn = aligned_samples(truth, samples)
    below = (drawn < y[..., None]).sum(-1)
    ties = (drawn == y[..., None]).sum(-1)
    place = np.random.default_rng(random_state).random(y.shape)
    rank = (below + place * (ties + 1)) / (drawn.shape[-1] + 1)
    return np.where(np.isfinite(y) & ~np.isnan(drawn).any(-1), rank, np.nan)
