"""From a pandas object to the ragged panel."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.clock import Clock
from odeseries.frames.layout import ANONYMOUS, Table, lay_out, listed, number_ids
from odeseries.frames.merging import RULES, Rows, merge_equal_stamps
from odeseries.frames.schema import Schema, check_stamps
from odeseries.frames.stamps import Stamps, is_number, read_stamps
from odeseries.panel import Float64, Panel

__all__ = ["read_frame"]


def read_frame(
    X: object,
    y: object = None,
    *,
    time_col: Hashable = None,
    id_col: Hashable = None,
    duplicates: str = "error",
    schema: Schema | None = None,
) -> tuple[Panel, Schema]:
    """Read a pandas object into a panel; the object itself is left as it is.

    Parameters
    ----------
    X : Series or DataFrame
        One series (the index holds dates, time differences or numbers), a panel (two-level index
        of series id and time) or a long frame. NaN is "not observed". Rows may be in any order;
        a row without any observation is dropped.
    y : Series or DataFrame, optional
        The targets, if `X` holds times and ids only.
    time_col, id_col : hashable, optional
        Columns of a long frame. With a `schema` they default to the fitted ones.
    duplicates : {"error", "mean", "last"}
        What to do with different values of one channel at one time of one series. Equal values
        and values of different channels are merged in any case.
    schema : Schema, optional
        What was learnt in fitting: the targets are then picked by name, other columns are
        ignored, and the kind of time must be the fitted one.

    Returns
    -------
    Panel, Schema
        Series are in order of first appearance. The schema is the given one, if any.

    Raises
    ------
    DataError
        If the data can't be used; the message names the series, the column and the position.

    Notes
    -----
    The id of a single series without one is None.
    """
    if duplicates not in RULES:
        raise DataError(f"duplicates={duplicates!r} is none of {listed(list(RULES))}.")
    if schema is not None and isinstance(X, pd.DataFrame) and X.index.nlevels == 1:
        time_col = schema.time_col if time_col is None else time_col
        id_col = schema.id_col if id_col is None else id_col
    table = lay_out(X, y, time_col=time_col, id_col=id_col)
    if not len(table.when):
        raise DataError("X has no rows: at least one observation is needed.")
    stamps = read_stamps(table.when, table.time_label)
    if schema is not None:
        check_stamps(stamps, schema, "the history")
        table = _pick_targets(table, schema)
    rows = _observed_rows(table, stamps)
    if schema is None:
        _require_observed_columns(rows)
        schema = _learn(table, rows, time_col, id_col)
    _require_observed_series(rows)
    return _assemble(rows.sorted(), duplicates, schema.clock), schema


def _pick_targets(table: Table, schema: Schema) -> Table:
    values, targets = table.values, list(schema.targets)
    if table.as_series and len(targets) == 1:
        values = values.set_axis(targets, axis=1)
    absent = [label for label in targets if label not in values.columns]
    if absent:
        raise DataError(
            f"The history lacks the target columns {listed(absent)}; it has "
            f"{listed(list(values.columns))}."
        )
    return Table(table.form, table.when, table.who, values[targets], table.as_series, table.name)


def _observed_rows(table: Table, stamps: Stamps) -> Rows:
    if not len(table.values.columns):
        raise DataError("X has no column to forecast beside its times and ids.")
    codes, ids = number_ids(table.who, len(table.when))
    columns = [_floats(table.values[label], label) for label in table.values.columns]
    values = np.stack(columns, axis=1)
    rows = Rows(ids, tuple(table.values.columns), codes, stamps, table.when, values)
    _refuse_infinite(rows)
    return rows.take(np.flatnonzero(~np.isnan(values).all(axis=1)))


def _floats(column: pd.Series, label: Hashable) -> Float64:
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


def _refuse_infinite(rows: Rows) -> None:
    found = np.argwhere(np.isinf(rows.values))
    if len(found):
        row, channel = (int(k) for k in found[0])
        value = rows.values[row, channel]
        raise DataError(
            f"Column {rows.channels[channel]!r} holds {value} at position {row} "
            f"({rows.label(row)}), the first of {len(found)} infinite values. Replace them by NaN "
            "if they mean 'not observed'."
        )


def _require_observed_columns(rows: Rows) -> None:
    empty = np.atleast_1d(np.isnan(rows.values).all(axis=0))
    if empty.any():
        absent = [label for label, bad in zip(rows.channels, empty.tolist(), strict=True) if bad]
        raise DataError(
            f"Nothing was observed in column {listed(absent)}: every value is NaN. Drop it."
        )


def _require_observed_series(rows: Rows) -> None:
    counts = np.bincount(rows.codes, minlength=len(rows.ids))
    empty = [rows.ids[i] for i in np.flatnonzero(counts == 0)]
    if empty == [ANONYMOUS]:
        raise DataError("Nothing was observed in the history: every value is NaN.")
    if empty:
        raise DataError(
            f"Nothing was observed in {len(empty)} of {len(rows.ids)} series: {listed(empty)}. "
            "Every value is NaN; drop these series."
        )


def _learn(table: Table, rows: Rows, time_col: Hashable, id_col: Hashable) -> Schema:
    stamps = rows.stamps
    return Schema(
        clock=Clock(stamps.kind, stamps.ticks.min().item(), stamps.unit),
        form=table.form,
        targets=rows.channels,
        as_series=table.as_series,
        name=table.name,
        time_col=time_col,
        id_col=id_col,
        time_name=table.when.name,
        id_name=None if table.who is None else table.who.name,
        tz=stamps.tz,
    )


def _assemble(rows: Rows, duplicates: str, clock: Clock) -> Panel:
    """The panel of sorted rows."""
    same = (np.diff(rows.codes) == 0) & (np.diff(rows.stamps.ticks) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    values = merge_equal_stamps(rows, starts, duplicates) if same.any() else rows.values
    rows = rows.take(starts)
    counts = np.bincount(rows.codes, minlength=len(rows.ids))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    origins = clock.origins(rows.stamps.take(offsets[:-1]))
    times = clock.times(rows.stamps, origins[rows.codes])
    return Panel(rows.ids, rows.channels, offsets, origins, times, values)
