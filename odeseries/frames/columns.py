"""A column of a frame as floats."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.stamps import is_number
from odeseries.panel import Float64

__all__ = ["floats", "refuse_infinite", "table_of_floats"]


def floats(column: pd.Series, label: Hashable) -> Float64:
    """Numbers of a column, NaN where nothing was observed.

    Parameters
    ----------
    column : Series of length n_rows
        Integers, booleans, floats, nullable or not; objects and categories that hold such.
    label : hashable
        Name of the column, for the message.

    Returns
    -------
    ndarray of float64, shape (n_rows,)

    Raises
    ------
    DataError
        If a value is no number.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_object_dtype(column.dtype):
        bad = np.array([not (is_number(value) or isinstance(value, bool)) for value in column])
    else:
        numeric = pd.api.types.is_any_real_numeric_dtype(column.dtype)
        bad = np.full(len(column), not (numeric or pd.api.types.is_bool_dtype(column.dtype)))
    bad &= column.notna().to_numpy()
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Column {label!r} is not numeric: it holds {column.iloc[first]!r} at position "
            f"{first}. Convert it with pd.to_numeric, drop it, or name it as time_col or id_col if "
            "it is the time or the series id."
        )
    if pd.api.types.is_object_dtype(column.dtype) or column.isna().all():
        column = column.astype(object).where(column.notna(), np.nan)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def table_of_floats(frame: pd.DataFrame) -> Float64:
    """Numbers of all columns, (n_rows, n_columns), each as of `floats`."""
    columns = [floats(frame[label], label) for label in frame.columns]
    return np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0))


def refuse_infinite(
    values: Float64, labels: Sequence[Hashable], place: Callable[[int], str]
) -> None:
    """Refuse infinite values.

    Parameters
    ----------
    values : ndarray of float64, shape (n_rows, n_columns)
        NaN is "not observed".
    labels : sequence of hashable
        Names of the columns.
    place : callable
        From the position of a row to its series and time, for the message.

    Raises
    ------
    DataError
        If a value is infinite; the first one is named.
    """
    found = np.argwhere(np.isinf(values))
    if len(found):
        row, column = (int(k) for k in found[0])
        raise DataError(
            f"Column {labels[column]!r} holds {values[row, column]} at position {row} "
            f"({place(row)}), the first of {len(found)} infinite values. Replace them by NaN "
            "if they mean 'not observed'."
        )
