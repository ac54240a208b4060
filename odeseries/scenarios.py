"""What drives a forecast: known inputs of the history, and those that were asked with.

The inputs of a row that is asked for are knowledge for the later rows of its series too. Rows of
one series and time that are asked for with different inputs belong to different scenarios, each
with a course of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from odeseries.panel import Float64, Int64, Panel

__all__ = ["scenarios"]


def scenarios(
    panel: Panel, series: Int64, times: Float64, inputs: Float64
) -> Iterator[tuple[Int64, Panel]]:
    """Rows of one scenario after another, and the panel with the inputs known in it.

    The first scenario has, for each series and time, the inputs that were asked with first; a
    further one has its own ones and otherwise those of the first.

    Parameters
    ----------
    panel : Panel
        The history.
    series, times : ndarray of shape (n,)
        Series and times that are asked for.
    inputs : ndarray of shape (n, n_inputs)
        What they are asked with.

    Yields
    ------
    rows : ndarray of int64
        Positions among what is asked for.
    panel : Panel
        With the inputs known in the scenario.
    """
    if panel.inputs is None or not len(series):
        yield np.arange(len(series)), panel
        return
    asked = pd.DataFrame(inputs).assign(series=series, time=times)
    different = asked.drop_duplicates()
    rank = different.groupby(["series", "time"]).cumcount()
    number = asked.merge(different.assign(rank=rank), how="left")["rank"].to_numpy()
    first = np.flatnonzero(number == 0)
    known = _with_rows(panel.inputs, series[first], times[first], inputs[first])
    yield first, replace(panel, inputs=known)
    for k in range(1, int(number.max()) + 1):
        rows = np.flatnonzero(number == k)
        own = _with_rows(known, series[rows], times[rows], inputs[rows])
        yield rows, replace(panel, inputs=own)


def _with_rows(panel: Panel, series: Int64, times: Float64, values: Float64) -> Panel:
    """The panel with further rows, which replace those at their times."""
    owner = np.concatenate([panel.owners(), series])
    stamps = np.concatenate([panel.times, times])
    both = np.concatenate([panel.values, values])
    order = np.lexsort((np.arange(len(owner)), stamps, owner))
    owner, stamps, both = owner[order], stamps[order], both[order]
    last = np.ones(len(owner), dtype=bool)
    last[:-1] = (np.diff(owner) != 0) | (np.diff(stamps) != 0)
    counts = np.bincount(owner[last], minlength=len(panel))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return replace(panel, offsets=offsets, times=stamps[last], values=both[last])
