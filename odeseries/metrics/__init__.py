"""Scores of probabilistic forecasts, as plain functions, and scorers for scikit-learn."""

from __future__ import annotations

from odeseries.metrics.calibration import (
    by_lead,
    coverage,
    pit_from_quantiles,
    pit_from_samples,
    sharpness,
)
from odeseries.metrics.joint import energy_score, variogram_score
from odeseries.metrics.marginal import (
    LEVELS,
    crps_from_quantiles,
    crps_from_samples,
    interval_score,
    pinball_loss,
)
from odeseries.metrics.scaled import mase, naive_error
from odeseries.metrics.scorers import (
    QuantileScorer,
    crps_scorer,
    interval_scorer,
    mae_scorer,
    pinball_scorer,
)

__all__ = [
    "LEVELS",
    "QuantileScorer",
    "by_lead",
    "coverage",
    "crps_from_quantiles",
    "crps_from_samples",
    "crps_scorer",
    "energy_score",
    "interval_score",
    "interval_scorer",
    "mae_scorer",
    "mase",
    "naive_error",
    "pinball_loss",
    "pinball_scorer",
    "pit_from_quantiles",
    "pit_from_samples",
    "sharpness",
    "variogram_score",
]
