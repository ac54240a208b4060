"""Mixtures of normal distributions, chosen by their likelihood of rows held out."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

__all__ = ["SINGLE", "Choice", "best_mixture", "drawn"]

Float64 = npt.NDArray[np.float64]
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
FLOORS = (1e-6, 1e-2, 0.1, 0.3)
FEWEST_ROWS, FEW_ROWS = 10, 500
MOST_JUDGED = 1000
"""Rows that a mixture is judged on, unless the first fold has more."""
PATIENCE = 2


@dataclass(frozen=True)
class Choice:
    """A mixture that was tried.

    Attributes
    ----------
    n_components : int
    floor : float
        Variance added to every direction of every component.
    score : float
        Mean log-density of rows held out.
    """

    n_components: int
    floor: float
    score: float

    def fit(self, X: Float64, seed: int) -> GaussianMixture:
        """Fit the mixture to data ``(n, dim)``."""
        return _fitted(X, self.n_components, self.floor, seed)


SINGLE = Choice(1, FLOORS[-1], -math.inf)
"""What is left where nothing could be judged."""


def best_mixture(X: Float64, seed: int) -> Choice:
    """The number of components and the floor of variance with the best cross-validated score.

    For every floor the components become more until their score has fallen twice in a row.

    Parameters
    ----------
    X : array of shape (n, dim)
        Data, of variances around 1.
    seed : int
        Of the folds and of where the fits begin.
    """
    if len(X) < FEWEST_ROWS:
        return SINGLE
    n_folds = 5 if len(X) < FEW_ROWS else 3
    folds = list(KFold(n_folds, shuffle=True, random_state=seed).split(X))
    folds = folds[: max(1, n_folds * MOST_JUDGED // len(X))]
    most = len(folds[0][0]) // 4
    tried = [SINGLE]
    for floor in FLOORS:
        best, worse = -math.inf, 0
        for n_components in COUNTS:
            if worse == PATIENCE or n_components > max(most, 1):
                break
            score = _score(X, folds, n_components, floor, seed)
            tried.append(Choice(n_components, floor, score))
            worse = 0 if score > best else worse + 1
            best = max(best, score)
    return max(tried, key=lambda choice: choice.score)


def drawn(X: Float64, weights: Float64, seed: int) -> Float64:
    """As many rows, drawn by their weights; the rows themselves where these are equal.

    Parameters
    ----------
    X : array of shape (n, dim)
        Data.
    weights : array of shape (n,)
        Weights of the rows, which mixtures don't take.
    seed : int
        Of the draw.
    """
    if np.ptp(weights) == 0:
        return X
    chosen = np.random.default_rng(seed).choice(len(X), len(X), p=weights / weights.sum())
    return X[chosen]


def _score(
    X: Float64, folds: list[tuple[Float64, Float64]], k: int, floor: float, seed: int
) -> float:
    """Mean log-density of a row that the mixture was not fitted on."""
    scores = [_fitted(X[known], k, floor, seed).score_samples(X[held]) for known, held in folds]
    return float(np.concatenate(scores).mean())


def _fitted(X: Float64, n_components: int, floor: float, seed: int) -> GaussianMixture:
    mixture = GaussianMixture(n_components, reg_covar=floor, random_state=seed)
    with warnings.catch_warnings():
        # A mixture that has not settled is judged by its score like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)
