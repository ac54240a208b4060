"""Covariates at the times that are asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from odeseries.frames.columns import floats
from odeseries.frames.schema import Schema
from odeseries.panel import Float64, Int64, Panel

__all__ = ["known_inputs"]


def known_inputs(
    given: pd.DataFrame | None, series: Int64, times: Float64, schema: Schema, history: Panel
) -> Float64:
    """Covariates as given, else as the history knows them at the very time, else static ones.

    What was static in the fit is held where the history of that series has one value of it.

    Parameters
    ----------
    given : DataFrame with n_rows rows, or None
        Columns that were asked with; those that are no covariates are ignored.
    series, times : ndarray of shape (n_rows,)
        As in `Queries`.
    schema : Schema
        What was fitted.
    history : Panel
        What the model may see.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_inputs)
        NaN where a covariate is not known.
    """
    out = np.full((len(times), len(schema.inputs)), np.nan)
    for column, label in enumerate(schema.inputs):
        if given is not None and label in given.columns:
            out[:, column] = floats(given[label], label)
    if history.inputs is None or not np.isnan(out).any():
        return out
    exact = _at_very_time(history.inputs, series, times)
    if any(schema.static):
        held = _constants(history.inputs, series)
        exact = np.where(np.isnan(exact) & np.array(schema.static), held, exact)
    return np.where(np.isnan(out), exact, out)


def _constants(inputs: Panel, series: Int64) -> Float64:
    """The one value that each covariate has in each series, NaN where it has none or several."""
    out = np.full((len(series), len(inputs.channels)), np.nan)
    for i in np.unique(series):
        _, values = inputs.series(int(i))
        if len(values):
            lowest, highest = np.fmin.reduce(values), np.fmax.reduce(values)
            out[series == i] = np.where(lowest == highest, lowest, np.nan)
    return out


def _at_very_time(inputs: Panel, series: Int64, times: Float64) -> Float64:
    """Values of the rows whose stamp is the one asked for, NaN elsewhere."""
    out = np.full((len(times), len(inputs.channels)), np.nan)
    for i in np.unique(series):
        asked = np.flatnonzero(series == i)
        known, values = inputs.series(int(i))
        if len(known):
            row = np.clip(np.searchsorted(known, times[asked]), 0, len(known) - 1)
            hit = known[row] == times[asked]
            out[asked[hit]] = values[row[hit]]
    return out
