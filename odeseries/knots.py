"""The times at which known inputs are given, within windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from odeseries.panel import Float64, Int64, Panel

__all__ = ["Knots"]


class Knots:
    """Times at which inputs are known, each input interpolated where only others are.

    Parameters
    ----------
    inputs : Panel or None
        Known inputs, in model units; without them there are no knots.
    """

    def __init__(self, inputs: Panel | None) -> None:
        self.inputs = None if inputs is None else _filled(inputs)

    def within(
        self, series: Int64, low: Float64, high: Float64
    ) -> tuple[Float64, Float64, npt.NDArray[np.bool_]]:
        """Knots of windows.

        Parameters
        ----------
        series : ndarray of shape (n,)
            Series of every window.
        low, high : ndarray of shape (n,)
            Its first and last time, relative to the origin of its series.

        Returns
        -------
        times, mask : ndarray of shape (n, n_knots)
            Rising; False where there is no knot.
        values : ndarray of shape (n, n_knots, n_inputs)
        """
        known = self.inputs
        if known is None:
            shape = (len(series), 0)
            return np.zeros(shape), np.zeros((*shape, 0)), np.zeros(shape, dtype=bool)
        starts, counts = [], []
        for i, first, last in zip(series, low, high, strict=True):
            times = known.series(int(i))[0]
            start = int(np.searchsorted(times, first, "left"))
            starts.append(int(known.offsets[i]) + start)
            counts.append(int(np.searchsorted(times, last, "right")) - start)
        steps = np.arange(max(counts, default=0))
        mask = steps < np.array(counts, dtype=np.int64)[:, None]
        index = np.where(mask, np.array(starts, dtype=np.int64)[:, None] + steps, 0)
        return known.times[index], np.where(mask[..., None], known.values[index], 0.0), mask


def _filled(inputs: Panel) -> Panel:
    """Known inputs without gaps."""
    owner = inputs.owners()
    return replace(inputs, values=np.nan_to_num(inputs.at(owner, inputs.times)))
