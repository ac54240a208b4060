"""Dependence of the errors of a forecast in time and across channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from odeseries.fitting import Fitted, Recipe
from odeseries.metrics import LEVELS
from odeseries.panel import Float64, Panel
from odeseries.sampling import forecast_windows

__all__ = ["Copula"]

MOST_WINDOWS = 128
LENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
SMOOTH_SHARES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.97)


@dataclass(frozen=True, eq=False)
class Copula:
    r"""Gaussian copula: an Ornstein-Uhlenbeck process in time plus white noise.

    The normal scores of the errors have the correlation
    :math:`C_{cd} (s\, e^{-|t - t'| / \ell} + (1 - s) 1_{t = t'})`. The process is Markov, so
    that paths cost as much as there are times, and asking for more times does not change the
    law of the others.

    Attributes
    ----------
    length : float
        Correlation time :math:`\ell`, in horizons.
    share : float
        Share :math:`s` of the variance that is correlated in time.
    factor : ndarray of shape (n_targets, n_targets)
        Cholesky factor of :math:`C`.

    References
    ----------
    Pinson, P. et al. (2009). From probabilistic forecasts to statistical scenarios of
    short-term wind power production. Wind Energy 12, 51. Section 3.
    """

    length: float
    share: float
    factor: Float64

    @classmethod
    @torch.no_grad()
    def fitted(cls, fitted: Fitted, panel: Panel, recipe: Recipe) -> Copula:
        """Moments of the normal scores of forecasts from late cutoffs."""
        loader = fitted.loader(panel, recipe)
        starts = (1 - max(recipe.validation_fraction, 0.2)) * loader.panel.spans()
        rng = np.random.default_rng(0)
        windows = forecast_windows(
            loader.panel, starts, rng, n_queries=recipe.n_queries, most=MOST_WINDOWS
        )
        n_targets = panel.n_targets
        if len(windows) == 0:
            return cls.unknown(n_targets)
        batch = loader.batch(windows).to(recipe.device)
        levels = torch.tensor(LEVELS, dtype=torch.float64, device=recipe.device)
        quantiles, _ = fitted.quantiles(batch, levels)
        below = (quantiles < batch.targets[..., None]).sum(-1).double()
        scores = ndtri(((below + 0.5) / (len(LEVELS) + 1)).cpu().numpy())
        seen = (batch.observed > 0) & torch.isfinite(quantiles).all(-1)
        scores = np.where(seen.cpu().numpy(), scores, np.nan)[..., :n_targets]
        length, share = _in_time(windows.times, scores)
        return cls(length, share, _across(scores))

    @classmethod
    def unknown(cls, n_targets: int) -> Copula:
        """Some dependence in time and none across channels, where no errors are known."""
        return cls(1.0, 0.5, np.eye(n_targets))

    def ranks(self, times: Float64, n_samples: int, rng: np.random.Generator) -> Float64:
        """Joint ranks in (0, 1) at times in any order, (n_samples, n_times, n_channels)."""
        distinct, inverse = np.unique(times, return_inverse=True)
        shape = (n_samples, len(distinct), len(self.factor))
        noise = rng.standard_normal((2, *shape))
        keep = np.exp(-np.diff(distinct) / self.length)
        smooth = np.empty(shape)
        if len(distinct):
            smooth[:, 0] = noise[0, :, 0]
        for i, k in enumerate(keep):
            smooth[:, i + 1] = k * smooth[:, i] + np.sqrt(1 - k**2) * noise[0, :, i + 1]
        mixed = np.sqrt(self.share) * smooth + np.sqrt(1 - self.share) * noise[1]
        return np.asarray(ndtr(mixed @ self.factor.T))[:, inverse]


def _in_time(times: Float64, scores: Float64) -> tuple[float, float]:
    """Correlation time and correlated share, by least squares on the products of pairs."""
    lag = np.abs(times[:, :, None] - times[:, None, :])
    upper = np.triu(np.ones(lag.shape[1:], dtype=bool), 1)
    variance = max(float(np.nanmean(scores**2)), 1e-6)
    products, lags = [], []
    for c in range(scores.shape[2]):
        pair = scores[:, :, None, c] * scores[:, None, :, c] / variance
        seen = np.isfinite(pair) & upper
        products.append(pair[seen])
        lags.append(lag[seen])
    product, distance = np.concatenate(products), np.concatenate(lags)
    if len(product) < 20:
        return 1.0, 0.5
    errors = {
        (length, share): float(((product - share * np.exp(-distance / length)) ** 2).mean())
        for length in LENGTHS
        for share in SMOOTH_SHARES
    }
    return min(errors, key=lambda key: errors[key])


def _across(scores: Float64) -> Float64:
    """Cholesky factor of the correlation across channels, shrunk to the identity."""
    flat = scores.reshape(-1, scores.shape[2])
    seen = np.isfinite(flat)
    filled = np.where(seen, flat, 0.0)
    both = seen.T.astype(np.float64) @ seen
    product = filled.T @ filled
    size = np.sqrt(np.maximum(np.diag(product) / np.maximum(np.diag(both), 1), 1e-6))
    correlation = product / np.maximum(both, 1) / np.outer(size, size)
    correlation *= both / (both + 20)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    fixed = vectors * np.maximum(values, 1e-3) @ vectors.T
    fixed /= np.sqrt(np.outer(np.diag(fixed), np.diag(fixed)))
    return np.asarray(np.linalg.cholesky(fixed))
