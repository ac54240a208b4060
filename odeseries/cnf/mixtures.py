"""Mixtures of normal distributions, chosen by their likelihood of rows held out."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

__all__ = ["SINGLE", "Choice", "best_mixture", "drawn"]

Float64 = npt.NDArray[np.float64]
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
FLOORS = (0.3, 0.1, 1e-2, 1e-6)
FEWEST_ROWS, FEW_ROWS = 10, 500
MOST_JUDGED = 500
"""Rows that a mixture is judged on, unless the first fold has more."""
PATIENCE = 2
N_STARTS = 5


@dataclass(frozen=True)
class Choice:
    """A mixture that was tried.

    Attributes
    ----------
    n_components : int
    floor : float
        Variance added to every direction of every component.
    each : array of shape (n_judged,)
        Log-density of rows held out, times their weights, whose mean is 1; empty where nothing
        could be judged.
    """

    n_components: int
    floor: float
    each: Float64

    @property
    def score(self) -> float:
        """Mean log-density of rows held out, by weight."""
        return float(self.each.mean()) if len(self.each) else -math.inf

    def fit(self, X: Float64, seed: int) -> list[GaussianMixture]:
        """Fit the mixture to data ``(n, dim)``, from some starts that differ.

        The mean of the densities is more likely than they are in the mean, as the logarithm is
        concave.

        References
        ----------
        Ormoneit, D., Tresp, V. (1995). Improved Gaussian Mixture Density Estimates Using Bayesian
        Penalty Terms and Network Averaging. NeurIPS. Section 4.
        """
        starts = N_STARTS if self.n_components > 1 else 1
        return [_fitted(X, self.n_components, self.floor, seed + i) for i in range(starts)]


SINGLE = Choice(1, FLOORS[0], np.zeros(0))
"""What is left where nothing could be judged."""


def best_mixture(X: Float64, weights: Float64, seed: int, log_volumes: Float64) -> Choice:
    """The number of components and the floor of variance with the best cross-validated score.

    For every floor the components become more until their score has fallen twice in a row; the
    floors become lower until the best score of one falls.

    Parameters
    ----------
    X : array of shape (n, dim)
        Data, of variances around 1.
    weights : array of shape (n,)
        Positive weights of the rows: by them rows are drawn to fit on, in every fold from its
        own, and judged.
    seed : int
        Of the folds and of where the fits begin.
    log_volumes : array of shape (n,)
        Added to the log-density of every row.
    """
    if len(X) < FEWEST_ROWS:
        return SINGLE
    trial = _Trial(X, weights, log_volumes, _folds(len(X), seed), seed)
    best = SINGLE
    for floor in FLOORS:
        other = trial.best(floor)
        if other.score < best.score:
            break
        best = other
    return best


def drawn(X: Float64, weights: Float64, seed: int) -> Float64:
    """As many rows, drawn by their weights; the rows themselves where these are equal.

    A row comes about as often as its share of the weights says.

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
    ends = np.cumsum(weights) / weights.sum() * len(X)
    marks = np.arange(len(X)) + np.random.default_rng(seed).random(len(X))
    return X[np.searchsorted(ends[:-1], marks, side="right")]


def _folds(n: int, seed: int) -> list[tuple[Any, Any]]:
    """Rows to fit on and to judge by, of as many folds as give enough to judge by."""
    n_folds = 5 if n < FEW_ROWS else 3
    folds = list(KFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(n)))
    return folds[: max(1, n_folds * MOST_JUDGED // n)]


@dataclass(frozen=True)
class _Trial:
    """Mixtures judged by cross-validation."""

    X: Float64
    weights: Float64
    log_volumes: Float64
    folds: list[tuple[Any, Any]]
    seed: int

    def best(self, floor: float) -> Choice:
        """The best number of components with this floor."""
        most = max(len(self.folds[0][0]) // 4, 1)
        best, worse = self.judged(COUNTS[0], floor), 0
        for n_components in COUNTS[1:]:
            if worse == PATIENCE or n_components > most:
                break
            other = self.judged(n_components, floor)
            worse = 0 if other.score > best.score else worse + 1
            best = max(best, other, key=lambda choice: choice.score)
        return best

    def judged(self, n_components: int, floor: float) -> Choice:
        """A mixture with the log-density of every row that it was not fitted on."""
        scores = []
        for known, held in self.folds:
            x = drawn(self.X[known], self.weights[known], self.seed)
            each = _fitted(x, n_components, floor, self.seed).score_samples(self.X[held])
            scores.append(each + self.log_volumes[held])
        weights = np.concatenate([self.weights[held] for _, held in self.folds])
        return Choice(n_components, floor, np.concatenate(scores) * weights / weights.mean())


def _fitted(X: Float64, n_components: int, floor: float, seed: int) -> GaussianMixture:
    mixture = GaussianMixture(n_components, reg_covar=floor, random_state=seed)
    with warnings.catch_warnings():
        # A mixture that has not settled is judged by its score like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(X)
