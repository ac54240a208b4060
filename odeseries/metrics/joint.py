"""Scores of joint samples of several values: times, channels or both; smaller is better."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from odeseries.metrics.alignment import observed, require_samples
from odeseries.panel import Float64

__all__ = ["energy_score", "variogram_score"]


def energy_score(truth: npt.ArrayLike, samples: npt.ArrayLike) -> Float64:
    r"""Energy score, the CRPS in several dimensions.

    :math:`\frac1n \sum_i \|x_i - y\| - \frac1{2 n^2} \sum_{ij} \|x_i - x_j\|`, over the
    coordinates that were observed.

    Parameters
    ----------
    truth : array-like of shape (..., n_values)
        Observations; NaN is "not observed".
    samples : array-like of shape (..., n_samples, n_values)
        Joint draws from the predicted distribution.

    Returns
    -------
    ndarray of shape (...,)
        In the unit of `truth`; NaN where nothing was observed.

    References
    ----------
    Gneiting, T., Raftery, A. E. (2007). Strictly Proper Scoring Rules, Prediction, and
    Estimation. JASA 102, 359. Equation (22), with the exponent 1.
    """
    y, drawn, seen = _checked(truth, samples)
    n = drawn.shape[-2]
    error = np.linalg.norm(drawn - y[..., None, :], axis=-1).mean(-1)
    spread = np.zeros_like(error)
    for i in range(n):
        spread += np.linalg.norm(drawn - drawn[..., i : i + 1, :], axis=-1).sum(-1)
    return np.where(seen.any(-1), error - spread / (2 * n**2), np.nan)


def variogram_score(
    truth: npt.ArrayLike,
    samples: npt.ArrayLike,
    *,
    order: float = 0.5,
    weights: npt.ArrayLike | None = None,
) -> Float64:
    r"""Variogram score, which sees wrong correlations better than the energy score.

    :math:`\sum_{ij} w_{ij} (|y_i - y_j|^p - \frac1n \sum_k |x_{ki} - x_{kj}|^p)^2`, over the
    pairs that were observed.

    Parameters
    ----------
    truth : array-like of shape (..., n_values)
        Observations; NaN is "not observed".
    samples : array-like of shape (..., n_samples, n_values)
        Joint draws from the predicted distribution.
    order : float
        The exponent :math:`p`, positive.
    weights : array-like of shape (n_values, n_values), optional
        The weights :math:`w`, not negative, such as inverse distances in time; 1 by default.

    Returns
    -------
    ndarray of shape (...,)
        NaN where fewer than two values were observed.

    Raises
    ------
    ValueError
        If shapes differ, or a weight is negative or not finite.

    References
    ----------
    Scheuerer, M., Hamill, T. M. (2015). Variogram-Based Proper Scoring Rules for Probabilistic
    Forecasts of Multivariate Quantities. Monthly Weather Review 143, 1321.
    """
    if not order > 0:
        raise ValueError(f"order={order!r} must be positive.")
    y, drawn, seen = _checked(truth, samples)
    expected = np.zeros((*y.shape, y.shape[-1]))
    for i in range(y.shape[-1]):
        expected[..., i] = (np.abs(drawn - drawn[..., i : i + 1]) ** order).mean(-2)
    observed = np.abs(y[..., :, None] - y[..., None, :]) ** order
    weight = _weights(weights, y.shape[-1])
    pairs = seen[..., :, None] & seen[..., None, :]
    score = (weight * pairs * (observed - expected) ** 2).sum((-2, -1))
    return np.where(seen.sum(-1) > 1, score, np.nan)


def _weights(weights: npt.ArrayLike | None, n: int) -> Float64:
    """Weights of pairs, (n, n)."""
    given = np.ones((n, n)) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (n, n):
        raise ValueError(
            f"weights of shape {given.shape} must be of shape {(n, n)}, one for every pair of "
            "values."
        )
    if not (np.isfinite(given) & (given >= 0)).all():
        raise ValueError("weights must be finite, and none of them negative.")
    return given


def _checked(
    truth: npt.ArrayLike, samples: npt.ArrayLike
) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
    """Truth and samples with zeros where nothing was observed, and what was observed."""
    y, drawn = observed(truth), np.asarray(samples, dtype=np.float64)
    if (
        drawn.ndim != y.ndim + 1
        or drawn.shape[:-2] != y.shape[:-1]
        or y.shape[-1:] != (drawn.shape[-1],)
    ):
        raise ValueError(
            f"truth of shape {y.shape} needs samples of shape (..., n_samples, n_values), not "
            f"{drawn.shape}."
        )
    require_samples(drawn.shape[-2])
    seen = np.isfinite(y)
    return np.where(seen, y, 0.0), np.where(seen[..., None, :], drawn, 0.0), seen
