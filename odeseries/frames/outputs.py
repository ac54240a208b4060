"""From arrays back to pandas, on the index that was asked for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from odeseries.frames.indexes import joined
from odeseries.frames.queries import Queries
from odeseries.frames.schema import Schema
from odeseries.panel import Float64

__all__ = ["interval_output", "point_output", "quantile_output", "sample_output"]


def point_output(
    values: Float64, queries: Queries, schema: Schema
) -> pd.Series | pd.DataFrame | Float64:
    """One value per row and target.

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows, n_targets)
        Forecasts.
    queries : Queries
        What was asked.
    schema : Schema
        What was fitted.

    Returns
    -------
    Series, DataFrame or ndarray
        A Series of the fitted name if the model was fitted on a Series, an array if the targets
        were one. For a long frame, the id and time columns come first, on the index of the frame
        that was asked.
    """
    if schema.as_array:
        return values[:, 0] if schema.as_series else values
    return framed_output(values, queries, schema)


def framed_output(values: Float64, queries: Queries, schema: Schema) -> pd.Series | pd.DataFrame:
    """One value per row and target, always of pandas; see `point_output`."""
    if schema.as_series:
        return pd.Series(values[:, 0], index=queries.index, name=schema.name)
    columns = pd.Index(list(schema.targets), name=schema.columns_name, tupleize_cols=False)
    return _with_keys(values, columns, queries)


def quantile_output(
    values: Float64, alphas: Sequence[float], queries: Queries, schema: Schema
) -> pd.DataFrame:
    """Quantiles, with columns (target, alpha).

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows, n_targets, n_alphas)
        Quantiles.
    alphas : sequence of float
        Probabilities.
    queries : Queries
        What was asked.
    schema : Schema
        What was fitted.

    Returns
    -------
    DataFrame
        For a long frame the id and time columns come first, as ``(column, "")``, so that
        ``frame[column]`` finds them.
    """
    labels = [(target, alpha) for target in schema.targets for alpha in alphas]
    values = values.reshape(len(values), len(labels))
    return _with_keys(values, _columns(labels, 2), queries)


def interval_output(
    low: Float64, high: Float64, coverages: Sequence[float], queries: Queries, schema: Schema
) -> pd.DataFrame:
    """Central intervals, with columns (target, coverage, "lower" or "upper").

    Parameters
    ----------
    low, high : ndarray of float64, shape (n_rows, n_targets, n_coverages)
        Ends of the intervals.
    coverages : sequence of float
        Probabilities of the intervals.
    queries : Queries
        What was asked.
    schema : Schema
        What was fitted.

    Returns
    -------
    DataFrame
        For a long frame the id and time columns come first, as ``(column, "", "")``.
    """
    ends = ("lower", "upper")
    labels = [(t, coverage, end) for t in schema.targets for coverage in coverages for end in ends]
    values = np.stack([low, high], axis=-1).reshape(len(low), len(labels))
    return _with_keys(values, _columns(labels, 3), queries)


def sample_output(paths: Float64, queries: Queries, schema: Schema) -> pd.Series | pd.DataFrame:
    """Joint paths, under an extra outer index level ``sample``.

    Parameters
    ----------
    paths : ndarray of float64, shape (n_samples, n_rows, n_targets)
        Paths.
    queries : Queries
        What was asked.
    schema : Schema
        What was fitted.

    Returns
    -------
    Series or DataFrame
        With ``n_samples * n_rows`` rows, sample by sample.
    """
    n_samples, n_rows, n_targets = paths.shape
    row = np.tile(np.arange(n_rows), n_samples)
    levels = [queries.index.get_level_values(k).take(row) for k in range(queries.index.nlevels)]
    sample = pd.Index(np.repeat(np.arange(n_samples), n_rows), name="sample")
    frame = None if queries.frame is None else queries.frame.iloc[row]
    index = joined([sample, *levels])
    repeated = Queries(queries.series[row], queries.times[row], queries.inputs[row], index, frame)
    return framed_output(paths.reshape(-1, n_targets), repeated, schema)


def _columns(labels: Sequence[tuple[Hashable, ...]], depth: int) -> pd.MultiIndex:
    levels = [pd.Index([label[k] for label in labels], tupleize_cols=False) for k in range(depth)]
    return joined(levels)


def _with_keys(values: Float64, columns: pd.Index, queries: Queries) -> pd.DataFrame:
    """Values under their columns, behind the id and time columns of a long frame."""
    answer = pd.DataFrame(values, index=queries.index, columns=columns)
    if queries.frame is None:
        return answer
    depth = columns.nlevels
    for position, label in enumerate(queries.frame.columns):
        key = label if depth == 1 else (label, *[""] * (depth - 1))
        answer.insert(position, key, queries.frame[label].array)
    return answer
