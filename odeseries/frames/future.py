"""Time stamps after the end of a data set."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Hashable

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from odeseries.errors import DataError
from odeseries.frames.clock import Clock
from odeseries.frames.layout import Table, lay_out, number_ids
from odeseries.frames.stamps import PER_SECOND, Kind, Stamps, Unit, finer_units, read_stamps
from odeseries.panel import Int64

__all__ = ["future_times"]


def future_times(
    X: pd.Series | pd.DataFrame,
    horizon: object,
    *,
    freq: str | float | None = None,
    n: int | None = None,
    time_col: Hashable = None,
    id_col: Hashable = None,
) -> pd.Index | pd.DataFrame:
    """Time stamps after the end of each series, up to a horizon.

    Parameters
    ----------
    X : Series or DataFrame
        Data in any form that a forecaster is fitted on; only times and ids are read.
    horizon : str, timedelta or number
        How far beyond the last stamp, such as ``"730D"``; a number if the times are numbers.
    freq : str or number, optional
        Pandas frequency such as ``"W"`` for dates, a length of time for time differences, a
        step for numbers.
    n : int, optional
        Number of equally spaced stamps, the last one at the horizon; 100 if neither `freq` nor
        `n` is given. They have the resolution of the data, or a finer one if that is too coarse.
    time_col, id_col : hashable, optional
        Columns of a long frame.

    Returns
    -------
    Index or DataFrame
        An index like that of `X`; for a panel a MultiIndex (id, time), each series after its own
        end; for a long frame, a frame with its id and time columns.

    Raises
    ------
    DataError
        If `X` has no rows or bad times, or `horizon`, `freq` or `n` can't be used.

    Examples
    --------
    >>> import pandas as pd
    >>> import odeseries as ode
    >>> x = pd.Series([1.0, 2.0], index=pd.DatetimeIndex(["2024-01-05", "2024-01-09"]))
    >>> [str(day.date()) for day in ode.future_times(x, "14D", freq="W")]
    ['2024-01-14', '2024-01-21']
    """
    table = lay_out(X, time_col=time_col, id_col=id_col)
    if not len(table.when):
        raise DataError("X has no rows, so it has no end that future times could follow.")
    if freq is not None and n is not None:
        raise DataError(f"Give freq or n, not both (freq={freq!r}, n={n!r}).")
    stamps = read_stamps(table.when, table.time_label)
    codes, ids = number_ids(table.who, len(stamps))
    length = Clock(stamps.kind, 0, stamps.unit).duration(horizon)
    last = _last_rows(codes, stamps)
    if freq is None:
        after = [
            _spaced(table.when[row : row + 1], length, 100 if n is None else n) for row in last
        ]
    else:
        after = [_stepped(table.when[row : row + 1], length, freq) for row in last]
    return _as_asked(table, ids, after)


def _last_rows(codes: Int64, stamps: Stamps) -> Int64:
    """Row of the last stamp of each series."""
    order = np.lexsort((stamps.ticks, codes))
    return order[np.flatnonzero(np.append(np.diff(codes[order]) != 0, True))]


def _spaced(end: pd.Index, length: float, n: int) -> pd.Index:
    """`n` stamps at equal distances, the last one `length` after the end."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise DataError(f"n={n!r} must be a positive whole number of stamps.")
    share = np.arange(1, n + 1) / n
    if isinstance(end, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        unit = _resolving(end.unit, length / n)
        ticks = np.rint(length * PER_SECOND[unit] * share).astype(np.int64)
        return end.as_unit(unit).repeat(n) + pd.TimedeltaIndex(ticks.astype(f"timedelta64[{unit}]"))
    if pd.api.types.is_integer_dtype(end.dtype) and length >= n:
        return end.repeat(n) + np.rint(length * share).astype(np.int64)
    return end.repeat(n) + length * share


def _resolving(unit: Unit, step: float) -> Unit:
    """The coarsest unit, from the given one on, that resolves a step in seconds."""
    return next((u for u in finer_units(unit) if step * PER_SECOND[u] >= 1), "ns")


def _stepped(end: pd.Index, length: float, freq: object) -> pd.Index:
    """Stamps after the end, at a frequency, up to `length` after it."""
    if isinstance(end, pd.DatetimeIndex):
        return _dates(end, length, freq)
    kind: Kind = "timedelta" if isinstance(end, pd.TimedeltaIndex) else "number"
    step = Clock(kind, 0, None).duration(freq, "freq")
    count = np.arange(1, math.floor(length / step * (1 + 1e-12)) + 1)
    if isinstance(end, pd.TimedeltaIndex):
        units = finer_units(end.unit)
        unit: Unit = next((u for u in units if (step * PER_SECOND[u]).is_integer()), "ns")
        ticks = count * round(step * PER_SECOND[unit])
        steps = pd.TimedeltaIndex(ticks.astype(f"timedelta64[{unit}]"))
        return end.as_unit(unit).repeat(len(count)) + steps
    whole = pd.api.types.is_integer_dtype(end.dtype) and step.is_integer()
    return end.repeat(len(count)) + (count * round(step) if whole else count * step)


def _dates(end: pd.DatetimeIndex, length: float, freq: object) -> pd.DatetimeIndex:
    unit: Unit = "ns" if end.unit == "ns" else "us"  # holds fractions and far dates
    reach = np.array([round(length * PER_SECOND[unit])]).astype(f"timedelta64[{unit}]")
    start = end.as_unit(unit)
    limit = start + pd.TimedeltaIndex(reach)
    if not isinstance(freq, (str, pd.offsets.BaseOffset, dt.timedelta)):
        raise DataError(f'freq={freq!r} must be a pandas frequency such as "W" or "6h" for dates.')
    try:
        if start[0] + to_offset(freq) <= start[0]:
            raise ValueError("it leads backwards, or nowhere")
        dates = pd.date_range(start[0], limit[0], freq=freq, unit=unit, name=end.name)
    except ValueError as error:
        raise DataError(f"freq={freq!r} can't be used: {error}.") from error
    dates = dates[dates > start[0]]
    coarse = dates.as_unit(end.unit)
    return coarse if (coarse == dates).all() else dates


def _as_asked(
    table: Table, ids: tuple[Hashable, ...], after: list[pd.Index]
) -> pd.Index | pd.DataFrame:
    """Stamps of all series in the form of the data."""
    when = after[0].append(after[1:]).rename(table.when.name)
    if table.who is None:
        return when.to_frame(index=False) if table.form == "long" else when
    labels = pd.Index(list(ids), name=table.who.name, tupleize_cols=False)
    who = labels.repeat([len(stamps) for stamps in after])
    if table.form == "long":
        return pd.DataFrame({table.who.name: who, table.when.name: when})
    return pd.MultiIndex.from_arrays([who, when])
