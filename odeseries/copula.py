"""Dependence of the errors of a forecast in time and across channels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from odeseries.metrics import LEVELS
from odeseries.panel import Float64, Int64

__all__ = ["Copula"]

LENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
PERIODS = (math.inf, 4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97)
LEAST_TURNS = 1 / 3
"""Shortest correlation time of a process that turns, in periods: a faster decay hides the turn."""
UNKNOWN = (1.0, 0.5)
"""Correlation time and share where too few errors are known."""
FEWEST_PAIRS = 20
MOST_WINDOWS = 128
TIE = 1e-6
"""Distance, in spreads of a distribution, within which a value lies on a quantile of it."""
OUTERMOST = 1e-4
"""Probability that a value beyond all quantiles is given at least."""


@dataclass(frozen=True, eq=False)
class Copula:
    r"""Gaussian copula: a damped, turning process in time plus white noise.

    The normal scores of the errors have the correlation
    :math:`C_{cd} (s\, e^{-|t - t'| / \ell} \cos(2 \pi (t - t') / p) + (1 - s) 1_{t = t'})`: the
    real part of a complex Ornstein-Uhlenbeck process that turns. Errors of a phase, as of a cycle
    that comes late, change their sign with it. The process is Markov, so that paths cost as much
    as there are times, and asking for more times does not change the law of the others.

    Attributes
    ----------
    length : float
        Correlation time :math:`\ell`, in horizons.
    share : float
        Share :math:`s` of the variance that is correlated in time.
    factor : ndarray of shape (n_targets, n_targets)
        Cholesky factor of :math:`C`.
    period : float
        Period :math:`p`, in horizons; infinite for a plain decay.

    References
    ----------
    Pinson, P. et al. (2009). From probabilistic forecasts to statistical scenarios of
    short-term wind power production. Wind Energy 12, 51. Section 3.
    """

    length: float
    share: float
    factor: Float64
    period: float = math.inf

    @classmethod
    def fitted(cls, window: Int64, times: Float64, truth: Float64, quantiles: Float64) -> Copula:
        """Moments of the normal scores of forecasts of what was held out.

        Parameters
        ----------
        window : ndarray of shape (n_rows,)
            Which forecast a row belongs to; errors of different ones are not compared.
        times : ndarray of shape (n_rows,)
            In horizons.
        truth : ndarray of shape (n_rows, n_targets)
            NaN is "not observed".
        quantiles : ndarray of shape (n_rows, n_targets, n_levels)
            At `LEVELS`, in ascending order.
        """
        scores = _normal_scores(truth, quantiles, np.random.default_rng(0))
        length, share, period = _in_time(*_pairs(window, times, scores))
        return cls(length, share, _across(scores), period)

    @classmethod
    def unknown(cls, n_targets: int) -> Copula:
        """Some dependence in time and none across channels, where no errors are known."""
        return cls(*UNKNOWN, np.eye(n_targets))

    def ranks(self, times: Float64, n_samples: int, rng: np.random.Generator) -> Float64:
        """Joint ranks in (0, 1) at times in any order, (n_samples, n_times, n_channels)."""
        distinct, inverse = np.unique(times, return_inverse=True)
        shape = (n_samples, len(distinct), len(self.factor))
        noise = rng.standard_normal((3, *shape))
        turning = noise[0] + 1j * noise[1]
        keep = np.exp(np.diff(distinct) * complex(-1 / self.length, 2 * math.pi / self.period))
        for i, k in enumerate(keep):
            fresh = np.sqrt(1 - np.abs(k) ** 2) * turning[:, i + 1]
            turning[:, i + 1] = k * turning[:, i] + fresh
        mixed = np.sqrt(self.share) * turning.real + np.sqrt(1 - self.share) * noise[2]
        return np.asarray(ndtr(mixed @ self.factor.T))[:, inverse]


def _normal_scores(truth: Float64, quantiles: Float64, rng: np.random.Generator) -> Float64:
    """Normal scores of values in their forecast distributions, NaN where there is none.

    A value on a step of the distribution, like a day without rain, may be anywhere on the step:
    its rank is drawn.
    """
    near = TIE * (quantiles[..., -1] - quantiles[..., 0])
    below = (quantiles < (truth - near)[..., None]).sum(-1)
    not_above = (quantiles <= (truth + near)[..., None]).sum(-1)
    edges = np.concatenate([[0.0], LEVELS, [1.0]])
    ranks = rng.uniform(edges[below], edges[not_above + 1])
    known = np.isfinite(truth) & np.isfinite(quantiles).all(-1)
    return np.where(known, ndtri(ranks.clip(OUTERMOST, 1 - OUTERMOST)), np.nan)


def _pairs(window: Int64, times: Float64, scores: Float64) -> Float64:
    """Lags, summed products and numbers of products of pairs of rows of a forecast, (3, n)."""
    known = np.isfinite(scores)
    size = math.sqrt((scores[known] ** 2).mean()) if known.any() else 1.0
    filled = np.where(known, scores, 0.0) / max(size, 1e-3)
    parts = [np.empty((3, 0))]
    every = np.unique(window)
    for one in every[:: max(math.ceil(len(every) / MOST_WINDOWS), 1)]:
        rows = np.flatnonzero(window == one)
        i, j = np.triu_indices(len(rows), 1)
        lag = np.abs(np.subtract.outer(times[rows], times[rows]))[i, j]
        total = (filled[rows] @ filled[rows].T)[i, j]
        count = (known[rows].astype(float) @ known[rows].T)[i, j]
        parts.append(np.stack([lag, total, count]))
    return np.concatenate(parts, 1)


def _in_time(lag: Float64, total: Float64, count: Float64) -> tuple[float, float, float]:
    """Correlation time, correlated share and period, by least squares on the products."""
    if count.sum() < FEWEST_PAIRS:
        return *UNKNOWN, math.inf
    errors = {}
    for length, period in itertools.product(LENGTHS, PERIODS):
        if math.isinf(period) or length >= LEAST_TURNS * period:
            shape = np.exp(-lag / length) * np.cos(2 * math.pi * lag / period)
            mixed, square = (shape * total).sum(), (shape**2 * count).sum()
            for share in SHARES:
                errors[length, share, period] = float(share**2 * square - 2 * share * mixed)
    return min(errors, key=lambda key: errors[key])


def _across(scores: Float64) -> Float64:
    """Cholesky factor of the correlation across channels, shrunk to the identity."""
    seen = np.isfinite(scores)
    filled = np.where(seen, scores, 0.0)
    both = seen.T.astype(np.float64) @ seen
    moments = filled.T @ filled
    size = np.sqrt(np.maximum(np.diag(moments) / np.maximum(np.diag(both), 1), 1e-6))
    correlation = moments / np.maximum(both, 1) / np.outer(size, size)
    correlation *= both / (both + 20)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    fixed = vectors * np.maximum(values, 1e-3) @ vectors.T
    fixed /= np.sqrt(np.outer(np.diag(fixed), np.diag(fixed)))
    return np.asarray(np.linalg.cholesky(fixed))
