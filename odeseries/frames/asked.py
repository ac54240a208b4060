"""One stamp or a list of stamps, as a person types them, made into an index."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from pandas.errors import OutOfBoundsDatetime, OutOfBoundsTimedelta

from odeseries.errors import DataError
from odeseries.frames.schema import Schema
from odeseries.frames.stamps import PER_SECOND, Unit, is_number

__all__ = ["as_index", "empty_index"]


def as_index(X: object, schema: Schema) -> pd.Index:
    """Index of one stamp, or of a list or one-dimensional array of stamps.

    Parameters
    ----------
    X : stamp or iterable of stamps
        Dates, their strings, time differences or numbers; all of one kind.
    schema : Schema
        What was fitted: strings are read as its kind of time, dates in its zone.

    Returns
    -------
    Index
        With the fitted name of the times.

    Raises
    ------
    DataError
        If a string is no such time, or the kinds are mixed.
    """
    stamps: list[Any] = [_parse(stamp, schema) for stamp in _listed(X)]
    if not stamps:
        return empty_index(schema)
    if all(isinstance(stamp, (dt.date, np.datetime64)) for stamp in stamps):
        index: pd.Index = _dates([pd.Timestamp(stamp) for stamp in stamps])
    elif all(isinstance(stamp, (dt.timedelta, np.timedelta64)) for stamp in stamps):
        index = _differences(stamps)
    elif all(is_number(stamp) for stamp in stamps):
        index = pd.Index(np.array(stamps))
    else:
        index = pd.Index(stamps, dtype=object)
    index.name = schema.time_name
    return index


def empty_index(schema: Schema) -> pd.Index:
    """Index without a stamp, of the fitted kind, unit, zone and name."""
    clock = schema.clock
    unit = "" if clock.unit is None else f"[{clock.unit}]"
    number = np.asarray(clock.reference).dtype.name
    dtype = {"datetime": "datetime64", "timedelta": "timedelta64", "number": number}[clock.kind]
    index = pd.Index(np.zeros(0, dtype + unit), name=schema.time_name)
    if isinstance(index, pd.DatetimeIndex) and schema.tz is not None:
        return index.tz_localize("UTC").tz_convert(schema.tz)
    return index


def _listed(X: object) -> list[Any]:
    if isinstance(X, np.ndarray):
        if X.ndim > 1:
            raise DataError(f"The times asked for are an array of shape {X.shape}; flatten it.")
        return list(np.atleast_1d(X))
    if isinstance(X, Iterable) and not isinstance(X, str):
        return list(X)
    return [X]


def _parse(stamp: Any, schema: Schema) -> Any:
    if not isinstance(stamp, str):
        return stamp
    try:
        if schema.clock.kind == "timedelta":
            return pd.Timedelta(stamp)
        if schema.clock.kind == "datetime":
            return _date(stamp, schema.tz)
    except ValueError as error:
        raise DataError(
            f"The time {stamp!r} can't be read: {error}. Give a date such as '2024-01-31 12:00', "
            "or pd.Timedelta('730D') for an offset from the end of the history."
        ) from error
    raise DataError(f"The time {stamp!r} is a string, but the model was fitted on numbers.")


def _date(text: str, tz: dt.tzinfo | None) -> pd.Timestamp:
    date = pd.Timestamp(text)
    if date.tz is not None or tz is None or pd.isna(date):
        return date
    instant = date.tz_localize(tz, ambiguous="NaT", nonexistent="NaT")
    if pd.isna(instant):
        raise ValueError(f"it is no single instant in {tz}, whose clock was changed then")
    return instant


def _dates(stamps: list[pd.Timestamp]) -> pd.DatetimeIndex:
    zones = {stamp.tz is not None for stamp in stamps if not pd.isna(stamp)}
    if len(zones) > 1:
        raise DataError("Some of the times asked for have a time zone and others have none.")
    index = pd.DatetimeIndex(np.array([stamp.to_datetime64() for stamp in _in_one_unit(stamps)]))
    if zones != {True}:
        return index
    zone = next(stamp.tz for stamp in stamps if not pd.isna(stamp))
    return index.tz_localize("UTC").tz_convert(zone)


def _differences(stamps: list[dt.timedelta | np.timedelta64]) -> pd.TimedeltaIndex:
    try:
        lengths = [pd.Timedelta(stamp) for stamp in stamps]
    except ValueError as error:
        raise DataError(f"A time difference asked for can't be read: {error}.") from error
    return pd.TimedeltaIndex(np.array([_plain(one) for one in _in_one_unit(lengths)]))


def _plain(length: pd.Timedelta) -> np.timedelta64:
    """NumPy's length; pandas' missing one, which is no Timedelta, as a missing one."""
    return np.timedelta64("NaT") if pd.isna(length) else length.to_timedelta64()


def _in_one_unit(stamps: list[Any]) -> list[Any]:
    """Stamps in the finest of their units, into which NumPy would wrap far ones around."""
    units: list[Unit] = [stamp.unit for stamp in stamps if not pd.isna(stamp)]
    finest = max(units, key=PER_SECOND.__getitem__, default="s")
    try:
        return [stamp if pd.isna(stamp) else stamp.as_unit(finest) for stamp in stamps]
    except (OutOfBoundsDatetime, OutOfBoundsTimedelta) as error:
        raise DataError(
            f"The times asked for can't all be counted in the unit {finest!r} that one of them "
            f"needs ({error}). Round that one, or ask for the far ones apart."
        ) from error
