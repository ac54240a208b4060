"""What was asked: which series at which time, and the index that the answer carries."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.errors import OutOfBoundsDatetime, OutOfBoundsTimedelta

from odeseries.errors import DataError
from odeseries.frames.asked import as_index, empty_index
from odeseries.frames.covariates import known_inputs
from odeseries.frames.foreign import as_pandas
from odeseries.frames.indexes import joined
from odeseries.frames.layout import ANONYMOUS, lay_out, listed, number_ids
from odeseries.frames.schema import Schema, check_stamps
from odeseries.frames.stamps import PER_SECOND, Stamps, Unit, latest, read_stamps
from odeseries.panel import Float64, Int64, Panel

__all__ = ["Queries", "read_cutoffs", "read_queries"]


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows asked for, in the order asked.

    Attributes
    ----------
    series : ndarray of int64, shape (n_rows,)
        Position of the series in ``history.ids``.
    times : ndarray of float64, shape (n_rows,)
        Time relative to the origin of that series in the history, in clock units.
    inputs : ndarray of float64, shape (n_rows, n_inputs)
        Covariates at those times, all finite.
    index : Index of length n_rows
        Goes on the rows of the answer.
    frame : DataFrame with n_rows rows, or None
        Time and id columns of a long frame, to be put in front of the answer.
    """

    series: Int64
    times: Float64
    inputs: Float64
    index: pd.Index
    frame: pd.DataFrame | None


@dataclass(frozen=True, eq=False)
class _Asked:
    """A request before it is matched with the history; ``given`` holds the covariates."""

    when: pd.Index
    who: pd.Index | None
    index: pd.Index
    frame: pd.DataFrame | None
    given: pd.DataFrame | None


def read_queries(X: object, schema: Schema, history: Panel) -> Queries:
    """Read the times that a forecast is wanted for.

    Parameters
    ----------
    X : Index, Series, DataFrame, stamp or list of stamps
        Of a frame or a Series the index is read, or the time and id columns if the model was
        fitted on a long frame, and its covariates; targets are ignored. On dates, strings are
        dates in the fitted zone, and a Timedelta is an offset from the last observation of each
        series in the history. Times without ids mean every series of the history at every time,
        the id being the outer level of the answer's index.
    schema : Schema
        What was fitted.
    history : Panel
        What the model may see, read with the same schema.

    Returns
    -------
    Queries
        With the index that was asked, unchanged; a list or an offset gets a new one.

    Raises
    ------
    DataError
        If a time is missing, or of another kind than the fitted ones, an id is unknown, or a
        covariate is not known at a time that is asked for.

    Notes
    -----
    A covariate that is not given is taken from the history if it is known there at that very
    time, or if it is static.
    """
    asked = _ask(as_pandas(X), schema)
    if len(asked.when) == 0:
        asked = _typed_when_empty(asked, schema)
    stamps = read_stamps(asked.when, "the times asked for")
    if asked.who is None and history.ids != (ANONYMOUS,):
        asked, stamps = _cross(asked, stamps, schema, history.ids)
    series = _match(asked.who, len(stamps), history)
    if stamps.kind == "timedelta" and schema.clock.kind == "datetime":
        asked, stamps = _resolve(asked, stamps, series, schema, history)
    check_stamps(stamps, schema, "X")
    times = schema.clock.times(stamps, history.origins[series])
    inputs = known_inputs(asked.given, series, times, schema, history)
    _require_known(inputs, asked.when, schema)
    return Queries(series, times, inputs, asked.index, asked.frame)


def read_cutoffs(cutoffs: object, schema: Schema) -> tuple[float, ...]:
    """Times in clock units since the clock's reference.

    Parameters
    ----------
    cutoffs : time, or array-like or Index of them
        Of the kind of the data's stamps.
    schema : Schema
        Of the data.

    Raises
    ------
    DataError
        If they are of another kind.
    """
    stamps = read_stamps(as_index(cutoffs, schema), "cutoffs")
    check_stamps(stamps, schema, "cutoffs")
    return tuple(schema.clock.times(stamps, np.zeros(len(stamps))).tolist())


def _require_known(inputs: Float64, when: pd.Index, schema: Schema) -> None:
    absent = np.argwhere(~np.isfinite(inputs))
    if len(absent):
        row, column = absent[0]
        n_rows = len(np.unique(absent[:, 0]))
        raise DataError(
            f"The covariate {schema.inputs[column]!r} is not known at {n_rows} of {len(when)} "
            f"times asked for, the first at position {row} ({when[row]}): give X as a frame "
            f"with the columns {listed(list(schema.inputs))}, all finite."
        )


def _ask(X: object, schema: Schema) -> _Asked:
    if not isinstance(X, (pd.Index, pd.Series, pd.DataFrame)):
        X = as_index(X, schema)
    if isinstance(X, pd.DataFrame) and X.index.nlevels == 1 and schema.time_col is not None:
        return _ask_long(X, schema)
    table = lay_out(X)
    index = X if isinstance(X, pd.Index) else X.index
    return _Asked(table.when, table.who, index, None, None if table.as_series else table.values)


def _ask_long(X: pd.DataFrame, schema: Schema) -> _Asked:
    id_col = schema.id_col if schema.id_col in X.columns else None
    table = lay_out(X, time_col=schema.time_col, id_col=id_col)
    if table.who is None and schema.id_col is not None:
        return _Asked(table.when, None, table.when, None, table.values)
    columns = [label for label in (id_col, schema.time_col) if label is not None]
    return _Asked(table.when, table.who, X.index, X[columns].copy(), table.values)


def _typed_when_empty(asked: _Asked, schema: Schema) -> _Asked:
    """Give an empty request the fitted type of time, unless it is a type of time already."""
    numeric = pd.api.types.is_any_real_numeric_dtype(asked.when.dtype)
    dated = isinstance(asked.when, (pd.DatetimeIndex, pd.TimedeltaIndex))
    if dated or (numeric and schema.clock.kind == "number"):
        return asked
    when = empty_index(schema).rename(asked.when.name)
    if asked.who is not None or asked.frame is not None:
        return replace(asked, when=when)
    return replace(asked, when=when, index=when)


def _cross(
    asked: _Asked, stamps: Stamps, schema: Schema, ids: tuple[Hashable, ...]
) -> tuple[_Asked, Stamps]:
    """Every series at every time, id outer."""
    rows = np.tile(np.arange(len(stamps)), len(ids))
    when = asked.when.take(rows)
    if when.name is None:
        when = when.rename(schema.time_name)
    labels = pd.Index(list(ids), name=schema.id_name, tupleize_cols=False)
    who = labels.take(np.repeat(np.arange(len(ids)), len(stamps)))
    index = joined([who, when])
    given = None if asked.given is None else asked.given.iloc[rows]
    return _Asked(when, who, index, None, given), stamps.take(rows)


def _match(who: pd.Index | None, n_rows: int, history: Panel) -> Int64:
    """Position in the history of the series of each row."""
    codes, asked = number_ids(who, n_rows)
    if who is not None and history.ids == (ANONYMOUS,) and asked:
        raise DataError(
            f"X names the series {asked[0]!r}, but the history is one series without an id: ask "
            "for times alone, or pass a history with ids."
        )
    known = {label: position for position, label in enumerate(history.ids)}
    for label in asked:
        if label not in known:
            raise DataError(
                f"The series {label!r} is not in the history, which has {len(known)} series. Pass "
                "its observations with history=."
            )
    return np.array([known[label] for label in asked], dtype=np.int64)[codes]


def _resolve(
    asked: _Asked, stamps: Stamps, series: Int64, schema: Schema, history: Panel
) -> tuple[_Asked, Stamps]:
    """Turn offsets from the end of each series into dates."""
    ends = schema.clock.dates(history.origins, history.spans())[series]
    when = _add(ends, pd.TimedeltaIndex(asked.when))
    if schema.tz is not None:
        when = when.tz_localize("UTC").tz_convert(schema.tz)
    when = when.rename(schema.time_name if asked.when.name is None else asked.when.name)
    resolved = replace(asked, when=when)
    if asked.frame is not None:
        dated = asked.frame.copy()
        dated[schema.time_col] = when
        resolved = replace(resolved, frame=dated)
    elif asked.who is None:
        resolved = replace(resolved, index=when)
    else:
        resolved = replace(resolved, index=joined([asked.who, when]))
    return resolved, read_stamps(when, "the times asked for")


def _add(ends: pd.DatetimeIndex, offsets: pd.TimedeltaIndex) -> pd.DatetimeIndex:
    """Sum in the unit of the dates where that is exact, in the finer one otherwise."""
    try:
        coarse = offsets.as_unit(ends.unit)
        return ends + (coarse if (coarse == offsets).all() else offsets)
    except (OutOfBoundsDatetime, OutOfBoundsTimedelta, OverflowError) as error:
        units: list[Unit] = [ends.unit, offsets.unit]
        unit = max(units, key=PER_SECOND.__getitem__)
        farthest = offsets[int(np.abs(offsets.asi8).argmax())]
        raise DataError(
            f"The offset {farthest} leads from the end of the "
            f"history to a date that the unit {unit!r} can't count, which ends at {latest(unit)}: "
            'ask for less, or fit on dates of a coarser unit, such as those of .as_unit("s").'
        ) from error
