"""Units of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from odeseries.panel import Float64, Panel
from odeseries.sizes import sizes_of, typical_sizes
from odeseries.transforms import Transform

__all__ = ["ROUND", "Scaling"]

ROUND = 9
ROUNDING = 1e-12
"""Deviations below this share of the mean are what rounding makes of a constant."""
UNHEARD = 1e300
"""Deviation that makes an input 0 whatever its value."""


@dataclass(frozen=True)
class Scaling:
    """Units of the model: times in horizons, values standardised per channel, in float64.

    Attributes
    ----------
    horizon : float
        Clock units per unit of model time.
    mean, std : ndarray of shape (n_channels,)
        Statistics of the observed training values; a constant channel has a ``std`` of 1, a
        constant input one that makes it 0.
    inputs : Scaling or None
        That of the known inputs.
    transform : Transform or None
        What is done to the targets before they are standardised.
    typical : ndarray of shape (n_channels,) or None
        Typical deviation of a series, where series have units of their own; see `sizes_of`.
    """

    horizon: float
    mean: Float64
    std: Float64
    inputs: Scaling | None = None
    transform: Transform | None = None
    typical: Float64 | None = None

    @classmethod
    def fitted(
        cls,
        panel: Panel,
        horizon: float,
        transformer: Any = None,
        *,
        constant: float | None = None,
    ) -> Self:
        """Take the statistics of a panel in which every channel was observed.

        Parameters
        ----------
        panel : Panel
            In clock units.
        horizon : float
            In clock units.
        transformer : scikit-learn transformer, optional
            Fitted, for each target, on the observed values.
        constant : float, optional
            Deviation of channels that never varied; by default what rounding makes of them, or 1.

        Raises
        ------
        DataError
            If the transformer does not give numbers.
        """
        transform = None if transformer is None else Transform.fitted(transformer, panel)
        shared = transformer is not None or constant is not None
        typical = None if shared else typical_sizes(panel)
        values = _prepared(panel, transform, typical)
        mean = np.nanmean(values, axis=0)
        largest = np.maximum(np.nanmax(np.abs(values - mean), axis=0), 1e-300)
        std = largest * np.nanstd((values - mean) / largest, axis=0)
        floor = ROUNDING * np.abs(mean)
        held = np.where(floor > 0, floor, 1.0) if constant is None else constant
        std = np.where(std > floor, std, held)
        inputs = None
        if panel.inputs is not None:
            # Nothing is learned of an input that never varied.
            inputs = cls.fitted(panel.inputs, horizon, constant=UNHEARD)
        return cls(horizon, mean, std, inputs, transform, typical)

    def apply(self, panel: Panel) -> Panel:
        """The panel in model units; times are rounded, so that a change of unit changes nothing."""
        values = self.prepared(panel)
        known = None
        if panel.inputs is not None and self.inputs is not None:
            known = self.inputs.apply(panel.inputs)
        return replace(
            panel,
            origins=panel.origins / self.horizon,
            times=np.round(panel.times / self.horizon, ROUND),
            values=np.round((values - self.mean) / self.std, ROUND),
            inputs=known,
        )

    def prepared(self, panel: Panel) -> Float64:
        """Values (n_rows, n_channels) before they are standardised."""
        return _prepared(panel, self.transform, self.typical)

    def sizes(self, panel: Panel) -> Float64 | None:
        """Units of the series of a panel, (n_series, n_channels); None if they have none."""
        return None if self.typical is None else sizes_of(panel, self.typical)

    def original(self, values: Float64, sizes: Float64 | None = None) -> Float64:
        """Values of the targets in the data's own units.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_targets, n)
            In the units of the model.
        sizes : ndarray of shape (n_rows, n_channels), optional
            Units of the rows' series, where these have some.
        """
        kept = slice(values.shape[1])
        out = values * self.std[kept, None] + self.mean[kept, None]
        out = out if self.transform is None else self.transform.invert(out)
        return out if sizes is None else out * sizes[:, kept, None]

    def standard_inputs(self, inputs: Float64) -> Float64:
        """Known inputs (n, n_inputs) in model units."""
        if self.inputs is None:
            return inputs
        return np.asarray(np.round((inputs - self.inputs.mean) / self.inputs.std, ROUND))


def _prepared(panel: Panel, transform: Transform | None, typical: Float64 | None) -> Float64:
    """Values (n_rows, n_channels) that are standardised."""
    if transform is not None:
        return transform.apply(panel.values)
    if typical is None:
        return panel.values
    return np.asarray(panel.values / sizes_of(panel, typical)[panel.owners()])
