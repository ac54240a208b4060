r"""Units of single series, where series are of very different sizes.

In common units small series would be constants beside large ones. Where the deviations of series
differ much, the values of every series are divided by its own deviation :math:`s_i`, by the
quartiles of :math:`n_i` values, which few wild ones don't move. It is drawn towards the typical
one :math:`s` where the values are few:
:math:`\log s_i' = (n_i^2 \log s_i + \log s) / (n_i^2 + 1)`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from odeseries.panel import Float64, Panel

__all__ = ["sizes_of", "typical_sizes"]

DIFFERENT = 30.0
"""Ratio of the deviations at 95 and 5 % of the series from which on they are very different."""
ENOUGH = 5
"""Values of a series from which its deviation is told."""
NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution in its standard deviations."""
CONSTANT = 1e-9
"""Deviation of a constant, as a share of its largest value."""


def typical_sizes(panel: Panel) -> Float64 | None:
    """Geometric mean of the deviations of series, where they are very different.

    Parameters
    ----------
    panel : Panel
        In the data's units.

    Returns
    -------
    ndarray of shape (n_channels,), or None
        NaN for channels whose series are alike; None if all are.
    """
    if len(panel) < 2:
        return None
    counts, deviations = _deviations(panel)
    told = (counts >= ENOUGH) & (deviations > 0)
    logs = np.where(told, np.log(np.where(told, deviations, 1.0)), np.nan)
    out = np.full(logs.shape[1], np.nan)
    for channel, column in enumerate(logs.T):
        known = column[np.isfinite(column)]
        if len(known) > 1 and np.ptp(np.quantile(known, [0.05, 0.95])) > np.log(DIFFERENT):
            out[channel] = np.exp(known.mean())
    return None if np.isnan(out).all() else out


def sizes_of(panel: Panel, typical: Float64) -> Float64:
    """What the values of every series are divided by, (n_series, n_channels).

    Parameters
    ----------
    panel : Panel
        In the data's units.
    typical : ndarray of shape (n_channels,)
        As `typical_sizes` tells them; channels of NaN are not divided.
    """
    counts, deviations = _deviations(panel)
    weight = np.where(deviations > 0, counts**2, 0.0)
    logs = np.log(np.where(deviations > 0, deviations, 1.0))
    shrunk = np.exp((weight * logs + np.log(typical)) / (weight + 1))
    return np.where(np.isnan(typical), 1.0, shrunk)


def _deviations(panel: Panel) -> tuple[Float64, Float64]:
    """Counts of values and their deviations, (n_series, n_channels); 0 for constants."""
    largest = np.maximum(np.nanmax(np.abs(panel.values), axis=0, initial=0.0), 1e-300)
    frame, owner = pd.DataFrame(panel.values / largest), panel.owners()
    groups = frame.groupby(owner)
    everyone = range(len(panel))
    counts = groups.count().reindex(everyone, fill_value=0).to_numpy(dtype=np.float64)
    quartiles = groups.quantile(0.75) - groups.quantile(0.25)
    deviations = quartiles.reindex(everyone).fillna(0.0).to_numpy() / NORMAL_QUARTILES
    farthest = frame.abs().groupby(owner).max().reindex(everyone).fillna(0.0).to_numpy()
    return counts, largest * np.where(deviations > CONSTANT * farthest, deviations, 0.0)
