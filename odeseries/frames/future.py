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
from odeseries.frames.indexes import joined
from odeseries.frames.layout import Table, lay_out, number_ids
from odeseries.frames.reach import Reach
from odeseries.frames.stamps import (
    PER_SECOND,
    Kind,
    Stamps,
    Unit,
    finer_units,
    read_stamps,
)
from odeseries.panel import Int64

__all__ = ["future_times"]

ROUNDING = 4 * 2.0**-52  # of a quotient of two lengths


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
        step for numbers. Days and longer ones keep the hour that clocks show: one that they leave
        out becomes the next that there is, one that comes twice is the first.
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
    reach = Reach(length, horizon)
    ends = [table.when[row : row + 1] for row in _last_rows(codes, stamps)]
    if freq is None:
        after = [_spaced(end, reach, 100 if n is None else n) for end in ends]
    else:
        after = [_stepped(end, reach, freq) for end in ends]
    return _as_asked(table, ids, after)


def _last_rows(codes: Int64, stamps: Stamps) -> Int64:
    """Row of the last stamp of each series."""
    order = np.lexsort((stamps.ticks, codes))
    return order[np.flatnonzero(np.append(np.diff(codes[order]) != 0, True))]


def _spaced(end: pd.Index, reach: Reach, n: int) -> pd.Index:
    """`n` stamps at equal distances, the last one at the end of the reach."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise DataError(f"n={n!r} must be a positive whole number of stamps.")
    share = np.arange(1, n + 1) / n
    if isinstance(end, (pd.DatetimeIndex, pd.TimedeltaIndex)):
        unit = _resolving(end.unit, reach.length, n)
        reach.require_room(end, unit)
        ticks = np.rint(reach.length * PER_SECOND[unit] * share).astype(np.int64)
        return end.as_unit(unit).repeat(n) + pd.TimedeltaIndex(ticks.astype(f"timedelta64[{unit}]"))
    reach.require_number(end)
    if pd.api.types.is_integer_dtype(end.dtype) and reach.is_whole(end) and reach.length >= n:
        return _moved(end, np.rint(math.floor(reach.length) * share).astype(np.int64))
    reach.require_resolved(end, reach.length / n)
    after: pd.Index = end.repeat(n) + reach.length * share
    return after


def _resolving(unit: Unit, length: float, n: int) -> Unit:
    """The coarsest unit, from the given one on, that holds a length in seconds and its n steps."""
    enough = (u for u in finer_units(unit) if length / n * PER_SECOND[u] >= 1)
    return next((u for u in enough if _is_near_whole(length * PER_SECOND[u])), "ns")


def _is_near_whole(value: float) -> bool:
    """Whether a value is a whole number but for the rounding of a product."""
    return abs(value - round(value)) <= math.ulp(value)


def _moved(end: pd.Index, steps: Int64) -> pd.Index:
    """Whole numbers after the end, in the type of the end."""
    unsigned = pd.api.types.is_unsigned_integer_dtype(end.dtype)
    # Unsigned and signed ones of 64 bits would make floats.
    after: pd.Index = end.repeat(len(steps)) + (steps.astype(np.uint64) if unsigned else steps)
    return after


def _stepped(end: pd.Index, reach: Reach, freq: object) -> pd.Index:
    """Stamps after the end, at a frequency, within reach."""
    if isinstance(end, pd.DatetimeIndex):
        return _dates(end, reach, freq)
    kind: Kind = "timedelta" if isinstance(end, pd.TimedeltaIndex) else "number"
    step = Clock(kind, 0, None).duration(freq, "freq")
    reach.require_few(step, freq)
    return (_differences if kind == "timedelta" else _numbers)(end, reach, step)


def _differences(end: pd.Index, reach: Reach, step: float) -> pd.Index:
    assert isinstance(end, pd.TimedeltaIndex), "told apart before"
    nanos = PER_SECOND["ns"]
    count = np.arange(1, round(reach.length * nanos) // round(step * nanos) + 1)
    units = finer_units(end.unit)
    unit: Unit = next((u for u in units if (step * PER_SECOND[u]).is_integer()), "ns")
    reach.require_room(end, unit)
    ticks = count * round(step * PER_SECOND[unit])
    steps = pd.TimedeltaIndex(ticks.astype(f"timedelta64[{unit}]"))
    return end.as_unit(unit).repeat(len(count)) + steps


def _numbers(end: pd.Index, reach: Reach, step: float) -> pd.Index:
    reach.require_number(end)
    if pd.api.types.is_integer_dtype(end.dtype) and step.is_integer():
        return _moved(end, np.arange(1, int(reach.length) // int(step) + 1) * int(step))
    reach.require_resolved(end, step)
    count = np.arange(1, math.floor(reach.length / step * (1 + ROUNDING)) + 1)
    after: pd.Index = end.repeat(len(count)) + np.minimum(count * step, reach.length)
    return after


def _dates(end: pd.DatetimeIndex, reach: Reach, freq: object) -> pd.DatetimeIndex:
    unit: Unit = "ns" if end.unit == "ns" else "us"  # holds fractions and far dates
    reach.require_room(end, unit)
    length = np.array([round(reach.length * PER_SECOND[unit])]).astype(f"timedelta64[{unit}]")
    start = end.as_unit(unit)
    limit = start + pd.TimedeltaIndex(length)
    if not isinstance(freq, (str, pd.offsets.BaseOffset, dt.timedelta)):
        raise DataError(f'freq={freq!r} must be a pandas frequency such as "W" or "6h" for dates.')
    try:
        first = start[0].tz_localize(None)
        step = ((first + to_offset(freq)) - first).total_seconds()
        if step <= 0:
            raise ValueError("it leads backwards, or nowhere")
        reach.require_few(step, freq)
        dates = _between(start[0], limit[0], to_offset(freq), unit).rename(end.name)
    except DataError:
        raise
    except (ValueError, OverflowError) as error:
        raise DataError(f"freq={freq!r} can't be used: {error}.") from error
    dates = dates[(dates > start[0]) & (dates <= limit[0])]
    coarse = dates.as_unit(end.unit)
    return coarse if (coarse == dates).all() else dates


def _between(
    start: pd.Timestamp, limit: pd.Timestamp, freq: pd.offsets.BaseOffset, unit: Unit
) -> pd.DatetimeIndex:
    """Dates at a frequency: of hours and less on the time line, of days and more on the clock."""
    on_clock = isinstance(freq, pd.offsets.Day) or not isinstance(freq, pd.offsets.Tick)
    if start.tz is None or not on_clock:
        return pd.date_range(start, limit, freq=freq, unit=unit)
    shown = pd.date_range(start.tz_localize(None), limit.tz_localize(None), freq=freq, unit=unit)
    first = np.ones(len(shown), dtype=bool)
    return shown.tz_localize(start.tz, ambiguous=first, nonexistent="shift_forward").unique()


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
    return joined([who, when])
