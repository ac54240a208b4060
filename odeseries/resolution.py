"""Whether the units of the model can tell times and values apart."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from odeseries.panel import Int64, Panel
from odeseries.scaling import ROUND, Scaling

__all__ = ["warn_of_lost_digits"]

SINGLE = 2.0**-24
"""Rounding of float32, in which networks compute, as a share of a value."""
SHARE = 0.01
"""Of the quartiles' distance, that may be lost."""


def warn_of_lost_digits(panel: Panel, scaling: Scaling) -> None:
    """Warn of times that count as equal, and of series that vary less than what rounding makes.

    Parameters
    ----------
    panel : Panel
        In clock units.
    scaling : Scaling
        Of what a model is or was fitted on.

    Warns
    -----
    UserWarning
        If times of a series are closer than a billionth of the horizon, or the quartiles of a
        series are closer than a hundred times the rounding of its values in the model's units.
    """
    owner = panel.owners()
    _warn_of_times(panel, scaling, owner)
    _warn_of_values(panel, scaling, owner)


def _warn_of_times(panel: Panel, scaling: Scaling, owner: Int64) -> None:
    gaps = np.diff(np.round(panel.times / scaling.horizon, ROUND))
    equal = np.flatnonzero((gaps == 0) & (np.diff(owner) == 0))
    if len(equal):
        first = equal[0]
        warnings.warn(
            f"{len(equal)} times count as equal to the ones before them, the first"
            f"{_of(panel, owner[first])} {panel.times[first + 1] - panel.times[first]:g} after it: "
            f"only what is a billionth of the horizon, {scaling.horizon:g}, apart is told apart. "
            "Give a shorter horizon.",
            stacklevel=5,
        )


def _warn_of_values(panel: Panel, scaling: Scaling, owner: Int64) -> None:
    values = (scaling.prepared(panel) - scaling.mean) / scaling.std
    groups = pd.DataFrame(values).groupby(owner)
    spread = (groups.quantile(0.75) - groups.quantile(0.25)).to_numpy()
    farthest = np.maximum(groups.max().to_numpy(), -groups.min().to_numpy())
    lost = np.maximum(SINGLE * farthest, 0.5 * 10.0**-ROUND)
    series, channel = np.nonzero((spread > 0) & (lost > SHARE * spread))
    if len(series):
        first = (series[0], channel[0])
        warnings.warn(
            f"{len(np.unique(series))} of {len(panel)} series vary too little to be told from "
            "rounding, in units in which all values have a standard deviation of 1: channel "
            f"{panel.channels[channel[0]]!r}{_of(panel, series[0])} has quartiles "
            f"{spread[first]:.1e} apart, at values up to {farthest[first]:.1e}. Digits of its "
            "forecasts are lost. Leave out outliers, fit series of other levels or sizes apart, or "
            "give a target_transformer, such as a logarithm.",
            stacklevel=5,
        )


def _of(panel: Panel, series: int) -> str:
    """Which series is meant, where there are several."""
    return f" of series {panel.ids[series]!r}" if len(panel) > 1 else ""
