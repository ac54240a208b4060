"""Scores of one value at a time; smaller is better, NaN where nothing was observed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from odeseries.arguments import require_probability
from odeseries.metrics.alignment import aligned, aligned_levels, aligned_samples
from odeseries.panel import Float64

__all__ = ["LEVELS", "crps_from_quantiles", "crps_from_samples", "interval_score", "pinball_loss"]

LEVELS: Float64 = np.arange(1, 100) / 100


def pinball_loss(
    truth: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike = LEVELS
) -> Float64:
    r"""Pinball loss of quantiles, :math:`\max(\alpha e, (\alpha - 1) e)` of the error :math:`e`.

    Parameters
    ----------
    truth : array-like of shape (...,)
        Observations; NaN is "not observed".
    quantiles : array-like of shape (..., n_levels)
        Predicted quantiles.
    levels : array-like of shape (n_levels,)
        Their levels in (0, 1).

    Returns
    -------
    ndarray of shape (..., n_levels)
        In the unit of `truth`; NaN where `truth` is NaN.

    References
    ----------
    Koenker, R., Bassett, G. (1978). Regression Quantiles. Econometrica 46, 33. Equation (2.1).

    Examples
    --------
    >>> from odeseries.metrics import pinball_loss
    >>> pinball_loss(3.0, [1.0, 4.0], levels=[0.25, 0.75]).tolist()
    [0.5, 0.25]
    """
    y, q, level = aligned_levels(truth, quantiles, levels)
    error = y[..., None] - q
    return np.asarray(np.maximum(level * error, (level - 1) * error))


def crps_from_quantiles(
    truth: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike = LEVELS
) -> Float64:
    """Continuous ranked probability score, as twice the mean pinball loss over even levels.

    Parameters
    ----------
    truth : array-like of shape (...,)
        Observations; NaN is "not observed".
    quantiles : array-like of shape (..., n_levels)
        Predicted quantiles.
    levels : array-like of shape (n_levels,)
        Their levels, evenly spaced in (0, 1).

    Returns
    -------
    ndarray of shape (...,)
        In the unit of `truth`; NaN where `truth` is NaN.

    Raises
    ------
    ValueError
        If shapes differ, or levels are not evenly spaced in (0, 1).

    References
    ----------
    Gneiting, T., Raftery, A. E. (2007). Strictly Proper Scoring Rules, Prediction, and
    Estimation. JASA 102, 359. Equation (20); the quantile form is in Section 6.1.
    """
    gaps = np.diff(np.asarray(levels, dtype=np.float64))
    if not np.allclose(gaps, gaps[:1], rtol=1e-3):
        raise ValueError(
            f"levels={np.asarray(levels).tolist()} must be evenly spaced, as their mean stands for "
            "an integral over all levels."
        )
    return np.asarray(2 * pinball_loss(truth, quantiles, levels).mean(-1))


def crps_from_samples(
    truth: npt.ArrayLike, samples: npt.ArrayLike, *, fair: bool = False
) -> Float64:
    r"""Continuous ranked probability score of samples.

    :math:`\frac1n \sum_i |x_i - y| - \frac1{2 n^2} \sum_{ij} |x_i - x_j|`, the second sum taken
    from the sorted samples.

    Parameters
    ----------
    truth : array-like of shape (...,)
        Observations; NaN is "not observed".
    samples : array-like of shape (..., n_samples)
        Draws from the predicted distribution.
    fair : bool
        Whether to divide the second sum by ``2 n (n - 1)``: the expectation is then the score of
        the distribution that the samples come from, however few they are.

    Returns
    -------
    ndarray of shape (...,)
        In the unit of `truth`; NaN where `truth` is NaN.

    References
    ----------
    Gneiting, T., Raftery, A. E. (2007). Strictly Proper Scoring Rules, Prediction, and
    Estimation. JASA 102, 359. Equation (21).

    Ferro, C. A. T. (2014). Fair scores for ensemble forecasts. QJRMS 140, 1917.
    """
    y, drawn = aligned_samples(truth, samples)
    drawn = np.sort(drawn, axis=-1)
    n = drawn.shape[-1]
    if n < 1 + fair:
        raise ValueError(f"n_samples={n}: at least {1 + fair} are needed.")
    error = np.abs(drawn - y[..., None]).mean(-1)
    spread = (drawn * (2 * np.arange(1, n + 1) - n - 1)).sum(-1)
    return np.asarray(error - spread / (n * (n - fair)))


def interval_score(
    truth: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, coverage: float
) -> Float64:
    r"""Width of a central interval, plus a penalty for the truth outside of it.

    :math:`(u - l) + \frac2\alpha (l - y)_+ + \frac2\alpha (y - u)_+` with
    :math:`\alpha` = 1 - coverage.

    Parameters
    ----------
    truth : array-like of shape (...,)
        Observations; NaN is "not observed".
    low, high : array-like of shape (...,)
        Ends of the intervals.
    coverage : float
        Probability in (0, 1) that the intervals should hold.

    Returns
    -------
    ndarray of shape (...,)
        In the unit of `truth`; NaN where `truth` is NaN.

    References
    ----------
    Gneiting, T., Raftery, A. E. (2007). Strictly Proper Scoring Rules, Prediction, and
    Estimation. JASA 102, 359. Equation (43).

    Examples
    --------
    >>> from odeseries.metrics import interval_score
    >>> float(interval_score(5.5, 1.0, 5.0, coverage=0.5))
    6.0
    """
    require_probability(coverage, "coverage")
    y, lower, upper = aligned(truth=truth, low=low, high=high)
    outside = np.maximum(lower - y, 0) + np.maximum(y - upper, 0)
    return np.asarray(upper - lower + 2 / (1 - coverage) * outside)
