"""Scorers ``scorer(estimator, X, y=None)`` for scikit-learn: bigger is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from odeseries.arguments import require_probability
from odeseries.metrics.marginal import LEVELS, crps_from_quantiles, interval_score, pinball_loss
from odeseries.panel import Float64

__all__ = ["QuantileScorer", "crps_scorer", "interval_scorer", "mae_scorer", "pinball_scorer"]


@dataclass(frozen=True)
class QuantileScorer:
    """Negative mean of a loss of quantiles, over the rows that a forecaster's ``score`` judges.

    A series that the forecaster has seen is forecast from the training data; another one from
    its own rows before its last horizon. The mean is taken over the observed values of each
    target, then over the targets, in the units of the data. Strings and ``make_scorer`` don't
    serve forecasters, since they need a ``y``.

    Parameters
    ----------
    loss : callable
        ``loss(truth, quantiles)`` of shapes (n_rows, n_targets) and
        (n_rows, n_targets, n_levels); returns shape (n_rows, n_targets), NaN where the truth is.
    levels : tuple of float
        Levels of the quantiles.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> import odeseries as ode
    >>> from odeseries.metrics import crps_scorer
    >>> data = ode.datasets.make_periodic(4, 20)
    >>> model = ode.LatentODEForecaster(1.0, max_epochs=1, random_state=0)
    >>> cv = ode.PanelSplit(2, random_state=0)
    >>> scores = cross_val_score(model, data, cv=cv, scoring=crps_scorer)
    >>> bool((scores < 0).all())
    True
    """

    loss: Callable[[Float64, Float64], Float64]
    levels: tuple[float, ...]

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Score of the forecasts of the rows of `X`."""
        if isinstance(estimator, Pipeline):
            for _, step in estimator.steps[:-1]:
                X = X if step in (None, "passthrough") else step.transform(X)
            estimator = estimator[-1]
        truth, quantiles = estimator.scored_quantiles(X, y, np.array(self.levels))
        seen, losses = np.isfinite(truth), self.loss(truth, quantiles)
        each = [losses[rows, k].mean() for k, rows in enumerate(seen.T) if rows.any()]
        return -float(np.mean(each))


def pinball_scorer(level: float) -> QuantileScorer:
    """Negative mean pinball loss of the quantile at a level in (0, 1)."""
    require_probability(level, "level")
    return QuantileScorer(partial(_pinball, level=level), (level,))


def interval_scorer(coverage: float = 0.9) -> QuantileScorer:
    """Negative mean interval score of the central interval of a coverage in (0, 1)."""
    require_probability(coverage, "coverage")
    levels = ((1 - coverage) / 2, (1 + coverage) / 2)
    return QuantileScorer(partial(_interval, coverage=coverage), levels)


def _pinball(truth: Float64, quantiles: Float64, level: float) -> Float64:
    return pinball_loss(truth, quantiles, [level])[..., 0]


def _interval(truth: Float64, quantiles: Float64, coverage: float) -> Float64:
    return interval_score(truth, quantiles[..., 0], quantiles[..., 1], coverage)


def _absolute(truth: Float64, quantiles: Float64) -> Float64:
    return np.asarray(np.abs(truth - quantiles[..., 0]))


crps_scorer = QuantileScorer(crps_from_quantiles, tuple(LEVELS.tolist()))
mae_scorer = QuantileScorer(_absolute, (0.5,))
