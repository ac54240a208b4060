r"""Units of single series, where series are of very different sizes.

In common units small series would be constants beside large ones. Where the deviations of series
differ much, and lastingly so, the values of every series are divided by its own deviation
:math:`s_i`, by the quartiles of :math:`n_i` values, which few wild ones don't move. It is drawn
towards the typical one :math:`s` where the values are few:
:math:`\log s_i' = (n_i^2 \log s_i + \log s) / (n_i^2 + 1)`.

Deviations also differ where series of one kind are calm at times. These keep common units, since
what is calm now may move next: only that share of the differences of :math:`\log s_i` counts that
the two halves of the series have in common.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from odeseries.panel import Float64, Panel

__all__ = ["sizes_of", "typical_sizes"]

DIFFERENT = 10.0
"""Lasting ratio of the deviations at 95 and 5 % of the series from which on they differ much."""
ENOUGH = 3
"""Values of half a series from which its deviation is told."""

Bools = npt.NDArray[np.bool_]


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
    early = _first_halves(panel)[:, None]
    halves = [
        replace(panel, values=np.where(part, panel.values, np.nan)) for part in (early, ~early)
    ]
    logs = np.stack([_logs(part) for part in (panel, *halves)])
    out = np.full(len(panel.channels), np.nan)
    for channel in range(len(out)):
        told = np.isfinite(logs[..., channel]).all(0)
        whole, first, second = logs[:, told, channel]
        if told.sum() > 1 and _lasting(first, second) * _range(whole) > np.log(DIFFERENT):
            out[channel] = np.exp(whole.mean())
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
    counts, deviations = panel.deviations
    weight = np.where(deviations > 0, counts**2, 0.0)
    logs = np.log(np.where(deviations > 0, deviations, 1.0))
    shrunk = np.exp((weight * logs + np.log(typical)) / (weight + 1))
    return np.where(np.isnan(typical), 1.0, shrunk)


def _first_halves(panel: Panel) -> Bools:
    """Whether each row is in the first half of the rows of its series."""
    owner = panel.owners()
    place = np.arange(panel.n_rows) - panel.offsets[owner]
    first: Bools = 2 * place < np.diff(panel.offsets)[owner]
    return first


def _range(logs: Float64) -> float:
    """Distance of the 95 and 5 % of the series."""
    return float(np.ptp(np.quantile(logs, [0.05, 0.95])))


def _lasting(first: Float64, second: Float64) -> float:
    """Share of the variance of one half that the other one has in common, at most 1."""
    shared = np.cov(first, second)
    return float(shared[0, 1] / max(shared[0, 0], shared[1, 1], 1e-300))


def _logs(panel: Panel) -> Float64:
    """Logarithms of the deviations of series, (n_series, n_channels); NaN where not told."""
    counts, deviations = panel.deviations
    told = (counts >= ENOUGH) & (deviations > 0)
    return np.where(told, np.log(np.where(told, deviations, 1.0)), np.nan)
