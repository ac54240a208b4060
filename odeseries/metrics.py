"""Scores of probabilistic forecasts."""

from __future__ import annotations

import numpy as np

from odeseries.panel import Float64

__all__ = ["LEVELS", "coverage", "crps_from_quantiles"]

LEVELS: Float64 = np.arange(1, 100) / 100


def crps_from_quantiles(truth: Float64, quantiles: Float64, levels: Float64 = LEVELS) -> Float64:
    """Continuous ranked probability score, as twice the mean pinball loss over even levels.

    Parameters
    ----------
    truth : ndarray of shape (...,)
        Observations.
    quantiles : ndarray of shape (..., n_levels)
        Predicted quantiles.
    levels : ndarray of shape (n_levels,)
        Their levels, evenly spaced in (0, 1).

    Returns
    -------
    ndarray of shape (...,)
        In the unit of ``truth``; NaN where ``truth`` is NaN.

    References
    ----------
    Gneiting, T., Raftery, A. E. (2007). Strictly Proper Scoring Rules, Prediction, and
    Estimation. JASA 102, 359. Equation (20); the quantile form is in Section 6.1.
    """
    error = truth[..., None] - quantiles
    pinball: Float64 = 2 * np.maximum(levels * error, (levels - 1) * error)
    return np.asarray(pinball.mean(-1))


def coverage(truth: Float64, low: Float64, high: Float64) -> float:
    """Share of the observed values within ``[low, high]``."""
    seen = np.isfinite(truth)
    inside = (truth >= low) & (truth <= high)
    return float(inside[seen].mean())
