"""Frames of other libraries, read into pandas column by column."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

__all__ = ["as_pandas"]


def as_pandas(X: object) -> object:
    """The pandas object of an eager frame or Series of another library.

    Parameters
    ----------
    X : object
        Anything; what narwhals can't read, and what is pandas already, is returned as it is.

    Returns
    -------
    object
        Dates keep their unit and zone, nulls become NaN, NaT or None, text stays text.
    """
    if isinstance(X, (pd.Series, pd.DataFrame, pd.Index, np.ndarray)):
        return X
    read = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(read, nw.DataFrame):
        return pd.DataFrame({name: _column(read[name]) for name in read.columns})
    return _column(read) if isinstance(read, nw.Series) else X


def _column(column: nw.Series[Any]) -> pd.Series:
    if isinstance(column.dtype, nw.Date):
        column = column.cast(nw.Datetime("ms"))
    dtype = column.dtype
    if isinstance(dtype, nw.Datetime):
        dates = pd.DatetimeIndex(column.to_numpy())
        if dtype.time_zone is not None:
            dates = dates.tz_localize("UTC").tz_convert(dtype.time_zone)
        return pd.Series(dates, name=column.name)
    if dtype.is_numeric() and column.is_null().any():
        return pd.Series(column.cast(nw.Float64).to_numpy(), name=column.name)
    if dtype.is_numeric() or isinstance(dtype, (nw.Boolean, nw.Duration)):
        return pd.Series(column.to_numpy(), name=column.name)
    return pd.Series(column.to_list(), name=column.name, dtype=object)
